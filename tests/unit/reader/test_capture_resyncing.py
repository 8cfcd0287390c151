"""Columns that the capture stands at, when another capture has asked for them, or for others, before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.catalogues import catalogue, job, name, planned, table
from tailrace_reader.capture import resyncing
from tailrace_reader.capture.growing import Grown
from tailrace_reader.capture.relations import Relation, RelationColumn
from tailrace_reader.capture.resyncing import Revising
from tailrace_reader.lane_opening import captured_relation
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.messages import ColumnsAppeared, Fact, ResyncFailed, ResyncPlanned, ResyncProgress
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.resync import OrderedTable, ResyncOrder

BEFORE = catalogue(table("person", "id int4!", primary=["id"]), table("visit", "id int4!", primary=["id"]))
ID, NICK = RelationColumn("id", 23, -1, True), RelationColumn("nick", 25, -1, False)


def described_as(plan: Plan, *columns: RelationColumn) -> Plan:
    tables = tuple(
        t.model_copy(
            update={"relation": captured_relation(Relation(t.number + 1, "public", t.name.name, "d", columns))}
        )
        for t in plan.tables
    )
    return plan.model_copy(update={"tables": tables})


PLAN = described_as(planned("mode: continuous\npolicy: pass\n", BEFORE), ID)
GROWN_PLAN = described_as(PLAN, ID, NICK).model_copy(update={"revision": 2})
GROWN = Grown(0, Relation(1, "public", "person", "d", (ID, NICK)), 50)


def order(number: int, of: int, *, plan: str = "d0", in_place: bool = True) -> ResyncOrder:
    names = ["person", "visit"]
    return ResyncOrder(
        run="R", attempt=1, number=number, plan=plan, tables=(OrderedTable(number=of, name=name(names[of])),),
        job=job("mode: continuous\npolicy: pass\n"), destination=BEFORE, in_place=in_place,
    )  # fmt: skip


class Standing:
    """A capture at a new description, the leader that answers its facts, and the plan topic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: ResyncOrder | None) -> None:
        self.orders = {"first": first}
        self.facts: list[Fact] = []
        self.record: Any = SimpleNamespace(
            state="streaming", stop_requested=False, revision="", tables=(SimpleNamespace(table=0, state="loaded"),),
            resync=None if first is None else self.progress(first, "first"),
        )  # fmt: skip
        context = SimpleNamespace(control=self, kafka=None, replica="r")
        self.revising = Revising(cast("Any", context), cast("SourceServer", None), "n", PLAN)
        monkeypatch.setattr(self.revising, "_plans", self)

        async def made(*_: object) -> Plan:
            return GROWN_PLAN

        async def published(*_: object) -> str:
            return "d1"

        monkeypatch.setattr(resyncing, "plan_grown", made)
        monkeypatch.setattr(resyncing.Reviser, "publish", published)
        self.plan, self.digest, self.lineage = PLAN, "d0", self

    @staticmethod
    def progress(asked: ResyncOrder, digest: str) -> ResyncProgress:
        return ResyncProgress(number=asked.number, order=digest, tables=tuple(t.number for t in asked.tables))

    async def fact(self, fact: Fact) -> None:
        self.facts.append(fact)
        match fact:
            case ResyncFailed():
                self.record.resync = None
            case ResyncPlanned():
                self.record.resync, self.record.revision = None, fact.digest
            case ColumnsAppeared() if self.record.resync is None:
                self.orders["next"] = order(9, 0)
                self.record.resync = self.progress(order(9, 0), "next")

    async def document(self, run: str, digest: str) -> bytes:
        asked = self.orders[digest]
        assert asked is not None
        return asked.encode()

    async def of(self, digest: str) -> Plan:
        return {"d1": GROWN_PLAN}[digest]

    def turn(self) -> None:
        pass

    async def grow(self) -> bool:
        return await self.revising.grow(cast("Any", self), GROWN, self.turn)


@pytest.mark.parametrize(
    ("first", "refused"),
    [(None, 0), (order(2, 0), 0), (order(2, 1), 1), (order(2, 0, plan="older"), 1)],
    ids=["none", "for these", "for others", "by an older plan"],
)
async def test_columns_are_followed_in_place_whatever_a_former_capture_has_asked_for(
    monkeypatch: pytest.MonkeyPatch, first: ResyncOrder | None, refused: int
) -> None:
    standing = Standing(monkeypatch, first)
    assert await standing.grow()
    assert [type(f) for f in standing.facts].count(ResyncFailed) == refused


async def test_a_table_that_is_to_be_loaded_anew_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Standing(monkeypatch, order(2, 1, in_place=False))
    assert not await standing.grow()
    assert not standing.facts
