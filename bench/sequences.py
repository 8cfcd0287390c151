"""Quality and cost of synthetic sequences: ``python -m bench.sequences [--tables FOLDER] [--seed 1]``.

Baseball players (entities) and their fielding seasons (events): half of the players are learned with their seasons, as many players
are drawn, and both tables are compared with the learned half. Beside it the other half of the real players, which is what nobody
can be asked to beat. Needs torch: ``make bench-synthesis`` sets it up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from bench.fidelity import Column, Kinds, Rows, ks, shape_error, trend_error
from bench.synthesis import TABLES, columns
from tailrace_generator.sampling.sequences import SequenceSampler
from tailrace_shared.synthesis import Privacy
from tailrace_shared.synthesis.sequence import SequenceArtefact
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.sequence import Ties
from tailrace_trainer.learning.train import Course, train_sequence

KEY, FOREIGN_KEY, ORDER = "id", "players_id", "year"
PLAYERS = Kinds(("weight", "height"), ("country", "bats", "throws"), "bats")
FIELDING = Kinds(("year", "G", "GS", "InnOuts", "PO", "A", "E", "DP"), ("team", "league", "POS"), "POS")
TYPES = {
    "int64": ("int8", "integer"), "double": ("float8", "float"), "string": ("text", "text"), "date32[day]": ("date", "date"),
}  # fmt: skip


class Pair(NamedTuple):
    """Entities and their events."""

    players: pa.Table
    fielding: pa.Table


def halves(folder: Path, seed: int) -> tuple[Pair, Pair]:
    """The players, cut at random, with their seasons in order."""
    players = pacsv.read_csv(
        folder / "baseball" / "players.csv", convert_options=pacsv.ConvertOptions(strings_can_be_null=True)
    )
    fielding = pq.read_table(folder / "baseball" / "fielding.parquet")
    fielding = fielding.take(pc.sort_indices(fielding, [(FOREIGN_KEY, "ascending"), (ORDER, "ascending")]))
    players = players.filter(pc.is_in(players[KEY], fielding[FOREIGN_KEY].combine_chunks().unique()))
    order = np.random.default_rng(seed).permutation(len(players))
    found = []
    for half in np.array_split(order, 2):
        mine = players.take(pa.array(np.sort(half)))
        found.append(Pair(mine, fielding.filter(pc.is_in(fielding[FOREIGN_KEY], mine[KEY].combine_chunks()))))
    return found[0], found[1]


def subjects(table: pa.Table, without: Sequence[str]) -> list[Subject]:
    """What a table's columns are to the trainer."""
    found = []
    for field in table.schema:
        if field.name not in without:
            base, family = TYPES[str(field.type)]
            kind = ColumnType(name=base, base=base, family=family)  # type: ignore[arg-type]
            found.append(Subject(field.name, kind, nullable=table[field.name].null_count > 0))
    return found


class Story(NamedTuple):
    """What events of one entity have to do with each other."""

    lengths: Column
    gaps: Column
    same_team: float
    same_position: float
    games: float
    """Correlation of games with those of the event before."""


def story(owners: Column, rows: Rows) -> Story:
    """Of events by entity, in order."""
    later = owners[1:] == owners[:-1]
    games = rows["G"].astype(np.float64)
    return Story(
        np.unique(owners, return_counts=True)[1],
        (rows[ORDER][1:] - rows[ORDER][:-1])[later],
        float((rows["team"][1:] == rows["team"][:-1])[later].mean()),
        float((rows["POS"][1:] == rows["POS"][:-1])[later].mean()),
        float(np.corrcoef(games[1:][later], games[:-1][later])[0, 1]),
    )


def compare(label: str, real: Pair, made: Pair, owners: tuple[Column, Column]) -> None:
    """One line of figures."""
    (ours, theirs), (people, drawn) = (
        (columns(p.fielding) for p in (real, made)),
        (columns(p.players) for p in (real, made)),
    )
    told, telling = story(owners[0], ours), story(owners[1], theirs)
    print(
        f"  {label:10}{shape_error(people, drawn, PLAYERS):9.2f}{shape_error(ours, theirs, FIELDING):8.2f}"
        f"{trend_error(ours, theirs, FIELDING, shared=False):8.2f}{trend_error(ours, theirs, FIELDING, shared=True):8.2f}"
        f"{100 * ks(told.lengths, telling.lengths):9.1f}{100 * ks(told.gaps, telling.gaps):7.1f}"
        f"{telling.same_team:7.3f}{telling.same_position:7.3f}{telling.games:7.3f}",
        flush=True,
    )


def owners_of(pair: Pair) -> Column:
    """A number per entity, for its events."""
    found: Column = pair.fielding[FOREIGN_KEY].combine_chunks().dictionary_encode().indices.to_numpy()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, draw, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder with baseball/")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--save", type=Path, help="where to put the model")
    options = parser.parse_args(arguments)
    learned, other = halves(options.tables, options.seed)
    begun = time.process_time()
    sides = (
        subjects(learned.players, [KEY, "nameFirst", "nameLast"]),
        subjects(learned.fielding, [FOREIGN_KEY]),
    )
    model = train_sequence(
        learned.players, learned.fielding, sides, Ties(KEY, FOREIGN_KEY, ORDER),
        Course(seed=options.seed, privacy=Privacy(k=options.k)), tables=("players", "fielding"),
    )  # fmt: skip
    trained = time.process_time() - begun
    if options.save:
        options.save.write_bytes(model.save())
    report(learned, other, SequenceArtefact.load(model.save()), options.seed, trained)


def report(learned: Pair, other: Pair, model: SequenceArtefact, seed: int, trained: float) -> None:
    """Draw as many players as were learned, and print what they are like."""
    begun = time.process_time()
    sampler, count = SequenceSampler(model, seed), len(learned.players)
    events = sampler.events(0, count)
    made = Pair(
        pa.Table.from_batches([sampler.entities(0, count)]),
        pa.Table.from_batches([events.batch]),
    )
    drawn = time.process_time() - begun
    said = model.events.header
    print(
        f"\nbaseball: {count} players, {len(learned.fielding)} seasons, {len(said.given)} + {len(said.order)} tokens, "
        f"{len(model.data) / 1e6:.2f} MB"
    )
    print(
        f"  training {trained:.1f} CPU-s (epochs {model.entity.header.training.epochs} and {said.training.epochs} kept), "
        f"sampling {len(events.owners) / drawn:,.0f} seasons per CPU-s"
    )
    print(f"  nats per season: {said.training.loss:.3f} learned, {said.training.held_out_loss:.3f} held out")
    print(
        f"  {'':10}{'players':>9}{'Shape':>8}{'Trend':>8}{'shared':>8}{'lengths':>9}{'gaps':>7}{'team':>7}{'POS':>7}{'lag G':>7}"
    )
    ours = owners_of(learned)
    compare("learned", learned, learned, (ours, ours))
    compare("held out", learned, other, (ours, owners_of(other)))
    compare("model", learned, made, (ours, events.owners))


if __name__ == "__main__":
    main()
