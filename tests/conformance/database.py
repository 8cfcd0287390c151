"""The conformance table as databases: a table per case, and the bytes of what arrived."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal

import asyncpg

from conformance.case import SCHEMA, TypeCase
from conformance.made_types import SETUP
from tailrace_shared.types import qualified

ODD_SETTINGS: Final = {
    "source": {
        "DateStyle": "German, DMY",
        "TimeZone": "Asia/Kathmandu",
        "IntervalStyle": "sql_standard",
        "bytea_output": "escape",
        "extra_float_digits": "-5",
        "search_path": "conformance, extension, public",
    },
    "destination": {"DateStyle": "SQL, MDY", "TimeZone": "America/St_Johns", "IntervalStyle": "iso_8601", "xmloption": "document"},
}  # fmt: skip
"""Defaults of the databases that must not matter to what arrives."""
_FIXED: Final = {
    "DateStyle": "ISO, YMD", "TimeZone": "UTC", "IntervalStyle": "postgres", "extra_float_digits": "1", "search_path": "pg_catalog",
    "bytea_output": "hex",
}  # fmt: skip


def table_of(case: TypeCase) -> str:
    """The quoted name of its table."""
    return qualified(SCHEMA, f"made_{case.name}")


def odd_settings(side: str, database: str) -> str:
    """SQL that gives a database those defaults."""
    return "\n".join(
        f"ALTER DATABASE {database} SET {name} = {value if name == 'search_path' else repr(value)};"
        for name, value in ODD_SETTINGS[side].items()
    )


def setup(cases: Sequence[TypeCase]) -> str:
    """SQL for schemas, extensions and types; run by a superuser."""
    extensions = sorted({c.extension for c in cases if c.extension})
    created = "".join(f'CREATE EXTENSION "{name}" SCHEMA extension;\n' for name in extensions)
    return f"CREATE SCHEMA {SCHEMA}; CREATE SCHEMA extension;\n{created}{SETUP}"


def structure(cases: Sequence[TypeCase]) -> str:
    """SQL for the tables: the value first, where a stream begins, and last, where a line ends."""
    return "\n".join(
        f"CREATE TABLE {table_of(c)} (value {c.declared}, id integer PRIMARY KEY, last {c.declared});" for c in cases
    )


def rows(cases: Sequence[TypeCase]) -> str:
    """SQL for the rows: every value in both places, against the one after it."""
    lines = []
    for case in cases:
        values = [case.expression(v) for v in case.values]
        for number, value in enumerate(values):
            other = values[(number + 1) % len(values)]
            lines.append(f"INSERT INTO {table_of(case)} VALUES ({value}, {number}, {other});")
    return "\n".join(lines)


async def available(connection: asyncpg.Connection, cases: Sequence[TypeCase]) -> list[TypeCase]:
    """The cases that a server has."""
    version = connection.get_server_version().major
    extensions = {row[0] for row in await connection.fetch("SELECT name FROM pg_available_extensions")}
    works = {""}
    for probe in {c.probe for c in cases} - works:
        try:
            await connection.execute(probe)
            works.add(probe)
        except asyncpg.FeatureNotSupportedError:
            continue
    return [
        c for c in cases if c.since <= version and (not c.extension or c.extension in extensions) and c.probe in works
    ]


async def contents(url: str, cases: Sequence[TypeCase], format_: Literal["text", "binary"]) -> dict[str, bytes]:
    """Per case all its rows as COPY writes them; nothing for a type that has no such form."""
    connection = await asyncpg.connect(url, server_settings=_FIXED)
    found = {}
    try:
        for case in cases:
            out = io.BytesIO()
            query = f"SELECT id, value, last FROM {table_of(case)} ORDER BY id"
            with suppress(asyncpg.UndefinedFunctionError):  # a few types of extensions have no binary output
                await connection.copy_from_query(query, output=out, format=format_)
            found[case.name] = out.getvalue()
    finally:
        await connection.close()
    return found


async def differing(source: str, destination: str, cases: Sequence[TypeCase]) -> list[str]:
    """Names of the cases that did not arrive byte-equal: as text, and in binary where that is comparable."""
    wrong = []
    formats: tuple[tuple[Literal["text", "binary"], Sequence[TypeCase]], ...] = (
        ("text", cases),
        ("binary", [c for c in cases if c.binary]),
    )
    for format_, compared in formats:
        theirs = await contents(destination, compared, format_)
        for name, bytes_ in (await contents(source, compared, format_)).items():
            if bytes_ != theirs[name]:
                wrong.append(f"{name} ({format_})")
    return wrong
