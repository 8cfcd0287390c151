"""Unique, exclusion, NOT NULL and check constraints of a loaded table: on what the verdict rests, and a look of our own where
PostgreSQL has none.

PostgreSQL tests them at every row that comes in, by COPY and under every ``session_replication_role``, except what it leaves to
triggers, which can be off: foreign keys, and unique and exclusion constraints that are DEFERRABLE. A valid constraint of the others
therefore holds. A deferrable one, one that is NOT VALID, or a unique index that is not, may have rows that nobody has looked at: it
is evaluated. What is NOT ENFORCED demands nothing, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.messages import Check
from tailrace_shared.types import qualified

_CONSTRAINTS: Final = """
WITH root AS (
  SELECT t.place, pg_catalog.to_regclass(t.name) AS rel FROM unnest($1::text[]) WITH ORDINALITY t (name, place)
), found AS (
  SELECT place, rel::oid AS rel, true AS root FROM root WHERE rel IS NOT NULL
  UNION ALL
  SELECT place, p.relid::oid, false FROM root, LATERAL pg_partition_tree(root.rel) p WHERE p.relid <> root.rel
), member AS (
  SELECT f.*, CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END || f.rel::regclass AS own
  FROM found f JOIN pg_class c ON c.oid = f.rel
)
SELECT m.place::int AS place, 'unique' AS kind, i.relname::text AS name,
       CASE WHEN NOT (x.indisvalid AND x.indisready) THEN 'not valid' WHEN x.indimmediate THEN 'valid' ELSE 'deferrable' END
         AS state,
       format('SELECT count(*) FROM (SELECT FROM %s WHERE %s%s GROUP BY %s HAVING count(*) > 1) d', m.own,
              COALESCE(pg_get_expr(x.indpred, x.indrelid), 'true'),
              CASE WHEN COALESCE((to_jsonb(x)->>'indnullsnotdistinct')::boolean, false) THEN '' ELSE k.present END,
              k.keys) AS question
FROM member m JOIN pg_index x ON x.indrelid = m.rel JOIN pg_class i ON i.oid = x.indexrelid,
     LATERAL (SELECT string_agg(pg_get_indexdef(x.indexrelid, n, false), ', ' ORDER BY n) AS keys,
                     string_agg(format(' AND (%s) IS NOT NULL', pg_get_indexdef(x.indexrelid, n, false)), '') AS present
              FROM generate_series(1, x.indnkeyatts::int) n) k
WHERE x.indisunique AND x.indislive AND NOT x.indisexclusion
  AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = x.indexrelid)
UNION ALL
SELECT m.place::int, CASE WHEN x.indisunique THEN 'unique' ELSE 'exclusion' END, c.conname::text,
       CASE WHEN NOT (x.indisvalid AND x.indisready) THEN 'not valid' WHEN x.indimmediate THEN 'valid' ELSE 'deferrable' END,
       format('SELECT count(*) FROM (%1$s) a JOIN (%1$s) b ON (a.heap, a.place) < (b.heap, b.place) AND %2$s',
              format('SELECT tableoid AS heap, ctid AS place, %s FROM %s WHERE %s', k.keys, m.own,
                     COALESCE(pg_get_expr(x.indpred, x.indrelid), 'true')), k.apart)
FROM member m JOIN pg_index x ON x.indrelid = m.rel
JOIN pg_constraint c ON c.conindid = x.indexrelid AND c.conrelid = m.rel AND c.contype IN ('p', 'u', 'x'),
     LATERAL (SELECT string_agg(format('%s AS k%s', pg_get_indexdef(x.indexrelid, e.n::int, false), e.n), ', ') AS keys,
                     string_agg(format('a.k%1$s OPERATOR(%2$I.%3$s) b.k%1$s', e.n, s.nspname, o.oprname), ' AND ') AS apart
              FROM unnest(c.conexclop) WITH ORDINALITY e (operator, n)
              JOIN pg_operator o ON o.oid = e.operator JOIN pg_namespace s ON s.oid = o.oprnamespace) k
WHERE x.indisexclusion AND x.indislive AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = x.indexrelid)
UNION ALL
SELECT m.place::int, 'not null', a.attname::text,
       CASE WHEN NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'n'
                             AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated) THEN 'valid' ELSE 'not valid' END,
       format('SELECT count(*) FROM %s WHERE %I IS NULL', m.own, a.attname)
