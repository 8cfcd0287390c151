"""Folding changes: of many changes in commit order, what each key's row has to become. Pure.

Per key the first event tells whether the destination holds a row, the last one whether it shall hold one afterwards. Rows that
change their key keep their identity: what a row was called before the fold (its *origin*) and what it is called afterwards. Values
that a change did not bring (unchanged TOAST) are taken from the last change that brought them, else they stay as stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_writer.lane.keys import codes_of

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

INSERT, UPDATE, DELETE = 0, 1, 2
NOTHING = -1
"""No row: an index that points nowhere."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of one table, in commit order."""

    op: npt.NDArray[np.int8]
    """INSERT, UPDATE or DELETE."""
    rows: pa.RecordBatch
    """New images, columns of the table; of a DELETE whatever."""
    old: pa.RecordBatch
    """Old keys, the identity columns; read of a DELETE and of an UPDATE that says so in ``moved``."""
    moved: Flags
    """An UPDATE whose old key is given."""
    gone: Flags
    """[changes × columns of ``rows``]: the value did not come, the row keeps the one that it has."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What has to be done to the table, in this order: origins go (deletes and moves), updates, inserts.

    Indexes are rows of ``Changes``; ``taken[i, c]`` says from which change row i of updates and moves takes column c, NOTHING where
    the stored value stays.
    """

    deletes: pa.RecordBatch
    """Keys of rows that vanish."""
    updates: pa.RecordBatch
    """Rows that keep their key, all columns; where ``updates_gone`` says so a value is to be ignored."""
    updates_gone: Flags
    moves: pa.RecordBatch
    """Rows under a new key, all columns."""
    moves_gone: Flags
    origins: pa.RecordBatch
    """Keys that the moved rows had, in the order of ``moves``."""
    inserts: pa.RecordBatch

    @property
    def empty(self) -> bool:
        """Nothing has to be done."""
        return not (self.deletes.num_rows or self.updates.num_rows or self.moves.num_rows or self.inserts.num_rows)


def fold(changes: Changes, identity: tuple[str, ...]) -> Folded:
    """Fold. ``identity``: the columns by which a row is found, all of them in ``rows`` and ``old``.

    Raises ValueError for a sequence that no table can have gone through (a row that is inserted twice): the lane would be broken.
    """
    events = _events(changes, identity)
    lives = _lives(events)
    taken, gone = _values(changes, events, lives)
    alive = lives.final != NOTHING
    stored = lives.origin != NOTHING
    same = alive & stored & (lives.key == lives.origin)
    keys = _keys(changes, identity)
    updates, updates_gone = _rows(changes, taken[same], gone[same])
    renamed = alive & stored & ~same
    moves, moves_gone = _rows(changes, taken[renamed], gone[renamed])
    inserts, absent = _rows(changes, taken[alive & ~stored], gone[alive & ~stored])
    if absent.any():
        raise ValueError("a new row came without all its values")
    return Folded(
        deletes=keys.take(pa.array(events.place[lives.origin[stored & ~alive]])),
        updates=updates,
        updates_gone=updates_gone,
        moves=moves,
        moves_gone=moves_gone,
        origins=keys.take(pa.array(events.place[lives.origin[renamed]])),
        inserts=inserts,
    )


@dataclass(frozen=True, slots=True)
class _Events:
    """Arrivals at and departures from keys, sorted by key, then time. A change of key is a departure and an arrival."""

    key: Ints
    """Dense number of the key."""
    change: Ints
    arrives: Flags
    existed: Flags
    """The row was at this key before the event: an update in place, or a departure."""
    partner: Ints
    """Of an arrival by a change of key: the departure's index; else NOTHING."""
    place: Ints
    """Per key number a row of the stacked keys (new images, then old ones) that has it."""


@dataclass(frozen=True, slots=True)
class _Lives:
    """Lives of rows within the fold, one per stretch of events of one key from arrival to departure, joined where a row has moved:
    only the last stretch of a row counts, the former are marked dead without origin."""

    start: Ints
    """First event."""
    origin: Ints
    """Key number under which the destination holds the row, NOTHING where it does not."""
    key: Ints
    """Key number of the stretch."""
    final: Ints
    """Last event where the row lives on, NOTHING where it is gone."""
    of_event: Ints
    """The stretch that every event is in."""
    before: Ints
    """The stretch that the row came from by a change of key, NOTHING."""


