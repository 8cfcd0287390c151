"""Drafting a job: the planner is the judge, and what may be personal is never duplicated in silence."""

from __future__ import annotations

from typing import get_args

import pytest

from support.catalogues import (
    catalogue,
    column,
    foreign_key,
    name,
    table,
    unique,
)
from tailrace.init_draft import Draft, begin
from tailrace.init_rules import Preset, listed_values
from tailrace.init_settle import gentler, settle
from tailrace.init_write import job_text, rule_text, scalar
from tailrace_shared.catalogue.model import Catalogue, CheckConstraint
from tailrace_shared.detect import detect
from tailrace_shared.generators import Constant, Duplicate, MaskNumber
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.scope import ColumnRef

PRESETS: tuple[Preset, ...] = get_args(Preset)


def drafted(source: Catalogue, preset: Preset = "deidentify", destination: Catalogue | None = None) -> Draft:
    """A settled draft, whose file reads back as its job."""
    target = (destination or source).model_copy(update={"system_id": "2"})
    draft = begin(
        preset, source, target, name="test", source_url="${S}", destination_url="${D}",
        schemas=tuple(dict.fromkeys(t.name.schema_name for t in source.tables)),
    )  # fmt: skip
    draft = gentler(settle(draft, SourceFacts()), SourceFacts())
    assert parse_job(job_text(draft)) == draft.job
    return draft


def rules(draft: Draft, table_name: str = "customer") -> dict[str, str]:
    return {c: rule_text(r) for c, r in draft.job.tables[str(name(table_name))].columns.items()}


SHOP = catalogue(
    table("customer", "id int8!", "email varchar(60)!", "name text", "city text", "vip bool!", primary=["id"],
          indexes=[unique("customer_email", "email")]),
    table("purchase", "id int8!", "customer_id int8!", "amount numeric(10,2)!", primary=["id"]),
    keys=[foreign_key("purchase", ["customer_id"], "customer")],
)  # fmt: skip


def test_persons_are_mocked_and_the_rest_is_duplicated() -> None:
    assert rules(drafted(SHOP)) == {
        "id": "key",
        "email": "mock.email",
        "name": "mock.full_name",
        "city": "mock.city",
        "vip": "duplicate",
    }


def test_a_foreign_key_follows_and_has_no_rule_of_its_own() -> None:
    draft = drafted(SHOP)
    assert rules(draft, "purchase") == {"id": "key", "amount": "duplicate"}
    assert "# customer_id" in job_text(draft)
    assert "follows public.customer.id" in job_text(draft)


def test_the_preset_mask_duplicates_nothing_that_a_generator_masks() -> None:
    assert rules(drafted(SHOP, "mask")) | rules(drafted(SHOP, "mask"), "purchase") | {"id": ""} == {
        "id": "",
        "email": "mask.text",
        "name": "mask.text",
        "city": "mask.text",
        "vip": "duplicate",
        "amount": "mask.number",
    }


def test_the_preset_mock_mocks_what_names_say_and_masks_the_rest() -> None:
    found = rules(drafted(SHOP, "mock")) | rules(drafted(SHOP, "mock"), "purchase")
    assert (found["email"], found["amount"]) == ("mock.email", "mask.number")


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_leaves_an_error_on_an_ordinary_schema(preset: Preset) -> None:
    draft = drafted(SHOP, preset)
    assert draft.left == ()
    assert not any(choice.open for choice in draft.choices.values())


def test_a_draft_that_follows_its_source_says_so_and_reads_back_as_it_is() -> None:
    draft = drafted(SHOP)
    draft.head = draft.head.model_copy(update={"mode": "continuous"})
    assert parse_job(job_text(draft)) == draft.job


def test_a_mock_that_is_too_long_gives_way_to_a_mask_and_the_file_says_why() -> None:
    draft = drafted(catalogue(table("customer", "id int8!", "phone varchar(8)", primary=["id"])))
    assert rules(draft)["phone"] == "mask.text"
    assert "mock.phone needs 10 characters" in job_text(draft)


