INSERT INTO guest (identifier, email, phone, nationality, passport_no, tax_id, merged_into, device_id)
SELECT 'login-' || i, 'mara.' || i || '@canary-mail.test', '+49 30 ' || 1000 + i, (ARRAY['de', 'fr', 'nl'])[1 + i % 3],
       'XY' || 100000 + i, 'T' || i, CASE WHEN i % 5 = 0 THEN i - 1 END, i
FROM generate_series(1, 200) i;
INSERT INTO room SELECT i, 'Room ' || i FROM generate_series(1, 40) i;
INSERT INTO stay SELECT i, CASE WHEN i % 2 = 0 THEN 1 + i % 200 END, CASE WHEN i % 2 = 1 THEN 1 + i % 40 END,
       CASE WHEN i % 2 = 1 THEN 101 ELSE 7 END, 'Ghent ' || i, 'Canary Lane ' || i, 'Z' || i, 'Ghent Canary Lane ' || i
FROM generate_series(1, 300) i;
INSERT INTO bank_card SELECT i, i, 'Mara Canary ' || i, '4111-' || 1000 + i, CASE WHEN i % 5 = 0 THEN 'gift' ELSE 'debit' END,
       CASE WHEN i % 5 > 0 THEN 'canary-' || i END, 'Canary Lane ' || i
FROM generate_series(1, 100) i;
INSERT INTO invoice SELECT i, 'Mara Canary ' || i, 'Canary Lane ' || i, 'Canary GmbH ' || i, i FROM generate_series(1, 100) i;
INSERT INTO survey_entry SELECT i, 'good', 'Mara Canary ' || i, 'https://canary-mail.test/' || i, 'm' || i || '@canary-mail.test',
       'Mara Canary was here ' || i, i % 2, '{"who": "Mara Canary"}' FROM generate_series(1, 100) i;
INSERT INTO stay_note SELECT i, i, 'Mara Canary called ' || i FROM generate_series(1, 100) i;
