"""``tailrace demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from tailrace.console import Output


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave databases and broker running until Ctrl-C, and print their URLs.")
    ] = False,
) -> None:
    """Mask a real database end to end on this machine, and show what came of it.

    Starts PostgreSQL, Kafka and the services from Python packages, carries the pagila sample database from one database
    to another, compares both, and stops everything.

    Example: [bold]tailrace demo --keep[/bold]
    """
    from tailrace.demo.show import show

    raise typer.Exit(show(Output(), keep=keep))
