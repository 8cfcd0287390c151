"""Filters may hold values, so what travels has them encrypted: sealed by the reader that plans, opened by those that read."""

from __future__ import annotations

import base64

import zstandard
from pydantic import TypeAdapter

from tailrace_shared.envelope import TransportKey
from tailrace_shared.plan.model import Plan, TableFilter

_FILTERS: TypeAdapter[tuple[TableFilter, ...]] = TypeAdapter(tuple[TableFilter, ...])
_BYTES_MAX = 1 << 30


def seal_filters(plan: Plan, key: TransportKey) -> Plan:
    """The plan as it travels: bound to its run and attempt, its filters sealed and nowhere else."""
    if not plan.filters:
        return plan
    packed = zstandard.compress(
        _FILTERS.dump_json(plan.filters), 9
    )  # what is encrypted cannot be compressed afterwards
    sealed = key.seal(base64.b64encode(packed).decode("ascii"), _context(plan))
    return plan.model_copy(update={"filters": (), "sealed": sealed})


def open_filters(plan: Plan, key: TransportKey) -> dict[int, TableFilter]:
    """Filters by table number. Raises TerminalError (``transport-key.wrong``) where they were sealed for another run or key."""
    if not plan.sealed:
        return {}
    packed = base64.b64decode(key.open(plan.sealed, _context(plan)))
    found = _FILTERS.validate_json(zstandard.ZstdDecompressor().decompress(packed, max_output_size=_BYTES_MAX))
    return {told.table: told for told in found}


def _context(plan: Plan) -> str:
    return f"{plan.run}/{plan.attempt}"
