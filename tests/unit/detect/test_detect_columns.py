"""Detection over a few hundred labelled columns, and the rules that carry it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from support.catalogues import column
from tailrace_shared.detect import Entity, Finding, detect

LABELLED = Path(__file__).with_name("labelled.txt")


class Label(NamedTuple):
    table: str
    column: str
    type: str
    entity: Entity | None


class Score(NamedTuple):
    """How detection does on a set of labels: what is personal, and as what."""

    precision: float
    recall: float
    kind: float
    """Of the columns that are rightly found, the share with the right entity."""
    wrong: list[str]


def labels(part: str) -> list[Label]:
    section = LABELLED.read_text().partition(f"[{part}]\n")[2].partition("\n[")[0]
    return [
        Label(table, name, kind, None if entity == "-" else entity)  # type: ignore[arg-type]
        for table, name, kind, entity in (line.split() for line in section.splitlines())
    ]


def found(label: Label) -> Finding | None:
    return detect(column(f"{label.column} {label.type}"), label.table)


def score(part: str) -> Score:
    hits, kinds, said, personal, wrong = 0, 0, 0, 0, []
    for label in labels(part):
        finding = found(label)
        personal += label.entity is not None
        said += finding is not None
        if finding and label.entity:
            hits += 1
            kinds += finding.entity == label.entity
        if (finding.entity if finding else None) != label.entity:
            wrong.append(f"{label.table}.{label.column} {label.type}: {label.entity}, found {finding}")
    return Score(hits / said, hits / personal, kinds / hits, wrong)


@pytest.mark.parametrize(
    ("part", "precision", "recall", "kind"), [("development", 0.97, 0.98, 0.98), ("held-out", 0.95, 0.92, 0.92)]
)
def test_precision_and_recall_hold_their_margins(part: str, precision: float, recall: float, kind: float) -> None:
    reached = score(part)
    print(
        f"{part}: {len(labels(part))} columns, precision {reached.precision:.3f}, recall {reached.recall:.3f}, "
        f"right kind {reached.kind:.3f}"
    )
    print("\n".join(reached.wrong))
    assert reached.precision >= precision
    assert reached.recall >= recall
    assert reached.kind >= kind


BESIDE = {
    "mail": ("id", "title", "name", "homepage", "email", "body"),
    "address": ("id", "name_cached", "city", "street", "zip", "search_text"),
    "things": ("id", "name", "product_name", "email_template", "street_type"),
}
"""Columns of tables."""


@pytest.mark.parametrize(
    ("place", "beside", "entity", "confidence"),
    [
        ("product_reviews.name text", "mail", "full_name", "low"),
        ("product_reviews.homepage text", "mail", "url", "low"),
        ("order_positions.city text", "address", "city", "low"),
        ("shipping_address.search_text text", "address", "free_text", "low"),
        ("product_reviews.product_name text", "mail", None, None),
        ("product_variants.name text", "things", None, None),
        ("product_variants.city_id int4", "address", None, None),
        ("suppliers.name text", "mail", "company", "medium"),
        ("customers.name text", "mail", "full_name", "high"),
    ],
)
def test_what_stands_beside_a_column_says_whose_it_is(
    place: str, beside: str, entity: str | None, confidence: str | None
) -> None:
    table, _, rest = place.partition(".")
    finding = detect(column(rest), table, BESIDE[beside])
    assert (finding and finding.entity, finding and finding.confidence) == (entity, confidence)


@pytest.mark.parametrize(
    ("place", "entity"),
    [
        ("payment_bankcard.number text", "card"),
        ("credit_cards.number text", "card"),
        ("task_note.content text", "free_text"),
        ("phone_numbers.number text", "phone"),
        ("email_addresses.value text", "email"),
        ("passports.number text", "national_id"),
        ("order_numbers.value text", None),
        ("email_templates.value text", None),
        ("settings.value text", None),
        ("invoices.number text", None),
        ("products.content text", None),
    ],
)
def test_a_general_name_is_told_by_its_tables(place: str, entity: str | None) -> None:
    table, _, rest = place.partition(".")
    finding = detect(column(rest), table)
    assert (finding and finding.entity) == entity


@pytest.mark.parametrize(
    ("place", "entity"),
    [
        ("invoice.invoice_to_name text", "full_name"),
        ("invoice.invoice_to_street text", "street"),
        ("invoice.invoice_to_city text", "city"),
        ("invoice.invoice_from_company text", "company"),
        ("invoice.invoice_to text", "free_text"),
        ("orders.shipped_to_zip text", "postcode"),
        ("orders.ship_to_id int8", None),
        ("customers.identifier text", "user_name"),
        ("people.ldap_uid text", "user_name"),
        ("products.identifier text", None),
        ("event_persons.affiliation text", "company"),
        ("identities.identifier text", "national_id"),
        ("categories.event_creation_notification_emails _varchar", "email"),
        ("categories.is_email text", None),
        ("audit_entries.data text", "free_text"),
        ("sessions.session_data text", "free_text"),
        ("audit_entries.data_type text", None),
    ],
)
def test_whose_a_value_is_and_what_is_kept_as_one_text_is_told_by_names(place: str, entity: str | None) -> None:
    table, _, rest = place.partition(".")
    finding = detect(column(rest), table)
    assert (finding and finding.entity) == entity
