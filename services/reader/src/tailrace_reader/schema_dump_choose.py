"""Which of the source's objects a job makes in its destination. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tailrace_reader.schema_dump_entries import Entry
from tailrace_reader.schema_dump_graph import Dependencies, Edge, Key
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.create_model import SchemaObject, SourceSchema

TYPES: Final = frozenset({"TYPE", "SHELL TYPE", "DOMAIN"})
ROUTINES: Final = frozenset({"FUNCTION", "PROCEDURE", "AGGREGATE"})
OPERATORS: Final = frozenset({"OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY"})
TEXT_SEARCH: Final = frozenset(f"TEXT SEARCH {kind}" for kind in ("CONFIGURATION", "DICTIONARY", "PARSER", "TEMPLATE"))
RELATIONS: Final = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"})
PARTS: Final = frozenset(
    {"DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "INDEX", "TRIGGER", "RULE", "POLICY", "STATISTICS"}
)
KINDS: Final = frozenset(
    {"SCHEMA", "EXTENSION", "COLLATION", "CONVERSION", "CAST"}
    | TYPES | ROUTINES | OPERATORS | TEXT_SEARCH | RELATIONS | PARTS
)  # fmt: skip
"""What is made. Publications, subscriptions, event triggers, foreign servers and rights are not a table's structure."""


@dataclass(frozen=True)
class Surroundings:
    """What the source's catalogues say of the script's objects."""

    edges: Sequence[Edge] = ()
    left_out: Mapping[Key, str] = field(default_factory=dict)
    """Relations that are not carried, by name."""
    opaque: frozenset[Key] = frozenset()
    """Views that are carried as tables."""
    identities: Mapping[Key, str] = field(default_factory=dict)
    on: Mapping[Key, TableName] = field(default_factory=dict)
    """The relation that a part belongs to."""
    roles: Mapping[Key, tuple[str, ...]] = field(default_factory=dict)
    """Roles that a policy names."""
    populated: frozenset[Key] = frozenset()
    """Materialised views that hold rows, or would."""
    forced: frozenset[Key] = frozenset()
    """Tables whose policies apply to their owners."""


def choose(entries: Sequence[Entry], around: Surroundings, schemas: Collection[str], version: int = 0) -> SourceSchema:
    """All of the schemas that can be without what is left out, and what that needs elsewhere."""
    placed = {entry.key: entry for entry in entries if entry.key[0] and entry.kind in KINDS}
    graph = Dependencies(around.edges, placed.keys(), around.opaque)
    lost = graph.lost_with(around.left_out)
    roots = [key for key, entry in placed.items() if entry.schema in schemas and key not in lost]
    kept = graph.needed_by(roots)
    for key, entry in placed.items():
        if entry.kind == "CAST" and key not in lost and graph.needs_of(key) & placed.keys() <= kept:
            kept.add(key)
    chosen = [entry for key, entry in placed.items() if key in kept and key not in lost]
    return SourceSchema(
        objects=(*_objects(entries, chosen, around), *_refreshed(chosen, around)),
        lost=tuple(_lost(placed, lost, around, schemas)),
        unneeded=tuple(e.name for key, e in placed.items() if e.kind == "EXTENSION" and key not in kept),
        version=version,
    )


def _objects(entries: Sequence[Entry], chosen: Sequence[Entry], around: Surroundings) -> Iterator[SchemaObject]:
    """In the script's order; comments go with what they are about."""
    known = {entry.number: entry for entry in chosen}
    tables = {(e.schema, e.name): e for e in chosen if e.kind == "TABLE"}
    indexes = {(e.schema, _own_name(e, around)): e for e in chosen if e.kind in ("INDEX", "CONSTRAINT")}
    comments: dict[int, list[str]] = {}
    for entry in entries:
        if entry.kind == "COMMENT" and (subject := _about(entry, known)) and subject.kind != "EXTENSION":
            comments.setdefault(subject.number, []).extend(entry.statements)
    for entry in entries:
        about: Entry | None = None
        if entry.number in known:
            more = comments.get(entry.number, ())
            yield _object(entry, around, entry.key, (*entry.statements, *more))
        elif entry.kind in ("SEQUENCE OWNED BY", "ROW SECURITY"):
            about = _about(entry, known)
        elif entry.kind == "TABLE ATTACH":
            about = tables.get((entry.schema, entry.name))
        elif entry.kind == "INDEX ATTACH":
            about = indexes.get((entry.schema, entry.name))
        if about is not None:
            on = around.on.get(about.key) or TableName(schema_name=about.schema, name=about.name)
            yield SchemaObject(
                kind=entry.kind, schema_name=entry.schema, name=entry.name, on=on, statements=tuple(entry.statements)
            )


def _about(entry: Entry, known: Mapping[int, Entry]) -> Entry | None:
    return next((known[number] for number in entry.needs if number in known), None)


def _object(entry: Entry, around: Surroundings, key: Key, statements: tuple[str, ...], lost: str = "") -> SchemaObject:
    return SchemaObject(
        kind=entry.kind,
        schema_name=entry.schema,
        name=_own_name(entry, around),
        identity=around.identities.get(key, ""),
        on=around.on.get(key),
        statements=statements,
        roles=around.roles.get(key, ()),
        lost=lost,
        forces_row_security=key in around.forced,
    )


def _own_name(entry: Entry, around: Surroundings) -> str:
    """Without its table's name, which pg_dump writes before that of a part, but not of what has a name in the schema."""
    on = around.on.get(entry.key)
    prefixed = on is not None and entry.kind in PARTS - {"INDEX", "STATISTICS"}
    return entry.name.removeprefix(f"{on.name} ") if on and prefixed else entry.name


def _refreshed(chosen: Sequence[Entry], around: Surroundings) -> Iterator[SchemaObject]:
    for entry in chosen:
        if entry.kind == "MATERIALIZED VIEW" and entry.key in around.populated and entry.key not in around.opaque:
            name = TableName(schema_name=entry.schema, name=entry.name)
            refresh = f"REFRESH MATERIALIZED VIEW {around.identities[entry.key]}"
            yield SchemaObject(
                kind="REFRESH", schema_name=entry.schema, name=entry.name, on=name, statements=(refresh,)
            )


def _lost(
    placed: Mapping[Key, Entry], lost: Mapping[Key, str], around: Surroundings, schemas: Collection[str]
) -> Iterator[SchemaObject]:
    """What is worth a word: not the parts of what is lost as a whole."""
    gone = {(e.schema, e.name) for key, e in placed.items() if key in lost and e.kind in RELATIONS}
    for key, entry in placed.items():
        on = around.on.get(key)
        if key not in lost or key in around.left_out or entry.schema not in schemas:
            continue
        if on is None or (on.schema_name, on.name) not in gone:
            yield _object(entry, around, key, (), lost[key])
