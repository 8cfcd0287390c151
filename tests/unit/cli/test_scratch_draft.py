"""Drafts from nothing: names and types choose generators, the planner's refusals are mended, the file parses to the job."""

from __future__ import annotations

from support.catalogues import catalogue, foreign_key, table, unique
from tailrace.init_read import as_destination
from tailrace.scratch_draft import ScratchDraft, begin_scratch, settle_scratch
from tailrace.scratch_write import scratch_text
from tailrace_shared.catalogue.model import Catalogue, CheckConstraint
from tailrace_shared.generators import Key, MakeChoice, MakeNumber, MockEmail
from tailrace_shared.job.load import parse_job

STATUS = CheckConstraint(
    name="c", definition="CHECK ((status = ANY (ARRAY['a'::text, 'b'::text])))", columns=("status",)
)
SHOP = catalogue(
    table("customer", "id int4!", "email text!", "status text!", primary=["id"], indexes=[unique("mail", "email")],
          checks=(STATUS,), rows=300.0),
    table("orders", "id int8!", "customer_id int4!", "quantity int2", "extra jsonb!", primary=["id"], rows=9000.0),
    table("flag", "on_off bool!", primary=["on_off"]),
    table("schema_migrations", "version text!", primary=["version"]),
    keys=[foreign_key("orders", ["customer_id"], "customer")],
)  # fmt: skip


def drafted(source: Catalogue = SHOP, **options: float | int) -> ScratchDraft:
    return settle_scratch(
        begin_scratch(
            source, as_destination(source), name="made", source_url="${A}", destination_url="${B}", schemas=("public",),
            **options,  # type: ignore[arg-type]
        )
    )  # fmt: skip


def test_every_table_is_made_and_the_file_parses_to_the_job() -> None:
    draft = drafted()
    assert draft.left == ()
    text = scratch_text(draft, ["a note\nof two lines"])
    job = parse_job(text)
    assert job == draft.job
    customer = job.tables["public.customer"]
    assert (customer.mode, customer.rows) == ("generate", 1000)
    assert isinstance(customer.columns["id"], Key)
    assert isinstance(customer.columns["email"], MockEmail)
    assert customer.columns["status"] == MakeChoice(values=("a", "b"))
    orders = job.tables["public.orders"].columns
    assert "customer_id" not in orders, "the foreign key draws it"
    assert "# customer_id" in text
    assert isinstance(orders["quantity"], MakeNumber)
    assert job.tables["public.schema_migrations"].mode == "exclude"


def test_rows_are_as_many_as_unique_columns_tell_apart() -> None:
    assert drafted().rows[SHOP.tables[1].name] <= 2, "two booleans, two rows"


def test_rows_may_follow_the_sources() -> None:
    rows = {name.name: count for name, count in drafted(scale=0.1).rows.items()}
    assert rows["customer"] == 30
    assert rows["orders"] == 900


def test_what_nothing_can_make_stays_empty_with_its_reason() -> None:
    odd = catalogue(
        table("odd", "id int4!", "what tsquery!", primary=["id"]), table("plain", "id int4!", primary=["id"])
    )
    draft = drafted(odd)
    assert draft.left == ()
    assert "mode: truncate" in scratch_text(draft)
