"""Destination mode ``create``: tables that are not there are made as the source has them, loaded bare, and gone again on failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair, make_pair
from support.installation import Installation, eventually
from tailrace.embedded.postgres import EmbeddedPostgres

HERE = Path(__file__).parent / "databases"
JOB = """\
name: made
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: create}
policy: pass
schemas: [public, "Odd schema"]
tables: {public.left_out: {mode: exclude}, public.emptied: {mode: truncate}}
limits: {rows_per_batch: 100, range_bytes: 8192, partitions: 3}
"""
STRUCTURE = """
SELECT kind, name, detail FROM (
  SELECT 'column' AS kind, a.attrelid::regclass::text || '.' || a.attname AS name,
         concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation,
                   pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum), c.relkind, c.relreplident,
                   c.relrowsecurity, pg_get_expr(c.relpartbound, c.oid)) AS detail, c.relnamespace AS space
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
  UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname,
         pg_get_constraintdef(oid) || convalidated || coalesce(obj_description(oid, 'pg_constraint'), ''), connamespace
  FROM pg_constraint WHERE contype <> 't'
  UNION ALL SELECT 'index', indexrelid::regclass::text,
         concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisclustered, obj_description(indexrelid, 'pg_class')), c.relnamespace
  FROM pg_index JOIN pg_class c ON c.oid = indexrelid
  UNION ALL SELECT 'trigger', tgrelid::regclass::text || '.' || tgname, pg_get_triggerdef(t.oid) || tgenabled::text, c.relnamespace
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal
  UNION ALL SELECT 'routine', p.oid::regprocedure::text, pg_get_function_result(p.oid) || coalesce(prosrc, '') || prokind::text,
         pronamespace FROM pg_proc p WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  UNION ALL SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid) || c.relispopulated::text, relnamespace
  FROM pg_class c WHERE relkind IN ('v', 'm')
  UNION ALL SELECT 'rule', ev_class::regclass::text || '.' || rulename, pg_get_ruledef(r.oid), c.relnamespace
  FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
  UNION ALL SELECT 'type', t.oid::regtype::text,
         concat_ws(' ', typtype, (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)), typnamespace
  FROM pg_type t WHERE typelem = 0
  UNION ALL SELECT 'sequence', s.seqrelid::regclass::text,
         concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqcycle, pg_get_serial_sequence('public.person', 'id')), relnamespace
  FROM pg_sequence s JOIN pg_class c ON c.oid = seqrelid
  UNION ALL SELECT 'policy', polrelid::regclass::text || '.' || polname, coalesce(pg_get_expr(polqual, polrelid), ''), c.relnamespace
  FROM pg_policy JOIN pg_class c ON c.oid = polrelid
  UNION ALL SELECT 'statistics', stxname, pg_get_statisticsobjdef(oid), stxnamespace FROM pg_statistic_ext
  UNION ALL SELECT 'comment', c.oid::regclass::text, obj_description(c.oid, 'pg_class'), relnamespace FROM pg_class c
  WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
) s JOIN pg_namespace n ON n.oid = s.space
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tailrace') ORDER BY 1, 2, 3
"""
"""Everything of a database's structure, as text, for comparing two of them."""


def structure(pair: Pair, side: str, without: str = "\0") -> list[tuple[str, ...]]:
    """The rows of a side; those that say ``without`` are not counted."""
    rows = [tuple(map(str, row)) for row in pair.fetch(side, STRUCTURE)]
    return [row for row in rows if not any(without in part for part in row)]


def empty_pair(name: str, source: EmbeddedPostgres, destination: EmbeddedPostgres, schema: str, rows: str = "") -> Pair:
    """A destination that holds nothing, and a role that may create in it."""
    return make_pair(name, source, destination, schema, rows, structure="")


def untouched(pair: Pair) -> bool:
    """Nothing is there but Tailrace's own tables."""
    objects = (
        "SELECT count(*) FROM (SELECT relnamespace AS space FROM pg_class UNION ALL SELECT typnamespace FROM pg_type "
        "UNION ALL SELECT pronamespace FROM pg_proc) o JOIN pg_namespace n ON n.oid = o.space "
        "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tailrace') AND n.nspname NOT LIKE 'pg\\_temp%'"
    )
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('other', 'Odd schema')"
    extensions = "SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'"
    return [pair.value("destination", query) for query in (objects, schemas, extensions)] == [0, 0, 0]


@pytest.fixture(scope="module")
def pair(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Pair:
    made = empty_pair("made", source, destination, (HERE / "workshop.sql").read_text())
    source.run_sql("ALTER ROLE made_reader BYPASSRLS; ANALYZE", "made")
    return made


def test_what_the_source_has_is_made_loaded_and_equal(install: Callable[..., Installation], pair: Pair) -> None:
    installation = install(pair, replicas={"writer": 2})
    record = installation.run(JOB)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert structure(pair, "destination") == [
        row for row in structure(pair, "source") if not any(word in " ".join(row) for word in ("left_out", "v_lost", "vv"))
    ]
    warned = {(p.code, p.where) for p in record.problems}
    assert ("plan.create-without", "view public.v_lost") in warned
    assert ("plan.create-without", "fk constraint person_lo_fkey on public.person") in warned
    theirs = {t: d for t, d in pair.digest("source").items() if t not in ("public.left_out", "public.emptied")}
    assert pair.digest() == theirs | {"public.emptied": (0, 0)}
    assert pair.value("destination", "SELECT c FROM mv") == 900
    assert pair.value("destination", "SELECT count(*) FROM person WHERE note = 'TRIGGERED; really'") == 0
    assert pair.value("destination", "INSERT INTO person (name) VALUES ('new') RETURNING id") > 900  # type: ignore[operator]
    second = installation.run(JOB)
    assert second.failure is not None and second.failure.code == "plan.refused"
    assert {p.code for p in second.problems if p.severity == "error"} == {"plan.create-exists"}
    eventually(lambda: not installation.topics_left(), 60, "the runs' topics are gone")
