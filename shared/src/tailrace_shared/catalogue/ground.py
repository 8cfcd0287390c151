"""What is in a destination in which tables are to be made: names that are taken, extensions, roles."""

from __future__ import annotations

import asyncpg

from tailrace_shared.catalogue.model import Catalogue, Ground
from tailrace_shared.postgres import translated

_TAKEN = """
WITH space AS (
  SELECT oid FROM pg_catalog.pg_namespace
  WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'tailrace')
)
SELECT n.nspname || '.' || found.name
FROM (
  SELECT relnamespace AS space, relname AS name FROM pg_catalog.pg_class WHERE relkind <> 't'
  UNION SELECT typnamespace, typname FROM pg_catalog.pg_type WHERE typelem = 0 AND typrelid = 0
) found JOIN pg_catalog.pg_namespace n ON n.oid = found.space WHERE n.oid IN (SELECT oid FROM space)
UNION SELECT (pg_catalog.pg_identify_object('pg_catalog.pg_proc'::regclass, p.oid, 0)).identity
FROM pg_catalog.pg_proc p WHERE p.pronamespace IN (SELECT oid FROM space)
ORDER BY 1
"""
_EXTENSIONS = """
SELECT e.extname::text AS name, n.nspname::text AS schema
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
"""
_AVAILABLE = """
SELECT v.name::text AS name, pg_catalog.bool_or(v.trusted OR NOT v.superuser) AS trusted
FROM pg_catalog.pg_available_extension_versions v GROUP BY v.name
"""
_ROLE = """
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_create,
       pg_catalog.current_setting('max_locks_per_transaction')::int * (pg_catalog.current_setting('max_connections')::int
         + pg_catalog.current_setting('max_prepared_transactions')::int) AS locks,
       r.rolsuper AS superuser, r.rolsuper OR r.rolbypassrls AS bypasses,
       ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles ORDER BY 1) AS roles,
       ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace ORDER BY 1) AS schemas,
       ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace
             WHERE pg_catalog.has_schema_privilege(oid, 'CREATE') ORDER BY 1) AS open
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""


async def names_taken(connection: asyncpg.Connection) -> tuple[str, ...]:
    """``schema.name`` of relations, indexes and types, routines with their arguments; of an emptied search path, qualified."""
    with translated():
        before = await connection.fetchval("SELECT pg_catalog.current_setting('search_path')")
        await connection.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', false)")
        rows = await connection.fetch(_TAKEN)
        await connection.execute("SELECT pg_catalog.set_config('search_path', $1, false)", before)
    return tuple(row[0] for row in rows)


async def with_ground(connection: asyncpg.Connection, catalogue: Catalogue) -> Catalogue:
    """The catalogue of a destination in which tables are to be made, with what planning has to know beyond it."""
    with translated():
        role = await connection.fetchrow(_ROLE)
        taken = await names_taken(connection)
        extensions = await connection.fetch(_EXTENSIONS)
        available = await connection.fetch(_AVAILABLE)
    assert role is not None
    ground = Ground(
        taken=taken,
        schemas=tuple(role["schemas"]),
        open_schemas=tuple(role["open"]),
        may_create=role["may_create"],
        superuser=role["superuser"],
        bypasses_row_security=role["bypasses"],
        roles=tuple(role["roles"]),
        extensions={row["name"]: row["schema"] for row in extensions},
        locks=role["locks"],
        available={row["name"]: row["trusted"] for row in available},
    )
    return catalogue.model_copy(update={"ground": ground})
