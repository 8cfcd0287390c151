INSERT INTO "Owner" ("ID", "Full Name", email, place, boss, tags, doc, body, notes, amount, seen, born, score)
SELECT i, 'Person ' || i, 'p' || i || '@canary-mail.test', i, nullif(i / 2, 0), ARRAY['t' || i, NULL], jsonb_build_object('k', i),
  repeat(md5(i::text), 100), CASE WHEN i % 3 = 0 THEN repeat(md5(i::text), 80) END, i * 1.5,
  CASE WHEN i % 11 = 0 THEN 'infinity' ELSE timestamptz '2024-01-01' + i * interval '1 hour' END, date '1980-01-01' + i, i / 7.0
FROM generate_series(1, 300) i;
INSERT INTO item SELECT gen_random_uuid(), 1 + i % 300, 'k' || i % 9, decode(md5(i::text), 'hex'),
  tstzrange('2024-01-01', timestamptz '2024-01-01' + i * interval '1 day'), repeat(md5(i::text), 90),
  timestamp '2024-01-01' + i * interval '1 min', '{"a" : 1, "b": [1, 2]}' FROM generate_series(1, 600) i;
INSERT INTO item_part SELECT id, n, 'part ' || n FROM item, generate_series(1, 2) n;
INSERT INTO code SELECT 'CODE-' || lpad(i::text, 6, '0'), 'label ' || i FROM generate_series(1, 100) i;
INSERT INTO code_use (code, n) SELECT 'CODE-' || lpad((1 + i % 100)::text, 6, '0'), i FROM generate_series(1, 300) i;
INSERT INTO event SELECT i, date '2023-06-01' + (i % 900)::int, 1 + i % 300, jsonb_build_object('n', i), 'e' || i FROM generate_series(1, 500) i;
INSERT INTO log SELECT i % 10, 'b' || i % 7, (i % 5) * 1.50, CASE WHEN i % 5 = 0 THEN '-infinity' ELSE timestamptz '2024-05-05' END,
  '{"x":  1}' FROM generate_series(1, 200) i;
INSERT INTO badge SELECT 'SN' || lpad(i::text, 8, '0'), i, 'red' FROM generate_series(1, 200) i;
INSERT INTO whole SELECT i, repeat(md5(i::text), 100), i FROM generate_series(1, 100) i;
INSERT INTO tide SELECT i, 0, repeat('~', 40) FROM generate_series(1, 1500) i;
SELECT setval(pg_get_serial_sequence('code_use', 'id'), 100000);