def test_a_mock_that_may_repeat_gives_way_on_a_unique_column() -> None:
    own = catalogue(table("customer", "id int8!", "name text!", primary=["id"], indexes=[unique("n", "name")]))
    assert rules(drafted(own))["name"] == "mask.text"


def test_a_mock_gives_way_in_a_unique_index_over_several_columns() -> None:
    own = catalogue(
        table(
            "customer",
            "id int8!",
            "first_name text!",
            "shop int4!",
            primary=["id"],
            indexes=[unique("n", "first_name", "shop")],
        )
    )
    assert rules(drafted(own))["first_name"] == "mask.text"


def test_personal_data_that_nothing_fits_stops_the_plan_with_its_name() -> None:
    draft = drafted(catalogue(table("patient", "id int8!", "gender bit(1)!", primary=["id"])))
    assert "gender" not in rules(draft, "patient")
    (line,) = (line for line in job_text(draft).splitlines() if line.startswith("      # gender"))
    assert "TODO special category of personal data" in line
    assert draft.left == ()


@pytest.mark.parametrize("preset", PRESETS)
def test_what_looks_personal_is_never_duplicated(preset: Preset) -> None:
    names = ("email", "ssn", "name", "birth_date", "password", "gender", "phone", "notes", "iban", "lat")
    types = (
        "text",
        "text!",
        "varchar(3)!",
        "int4!",
        "date!",
        "jsonb!",
        "bytea",
        "enum(a,b)!",
        "bool!",
        "tsvector!",
        "bit(2)!",
    )
    looked_at = 0
    for kind in types:
        own = [column(f"{n} {kind}", i) for i, n in enumerate(names, 2)]
        draft = drafted(catalogue(table("patient", column("id int8!"), *own, primary=["id"])), preset)
        by_name = draft.job.tables["public.patient"].columns
        for c in own:
            if detect(c, "patient"):
                looked_at += 1
                assert not isinstance(by_name.get(c.name), Duplicate), f"{c.name} {kind}"
    assert looked_at > 50


def test_a_partition_key_is_duplicated_and_one_that_is_personal_is_asked_about() -> None:
    whole = catalogue(
        table(
            "payment",
            "id int8!",
            "paid date!",
            primary=["id", "paid"],
            partition_columns=("paid",),
            bounded_columns=("paid",),
        ),
        table(
            "people", "id int8!", "birth_date date!", partition_columns=("birth_date",), bounded_columns=("birth_date",)
        ),
    )
    draft = drafted(whole, "mask")
    assert rules(draft, "payment")["paid"] == "duplicate"
    assert "birth_date" not in rules(draft, "people")


def test_a_list_of_values_is_respected() -> None:
    check = CheckConstraint(
        name="c",
        definition="CHECK (((gender)::text = ANY ((ARRAY['f'::character varying, 'm'::character varying])::text[])))",
        columns=("gender",),
    )
    one = table("patient", "id int8!", "gender varchar(1)!", primary=["id"], checks=(check,))
    assert listed_values(one, "gender") == ("f", "m")
    assert rules(drafted(catalogue(one)), "patient")["gender"] == "{generator: constant, value: f}"


def test_a_reference_that_only_its_name_tells_masks_like_the_key() -> None:
    own = catalogue(
        table("customers", "id int8!", primary=["id"]), table("visit", "id int8!", "customer_id int4", primary=["id"])
    )
    assert rules(drafted(own), "visit")["customer_id"] == '{generator: key, domain: "public.customers.id"}'


def test_a_table_that_the_destination_lacks_stays_out_with_the_reason() -> None:
    draft = drafted(SHOP, destination=catalogue(SHOP.tables[0]))
    assert draft.job.tables["public.purchase"].mode == "exclude"
    assert "the destination has no such table" in job_text(draft)


def test_a_destination_that_holds_none_of_the_tables_has_them_made() -> None:
    view = table("summary", "id int8", kind="v")
    draft = drafted(
        catalogue(*SHOP.tables, view, keys=SHOP.foreign_keys), destination=catalogue(table("other", "id int8"))
    )
    assert (draft.job.destination.mode, draft.left) == ("create", ())
    assert rules(draft) == rules(drafted(SHOP))
    text = job_text(draft)
    assert 'destination: {url: "${D}", mode: create}' in text
    assert "a view: made, its rows travel if it is named here" in text


