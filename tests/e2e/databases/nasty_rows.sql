-- Rows for nasty.sql, under the replica role: no trigger rewrites or refuses them. :people is the size.
SELECT current_setting('server_version_num')::int >= 150000 AS v15, current_setting('server_version_num')::int >= 180000 AS v18 \gset
SET session_replication_role = replica;

INSERT INTO department OVERRIDING SYSTEM VALUE
  SELECT d, 'Department ' || d, 1000 + 3 * d FROM generate_series(1, 20) d;
INSERT INTO employee (employee_id, department_id, boss_id, mentor_id, first_name, last_name, email, feeling, born, salary, note)
  SELECT 1000 + 3 * e, 1 + e % 20, CASE WHEN e % 7 > 0 THEN 1000 + 3 * (e / 7) END, 1000 + 3 * (:people - 1 - e),
         'First ' || e, 'Lastname ' || chr(65 + e % 26) || e, 'Person' || e || '@Nasty-Mail.Test',
         (ARRAY['sad', 'so, so', 'it''s "fine"'])[1 + e % 3]::feeling,
         CASE e % 50 WHEN 0 THEN 'infinity' WHEN 1 THEN '0044-03-15 BC' WHEN 2 THEN NULL ELSE date '1950-01-01' + e END,
         CASE WHEN e % 11 = 0 THEN NULL ELSE e * 1.01 END, 'as it was ' || e
  FROM generate_series(0, :people - 1) e;
INSERT INTO chapter SELECT b, n, 'Chapter ' || n, CASE WHEN n < 9 THEN b END, CASE WHEN n < 9 THEN n + 1 END
  FROM generate_series(1, 50) b, generate_series(1, 9) n;
INSERT INTO paragraph (book, chapter, words) SELECT 1 + p % 50, 1 + p % 9, 'words of paragraph ' || p FROM generate_series(1, :people) p;
INSERT INTO booking SELECT (ARRAY['north', 'south', 'northwest', 'east', 'west'])[1 + b % 5], date '2019-01-01' + b % 700, b,
         CASE WHEN b % 3 > 0 THEN 1000 + 3 * (b % :people) END, NULL, NULL, NULL, 'Guest Name ' || b
  FROM generate_series(1, 2 * :people) b;
UPDATE booking n SET previous_region = p.region, previous_booked = p.booked, previous_id = p.booking_id
  FROM booking p WHERE p.booking_id = n.booking_id - 1 AND n.booking_id % 4 = 0;
INSERT INTO receipt (receipt_id, region, booked, booking_id, amount)
  SELECT md5('receipt' || booking_id)::uuid, region, booked, booking_id, booking_id * 0.37::numeric::money FROM booking WHERE booking_id % 2 = 0;
INSERT INTO hashed SELECT row_number() OVER (ORDER BY number), receipt_id, jsonb_build_object('n', number, 'text', E'a "b"\n') FROM receipt;
INSERT INTO by_month SELECT '2020-06-01 00:00:00+00'::timestamptz + m * interval '1 day', 'kind ' || m % 4, m FROM generate_series(1, 600) m;
INSERT INTO place SELECT p, 'Place ' || p FROM generate_series(1, 1000) p;
INSERT INTO capital SELECT 5000 + p, 'Capital ' || p, 'Country ' || p FROM generate_series(1, 100) p;
INSERT INTO typed_table SELECT p, 'typed ' || p FROM generate_series(1, 100) p;
INSERT INTO reservation SELECT r % 10, tstzrange(timestamptz '2020-01-01 00:00+00' + r * interval '1 hour', timestamptz '2020-01-01 00:50+00' + r * interval '1 hour'),
         'AB-' || r, nullif(r, 3) FROM generate_series(1, 500) r;
