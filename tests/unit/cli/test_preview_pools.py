"""A preview of made rows that refer to carried ones: the keys are real ones, masked, though only the first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from support.catalogues import catalogue, foreign_key, planned, table, unique
from tailrace.preview_rows import preview
from tailrace_generator.kernels import MaskSecret
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.pool_facts import KeyFacts

SECRET = MaskSecret(bytes(range(32)))
CITY = catalogue(
    table("person", "id int8!", "name text", primary=["id"]),
    table("badge", "id int8!", "person_id int8!", primary=["id"], indexes=[unique("one", "person_id")]),
    keys=(foreign_key("badge", ["person_id"], "person"),),
)
JOB = """\
policy: mask
tables:
  public.person: {columns: {id: key, name: mock.full_name}}
  public.badge: {mode: generate, rows: 4000}
"""


class Source:
    """Answers a COPY with the first keys."""

    def __init__(self, keys: int) -> None:
        self.keys = keys
        self.asked: list[str] = []

    async def copy_from_query(self, query: str, *, output: Callable[[bytes], Awaitable[None]], format: str) -> None:
        self.asked.append(query)
        more = ",Name" if '"name"' in query or "t.name" in query else ""
        await output("".join(f"{n}{more}\n" for n in range(1, 1 + self.keys)).encode())


async def test_references_are_keys_as_they_would_arrive() -> None:
    facts = SourceFacts(keys={"public.person": KeyFacts(columns=("id",), rows=5000, bytes=4.0)})
    plan = planned(JOB, CITY, facts=facts)
    source: Any = Source(keys=1000)
    tables = {t.name.name: t for t in plan.tables}
    badge = await preview(source, plan, tables["badge"], SECRET, 50)
    assert "LIMIT 1000" in source.asked[0]
    assert "name" not in source.asked[0].split("FROM")[0], "keys alone are read"
    person = await preview(source, plan, tables["person"], SECRET, 1000)
    place = [c.name for c in badge.table.columns].index("person_id")
    assert len(badge.after) == 50
    assert {row[place] for row in badge.after} <= {row[0] for row in person.after}
    assert badge.before == []
