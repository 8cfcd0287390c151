"""Write the dashboards and the page of metrics, as they are to be committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dashboards.catalogue import DASHBOARDS
from dashboards.dashboard import dashboard_json
from dashboards.metrics_page import metrics_page
from dashboards.runbooks import pages, runbooks_json

REPOSITORY = Path(__file__).parents[1]
RUNBOOKS = REPOSITORY / "docs/runbooks"


def generated() -> dict[Path, str]:
    """Path within the repository to what belongs there."""
    folder = Path("compose/grafana/dashboards")
    names = pages(RUNBOOKS)
    made = {folder / f"{d.name}.json": dashboard_json(d, names) for d in DASHBOARDS}
    made[folder / "runbooks.json"] = runbooks_json(RUNBOOKS)
    texts = {path: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for path, content in made.items()}
    return texts | {Path("docs/metrics.md"): metrics_page()}


def main() -> int:
    for path, text in generated().items():
        (REPOSITORY / path).parent.mkdir(parents=True, exist_ok=True)
        (REPOSITORY / path).write_text(text)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
