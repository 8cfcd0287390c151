"""Loading tables anew while a run streams: which, when, and what if it fails. Pure, as the rest of the state machine.

One resync at a time, of any number of tables: ordered → planned (a reader has stopped the capture between two transactions, made
a snapshot there and offers a plan) → loading (the plan is accepted in the transaction that holds the lane) → ended, or abandoned
wherever it is. An abandoned one leaves its tables in quarantine; they are tried again, a bounded number of times.
"""

from __future__ import annotations

from tailrace_writer.state import decisions as do
from tailrace_writer.state.decisions import Decision
from tailrace_writer.state.view import ResyncView, RunView

TRIES = 3
"""Times that a table is loaded again by itself; then somebody has to ask."""
AGAIN_S = 5.0
"""Before it is tried a second time; twice as long before the third."""
PASSING_S = 20.0
"""Where nothing but time stood in the way."""
OFFER_S = 180.0
"""For the snapshot and the plan: transactions of the source are waited for, a large catalogue is read."""


def resyncing(view: RunView, now: float) -> list[Decision] | None:
    """What to do about tables that are to be loaded anew; None: nothing, or load on as in ``loading``."""
    resync = view.resync
    if resync is None:
        growing = next((t.number for t in view.tables if t.grows), None)
        if growing is not None and not view.stop_requested:
            return [do.OrderResync((growing,), in_place=True)]  # first: the capture stands still for it
        wanted = tuple(t.number for t in view.tables if t.wants)
        return [do.OrderResync(wanted)] if wanted and not view.stop_requested else None
    if resync.why:
        return [do.AbandonResync(resync.number, resync.why)]
    if resync.loading:
        return _loading(view, resync)
    if view.stop_requested:
        return [do.AbandonResync(resync.number, "the run was asked to stop")]
    if resync.planned:
        return [do.BeginResync(resync.number)]
    if now - resync.asked_at > OFFER_S:
        return [do.AbandonResync(resync.number, "no reader has made a snapshot for it in time")]
    return None


def _loading(view: RunView, resync: ResyncView) -> list[Decision] | None:
    if not any(t.resync for t in view.tables):
        return [do.EndResync(resync.number)]
    unread = any(not c.made for c in view.candidates) or any(not r.read for r in view.open)
    if view.settled and not view.snapshots and unread:
        return [do.AbandonResync(resync.number, "no reader holds its snapshot any more")]
    return None
