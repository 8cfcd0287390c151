"""The nasty schema as a pair of databases, with the job that `tailrace init` drafts for it and what is compared afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
from typer.testing import CliRunner

from support.databases import DATABASES, Pair, make_pair
from support.grants import granted
from support.structure import structure
from support.whole_catalogue import WHOLE_CATALOGUE
from tailrace.app import create_app
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.planning import databases, plan_of
from tailrace.verification import as_if_empty
from tailrace_shared.generators import Duplicate
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import qualified, quote_ident

SECRET = "a secret of more than sixteen characters"
PEOPLE = 300
Regime = Literal["create", "bypass", "respect"]
SCHEMAS = ("public", '"Mixed Case"', '"ünïcode 😀"')
JOINS = """
SELECT format('%s %s', k.conrelid::regclass, k.conname) AS key,
    (SELECT nspname || '.' || relname FROM pg_class r JOIN pg_namespace s ON s.oid = relnamespace
     WHERE r.oid = k.conrelid) AS child,
    (SELECT nspname || '.' || relname FROM pg_class r JOIN pg_namespace s ON s.oid = relnamespace
     WHERE r.oid = k.confrelid) AS parent,
    format(
    'SELECT count(*) FROM %s%s c JOIN %s%s p ON (%s)',
    CASE WHEN (SELECT relkind FROM pg_class WHERE oid = k.conrelid) = 'r' THEN 'ONLY ' END, k.conrelid::regclass,
    CASE WHEN (SELECT relkind FROM pg_class WHERE oid = k.confrelid) = 'r' THEN 'ONLY ' END, k.confrelid::regclass,
    (SELECT string_agg(format(CASE WHEN t.typtype = 'r' THEN 'c.%I <@ p.%I' ELSE 'c.%I = p.%I' END, c.attname, p.attname), ' AND ')
     FROM unnest(k.conkey, k.confkey) AS n(child, parent)
     JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = n.child
     JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = n.parent
     JOIN pg_type t ON t.oid = c.atttypid)) AS joined
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace::regnamespace::text <> 'tailrace'
ORDER BY 1
"""
TABLES = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('public', 'Mixed Case', 'ünïcode 😀')
"""


@dataclass
class Nasty:
    """Both databases, the job that init drafted for them, and the command over them."""

    pair: Pair
    job_file: Path
    environment: dict[str, str]
    regime: Regime = "bypass"

    def tailrace(self, *arguments: str) -> Any:
        return CliRunner(env=self.environment).invoke(create_app(), list(arguments))

    @property
    def job(self) -> str:
        return self.job_file.read_text()

    def plan(self) -> Plan:
        """As the reader plans it, to know what is duplicated and what is masked."""

        async def look() -> Plan:
            job = as_if_empty(parse_job(self.job, "job.yaml"))
            async with databases(job, self.environment) as ends:
                result = await plan_of(job, ends)
            assert result.plan is not None, result.problems
            return result.plan

        return asyncio.run(look())

    def draft(self) -> None:
        """The job, by ``tailrace init``."""
        drafted = self.tailrace(
            "init", "--source", "SOURCE_URL", "--destination", "DESTINATION_URL", "-o", str(self.job_file)
        )
        assert drafted.exit_code == 0, drafted.output + drafted.stderr

    def catalogue(self) -> list[asyncpg.Record]:
        return self.pair.fetch("destination", WHOLE_CATALOGUE)

    def expected(self) -> Sequence[object]:
        """What ``as_is`` is after a run, told before it: what it was; in the mode create, what the source has."""
        return structure(self.pair, "source") if self.regime == "create" else self.catalogue()

    def as_is(self) -> Sequence[object]:
        """Of the destination."""
        return structure(self.pair, "destination") if self.regime == "create" else self.catalogue()

    def empty(self, plan: Plan) -> None:
        """What an administrator does before the next run: the job expects empty tables, or none.

        By DELETE: PostgreSQL 18 truncates no table that a key refers to which is NOT ENFORCED, and its only one.
        """
        if self.regime == "create":
            spaces = [f"DROP SCHEMA IF EXISTS {space} CASCADE;" for space in (*SCHEMAS, "extension")]
            role = f"{self.pair.name}_loader"
            made = "CREATE SCHEMA public;" + granted("create in schemas", role, schema="public")
            self.pair.destination.run_sql("".join(spaces) + made, self.pair.name)
            return
        deletes = "".join(f"DELETE FROM {qualified(t.name.schema_name, t.name.name)};" for t in plan.tables)
        self.pair.destination.run_sql(f"SET session_replication_role = replica; {deletes}", self.pair.name)


