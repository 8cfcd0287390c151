"""Who learns what, and when orders may go: decided from the tables alone."""

from __future__ import annotations

from dataclasses import replace

from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import decide
from tailrace_writer.state.teaching import teaching
from tailrace_writer.state.view import Candidate, ModelView, RangeKey, RunView, TableView, releasable

LOADING = RunView(
    run="R", state="loading", digest="d", prepared=True, fingerprints=True, readers=1, generators=1, snapshots=1,
    tables=(TableView(0, made=True),), models=(ModelView(0),), trainers=("a", "b"),
)  # fmt: skip
WAITS = replace(LOADING, trainers=())


def models(*found: ModelView, view: RunView = LOADING) -> RunView:
    return replace(view, models=found)


def test_a_sample_is_asked_for_at_once_whether_or_not_there_is_a_trainer() -> None:
    for view in (LOADING, WAITS):
        assert teaching(models(ModelView(0, unsent=(0, 1), unread=2), view=view)) == [do.ReadSample(0, (0, 1))]
    assert teaching(models(ModelView(0, unread=2))) == [], "a trainer is named when everything is read"


def test_models_are_shared_among_trainers() -> None:
    assert teaching(models(ModelView(0), ModelView(1), ModelView(2))) == [
        do.Teach(0, "a"), do.Teach(1, "b"), do.Teach(2, "a"),
    ]  # fmt: skip
    assert teaching(models(ModelView(0, trainer="a"), ModelView(1))) == [do.Teach(1, "b")]


def test_a_model_whose_trainer_is_gone_is_another_s_and_one_that_is_learned_is_nobody_s() -> None:
    assert teaching(models(ModelView(0, trainer="gone"))) == [do.Teach(0, "a")]
    assert teaching(models(ModelView(0, trainer="gone", ready=True, digest="m"))) == []


def test_what_was_learned_is_kept_before_anything_is_drawn_from_it() -> None:
    view = models(ModelView(0, digest="m"), ModelView(1))
    assert decide(view, 0.0) == [do.KeepModel(0, "m")]
    assert releasable(view.tables, view.models) == ()
    assert releasable(view.tables, (ModelView(0, ready=True),)) == (0,)


def test_without_a_trainer_other_tables_go_on_and_the_run_says_what_it_waits_for() -> None:
    other = replace(
        WAITS,
        tables=(TableView(0, made=True), TableView(1)),
        candidates=(Candidate(RangeKey(1, 0, 0), 10),),
    )
    assert do.Release((RangeKey(1, 0, 0),)) in decide(other, 0.0)
    assert do.Wait("a trainer replica") in decide(other, 0.0)
    assert decide(WAITS, 0.0) == [do.Wait("a trainer replica")]
    refused = replace(WAITS, refusal="a trainer replica that can take part: this trainer has no torch")
    assert decide(refused, 0.0) == [do.Wait(refused.refusal)]
    assert decide(models(ModelView(0, trainer="a")), 1e6) == [do.Wait("")], "learning is not silence"


def test_the_snapshot_is_needed_until_the_sample_is_read_and_not_for_learning() -> None:
    lost = replace(LOADING, snapshots=0)
    assert isinstance(decide(models(ModelView(0, unread=1), view=lost), 0.0)[0], do.Restart)
    assert not any(isinstance(d, do.Restart) for d in decide(models(ModelView(0, trainer="a"), view=lost), 0.0))
