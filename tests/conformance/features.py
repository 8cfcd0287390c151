"""PostgreSQL's features: whether they are supported, how, and where it is proved. The page in ``docs`` is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Feature:
    """``proof`` is a piece of ``nasty.sql``, or ``path::test`` below ``tests``: a test looks whether it is there."""

    area: str
    name: str
    supported: Literal["yes", "in part", "no"]
    how: str
    proof: str


def _nasty(area: str, name: str, how: str, proof: str) -> Feature:
    return Feature(area, name, "yes", how, proof)


FEATURES: Final = (
    _nasty(
        "tables",
        "partitions: list, range, hash, by expression, with default and sub-partitions",
        "leaves are read one by one, rows are written through the parent; both sides may be cut in other ways",
        "PARTITION BY LIST (region)",
    ),
    _nasty(
        "tables", "partitions with other column order or dropped columns", "by name", "ATTACH PARTITION booking_south"
    ),
    _nasty(
        "tables", "partitioned without a partition", "nothing to carry; its foreign keys are kept", "no_partition_yet"
    ),
    _nasty(
        "tables",
        "inheritance",
        "every table's own rows (`ONLY`); parents and children are tables of their own",
        "INHERITS (place)",
    ),
    _nasty("tables", "typed tables (`OF type`)", "as any table", 'OF "Mixed Case"."Pair"'),
    _nasty(
        "tables",
        "unlogged tables",
        "carried; the plan warns where the destination's is unlogged",
        "CREATE UNLOGGED TABLE",
    ),
    _nasty("tables", "without a key, with equal rows", "rows are read by place, not by key", "CREATE TABLE no_key"),
    _nasty("tables", "rows of NULL alone, columns that were dropped or added", "as any", "CREATE TABLE one_null"),
    Feature(
        "tables",
        "500 tables",
        "yes",
        "planned in seconds",
        "integration/test_many_tables.py::test_five_hundred_tables_are_drafted_and_planned_in_seconds",
    ),
    Feature(
        "tables",
        "views and materialised views as sources",
        "yes",
        "named exactly in the job, with a key or by the whole row's text",
        "e2e/test_view_runs.py::",
    ),
    Feature(
        "tables",
        "foreign tables and partitions",
        "no",
        "left out with a warning, refused where they are part of a carried table: their rows are another server's",
        "integration/catalogue_corner_cases.sql",
    ),
    Feature(
        "tables",
        "temporary tables, large objects",
        "no",
        "a session's own; of a large object only its number is in a row",
        "conformance/made_types.py",
    ),
    _nasty("columns", "generated, stored", "not written: the destination makes it", "GENERATED ALWAYS AS (to_tsvector"),
    _nasty("columns", "generated, virtual (18)", "not read, not written", "VIRTUAL, last_name text"),
    _nasty(
        "columns",
        "identity, always and by default",
        "COPY brings the source's or masked values",
        "GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    ),
    _nasty(
        "columns",
        "serial, owned, shared and free sequences",
        "start above what was loaded; free ones are left alone",
        "CREATE SEQUENCE free_standing",
    ),
    _nasty(
        "columns",
        "domains over domains, with checks",
        "masked by their base type; the plan names checks that a mask might break",
        "CREATE DOMAIN small_positive AS positive",
    ),
    _nasty(
        "columns",
        "collations",
        "equality that ignores case is masked folded; looser ones are refused in keys",
        'COLLATE "C"',
    ),
    _nasty(
        "constraints",
        "primary and unique keys, composite, deferrable, with INCLUDE",
        "stay; proved under the masks, or refused",
        "reservation_slot_key UNIQUE (slot) DEFERRABLE",
    ),
    _nasty("constraints", "NULLS NOT DISTINCT (15)", "known to the proofs", "UNIQUE NULLS NOT DISTINCT (a, b)"),
    _nasty("constraints", "exclusion constraints", "stay", "EXCLUDE USING gist"),
    _nasty(
        "constraints",
        "keys without overlaps and foreign keys over periods (18)",
        "stay and come back; keys checked by PostgreSQL itself, references by a query afterwards",
        "WITHOUT OVERLAPS",
    ),
    _nasty(
        "constraints",
        "foreign keys: composite, MATCH FULL, actions, SET NULL of some columns, comments",
        "bypass: dropped and rebuilt exactly. respect: stay, parents first",
        "ON DELETE SET NULL (chapter)",
    ),
    _nasty(
        "constraints",
        "foreign keys to and from partitioned tables",
        "rebuilt in the way each version can",
        "receipt_booking_fkey",
    ),
    _nasty(
        "constraints",
        "cycles and self-references",
        "bypass: as any. respect: under `session_replication_role`, which must be granted",
        "department_head_fkey",
    ),
    _nasty(
        "constraints",
        "NOT VALID",
        "comes back NOT VALID; rows that point nowhere are told, and no failure",
        "REFERENCES place NOT VALID",
    ),
    _nasty("constraints", "NOT ENFORCED (18)", "stays; told, not checked", "NOT ENFORCED"),
    _nasty("constraints", "checks", "PostgreSQL tests every row that comes in", "loose_amount_check"),
    _nasty(
        "indexes",
        "partial, by expression, descending, INCLUDE, of any access method, extended statistics, comments, settings",
        "bypass: dropped and rebuilt exactly where no constraint needs them",
        "employee_partial_idx",
    ),
    _nasty(
        "indexes",
        "unique over lower(x) or a function",
        "the mask runs on the folded text, or the plan refuses",
        "employee_name_key",
    ),
    _nasty("indexes", "on partitions of their own", "rebuilt under their own names", "booking_south_only_idx"),
    _nasty(
        "behaviour",
        "triggers: row, statement, TRUNCATE, constraint triggers",
        "do not fire, and are enabled as before afterwards",
        "employee_truncated AFTER TRUNCATE",
    ),
    _nasty("behaviour", "rules", "COPY does not apply them; they stay", "CREATE RULE employee_not_deleted"),
    _nasty(
        "behaviour",
        "row security",
        "rows must not hide: the source's role needs BYPASSRLS where a policy applies",
        "ENABLE ROW LEVEL SECURITY",
    ),
    _nasty(
        "behaviour",
        "views and materialised views of the destination",
        "stay as they are; nothing is refreshed",
        "MATERIALIZED VIEW employee_count",
    ),
    _nasty(
        "names",
        "mixed case, quotes, blanks, dots, key words, other scripts",
        "always quoted, always with their schema",
        '"dotted.name"',
    ),
    _nasty("names", "names that differ by case alone", "are different names", 'CREATE TABLE "ITEM"'),
    _nasty("names", "63 bytes", "as they are", "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_123456789"),
    _nasty(
        "names",
        "several schemas, extensions in a schema of their own",
        "qualified; operators too",
        "CREATE EXTENSION citext SCHEMA extension",
    ),
    Feature(
        "servers",
        "PostgreSQL 14, 15, 16, 17, 18",
        "yes",
        "as source and as destination",
        "e2e/test_versions.py::test_the_nasty_schema_runs_untouched",
    ),
    Feature(
        "servers",
        "source and destination of unequal versions",
        "yes",
        "upwards and downwards; what the destination lacks stops the plan",
        "e2e/test_versions.py::test_every_type_arrives_byte_equal",
    ),
    Feature(
        "servers",
        "other defaults of DateStyle, TimeZone, IntervalStyle, bytea_output, lc_monetary, search_path",
        "yes",
        "each session has its own",
        "conformance/database.py",
    ),
    Feature(
        "servers",
        "rows above the message limit",
        "in part",
        "up to `limits.message_bytes`, 64 MiB at most; a larger one fails the run with table and place",
        "unit/reader/test_reader_batches.py::",
    ),
)
