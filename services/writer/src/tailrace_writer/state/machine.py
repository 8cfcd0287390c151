"""The state machine of a run: a pure function from what the tables say to what shall be done.

Whoever acts, acts by compare-and-set on the run's row, so a decision taken from an old picture changes nothing. States:

``submitted → planned → preparing → loading → finishing → verifying → done``, with ``streaming`` before ``verifying`` in a
continuous run (what happens to its tables meanwhile is in ``resyncing``); from any of them ``→ stopping → failed | cancelled``;
a lost snapshot takes ``planned``, ``preparing`` and ``loading`` back to ``submitted`` with the next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_shared.dataplane.credit import Credit
from tailrace_shared.messages import TERMINAL_STATES
from tailrace_writer.state import decisions as do
from tailrace_writer.state.decisions import Decision
from tailrace_writer.state.resyncing import resyncing
from tailrace_writer.state.teaching import teaching, unlearned
from tailrace_writer.state.view import OpenRange, RangeKey, RunView


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the decider waits before it asks again, in seconds."""

    plan_s: float = 60.0
    """A plan task is sent again: the reader that had it may have lost it. A large catalogue takes seconds."""
    range_s: float = 60.0
    """A range is released again when it is this old and the run's ledger has not grown for as long."""
    leak_s: float = 630.0
    """Leak questions are asked again when no answer has come for so long: longer than a reader may take for one."""


def decide(view: RunView, now: float, patience: Patience = Patience()) -> list[Decision]:
    """What to do now, in order. Never empty; a ``Wait`` says what is missing."""
    if view.state in TERMINAL_STATES:
        return [do.CleanUp()]
    if view.state == "stopping":
        return _stopping(view)
    if view.cancel_requested:
        return [do.Stop("cancelled")]
    if view.failed and view.state in ("streaming", "paused"):
        return _held(view)
    if view.failed:
        return [do.Stop("failed")]
    if view.lane is not None and view.lane.broken and view.state in ("loading", "finishing", "streaming", "paused"):
        return [_broken(view, view.lane.broken)]
    if view.state in ("planned", "preparing", "loading"):
        lost = _lost_snapshot(view, now, patience)
        if lost:
            return [_restart(view, lost)]
    if view.state == "submitted":
        return _submitted(view, now, patience)
    if view.state == "planned":
        return [do.Claim()]
    if view.state == "preparing":
        return [do.Prepare()]
    if view.state == "loading":
        return _loading(view, now, patience)
    if view.state == "finishing":
        return [do.Finish()]
    if view.state in ("streaming", "paused"):
        return _streaming(view, now, patience)
    return _verifying(view, now, patience)


def _submitted(view: RunView, now: float, patience: Patience) -> list[Decision]:
    if view.undone:  # of the attempt before: planning must see the destination as it was
        return [do.Rebuild()]
    if not view.active:
        return [do.Wait("its turn: as many runs are active as the writers allow", queued=True)]
    if view.digest:
        return [do.Move("submitted", "planned")]
    if not view.fingerprints:
        return [do.Wait(view.refusal or "a generator replica")]
    if view.tasked_at is None or (view.readers and now - view.tasked_at > patience.plan_s):
        return [do.Plan()]
    return [do.Wait("the plan" if view.readers else "a reader replica")]


def _streaming(view: RunView, now: float, patience: Patience) -> list[Decision]:
    if view.stop_requested and view.resync is None:
        return [do.EndStream(view.state)]
    if view.state == "streaming" and view.pause_requested:
        return [do.Move("streaming", "paused")]
    if view.state == "paused" and not view.pause_requested:
        return [do.Move("paused", "streaming")]
    decided = resyncing(view, now)
    if decided is not None:
        return decided
    if view.resync is not None and view.resync.loading:
        return _loading(view, now, patience)
    if view.state == "streaming":
        return [do.Wait(_lacking(view) or (f"a writer that can write: {view.hindrance}" if view.hindrance else ""))]
    return [do.Wait("tailrace resume")]


