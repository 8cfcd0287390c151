"""Filters and seeds may hold values, so what travels has them encrypted: sealed by the reader that plans, opened by those that
read, and by those that draw.
"""

from __future__ import annotations

import base64

import zstandard
from pydantic import TypeAdapter

from tailrace_shared.envelope import TransportKey
from tailrace_shared.plan.model import Plan, TableFilter, TableSeeds

_FILTERS: TypeAdapter[tuple[TableFilter, ...]] = TypeAdapter(tuple[TableFilter, ...])
_SEEDS: TypeAdapter[tuple[TableSeeds, ...]] = TypeAdapter(tuple[TableSeeds, ...])
_BYTES_MAX = 1 << 30


def seal_filters(plan: Plan, key: TransportKey) -> Plan:
    """The plan as it travels: bound to its run and attempt, its filters sealed and nowhere else."""
    if not plan.filters:
        return plan
    return plan.model_copy(
        update={"filters": (), "sealed": _sealed(_FILTERS.dump_json(plan.filters), _context(plan), key)}
    )


def open_filters(plan: Plan, key: TransportKey) -> dict[int, TableFilter]:
    """Filters by table number. Raises TerminalError (``transport-key.wrong``) where they were sealed for another run or key."""
    if not plan.sealed:
        return {}
    found = _FILTERS.validate_json(_opened(plan.sealed, _context(plan), key))
    return {told.table: told for told in found}


def seal_seeds(plan: Plan, key: TransportKey) -> Plan:
    """As ``seal_filters``, of the rows that learned tables are given."""
    if not plan.seeds:
        return plan
    sealed = _sealed(_SEEDS.dump_json(plan.seeds), f"seeds {_context(plan)}", key)
    return plan.model_copy(update={"seeds": (), "sealed_seeds": sealed})


def open_seeds(plan: Plan, key: TransportKey) -> dict[int, TableSeeds]:
    """Seeds by table number. Raises TerminalError as ``open_filters`` does."""
    if not plan.sealed_seeds:
        return {}
    found = _SEEDS.validate_json(_opened(plan.sealed_seeds, f"seeds {_context(plan)}", key))
    return {told.table: told for told in found}


def _sealed(data: bytes, context: str, key: TransportKey) -> str:
    packed = zstandard.compress(data, 9)  # what is encrypted cannot be compressed afterwards
    return key.seal(base64.b64encode(packed).decode("ascii"), context)


def _opened(sealed: str, context: str, key: TransportKey) -> bytes:
    packed = base64.b64decode(key.open(sealed, context))
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=_BYTES_MAX)


def _context(plan: Plan) -> str:
    return f"{plan.run}/{plan.attempt}"
