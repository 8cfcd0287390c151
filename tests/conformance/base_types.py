"""Numbers, texts, times and the other base types that a column of a real schema has."""

from __future__ import annotations

from conformance.case import Sql, TypeCase

PLANES = "".join(chr(plane * 0x10000 + offset) for plane in range(17) for offset in (0x41, 0x1234, 0xABCD, 0xFFFD))
"""Characters of each of Unicode's 17 planes."""
CONTROL = "".join(map(chr, [*range(1, 32), *range(127, 160)]))
TEXTS = (
    "\ufeffbyte order mark where a stream begins",
    "\ufeff",
    None,
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "\\",
    '"',
    '""',
    "'",
    ",",
    "a,b",
    "line\nbreak",
    "carriage\rreturn",
    "both\r\n",
    "\n",
    "\t",
    "\u200f\u202e right to left",
    "e\u0301 combined, \u00e9 composed",
    "👩‍👩‍👧‍👦",
    "\ufdd0\ufffe\uffff",
    CONTROL,
    PLANES,
    Sql("repeat('0123456789abcdef', 65536)"),
    Sql("repeat(E'\"\\n', 500000)"),
    Sql(f"repeat('{chr(0x1F600)}', 262144)"),
    "2020-01-01",
    "1e5",
    "t",
)
DATES = (
    None,
    "infinity",
    "-infinity",
    "epoch",
    "1970-01-01",
    "2000-02-29",
    "0001-01-01",
    "0001-12-31 BC",
    "0044-03-15 BC",
    "4713-01-01 BC",
    "9999-12-31",
    "10000-01-01",
    "1582-10-10",
)
CLOCKS = ("00:00:00", "00:00:00.000001", "23:59:59.999999", "24:00:00", "23:59:60", "12:34:56.7", None)
MOMENTS = (
    *DATES,
    "294276-12-31 23:59:59.999999",
    "1999-12-31 23:59:59.999999",
    "1969-12-31 23:59:59.999999",
    "2016-12-31 23:59:60",
    "2021-03-28 02:30:00",
    "2020-01-01 24:00:00",
)

NUMBERS = (
    TypeCase("smallint", "smallint", "numbers", ("-32768", "0", "1", "32767", None)),
    TypeCase("integer", "integer", "numbers", ("-2147483648", "0", "2147483647", None)),
    TypeCase("bigint", "bigint", "numbers", ("-9223372036854775808", "-1", "0", "9223372036854775807", None)),
    TypeCase(
        "numeric", "numeric", "numbers",
        (
            "0", "-0", "0.0", "1.10", "-0.000", "NaN", "Infinity", "-Infinity", None, "1e-1000", "1e1000", "9007199254740993",
            Sql("repeat('9', 1000)"), Sql("('0.' || repeat('123456789', 111) || '1')"), Sql("'-' || repeat('7', 131072)"),
            Sql("'0.' || repeat('0', 16382) || '1'"),
        ),
    ),
    TypeCase("numeric_p_s", "numeric(12,2)", "numbers", ("0", "-0.01", "9999999999.99", "-9999999999.99", "NaN", None)),
    TypeCase("numeric_38", "numeric(38,10)", "numbers", ("1" * 28 + ".0123456789", "-1e-10", "0", "NaN", None)),
    TypeCase("numeric_wide", "numeric(1000,500)", "numbers", ("9" * 500 + "." + "9" * 500, "-1e-500", "0", None)),
    TypeCase("numeric_negative_scale", "numeric(3,-6)", "numbers", ("123000000", "-999e6", "0", None), since=15),
    TypeCase("numeric_small_scale", "numeric(3,5)", "numbers", ("0.00123", "-0.00999", None), since=15),
    TypeCase(
        "real", "real", "numbers",
        ("0", "-0", "NaN", "Infinity", "-Infinity", "3.4028235e38", "-3.4028235e38", "1e-45", "1.17549435e-38", "0.1",
         "16777217", None),
    ),
    TypeCase(
        "double", "double precision", "numbers",
        ("0", "-0", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "0.1",
         "123456789.123456789", "1e22", "9007199254740993", None),
    ),
    TypeCase("money", "money", "numbers",
             (Sql("-92233720368547758.08"), Sql("0.01"), Sql("92233720368547758.07"), Sql("-0.01"), None),
             note="as text in the C locale, whatever `lc_monetary` the servers have"),
)  # fmt: skip

