"""Entities and their events: which tables of a job belong together, and why they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import MakeReference
from tailrace_shared.job.spec import Train
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import Family

KEYS: frozenset[Family] = frozenset({"integer", "text", "uuid"})
"""Of entities: equal values have equal texts, by which both tables are sampled alike."""


@dataclass(frozen=True)
class EventPair:
    """Two tables that are learned together."""

    entity: TableName
    events: TableName
    link: Link
    order: str | None
    length_max: int

    @property
    def key(self) -> str:
        """The entities' column that events refer to."""
        return self.link.referenced[0]

    @property
    def foreign_key(self) -> str:
        """The events' column."""
        return self.link.columns[0]


def pairs_of(
    scope: Mapping[TableName, ScopedTable], links: Sequence[Link], problems: Problems
) -> dict[TableName, EventPair]:
    """The pairs of a job by their events; what cannot be one is a problem."""
    found: dict[TableName, EventPair] = {}
    for scoped in scope.values():
        if scoped.sequence is None:
            continue
        pair = _pair(scoped, scope, links, problems)
        if pair is None:
            continue
        other = next((known for known in found.values() if known.entity == pair.entity), None)
        if other is not None:
            problems.error(
                "sequence-entity", scoped.name, f"{pair.entity} is learned together with {other.events} already",
                "Give one of the two no sequence: its rows then refer to entities by make.reference.",
            )  # fmt: skip
            continue
        found[scoped.name] = pair
    for pair in found.values():
        _check_uses(pair, links, scope, problems)
    return found


def _pair(
    scoped: ScopedTable, scope: Mapping[TableName, ScopedTable], links: Sequence[Link], problems: Problems
) -> EventPair | None:
    asked = scoped.sequence
    assert asked is not None
    if scoped.mode != "synthesize":
        problems.error(
            "sequence-mode", scoped.name, f"it has a sequence and the mode {scoped.mode}: only what is learned has events",
            "Give it the mode synthesize, or remove its sequence.",
        )  # fmt: skip
        return None
    entity = next((other for name, other in scope.items() if str(name) == asked.entity), None)
    problem = _no_entity(scoped, entity, asked.entity)
    if problem or entity is None:
        problems.error("sequence-entity", scoped.name, problem, "Name a synthetic table that this one refers to.")
        return None
    if scoped.asked is not None:
        problems.error(
            "sequence-rows", scoped.name, "how many events there are is drawn for each entity",
            f"Remove its rows; those of {entity.name} say how many entities there are.",
        )  # fmt: skip
    _check_trains(scoped, entity, problems)
    ties = [
        link
        for link in links
        if (link.child, link.parent) == (scoped.name, entity.name) and asked.by in (None, *link.columns)
    ]
    link = _link(scoped, entity, ties, problems)
    return None if link is None else EventPair(entity.name, scoped.name, link, asked.order, asked.length_max)


def _no_entity(scoped: ScopedTable, entity: ScopedTable | None, asked: str) -> str:
    if entity is None:
        return f"its entity {asked} takes no part in the job"
    if entity.mode != "synthesize":
        return f"its entity {asked} has the mode {entity.mode}, and both have to be learned"
    if entity is scoped:
        return "it is its own entity"
    return f"its entity {asked} is itself a table of events" if entity.sequence is not None else ""


def _link(scoped: ScopedTable, entity: ScopedTable, ties: Sequence[Link], problems: Problems) -> Link | None:
    """The foreign key by which events belong to entities."""
    remedy = (
        f"Declare it under foreign_keys, or let {entity.name} and {scoped.name} be learned apart: remove the sequence."
    )
    if len(ties) != 1:
        what = "no foreign key of it leads" if not ties else "several foreign keys of it lead"
        problems.error(
            "sequence-key", scoped.name, f"{what} to {entity.name}",
            remedy if not ties else "Say which one: sequence.by names its column.",
        )  # fmt: skip
        return None
    link = ties[0]
    if len(link.columns) > 1 or link.when:
        kind = "has several columns" if len(link.columns) > 1 else "holds for some rows only"
        problems.error(
            "sequence-key", link.about, f"it {kind}, and events belong to an entity by one column, all of them",
            f"Learn {entity.name} and {scoped.name} apart: remove the sequence.",
        )  # fmt: skip
        return None
    mine, theirs = scoped.source_column(link.columns[0]), entity.source_column(link.referenced[0])
    if mine is None or theirs is None or mine.type.family != theirs.type.family or mine.type.family not in KEYS:
        kinds = " and ".join(column.type.name for column in (mine, theirs) if column is not None)
        problems.error(
            "sequence-key", link.about, f"events find their entities by keys that are integers, texts or uuids, not {kinds}",
            f"Learn {entity.name} and {scoped.name} apart: remove the sequence.",
        )  # fmt: skip
        return None
    return link


def _check_trains(scoped: ScopedTable, entity: ScopedTable, problems: Problems) -> None:
    """The entity's ``train`` is that of both."""
    if scoped.train != Train():
        problems.error(
            "sequence-train", scoped.name, f"it is learned with {entity.name}, whose train says how",
            f"Remove its train, and say it under {entity.name}.",
        )  # fmt: skip
    train = entity.train
    for wrong, why, remedy in (
        (train.epsilon is not None, "differential privacy does not cover events: an entity has many", "Leave out train.epsilon"),
        (train.entity is not None, "every row of it is an entity", "Remove train.entity"),
        (train.sample == "first", "the first entities are not those whose events come first", "Sample random or all"),
    ):  # fmt: skip
        if wrong:
            problems.error(
                "sequence-train", entity.name, f"it is learned with the events {scoped.name}: {why}",
                f"{remedy}, or learn both apart: remove the sequence.",
            )  # fmt: skip


def _check_uses(
    pair: EventPair, links: Sequence[Link], scope: Mapping[TableName, ScopedTable], problems: Problems
) -> None:
    """Nobody draws a row of a table whose number of rows is not known before it is drawn."""
    for link in links:
        if link.parent == pair.events and link.child in scope and scope[link.child].mode not in ("truncate", "exclude"):
            child = scope[link.child]
            if all(getattr(child.rules.get(column), "generator", "") == "null" for column in link.columns):
                continue
            problems.error(
                "sequence-referred", link.about, f"how many rows {pair.events} gets is known only when they are drawn",
                f"Give {', '.join(link.columns)} the rule null, exclude {link.child}, or remove the sequence.",
            )  # fmt: skip
    own = scope[pair.events].rules.get(pair.foreign_key)
    if own is not None and own != MakeReference():
        problems.error(
            "sequence-rule", ColumnRef(pair.events, pair.foreign_key), f"it says to which row of {pair.entity} an event belongs",
            "Remove its rule.",
        )  # fmt: skip
