-- Deterministic rows; :customers is set by the caller. Every masked column holds a canary that must never arrive.
ALTER TABLE shipment DISABLE TRIGGER USER;
INSERT INTO customer (customer_id, first_name, last_name, email, phone, street, city, postcode, born, referred_by, balance, note, created)
SELECT i, 'CanaryFirst' || i, 'CanaryLast' || (i % 997), 'canary' || i || '@canary-mail.test', CASE WHEN i % 5 > 0 THEN '+1 202 ' || (5550000 + i) END,
  i || ' Canary Lane', 'Canaryville', 'CN' || (10000 + i % 80000), DATE '1950-01-01' + (i * 37) % 20000,
  CASE WHEN i > 10 AND i % 3 = 0 THEN i - 7 END, (i * 7919 % 1000000)::numeric / 100,
  CASE WHEN i % 4 = 0 THEN 'called about canary secret ' || i || repeat(' x', i % 50) END, TIMESTAMPTZ '2020-01-01' + i * INTERVAL '7 minutes'
FROM generate_series(1, :customers) i;
INSERT INTO product SELECT 'SKU-' || lpad(i::text, 6, '0'), 'Thing ' || i, (i * 31 % 10000)::numeric / 100 FROM generate_series(1, 500) i;
INSERT INTO orders SELECT md5('order' || i)::uuid, 1 + (i * 13) % :customers, TIMESTAMPTZ '2021-01-01' + i * INTERVAL '3 minutes', (i * 173 % 100000)::numeric / 100, i % 2 = 0
FROM generate_series(1, :customers * 2) i;
INSERT INTO order_line SELECT md5('order' || i)::uuid, l, 'SKU-' || lpad((1 + (i * l) % 500)::text, 6, '0'), 1 + (i + l) % 9
FROM generate_series(1, :customers * 2) i, generate_series(1, 2) l;
INSERT INTO shipment (order_id, line, carrier, sent) SELECT md5('order' || i)::uuid, 1, 'carrier ' || i % 7, DATE '2021-01-01' + i % 700
FROM generate_series(1, :customers) i;
INSERT INTO audit SELECT i, 'kept out' FROM generate_series(1, 10) i;
ALTER TABLE shipment ENABLE TRIGGER USER;
SELECT setval('customer_customer_id_seq', (SELECT max(customer_id) FROM customer));
ANALYZE;
