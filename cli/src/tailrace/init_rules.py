"""Which generators suit a column, best first, with the reason: what `tailrace init` proposes. Pure; the plan has the last word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from tailrace_shared.catalogue.model import Column, Table
from tailrace_shared.detect import Entity, Finding, concepts_of, role_of
from tailrace_shared.generators import (
    Constant,
    Duplicate,
    GeneratorSpec,
    Key,
    MaskDate,
    MaskHash,
    MaskNumber,
    MaskText,
    MockCity,
    MockCompany,
    MockEmail,
    MockFirstName,
    MockFullName,
    MockLastName,
    MockPhone,
    MockPostcode,
    MockStreet,
    Null,
)
from tailrace_shared.types import ColumnType, Family

Preset = Literal["deidentify", "mask", "mock"]
"""deidentify: what looks personal is mocked or masked, the rest is duplicated. mask: everything by its type. mock: mocks where
the name says what, masks elsewhere."""

MOCKS: Final[Mapping[Entity, type[GeneratorSpec]]] = {
    "first_name": MockFirstName,
    "last_name": MockLastName,
    "full_name": MockFullName,
    "email": MockEmail,
    "phone": MockPhone,
    "company": MockCompany,
    "street": MockStreet,
    "city": MockCity,
    "postcode": MockPostcode,
}
NOISE: Final[Mapping[Entity, float]] = {"birth_date": 3, "age": 3, "geo": 0.05, "street": 20}
"""Largest change of a number that stands for it: years, degrees (5 km), houses. Money changes by its own share."""
BLANKS: Final[Mapping[str, str]] = {
    "json": "{}", "jsonb": "{}", "bytea": "", "xml": "", "hstore": "", "tsvector": "", "ltree": "", "inet": "192.0.2.1",
    "cidr": "192.0.2.0/24", "macaddr": "00:00:5e:00:53:00", "macaddr8": "00:00:5e:ff:fe:00:53:00", "point": "(0,0)",
    "money": "0", "interval": "0", "timetz": "00:00+00", "circle": "<(0,0),0>",
}  # fmt: skip
"""A value that says nothing, for types without a mask; addresses are those kept for documentation (RFC 5737, RFC 7042)."""
CODES: Final = frozenset({"meta", "not", "postal"})
_CODE_WORDS: Final = re.compile(
    r"(?i)(code|iso|slug|symbol|locale|lang|currency|country|kind|type|status|unit|version)"
)
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_LIST: Final = re.compile(r"= ANY|IN \(|(?:= '[^']*'.*OR )", re.DOTALL)


class Candidate(NamedTuple):
    """A rule that may suit; ``rule`` None is left to a person."""

    rule: GeneratorSpec | None
    why: str


class Subject(NamedTuple):
    """A column to find a rule for."""

    table: Table
    column: Column
    nullable: bool
    """In the destination."""
    finding: Finding | None
    """Of the column, or of one that a key ties to it."""
    identifies: bool
    """Foreign keys refer to it, or it is a primary key alone."""
    in_key: bool
    """It is in a primary key, a unique index or a foreign key."""
    means: str | None = None
    """``schema.table.column`` of the key that it refers to by its name alone."""


def candidates(subject: Subject, preset: Preset) -> tuple[Candidate, ...]:
    """At least one, best first. What looks personal ends with a question, everything else with `duplicate`."""
    if subject.finding:
        found = _personal(subject, subject.finding, preset)
        return (*_once(found), Candidate(None, str(subject.finding)))
    return tuple(_once([*_other(subject, preset), Candidate(Duplicate(), _nothing(subject, preset))]))


def listed_values(table: Table, column: str) -> tuple[str, ...]:
    """The values to which a check of the table's definition limits the column; none where no check lists them."""
    for check in table.checks:
        if check.columns == (column,) and _LIST.search(check.definition):
            return tuple(v.replace("''", "'") for v in _LITERAL.findall(check.definition))
    return ()


