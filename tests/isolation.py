"""Every service installs alone beside ``shared`` and brings neither torch nor another service (``make isolation``)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("reader", "generator", "writer")
CHECK = """
import importlib, importlib.util, sys
service = sys.argv[1]
importlib.import_module(f"tailrace_{service}.app")
importlib.import_module(f"tailrace_{service}.__main__")
others = {"tailrace_reader", "tailrace_generator", "tailrace_writer", "tailrace_trainer", "tailrace"} - {f"tailrace_{service}"}
found = sorted(name for name in {"torch", "pandas", *others} if importlib.util.find_spec(name))
sys.exit(f"{service} brings {found}" if found else 0)
"""


def main() -> int:
    """Install each service into an environment of its own and look around in it."""
    for service in SERVICES:
        with tempfile.TemporaryDirectory(prefix=f"isolation-{service}-") as folder:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            python = str(Path(folder) / "bin" / "python")
            install = [
                python,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "-c",
                str(ROOT / "constraints.txt"),
            ]
            subprocess.run([*install, str(ROOT / "shared"), str(ROOT / "services" / service)], check=True)
            subprocess.run([python, "-c", CHECK, service], check=True)
        print(f"{service}: installs alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
