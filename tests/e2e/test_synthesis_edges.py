"""Tables at the edges, learned in one run: no row, nothing but NULL, one value, huge numbers, orders, partitions, strange names.

And those that cannot be learned, refused by the plan with the reason before anything is read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from support.databases import Pair
from support.installation import Installation
from tailrace_shared.messages import RunRecord

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not in this environment: make test-synthesis has one"
)
pytestmark = [pytest.mark.synthesis, needs_torch]

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]{2}[0-9]{3}$');
CREATE TABLE empty (id int PRIMARY KEY, a int, b text);
CREATE TABLE void (a int, b text, c mood, d int[], e uuid);
CREATE TABLE same (a int NOT NULL, b text NOT NULL, c bool NOT NULL, d timestamptz NOT NULL, e numeric(38,10) NOT NULL, f float8);
CREATE TABLE large (id bigint PRIMARY KEY, a bigint, b numeric(38,10), c numeric, d float8 NOT NULL, e float8, f numeric(20,0));
CREATE TABLE days (a date NOT NULL, b date NOT NULL, c timestamp(0), d timetz, e time, f interval);
CREATE TABLE cash (m money NOT NULL, b bit(4), v varbit, o oid);
CREATE TABLE domains (id positive PRIMARY KEY, a positive, c code, m mood NOT NULL);
CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE "Odd ""Q"" é" ("ID" int PRIMARY KEY, "select" int, "a b" text, "ü.x" float8, "CamelCase" bool, " lead" int);
CREATE TABLE ruled (
    a int NOT NULL, b int NOT NULL, begun date, ended date, age int CHECK (age BETWEEN 0 AND 120),
    state text CHECK (state IN ('x', 'y')), share numeric(5,2) CHECK (share >= 0 AND share <= 100),
    CHECK (a < b), CHECK (ended >= begun)
);
CREATE TABLE person (id int PRIMARY KEY, boss int REFERENCES person, name text);
CREATE TABLE trip (id int PRIMARY KEY, who int NOT NULL REFERENCES person, day date NOT NULL) ;
CREATE TABLE part (id int, day date NOT NULL, v int) PARTITION BY RANGE (day);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE listed (id int, kind text NOT NULL, v int) PARTITION BY LIST (kind);
CREATE TABLE listed_1 PARTITION OF listed FOR VALUES IN ('k0', 'k1');
CREATE TABLE listed_2 PARTITION OF listed FOR VALUES IN ('k2');
CREATE TABLE texts (a text NOT NULL, b text, c varchar(12) NOT NULL, d char(8), e text);
CREATE TABLE single (v int);
CREATE TABLE one (id int PRIMARY KEY, a int);
CREATE TABLE opaque (id int PRIMARY KEY, doc jsonb, net inet);
CREATE TABLE same_mail (id int PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE gaps (day date NOT NULL, v int) PARTITION BY RANGE (day);
CREATE TABLE gaps_1 PARTITION OF gaps FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE gaps_2 PARTITION OF gaps FOR VALUES FROM ('2022-01-01') TO ('2023-01-01');
CREATE TABLE booked (id int PRIMARY KEY, span int4range, EXCLUDE USING gist (span WITH &&));
CREATE VIEW seen AS SELECT a FROM ruled;
"""
SERIES = "generate_series(1, 900) n"
ROWS = f"""
SELECT setseed(0.3);
INSERT INTO void SELECT FROM {SERIES};
INSERT INTO same SELECT 7, 'same', true, '2024-02-29 12:00+02', 12345678901234567890.5, 0.1 FROM {SERIES};
INSERT INTO large SELECT n, n * 6000000000000000, n * 1e24, CASE n % 3 WHEN 0 THEN 'NaN' WHEN 1 THEN n * 1e200 ELSE 'Infinity' END,
    (ARRAY['Infinity', '-Infinity', '1e308', '-1e308', '5e-324', '0'])[1 + n % 6]::float8, exp(random() * 1400 - 700),
    99999999999999999999 - n FROM {SERIES};
INSERT INTO days SELECT CASE WHEN n % 9 = 0 THEN date '0044-03-15 BC' ELSE date '1776-07-04' + n END,
    CASE WHEN n % 9 = 0 THEN 'infinity' WHEN n % 9 = 1 THEN date '12000-01-01' ELSE date '2020-01-01' + n % 30 END,
    timestamp '9999-12-31 23:59:59' - n * interval '1 hour', ('12:00:00+0' || n % 9)::timetz,
    CASE WHEN n % 30 = 0 THEN time '24:00' ELSE time '00:00' + n * interval '1 sec' END, n * interval '1 month -4 hours'
    FROM {SERIES};
INSERT INTO cash SELECT (n * 1.37)::numeric::money, (n % 16)::bit(4), repeat('1', 1 + n % 4)::varbit, n % 20 FROM {SERIES};
INSERT INTO domains SELECT n, 1 + n % 9, chr(65 + n % 26) || 'Q' || lpad(n::text, 3, '0'), 'so so' FROM {SERIES};
INSERT INTO made (a) SELECT n % 50 FROM {SERIES};
INSERT INTO "Odd ""Q"" é" SELECT n, n % 9, 'v' || n % 5, n / 3.0, n % 2 = 0, n FROM {SERIES};
INSERT INTO ruled SELECT n % 100, n % 100 + 1 + n % 7, date '2020-01-01' + n % 90,
    CASE WHEN n % 5 > 0 THEN date '2020-01-01' + n % 90 + n % 11 END, n % 121, (ARRAY['x', 'y'])[1 + n % 2], n % 101 FROM {SERIES};
INSERT INTO person SELECT n, nullif(n / 10, 0), 'name ' || n % 7 FROM {SERIES};
INSERT INTO trip SELECT n, 1 + n % 900, date '2020-01-01' + n % 300 FROM {SERIES};
INSERT INTO part SELECT n, date '2020-01-01' + n % 731, n % 5 FROM {SERIES};
INSERT INTO listed SELECT n, 'k' || n % 3, n % 5 FROM {SERIES};
INSERT INTO texts SELECT 'item-' || md5(n::text), repeat('x', 3000 + n % 5), lpad(n::text, 12, 'z'), lpad((n % 99)::text, 8),
    (ARRAY['𝒳', 'é', '\\N', 'NULL', E'a\\n\\t"b",'])[1 + n % 5] FROM {SERIES};
INSERT INTO single SELECT n % 20 FROM {SERIES};
INSERT INTO one VALUES (1, 1);
INSERT INTO opaque SELECT n, jsonb_build_object('k', n), '10.0.0.1'::inet + n FROM {SERIES};
INSERT INTO same_mail SELECT n, 'user' || n || '@x.test' FROM {SERIES};
INSERT INTO gaps SELECT date '2020-01-01' + n % 300 + 731 * (n % 2), n FROM {SERIES};
INSERT INTO booked SELECT n, int4range(n * 10, n * 10 + 5) FROM {SERIES};
ANALYZE ruled;
"""
HEAD = """\
name: edges
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: halt
default_mode: exclude
limits: {partitions: 2}
tables:
"""
FINE = (
    "empty", "void", "same", "large", "days", "cash", "domains", "made", 'Odd \\"Q\\" é', "ruled", "person", "trip", "part",
    "listed", "texts", "single", "same_mail",
)  # fmt: skip
REFUSED = {
    "one": "plan.learn-too-few",
    "opaque": "plan.learn-alone",
    "gaps": "plan.partition-key",
    "booked": "plan.exclusion",
    "seen": "plan.learn-view",
}


