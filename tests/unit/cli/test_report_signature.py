"""A report's signature: what it covers, what it costs to forge, and that anybody can check it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tailrace.app import create_app
from tailrace.report import DigestReport, Report, Server, digest_report, read_report, require_writable, write_report
from tailrace.signature import REPORT_KEY, canonical, prove, report_key, sealed
from tailrace_shared.errors import UsageError
from tailrace_shared.messages import Check

KEY = b"a key of sixteen characters"
DOCS = Path(__file__).parents[3] / "docs"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | TEXT, lambda e: st.lists(e) | st.dictionaries(TEXT, e), max_leaves=20
)


def report(**changes: Any) -> Report:
    end = Server(system="1", database="shop", version=180000)
    given: dict[str, Any] = {
        "made_at": "2026-01-01T00:00:00+00:00", "job": "shop", "job_digest": "d", "source": end, "destination": end,
        "passed": True, "checks": (Check(name='rows public."Ünïcode"', passed=True, detail="source 1, destination 1"),),
        "digest": DigestReport(keyed=False, overall="0", tables={"public.t": "1"}), "protection": (),
    }  # fmt: skip
    return Report.model_validate(given | changes)


def show(file: Path, **environment: str) -> tuple[int, str]:
    done = CliRunner().invoke(create_app(), ["report", str(file), "--json"], env=environment)
    return done.exit_code, done.output


@given(st.dictionaries(TEXT, JSON))
def test_a_signed_report_is_valid_under_its_key_however_the_file_is_laid_out(content: dict[str, Any]) -> None:
    envelope = sealed(content, KEY)
    turned = json.loads(json.dumps(envelope, indent=7, sort_keys=True))
    assert prove(turned, KEY) == "valid"
    assert prove(turned, KEY + b"!") == "invalid"


def test_any_change_of_a_value_a_name_or_the_algorithm_makes_it_invalid() -> None:
    envelope = sealed(report().model_dump(mode="json"), KEY)
    changed: list[dict[str, Any]] = [
        envelope | {"report": envelope["report"] | {"passed": False}},
        envelope | {"report": envelope["report"] | {"more": 1}},
        envelope | {"algorithm": "none"},
        envelope | {"signature": envelope["signature"][:-1] + "g"},
        envelope | {"signature": None},
        {name: value for name, value in envelope.items() if name != "signature"},
    ]
    assert [prove(one, KEY) for one in changed] == ["invalid"] * 6


def test_an_unsigned_report_says_so_and_why_and_a_flag_alone_does_not_make_it_signed() -> None:
    envelope = sealed(report().model_dump(mode="json"), None)
    assert envelope["signed"] is False
    assert REPORT_KEY in envelope["why_unsigned"]
    assert prove(envelope, KEY) == "unsigned"
    assert prove(envelope | {"signed": True}, KEY) == "invalid"


def test_a_key_that_can_be_guessed_is_refused_and_one_from_a_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert report_key({f"{REPORT_KEY}_FILE": str(tmp_path / "key")}) == KEY
    assert report_key({}) is None
    with pytest.raises(UsageError, match="fewer than 16"):
        report_key({REPORT_KEY: "fifteen charact"})


@pytest.mark.parametrize("content", ["", "[]", "{", '{"report": 1, "signed": true}', '{"report": {}}', "\x00\xff"])
def test_what_is_no_report_is_a_usage_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    code, said = show(tmp_path / "r.json", **{REPORT_KEY: KEY.decode()})
    assert code == 2
    assert "report.format" in said


def test_a_key_given_twice_in_the_file_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"report": {}, "report": {}, "signed": false}')
    with pytest.raises(UsageError, match="no report"):
        read_report(tmp_path / "r.json")


def test_the_command_ends_with_0_1_or_3_and_wants_the_key_of_a_signed_report(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    write_report(file, report(), KEY)
    assert show(file, **{REPORT_KEY: KEY.decode()})[0] == 0
    code, said = show(file, **{REPORT_KEY: "another key of sixteen"})
    assert (code, json.loads(said)["signature"]) == (1, "invalid")
    code, said = show(file)
    assert code == 2
    assert REPORT_KEY in said
    write_report(file, report(), None)
    code, said = show(file)
    assert (code, json.loads(said)["signature"]) == (3, "unsigned")


def test_a_path_where_nothing_can_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "r.json"):
        with pytest.raises(UsageError, match="cannot be written"):
            require_writable(path)


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("openssl")), reason="needs jq and openssl")
def test_the_line_of_the_documentation_makes_the_same_signature(tmp_path: Path) -> None:
    page = (DOCS / "report.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("jq ")]
    file = tmp_path / "report.json"
    write_report(file, report(), KEY)
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", REPORT_KEY: KEY.decode()},
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout.split()[-1] == json.loads(file.read_text())["signature"]


def test_the_canonical_form_has_sorted_keys_no_white_space_and_utf8() -> None:
    assert canonical({"b": [1, True], "a": 'ü"\n'}) == '{"a":"ü\\"\\n","b":[1,true]}'.encode()


def test_digests_are_keyed_with_the_report_key_and_differ_by_it() -> None:
    tables = {"public.a": "0" * 64, "public.b": "1" * 64}
    plain, one, other = digest_report(tables, None), digest_report(tables, KEY), digest_report(tables, KEY + b"!")
    assert not plain.keyed
    assert plain.tables == tables
    assert one.keyed
    assert len({plain.overall, one.overall, other.overall}) == 3
    assert not set(one.tables.values()) & set(other.tables.values())
