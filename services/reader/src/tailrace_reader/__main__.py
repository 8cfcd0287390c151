"""Start the reader: ``python -m tailrace_reader``."""

from __future__ import annotations

from tailrace_reader.app import create_app
from tailrace_reader.settings import Settings
from tailrace_shared.service.shell import serve


def main() -> None:
    """Run until SIGTERM."""
    raise SystemExit(serve("reader", Settings, create_app))


if __name__ == "__main__":
    main()
