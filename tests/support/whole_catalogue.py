"""Everything that a database's structure says, as text: equal before and after means that nothing was lost or altered."""

from __future__ import annotations

WHOLE_CATALOGUE = """
WITH space AS (
  SELECT oid, nspname::text AS name FROM pg_namespace
  WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'tailrace')
), relation AS (
  SELECT c.*, format('%I.%I', s.name, c.relname) AS named FROM pg_class c JOIN space s ON s.oid = c.relnamespace
)
SELECT 'relation' AS kind, named AS of, concat_ws('; ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relreplident,
       relispartition, pg_get_expr(relpartbound, oid), CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END, reloptions::text,
       relacl::text, pg_get_userbyid(relowner), obj_description(oid, 'pg_class'), reltablespace,
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END) AS said FROM relation
UNION ALL
SELECT 'column', named || '.' || a.attname, concat_ws('; ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, a.attgenerated, a.attstorage, a.attstattarget, a.attcollation::regcollation, a.attacl::text,
       pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', coalesce(named, '') || ' ' || k.conname, concat_ws('; ', pg_get_constraintdef(k.oid), k.convalidated,
       k.conislocal, k.coninhcount, obj_description(k.oid, 'pg_constraint'))
FROM pg_constraint k JOIN space s ON s.oid = k.connamespace LEFT JOIN relation r ON r.oid = k.conrelid
UNION ALL
SELECT 'index', i.named, concat_ws('; ', pg_get_indexdef(x.indexrelid), x.indisvalid, x.indisready, x.indisclustered,
       x.indisreplident, obj_description(x.indexrelid, 'pg_class'),
       (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = i.oid))
FROM pg_index x JOIN relation i ON i.oid = x.indexrelid
UNION ALL
SELECT 'trigger', named || ' ' || t.tgname, concat_ws('; ', pg_get_triggerdef(t.oid), t.tgenabled,
       obj_description(t.oid, 'pg_trigger'))
FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', named || ' ' || w.rulename, concat_ws('; ', pg_get_ruledef(w.oid), w.ev_enabled)
FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class
UNION ALL
SELECT 'policy', named || ' ' || p.polname, concat_ws('; ', p.polcmd, pg_get_expr(p.polqual, p.polrelid))
FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT 'statistics', e.stxname::text, pg_get_statisticsobjdef(e.oid) FROM pg_statistic_ext e JOIN space s ON s.oid = e.stxnamespace
UNION ALL
SELECT 'sequence', named, concat_ws('; ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcycle)
FROM pg_sequence q JOIN relation r ON r.oid = q.seqrelid
UNION ALL
SELECT 'type', format('%I.%I', s.name, t.typname), concat_ws('; ', t.typtype, t.typnotnull, t.typdefault,
       (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), pg_get_userbyid(t.typowner))
FROM pg_type t JOIN space s ON s.oid = t.typnamespace
UNION ALL
SELECT 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid))
FROM pg_proc p JOIN space s ON s.oid = p.pronamespace WHERE p.prokind = 'f'
UNION ALL
SELECT 'inherits', inhrelid::regclass::text, inhparent::regclass || ' ' || inhseqno FROM pg_inherits
ORDER BY 1, 2, 3
"""
"""Rows (kind, of, said); Tailrace's own schema left out."""