def make_nasty(
    name: str, regime: Regime, source: EmbeddedPostgres, destination: EmbeddedPostgres, folder: Path
) -> Nasty:
    """``respect``: the destination's role owns nothing, and init finds that nothing can be dropped. ``create``: it is empty."""
    schema, rows = (DATABASES / "nasty.sql").read_text(), (DATABASES / "nasty_rows.sql").read_text()
    theirs = "" if regime == "create" else schema
    rows = f"\\set people {PEOPLE}\n{rows}"
    pair = make_pair(name, source, destination, schema, rows, owner=regime != "respect", structure=theirs)
    pair.grant("source", "bypass policies in the source")
    if regime != "bypass":  # there it owns the tables, and no policy is FORCEd but in what the mode create makes
        pair.grant("destination", "bypass policies")
    if regime == "respect":
        for space in SCHEMAS:
            # DELETE, since a key that is NOT ENFORCED keeps PostgreSQL 18 from truncating.
            pair.grant("destination", "use", "load", "delete", "set sequences", schema=space)
        pair.grant("destination", "use", schema="extension")
        pair.grant("destination", "replica role")
    environment = {
        "TAILRACE_MASK_SECRET": SECRET, "SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url
    }  # fmt: skip
    return Nasty(pair, folder / "job.yaml", environment, regime)


def multiset(pair: Pair, side: str, table: str, columns: list[str]) -> tuple[int, int]:
    """Rows, and a hash of the multiset of what these columns hold; of the table's own rows, not those of its heirs."""
    row = f"ROW({', '.join(map(quote_ident, columns))})::text"
    partition = "EXISTS (SELECT FROM pg_class WHERE oid = t.tableoid AND relispartition)"
    own = f"{table} t WHERE t.tableoid = '{table}'::regclass OR {partition}"
    found = pair.fetch(side, f"SELECT count(*), coalesce(sum(hashtextextended({row}, 3)::numeric), 0)::text FROM {own}")
    return found[0][0], int(found[0][1])


def multisets(nasty: Nasty, plan: Plan) -> dict[str, tuple[int, int]]:
    """Per table the multiset of its rows, in the destination."""
    names = {qualified(t.name.schema_name, t.name.name): [c.name for c in t.columns] for t in plan.tables}
    return {name: multiset(nasty.pair, "destination", name, columns) for name, columns in names.items()}


def differences(nasty: Nasty, plan: Plan) -> list[str]:
    """Tables whose duplicated columns are not the source's rows, and masked columns that arrived as they were."""
    found = []
    for table in plan.tables:
        name = qualified(table.name.schema_name, table.name.name)
        kept = [c.name for c in table.columns if isinstance(c.rule, Duplicate)]
        ours, theirs = (multiset(nasty.pair, side, name, kept) for side in ("source", "destination"))
        if ours != theirs:
            found.append(f"{name}: {ours} became {theirs}")
        for column in (c.name for c in table.columns if c.masked and ours[0] > 1):
            if multiset(nasty.pair, "source", name, [column]) == multiset(nasty.pair, "destination", name, [column]):
                found.append(f"{name}.{column} arrived as it was")
    return found


def joined(pair: Pair, side: str, tables: set[str]) -> dict[str, object]:
    """Per foreign key between these tables (``schema.table``) how many rows join."""
    keys = pair.fetch(side, JOINS)
    return {k["key"]: pair.value(side, k["joined"]) for k in keys if {k["child"], k["parent"]} <= tables}
