"""``make audit``: what is shipped is under admitted licences, pinned, not withdrawn and, where it can be asked, not vulnerable.

The package index itself says what was withdrawn (yanked): pip is let resolve what is pinned, and install nothing. Known
vulnerabilities are a question for pip-audit, which asks PyPI or OSV: with ``--vulnerabilities``, from a machine that reaches them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from supply.closure import ROOT, Distribution, pinned
from supply.licences import everything, refused

DEADLINE_S = 900


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    shipped = everything()
    faults = refused(shipped) + unpinned(shipped)
    print(f"{len(shipped)} distributions shipped; licences admitted, versions pinned: {'no' if faults else 'yes'}")
    pins = [f"{d.name}=={d.version}" for d in shipped.values() if not d.ours]
    faults += withdrawn(resolved([pin for pin in pins if not pin.startswith("torch==")]))
    if "--vulnerabilities" in sys.argv:
        faults += vulnerable(pins)
    else:
        print("known vulnerabilities were not asked for: --vulnerabilities, where PyPI's advisories can be reached")
    for fault in faults:
        print(f"FAULT {fault}")
    return 1 if faults else 0


def unpinned(shipped: dict[str, Distribution]) -> list[str]:
    """Shipped distributions whose version an installation would choose, or that are not installed as pinned."""
    pins = pinned()
    return [
        f"{name} {distribution.version}: constraints.txt has {pins.get(name, 'no line for it')}"
        for name, distribution in shipped.items()
        if not distribution.ours and pins.get(name) != distribution.version
    ]


def resolved(pins: list[str]) -> dict[str, Any]:
    """pip's report of what it would install. Raises CalledProcessError where it finds no such version."""
    with tempfile.TemporaryDirectory(prefix="tailrace-audit-") as folder:
        report = Path(folder) / "report.json"
        command = [
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--quiet",
        ]
        subprocess.run(
            [sys.executable, *command, "--disable-pip-version-check", "--report", str(report), *pins],
            check=True, timeout=DEADLINE_S, cwd=ROOT,
        )  # fmt: skip
        return dict(json.loads(report.read_text()))


def withdrawn(report: dict[str, Any]) -> list[str]:
    """Versions that their authors have taken back."""
    taken = [entry for entry in report["install"] if entry.get("is_yanked")]
    print(f"{len(report['install'])} distributions asked of the index, {len(taken)} withdrawn")
    return [f"{e['metadata']['name']} {e['metadata']['version']} was withdrawn from the index" for e in taken]


def vulnerable(pins: list[str]) -> list[str]:
    """What pip-audit finds; it is run from an environment of its own (pipx or uvx)."""
    with tempfile.TemporaryDirectory(prefix="tailrace-audit-") as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("\n".join(pins) + "\n")
        done = subprocess.run(
            ["pip-audit", "--requirement", str(listed), "--no-deps", "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    print(done.stdout)
    return [f"pip-audit: {done.stderr.strip()[:500]}"] if done.returncode else []