def _held(view: RunView) -> list[Decision]:
    """A stage has failed while the run streams: it is held where it is, and nothing of what is there is taken back."""
    if view.state == "streaming":
        return [do.Move("streaming", "paused")]
    if view.stop_requested:
        return [do.EndStream("paused")]
    return [do.Wait("tailrace resume, once what failed is put right")]


def _lacking(view: RunView) -> str:
    """What a stage without a replica waits for; where there are some that stay out, why they do."""
    counts = {"reader": view.readers, "generator": view.generators, "writer": view.writers}
    missing = [f"a {name} replica" for name, count in counts.items() if not count]
    if not missing or any(view.refusal.startswith(stage) for stage in missing):
        return view.refusal
    return missing[0]


def _broken(view: RunView, why: str) -> Decision:
    """Changes are missing: everything is loaded anew, unless the job says otherwise. A stream may break any number of times."""
    if view.slot_lost == "stop":
        return do.Fail(
            "lane.broken",
            f"the changes between source and destination are not complete: {why}",
            "Run the job again: it loads everything anew.",
        )
    return do.Restart(why)


def _ending_well(view: RunView) -> list[Decision]:
    """A continuous run that was asked to stop: what is captured is applied, then checked, and stays."""
    if view.cancel_requested:
        return [do.Stop("cancelled")]
    if view.lane is not None and not view.lane.broken:  # of a broken one nothing more can come
        if not view.lane.ended:
            return [do.Wait("the capture to end" if view.readers else _lacking(view))]
        if not view.lane.caught_up:
            return [do.Wait(_lacking(view) or "the last changes")]
    if view.undone:
        return [do.Rebuild()]
    return [do.Settle()]


def _stopping(view: RunView) -> list[Decision]:
    if view.outcome == "stopped":
        return _ending_well(view)
    if view.undone:
        return [do.Rebuild()]
    return [do.Conclude("cancelled" if view.outcome == "cancelled" else "failed")]


def _loading(view: RunView, now: float, patience: Patience) -> list[Decision]:
    wrong = next((r for r in view.open if r.complete and _contradicts(r)), None)
    if wrong is not None:
        return [
            do.Fail(
                "load.rows-differ",
                f"range {wrong.key.range} of table {wrong.key.table} was read with {wrong.rows} rows in {wrong.batches} batches, "
                f"the ledger holds {wrong.ledger_rows} rows in {wrong.ledger_batches}",
                "The source was read twice with different results; please report this.",
            )
        ]
    decided = teaching(view)
    if isinstance(next(iter(decided), None), do.KeepModel):
        return decided
    unasked = tuple(pool.table for pool in view.pools if pool.unsent)
    if unasked:
        decided.append(do.ReadPools(unasked))
    done = tuple(r.key for r in view.open if r.complete)
    if done:
        decided.append(do.MarkDone(done))
    unsent = tuple(r.key for r in view.open if not r.sent and not r.read)
    if unsent:
        decided.append(do.Send(unsent))
    overdue = _overdue(view, now, patience)
    if overdue:
        decided.append(do.Send(overdue, again=True))
    used = sum(r.outstanding_bytes for r in view.open if not r.complete)
    chosen = Credit(view.credit_bytes).choose(used, [(c.key, c.estimated_bytes) for c in view.candidates])
    if chosen:
        decided.append(do.Release(tuple(chosen)))
    again = view.resync is not None
    complete = tuple(t.number for t in view.tables if not t.unfinished and (t.resync if again else not t.loaded))
    if complete:
        decided.append(do.CompleteTables(complete))
    if not again and all(t.loaded for t in view.tables):
        return [do.EndLoading()]
    missing = _missing(view, now, patience)
    if missing or not decided:
        decided.append(do.Wait(missing))
    return decided


def _contradicts(ranged: OpenRange) -> bool:
    """The ledger holds something else than what was read: the second check of a range."""
    return ranged.ledger_batches > ranged.batches or ranged.ledger_rows != ranged.rows


