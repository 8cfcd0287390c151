"""What is read to learn from: by chance over the whole heap, the first rows, or all of them; the same ones when asked again."""

from __future__ import annotations

import pytest

from support.catalogues import catalogue, foreign_key, table
from support.catalogues import plan as plan_of
from tailrace_reader.sampling import query_of
from tailrace_shared.messages import Bound, ReadRange

PERSON = table("person", "id int4!", "age int4", "town text!", primary=["id"])


@pytest.mark.parametrize(
    ("train", "said", "unsaid"),
    [
        ("rows: 1000, seed: 5", "AS t TABLESAMPLE BERNOULLI (0.11) REPEATABLE (5) WHERE t.ctid", "LIMIT"),
        ("rows: 10000000", "AS t WHERE t.ctid", "TABLESAMPLE"),
        ("sample: first, rows: 70", " LIMIT 70", "TABLESAMPLE"),
        ("sample: all", "AS t WHERE t.ctid", "LIMIT"),
    ],
)
def test_the_query_of_a_sample(train: str, said: str, unsaid: str) -> None:
    source = catalogue(PERSON.model_copy(update={"rows": 1e6}))
    job = f"policy: halt\ntables:\n  public.person: {{mode: synthesize, rows: 9, train: {{{train}}}}}\n"
    result = plan_of(job, source)
    assert result.plan is not None, result.problems
    learning = result.plan.table(0).learning
    assert learning is not None
    work = ReadRange(
        run="R", attempt=1, table=0, load=0, range=0, leaf=0, low=Bound(block=0), high=None, sample=True
    )  # fmt: skip
    query = query_of(learning, work).rows
    assert said in query
    assert unsaid not in query
    assert query.startswith('SELECT t."age", t."town" FROM ONLY "public"."person"'), "the key is not read"


def test_entities_and_their_events_are_chosen_by_one_hash_of_the_key() -> None:
    person = PERSON.model_copy(update={"rows": 1e6})
    visit = table("visit", "person_id int8!", "day date!", "price int4", rows=1e7)
    source = catalogue(person, visit, keys=[foreign_key("visit", ["person_id"], "person")])
    job = (
        "policy: halt\ntables:\n  public.person: {mode: synthesize, rows: 9, train: {seed: 5}}\n"
        "  public.visit: {mode: synthesize, sequence: {entity: public.person, order: day}}\n"
    )
    result = plan_of(job, source)
    assert result.plan is not None, result.problems
    learning = result.plan.table(0).learning
    assert learning is not None
    assert [piece.number for piece in learning.pieces] == [0, 1]
    found = []
    for number in (0, 1):
        work = ReadRange(
            run="R", attempt=1, table=0, load=0, range=number, leaf=0, low=Bound(block=0), high=None, sample=True
        )  # fmt: skip
        query = query_of(learning, work)
        assert "TABLESAMPLE" not in query.rows
        found.append(query)
    people, visits = (query.rows for query in found)
    assert people.startswith('SELECT t."age", t."town", t."id" FROM ONLY "public"."person" AS t WHERE')
    assert visits.startswith('SELECT t."day", t."price", t."person_id" FROM ONLY "public"."visit" AS t WHERE')
    hashed = 'pg_catalog.hashtextextended(CAST(t."{}" AS text) COLLATE pg_catalog."C", 5) & 1073741823) < '
    assert hashed.format("id") in people
    assert hashed.format("person_id") in visits
    assert people.rpartition("<")[2] == visits.rpartition("<")[2], (
        "as few entities as have so many events as are learned from"
    )
    assert learning.percent == pytest.approx(3.3)
