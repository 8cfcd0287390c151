"""Start the writer: ``python -m tailrace_writer``."""

from __future__ import annotations

from tailrace_shared.service.shell import serve
from tailrace_writer.app import create_app
from tailrace_writer.settings import Settings


def main() -> None:
    """Run until SIGTERM."""
    raise SystemExit(serve("writer", Settings, create_app))


if __name__ == "__main__":
    main()
