"""Which rows of the source a model has not seen, as a condition: by their place, or by whom they belong to."""

from __future__ import annotations

from support.catalogues import catalogue, foreign_key, planned, table
from tailrace.quality.sampling import held_out_of

PERSON = table("person", "id int4!", "age int4", primary=["id"], rows=1e6)
VISIT = table("visit", "person_id int4!", "day date!", rows=1e6)
KEYS = (foreign_key("visit", ["person_id"], "person"),)


def condition(person: str, visit: str) -> str:
    job = f"policy: halt\ntables:\n  public.person: {person}\n  public.visit: {visit}\n"
    return held_out_of(planned(job, catalogue(PERSON, VISIT, keys=KEYS)).table(0).learning)


def test_of_a_table_on_its_own_by_the_places_of_its_rows() -> None:
    found = condition("{mode: synthesize, rows: 5}", "{mode: exclude}")
    assert found.startswith("NOT EXISTS (")
    assert "TABLESAMPLE BERNOULLI (11" in found


def test_of_entities_by_the_hash_by_which_they_were_sampled_with_their_events() -> None:
    found = condition(
        "{mode: synthesize, rows: 5}", "{mode: synthesize, sequence: {entity: public.person, order: day}}"
    )
    assert found.startswith('NOT (pg_catalog.hashtextextended(CAST(t."id" AS text)')
    whole = "{mode: synthesize, rows: 5, train: {sample: all}}"
    assert condition(whole, "{mode: synthesize, sequence: {entity: public.person}}") == "", "all were seen"