def _personal(subject: Subject, finding: Finding, preset: Preset) -> list[Candidate]:
    kind, entity = subject.column.type, finding.entity
    why = str(finding)
    blank = [Candidate(rule, why) for rule in _blank(subject)]
    masks = [Candidate(rule, why) for rule in _masks(kind, entity)]
    if entity == "secret" and not subject.in_key:
        return blank + masks if subject.nullable else [Candidate(MaskHash(), why), *masks, *blank]
    if entity == "special" or listed_values(subject.table, subject.column.name):
        return [*blank, *masks]
    mock = MOCKS.get(entity)
    if kind.family == "text" and mock and preset != "mask" and finding.confidence != "low":
        masks = [Candidate(mock(generator=mock.model_fields["generator"].default), why), *masks]
    if subject.in_key and kind.family in Key.families:
        masks.append(Candidate(Key(), why))
    return masks + blank


def _masks(kind: ColumnType, entity: Entity | None) -> list[GeneratorSpec]:
    """Masks of the type, fit for what the column stands for."""
    family: Family = kind.family
    if family == "text":
        return [MaskText(), MaskHash()]
    if family in ("integer", "number", "float"):
        if entity == "special":
            return []
        if entity and entity in NOISE:
            return [MaskNumber(absolute=NOISE[entity])]
        if entity in (None, "money"):
            return [MaskNumber()]
        return [Key()] if family != "float" else [MaskNumber()]  # a number of somebody: noise would stay near it
    if family in ("date", "timestamp", "timestamptz", "time"):
        return [MaskDate()]
    return [Key()] if family == "uuid" else []


def _blank(subject: Subject) -> list[GeneratorSpec]:
    """NULL where it may be, else a value that says nothing."""
    if subject.nullable:
        return [Null()]
    kind = subject.column.type
    listed = listed_values(subject.table, subject.column.name)
    if listed and kind.family == "text":
        return [Constant(value=listed[0])]
    if kind.family == "enum" and kind.enum:
        return [Constant(value=kind.enum[0])]
    if kind.base.startswith("_"):
        return [Constant(value="{}")]
    return [Constant(value=BLANKS[kind.base])] if kind.base in BLANKS else []


def _other(subject: Subject, preset: Preset) -> Iterable[Candidate]:
    """For a column that nothing says is personal."""
    kind = subject.column.type
    if subject.means:
        yield Candidate(
            Key(domain=subject.means), f"refers to {subject.means} by its name, though no foreign key says so"
        )
    if preset == "deidentify":
        if subject.identifies and kind.family in Key.families and not _reference_code(subject):
            yield Candidate(Key(), "identifies rows")
        return
    if listed_values(subject.table, subject.column.name):
        yield Candidate(Duplicate(), "a check lists its values; nothing personal by its name")
    if subject.in_key and kind.family in Key.families:
        yield Candidate(Key(), "identifies rows" if subject.identifies else "in a key")
    for rule in _masks(kind, None):
        yield Candidate(rule, f"{kind.name}, masked by its type")
    if kind.family not in ("boolean", "enum") or subject.nullable:
        for rule in _blank(subject):
            yield Candidate(rule, f"no generator masks {kind.name}")


def _reference_code(subject: Subject) -> bool:
    """A code that means something to programs: of a country, a currency, a state of something."""
    known = frozenset[str]().union(*concepts_of(subject.column.name))
    coded = bool(_CODE_WORDS.search(subject.column.name)) or bool(known & CODES)
    return subject.column.type.family == "text" and coded and role_of(subject.table.name.name) in ("thing", "unknown")


def _nothing(subject: Subject, preset: Preset) -> str:
    if preset != "deidentify":
        return f"no mask of {subject.column.type.name} fits, and nothing personal by its name"
    return "no personal data detected by name or type"


def _once(found: Iterable[Candidate]) -> list[Candidate]:
    """Each rule once, at its first place."""
    unique: dict[str, Candidate] = {}
    for candidate in found:
        unique.setdefault(candidate.rule.model_dump_json() if candidate.rule else "", candidate)
    return list(unique.values())
