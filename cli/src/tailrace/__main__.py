"""``tailrace`` and ``python -m tailrace``."""

from __future__ import annotations

from tailrace.app import create_app


def main() -> None:
    """Run the command line; exits with a code of ``tailrace_shared.errors.ExitCode``."""
    create_app()()


if __name__ == "__main__":
    main()
