"""Print docs/postgresql.md: ``PYTHONPATH=tests python -m conformance.page > docs/postgresql.md``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final

from conformance.case import TypeCase
from conformance.cases import NO_INPUT, SCALARS
from conformance.features import FEATURES
from tailrace_shared.catalogue.columns import FAMILIES
from tailrace_shared.generators.registry import GENERATORS
from tailrace_shared.plan.copy import JSON, TEXTS
from tailrace_shared.types import ColumnType

SHORT: Final = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8", "boolean": "bool",
    "character varying": "varchar", "character": "bpchar", '"char"': "char", "time with time zone": "timetz",
}  # fmt: skip
"""``typname`` of what SQL calls otherwise."""
BASES: Final = {
    "conformance.positive": "int4", "conformance.small_positive": "int4", "conformance.short_text": "varchar",
    "conformance.amount": "numeric(12,2)", "conformance.moment": "timestamptz", "conformance.mood": "enum",
}  # fmt: skip
"""What the table's own domains and enums are over."""

HEAD: Final = """\
# PostgreSQL

What of PostgreSQL 14 to 18 Tailrace carries, and how. This page is made from the tests: every type below is carried with its edge
values through the whole pipeline and compared byte by byte, as text and in binary, on every server that has it; every feature is
part of a schema that is drafted, planned, run and verified (`make test`; `make test-versions` does it on servers of 14 to 18).
"""


def rendered() -> str:
    """The whole page."""
    return "\n".join([HEAD, "## Features", "", *_features(), "", "## Types", "", *_types()])


def _features() -> Iterable[str]:
    area = ""
    for feature in FEATURES:
        if feature.area != area:
            yield from (("",) if area else ())
            area = feature.area
            yield from (f"### {area.capitalize()}", "", "| feature | supported | how |", "|---|---|---|")
        yield f"| {feature.name} | {feature.supported} | {feature.how} |"


def _types() -> Iterable[str]:
    yield (
        "*Typed*: as an Arrow type, where every value of a batch fits it; a batch with one that does not (`infinity`, BC, "
        "`24:00`, `NaN`) carries\nthe column as text, and masks are the same either way. *Binary* and *CSV*: how COPY takes it in; "
        "a table with one CSV column goes as CSV."
    )
    yield from ("", "| type | on Kafka | COPY | masked by | note |", "|---|---|---|---|---|")
    for case in SCALARS:
        base = base_of(case)
        yield (
            f"| `{shown(case)}` | {'typed' if base.wire != 'text' else 'text'} | {_copied(case, base)} | {_masks(base)} "
            f"| {_note(case)} |"
        )
    yield (
        "| arrays of all of these | text | CSV | | any dimensions and lower bounds, NULL and empty ones |\n\n"
        "Every type can be duplicated, set to NULL or to a constant. Types that no server takes from outside, and so no table "
        "can hold:\n" + ", ".join(f"`{name}` ({why})" for name, why in NO_INPUT.items()) + "."
    )


def shown(case: TypeCase) -> str:
    """The type's name for readers."""
    name = re.sub(r"^(conformance|extension)\.", "", case.declared)
    return f"{case.name.replace('_', ' ')}" if case.group == "made by users" else name


def base_of(case: TypeCase) -> ColumnType:
    """The column type as the catalogue reads it, as far as its way depends on it."""
    declared = BASES.get(case.declared, case.declared)
    name, _, limits = declared.partition(" COLLATE")[0].partition("(")
    base = SHORT.get(name.strip(), name.strip()).removeprefix("extension.")
    base = "interval" if base.startswith("interval ") else base
    numbers = [int(n) for n in limits.rstrip(")").split(",")] if limits and base == "numeric" else []
    return ColumnType(
        name=declared,
        base=base,
        family="enum" if base == "enum" else FAMILIES.get(base, "other"),
        precision=numbers[0] if numbers else None,
        scale=numbers[1] if len(numbers) > 1 else None,
    )


def _copied(case: TypeCase, base: ColumnType) -> str:
    binary = base.wire != "text" or base.base in TEXTS | JSON or base.family == "enum"
    return "binary" if binary else "CSV"


def _masks(base: ColumnType) -> str:
    fitting = [n for n, spec in GENERATORS.items() if spec.from_value and spec.masks and base.family in spec.families]
    names = [n for n in fitting if n not in ("null", "constant") and not n.startswith(("mock.", "make."))]
    mocks = ["mock.*"] if any(n.startswith("mock.") for n in fitting) else []
    return ", ".join(f"`{n}`" for n in (*names, *mocks))


def _note(case: TypeCase) -> str:
    since = f"{case.since} and above" if case.since > 14 else ""
    extension = f"extension `{case.extension}`" if case.extension else ""
    return "; ".join(part for part in (extension, since, case.note) if part)


if __name__ == "__main__":
    sys.stdout.write(rendered())
