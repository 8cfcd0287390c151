"""A database's whole structure as text, for comparing a source with a destination that was made from it."""

from __future__ import annotations

from support.databases import Pair

STRUCTURE = """
SELECT kind, name, detail FROM (
  SELECT 'column' AS kind, a.attrelid::regclass::text || '.' || a.attname AS name,
         concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                   a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum),
                   c.relkind, c.relreplident, c.relrowsecurity, c.relpersistence,
                   pg_get_expr(c.relpartbound, c.oid)) AS detail, c.relnamespace AS space
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
  UNION ALL SELECT 'parent', inhrelid::regclass::text, inhparent::regclass::text, c.relnamespace
  FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
  UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname,
         pg_get_constraintdef(oid) || convalidated || coalesce(obj_description(oid, 'pg_constraint'), ''), connamespace
  FROM pg_constraint WHERE contype <> 't'
  UNION ALL SELECT 'index', indexrelid::regclass::text,
         concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisclustered, obj_description(indexrelid, 'pg_class')),
         c.relnamespace
  FROM pg_index JOIN pg_class c ON c.oid = indexrelid
  UNION ALL SELECT 'trigger', tgrelid::regclass::text || '.' || tgname, pg_get_triggerdef(t.oid) || tgenabled::text,
         c.relnamespace
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal
  UNION ALL SELECT 'routine', p.oid::regprocedure::text,
         concat_ws(' ', pg_get_function_result(p.oid), prosrc, prokind, pg_get_function_sqlbody(p.oid)), pronamespace
  FROM pg_proc p WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  UNION ALL SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid) || c.relispopulated::text, relnamespace
  FROM pg_class c WHERE relkind IN ('v', 'm')
  UNION ALL SELECT 'rule', ev_class::regclass::text || '.' || rulename, pg_get_ruledef(r.oid), c.relnamespace
  FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
  UNION ALL SELECT 'type', t.oid::regtype::text,
         concat_ws(' ', typtype, (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)),
         typnamespace
  FROM pg_type t WHERE typelem = 0
  UNION ALL SELECT 'sequence', s.seqrelid::regclass::text,
         concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqcycle,
                   (SELECT d.refobjid::regclass || '.' || d.refobjsubid FROM pg_depend d
                    WHERE d.objid = s.seqrelid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))), relnamespace
  FROM pg_sequence s JOIN pg_class c ON c.oid = seqrelid
  UNION ALL SELECT 'policy', polrelid::regclass::text || '.' || polname, coalesce(pg_get_expr(polqual, polrelid), ''),
         c.relnamespace
  FROM pg_policy JOIN pg_class c ON c.oid = polrelid
  UNION ALL SELECT 'statistics', stxname, pg_get_statisticsobjdef(oid), stxnamespace FROM pg_statistic_ext
  UNION ALL SELECT 'comment', c.oid::regclass::text, obj_description(c.oid, 'pg_class'), relnamespace FROM pg_class c
  WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
) s JOIN pg_namespace n ON n.oid = s.space
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tailrace') ORDER BY 1, 2, 3
"""


def structure(pair: Pair, side: str) -> list[tuple[str, ...]]:
    """Everything that a side has, but its rights and owners."""
    return [tuple(map(str, row)) for row in pair.fetch(side, STRUCTURE)]
