"""The typer application: the commands, and the one place where every failure becomes words and an exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tailrace.commands import (
    cancel,
    check,
    demo,
    init,
    kafka_acls,
    models,
    pause,
    plan,
    preview,
    quality,
    report,
    resume,
    resync,
    run,
    sample,
    schema,
    status,
    stop,
    verify,
)
from tailrace.console import Output
from tailrace.failures import report as report_failure
from tailrace.failures import report_unexpected
from tailrace_shared import __version__
from tailrace_shared.errors import ExitCode, TailraceError


class Commands(TyperGroup):
    """Runs a command and maps what it raises."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TailraceError as error:
            raise typer.Exit(report_failure(error, Output())) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except Exception as error:
            if type(error).__module__.split(".")[0] in ("typer", "click"):
                raise
            raise typer.Exit(report_unexpected(error, Output())) from None


def create_app() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        name="tailrace",
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich",
        help="Carry production data down to lower environments, masked on the way.",
        epilog="Try it on a database of its own: [bold]tailrace demo[/bold]. Exit codes: docs/exit-codes.md.",
    )
    commands: list[tuple[str, Callable[..., None]]] = [
        ("init", init.init),
        ("plan", plan.plan),
        ("preview", preview.preview),
        ("run", run.run),
        ("status", status.status),
        ("pause", pause.pause),
        ("resume", resume.resume),
        ("resync", resync.resync),
        ("stop", stop.stop),
        ("cancel", cancel.cancel),
        ("check", check.check),
        ("verify", verify.verify),
        ("report", report.report),
        ("quality", quality.quality),
        ("demo", demo.demo),
        ("schema", schema.schema),
        ("models", models.models),
        ("sample", sample.sample),
        ("kafka-acls", kafka_acls.kafka_acls),
    ]
    for name, command in commands:
        app.command(name)(command)
    app.callback()(_root)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tailrace {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    # Libraries log what they also raise; a person reads our one line instead.
    if os.environ.get("TAILRACE_DEBUG") != "1":
        logging.getLogger().addHandler(logging.NullHandler())
