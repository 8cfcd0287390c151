"""``tailrace demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from tailrace.console import Output
from tailrace_shared.errors import UsageError


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave databases and broker running until Ctrl-C, and print their URLs.")
    ] = False,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Show a destination that follows its source, for about a minute.")
    ] = False,
    synthesis: Annotated[
        bool, typer.Option("--synthesis", help="Show tables that are learned and drawn, and compare both sides.")
    ] = False,
) -> None:
    """Mask a real database end to end on this machine, and show what came of it.

    Starts PostgreSQL, Kafka and the services from Python packages, carries the pagila sample database from one database
    to another, compares both, and stops everything. With --continuous the source is in use meanwhile: changes arrive
    masked, a service is killed and catches up, a column is added, and both sides are equal at the end. With --synthesis
    two tables are learned, and twice as many rows as they have are drawn; that takes torch.

    Example: [bold]tailrace demo --keep[/bold]
    """
    from tailrace.demo.follow import follow_demo
    from tailrace.demo.show import show

    if ((continuous or synthesis) and keep) or (continuous and synthesis):
        raise UsageError("usage.keep", "--keep, --continuous and --synthesis do not go together", "Give one of them.")
    if synthesis:
        from tailrace.demo.synthesis import synthesis_demo

        raise typer.Exit(synthesis_demo(Output()))
    raise typer.Exit(follow_demo(Output()) if continuous else show(Output(), keep=keep))