TEXT = (
    TypeCase("text", "text", "texts", TEXTS),
    TypeCase("varchar", "character varying", "texts", TEXTS),
    TypeCase("varchar_n", "character varying(8)", "texts", ("", "12345678", "żółćżółć", "😀" * 8, "  ", None)),
    TypeCase("char_n", "character(6)", "texts", ("", "ab", "abcdef", "ż 😀", " x", None),
             note="trailing spaces as the type pads them"),
    TypeCase("name", "name", "texts", ("", "x" * 63, "żółć", 'a"b', None)),
    TypeCase("quoted_char", '"char"', "texts", ("", "a", "\\", '"', ",", "\n", "\\200", "\\377", None), note="one byte"),
    TypeCase("bytea", "bytea", "texts",
             ("", "\\x00", "\\x00ff5c22270a0d", Sql("decode(repeat('00ff', 500000), 'hex')"), None), note="in hex"),
    TypeCase("text_c", 'text COLLATE "C"', "texts", ("", "Ä", "a", None)),
    TypeCase("uuid", "uuid", "texts",
             ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
              "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", None)),
    TypeCase("xml", "xml", "texts", ("<a/>", "text &amp; <b>more</b>", '<?xml version="1.0"?><a x="1">ż</a>', "", None),
             probe="SELECT '<a/>'::xml"),
)  # fmt: skip

JSON = (
    TypeCase(
        "json", "json", "json",
        ("null", '""', "{}", "[]", '{"a": 1,   "a": 2}', ' [1,\n 2.50, -0.0, 1e400] ', '"\\u0000 \\ud83d\\ude00"', '{"\\"": "ż"}',
         Sql("""'["' || repeat('x', 1000000) || '"]'"""), None),
        note="white space, key order and doubled keys as they are",
    ),
    TypeCase(
        "jsonb", "jsonb", "json",
        ("null", '""', "{}", "[]", '{"b": [1, {"c": null}], "a": "\\n\\t\\""}', "1.10", "-0", "1e400", '"😀 ż \\u0001"',
         Sql("""'["' || repeat('x', 1000000) || '"]'"""), Sql("'[' || repeat('[', 200) || repeat(']', 200) || ']'"), None),
    ),
    TypeCase("jsonpath", "jsonpath", "json", ("$", '$."a b"[*] ? (@.x > 1 && @.y like_regex "^\\"")', "strict $.a", None)),
)  # fmt: skip

TIMES = (
    TypeCase("date", "date", "times", (*DATES, "5874897-12-31")),
    TypeCase("time", "time", "times", CLOCKS),
    TypeCase("time_p", "time(2)", "times", ("00:00:00.01", "24:00", None)),
    TypeCase("timetz", "time with time zone", "times",
             ("00:00:00+15:59:59", "24:00:00-15:59", "12:34:56.789012+05:45", None)),
    TypeCase("timestamp", "timestamp", "times", MOMENTS),
    TypeCase("timestamp_p", "timestamp(0)", "times", ("1999-12-31 23:59:59.5", "infinity", None)),
    TypeCase("timestamptz", "timestamptz", "times",
             (*(f"{m}+00" if m and m[0].isdigit() and "BC" not in m and ":" in m else m for m in MOMENTS),
              "2020-06-01 12:00:00+14", "1883-11-18 12:03:57-04:56:02", "4714-11-24 00:00:00+00 BC")),
    TypeCase(
        "interval", "interval", "times",
        ("0", "1 mon -1 days", "-1 year +2 mons -3 days 04:05:06.789", "-00:00:00.000001", "178000000 years", "-178000000 years",
         "1 year 2 mons 3 days 04:05:06.789012", "-1 days +24:00:00", "596523:00:54.775807", None),
    ),
    TypeCase("interval_infinite", "interval", "times", ("infinity", "-infinity", "1 day", "2562047788:00:54.775807"), since=17),
    TypeCase("interval_fields", "interval year to month", "times", ("14 months", "-1 year", None)),
    TypeCase("interval_p", "interval second(2)", "times", ("1.239", "-0.01", None)),
)  # fmt: skip

OTHERS = (
    TypeCase("boolean", "boolean", "others", ("t", "f", None)),
    TypeCase("bit", "bit(5)", "others", ("00000", "10101", None)),
    TypeCase("varbit", "bit varying", "others", ("", "1", "0" * 70, Sql("repeat('10', 40000)::varbit"), None)),
    TypeCase("varbit_n", "bit varying(9)", "others", ("", "101010101", None)),
    TypeCase("inet", "inet", "network",
             ("0.0.0.0", "10.1.2.3/8", "255.255.255.255", "::", "::ffff:1.2.3.4", "2001:db8::1/64", None)),
    TypeCase("cidr", "cidr", "network", ("0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "::/0", None)),
    TypeCase("macaddr", "macaddr", "network", ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", None)),
    TypeCase("macaddr8", "macaddr8", "network", ("00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:05", None)),
    TypeCase("tsvector", "tsvector", "search", ("", "'a':1A,2B 'b c':3 '''q''':4D '\\\\':16383", "żółć 😀", None)),
    TypeCase("tsquery", "tsquery", "search", ("", "'a' & !'b c':*AB | ('d' <2> 'e')", "'''q'''", None)),
    TypeCase("point", "point", "geometric", ("(0,-0)", "(1e300,-1e-300)", "(NaN,Infinity)", None)),
    TypeCase("line", "line", "geometric", ("{1,-1,0}", "{0.1,0.2,-3e5}", None)),
    TypeCase("lseg", "lseg", "geometric", ("[(0,0),(0.1,-2)]", None)),
    TypeCase("box", "box", "geometric", ("(1,2),(-3,-4)", "(0,0),(0,0)", None)),
    TypeCase("path", "path", "geometric", ("((0,0),(1,1),(2,0))", "[(0,0),(1,1)]", None)),
    TypeCase("polygon", "polygon", "geometric", ("((0,0),(1,1),(2,0.1))", None)),
    TypeCase("circle", "circle", "geometric", ("<(0.1,-0.2),3>", "<(0,0),0>", None)),
)  # fmt: skip

SYSTEM = (
    TypeCase("oid", "oid", "system", ("0", "4294967295", None)),
    TypeCase("xid", "xid", "system", ("0", "4294967295", None)),
    TypeCase("xid8", "xid8", "system", ("0", "18446744073709551615", None)),
    TypeCase("cid", "cid", "system", ("0", "4294967295", None)),
    TypeCase("tid", "tid", "system", ("(0,0)", "(4294967295,65535)", None)),
    TypeCase("pg_lsn", "pg_lsn", "system", ("0/0", "FFFFFFFF/FFFFFFFF", "16/B374D848", None)),
    TypeCase("pg_snapshot", "pg_snapshot", "system", ("10:20:10,14,15", "1:1:", None)),
    TypeCase("txid_snapshot", "txid_snapshot", "system", ("10:20:10,14,15", None)),
    TypeCase("int2vector", "int2vector", "system", ("", "1 -2 3", None)),
    TypeCase("oidvector", "oidvector", "system", ("", "1 2 3", None)),
    TypeCase("refcursor", "refcursor", "system", ("", "cursor", None)),
    TypeCase("aclitem", "aclitem", "system", ("=r/postgres", "postgres=arwdDxt/postgres", None), own_oids=True),
    TypeCase("regclass", "regclass", "system", ("pg_class", "conformance.made_enumeration", "-", None), own_oids=True,
             note="by name: the object must exist in the destination"),
    TypeCase("regtype", "regtype", "system", ("integer", "conformance.mood", "-", None), own_oids=True, note="by name"),
    TypeCase("regproc", "regproc", "system", ("now", "-", None), note="by name"),
    TypeCase("regprocedure", "regprocedure", "system", ("lower(text)", "-", None), note="by name"),
    TypeCase("regoper", "regoper", "system", ("pg_catalog.||/", "0", None), note="by name"),
    TypeCase("regoperator", "regoperator", "system", ("+(integer,integer)", "0", None), note="by name"),
    TypeCase("regrole", "regrole", "system", ("postgres", "-", None), note="by name"),
    TypeCase("regnamespace", "regnamespace", "system", ("pg_catalog", "conformance", "-", None), own_oids=True, note="by name"),
    TypeCase("regcollation", "regcollation", "system", ('"C"', "-", None), note="by name"),
    TypeCase("regconfig", "regconfig", "system", ("simple", "-", None), own_oids=True, note="by name"),
    TypeCase("regdictionary", "regdictionary", "system", ("simple", "-", None), own_oids=True, note="by name"),
)  # fmt: skip
