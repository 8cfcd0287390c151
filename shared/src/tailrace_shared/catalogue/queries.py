"""The catalogue's SQL: one query per kind of object, never one per table. PostgreSQL 14 to 18.

All of them run with ``search_path = pg_catalog``, so that every name in a definition comes out qualified. They return rows of
``pg_catalog`` tables only: https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from typing import Final

SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_database()::text AS database,
       current_setting('server_encoding') AS encoding,
       current_user::text AS role,
       r.rolsuper AS superuser,
       has_database_privilege(current_database(), 'CREATE') OR COALESCE((
         SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = 'tailrace'), false) AS can_create,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS may_identify
FROM pg_roles r WHERE r.rolname = current_user
"""

SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"

MAY_REPLICATE = "SELECT has_parameter_privilege('session_replication_role', 'SET')"
"""15 and above; before, only a superuser may."""

SCHEMAS = """
SELECT nspname::text AS name, has_schema_privilege(oid, 'USAGE') AS usage, has_schema_privilege(oid, 'CREATE') AS "create"
FROM pg_namespace WHERE nspname = ANY($1::text[])
"""

ROOTS = """
WITH own AS (
  SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), mine AS (
  SELECT oid FROM own
  UNION SELECT t.relid FROM own, LATERAL pg_partition_tree(own.oid) t WHERE own.relkind = 'p'
), partner AS (
  SELECT conrelid AS oid FROM pg_constraint WHERE contype = 'f' AND confrelid IN (SELECT oid FROM mine)
  UNION SELECT confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT oid FROM mine)
)
SELECT oid::bigint AS oid FROM own
UNION SELECT COALESCE(pg_partition_root(oid), oid)::bigint FROM partner
"""
"""Tables of the schemas, and tables elsewhere that a foreign key ties to them; none of an extension's own."""

RELATIONS = """
WITH member AS (
  SELECT c.oid AS root, c.oid, c.relkind <> 'p' AS leaf, NULL::oid AS parent FROM pg_class c WHERE c.oid = ANY($1::oid[])
  UNION
  SELECT c.oid, t.relid, t.isleaf, t.parentrelid FROM pg_class c, LATERAL pg_partition_tree(c.oid) t
  WHERE c.oid = ANY($1::oid[]) AND c.relkind = 'p' AND t.relid <> c.oid
)
SELECT m.root::bigint AS root, m.oid::bigint AS oid, m.leaf, n.nspname::text AS schema, c.relname::text AS name,
       c.relkind::text AS kind, c.relpersistence::text AS persistence, c.relreplident::text AS replica_identity,
       COALESCE(pg_relation_filenode(c.oid), 0)::bigint AS filenode, c.reltuples::float8 AS rows,
       COALESCE(pg_relation_size(c.oid), 0)::bigint AS heap,
       COALESCE(CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) END, 0)::bigint AS toast,
       current_setting('block_size')::int AS block,
       m.parent::bigint AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound,
       CASE WHEN m.leaf THEN pg_get_partition_constraintdef(c.oid) END AS takes,
       row_security_active(c.oid) AS row_security, pg_get_userbyid(c.relowner)::text AS owner,
       COALESCE((SELECT r.rolsuper FROM pg_roles r WHERE r.oid = c.relowner), false) AS owner_rules_all,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
             WHERE has_table_privilege(c.oid, p)) AS privileges,
       pg_has_role(c.relowner, 'USAGE') AS own
FROM member m JOIN pg_class c ON c.oid = m.oid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY n.nspname, c.relname
"""

