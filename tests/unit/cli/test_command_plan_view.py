"""A plan in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from tailrace.plan_view import describe_rule, plan_text
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import MaskColumn, parse_rule
from tailrace_shared.plan.model import (
    DataKey,
    DdlStep,
    Fingerprints,
    Plan,
    PlannedColumn,
    PlannedTable,
    PlanResult,
    Problem,
    Proof,
)
from tailrace_shared.types import ColumnType

NAME = TableName(schema_name="public", name="customer")
TEXT = ColumnType(name="text", base="text", family="text")


def shown(result: PlanResult, **options: Any) -> str:
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(plan_text(result, **options))
    return capture.get()


def plan(**changes: Any) -> Plan:
    email = PlannedColumn(
        name="email",
        type=TEXT,
        destination_type=TEXT,
        rule=parse_rule("mock.email"),
        mask=MaskColumn(type=TEXT, domain="email", family="text"),
        why="job",
        masked=True,
    )
    given = {
        "release": "0",
        "run": "01J",
        "attempt": 1,
        "job_digest": "",
        "source_system": "1",
        "destination_system": "2",
        "regime": "bypass",
        "tables": (PlannedTable(number=0, name=NAME, mode="carry", columns=(email,), estimated_rows=1234),),
        "ddl": (DdlStep(number=0, kind="index", table=NAME, name="i", drop="", rebuild=()),),
        "proofs": (
            Proof(about="public.customer unique a_key", verdict="proved", reason="bijection"),
            Proof(about="public.customer unique b_key", verdict="estimated", reason="collides once in a million"),
        ),
        "fingerprints": Fingerprints(mask_secret="", catalogue="", pools=""),
        "key": DataKey(id="", wrapped=""),
    }
    return Plan.model_validate(given | changes)


def test_a_plan_shows_tables_columns_and_what_is_away_while_loading() -> None:
    text = shown(PlanResult(plan=plan()))
    for piece in ("public.customer", "1,234", "mock.email", "1 of 1", "1 indexes", "nothing stands against this run"):
        assert piece in text


def test_a_plan_that_makes_the_tables_counts_what_it_makes() -> None:
    made = [
        DdlStep(number=n, kind="create", table=NAME, name="x", drop=drop, rebuild=(), create=("CREATE …",))
        for n, drop in enumerate(
            ["DROP TABLE IF EXISTS a", "DROP TABLE IF EXISTS b", "DROP MATERIALIZED VIEW IF EXISTS c", ""]
        )
    ]
    after = DdlStep(number=9, kind="create-index", table=NAME, name="i", drop="", rebuild=("CREATE INDEX …",))
    text = shown(PlanResult(plan=plan(mode="create", ddl=(*made, after))))
    assert "made before the load: 2 × table, 1 × materialized view; after it: 1 keys" in " ".join(text.split())


def test_what_is_proved_is_counted_and_what_is_not_is_told() -> None:
    text = shown(PlanResult(plan=plan()), columns=False)
    assert "collides once in a million" in text
    assert "a_key" not in text
    assert "proved beforehand: 1 unique keys" in text
    assert "a_key" in shown(PlanResult(plan=plan()), proofs=True)


def test_errors_come_before_warnings_each_with_its_remedy() -> None:
    warning = Problem(severity="warning", code="plan.w", where="a", message="mind this", remedy="Or that.")
    error = Problem(severity="error", code="plan.e", where="b[1]", message="cannot be", remedy="Do so.")
    text = shown(PlanResult(plan=None, problems=(warning, error)))
    assert text.index("cannot be") < text.index("mind this")
    assert "b[1]" in text
    assert "Do so." in text
    assert "refused: 1 errors, 1 warnings" in text


def test_a_warning_that_is_in_plan_and_result_is_told_once() -> None:
    warning = Problem(severity="warning", code="plan.w", where="a", message="mind this")
    assert shown(PlanResult(plan=plan(warnings=(warning,)), problems=(warning,))).count("mind this") == 1


def test_a_rule_is_told_with_its_options_but_not_with_a_constants_value() -> None:
    assert describe_rule(parse_rule({"generator": "mask.number", "relative": 0.2})) == "mask.number relative=0.2"
    assert describe_rule(parse_rule({"generator": "constant", "value": "s3cret"})) == "constant"


def test_a_plan_ends_with_rows_bytes_and_a_time_that_is_called_an_estimate() -> None:
    text = shown(PlanResult(plan=plan()))
    assert "about 1,234 rows" in text
    assert ", 1.2 s  (estimate:" in text
    assert "estimate:" in text


def test_a_generated_table_says_that_all_its_columns_are_made() -> None:
    made = PlannedTable(number=0, name=NAME, mode="generate", columns=plan().tables[0].columns, estimated_rows=7)
    assert "all made" in shown(PlanResult(plan=plan(tables=(made,))))
    events = made.model_copy(update={"number": 1, "events_of": 0})
    assert "generate, events of public.customer" in shown(PlanResult(plan=plan(tables=(made, events))))