def job(names: tuple[str, ...]) -> str:
    return HEAD + "".join(f'  "public.{name}": {{mode: synthesize, train: {{epochs: 2}}}}\n' for name in names)


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("edges", SCHEMA, ROWS)


@pytest.fixture(scope="module")
def edges(runtime: object, pair: Pair) -> dict[str, RunRecord]:
    """One run of the tables that can be learned, and one of those that cannot."""
    with Installation(
        runtime, pair, replicas={"trainer": 1}, extra={"TAILRACE_TRAINING_PARALLEL": "2"}
    ) as installation:  # type: ignore[arg-type]
        return {
            "fine": installation.run(job(FINE), seconds=520),
            "refused": installation.run(job(tuple(REFUSED)), seconds=60),
        }


def test_all_of_them_are_learned_and_loaded(edges: dict[str, RunRecord], pair: Pair) -> None:
    record = edges["fine"]
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    loaded = {table.name: table.rows_loaded for table in record.tables}
    assert loaded.pop("public.empty") == 0
    assert set(loaded.values()) == {900}, "as many as there are, though nobody has analysed the tables"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT count(*) FROM void WHERE num_nulls(a, b, c, d, e) = 5", 900),
        ("SELECT count(DISTINCT same) FROM same", 1),
        ("SELECT count(*) FROM same WHERE abs(e / 12345678901234567890.5 - 1) < 1e-14", 900),
        ("SELECT count(DISTINCT a) > 300 AND min(a) >= 6e15 AND max(a) <= 5.4e18 FROM large", True),
        ("SELECT max(b) BETWEEN 5e26 AND 9e26 FROM large", True),
        ("SELECT max(c) > 1e201 FROM large", True),
        ("SELECT count(*) FROM large WHERE abs(d) IN ('Infinity', 'NaN')", 0),
        ("SELECT count(*) > 100 FROM large WHERE e > 0 AND e < 0.01", True),
        ("SELECT count(*) FROM days WHERE a < '1776-07-04' OR b NOT BETWEEN '2020-01-01' AND '2020-01-30'", 0),
        ("SELECT count(*) FROM days WHERE e <> date_trunc('second', e::interval)::time AND e < '23:59'", 0),
        ("SELECT bool_and(m::numeric BETWEEN 0 AND 10000) FROM cash", True),
        ("SELECT count(*) FROM made WHERE b <> a * 2", 0),
        ('SELECT count(DISTINCT "a b") FROM "Odd ""Q"" é"', 5),
        ("SELECT count(DISTINCT state) FROM ruled", 2),
        ("SELECT count(*) FROM person WHERE boss IS NULL OR boss < id", 900),
        ("SELECT count(*) FROM trip JOIN person ON person.id = who", 900),
        ("SELECT count(DISTINCT tableoid) FROM part", 2),
        ("SELECT count(DISTINCT kind) FROM listed", 3),
        ("SELECT count(DISTINCT e) FROM texts", 5),
        ("SELECT count(*) FROM same_mail WHERE email LIKE 'user%'", 0),
    ],
)
def test_what_was_loaded_is_like_what_was_learned(
    edges: dict[str, RunRecord], pair: Pair, question: str, answer: object
) -> None:
    assert edges["fine"].state == "done"
    assert pair.value("destination", question) == answer


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_what_cannot_be_learned_is_refused_with_its_reason(edges: dict[str, RunRecord], name: str, code: str) -> None:
    record = edges["refused"]
    assert record.state == "failed"
    assert code in {p.code for p in record.problems if p.severity == "error" and p.where.startswith(f"public.{name}")}