def test_an_older_destination_in_which_the_tables_would_have_to_be_made_is_said() -> None:
    old = catalogue().model_copy(update={"server_version": 140_000})
    assert [p.code for p in drafted(SHOP, destination=old).left] == ["plan.create-version"]


def test_references_to_a_table_that_stays_out_become_null_or_keep_their_table_out() -> None:
    parent = table("parent", "id int8!", primary=["id"], row_security=True)
    loose, tight = (
        table(t, "id int8!", f"parent int8{mark}", primary=["id"]) for t, mark in (("loose", ""), ("tight", "!"))
    )
    keys = [foreign_key(t, ["parent"], "parent") for t in ("loose", "tight")]
    draft = drafted(catalogue(parent, loose, tight, keys=keys))
    modes = {t: r.mode for t, r in draft.job.tables.items()}
    assert modes == {"public.parent": "exclude", "public.loose": "carry", "public.tight": "exclude"}
    assert rules(draft, "loose") == {"id": "key", "parent": "null"}


def test_a_table_that_the_source_hides_stays_out() -> None:
    hidden = SHOP.model_copy(update={"privileges": SHOP.privileges | {"public.purchase": ()}})
    assert drafted(hidden, destination=SHOP).job.tables["public.purchase"].mode == "exclude"


def test_what_a_grant_mends_is_said_and_not_left_out() -> None:
    may = SHOP.privileges | {"public.purchase": ("SELECT",)}
    draft = drafted(SHOP, destination=SHOP.model_copy(update={"privileges": may}))
    assert draft.job.tables["public.purchase"].mode == "carry"
    assert any("GRANT" in problem.remedy for problem in draft.left)


def test_a_role_that_does_not_own_the_tables_is_given_a_job_that_respects_them() -> None:
    may = {k: tuple(p for p in v if p != "OWNER") for k, v in SHOP.privileges.items()}
    draft = drafted(SHOP, destination=SHOP.model_copy(update={"privileges": may}))
    assert draft.job.destination.constraints == "respect"
    assert draft.left == ()


def test_migrations_are_the_schemas_own() -> None:
    notes = table("schema_migrations", "version text!", primary=["version"])
    kept = drafted(catalogue(*SHOP.tables, notes, keys=SHOP.foreign_keys))
    assert kept.job.tables["public.schema_migrations"].mode == "duplicate"
    full = notes.model_copy(update={"has_rows": True})
    there = catalogue(*SHOP.tables, full, keys=SHOP.foreign_keys)
    assert drafted(there).job.tables["public.schema_migrations"].mode == "exclude"


def test_names_of_any_kind_are_read_back() -> None:
    odd = (
        "null",
        "on",
        "a b",
        'say "x"',
        "ключ",
        "col:1",
        "# no",
        "line\nbreak",
        "\u2028",
        "emoji😀",
        "*",
        "1",
        "y",
        "a.b",
    )
    own = [column("id int8!"), *(column("x text", i).model_copy(update={"name": n}) for i, n in enumerate(odd, 2))]
    draft = drafted(catalogue(table("Odd Table: x", *own, primary=["id"])), "mask")
    assert set(draft.job.tables["public.Odd Table: x"].columns) == {"id", *odd}


def test_options_and_constants_are_written_as_they_are_read() -> None:
    assert rule_text(MaskNumber(absolute=3)) == "{generator: mask.number, absolute: 3.0}"
    assert rule_text(Constant(value="0")) == '{generator: constant, value: "0"}'
    assert scalar("Off") == '"Off"'


def test_hundreds_of_tables_are_drafted_in_seconds() -> None:
    tables = [table(f"t{i}", "id int8!", "up int8", "email text!", "name text", primary=["id"]) for i in range(300)]
    keys = [foreign_key(f"t{i}", ["up"], f"t{i - 1}") for i in range(1, 300)]
    draft = drafted(catalogue(*tables, keys=keys))
    assert draft.left == ()
    assert draft.choices[ColumnRef(name("t7"), "email")].taken.rule is not None
