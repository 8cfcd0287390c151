SELECT setseed(0.25);
INSERT INTO public.member
SELECT n, lower(md5(n::text)) || '@example.org', plan, region,
       CASE WHEN random() < 0.04 THEN NULL ELSE greatest(16, (young + 18 * (random() + random() - 1))::int) END,
       date '2019-01-01' + (1800 * random() ^ 0.6)::int,
       round((fee * exp(0.5 * (random() + random() + random() - 1.5)))::numeric, 2)
FROM (
    SELECT n, CASE WHEN draw < 0.2 THEN 'student' WHEN draw < 0.75 THEN 'standard' ELSE 'family' END AS plan,
           CASE WHEN draw < 0.2 THEN 22 WHEN draw < 0.75 THEN 37 ELSE 44 END AS young,
           CASE WHEN draw < 0.2 THEN 180 WHEN draw < 0.75 THEN 520 ELSE 1150 END AS fee,
           (ARRAY['north', 'south', 'east', 'west'])[1 + floor(4 * random() ^ 1.7)::int] AS region
    FROM (SELECT n, random() AS draw FROM generate_series(1, 8000) AS n) AS drawn
) AS kinds;
UPDATE public.member SET spent = 250000, age = 101 WHERE member_id = 4711;
INSERT INTO public.visit
SELECT row_number() OVER (), member_id, joined + (11 * (place + random()))::int, room,
       greatest(5, (CASE room WHEN 'gym' THEN 60 WHEN 'pool' THEN 40 ELSE 90 END + 20 * (random() + random() - 1))::int)
FROM (
    SELECT member_id, joined, place,
           (ARRAY['gym', 'pool', 'sauna'])[1 + CASE WHEN random() < 0.7 THEN member_id % 3 ELSE floor(3 * random())::int END] AS room
    FROM public.member, LATERAL generate_series(1, floor(CASE plan WHEN 'student' THEN 6 ELSE 2.5 END * random())::int) AS place
) AS visits;
