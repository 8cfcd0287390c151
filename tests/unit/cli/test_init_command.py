"""`tailrace init` and `tailrace preview` before they reach a database."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tailrace.app import create_app
from tailrace.commands.init import job_name

URL = "postgresql://ann:s3cret@db/prod"


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(create_app(), list(arguments))


@pytest.mark.parametrize("option", ["--source", "--destination"])
def test_a_url_on_the_command_line_is_refused_and_not_repeated(option: str) -> None:
    given = {"--source": "SOURCE_URL"} | {option: URL}
    result = invoke("init", *(part for pair in given.items() for part in pair))
    assert result.exit_code == 2
    assert f"{option} takes the name of an environment variable" in result.stderr
    assert "s3cret" not in result.output + result.stderr


def test_missing_variables_are_named() -> None:
    result = invoke("init", "--source", "NO_SRC", "--destination", "${NO_DST}")
    assert result.exit_code == 2
    assert "NO_SRC" in result.stderr
    assert "NO_DST" in result.stderr


@pytest.mark.parametrize(("preset", "said"), [("paint", "no such preset")])
def test_a_preset_that_is_not_there_is_refused(preset: str, said: str) -> None:
    result = invoke("init", "--source", "S", "--preset", preset)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("mine")
    result = invoke("init", "--source", "S", "-o", str(file))
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("database", "expected"),
    [("Shop_2", "shop-2-mask"), ("2nd", "job-2nd-mask"), ("ключ", "mask"), ("x" * 80, "x" * 63)],
)
def test_a_job_is_named_after_the_database(database: str, expected: str) -> None:
    assert job_name(database, "mask") == expected


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text('name: shop\nsource: {url: "${NO_SRC}"}\ndestination: {url: "${NO_DST}"}\nsecret: "${NO_KEY}"\n')
    return str(file)


def test_preview_names_every_variable_that_it_needs(job_file: str) -> None:
    result = invoke("preview", job_file)
    assert result.exit_code == 2
    assert all(variable in result.stderr for variable in ("NO_SRC", "NO_DST", "NO_KEY"))


def test_preview_says_that_it_shows_original_values() -> None:
    assert "prints original values" in " ".join(invoke("preview", "--help").stdout.split())


def test_preview_without_the_services_code_says_what_to_install(job_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "tailrace.preview_rows":
            raise ModuleNotFoundError("No module named 'tailrace_reader'", name="tailrace_reader")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = invoke("preview", job_file)
    assert result.exit_code == 2
    assert "tailrace_reader is not installed" in result.stderr
    assert "tailrace[embedded]" in result.stderr
