"""A user's way through a database that nobody of this project made: init, plan, run, verify; and what is compared afterwards."""

from __future__ import annotations

import gzip
from pathlib import Path

from support.databases import make_pair
from support.nasty import SECRET, Nasty, Regime, multiset
from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.generators import Duplicate
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import qualified, quote_ident

CYCLES = ("pagila", "chinook", "northwind")
"""Databases with foreign keys that form a cycle or refer to their own table."""


def dump_of(name: str, folder: Path | None) -> str:
    """A database's dump; pagila comes with the demo."""
    return pagila() if folder is None else gzip.decompress((folder / f"{name}.sql.gz").read_bytes()).decode()


def make_journey(
    name: str, regime: Regime, source: EmbeddedPostgres, destination: EmbeddedPostgres, folder: Path, dumps: Path | None
) -> Nasty:
    """No job is drafted yet. The destination's role may do what the docs say for the regime; that of ``create`` holds nothing."""
    dump = dump_of(name, dumps)
    theirs = "" if regime == "create" else structure_of(dump)
    database = f"way_{name}_{regime}"
    pair = make_pair(database, source, destination, dump, "ANALYZE;", owner=regime != "respect", structure=theirs)
    if regime == "respect" and name in CYCLES:
        pair.grant("destination", "replica role")
    ends = {"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url}
    return Nasty(pair, folder / "job.yaml", {"TAILRACE_MASK_SECRET": SECRET} | ends, regime)


def unlike(journey: Nasty, plan: Plan) -> tuple[int, list[str]]:
    """How many columns are masked; and tables whose unmasked columns are not the source's, columns that arrived as they were."""
    pair, masked, found = journey.pair, 0, []
    for table in plan.tables:
        name = qualified(table.name.schema_name, table.name.name)
        kept = [c.name for c in table.columns if isinstance(c.rule, Duplicate)]
        ours, theirs = (multiset(pair, side, name, kept) for side in ("source", "destination"))
        if ours != theirs:
            found.append(f"{name}: {ours} became {theirs}")
        for column in (c.name for c in table.columns if c.masked):
            # An empty text has nothing to mask, zero stays zero, and a few keys may change places among themselves.
            text = f"{quote_ident(column)}::text"
            several = f"SELECT count(DISTINCT {text}) FROM {name} WHERE {text} !~ '^[-0.]*$'"
            if pair.value("source", several) > 8:  # type: ignore[operator]
                masked += 1
                if multiset(pair, "source", name, [column]) == multiset(pair, "destination", name, [column]):
                    found.append(f"{name}.{column} arrived as it was")
    return masked, found
