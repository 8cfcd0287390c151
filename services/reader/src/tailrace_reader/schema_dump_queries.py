"""What pg_depend and its neighbours say of a script's objects. Asked in the snapshot that pg_dump has read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import asyncpg

from tailrace_reader.schema_dump_choose import Surroundings
from tailrace_reader.schema_dump_graph import PG_CLASS, Edge, Key
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.postgres import translated

_OWN: Final = 16384
"""The first OID that is not PostgreSQL's own."""

RELATIONS: Final = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       COALESCE(pg_partition_root(c.oid), c.oid)::bigint AS root, c.relispopulated AS populated, c.relforcerowsecurity AS forced
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
_EDGES: Final = f"""
SELECT classid::bigint AS of_class, objid::bigint AS of, refclassid::bigint AS on_class, refobjid::bigint AS "on",
       deptype::text AS kind
FROM pg_depend WHERE objid >= {_OWN} AND refobjid >= {_OWN} AND (classid, objid) <> (refclassid, refobjid)
"""
_IDENTITIES: Final = """
SELECT k.class::bigint AS class, k.oid::bigint AS oid, i.identity
FROM unnest($1::oid[], $2::oid[]) AS k(class, oid), LATERAL pg_identify_object(k.class, k.oid, 0) i
"""
_PARTS: Final = """
SELECT p.class::bigint AS class, p.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name
FROM (
  SELECT 'pg_class'::regclass::oid AS class, indexrelid AS oid, indrelid AS relation FROM pg_index
  UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint WHERE conrelid <> 0
  UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef
  UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid FROM pg_trigger
  UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class FROM pg_rewrite
  UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid FROM pg_statistic_ext
) p JOIN pg_class c ON c.oid = p.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.oid >= 16384
"""
_POLICY_ROLES: Final = """
SELECT p.oid::bigint AS oid, 'pg_policy'::regclass::oid::bigint AS class,
       ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.oid = ANY(p.polroles) ORDER BY 1) AS roles
FROM pg_policy p
"""


async def relations(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Every relation that rows could be in, or that shows them; none of the system's or of an extension."""
    with translated():
        return list(await connection.fetch(RELATIONS))


async def look_around(
    connection: asyncpg.Connection,
    keys: Collection[Key],
    found: Iterable[Any],
    left_out: dict[Key, str],
    opaque: set[Key],
) -> Surroundings:
    """Everything that ``choose`` asks for; ``found`` are the rows of ``relations``."""
    classes, oids = [k[0] for k in keys], [k[1] for k in keys]
    rows = list(found)
    with translated():
        before = await connection.fetchval("SELECT current_setting('search_path')")
        await connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        edges = await connection.fetch(_EDGES)
        identities = await connection.fetch(_IDENTITIES, classes, oids)
        parts = await connection.fetch(_PARTS)
        roles = await connection.fetch(_POLICY_ROLES)
        await connection.execute("SELECT set_config('search_path', $1, false)", before)
    return Surroundings(
        edges=[Edge((r["of_class"], r["of"]), (r["on_class"], r["on"]), r["kind"]) for r in edges],
        left_out=left_out,
        opaque=frozenset(opaque),
        identities={(r["class"], r["oid"]): r["identity"] for r in identities if r["identity"]},
        on={(r["class"], r["oid"]): TableName(schema_name=r["schema"], name=r["name"]) for r in parts},
        roles={(r["class"], r["oid"]): tuple(r["roles"]) for r in roles},
        populated=frozenset((PG_CLASS, r["oid"]) for r in rows if r["kind"] == "m" and r["populated"]),
        forced=frozenset((PG_CLASS, r["oid"]) for r in rows if r["forced"]),
    )