COLUMNS = """
SELECT a.attrelid::bigint AS relation, a.attname::text AS name, a.attnum::int AS number, a.atttypid::bigint AS type,
       a.atttypmod AS modifier, format_type(a.atttypid, a.atttypmod) AS type_name, a.attnotnull AS not_null,
       a.atthasdef AS has_default, {proved} AS proved, a.attidentity::text AS identity, a.attgenerated::text AS generated,
       COALESCE(NOT o.collisdeterministic, false) AS nondeterministic, {locale} AS locale
FROM pg_attribute a LEFT JOIN pg_collation o ON o.oid = a.attcollation
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

NOT_NULL_PROVED = """NOT EXISTS (
         SELECT 1 FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
           AND NOT k.convalidated)"""
"""18 and above: a NOT NULL may be NOT VALID, and then says nothing of the rows that are there."""

TYPES = """
WITH RECURSIVE used AS (
  SELECT unnest($1::oid[]) AS oid
  UNION SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
  FROM used JOIN pg_type t ON t.oid = used.oid WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
)
SELECT t.oid::bigint AS oid, n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind,
       t.typbasetype::bigint AS base, t.typtypmod AS modifier, t.typnotnull AS not_null, t.typdefault IS NOT NULL AS has_default,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem::bigint END AS element,
       ARRAY(SELECT format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
       || ARRAY(SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS parts,
       ARRAY(SELECT c.conname::text FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY 1) AS checks,
       ARRAY(SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c
             WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.conname) AS definitions
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT oid FROM used)
"""

INDEXES = """
SELECT x.indexrelid::bigint AS oid, h.inhparent::bigint AS parent,
       x.indrelid::bigint AS relation, i.relname::text AS name, pg_get_indexdef(x.indexrelid) AS definition,
       i.relkind::text AS kind, x.indisunique AS "unique", x.indisprimary AS "primary",
       x.indisreplident AS identifies, x.indimmediate AS immediate,
       x.indisvalid AND x.indisready AS valid, {nulls_not_distinct} AS nulls_not_distinct,
       pg_get_expr(x.indpred, x.indrelid) AS predicate, k.conname::text AS "constraint", k.contype::text AS constraint_kind,
       x.indisclustered AS clustered, s.spcname::text AS tablespace,
       quote_literal(obj_description(x.indexrelid, 'pg_class')) AS comment,
       quote_literal(obj_description(k.oid, 'pg_constraint')) AS constraint_comment,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY p (number, place)
             LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = p.number AND p.number <> 0
             WHERE p.place <= x.indnkeyatts ORDER BY p.place) AS columns,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, p.place::int, false)
             FROM unnest(x.indkey::int2[]) WITH ORDINALITY p (number, place)
             WHERE p.number = 0 ORDER BY p.place) AS expressions,
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d
             JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid > 0
               AND ((d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid)
                 OR (d.classid = 'pg_constraint'::regclass AND d.objid = k.oid))
             ORDER BY 1) AS uses,
       ARRAY(SELECT format('%s %s', a.attnum, a.attstattarget) FROM pg_attribute a
             WHERE a.attrelid = x.indexrelid AND a.attstattarget >= 0 ORDER BY a.attnum) AS statistics,
       ARRAY(SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid AND d.deptype = 'x'
               AND d.refclassid = 'pg_extension'::regclass ORDER BY 1) AS extensions
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
LEFT JOIN pg_inherits h ON h.inhrelid = x.indexrelid
WHERE x.indrelid = ANY($1::oid[]) AND x.indislive
ORDER BY x.indrelid, i.relname
"""
"""``parent`` is the partitioned index that an index is attached to."""

FOREIGN_KEYS = """
SELECT k.conname::text AS name, k.conrelid::bigint AS relation, k.confrelid::bigint AS "references",
       pg_get_constraintdef(k.oid) AS definition, k.condeferrable AS deferrable, k.condeferred AS deferred,
       k.convalidated AS validated, k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
       {enforced} AS enforced, {temporal} AS temporal,
       EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled = 'D') AS silenced,
       ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM unnest(k.conpfeqop) WITH ORDINALITY p (number, place)
             JOIN pg_operator o ON o.oid = p.number JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY p.place) AS operators,
       quote_literal(obj_description(k.oid, 'pg_constraint')) AS comment, {parts},
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number ORDER BY p.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY p (number, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.number ORDER BY p.place) AS referenced_columns
FROM pg_constraint k
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY($1::oid[]) OR k.confrelid = ANY($1::oid[]))
ORDER BY k.conrelid, k.conname
"""

PARTS = """ARRAY(
         WITH RECURSIVE part AS (
           SELECT c.oid, c.conname, c.conrelid, 1 AS depth FROM pg_constraint c
           WHERE c.conparentid = k.oid AND c.conrelid <> k.conrelid
           UNION ALL
           SELECT c.oid, c.conname, c.conrelid, depth + 1 FROM part JOIN pg_constraint c ON c.conparentid = part.oid
           WHERE c.conrelid <> part.conrelid
         )
         SELECT ARRAY[conrelid::regclass::text, quote_ident(conname),
                      CASE WHEN conname <> k.conname THEN pg_get_constraintdef(oid) END,
                      quote_literal(obj_description(oid, 'pg_constraint'))]
         FROM part WHERE conname <> k.conname OR obj_description(oid, 'pg_constraint') <> ''
         ORDER BY depth DESC, conrelid::regclass::text) AS parts"""
"""Of a partitioned table's key: partitions that have it under another name, or with a comment. The innermost come first."""

CHECKS = """
SELECT k.conrelid::bigint AS relation, k.conname::text AS name, pg_get_constraintdef(k.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number ORDER BY p.place) AS columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'c' AND (k.coninhcount = 0 OR NOT c.relispartition) AND k.conrelid = ANY($1::oid[])
ORDER BY k.conrelid, k.conname
"""

TRIGGERS = """
SELECT t.tgrelid::bigint AS relation, t.tgname::text AS name, t.tgenabled::text AS enabled, t.tgparentid <> 0 AS inherited
FROM pg_trigger t LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE NOT t.tgisinternal AND (t.tgparentid = 0 OR t.tgenabled <> p.tgenabled) AND t.tgrelid = ANY($1::oid[])
ORDER BY (SELECT count(*) FROM pg_partition_ancestors(t.tgrelid)), t.tgrelid, t.tgname
"""
"""A partition's copy of its parent's trigger only where it is enabled otherwise; before 15 it is the system's own, and only a
superuser makes it so. Parents come first: what is said to them goes on to their partitions."""