def _overdue(view: RunView, now: float, patience: Patience) -> tuple[RangeKey, ...]:
    """Ranges that are not done long after they could be, while nothing arrives: their work or batches were lost."""
    if now - view.last_applied_at < patience.range_s or not (view.generators and view.settled):
        return ()  # something still arrives, or nobody is there who could work: patience
    return tuple(
        r.key
        for r in view.open
        if r.sent
        and (r.made or view.readers)
        and not r.complete
        and now - max(r.released_at, r.read_at or 0.0) >= patience.range_s
    )


def _missing(view: RunView, now: float, patience: Patience) -> str:
    """What a run that loads lacks; nothing while everybody is there and something has arrived lately."""
    if view.refusal and not (view.readers and view.generators and view.writers):
        return view.refusal
    unread = any(m.unread and not m.digest for m in view.models) or not all(r.read or r.made for r in view.open)
    if not view.readers and (unread or not all(pool.ready for pool in view.pools)):
        return "a reader replica"
    if not view.generators:
        return "a generator replica"
    if not view.writers:
        return "a writer replica"
    if view.hindrance:
        return f"a writer that can write: {view.hindrance}"
    if unlearned(view) and not view.trainers:
        return view.refusal or "a trainer replica"
    if unlearned(view) and not view.open and not view.candidates:
        return ""  # the record says how far each model is
    silent_s = now - max(view.moved_at, view.last_applied_at)
    if silent_s < patience.range_s:
        return ""
    unread = any(not (r.read or r.made) for r in view.open)
    under_way = any((r.read or r.made) and not r.complete for r in view.open)
    stages = "readers" if unread and not under_way else "generators and writers"
    if unread and under_way:
        stages = "readers, generators and writers"
    return f"rows: nothing has arrived for {_rounded(silent_s)} s, see the logs of the {stages}"


def _rounded(seconds: float) -> int:
    """To half a minute: every change of the words is published."""
    return int(seconds // 30 * 30) or int(seconds)


def _lost_snapshot(view: RunView, now: float, patience: Patience) -> str:
    if view.restart_because:
        return view.restart_because
    if not view.settled or view.snapshots or not _needs_snapshot(view, now, patience):
        return ""
    return "no reader holds the source snapshot any more"


def _needs_snapshot(view: RunView, now: float, patience: Patience) -> bool:
    """Whether anything is still to be read: what was read and is under way needs no snapshot unless it gets lost."""
    if view.state != "loading":
        return True
    if any(not c.made for c in view.candidates) or any(not (r.read or r.made) for r in view.open):
        return True
    if any(model.unread and not model.digest for model in view.models) or not all(pool.ready for pool in view.pools):
        return True
    blocked = any(t.unfinished and not t.made and not t.loaded and t.after for t in view.tables)
    stuck = any(not r.complete and not r.made for r in view.open) and now - view.last_applied_at >= patience.range_s
    return blocked or (stuck and bool(view.generators))


def _restart(view: RunView, because: str) -> Decision:
    if view.attempt > view.restarts:
        return do.Fail(
            "run.snapshot-lost",
            f"{because}, and {view.restarts} restarts are spent",
            "Keep the source's tables from being rewritten during a run, keep a reader alive, or raise limits.restarts.",
        )
    return do.Restart(because)


def _verifying(view: RunView, now: float, patience: Patience) -> list[Decision]:
    if not view.verified:
        return [do.Verify()]
    waiting = [leak for leak in view.leaks if not leak.answered]
    if not waiting:
        return [do.Judge()]
    late = tuple(
        (leak.table, leak.column)
        for leak in waiting
        if leak.asked_at < view.deserted_at or now - max(leak.asked_at, view.moved_at) >= patience.leak_s
    )
    if late and view.readers:
        return [do.AskLeaks(late)]
    return [do.Wait("the leak scan" if view.readers else "a reader replica")]