INSERT INTO loose SELECT p, CASE WHEN p % 2 = 0 THEN 1000 + 3 * (p % :people) END, p FROM generate_series(1, 900) p;
INSERT INTO loose SELECT p, NULL, p FROM generate_series(1501, 1510) p; -- point nowhere: a key that is NOT VALID allows it
\if :v15
INSERT INTO nulls_alike VALUES (1, 'x'), (NULL, 'x'), (1, NULL), (NULL, NULL);
INSERT INTO set_null_some SELECT s, s, 1 + s % 50, CASE WHEN s % 3 > 0 THEN 1 + s % 9 END FROM generate_series(1, 100) s;
\endif
\if :v18
INSERT INTO virtual_column (id, width, last_name) SELECT v, v * 3, 'Lastname ' || v FROM generate_series(1, 100) v;
INSERT INTO not_enforced SELECT v, v FROM generate_series(1, 100) v;
INSERT INTO tenure SELECT t, daterange(date '2000-01-01' + t, date '2010-01-01' + t), 'Holder ' || t FROM generate_series(1, 50) t;
INSERT INTO substitute SELECT t, daterange(date '2001-01-01' + t, date '2002-01-01' + t), 'note' FROM generate_series(1, 50) t;
\endif
INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 100) i;
INSERT INTO "Item" SELECT i, 101 - i, 1 + i / 2, 'Item ' || i FROM generate_series(1, 100) i;
INSERT INTO "ITEM" SELECT i, i, 'ITEM ' || i FROM generate_series(1, 100) i;
INSERT INTO "select" SELECT i, 'table ' || i, 'user ' || i FROM generate_series(1, 100) i;
INSERT INTO "dotted.name" SELECT i, 'colon ' || i, 'star' FROM generate_series(1, 100) i;
INSERT INTO "Mixed Case"."Ordinary" SELECT md5(i::text)::uuid, i, 'First ' || i FROM generate_series(1, 100) i;
INSERT INTO "ünïcode 😀"."таблица" ("имя", "日本語") SELECT 'имя ' || i, '日本' || i FROM generate_series(1, 100) i;
INSERT INTO abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_123456789 SELECT i, 1 + i / 2 FROM generate_series(1, 100) i;
INSERT INTO many_types
  SELECT t, 'Mail' || t || '@Nasty-Mail.Test', extension.hstore('k "' || t, NULL), ('top.n' || t)::extension.ltree,
         ROW(t, E'a,"b"\\' || t)::"Mixed Case"."Pair", ARRAY[ROW(t, NULL), NULL]::"Mixed Case"."Pair"[],
         ARRAY['sad', NULL, 'it''s "fine"']::feeling[], array_fill(t, ARRAY[2, 2], ARRAY[0, -1]), decode(md5(t::text), 'hex'),
         '10.0.0.0'::inet + t, int8multirange(int8range(t, t + 5), int8range(t + 10, NULL)), make_interval(months => t, days => -t, secs => 0.000001),
         (t % 1000)::bit(10)::bit varying, 10::numeric ^ (t % 200) + 0.123, chr(65 + t % 26)::"char", 'folded ' || t,
         timestamp '2020-01-01' + t * interval '1.001 s', date '2020-01-01' + t
  FROM generate_series(1, 200) t;
INSERT INTO no_key SELECT n % 5, 'same' FROM generate_series(1, 50) n;
INSERT INTO dropped_columns (a, b) SELECT n, 'b ' || n FROM generate_series(1, 50) n;
INSERT INTO unlogged SELECT n, 'Lastname ' || n FROM generate_series(1, 50) n;
INSERT INTO only_generated DEFAULT VALUES;
INSERT INTO only_generated DEFAULT VALUES;
INSERT INTO one_null VALUES (NULL), (''), (NULL);
INSERT INTO secured SELECT s, 'owner ' || s, 'secret ' || s FROM generate_series(1, 50) s;
INSERT INTO ruled SELECT r, 'ruled ' || r FROM generate_series(1, 50) r;
RESET session_replication_role;
REFRESH MATERIALIZED VIEW employee_count;
DELETE FROM chapter WHERE book = 0;
ANALYZE;
