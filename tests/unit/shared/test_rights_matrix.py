"""The matrix of rights: complete, narrow, and as the documentation shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailrace.kafka_rights import commands, listed, principals, read_passwords
from tailrace_shared import rights, topics
from tailrace_shared.errors import UsageError
from tailrace_shared.rights import CONTROL, DATA, PARTIES, rights_of

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_shows_the_matrix() -> None:
    assert rights.table() in (DOCS / "security.md").read_text()


def test_every_kind_of_topic_has_a_reader_and_somebody_who_writes_it() -> None:
    kinds = {*CONTROL, *topics.topics_of(continuous=True)}
    for operation in ("Read", "Write"):
        assert {k for party in PARTIES for k, o in DATA[party].items() if operation in o} == kinds
    assert {kind for party in PARTIES for kind in DATA[party]} == kinds


def test_what_is_raw_and_what_is_masked_are_kept_apart() -> None:
    raw, masked = {"raw", "training", "changes"}, {"masked", "masked-changes"}
    assert not DATA["reader"].keys() & masked
    assert not DATA["writer"].keys() & raw
    assert {p for p in PARTIES if DATA[p].keys() & raw and DATA[p].keys() & masked} == {"generator"}
    assert not DATA["operator"].keys() & (raw | masked | {"plan"})


@pytest.mark.parametrize("party", PARTIES)
def test_no_right_reaches_beyond_the_namespace(party: rights.Party) -> None:
    for right in rights_of(party, "stage"):
        assert right.name.startswith("stage.")
        assert right.prefixed == right.name.endswith("."), "a prefix ends where a part of the name does"


@pytest.mark.parametrize("party", PARTIES)
def test_rights_meet_the_names_that_topics_and_groups_have(party: rights.Party) -> None:
    run = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
    for kind in topics.topics_of(continuous=True):
        met = {
            r.operation
            for r in rights_of(party, "stage")
            if topics.of_run("stage", run, kind).startswith(r.name) and r.resource == "topic"
        }
        assert {o for o in met if o in ("Read", "Write")} == set(DATA[party].get(kind, ()))
    own = topics.group("stage", party, topics.of_run("stage", run, "raw"))
    groups = [r for r in rights_of(party, "stage") if r.resource == "group" and r.operation == "Read"]
    assert any(own.startswith(r.name) for r in groups) == (party != "operator")


def test_printed_lines_and_listed_rights_are_the_same() -> None:
    users = principals("stage", ["operator=someone"])
    lines = [line for line in commands(users, "stage") if not line.startswith("#")]
    assert sum(line.count("--operation ") for line in lines) == sum(len(r) for r in listed(users, "stage").values())
    assert any("User:someone" in line and "--topic stage.facts" in line for line in lines)
    assert json.dumps(listed(users, "stage"))


@pytest.mark.parametrize("given", ["reader", "reader=", "nobody=x", "reader=stage-writer"])
def test_a_party_without_a_user_of_its_own_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        principals("stage", [given])
    assert caught.value.code == "usage.user"


def test_passwords_are_read_from_files_by_party_and_short_ones_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of a party"):
        read_passwords(tmp_path)
    (tmp_path / "reader").write_text("a long enough password\n")
    assert read_passwords(tmp_path) == {"reader": "a long enough password"}
    (tmp_path / "writer").write_text("short")
    with pytest.raises(UsageError) as caught:
        read_passwords(tmp_path)
    assert caught.value.code == "secret.too-short"
    assert "short\n" not in str(caught.value)