FROM member m JOIN pg_attribute a ON a.attrelid = m.rel
WHERE m.root AND a.attnotnull AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT m.place::int, 'check', c.conname::text,
       CASE WHEN NOT COALESCE((to_jsonb(c)->>'conenforced')::boolean, true) THEN 'not enforced'
            WHEN c.convalidated THEN 'valid' ELSE 'not valid' END,
       format('SELECT count(*) FROM %s WHERE NOT (%s)', m.own, pg_get_expr(c.conbin, c.conrelid))
FROM member m JOIN pg_constraint c ON c.conrelid = m.rel
WHERE c.contype = 'c' AND (m.root OR c.conislocal)
ORDER BY 1, 2, 3
"""
"""Every constraint with the question that would decide it, over a table's own rows, not those of tables that inherit from it.
Questions count; they return no value of a row."""

KINDS: Final = ("unique", "exclusion", "not null", "check")
_WRONG: Final = {
    "unique": "groups of equal rows", "exclusion": "pairs of rows that exclude each other", "not null": "NULLs",
    "check": "rows that break it",
}  # fmt: skip
_MANY: Final = {"unique": "unique", "exclusion": "exclusion", "not null": "NOT NULL", "check": "check"}


async def broken_deferrable(
    connection: asyncpg.Connection, tables: Sequence[TableName]
) -> list[tuple[TableName, str, int]]:
    """Deferrable unique and exclusion constraints that rows break: table, name, groups or pairs of rows.

    In the current transaction, whose search_path is pg_catalog afterwards. Raises asyncpg's errors.
    """
    await connection.execute("SET LOCAL search_path = pg_catalog")
    found = await connection.fetch(_CONSTRAINTS, [qualified(table.schema_name, table.name) for table in tables])
    broken = []
    for row in found:
        if row["state"] == "deferrable" and (count := await connection.fetchval(row["question"])):
            broken.append((tables[row["place"] - 1], row["name"], count))
    return broken


async def constraint_checks(connection: asyncpg.Connection, tables: Sequence[TableName]) -> list[Check]:
    """One check per table and kind of constraint that it has, in the order of the tables.

    Raises asyncpg's errors.
    """
    names = [qualified(table.schema_name, table.name) for table in tables]
    checks: list[Check] = []
    async with connection.transaction(readonly=True):
        # Names in definitions come out qualified, and are read as they were meant.
        await connection.execute("SET LOCAL search_path = pg_catalog")
        found = await connection.fetch(_CONSTRAINTS, names)
        by_table: dict[tuple[int, str], list[asyncpg.Record]] = {}
        for row in found:
            by_table.setdefault((row["place"], row["kind"]), []).append(row)
        for place, table in enumerate(tables, start=1):
            for kind in KINDS:
                if rows := by_table.get((place, kind)):
                    counts = {
                        row["name"]: await connection.fetchval(row["question"])
                        for row in rows
                        if row["state"] in ("not valid", "deferrable")
                    }
                    states = [row["state"] for row in rows]
                    unenforced, deferrable = _named(rows, "not enforced"), _named(rows, "deferrable")
                    checks.append(judge(kind, table, states.count("valid"), counts, unenforced, deferrable))
    return checks


def judge(
    kind: str,
    table: TableName,
    valid: int,
    evaluated: dict[str, int],
    unenforced: Sequence[str],
    deferrable: Sequence[str] = (),
) -> Check:
    """The verdict on one kind: ``valid`` constraints that PostgreSQL holds, counts of what breaks the ``evaluated`` ones, of which
    some are ``deferrable``."""
    said = [f"{valid} that PostgreSQL tests at every row"] if valid else []
    for name, wrong in evaluated.items():
        why = "deferrable" if name in deferrable else "not valid"
        said.append(f"{name} is {why} and was evaluated: {f'{wrong:,}' if wrong else 'no'} {_WRONG[kind]}")
    if unenforced:
        said.append(f"not enforced by its own definition: {', '.join(unenforced)}")
    return Check(name=f"{kind} {table}", passed=not any(evaluated.values()), detail=f"{_MANY[kind]}: {'; '.join(said)}")


def _named(rows: Sequence[asyncpg.Record], state: str) -> list[str]:
    return [row["name"] for row in rows if row["state"] == state]
