"""The demo's data and job, and the commented example of a job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from tailrace.demo.compare import side_by_side
from tailrace.demo.dump import job_text, pagila, structure_of
from tailrace.demo.show import CANARIES, CANARIES_OF, DESTINATION_URL, SOURCE_URL
from tailrace_shared.job.load import load_job, parse_job

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def dump() -> str:
    return pagila()


def test_the_structure_of_a_dump_has_every_object_and_no_row(dump: str) -> None:
    structure = structure_of(dump)
    assert "COPY " not in structure
    assert "setval" not in structure
    assert "@sakilacustomer.org" not in structure
    for kind in ("CREATE TABLE", "CREATE INDEX", "ADD CONSTRAINT", "CREATE TRIGGER", "CREATE TYPE", "CREATE VIEW"):
        assert structure.count(kind) == dump.count(kind) > 0


def test_the_demos_job_names_every_table_of_its_data(dump: str) -> None:
    job = parse_job(job_text())
    tables = set(re.findall(r"^CREATE TABLE public\.(\w+)", dump, re.MULTILINE))
    partitions = {table for table in tables if re.search(r"_p\d{4}_\d\d$", table)}
    assert {f"public.{table}" for table in tables - partitions} == set(job.tables)
    assert job.policy == "halt"
    assert (job.source.url, job.destination.url) == (f"${{{SOURCE_URL}}}", f"${{{DESTINATION_URL}}}")


def test_the_demos_canaries_are_in_its_data(dump: str) -> None:
    assert parse_job(job_text()).verify.canaries == (f"${{{CANARIES_OF}}}",)
    assert CANARIES
    assert all(canary in dump for canary in CANARIES)


def test_the_example_job_is_valid() -> None:
    assert load_job(DOCS / "job-example.yaml").name == "webshop-to-staging"


def test_rows_stand_side_by_side_as_they_are() -> None:
    names = (
        *("customer_id", "first_name", "last_name", "email", "create_date"),
        *("address_id", "address", "district", "postal_code", "phone"),
        *("payment_id", "customer_id", "amount", "payment_date"),
    )
    tables = ("customer",) * 5 + ("address",) * 5 + ("payment",) * 4
    before = {f"{table}.{name}": f"[{name}]" for table, name in zip(tables, names, strict=True)}
    after = {name: f"new {value}" for name, value in before.items()}
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(side_by_side([(before, after), (before, after)]))
    assert re.search(r"customer\.email +\[email\] +new \[email\]", capture.get())
