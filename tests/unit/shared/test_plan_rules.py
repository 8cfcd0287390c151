"""Rules, policies and value domains: default-deny, foreign keys follow, contradictions are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.catalogues import (
    catalogue,
    column,
    column_of,
    errors,
    foreign_key,
    plain_index,
    plan,
    planned,
    table,
    the_error,
    unique,
    warnings,
)
from tailrace_shared.generators import Duplicate, Key, MaskDate, MaskNumber, MaskText, MockEmail, Null
from tailrace_shared.plan.facts import SourceFacts

CUSTOMER = table("customer", "id int8!", "email text", "born date", "vip bool", primary=["id"])
ORDERS = table("orders", "id int4!", "customer int4", "total numeric(10,2)", primary=["id"])
KEYS = (foreign_key("orders", ["customer"], "customer"),)
SHOP = catalogue(CUSTOMER, ORDERS, keys=KEYS)


def test_under_halt_every_column_without_a_rule_is_named_and_a_key_once_for_all_that_follow() -> None:
    result = plan("", SHOP)
    assert result.plan is None
    places = [w for c, w in errors(result) if c == "plan.no-rule"]
    assert places == [
        "public.customer.id", "public.customer.email", "public.customer.born", "public.customer.vip",
        "public.orders.id", "public.orders.total",
    ]  # fmt: skip
    key = next(p for p in result.problems if p.where == "public.customer.id")
    assert "it decides for public.orders.customer" in key.message
    assert 'key or duplicate, under tables."public.customer".columns.id' in key.remedy


def test_under_mask_every_type_gets_its_mask_and_what_has_none_becomes_null() -> None:
    found = planned("policy: mask", SHOP)
    assert column_of(found, "customer.id").rule == Key()
    assert column_of(found, "customer.email").rule == MaskText()
    assert column_of(found, "customer.born").rule == MaskDate()
    assert column_of(found, "customer.vip").rule == Null()
    assert column_of(found, "orders.total").rule == MaskNumber()
    assert all(c.masked == (c.mask is not None) for t in found.tables for c in t.columns)
    assert not column_of(found, "customer.vip").masked, "a NULL is nobody's value"


@pytest.mark.parametrize(("policy", "code"), [("mask", "plan.no-mask-for-type"), ("null", "plan.no-mask-for-type")])
def test_a_not_null_column_that_can_only_become_null_is_refused_with_the_choices(policy: str, code: str) -> None:
    found = catalogue(table("t", "a bool!"))
    error = the_error(plan(f"policy: {policy}", found))
    assert (error.code, error.where) == (code, "public.t.a")
    assert "constant, or duplicate" in error.remedy


def test_pass_and_null_say_what_they_do() -> None:
    assert {c.rule for t in planned("policy: pass", SHOP).tables for c in t.columns} == {Duplicate()}
    rules = "policy: null\ntables: {public.*: {columns: {id: key}}}"
    assert column_of(planned(rules, SHOP), "customer.email").rule == Null()


def test_a_table_s_own_policy_wins_over_the_job_s() -> None:
    found = planned("policy: mask\ntables: {public.orders: {policy: pass}}", SHOP)
    assert column_of(found, "orders.total").rule == Duplicate()
    assert column_of(found, "orders.customer").rule == Key(), "the referenced table decides for its key"


def test_a_foreign_key_follows_the_root_in_rule_and_domain() -> None:
    found = planned("policy: pass\ntables: {public.customer: {columns: {id: key}}}", SHOP)
    child, root = column_of(found, "orders.customer"), column_of(found, "customer.id")
    assert child.rule == root.rule == Key()
    assert child.mask
    assert root.mask
    assert child.mask.domain == root.mask.domain == "public.customer.id"
    assert child.why == "follows public.customer.id"


def test_a_rule_on_the_referencing_side_governs_the_root_too() -> None:
    found = planned("policy: pass\ntables: {public.orders: {columns: {customer: key}}}", SHOP)
    assert column_of(found, "customer.id").rule == Key()
    assert column_of(found, "customer.id").why == "follows public.orders.customer"


def test_contradicting_rules_in_one_domain_name_both_columns() -> None:
    rules = "policy: pass\ntables: {public.customer: {columns: {id: key}}, public.orders: {mode: duplicate}}"
    error = the_error(plan(rules, SHOP))
    assert (error.code, error.where) == ("plan.conflicting-rules", "public.orders.customer")
    assert "public.customer.id" in error.message


def test_a_foreign_key_alone_may_become_null() -> None:
    rules = "policy: pass\ntables: {public.customer: {columns: {id: key}}, public.orders: {columns: {customer: null}}}"
    assert column_of(planned(rules, SHOP), "orders.customer").rule == Null()


def test_composite_keys_close_column_by_column_and_a_chain_shares_its_root() -> None:
    tenant = table("tenant", "id int4!", primary=["id"])
    invoice = table("invoice", "tenant int4!", "no int4!", primary=["tenant", "no"])
    line = table("line", "tenant int4!", "invoice int4!", "pos int4!", primary=["tenant", "invoice", "pos"])
    found = planned(
        "policy: mask",
        catalogue(
            tenant, invoice, line,
            keys=[
                foreign_key("invoice", ["tenant"], "tenant"),
                foreign_key("line", ["tenant", "invoice"], "invoice", ["tenant", "no"]),
            ],
        ),
    )  # fmt: skip
    domains = {p: column_of(found, p).mask.domain for p in ("line.tenant", "line.invoice", "line.pos")}  # type: ignore[union-attr]
    assert domains == {
        "line.tenant": "public.tenant.id", "line.invoice": "public.invoice.no", "line.pos": "public.line.pos"
    }  # fmt: skip


def test_a_self_reference_and_a_cycle_have_one_root() -> None:
    store = table("store", "id int4!", "manager int4", primary=["id"])
    staff = table("staff", "id int4!", "store int4", "boss int4", primary=["id"])
    keys = [
        foreign_key("store", ["manager"], "staff"),
        foreign_key("staff", ["store"], "store"),
        foreign_key("staff", ["boss"], "staff"),
    ]
    found = planned("policy: mask", catalogue(store, staff, keys=keys))
    assert column_of(found, "staff.boss").mask.domain == "public.staff.id"  # type: ignore[union-attr]
    assert column_of(found, "store.manager").mask.domain == "public.staff.id"  # type: ignore[union-attr]
    assert column_of(found, "staff.store").mask.domain == "public.store.id"  # type: ignore[union-attr]


def test_integers_and_numerics_share_the_integer_family_and_other_mixtures_are_refused() -> None:
    wide = table("customer", "id numeric(18,0)!", primary=["id"])
    found = planned("policy: mask", catalogue(wide, ORDERS, keys=KEYS))
    assert {column_of(found, p).mask.family for p in ("customer.id", "orders.customer")} == {"integer"}  # type: ignore[union-attr]
    texts = table("customer", "id text!", primary=["id"])
    result = plan("policy: mask", catalogue(texts, ORDERS, keys=KEYS))
    assert ("plan.mixed-domain", "public.customer.id") in errors(result)


def test_one_folding_side_folds_the_whole_domain() -> None:
    login = table("login", "name citext!", primary=["name"])
    session = table("session", "login text")
    found = planned(
        "policy: mask", catalogue(login, session, keys=[foreign_key("session", ["login"], "login", ["name"])])
    )
    assert column_of(found, "session.login").mask.folded  # type: ignore[union-attr]


def test_a_unique_index_over_lower_folds_the_mask() -> None:
    index = unique("u_login", "login", columns=(None,), expressions=('lower(("login")::text)',), uses=("login",))
    found = planned("policy: mask", catalogue(table("account", "login varchar(40)", indexes=[index])))
    assert column_of(found, "account.login").mask.folded  # type: ignore[union-attr]


def test_a_loose_collation_cannot_be_masked_in_a_key() -> None:
    loose = table("t", column("place text!", loose=True), primary=["place"])
    assert the_error(plan("policy: mask", catalogue(loose))).code == "plan.loose-collation"
    assert planned("policy: pass", catalogue(loose))


def test_columns_outside_of_keys_share_their_generator_s_domain_or_the_named_one() -> None:
    found = planned(
        "policy: pass\ntables: {public.a: {columns: {mail: mock.email, x: {generator: mask.text, domain: code}}},"
        " public.b: {columns: {post: mock.email, y: {generator: mask.text, domain: code}}}}",
        catalogue(table("a", "mail text", "x text"), table("b", "post text", "y text")),
    )
    assert [column_of(found, p).mask.domain for p in ("a.mail", "b.post", "a.x", "b.y")] == [
        "email",
        "email",
        "code",
        "code",
    ]  # type: ignore[union-attr]


def test_a_mock_in_a_unique_index_and_its_foreign_keys_go_unique_together() -> None:
    user = table("users", "email text!", primary=["email"])
    post = table("post", "author text")
    found = planned(
        "policy: pass\ntables: {public.users: {columns: {email: mock.email}}}",
        catalogue(user, post, keys=[foreign_key("post", ["author"], "users", ["email"])]),
    )
    assert column_of(found, "users.email").rule == column_of(found, "post.author").rule == MockEmail(unique=True)


def test_generated_columns_are_left_to_the_destination() -> None:
    source = catalogue(table("t", "a int4", column("twice int4", generated="s"), primary=[]))
    found = planned("policy: pass", source)
    assert [c.name for c in found.tables[0].columns] == ["a"]
    plain = catalogue(table("t", "a int4", "twice int4"))
    assert [c.name for c in planned("policy: pass", source, plain).tables[0].columns] == ["a", "twice"]
    error = the_error(plan("policy: pass\ntables: {public.t: {columns: {twice: key}}}", source))
    assert error.code == "plan.generated-column"


def test_keys_in_the_top_region_are_warned_of_and_a_numeric_too_short_for_them_refused() -> None:
    facts = SourceFacts(largest={"public.orders.id": 1 << 30, "public.customer.id": 5})
    result = plan("policy: mask", SHOP, facts=facts)
    assert warnings(result) == [("plan.top-region", "public.orders.id")]
    short = table("customer", "id numeric(6,0)!", primary=["id"])
    facts = SourceFacts(largest={"public.customer.id": 500_000})
    assert the_error(plan("policy: mask", catalogue(short, ORDERS, keys=KEYS), facts=facts)).code == "plan.key-digits"
    facts = SourceFacts(no_integers={"public.customer.id": 3})
    assert the_error(plan("policy: mask", catalogue(short, ORDERS, keys=KEYS), facts=facts)).code == "plan.key-fraction"


def test_two_plans_of_the_same_arguments_are_the_same_bytes() -> None:
    index = plain_index("i", "email")
    shop = catalogue(CUSTOMER.model_copy(update={"indexes": (*CUSTOMER.indexes, index)}), ORDERS, keys=KEYS)
    assert planned("policy: mask", shop).encode() == planned("policy: mask", shop).encode()


def test_the_policy_null_of_a_table_is_not_mistaken_for_none() -> None:
    found = planned(
        "policy: pass\ntables: {public.orders: {policy: null, columns: {id: key, customer: duplicate}}}", SHOP
    )
    assert column_of(found, "orders.total").rule == Null()


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2)), max_size=14))
def test_both_sides_of_every_foreign_key_share_rule_and_domain_whatever_the_graph(
    edges: set[tuple[int, int, int]],
) -> None:
    tables = [table(f"t{n}", "id int4!", "r0 int4", "r1 int4", "r2 int4", primary=["id"]) for n in range(7)]
    keys = [
        foreign_key(f"t{child}", [f"r{place}"], f"t{parent}", name=f"k{child}_{parent}_{place}")
        for child, parent, place in sorted(edges)
    ]
    found = planned("policy: mask", catalogue(*tables, keys=keys))
    for child, parent, place in edges:
        one, other = column_of(found, f"t{child}.r{place}"), column_of(found, f"t{parent}.id")
        assert one.rule == other.rule == Key()
        assert one.mask
        assert other.mask
        assert (one.mask.domain, one.mask.family, one.mask.folded) == (
            other.mask.domain,
            other.mask.family,
            other.mask.folded,
        )
    assert all(p.verdict == "proved" for p in found.proofs)
