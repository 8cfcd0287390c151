ALTER TABLE sale DISABLE TRIGGER USER;
INSERT INTO region SELECT i, 'region ' || i FROM generate_series(10, 40) i;
INSERT INTO depot SELECT md5('depot' || i)::uuid, 10 + i % 31, 'CanaryManager' || i FROM generate_series(1, 400) i;
INSERT INTO sale SELECT i * 2, md5('depot' || 1 + i % 400)::uuid, NULL, 'CanaryBuyer' || i, (i * 173 % 100000)::numeric / 100
FROM generate_series(1, 6000) i;
INSERT INTO refund SELECT 40001 + i, i * 4, CASE WHEN i % 3 = 0 THEN 'broken ' || i END FROM generate_series(1, 1500) i;
SELECT setval('document_number', 41501);
ANALYZE;
