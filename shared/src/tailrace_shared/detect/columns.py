"""Which personal data a column may hold, by its name, its type and its table's name. No row is read.

Rules are tried in order, the most telling first; one that names a person's number comes before one that names a number. A
column that no rule fits is not thereby harmless: detection is a first draft, and somebody reviews it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from tailrace_shared.detect.entities import Confidence, Entity, Finding
from tailrace_shared.detect.names import Concepts, Role, concepts_of, role_of
from tailrace_shared.detect.surroundings import qualified_words, surroundings
from tailrace_shared.types import ColumnType, Family

TEXT: Final = frozenset({"text"})
NUMBERS: Final = frozenset({"integer", "number", "float"})
DATES: Final = frozenset({"date", "timestamp", "timestamptz"})
CODES: Final = TEXT | {"integer", "number", "uuid"}
"""Families in which an identifier is kept."""
TEXT_ARRAYS: Final = frozenset({"_text", "_varchar", "_bpchar", "_citext"})
CONTAINERS: Final = frozenset({"json", "jsonb", "xml", "hstore", "bytea", "tsvector"})
PLACES: Final = frozenset({"point", "geometry", "geography"})
ALL_ROLES: Final[frozenset[Role]] = frozenset({"person", "company", "thing", "unknown"})
NARROW_CHARS: Final = 24
"""Free text does not fit into fewer."""


class Named(Protocol):
    """A column of a catalogue, or of a plan."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> ColumnType: ...


@dataclass(frozen=True)
class Rule:
    """Fits where every group of ``needs`` has a concept in the name, ``never`` has none, and the type is of ``families``."""

    entity: Entity
    confidence: Confidence
    families: frozenset[str]
    needs: tuple[frozenset[str], ...]
    never: frozenset[str]
    roles: frozenset[Role]
    """Of the table."""
    alone: bool
    """The name has no word beside these and the ones that address (billing, home, primary)."""

    def fits(self, concepts: frozenset[str], words: Concepts, family: str, role: Role) -> bool:
        """Whether the rule speaks of a column."""
        if family not in self.families or role not in self.roles:
            return False
        if concepts & self.never or not all(concepts & group for group in self.needs):
            return False
        asked = frozenset[str]().union(*self.needs) | {"addressing", "by", "number"}
        return not self.alone or all(word & asked for word in words)


def _rule(
    entity: Entity,
    confidence: Confidence,
    families: Iterable[str],
    needs: tuple[str, ...],
    never: str = "",
    roles: Iterable[Role] = ALL_ROLES,
    alone: bool = False,
) -> Rule:
    """A rule from its line: groups and vetoes are words separated by blanks."""
    groups = tuple(frozenset(group.split()) for group in needs)
    return Rule(entity, confidence, frozenset(families), groups, frozenset(never.split()), frozenset(roles), alone)


