"""Checks and partitions that only the destination has, as questions to the source.

A definition is the destination's word, and what is asked runs in the source, with its reader's rights: only what compares, computes
and calls PostgreSQL's own harmless functions is taken over. The rest is left to the load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tailrace_shared.catalogue.model import CheckConstraint, Partition, Table
from tailrace_shared.types import qualified

_WORDS: Final = (
    "check and or not in any all array is between like ilike when then else end case row "
    "lower upper length char_length character_length octet_length abs sign btrim ltrim rtrim trim coalesce nullif greatest least "
    "round floor ceil ceiling trunc mod date_part extract date_trunc left right position strpos starts_with split_part "
    "lower_inf upper_inf isempty num_nonnulls num_nulls cardinality array_length jsonb_typeof json_typeof isfinite "
    "numeric varchar char character varying bit interval time timestamp decimal bpchar"
)
_CALLABLE: Final = frozenset(_WORDS.split())
"""Words that may stand before a parenthesis: operators and types, and functions that look at nothing but their arguments."""
_NOT_CODE: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_CALL: Final = re.compile(r"([\w$.]+)\s*\(")


def check_demand(table: object, check: CheckConstraint) -> str:
    """Name of the fact how many rows break a check of the destination."""
    return f"{table} check {check.name}"


def partition_demand(table: object) -> str:
    """Name of the fact how many rows have no partition in the destination."""
    return f"{table} partitions"


def enforced(check: CheckConstraint) -> bool:
    """Whether PostgreSQL looks at the rows that come in."""
    return "NOT ENFORCED" not in check.definition


def meaning(check: CheckConstraint) -> tuple[str, bool, frozenset[str]]:
    """What it says, whatever its name. One that was added NOT VALID still holds for every row that is loaded."""
    definition = check.definition.replace(" NOT VALID", "").replace(" NO INHERIT", "")
    return definition, bool(check.domain), frozenset(check.columns)


def only_there(source: Table, destination: Table) -> Iterable[CheckConstraint]:
    """Checks of the destination that the source does not guarantee."""
    known = {meaning(check) for check in source.checks if "NOT VALID" not in check.definition and enforced(check)}
    return (check for check in destination.checks if enforced(check) and meaning(check) not in known)


def check_question(source: Table, destination: Table, check: CheckConstraint) -> str | None:
    """How many rows of the source break it; None where that is not to be asked."""
    definition = None if check.domain else askable(check, source, destination)
    if definition is None:
        return None
    return f"SELECT count(*) FROM {_rows_of(source)} WHERE NOT {definition.removeprefix('CHECK ')}"


def askable(check: CheckConstraint, source: Table, destination: Table) -> str | None:
    """The check's definition, if it may be asked of the source and means the same there; of whole rows nothing is asked."""
    definition, _, columns = meaning(check)
    if not columns or not definition.startswith("CHECK (") or not _harmless(definition):
        return None
    return definition if _same_types(columns, source, destination) else None


def placeless(source: Table, destination: Table) -> list[Partition]:
    """Partitions of the source that hold something and have no counterpart; all of them where the keys are not the same."""
    same = source.partition_columns == destination.partition_columns
    there = {partition.bounds for partition in destination.partitions} if same else set()
    return [p for p in source.partitions if p.pages and p.bounds not in there]


def partition_question(source: Table, destination: Table) -> str | None:
    """How many rows of the source have no partition in the destination; None where that is not to be asked, or is clear."""
    if destination.kind != "p" or not destination.bounded_columns or source.kind not in "rp":
        return None
    if source.kind == "p" and not placeless(source, destination):
        return None
    taken = [partition.takes for partition in destination.partitions]
    if not all(taken) or not all(map(_harmless, taken)):
        return None
    if not _same_types(destination.partition_columns, source, destination):
        return None
    return f"SELECT count(*) FROM {_rows_of(source)} WHERE ({' OR '.join(taken) or 'false'}) IS NOT TRUE"


def _same_types(columns: Iterable[str], source: Table, destination: Table) -> bool:
    for name in columns:
        ours, theirs = source.column(name), destination.column(name)
        if ours is None or theirs is None or ours.type.name != theirs.type.name or ours.loose or theirs.loose:
            return False
    return True


def _rows_of(table: Table) -> str:
    only = "ONLY " if table.kind == "r" and table.inherited_by else ""
    return f"{only}{qualified(table.name.schema_name, table.name.name)}"


def _harmless(definition: str) -> bool:
    """Quoted names and words before a parenthesis could be anything, and so could operators of other schemas."""
    code = _NOT_CODE.sub(lambda found: "''" if found.group().startswith("'") else '"x"', definition)
    calls = (found.group(1).lower() for found in _CALL.finditer(code))
    return (
        '"x"(' not in code.replace(" ", "")
        and ".*" not in code
        and all(call in _CALLABLE for call in calls)
        and ";" not in code
    )
