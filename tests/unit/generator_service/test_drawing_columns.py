"""Columns that are drawn: the same rows however they are cut, beside columns of other generators, as the rules ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from support.catalogues import catalogue, table
from support.catalogues import plan as plan_of
from support.untrained import make_artefact, make_subject
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.making import TableMaker
from tailrace_generator.sampling import BLOCK_ROWS
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.learning import DRAW_ROWS
from tailrace_shared.plan.model import Plan
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_trainer.learning.table import learn_table

SECRET = MaskSecret.of("a secret of the tests")
PERSON = table("person", "id int4!", "age int8", "sex text!", "note text", primary=["id"])


def model(columns: tuple[str, ...] = ("age", "sex")) -> Artefact:
    rng = np.random.default_rng(1)
    values = {"age": pa.array(rng.integers(18, 90, 2000)), "sex": pa.array(rng.choice(["F", "M"], 2000).tolist())}
    subjects = {"age": make_subject("age", "int4", False), "sex": make_subject("sex", "text", False)}
    privacy = Privacy()
    coded = learn_table(
        pa.table({name: values[name] for name in columns}), [subjects[name] for name in columns], privacy, rng
    )
    return make_artefact(coded, privacy)


@dataclass
class Made:
    plan: Plan

    def maker(self, artefact: Artefact) -> TableMaker:
        workshop = Workshop(self.plan, SECRET)
        assert not workshop.has(0, artefact.digest)
        workshop.take(0, artefact)
        assert workshop.has(0, artefact.digest)
        return TableMaker(self.plan.table(0), workshop)


def planned(columns: str = "note: mock.city") -> Made:
    job = f"policy: halt\ntables:\n  public.person: {{mode: synthesize, rows: 9000, columns: {{{columns}}}}}\n"
    result = plan_of(job, catalogue(PERSON))
    assert result.plan is not None, result.problems
    return Made(result.plan)


def test_planning_and_drawing_agree_how_many_rows_are_drawn_at_once() -> None:
    assert DRAW_ROWS == BLOCK_ROWS


def test_rows_are_the_same_however_they_are_cut_and_columns_of_one_row_belong_together() -> None:
    make = planned().maker(model())
    whole = make(0, 5000)
    pieces = [make(first, min(700, 5000 - first)) for first in range(0, 5000, 700)]
    assert pa.Table.from_batches(pieces).combine_chunks().to_batches()[0].equals(whole)
    assert whole.column("id").to_pylist()[:3] == [1, 2, 3]
    assert set(whole.column("sex").to_pylist()) == {"F", "M"}
    assert whole.schema.field("age").type == pa.int64(), "the destination's type, though the source's was narrower"
    assert None not in whole.column("note").to_pylist()


def test_conditions_of_the_rules_hold_in_every_row() -> None:
    only = planned("note: null, age: {generator: ai, low: 30, high: 39}, sex: {generator: ai, weights: {F: 1}}")
    rows = only.maker(model())(0, 3000)
    ages = rows.column("age").to_numpy()
    assert (ages.min() >= 30, ages.max() <= 39) == (True, True)
    assert set(rows.column("sex").to_pylist()) == {"F"}


def test_a_model_that_lacks_a_column_or_is_not_there_is_said() -> None:
    with pytest.raises(TerminalError) as caught:
        planned().maker(model(("age",)))(0, 10)
    assert caught.value.code == "model.columns"
    with pytest.raises(TerminalError) as caught:
        TableMaker(planned().plan.table(0), Workshop(planned().plan, SECRET))
    assert caught.value.code == "generator.no-model"