def _events(changes: Changes, identity: tuple[str, ...]) -> _Events:
    count = len(changes.op)
    stacked = codes_of(_keys(changes, identity))
    new, old = stacked[:count], stacked[count:]
    leaving = (changes.op == DELETE) | ((changes.op == UPDATE) & changes.moved & (new != old))
    arriving = changes.op != DELETE
    moving = leaving & arriving
    at = np.arange(count, dtype=np.int64)
    key = np.concatenate([old[leaving], new[arriving]])
    change = np.concatenate([at[leaving], at[arriving]])
    arrives = np.concatenate([np.zeros(leaving.sum(), bool), np.ones(arriving.sum(), bool)])
    existed = np.concatenate([np.ones(leaving.sum(), bool), ((changes.op == UPDATE) & ~moving)[arriving]])
    order = np.lexsort((arrives, change, key))  # a row leaves its key before it arrives at another
    key, change, arrives, existed = key[order], change[order], arrives[order], existed[order]
    partner = np.full(len(key), NOTHING, dtype=np.int64)
    if moving.any():
        departure = np.full(count, NOTHING, dtype=np.int64)
        departure[change[~arrives]] = np.nonzero(~arrives)[0]
        mine = arrives & moving[change]
        partner[mine] = departure[change[mine]]
    place = np.zeros(int(stacked.max()) + 1 if len(stacked) else 0, dtype=np.int64)
    place[old[leaving]] = count + at[leaving]
    place[new[arriving]] = at[arriving]
    return _Events(key, change, arrives, existed, partner, place)


def _lives(events: _Events) -> _Lives:
    count = len(events.key)
    first = np.ones(count, bool)
    first[1:] = events.key[1:] != events.key[:-1]
    begins = first.copy()
    begins[1:] |= ~events.arrives[:-1]  # after a departure the key is free
    wrong = ~begins & ~events.existed
    again = begins & ~first & events.existed
    if wrong.any() or again.any():
        raise ValueError("a row came where one is, or changed where none is")
    start = np.nonzero(begins)[0]
    end = np.append(start[1:], count) - 1 if count else start
    of_event = np.cumsum(begins) - 1
    key = events.key[start]
    origin = np.where(events.existed[start], key, NOTHING)
    final = np.where(events.arrives[end], end, NOTHING) if count else end
    before = np.full(len(start), NOTHING, dtype=np.int64)
    moved = np.nonzero(events.partner[start] != NOTHING)[0] if count else start
    if len(moved):
        before[moved] = of_event[events.partner[start[moved]]]
        for stretch in moved[
            np.argsort(events.change[start[moved]], kind="stable")
        ]:  # in time: a row may move many times
            former = before[stretch]
            origin[stretch] = origin[former]
        origin[before[moved]] = NOTHING  # the row is not gone: it goes on elsewhere
    return _Lives(start, origin, key, final, of_event, before)


def _values(changes: Changes, events: _Events, lives: _Lives) -> tuple[Ints, Flags]:
    """Per stretch and column the change that last brought a value, and where none did."""
    columns = changes.gone.shape[1]
    last = np.where(lives.final != NOTHING, events.change[lives.final], NOTHING)
    taken = np.repeat(last[:, None], columns, axis=1)
    gone = np.zeros((len(last), columns), bool)
    ends = np.append(lives.start[1:], len(events.key)) - 1 if len(last) else lives.start
    moved = np.nonzero(lives.before != NOTHING)[0]
    moved = moved[np.argsort(events.change[lives.start[moved]], kind="stable")]
    for column in np.nonzero(changes.gone.any(axis=0))[0]:
        brought = np.where(events.arrives & ~changes.gone[events.change, column], np.arange(len(events.key)), NOTHING)
        latest = np.maximum.accumulate(brought)[ends]
        found = np.where(latest >= lives.start, events.change[latest], NOTHING)
        for stretch in moved:
            if found[stretch] == NOTHING:
                found[stretch] = found[lives.before[stretch]]
        taken[:, column] = found
        gone[:, column] = found == NOTHING
    return taken, gone & (lives.final != NOTHING)[:, None]


def _rows(changes: Changes, taken: Ints, gone: Flags) -> tuple[pa.RecordBatch, Flags]:
    """Rows whose columns come from the changes that brought them; a value that none brought is NULL and flagged."""
    arrays = []
    for column, array in enumerate(changes.rows.columns):
        absent = gone[:, column]
        index = pa.array(taken[:, column], mask=absent if absent.any() else None)
        arrays.append(pc.take(array, index))
    return pa.RecordBatch.from_arrays(arrays, schema=changes.rows.schema), gone


def _keys(changes: Changes, identity: tuple[str, ...]) -> pa.RecordBatch:
    """Keys of the new images, and below them the old keys."""
    arrays = [pa.concat_arrays([changes.rows.column(name), changes.old.column(name)]) for name in identity]
    return pa.RecordBatch.from_arrays(arrays, names=list(identity))
