"""Start the trainer: ``python -m tailrace_trainer``."""

from __future__ import annotations

from tailrace_shared.service.shell import serve
from tailrace_trainer.app import create_app
from tailrace_trainer.settings import Settings


def main() -> None:
    """Run until SIGTERM."""
    raise SystemExit(serve("trainer", Settings, create_app))


if __name__ == "__main__":
    main()
