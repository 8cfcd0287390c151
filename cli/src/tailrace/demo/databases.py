"""Source and destination of the demo, with roles that may do what docs/privileges.md lists and nothing else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres

SOURCE = "production"
DESTINATION = "staging"
_READER = "tailrace_reads"
_LOADER = "tailrace_loads"


@dataclass(frozen=True)
class DemoDatabases:
    """Two databases of one cluster; URLs are those of the minimal roles."""

    cluster: EmbeddedPostgres
    password: str

    @property
    def source_url(self) -> str:
        return self.cluster.url(SOURCE, _READER, self.password)

    @property
    def destination_url(self) -> str:
        return self.cluster.url(DESTINATION, _LOADER, self.password)


def fill_to_follow(databases: DemoDatabases, publication: str) -> None:
    """The same for a source that is followed: docs/privileges.md says what that asks for.

    The publication is an administrator's, so the reader's role owns nothing; foreign keys hold while changes are applied.
    """
    fill(databases)
    databases.cluster.run_sql(
        f"ALTER ROLE {_READER} REPLICATION; GRANT SET ON PARAMETER session_replication_role TO {_LOADER};"
    )
    databases.cluster.run_sql(
        f"CREATE PUBLICATION {publication} FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true);",
        SOURCE,
    )


def describe_databases(cluster: EmbeddedPostgres) -> DemoDatabases:
    """The databases that ``fill`` will make on a started cluster."""
    return DemoDatabases(cluster, secrets.token_hex(12))


def fill(databases: DemoDatabases) -> None:
    """Make roles and databases, load pagila into the source and its structure into the destination.

    The source's role reads tables, no more. The destination's role owns the tables that it loads, since only an owner
    may drop and rebuild their keys and indexes, and may make the schema in which a run keeps its state.
    """
    dump = pagila()
    make_databases(databases, dump, structure_of(dump))


def make_databases(databases: DemoDatabases, source: str, structure: str) -> None:
    """Roles and databases: ``source`` is run in the one, ``structure`` in the other as the role that loads it."""
    cluster = databases.cluster
    cluster.run_sql(
        f"CREATE ROLE {_READER} LOGIN PASSWORD '{databases.password}';"
        f"CREATE ROLE {_LOADER} LOGIN PASSWORD '{databases.password}';"
    )
    cluster.create_database(SOURCE)
    cluster.create_database(DESTINATION)
    cluster.run_sql(
        f"REVOKE CONNECT ON DATABASE {SOURCE}, {DESTINATION} FROM PUBLIC;"
        f"GRANT CONNECT ON DATABASE {SOURCE} TO {_READER};"
        f"GRANT CONNECT, CREATE ON DATABASE {DESTINATION} TO {_LOADER};"
    )
    cluster.run_sql(source, SOURCE)
    cluster.run_sql(
        f"GRANT USAGE ON SCHEMA public TO {_READER}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {_READER}; ANALYZE;",
        SOURCE,
    )
    cluster.run_sql(f"GRANT USAGE, CREATE ON SCHEMA public TO {_LOADER};", DESTINATION)
    cluster.run_sql(f"SET ROLE {_LOADER};\n{structure}", DESTINATION)
