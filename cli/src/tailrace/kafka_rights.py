"""Kafka's rights in words, as commands of Kafka's own tool, and as what was done on the brokers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from tailrace_shared.errors import UsageError
from tailrace_shared.kafka import Kafka
from tailrace_shared.kafka.access import Grants
from tailrace_shared.rights import PARTIES, Party, Right, rights_of

PASSWORD_CHARS_MIN = 16
"""A shorter one can be guessed by whoever has seen a login; `openssl rand -base64 24` gives 32 characters."""


def principals(namespace: str, given: Iterable[str]) -> dict[Party, str]:
    """Users by party: ``<namespace>-<party>``, unless ``party=user`` says otherwise."""
    users: dict[Party, str] = {party: f"{namespace}-{party}" for party in PARTIES}
    known: Mapping[str, Party] = {party: party for party in PARTIES}
    for text in given:
        party, _, user = text.partition("=")
        if party not in known or not user:
            raise UsageError(
                "usage.user",
                f"--user {party}=… names no party and its user",
                f"Write one of {', '.join(PARTIES)}, an equals sign, and the name of a Kafka user.",
            )
        users[known[party]] = user
    if len(set(users.values())) < len(users):
        raise UsageError(
            "usage.user", "two parties have the same Kafka user", "Give each its own: their rights exclude each other."
        )
    return users


def commands(users: Mapping[Party, str], namespace: str) -> list[str]:
    """Lines for a shell: ``kafka-acls.sh`` with the options of ``$KAFKA_ADMIN``, one line per party and name."""
    lines = []
    for party, user in users.items():
        lines.append(f"# {party}")
        rights = rights_of(party, namespace)
        for (resource, name, prefixed), same in groupby(rights, key=lambda r: (r.resource, r.name, r.prefixed)):
            operations = " ".join(f"--operation {right.operation}" for right in same)
            pattern = "prefixed" if prefixed else "literal"
            lines.append(
                f"kafka-acls.sh $KAFKA_ADMIN --add --allow-principal {shlex.quote(f'User:{user}')} {operations} "
                f"--{resource} {name} --resource-pattern-type {pattern}"
            )
    return lines


def listed(users: Mapping[Party, str], namespace: str) -> dict[str, list[dict[str, str]]]:
    """The same for programs: principal → rights."""
    return {f"User:{user}": [_plain(right) for right in rights_of(party, namespace)] for party, user in users.items()}


async def apply(
    kafka: Kafka, users: Mapping[Party, str], namespace: str, passwords: Mapping[Party, str]
) -> dict[Party, Grants]:
    """Make it so on the brokers: users with passwords first, then every party's rights. Raises as ``Access`` does."""
    async with kafka.access() as access:
        for party, password in passwords.items():
            await access.set_password(users[party], password)
        return {
            party: await access.grant(f"User:{user}", rights_of(party, namespace), namespace)
            for party, user in users.items()
        }


def read_passwords(folder: Path) -> dict[Party, str]:
    """Passwords from files that are named as the parties are; a party without a file keeps what it has.

    Raises UsageError for a file that cannot be read or is too short, and where there is none.
    """
    found: dict[Party, str] = {}
    for party in PARTIES:
        path = folder / party
        try:
            password = path.read_text("utf-8").rstrip("\r\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "secret.file", f"{path} cannot be read ({type(error).__name__})", "Check the path and its mode."
            ) from None
        if len(password) < PASSWORD_CHARS_MIN:
            raise UsageError(
                "secret.too-short",
                f"the password in {path} has fewer than {PASSWORD_CHARS_MIN} characters",
                "Take a random one: openssl rand -base64 24",
            )
        found[party] = password
    if not found:
        raise UsageError(
            "secret.file", f"{folder} has no file of a party", f"Name files as the parties: {', '.join(PARTIES)}."
        )
    return found


def _plain(right: Right) -> dict[str, str]:
    pattern = "prefixed" if right.prefixed else "literal"
    return {"resource": right.resource, "name": right.name, "pattern": pattern, "operation": right.operation}
