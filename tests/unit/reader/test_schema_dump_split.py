"""A script of pg_dump in statements: no semicolon inside of anything ends one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tailrace_reader.schema_dump_split import Piece, Unsplittable, split

STATEMENTS = [
    "SELECT 1",
    "COMMENT ON TABLE t IS 'it''s; a -- table'",
    r"COMMENT ON TABLE t IS E'it\'s; a \\'",
    'CREATE TABLE "a;b""c" ("x;" int)',
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $_$ SELECT $$;$$; $_$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $größe$ ; $größe$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END",
    "CREATE TABLE t (a$b$ int, \"begin\" int, c text DEFAULT 'x')",
    "CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2)",
    "CREATE VIEW v AS SELECT 1 /* ; /* nested; */ ; */ AS one, 2 -- a comment; in it\n AS two",
    'CREATE TABLE begin_end (begin int, "end" int)',
    "ALTER TABLE t ADD CHECK (x <> '--' AND y <> '/*' AND z <> '$$')",
    "SELECT U&'d\\0061t; a', B'101', X'1F', N'a;b'",
]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def dollared(text: str) -> str:
    tag = "$t$"
    while tag in text + "$":
        tag = f"$t{tag[1:]}"
    return tag + text + tag


def named(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


anything = st.builds(
    lambda quote, text: quote(text), st.sampled_from([quoted, escaped, dollared, named]), TEXT
) | st.sampled_from(["/* ; */", "(", ")", "$1", "a$b", "1.5e3", "<=", "::text"])  # fmt: skip


def texts(script: str) -> list[str]:
    return [piece.text for piece in split(script) if not piece.comment]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_one_statement_stays_one(statement: str) -> None:
    assert texts(f"{statement};\n\nSELECT 2;\n") == [statement, "SELECT 2"]


def test_a_script_comes_apart_in_order_with_its_comments() -> None:
    script = "--\n-- Name: a; Type: TABLE\n--\n\n" + ";\n\n".join(STATEMENTS) + ";\n-- done\n"
    found = list(split(script))
    assert [p.text for p in found if not p.comment] == STATEMENTS
    assert found[1] == Piece("Name: a; Type: TABLE", comment=True)
    assert found[-1] == Piece("done", comment=True)


def test_lines_of_psql_mean_nothing() -> None:
    assert texts("\\restrict a;b'c\n\nSELECT 1;\n\n\\unrestrict a;b'c\n") == ["SELECT 1"]


@given(st.lists(st.lists(anything, max_size=6), max_size=5))
def test_whatever_is_quoted_is_not_looked_into(parts: list[list[str]]) -> None:
    statements = []
    for words in parts:
        depths = list(itertools.accumulate({"(": 1, ")": -1}.get(word, 0) for word in words))
        assume(min(depths, default=0) >= 0)
        statements.append(" ".join(["SELECT", *words, *(")" * (depths[-1] if depths else 0))]))
    assert texts("".join(f"{statement};\n" for statement in statements)) == statements


@pytest.mark.parametrize(
    "script",
    [
        "SELECT 'a",
        'SELECT "a',
        "SELECT $$ a",
        "/* a",
        "SELECT (1;",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; ",
        "SELECT E'a\\'",
    ],
)
def test_a_script_that_breaks_off_is_no_script(script: str) -> None:
    with pytest.raises(Unsplittable):
        list(split(script))


def test_a_long_script_takes_seconds_at_most() -> None:
    body = "x" * 1000 + "''" + "$ ; " * 100
    script = f"CREATE FUNCTION f() AS $x$ {body} $x$;\nCOMMENT ON TABLE t IS '{body}';\n" * 500
    assert len(texts(script)) == 1000
