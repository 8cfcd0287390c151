"""What a trainer asks of its child, which batches it waits for, and that it stays out where it cannot learn."""

from __future__ import annotations

import importlib.util

import pytest

from support.catalogues import catalogue, foreign_key, table
from support.catalogues import plan as plan_of
from tailrace_shared.batch import BatchId
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.membership import ReplicaDiffers
from tailrace_trainer.member import EPOCHS, EPOCHS_MOST, request_of
from tailrace_trainer.sample import Missing
from tailrace_trainer.workload import require_opacus, require_torch

PERSON = table("person", "id int4!", "age int4", "town text!", "born date", primary=["id"])


def planned(train: str, columns: str = "") -> Plan:
    job = f"policy: halt\ntables:\n  public.person: {{mode: synthesize, rows: 9, train: {{{train}}}, columns: {{{columns}}}}}\n"
    result = plan_of(job, catalogue(PERSON))
    assert result.plan is not None, result.problems
    return result.plan


def test_a_request_has_what_the_plan_says_of_protection_rules_and_conditions() -> None:
    plan = planned(
        "k: 21, entity: id, seed: 9, ordered: [[age, born]]",
        "town: {generator: ai, weights: {Porto: 1}, form: category}",
    )
    learning = plan.table(0).learning
    assert learning is not None
    asked = request_of(plan, learning, 5_000)
    assert (asked.privacy.k, asked.entity, asked.seed) == (21, "id", 9)
    assert [(c.name, c.nullable, c.form) for c in asked.columns] == [
        ("age", True, None), ("town", False, "category"), ("born", True, None),
    ]  # fmt: skip
    assert asked.first == ("town",), "drawn first, so that the others agree with it"
    assert asked.ordered == (("age", "born"),)
    assert asked.bytes_max < plan.message_bytes
    private = planned("epsilon: 3, delta: 1.0e-7")
    assert private.table(0).learning is not None
    said = request_of(private, private.table(0).learning, 5_000).privacy  # type: ignore[arg-type]
    assert (said.epsilon, said.delta) == (3.0, 1e-7)


def test_small_tables_are_learned_for_more_epochs_unless_the_job_says_how_many() -> None:
    plan = planned("seed: 1")
    learning = plan.table(0).learning
    assert learning is not None
    assert request_of(plan, learning, 1_000_000).epochs_max == EPOCHS
    assert request_of(plan, learning, 5_000).epochs_max == 300
    assert request_of(plan, learning, 0).epochs_max == EPOCHS_MOST
    fixed = planned("epochs: 7")
    assert fixed.table(0).learning is not None
    assert request_of(fixed, fixed.table(0).learning, 5_000).epochs_max == 7  # type: ignore[arg-type]


def test_a_request_for_entities_and_their_events_has_both_and_what_joins_them() -> None:
    visit = table("visit", "visit_id int4!", "person_id int8!", "day date!", "price int4", primary=["visit_id"])
    result = plan_of(
        "policy: halt\ntables:\n  public.person: {mode: synthesize, rows: 9}\n  public.visit:\n    mode: synthesize\n"
        "    sequence: {entity: public.person, order: day, length_max: 70}\n",
        catalogue(PERSON, visit, keys=[foreign_key("visit", ["person_id"], "person")]),
    )
    assert result.plan is not None, result.problems
    learning = result.plan.table(0).learning
    assert learning is not None
    asked = request_of(result.plan, learning, 5_000, 30_000)
    assert asked.events is not None
    assert (asked.events.key, asked.events.foreign_key, asked.events.order) == ("id", "person_id", "day")
    assert [c.name for c in asked.columns] == ["age", "town", "born"], "keys are made, not learned"
    assert [(c.name, c.nullable) for c in asked.events.columns] == [("day", False), ("price", True)]
    assert (asked.events.length_max, asked.events.table) == (70, "public.visit")
    assert (asked.epochs_max, asked.events.epochs_max) == (300, EPOCHS)


def test_a_sample_is_complete_when_every_batch_was_there_however_often() -> None:
    missing = Missing({0: 2, 1: 0, 7: 1})
    told = [BatchId("R", 1, 0, 0, number, batch, 0) for number, batch in ((7, 0), (0, 1), (0, 1), (3, 0), (0, 0))]
    assert [missing.take(identity) for identity in told] == [True, True, False, False, True]
    assert not missing
    assert not Missing({0: 0}), "of an empty table nothing comes"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
def test_a_trainer_without_torch_stays_out_and_says_why() -> None:
    with pytest.raises(ReplicaDiffers) as caught:
        require_torch()
    assert caught.value.code == "trainer.no-torch"


def test_a_trainer_that_accounts_for_no_privacy_stays_out_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReplicaDiffers) as caught:
        require_opacus()
    assert caught.value.code == "trainer.no-opacus"
    assert "tailrace-trainer[privacy]" in caught.value.remedy
