"""What a view is made of: a digest that changes whenever reading it under an old snapshot would give something else.

A view has no heap of its own. What can change under a running snapshot is its definition, that of the views below it, their
columns, and the files of the tables below (TRUNCATE and rewrites leave an old snapshot nothing to see).
"""

from __future__ import annotations

from typing import Final

SHAPE: Final = """
WITH RECURSIVE below(oid) AS (
  SELECT $1::oid
  UNION
  SELECT n.oid FROM below b, LATERAL (
    SELECT d.refobjid FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    WHERE r.ev_class = b.oid
    UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = b.oid
  ) n(oid)
), member AS (
  SELECT c.oid, c.relkind, c.reloptions, c.relispopulated,
         CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END AS definition,
         pg_catalog.pg_relation_filenode(c.oid) AS file
  FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid
)
SELECT pg_catalog.md5(
         (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod), E'\\n'
                 ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped)
         || pg_catalog.string_agg(pg_catalog.concat_ws(' ', m.oid, m.relkind, m.reloptions, m.definition, m.file), E'\\n'
                                  ORDER BY m.oid)) AS shape,
       COALESCE(pg_catalog.bool_or(m.definition ~ $2), false) AS moving,
       pg_catalog.array_agg(m.oid::pg_catalog.regclass::text) FILTER (WHERE NOT m.relispopulated) AS unfilled
FROM member m
"""
"""$1 the view, $2 MOVING. Definitions print alike only under the same search path: run it with ``search_path = pg_catalog``.

In a transaction with an old snapshot it describes the view as the snapshot has it; only a fresh one says what it is now.
"""

MOVING: Final = (
    r"""(^|[^a-zA-Z0-9_$."])(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal"""
    r"""|gen_random_uuid|uuidv4|uuidv7|nextval|currval|lastval|pg_backend_pid|txid_current|pg_current_xact_id|pg_sleep)\("""
    r"""|(^|[^a-zA-Z0-9_$."'])(CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP)([^a-zA-Z0-9_$"']|$)"""
    r"""|(^|[^a-zA-Z0-9_$."'])TABLESAMPLE """
)
"""Definitions whose rows depend on when or by whom they are read, as pg_get_viewdef prints them."""

VOLATILE: Final = """
WITH RECURSIVE below(oid) AS (
  SELECT $1::oid
  UNION
  SELECT d.refobjid FROM below b JOIN pg_catalog.pg_class v ON v.oid = b.oid AND v.relkind = 'v'
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
)
SELECT ARRAY(
  SELECT DISTINCT p.proname::text FROM below b JOIN pg_catalog.pg_rewrite r ON r.ev_class = b.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid AND p.provolatile = 'v' ORDER BY 1)
"""
"""Functions that do not say that they give the same answer twice: most only lack the label."""
