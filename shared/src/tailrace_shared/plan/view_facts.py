"""What planning asks the source about views: their shape, what the job's types stand for, whether a declared key is one."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from pydantic import Field

from tailrace_shared.catalogue import queries
from tailrace_shared.catalogue.columns import column_type
from tailrace_shared.catalogue.model import Catalogue, Table
from tailrace_shared.catalogue.views import MOVING, SHAPE, VOLATILE
from tailrace_shared.errors import TerminalError
from tailrace_shared.job.spec import Job, TableRule
from tailrace_shared.types import ColumnType, Frozen, qualified, quote_ident

COUNT_MS: Final = 600_000
"""Longest time for the count that a declared key needs: an estimate would not do."""
_MODIFIED: Final = re.compile(
    r"(?P<name>[^()]+?)\s*\(\s*(?P<numbers>\d+\s*(?:,\s*-?\d+\s*)?)\)(?P<rest>(?:\s*[a-z ]+)?(?:\[\])*)"
)
"""``numeric(10, 2)``, ``timestamp(3) with time zone``, ``varchar(40)[]``."""


class ViewFacts(Frozen):
    """Answers about one view or materialised view that the job names."""

    shape: str = ""
    """Digest of what it is made of; empty of a materialised view, which has a heap."""
    moving: bool = False
    """Its definition depends on the moment or the session of reading."""
    unfilled: tuple[str, ...] = ()
    """Materialised views, this one or below it, that were made WITH NO DATA: reading them fails."""
    volatile: tuple[str, ...] = ()
    """Functions below it that are volatile, or lack a better label."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """By column, what the job's types are."""
    casts: dict[str, str] = Field(default_factory=dict)
    """By column, the type as SQL."""
    unknown_types: tuple[str, ...] = ()
    """Columns whose type in the job is none of the source's."""
    repeated: int | None = None
    """Groups of rows that are alike in the declared key, or have a NULL in it; None where that could not be counted."""
    unreadable: str = ""
    """What the source answers to reading it, in words that hold no value; empty where it can be read."""
    rows: float = -1
    """The source's estimate, −1 where there is none."""
    bytes: int = 0
    """Estimated, of all rows."""


Ask = Callable[..., Awaitable[Any]]
"""A question with its parameters, its longest time as ``limit_ms``, and ``row=True`` for a whole row: the answer, or None."""


async def view_facts(ask: Ask, rule: TableRule, table: Table) -> ViewFacts:
    """All that planning wants to know of one view."""
    name = qualified(table.name.schema_name, table.name.name)
    found: dict[str, Any] = {}
    shape = await ask(SHAPE, table.oid, MOVING, row=True)
    if shape is not None:
        found["unfilled"] = tuple(shape["unfilled"] or ())
    if table.kind == "v":
        if shape is not None:
            found |= {"shape": shape["shape"], "moving": shape["moving"]}
        found["volatile"] = tuple(await ask(VOLATILE, table.oid) or ())
    types = {c: await _known_type(ask, text) for c, text in rule.types.items() if table.column(c)}
    known = {c: answer for c, answer in types.items() if answer is not None}
    found["types"] = {c: answer[0] for c, answer in known.items()}
    found["casts"] = {c: answer[1] for c, answer in known.items()}
    found["unknown_types"] = tuple(sorted(set(types) - set(known)))
    try:
        explained = await ask(f"EXPLAIN (FORMAT JSON) SELECT * FROM {name}", raises=True)
    except TerminalError as error:
        return ViewFacts(unreadable=error.message, **found)
    if explained is not None:
        plan = json.loads(explained)[0]["Plan"]
        found |= {"rows": float(plan["Plan Rows"]), "bytes": int(plan["Plan Rows"] * plan["Plan Width"])}
    if rule.key and all(table.column(c) for c in rule.key):
        with suppress(TerminalError):  # a type without equality, or a value that its cast does not take
            found["repeated"] = await ask(_repeated(name, rule.key, found["casts"]), limit_ms=COUNT_MS)
    return ViewFacts(**found)


def views_of(job: Job, source: Catalogue) -> list[tuple[Table, TableRule]]:
    """The views that the job names exactly, with their entries."""
    return [
        (table, rule)
        for table in source.tables
        if table.kind in ("v", "m")
        and table.name.schema_name in job.schemas
        and (rule := job.tables.get(str(table.name)))
        and rule.mode in ("carry", "duplicate")
    ]


def _repeated(name: str, key: tuple[str, ...], casts: dict[str, str]) -> str:
    columns = [f"CAST({quote_ident(c)} AS {casts[c]})" if c in casts else quote_ident(c) for c in key]
    nulls = " OR ".join(f"({c}) IS NULL" for c in columns)
    numbers = ", ".join(str(place) for place in range(1, len(columns) + 1))
    return (
        f"SELECT count(*) FROM (SELECT {', '.join(columns)} FROM {name} GROUP BY {numbers} "
        f"HAVING count(*) > 1 OR {nulls}) repeated"
    )


async def _known_type(ask: Ask, text: str) -> tuple[ColumnType, str] | None:
    try:
        return await _type_of(ask, text)
    except TerminalError:  # what is no type's text at all is a syntax error
        return None


async def _type_of(ask: Ask, text: str) -> tuple[ColumnType, str] | None:
    """What a type's text means to the source, and the type as SQL; None where it means nothing."""
    modified = _MODIFIED.fullmatch(text.strip())
    plain = modified["name"] + modified["rest"] if modified else text
    row = await ask(
        "SELECT t.oid::int8 AS oid, t.typmodin::oid <> 0 AS modified, t.typmodin::regproc::text AS modify, "
        "t.typtype::text AS kind FROM pg_catalog.pg_type t WHERE t.oid = pg_catalog.to_regtype($1)",
        plain, row=True,
    )  # fmt: skip
    if row is None or row["kind"] == "p" or (modified and not row["modified"]):
        return None
    modifier = -1
    if modified:
        numbers = "{" + modified["numbers"].replace(" ", "") + "}"
        modifier = await ask(f"SELECT {row['modify']}($1::text::cstring[])", numbers)
        if modifier is None:
            return None
    types = await ask(queries.TYPES, [row["oid"]], rows=True)
    name = await ask("SELECT pg_catalog.format_type($1::oid, $2::int4)", row["oid"], modifier)
    column = {"type": row["oid"], "modifier": modifier, "type_name": name, "nondeterministic": False}
    return column_type(column, {t["oid"]: t for t in types}), name