SEQUENCES = """
WITH used AS (
  SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number FROM pg_depend d
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    AND d.refobjsubid > 0 AND d.refobjid = ANY($1::oid[])
  UNION
  SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d
  JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
  WHERE d.refclassid = 'pg_class'::regclass AND f.adrelid = ANY($1::oid[])
  UNION
  SELECT d.refobjid, a.attrelid, a.attnum FROM pg_depend d
  JOIN pg_attribute a ON d.classid = 'pg_type'::regclass AND d.objid = a.atttypid AND NOT a.attisdropped
  WHERE d.refclassid = 'pg_class'::regclass AND a.attrelid = ANY($1::oid[]) AND NOT a.atthasdef
  UNION
  SELECT to_regclass(m.name[1])::oid, m.adrelid, m.adnum FROM (
    SELECT f.adrelid, f.adnum, regexp_match(pg_get_expr(f.adbin, f.adrelid), {late}) AS name
    FROM pg_attrdef f WHERE f.adrelid = ANY($1::oid[])) m
  WHERE m.name IS NOT NULL
)
SELECT n.nspname::text AS schema, s.relname::text AS name, u.relation::bigint AS relation, a.attname::text AS "column",
       format_type(q.seqtypid, NULL) AS type, q.seqincrement AS increment, q.seqmax AS maximum,
       has_sequence_privilege(s.oid, 'SELECT') AS may_read, has_sequence_privilege(s.oid, 'UPDATE') AS may_set,
       pg_has_role(s.relowner, 'USAGE') AS own
FROM used u JOIN pg_class s ON s.oid = u.sequence AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = u.number
ORDER BY n.nspname, s.relname, u.relation, a.attnum
"""
"""Sequences that columns own (serial, identity) or that their defaults, or those of their domains, draw from; the name in a
default may be text, which is looked up when the default is used."""

LATE: Final = r"nextval\(\(?'((?:[^']|'')+)'::text"
"""``nextval('numbers'::text)``, ``nextval(('numbers'::text)::regclass)``: what a default from before 8.1 looks like."""

INHERITORS = """
SELECT i.inhparent::bigint AS relation, n.nspname::text AS schema, c.relname::text AS name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.inhparent = ANY($1::oid[]) AND c.relkind IN ('r', 'f') AND NOT c.relispartition
ORDER BY n.nspname, c.relname
"""

RULES = """
SELECT r.ev_class::bigint AS relation, r.rulename::text AS name, r.ev_type::text AS event, r.ev_enabled::text AS enabled
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE r.ev_type <> '1' AND c.relkind IN ('r', 'p') AND r.ev_class = ANY($1::oid[])
ORDER BY r.ev_class, r.rulename
"""
"""``ev_type``: 2 UPDATE, 3 INSERT, 4 DELETE; 1, SELECT, is what makes a view."""

PARTITION_KEYS = """
SELECT p.partrelid::bigint AS relation, p.partstrat::text AS strategy, p.partdefid <> 0 AS has_default, a.attname::text AS name
FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum > 0
WHERE p.partrelid = ANY($1::oid[])
  AND (a.attnum = ANY(p.partattrs::int2[]) OR EXISTS (
    SELECT 1 FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = p.partrelid AND d.objsubid = a.attnum
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.partrelid AND d.refobjsubid = 0 AND d.deptype = 'i'))
ORDER BY 1, 4
"""
"""Columns of partition keys at every level; the dependency finds those inside expressions."""


def columns(version: int) -> str:
    """COLUMNS for a server; the collation's locale has moved between versions."""
    locale = "o.colllocale" if version >= 170000 else "o.colliculocale" if version >= 150000 else "o.collcollate::text"
    return COLUMNS.format(locale=locale, proved=NOT_NULL_PROVED if version >= 180000 else "true")


def sequences() -> str:
    """SEQUENCES, with the pattern of a name that is text."""
    return SEQUENCES.format(late="'" + LATE.replace("'", "''") + "'")


def indexes(version: int) -> str:
    """INDEXES for a server; NULLS NOT DISTINCT is new in 15."""
    return INDEXES.format(nulls_not_distinct="x.indnullsnotdistinct" if version >= 150000 else "false")


def foreign_keys(version: int) -> str:
    """FOREIGN_KEYS for a server; NOT ENFORCED and PERIOD are new in 18."""
    new = version >= 180000
    enforced, temporal = ("k.conenforced", "k.conperiod") if new else ("true", "false")
    return FOREIGN_KEYS.format(enforced=enforced, temporal=temporal, parts=PARTS)
