"""Types that users and extensions make: enums, domains, composites, ranges; and what contains other types."""

from __future__ import annotations

from conformance.case import Sql, TypeCase

SETUP = """
CREATE TYPE conformance.mood AS ENUM ('sad', 'so, so', 'it''s "fine"', 'Ż', '');
CREATE DOMAIN conformance.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN conformance.small_positive AS conformance.positive DEFAULT 7 CHECK (VALUE < 1000);
CREATE DOMAIN conformance.short_text AS varchar(5) COLLATE "C" CHECK (VALUE <> 'bad');
CREATE DOMAIN conformance.moods AS conformance.mood[];
CREATE DOMAIN conformance.amount AS numeric(12, 2);
CREATE DOMAIN conformance.moment AS timestamptz;
CREATE TYPE conformance.pair AS (number integer, words text);
CREATE TYPE conformance.nested AS (inner_pair conformance.pair, list text[], feeling conformance.mood, "Odd, ""name"" here" date);
CREATE DOMAIN conformance.checked_pair AS conformance.pair CHECK ((VALUE).number IS NULL OR (VALUE).number >= 0);
CREATE TYPE conformance.float_range AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE conformance.text_range AS RANGE (subtype = text, collation = "C");
"""

PAIR = ("(,)", "(1,)", '(,"")', '(-5,"a,b ""quoted"" \\\\ (x)")', '(0,"line\nbreak")', '(1," ")', "(1,NULL)", None)

MADE = (
    TypeCase("enumeration", "conformance.mood", "made by users", ("sad", "so, so", "it's \"fine\"", "Ż", "", None)),
    TypeCase("domain", "conformance.positive", "made by users", ("1", "2147483647", None)),
    TypeCase("domain_over_domain", "conformance.small_positive", "made by users", ("1", "999", None)),
    TypeCase("domain_text", "conformance.short_text", "made by users", ("", "good", "żółć", None)),
    TypeCase("domain_numeric", "conformance.amount", "made by users", ("0.00", "-1.5", "NaN", None)),
    TypeCase("domain_timestamptz", "conformance.moment", "made by users", ("infinity", "2020-01-01 00:00:00+00", None)),
    TypeCase("domain_array", "conformance.moods", "made by users", ('{sad,NULL,"it\'s \\"fine\\""}', "{}", None), own_oids=True),
    TypeCase("composite", "conformance.pair", "made by users", PAIR),
    TypeCase("composite_domain", "conformance.checked_pair", "made by users", PAIR[:3]),
    TypeCase(
        "composite_nested", "conformance.nested", "made by users",
        (Sql("""ROW(ROW(1, 'a "b"'), ARRAY['x', NULL, '', 'q"\\'], 'it''s "fine"', '0044-03-15 BC')"""), "(,,,)", None),
        own_oids=True,
    ),
    TypeCase("range_made", "conformance.float_range", "made by users", ("empty", "[0,-0]", "(,1e300)", "[NaN,]", None)),
    TypeCase("range_of_text", "conformance.text_range", "made by users", ('["a,b","c)"]', '["",]', "empty", None)),
)  # fmt: skip

RANGES = (
    TypeCase("int4range", "int4range", "ranges", ("empty", "(,)", "[1,5)", "[-2147483648,2147483647)", None)),
    TypeCase("int8range", "int8range", "ranges", ("empty", "(,0)", "[9223372036854775806,9223372036854775807)", None)),
    TypeCase("numrange", "numrange", "ranges", ("[0.10,1.00]", "(,NaN]", "(-Infinity,Infinity)", "empty", None)),
    TypeCase("daterange", "daterange", "ranges", ("[2020-01-01,infinity)", "[-infinity,0044-03-15 BC)", "(,)", None)),
    TypeCase("tsrange", "tsrange", "ranges", ('["2020-01-01 00:00:00.000001",infinity]', "empty", "(,)", None)),
    TypeCase("tstzrange", "tstzrange", "ranges", ('["2020-01-01 00:00:00+14","2020-01-02 00:00:00-10")', "(,)", None)),
    TypeCase("int4multirange", "int4multirange", "ranges", ("{}", "{[1,3),[5,7),(,0)}", None)),
    TypeCase("int8multirange", "int8multirange", "ranges", ("{}", "{(,)}", None)),
    TypeCase("nummultirange", "nummultirange", "ranges", ("{}", "{[0.10,1.00],(5,NaN]}", None)),
    TypeCase("datemultirange", "datemultirange", "ranges", ("{[2020-01-01,2020-02-01),[2021-01-01,)}", "{}", None)),
    TypeCase("tsmultirange", "tsmultirange", "ranges", ('{["2020-01-01 00:00:00",infinity]}', "{}", None)),
    TypeCase(
        "tstzmultirange", "tstzmultirange", "ranges", ('{["2020-01-01 00:00:00+00","2021-01-01 00:00:00+00")}', None)
    ),
)

EXTENSIONS = (
    TypeCase("citext", "extension.citext", "extensions", ("", "MiXed", "Ż", None), extension="citext"),
    TypeCase("hstore", "extension.hstore", "extensions",
             ("", '"a"=>NULL, "b c"=>"", "q\\"uote"=>"back\\\\slash, comma"', "ż=>😀", None), extension="hstore"),
    TypeCase("ltree", "extension.ltree", "extensions", ("", "Top.Science.Astronomy", "a_1.b", None), extension="ltree"),
    TypeCase("lquery", "extension.lquery", "extensions", ("Top.*{0,2}.sport*@.!football|tennis", None), extension="ltree"),
    TypeCase("ltxtquery", "extension.ltxtquery", "extensions", ("Europe & Russia*@ & !Transportation", None), extension="ltree"),
    TypeCase("cube", "extension.cube", "extensions", ("(1, 2),(3, 4)", "()", "(0.1)", None), extension="cube"),
    TypeCase("seg", "extension.seg", "extensions", ("1.50", "5(+-)0.3", "~1 .. <2", None), extension="seg"),
    TypeCase("isbn", "extension.isbn13", "extensions", ("978-0-393-04002-9", None), extension="isn"),
    TypeCase("lo", "extension.lo", "extensions", ("0", "4294967295", None), extension="lo",
             note="the number; large objects themselves are not carried"),
    TypeCase("query_int", "extension.query_int", "extensions", ("1&(2|!3)", None), extension="intarray"),
    TypeCase("vector", "extension.vector(3)", "extensions", ("[1,-0.5,1e-30]", None), extension="vector"),
    TypeCase("sparsevec", "extension.sparsevec(5)", "extensions", ("{1:1,3:2.5}/5", None), extension="vector"),
)  # fmt: skip
