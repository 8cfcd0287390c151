"""The rights that roles of tests get: those of docs/privileges.md, word for word, and no others.

Every statement is a line of that page with names of its own; a test compares both. What a role owns it has made: the page's
``their ownership``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

Right = Literal[
    "use", "select", "bypass policies in the source", "replicate", "publish", "keep state", "build", "create in schemas", "load",
    "delete", "set sequences", "append", "replica role", "bypass policies",
]  # fmt: skip

STATEMENTS: Final[dict[Right, str]] = {
    "use": "GRANT USAGE ON SCHEMA {schema} TO {role};",
    "select": "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};",
    "bypass policies in the source": "ALTER ROLE {role} BYPASSRLS;",
    "replicate": "ALTER ROLE {role} REPLICATION;",
    "publish": "GRANT CREATE ON DATABASE {database} TO {role};",
    "keep state": "GRANT CREATE ON DATABASE {database} TO {role};",
    "build": "GRANT CREATE ON SCHEMA {schema} TO {role};",
    "create in schemas": "GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};",
    "load": "GRANT SELECT, INSERT, TRUNCATE ON {tables} TO {role};",
    "delete": "GRANT DELETE ON {tables} TO {role};",
    "set sequences": "GRANT SELECT, UPDATE ON SEQUENCE {sequences} TO {role};",
    "append": "GRANT SELECT, INSERT ON {tables} TO {role};",
    "replica role": "GRANT SET ON PARAMETER session_replication_role TO {role};",
    "bypass policies": "ALTER ROLE {role} BYPASSRLS;",
}
"""Rights of the source's role: use, select, bypass policies in the source, replicate, publish."""
OF_THE_SOURCE: Final = frozenset({"select", "bypass policies in the source", "replicate", "publish"})


def granted(
    right: Right,
    role: str,
    *,
    database: str = "",
    schema: str = "",
    tables: Iterable[str] = (),
    sequences: Iterable[str] = (),
) -> str:
    """SQL of one right. Without ``tables`` or ``sequences`` of its own it is for all of ``schema``."""
    statement = STATEMENTS[right]
    if "{sequences}" in statement and not sequences:
        statement = statement.replace("ON SEQUENCE {sequences}", "ON ALL SEQUENCES IN SCHEMA {schema}")
    if "{tables}" in statement and not tables:
        statement = statement.replace("ON {tables}", "ON ALL TABLES IN SCHEMA {schema}")
    return statement.format(
        role=role, database=database, schema=schema, tables=", ".join(tables), sequences=", ".join(sequences)
    )


def as_documented(right: Right) -> str:
    """The statement as the page on privileges has it."""
    source = right in OF_THE_SOURCE
    return STATEMENTS[right].format(
        role="tailrace_reader" if source else "tailrace_writer",
        database="shop" if source else "staging",
        schema="public" if right == "create in schemas" else "shop",
        tables="…",
        sequences="…",
    )