_META = "meta not is"
RULES: Final[tuple[Rule, ...]] = (
    _rule("card", "high", CODES, ("cvv",), "meta not"),
    _rule("full_name", "high", TEXT, ("holder",), "meta not number"),
    _rule("bank_account", "high", CODES, ("iban",), _META),
    _rule("card", "medium", CODES, ("card", "number bank credit card"), f"{_META} holder thing id"),
    _rule("national_id", "high", CODES, ("ssn",), _META),
    _rule("national_id", "high", CODES, ("national identity social tax insurance driver licence", "number security id"),
         f"{_META} thing company"),
    _rule("national_id", "high", CODES, ("driver", "licence"), _META),
    _rule("national_id", "medium", CODES, ("national", "identity"), _META),
    _rule("national_id", "medium", CODES, ("vat", "number id"), _META),
    _rule("national_id", "medium", TEXT, ("vat",), _META, alone=True),
    _rule("device", "medium", TEXT, ("user", "agent"), _META),
    _rule("device", "medium", CODES | {"other"}, ("device mac",), "meta not"),
    _rule("device", "medium", CODES, ("devices", "id"), f"{_META} thing"),
    _rule("device", "medium", CODES, ("licence driver", "plate"), _META),
    _rule("device", "low", TEXT, ("plate",), _META, alone=True),
    _rule("secret", "high", TEXT | {"bytes", "other", "uuid", "integer"}, ("password",), "meta not postal"),
    _rule("secret", "high", TEXT | {"bytes", "other", "uuid"}, ("secret",), "meta not"),
    _rule("secret", "high", TEXT | {"bytes", "uuid"}, ("api access private refresh", "id secret"), "meta not"),
    _rule("secret", "medium", TEXT | {"bytes", "uuid"}, ("session", "id hash"), "meta not thing"),
    _rule("secret", "medium", CODES, ("pin",), "meta not postal", alone=True),
    _rule("email", "high", TEXT, ("email",), "meta not is description message note id url thing"),
    _rule("email", "medium", TEXT, ("email",), "meta not is message id"),
    _rule("ip", "high", TEXT | {"other"}, ("ip",), "not is"),
    _rule("phone", "high", CODES - {"uuid"}, ("phone",), "meta not is id code thing"),
    _rule("phone", "high", CODES - {"uuid"}, ("mobile", "number phone"), "meta not is id code"),
    _rule("phone", "medium", CODES - {"uuid"}, ("mobile",), "meta not is id code url thing", alone=True),
    _rule("birth_date", "high", DATES | TEXT | {"integer", "number"}, ("birth",), "meta not city name last is thing street"),
    _rule("birth_date", "medium", DATES | TEXT, ("death",), "meta not city is thing"),
    _rule("city", "high", TEXT, ("birth", "city thing"), _META),
    _rule("last_name", "high", TEXT, ("birth", "name"), _META),
    _rule("user_name", "high", TEXT | {"integer"}, ("username",), "meta not is thing ip url"),
    _rule("user_name", "high", TEXT, ("user", "name"), "meta not is thing full display first last middle"),
    _rule("user_name", "medium", TEXT, ("nick",), "meta not is thing file"),
    _rule("first_name", "high", TEXT, ("first middle", "name initial"), f"{_META} thing last"),
    _rule("last_name", "high", TEXT, ("last", "name"), f"{_META} thing first"),
    _rule("full_name", "high", TEXT, ("first", "last", "name"), f"{_META} thing"),
    _rule("first_name", "medium", TEXT, ("initial",), _META, alone=True),
    _rule("last_name", "medium", TEXT, ("last",), _META, roles=("person",), alone=True),
    _rule("first_name", "medium", TEXT, ("first",), _META, roles=("person",), alone=True),
    _rule("special", "high", TEXT | {"enum", "integer", "other"}, ("special",), "not is id url message"),
    _rule("money", "high", NUMBERS | TEXT | {"other"}, ("salary",), "meta not is id thing"),
    _rule("money", "medium", NUMBERS, ("credit", "score"), "meta not"),
    _rule("age", "medium", frozenset({"integer", "number"}), ("age",), "meta not", alone=True),
    _rule("age", "medium", frozenset({"integer", "number"}), ("age", "person user"), "meta not"),
    _rule("geo", "high", NUMBERS | TEXT | {"other"}, ("geo",), "not is id"),
    _rule("postcode", "high", TEXT | {"integer", "number"}, ("postcode",), _META),
    _rule("postcode", "high", TEXT | {"integer", "number"}, ("postal", "code"), _META),
    _rule("company", "high", TEXT, ("company", "name"), "meta not is id code url person"),
    _rule("street", "high", TEXT, ("street",), "meta not is id thing"),
    _rule("street", "high", TEXT, ("address",), "meta not is id ip mac url city thing name code"),
    _rule("street", "medium", TEXT, ("address", "name"), _META),
    _rule("street", "medium", TEXT | {"integer"}, ("house",), "meta not is id thing", alone=True),
    _rule("street", "medium", TEXT, ("line",), _META, alone=True),
    _rule("city", "high", TEXT, ("city",), "meta not is id code thing person", roles=("person", "company", "unknown")),
    _rule("city", "high", TEXT, ("address addressing", "city"), _META),
    _rule("company", "medium", TEXT, ("company",), "meta not is id code url number", alone=True),
    _rule("picture", "high", TEXT | {"bytes", "other"}, ("picture",), "meta not is id"),
    _rule("picture", "medium", TEXT | {"bytes"}, ("photo",), "meta not is id", roles=("person",)),
    _rule("url", "medium", TEXT, ("url", "person user profile"), "meta not is id"),
    _rule("url", "medium", TEXT, ("url",), "meta not is id", roles=("person", "company")),
    _rule("full_name", "high", TEXT, ("person user addressing full display", "name"), f"{_META} thing id"),
    _rule("full_name", "high", TEXT, ("name",), f"{_META} thing id code city url", roles=("person",)),
    _rule("company", "medium", TEXT, ("name",), f"{_META} thing id code city url", roles=("company",)),
    _rule("free_text", "medium", TEXT | {"other"}, ("note review",), "meta not is id"),
    _rule("free_text", "medium", TEXT | {"other"}, ("message",), "meta not is id"),
    _rule("free_text", "medium", TEXT | {"other"}, ("description",), "meta not is id", roles=("person",)),
    _rule("full_name", "medium", TEXT, ("person user",), "meta not is id code url number thing street city", alone=True),
    _rule("full_name", "medium", TEXT, ("by",), "is id code url"),
    _rule("free_text", "low", TEXT, ("description",), "meta not is id", roles=("unknown", "company")),
    _rule("full_name", "low", TEXT, ("name",), f"{_META} thing id code city url devices", roles=("unknown",)),
    _rule("free_text", "medium", TEXT, ("addressee",), "is id code url", alone=True),
    _rule("user_name", "medium", TEXT, ("outer",), f"{_META} thing url", roles=("person",)),
    _rule("user_name", "medium", TEXT, ("directory", "id name"), "is thing url"),
    _rule("free_text", "low", TEXT, ("payload",), "not is id code url"),
)  # fmt: skip
PERSONAL_TABLES: Final[tuple[Rule, ...]] = (
    _rule("full_name", "high", TEXT, ("card bank", "name"), f"{_META} id code url"),
    _rule("card", "high", CODES, ("card", "number"), f"{_META} id"),
)
"""Tried on a column after its table's name, where that says what the column's does not: ``number`` of a bank card."""
BESIDE_PEOPLE: Final[tuple[Rule, ...]] = (_rule("free_text", "low", TEXT, ("search",), "is id url code"),)
"""Of a table with personal columns: what is put together from them."""


