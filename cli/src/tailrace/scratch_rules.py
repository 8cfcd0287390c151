"""Which generators make a column of a table that is made from nothing, best first: by its checks, its name and its type. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from tailrace.init_rules import BLANKS, MOCKS, listed_values
from tailrace_shared.catalogue.model import Column, Table
from tailrace_shared.detect import concepts_of, detect
from tailrace_shared.generators import (
    Constant,
    GeneratorSpec,
    Key,
    MakeBoolean,
    MakeChoice,
    MakeDate,
    MakeNumber,
    MakePattern,
    MakeWords,
    Mock,
    Null,
    UniqueMock,
    char_limit,
)
from tailrace_shared.generators.column import MaskColumn
from tailrace_shared.plan.check_limits import CheckLimits, column_limits
from tailrace_shared.plan.partition_bounds import covered

NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    "year": ("1990", "2024"), "month": ("1", "12"), "day": ("1", "28"), "hour": ("0", "23"), "minute": ("0", "59"),
    "age": ("18", "90"), "quantity": ("1", "10"), "qty": ("1", "10"), "count": ("0", "50"), "units": ("0", "100"),
    "percent": ("0", "100"), "rate": ("0", "20"), "discount": ("0", "1"), "score": ("0", "100"), "rating": ("1", "5"),
    "price": ("1", "200"), "cost": ("1", "200"), "amount": ("1", "500"), "total": ("1", "1000"), "balance": ("0", "5000"),
    "salary": ("20000", "120000"), "weight": ("1", "100"), "height": ("1", "200"), "length": ("30", "240"), "level": ("1", "10"),
    "lat": ("-90", "90"), "latitude": ("-90", "90"), "lon": ("-180", "180"), "lng": ("-180", "180"), "longitude": ("-180", "180"),
    "position": ("1", "20"), "line": ("1", "20"), "number": ("1", "1000"), "priority": ("1", "5"), "version": ("1", "9"),
    "duration": ("1", "30"), "size": ("1", "1000"), "stock": ("0", "500"), "flag": ("0", "1"), "active": ("0", "1"),
}  # fmt: skip
"""Usual values by a word of the name."""
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("new", "open", "done", "closed"), "state": ("new", "open", "done", "closed"), "gender": ("f", "m", "x"),
    "sex": ("f", "m"), "currency": ("EUR", "USD", "GBP", "CHF"), "language": ("en", "de", "fr", "es"),
    "locale": ("en_US", "de_DE", "fr_FR"), "country": ("Germany", "France", "Spain", "Italy", "Poland"), "unit": ("kg", "pc", "m"),
    "color": ("red", "green", "blue", "black"), "colour": ("red", "green", "blue", "black"),
}  # fmt: skip
LONG_WORDS: Final = frozenset(
    {"description", "comment", "comments", "note", "notes", "body", "text", "content", "message", "details"}
)
SHORT_WORDS: Final = frozenset({"name", "title", "label", "subject", "headline", "caption"})
CODE_WORDS: Final = frozenset(
    {"code", "sku", "isbn", "serial", "reference", "ref", "barcode", "key", "token", "slug", "iso", "symbol"}
)


class Proposal(NamedTuple):
    """A generator and why."""

    rule: GeneratorSpec
    why: str


def proposals(table: Table, column: Column, *, alone: bool, unique: bool) -> list[Proposal]:
    """At least one unless nothing makes the type. ``alone``: a unique index has this column alone; ``unique``: one has it."""
    found: list[Proposal] = []
    listed = listed_values(table, column.name)
    if listed and column.type.family == "text":
        found.append(Proposal(MakeChoice(values=listed), "a check lists its values"))
    elif column.type.family in Key.families and (alone or (unique and _numbered(column))):
        found += _keys(table, column)
    else:
        found += _by_type(table, column)
        if unique and column.type.family in ("text", "uuid"):
            found += _keys(table, column)
    if column.nullable:
        found.append(Proposal(Null(), f"nothing makes {column.type.name}"))
    else:
        found += [
            Proposal(rule, f"nothing makes {column.type.name}: one value that says nothing") for rule in _blank(column)
        ]
    return _fitting(column, found)


def _numbered(column: Column) -> bool:
    """The database itself would count here."""
    return column.type.family in ("integer", "number") and (bool(column.identity) or column.has_default)


def _keys(table: Table, column: Column) -> Iterable[Proposal]:
    if column.type.family != "text":
        yield Proposal(Key(), "unique")
        return
    mock = _mock(table, column)
    if isinstance(mock, UniqueMock):
        yield Proposal(mock, "by its name; unique")
    limit = char_limit(_mask(column))
    if limit is not None and 3 <= limit <= 6:
        yield Proposal(MakePattern(pattern="X" * limit), "unique")
    yield Proposal(Key(), "unique")


def _by_type(table: Table, column: Column) -> Iterable[Proposal]:
    family = column.type.family
    if family == "text":
        yield from _text(table, column)
    elif family in ("integer", "number", "float"):
        yield _number(table, column)
        yield Proposal(_within(MakeNumber(), column, column_limits(table, column.name)), f"{column.type.name}")
    elif family in ("date", "timestamp", "timestamptz", "time") and column.type.base != "timetz":
        yield _date(table, column)
    elif family == "boolean":
        yield Proposal(MakeBoolean(), "true or false")
    elif family == "enum" and column.type.enum:
        yield Proposal(MakeChoice(), f"the labels of {column.type.name}")
    elif family == "uuid":
        yield Proposal(Key(), "a fresh one per row")


def _mask(column: Column) -> MaskColumn:
    return MaskColumn(type=column.type, domain=column.name, family=column.type.family, max_chars=column.type.length)


def _mock(table: Table, column: Column) -> Mock | None:
    finding = detect(column, table.name.name)
    kind = MOCKS.get(finding.entity) if finding else None
    if kind is None:
        return None
    made = kind(generator=kind.model_fields["generator"].default)
    return made if isinstance(made, Mock) else None


def _text(table: Table, column: Column) -> Iterable[Proposal]:
    held = covered(table, column)
    if held and held.values:
        yield Proposal(MakeChoice(values=held.values), "the table is partitioned by it")
    if mock := _mock(table, column):
        yield Proposal(mock, "by its name")
    words = _words(column)
    for word in words:
        if word in CHOICES:
            yield Proposal(MakeChoice(values=CHOICES[word]), "by its name")
    limit = char_limit(_mask(column))
    if CODE_WORDS & words:
        yield Proposal(
            MakePattern(pattern="AAA-9999" if limit is None or limit >= 8 else "X" * max(1, limit)), "by its name"
        )
    if LONG_WORDS & words and (limit is None or limit > 60):
        yield Proposal(MakeWords(least=6, most=20), "by its name")
    if SHORT_WORDS & words:
        yield Proposal(MakeWords(least=1, most=3), "by its name")
    if limit is not None and limit < 5:
        yield Proposal(MakePattern(pattern="A" * limit), f"{column.type.name}")
    yield Proposal(MakeWords(), f"{column.type.name}")


def _number(table: Table, column: Column) -> Proposal:
    ends = next((NUMBERS[word] for word in _words(column) if word in NUMBERS), None)
    limits = column_limits(table, column.name)
    held = covered(table, column)
    if held and held.spans and held.spans[-1].low and held.spans[-1].high:
        last = held.spans[-1]
        limits = [*limits, CheckLimits(Decimal(last.low), False, Decimal(last.high), True)]
    rule = MakeNumber(low=Decimal(ends[0]), high=Decimal(ends[1])) if ends else MakeNumber()
    return Proposal(_within(rule, column, limits), "by its name" if ends else f"{column.type.name}")


def _within(rule: MakeNumber, column: Column, limits: Iterable[CheckLimits]) -> MakeNumber:
    """The range inside the column's digits and what its checks allow."""
    kind = column.type
    low, high = rule.low, rule.high
    step = Decimal(1).scaleb(-rule.digits(_mask(column)))
    if kind.family == "number" and kind.precision is not None:
        most = Decimal(10) ** (kind.precision - (kind.scale or 0)) - step
        low, high = max(low, -most), min(high, most)
    for limit in limits:
        least, most_allowed = limit.lowest(step), limit.highest(step)
        if least is not None and low < least:
            low, high = least, max(high, least)
        if most_allowed is not None and high > most_allowed:
            low, high = min(low, most_allowed), most_allowed
        if least is not None:
            low = max(low, least)
    return MakeNumber(low=low, high=max(low, high))


def _date(table: Table, column: Column) -> Proposal:
    held = covered(table, column)
    if held and held.spans and held.spans[-1].low and held.spans[-1].high:
        last = held.spans[-1]
        rule = MakeDate(low=last.low, high=last.high)
        mask = _mask(column)
        first, end = rule.ends(mask)
        return (
            Proposal(MakeDate(low=last.low, high=_before(column, end - 1)), "the table is partitioned by it")
            if end > first
            else (Proposal(MakeDate(), f"{column.type.name}"))
        )
    finding = detect(column, table.name.name)
    if finding and finding.entity == "birth_date" and column.type.family == "date":
        return Proposal(MakeDate(low="1945-01-01", high="2006-12-31"), "by its name")
    return Proposal(MakeDate(), f"{column.type.name}")


def _before(column: Column, point: int) -> str:
    """The ISO text of days or seconds since 1970."""
    if column.type.family == "date":
        return (date(1970, 1, 1) + timedelta(days=point)).isoformat()
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=point)).isoformat()
    return text if column.type.family == "timestamptz" else text.removesuffix("+00:00")


def _words(column: Column) -> set[str]:
    """Words of the name, as detection splits it, and its last part."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()
    known = frozenset[str]().union(*concepts_of(column.name)) if concepts_of(column.name) else frozenset[str]()
    return {*re.split(r"[^a-z0-9]+", snake), *known} - {""}


def _blank(column: Column) -> list[GeneratorSpec]:
    kind = column.type
    if kind.base.startswith("_"):
        return [Constant(value="{}")]
    return [Constant(value=BLANKS[kind.base])] if kind.base in BLANKS else []


def _fitting(column: Column, found: Iterable[Proposal]) -> list[Proposal]:
    """Those that the column takes, each once."""
    unique: dict[str, Proposal] = {}
    mask = _mask(column)
    for proposal in found:
        if not proposal.rule.check(mask):
            unique.setdefault(proposal.rule.model_dump_json(), proposal)
    return list(unique.values())
