"""``tailrace kafka-acls``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tailrace.commands.options import AsJson
from tailrace.console import Output
from tailrace.settings import CommandSettings
from tailrace_shared.errors import UsageError
from tailrace_shared.kafka import Kafka
from tailrace_shared.settings import kafka_settings, load_settings

User = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="PARTY=USER", help="Kafka user of a party, where it is not NAMESPACE-PARTY."),
]
Apply = Annotated[
    bool, typer.Option("--apply", help="Do it on the brokers that TAILRACE_KAFKA names, as their administrator.")
]
Passwords = Annotated[
    Path | None,
    typer.Option("--passwords", metavar="FOLDER", help="With --apply: SCRAM passwords, in files named as the parties."),
]


def kafka_acls(user: User = None, apply: Apply = False, passwords: Passwords = None, as_json: AsJson = False) -> None:
    """Print the Kafka rights of each service and of whoever operates, or set them.

    Prints lines for Kafka's own [bold]kafka-acls.sh[/bold]. With [bold]--apply[/bold] makes users and rights itself, takes
    back rights of these users in this namespace that they shall not have, and changes nothing when repeated. A user whose
    file in FOLDER has another password than before gets that one: this is how SCRAM passwords are rotated.

    Example: [bold]tailrace kafka-acls > acls.sh[/bold], or [bold]tailrace kafka-acls --apply --passwords secrets/kafka[/bold]
    """
    from tailrace import kafka_rights

    output = Output(as_json=as_json)
    namespace = load_settings(CommandSettings).namespace
    users = kafka_rights.principals(namespace, user or ())
    if not apply:
        if passwords is not None:
            raise UsageError(
                "usage.passwords",
                "--passwords without --apply has nobody to tell them to",
                "Add --apply, or leave it out.",
            )
        for line in kafka_rights.commands(users, namespace):
            if not as_json:
                typer.echo(line)
        output.data(kafka_rights.listed(users, namespace))
        return
    given = {} if passwords is None else kafka_rights.read_passwords(passwords)
    done = asyncio.run(kafka_rights.apply(Kafka(kafka_settings()), users, namespace, given))
    for party, grants in done.items():
        password = ", password set" if party in given else ""
        output.say(f"{grants.principal}: {len(grants.made)} rights made, {grants.removed} taken back{password}")
    output.data(
        {g.principal: {"made": len(g.made), "removed": g.removed, "password_set": p in given} for p, g in done.items()}
    )
