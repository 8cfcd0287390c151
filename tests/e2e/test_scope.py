"""Less than everything: conditions, row limits, what becomes of references to rows that stay behind, keys of the job alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.databases import DATABASES, Pair
from support.installation import Installation
from tailrace.app import create_app
from tailrace_shared.job.load import load_job

SECRET_CITY = "City 3"
JOB = """\
version: 1
name: rental
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: pass
missing_parents: exclude
limits: {range_bytes: 131072}
foreign_keys:
  - {table: public.note, columns: [owner_id], references: public.customer, when: {owner_type: Customer}}
  - {table: public.note, columns: [owner_id], references: public.staff, when: {owner_type: Staff}}
foreign_keys_file: keys.json
tables:
  public.city: {where: "name = ${RENTAL_CITY} OR id IN (SELECT c.city FROM customer c WHERE c.id = 8)"}
  public.customer: {missing_parents: exclude, columns: {id: key, email: mock.email}}
  public.staff: {where: active, columns: {id: key, name: mock.full_name}}
  public.note: {missing_parents: nullify, columns: {text: mask.text}}
  public.visit: {missing_parents: refuse, where: "client IN (SELECT id FROM customer WHERE city IN (1, 3))"}
  public.audit: {rows: 1234}
  public.person: {columns: {name: mask.text}}
"""
KEYS = [{"table": "public.visit", "columns": ["client"], "references": "public.customer"}]
BELOW = "WITH RECURSIVE x AS (SELECT 3 AS id UNION SELECT s.id FROM staff s JOIN x ON s.boss = x.id) SELECT id FROM x"
CUSTOMERS = f"SELECT id FROM customer WHERE city IN (1, 3) AND (served_by IS NULL OR served_by NOT IN ({BELOW}))"


@pytest.fixture(scope="module")
def rental(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("rental", (DATABASES / "rental.sql").read_text(), (DATABASES / "rental_rows.sql").read_text())


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps(KEYS))
    file = tmp_path / "job.yaml"
    # Visits of customers whose row is excluded because of who serves them would be refused.
    file.write_text(JOB.replace("WHERE city IN (1, 3))", f"WHERE id IN ({CUSTOMERS}))"))
    return file


def test_what_is_chosen_arrives_whole_and_what_stays_behind_is_missed_by_nobody(
    install: Callable[..., Installation], rental: Pair, job_file: Path
) -> None:
    installation = install(rental, extra={"RENTAL_CITY": SECRET_CITY})
    job = load_job(job_file)

    record = installation.run(job, seconds=120)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    one = rental.digest()
    rentals = f"SELECT id FROM rental WHERE customer IN ({CUSTOMERS})"
    for table, expected in {
        "city": "SELECT id FROM city WHERE id IN (1, 3)",
        "customer": CUSTOMERS,
        "staff": f"SELECT id FROM staff WHERE id NOT IN ({BELOW})",
        "rental": rentals,
        "payment": f"SELECT id FROM payment WHERE rental IN ({rentals})",
        "note": "SELECT id FROM note",
        "audit": "SELECT id FROM audit ORDER BY ctid LIMIT 1234",
        "ONLY person": "SELECT id FROM ONLY person",
        "member": "SELECT id FROM member",
    }.items():
        wanted = rental.value("source", f"SELECT count(*) FROM ({expected}) e")
        assert rental.value("destination", f"SELECT count(*) FROM {table}") == wanted, table
        assert wanted, table
    assert rental.value("destination", "SELECT max(length(said)) FROM audit WHERE id > 1234") is None
    owned = "SELECT count(*) FROM note n JOIN {0} o ON o.id = n.owner_id WHERE n.owner_type = '{1}'"
    customers = f"({CUSTOMERS})"
    staff = f"(SELECT id FROM staff WHERE id NOT IN ({BELOW}))"
    for parent, chosen, kind in (("customer", customers, "Customer"), ("staff", staff, "Staff")):
        joined = rental.value("source", owned.format(chosen, kind))
        assert rental.value("destination", owned.format(parent, kind)) == joined, kind
        left = f"SELECT count(*) FROM note WHERE owner_type = '{kind}' AND owner_id IS NOT NULL"
        assert rental.value("destination", left) == joined, "all others have become NULL"
    assert (
        rental.value("destination", "SELECT count(*) FROM note WHERE owner_type = 'Nobody' AND owner_id IS NULL") == 0
    )
    assert rental.value(
        "destination", "SELECT count(*) FROM visit v JOIN customer c ON c.id = v.client"
    ) == rental.value("destination", "SELECT count(*) FROM visit")
    assert SECRET_CITY not in installation.logs()

    for service in ("reader", "generator", "writer"):
        installation.scale(service, 3)
    assert installation.run(job, seconds=120).state == "done"
    assert rental.digest() == one, "three replicas of each stage"

    verified = command(rental, installation, "verify", str(job_file), "--json")
    checks = json.loads(verified[verified.index("{") :])["checks"]
    assert [check for check in checks if not check["passed"]] == []
    said = {check["name"]: check["detail"] for check in checks}
    assert "that the job carries" in said["rows public.customer"]
    planned = command(rental, installation, "plan", str(job_file), "--json")
    assert SECRET_CITY not in planned
    shown = json.loads(
        command(rental, installation, "preview", str(job_file), "--table", "public.city", "--rows", "5", "--json")
    )
    assert len(shown["tables"][0]["rows"]) == 2


def command(pair: Pair, installation: Installation, *arguments: str) -> str:
    environment = {
        "SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url, "RENTAL_CITY": SECRET_CITY,
        "TAILRACE_MASK_SECRET": "one mask secret of the tests",
    }  # fmt: skip
    result = CliRunner().invoke(create_app(), list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout
