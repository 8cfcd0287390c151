"""What of a source's schema is made: what can be without the tables that are left out, and what that needs."""

from __future__ import annotations

from tailrace_reader.schema_dump_choose import Surroundings, choose
from tailrace_reader.schema_dump_entries import Entry, entries_of
from tailrace_reader.schema_dump_graph import PG_ATTRDEF, PG_CLASS, PG_REWRITE, PG_TYPE, Dependencies, Edge, Key
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.create_model import SourceSchema

PG_PROC, PG_CONSTRAINT, PG_EXTENSION = 1255, 2606, 3079
SCRIPT = """
--
-- PostgreSQL database dump
--

\\restrict x

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- TOC entry 5 (class 1259 OID 100)
-- Name: a; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.a (id int);

ALTER TABLE ONLY public.a REPLICA IDENTITY FULL;


SET default_tablespace = '';

--
-- TOC entry 9 (class 0 OID 0)
-- Dependencies: 5
-- Name: TABLE a; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.a IS '--
-- TOC entry 1 (class 1 OID 1)
-- Name: x; Type: TABLE; Schema: y; Owner: -';


--
-- TOC entry 6 (class 2606 OID 101)
-- Name: a a_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.a
    ADD CONSTRAINT a_pkey PRIMARY KEY (id);
"""


def entry(number: int, key: Key, kind: str, name: str, schema: str = "public", **more: object) -> Entry:
    return Entry(number, *key, kind=kind, name=name, schema=schema, statements=[f"make {name}"], **more)  # type: ignore[arg-type]


def around(*edges: tuple[Key, Key, str], left_out: dict[Key, str] | None = None, **more: object) -> Surroundings:
    return Surroundings(edges=[Edge(*edge) for edge in edges], left_out=left_out or {}, **more)  # type: ignore[arg-type]


def made(schema: SourceSchema) -> list[str]:
    return [o.name for o in schema.objects]


def test_entries_have_their_place_and_nothing_of_the_scripts_settings() -> None:
    table, comment, key = entries_of(SCRIPT)
    assert (table.key, table.kind, table.schema, table.name) == ((1259, 100), "TABLE", "public", "a")
    assert table.statements == ["CREATE TABLE public.a (id int)", "ALTER TABLE ONLY public.a REPLICA IDENTITY FULL"]
    assert (comment.kind, comment.needs) == ("COMMENT", (5,))
    assert comment.statements[0].endswith("Owner: -'")
    assert (key.kind, key.name) == ("CONSTRAINT", "a a_pkey")


def test_comments_go_with_what_they_are_about_and_parts_lose_their_tables_name() -> None:
    found = choose(
        entries_of(SCRIPT), around(on={(2606, 101): TableName(schema_name="public", name="a")}), ["public"], 18
    )
    table, key = found.objects
    assert len(table.statements) == 3
    assert (key.name, str(key.on)) == ("a_pkey", "public.a")


A, B, GONE = (PG_CLASS, 1), (PG_CLASS, 2), (PG_CLASS, 9)
VIEW, RULE = (PG_CLASS, 3), (PG_REWRITE, 4)
VIEWS = [(RULE, VIEW, "i"), (RULE, GONE, "n")]


def test_a_view_of_a_table_that_is_left_out_is_lost_and_what_stands_on_it_too() -> None:
    other = (PG_CLASS, 5)
    entries = [entry(1, A, "TABLE", "a"), entry(2, VIEW, "VIEW", "v"), entry(3, other, "VIEW", "vv")]
    edges = [*VIEWS, ((PG_REWRITE, 6), other, "i"), ((PG_REWRITE, 6), VIEW, "n")]
    found = choose(entries, around(*edges, left_out={GONE: "public.gone"}), ["public"])
    assert made(found) == ["a"]
    assert [(o.name, o.lost) for o in found.lost] == [("v", "public.gone"), ("vv", "public.gone")]


def test_a_view_that_is_carried_as_a_table_needs_nothing_of_its_query() -> None:
    found = choose(
        [entry(2, VIEW, "VIEW", "v")],
        around(*VIEWS, left_out={GONE: "public.gone"}, opaque=frozenset({VIEW})),
        ["public"],
    )
    assert made(found) == ["v"]
    assert found.lost == ()


def test_a_default_inside_of_a_table_takes_the_table_with_it_and_one_apart_does_not() -> None:
    default, function = (PG_ATTRDEF, 7), (PG_PROC, 8)
    edges = [(default, A, "a"), (default, function, "n"), (function, GONE, "n")]
    entries = [entry(1, A, "TABLE", "a"), entry(2, function, "FUNCTION", "f()")]
    inside = choose(entries, around(*edges, left_out={GONE: "public.gone"}), ["public"])
    assert {o.name for o in inside.lost} == {"a", "f()"}
    apart = choose([*entries, entry(3, default, "DEFAULT", "a x")], around(*edges, left_out={GONE: "g"}), ["public"])
    assert made(apart) == ["a"]


def test_a_foreign_key_to_a_table_that_is_left_out_is_lost_alone() -> None:
    key = (PG_CONSTRAINT, 7)
    edges = [(key, A, "a"), (key, GONE, "n")]
    entries = [entry(1, A, "TABLE", "a"), entry(2, key, "FK CONSTRAINT", "a fk")]
    on = {key: TableName(schema_name="public", name="a")}
    found = choose(entries, around(*edges, left_out={GONE: "public.gone"}, on=on), ["public"])
    assert made(found) == ["a"]
    assert [o.name for o in found.lost] == ["fk"]


def test_of_other_schemas_only_what_is_needed_is_made() -> None:
    kind, unused, extension, idle = (PG_TYPE, 11), (PG_TYPE, 12), (PG_EXTENSION, 13), (PG_EXTENSION, 14)
    member = (PG_TYPE, 15)
    entries = [
        entry(1, kind, "TYPE", "pair", "other"),
        entry(2, unused, "TYPE", "unused", "other"),
        entry(3, extension, "EXTENSION", "citext", ""),
        entry(4, idle, "EXTENSION", "pg_stat_statements", ""),
        entry(5, A, "TABLE", "a"),
    ]
    edges = [(A, kind, "n"), (A, member, "n"), (member, extension, "e")]
    found = choose(entries, around(*edges), ["public"])
    assert made(found) == ["pair", "citext", "a"]
    assert found.unneeded == ("pg_stat_statements",)


def test_publications_event_triggers_and_servers_are_nobodys_structure() -> None:
    entries = [entry(n, (n, n), kind, kind) for n, kind in enumerate(("PUBLICATION", "EVENT TRIGGER", "SERVER"), 1)]
    assert choose(entries, around(), ["public", ""]) == SourceSchema()


def test_materialised_views_with_rows_are_refreshed_at_the_end_in_their_order() -> None:
    one, two, bare = (PG_CLASS, 1), (PG_CLASS, 2), (PG_CLASS, 3)
    entries = [entry(k[1], k, "MATERIALIZED VIEW", name) for k, name in ((one, "one"), (two, "two"), (bare, "bare"))]
    identities = {one: "public.one", two: "public.two", bare: "public.bare"}
    found = choose(entries, around(identities=identities, populated=frozenset({one, two})), ["public"])
    assert [o.statements[0] for o in found.objects if o.kind == "REFRESH"] == [
        "REFRESH MATERIALIZED VIEW public.one",
        "REFRESH MATERIALIZED VIEW public.two",
    ]


def test_attachments_go_with_what_is_attached() -> None:
    part = (PG_CLASS, 1)
    entries = [
        entry(1, part, "TABLE", "part"),
        entry(2, (0, 0), "TABLE ATTACH", "part"),
        entry(3, (0, 0), "TABLE ATTACH", "elsewhere"),
        entry(4, (0, 0), "INDEX ATTACH", "nowhere"),
    ]
    assert made(choose(entries, around(), ["public"])) == ["part", "part"]


def test_a_ring_of_needs_ends() -> None:
    graph = Dependencies([Edge(A, B, "n"), Edge(B, A, "n")], [A, B])
    assert graph.needed_by([A]) == {A, B}
    assert graph.lost_with({A: "a"}) == {A: "a", B: "a"}


def test_an_index_whose_name_begins_with_its_tables_keeps_it() -> None:
    table, index, key = (PG_CLASS, 100), (PG_CLASS, 101), (PG_CONSTRAINT, 102)
    entries = [
        entry(1, table, "TABLE", "Item"),
        entry(2, index, "INDEX", "Item Idx"),
        entry(3, key, "CONSTRAINT", "Item Item_pkey"),
    ]
    on = dict.fromkeys((index, key), TableName(schema_name="public", name="Item"))
    schema = choose(entries, around(on=on), ["public"], version=18)
    assert made(schema) == ["Item", "Item Idx", "Item_pkey"]
