"""*Runbooks*: the pages of ``docs/runbooks`` inside Grafana, so that links from alerts and panels lead to the version at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dashboards.dashboard import RUNBOOKS_UID, envelope, runbook_link

_LINK = re.compile(r"\]\(([a-z-]+)\.md\)")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def pages(folder: Path) -> list[str]:
    """Names of the pages, in the order of their panels."""
    return sorted(path.stem for path in folder.glob("*.md") if path.stem != "README")


def runbooks_json(folder: Path) -> dict[str, Any]:
    """One text panel per page; links between pages lead to each other's panels, others become their words."""
    names = pages(folder)
    panels = []
    for number, name in enumerate(names, 1):
        text = (folder / f"{name}.md").read_text()
        title, _, body = text.partition("\n")
        body = _LINK.sub(lambda found: f"]({runbook_link(found[1], names)})", body)
        panels.append(
            {
                "id": number,
                "title": title.lstrip("# "),
                "type": "text",
                "gridPos": {"x": 12 * ((number - 1) % 2), "y": 14 * ((number - 1) // 2), "w": 12, "h": 14},
                "options": {"mode": "markdown", "content": _ELSEWHERE.sub(r"\1", body).strip() + "\n"},
                "fieldConfig": {"defaults": {}, "overrides": []},
            }
        )
    return envelope(RUNBOOKS_UID, "Tailrace / Runbooks", "What every alert means, how to see it, what to do.") | {
        "panels": panels
    }
