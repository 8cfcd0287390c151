"""What models say of themselves: how likely learned rows are to them, and rows that were held out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import asyncpg

from tailrace.model_store import headers_of
from tailrace.quality.privacy import Losses
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.synthesis import load_model

_THERE: Final = "SELECT pg_catalog.to_regclass('tailrace.saved_model') IS NOT NULL"
_NEWEST: Final = """
SELECT data FROM tailrace.saved_model WHERE table_name = $1 AND ($2 = '' OR digest = $2)
ORDER BY run = $3 DESC, made_at DESC LIMIT 1
"""
"""Of the run where it is told apart: two runs that learn the same keep one model."""


async def losses_of(destination: asyncpg.Connection, tables: Iterable[PlannedTable], run: str) -> dict[str, Losses]:
    """Of the models that a run learned, or that the tables name; nothing where the destination keeps none that may be read."""
    found: dict[str, Losses] = {}
    with translated():
        try:
            if not await destination.fetchval(_THERE):
                return found
            for table in tables:
                if table.learning is None:
                    continue
                model = table.learning.model
                data = await destination.fetchval(_NEWEST, str(table.name), model, run)
                if data is not None:
                    events = table.learning.events
                    names = [table.name] if events is None else [table.name, events.source.name]
                    for name, header in zip(names, headers_of(load_model(data)), strict=False):
                        training = header.training
                        if training.digest:  # differentially private ones do not tell
                            found[str(name)] = Losses(training.loss, training.held_out_loss)
        except asyncpg.InsufficientPrivilegeError:
            return {}
    return found