def detect(column: Named, table: str, beside: Iterable[str] = ()) -> Finding | None:
    """What a column of a table of that name may hold of a person; None where nothing says so.

    ``beside``: the names of all columns of the table. What only they say is of low confidence.
    """
    family = _family(column.type)
    if family == "boolean":
        return None
    words, role = concepts_of(column.name), role_of(table)
    found = _by_rules(RULES, words, family, role, column.type)
    if found:
        return Finding(found.entity, found.confidence, _reason(found, column, role, table))
    if family in TEXT and words and words[-1] & {"email"} and not concepts_of(column.name)[0] & {"is"}:
        return Finding("email", "low", f'named "{column.name}"')  # whatever stands before: notified_event_emails
    return _by_table(column, family, table) or _by_neighbours(column, family, role, beside) or _by_type(column.type)


def _by_rules(rules: Iterable[Rule], words: Concepts, family: str, role: Role, kind: ColumnType) -> Rule | None:
    """The first that fits."""
    concepts = frozenset[str]().union(*words)
    for rule in rules:
        if rule.fits(concepts, words, family, role) and not (rule.entity == "free_text" and _narrow(kind)):
            return rule
    return None


def _by_table(column: Named, family: str, table: str) -> Finding | None:
    """By the table's name before the column's."""
    words = qualified_words(column.name, table)
    found = _by_rules((*PERSONAL_TABLES, *RULES), words, family, "thing", column.type) if words else None
    return Finding(found.entity, found.confidence, f'named "{column.name}" in "{table}"') if found else None


def _by_neighbours(column: Named, family: str, role: Role, beside: Iterable[str]) -> Finding | None:
    """In a table of things whose columns say that its rows are somebody's."""
    around = surroundings(beside)
    if not around.marks:
        return None
    words = concepts_of(column.name)
    rules = [*BESIDE_PEOPLE]
    if role in ("thing", "unknown"):
        rules += RULES if "person" in around.marks else [rule for rule in RULES if rule.entity == "city"]
    found = _by_rules(rules, words, family, "person", column.type)
    return Finding(found.entity, "low", f'named "{column.name}" beside "{around.by}"') if found else None


def _family(kind: ColumnType) -> Family:
    """An array of texts is looked at as the texts that it holds."""
    return "text" if kind.base in TEXT_ARRAYS else kind.family


def _narrow(kind: ColumnType) -> bool:
    return kind.length is not None and kind.length < NARROW_CHARS


def _reason(rule: Rule, column: Named, role: Role, table: str) -> str:
    told = f'named "{column.name}"'
    if rule.roles != ALL_ROLES and role != "unknown":
        return f'{told} in "{table}"'
    return told


def _by_type(kind: ColumnType) -> Finding | None:
    if kind.base in ("inet", "macaddr", "macaddr8"):
        return Finding("ip" if kind.base == "inet" else "device", "medium", f"of type {kind.base}")
    if kind.base in PLACES:
        return Finding("geo", "medium", f"of type {kind.base}")
    if kind.base in CONTAINERS:
        return Finding("container", "low", f"of type {kind.base}")
    return None
