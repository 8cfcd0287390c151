"""A preview in words and as data."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from support.catalogues import catalogue, foreign_key, planned, table
from tailrace.commands.preview import chosen_tables
from tailrace.preview_rows import Preview, unlearned
from tailrace.preview_view import preview_data, preview_table, visible
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.making import TableMaker
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import UsageError
from tailrace_shared.plan.model import Plan

JOB = "policy: mask\nschemas: [public, other]\ntables:\n  public.customer: {columns: {email: mock.email}}\n"


@pytest.fixture
def plan() -> Plan:
    source = catalogue(
        table("customer", "id int8!", "email text", primary=["id"]),
        table("other.thing", "id int8"),
        table("thing", "id int8"),
    )
    return planned(JOB, source)


def customer(plan: Plan) -> Preview:
    (one,) = chosen_tables(plan, ["customer"])
    return Preview(one, [("1", "ann@mail.test"), ("2", None)], [("77", "bob@example.org"), ("5", None)])


def text_of(found: Preview, *, after_only: bool) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(preview_table(found, after_only=after_only))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_column_stands_with_its_generator_before_and_after(plan: Plan) -> None:
    lines = text_of(customer(plan), after_only=False).splitlines()
    assert any(line.split() == ["email", "mock.email", "ann@mail.test", "bob@example.org"] for line in lines)
    assert any(line.split() == ["email", "mock.email", "NULL", "NULL"] for line in lines)


def test_after_only_shows_no_original_value(plan: Plan) -> None:
    found = customer(plan)
    assert "ann@" not in text_of(found, after_only=True)
    assert "before" not in text_of(found, after_only=True)
    assert "ann@" not in str(preview_data(found, after_only=True))


def test_data_names_columns_generators_and_values(plan: Plan) -> None:
    data = preview_data(customer(plan), after_only=False)
    assert data["table"] == "public.customer"
    assert data["columns"][1]["generator"] == "mock.email"
    assert data["rows"][0] == {
        "before": {"id": "1", "email": "ann@mail.test"},
        "after": {"id": "77", "email": "bob@example.org"},
    }


def test_a_value_does_not_steer_the_terminal() -> None:
    assert visible("a\x1b[31mred\nb") == "a\\x1b[31mred\\nb"


def test_tables_are_chosen_by_name_and_an_ambiguous_or_unknown_one_is_refused(plan: Plan) -> None:
    assert [str(t.name) for t in chosen_tables(plan, ["other.thing"])] == ["other.thing"]
    assert len(chosen_tables(plan, [])) == 3
    with pytest.raises(UsageError, match="several schemas"):
        chosen_tables(plan, ["thing"])
    with pytest.raises(UsageError, match="carries no table custmer") as error:
        chosen_tables(plan, ["custmer"])
    assert "customer" in error.value.remedy


def test_of_events_only_what_needs_no_model_is_made() -> None:
    source = catalogue(
        table("person", "id int4!", "age int4", primary=["id"]),
        table("visit", "id int4!", "person_id int4!", "day date!", "note text", primary=["id"]),
        keys=[foreign_key("visit", ["person_id"], "person")],
    )
    found = planned(
        "policy: halt\ntables:\n  public.person: {mode: synthesize, rows: 50}\n"
        "  public.visit: {mode: synthesize, sequence: {entity: public.person, order: day}, columns: {note: mock.city}}\n",
        source,
    )
    visit = unlearned(found.table(1))
    assert [column.name for column in visit.columns] == ["id", "note"], "whose they are is drawn with them"
    assert TableMaker(visit, Workshop(found, MaskSecret.of("a secret of the tests")))(0, 3).num_rows == 3
