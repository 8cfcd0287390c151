"""Start the generator: ``python -m tailrace_generator``."""

from __future__ import annotations

from tailrace_generator.app import create_app
from tailrace_generator.settings import Settings
from tailrace_shared.service.shell import serve


def main() -> None:
    """Run until SIGTERM."""
    raise SystemExit(serve("generator", Settings, create_app))


if __name__ == "__main__":
    main()
