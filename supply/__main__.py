"""``python -m supply licences | sbom FOLDER | audit``."""

from __future__ import annotations

import sys
from pathlib import Path

from supply import audit, licences
from supply.closure import ROOT


def main(arguments: list[str]) -> int:
    """0 when it is as it should be."""
    match arguments:
        case ["licences"]:
            (ROOT / "docs" / "licences.md").write_text(licences.page())
            return 0
        case ["sbom", folder]:
            from supply import sbom

            for file in sbom.write(Path(folder)):
                print(file)
            return 0
        case ["audit"]:
            return audit.main()
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
