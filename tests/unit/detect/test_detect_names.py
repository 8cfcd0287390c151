"""Names taken apart, and what must not be taken for a person."""

from __future__ import annotations

import pytest

from support.catalogues import column
from tailrace_shared.detect import concepts_of, detect, role_of
from tailrace_shared.detect.names import words_of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("first_name", ["first", "name"]),
        ("firstName", ["first", "name"]),
        ("FirstName", ["first", "name"]),
        ("Kunden-EMail_Adresse2", ["kunden", "email", "adresse"]),
        ("e_mail", ["email"]),
        ("Straße", ["strasse"]),
        ("prénom", ["prenom"]),
        ("IPAddress", ["ip", "address"]),
        ("tbl_users", ["users"]),
        ("str", ["str"]),
        ("", []),
        ("日本", []),
    ],
)
def test_a_name_is_taken_apart_whatever_its_house_style(name: str, words: list[str]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "concepts"),
    [
        ("kundenname", ["person", "name"]),
        ("telefonnummer", ["phone"]),
        ("Geburtsdatum", ["birth"]),
        ("zip_code", ["postcode"]),
        ("dienstemail", ["", "email"]),
        ("vorname", ["first", "name"]),
    ],
)
def test_words_of_every_language_stand_for_the_same_concepts(name: str, concepts: list[str]) -> None:
    assert ["".join(c) for c in concepts_of(name)] == concepts


@pytest.mark.parametrize(
    ("table", "role"),
    [
        ("customers", "person"),
        ("tblKunden", "person"),
        ("customer_orders", "thing"),
        ("user_roles", "thing"),
        ("lieferanten", "company"),
        ("zq17", "unknown"),
    ],
)
def test_a_tables_last_word_says_what_its_rows_are(table: str, role: str) -> None:
    assert role_of(table) == role


@pytest.mark.parametrize(
    "place",
    [
        "files.file_name text", "products.product_name text", "audit.table_name text", "products.name text",
        "customers.email_verified bool", "customers.email_count int4", "customers.phone_type text",
        "customers.created_at timestamptz", "users.password_changed_at timestamptz", "users.token_type text",
        "users.is_admin bool", "addresses.address_id int8", "servers.hostname text", "features.feature_name text",
        "roles.role_name text", "devices.battery int4", "orders.shipped_at date", "tags.tag_name text",
        "schedules.max_age int4", "templates.email_template text", "city.city text", "invoices.vat_rate numeric(4,2)",
        "customers.mobile_app_version text", "pages.title text", "blobs.mime_type text", "jobs.job_name text",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_person_is_not_taken_for_one(place: str) -> None:
    table, _, rest = place.partition(".")
    assert detect(column(rest), table) is None


def test_the_type_has_a_word() -> None:
    assert detect(column("email int8"), "users") is None
    assert detect(column("note varchar(10)"), "orders") is None
    assert detect(column("seen inet"), "hits") is not None
    assert detect(column("data jsonb"), "hits") is not None
    found = detect(column("emails _text"), "users")
    assert found is not None
    assert found.entity == "email"


def test_the_table_decides_what_a_bare_name_is() -> None:
    entities = {
        t: (f.entity if (f := detect(column("name text"), t)) else None) for t in ("employee", "vendor", "genre")
    }
    assert entities == {"employee": "full_name", "vendor": "company", "genre": None}


def test_a_finding_says_how_sure_it_is_and_why() -> None:
    assert str(detect(column("name text"), "zq17")) == 'name of a person, named "name" (low)'
    assert str(detect(column("name text"), "guest")) == 'name of a person, named "name" in "guest" (high)'
