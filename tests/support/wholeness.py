"""What a reader of the destination may see at any moment: no half of a transaction, no row that refers to nothing."""

from __future__ import annotations

import asyncio

import asyncpg

from support.databases import Pair

_FOREIGN_KEYS = """
SELECT conname::text AS name, conrelid::regclass::text AS child, confrelid::regclass::text AS parent,
  ARRAY(SELECT quote_ident(a.attname) FROM unnest(conkey) WITH ORDINALITY k (n, o)
    JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.n ORDER BY o) AS columns,
  ARRAY(SELECT quote_ident(a.attname) FROM unnest(confkey) WITH ORDINALITY k (n, o)
    JOIN pg_attribute a ON a.attrelid = confrelid AND a.attnum = k.n ORDER BY o) AS keys
FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
"""
HALVES = {
    "twins apart": "SELECT count(*) FROM twin_a a FULL JOIN twin_b b USING (t) WHERE a.n IS DISTINCT FROM b.n",
    "levels of the tide but one": "SELECT greatest(count(DISTINCT level), 1) - 1 FROM tide",
}
"""Counts that are 0 in every state that the workload commits."""
LOOKS = 5


def seen_wrong(pair: Pair, left_out: frozenset[str] = frozenset()) -> dict[str, int]:
    """What one snapshot of the destination shows that no snapshot of the source ever does; ``left_out``: tables not looked at.

    Foreign keys are those of the source: in the destination they may be absent while the lane is applied.
    """

    async def look() -> dict[str, int]:
        source = await asyncpg.connect(pair.source.url(pair.name))
        try:
            keys = await source.fetch(_FOREIGN_KEYS)
        finally:
            await source.close()
        destination = await asyncpg.connect(pair.destination.url(pair.name))
        try:
            async with destination.transaction(isolation="repeatable_read", readonly=True):
                found = {name: await destination.fetchval(query) for name, query in HALVES.items()}
                for key in keys:
                    if not {key["child"], key["parent"]} & left_out:
                        found[key["name"]] = await destination.fetchval(_orphans(key))
        finally:
            await destination.close()
        return {name: count for name, count in found.items() if count}

    for _ in range(LOOKS):
        try:
            return asyncio.run(look())
        except (
            asyncpg.DeadlockDetectedError
        ):  # a TRUNCATE of several tables met the reader half way; either may be the victim
            continue
    raise AssertionError(f"{LOOKS} looks into the destination met a TRUNCATE")


def _orphans(key: asyncpg.Record) -> str:
    same = " AND ".join(f"p.{k} = c.{n}" for n, k in zip(key["columns"], key["keys"], strict=True))
    given = " AND ".join(f"c.{n} IS NOT NULL" for n in key["columns"])
    return f"SELECT count(*) FROM {key['child']} c WHERE {given} AND NOT EXISTS (SELECT 1 FROM {key['parent']} p WHERE {same})"
