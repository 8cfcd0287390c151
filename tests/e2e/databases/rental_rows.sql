INSERT INTO city (name) SELECT 'City ' || n FROM generate_series(1, 8) n;
INSERT INTO staff (boss, name, active) SELECT CASE WHEN n > 1 THEN n / 2 END, 'Staff ' || n, n <> 3 FROM generate_series(1, 30) n;
INSERT INTO customer (city, served_by, email)
SELECT 1 + n % 8, CASE WHEN n % 4 > 0 THEN 1 + n % 30 END, 'canary-mail.test+' || n || '@example.org' FROM generate_series(1, 400) n;
INSERT INTO rental (customer, film) SELECT 1 + n % 400, 'Film ' || n % 90 FROM generate_series(1, 20000) n;
INSERT INTO payment SELECT n, 1 + n % 2, n, n % 40 + 0.99 FROM generate_series(1, 20000) n;
INSERT INTO note (owner_type, owner_id, text)
SELECT CASE n % 3 WHEN 0 THEN 'Customer' WHEN 1 THEN 'Staff' ELSE 'Nobody' END, 1 + n % 33, 'Note ' || n FROM generate_series(1, 600) n;
INSERT INTO visit (client, at) SELECT 1 + n % 420, date '2026-01-01' + n % 300 FROM generate_series(1, 900) n;
INSERT INTO audit (said) SELECT repeat('x', 400) || n FROM generate_series(1, 5000) n;
INSERT INTO person SELECT n, 'Person ' || n FROM generate_series(1, 50) n;
INSERT INTO member SELECT n, 'Member ' || n, date '2026-01-01' + n FROM generate_series(51, 90) n;
ANALYZE;
