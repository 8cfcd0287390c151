"""``tailrace sample`` as it is asked: conditions, weights, fixed columns, rules, files of seeds; what it does not understand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from support.untrained import make_artefact, make_subject
from tailrace.app import create_app
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_trainer.learning.table import learn_table


@pytest.fixture(scope="module")
def model() -> Artefact:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "age": pa.array(rng.integers(18, 90, 2000).astype(np.int32)),
            "since": pa.array(rng.integers(10, 90, 2000).astype(np.int32)),
            "town": pa.array(rng.choice(["Lyon", "Porto", "Bremen"], 2000).tolist()),
        }
    )
    subjects = [
        make_subject("age", "int4", False),
        make_subject("since", "int4", False),
        make_subject("town", "text", False),
    ]
    return make_artefact(learn_table(table, subjects, Privacy(), rng, first=("town",)), Privacy(), calibrated=True)


def sampled(model: Artefact, folder: Path, *options: str) -> tuple[dict[str, Any], Any, str]:
    (folder / "m.safetensors").write_bytes(model.data)
    to = folder / "rows.parquet"
    done = CliRunner().invoke(
        create_app(), ["sample", str(folder / "m.safetensors"), "-o", str(to), "--json", *options]
    )
    assert done.exit_code == 0, done.output
    rows = pq.read_table(to)
    return json.loads(done.stdout), {name: rows[name].to_pylist() for name in rows.schema.names}, done.stderr


def test_conditions_weights_and_rules_hold_in_every_row(model: Artefact, tmp_path: Path) -> None:
    told, rows, _ = sampled(
        model, tmp_path, "--rows", "3000", "--where", "age>=30", "--where", "age <= 60", "--where", "since<=age",
        "--weight", "town=Lyon:3,Porto:1",
    )  # fmt: skip
    assert (min(rows["age"]) >= 30, max(rows["age"]) <= 60) == (True, True)
    assert all(since <= age for since, age in zip(rows["since"], rows["age"], strict=True))
    assert rows["town"].count("Lyon") > 2 * rows["town"].count("Porto") > 0
    assert "Bremen" not in rows["town"]
    assert 0 < told["rejected"] < told["drawn"]
    only = sampled(model, tmp_path, "--rows", "500", "--where", "town=Porto,Bremen")[1]
    assert set(only["town"]) == {"Porto", "Bremen"}


def test_columns_are_fixed_and_seeds_of_a_file_are_completed_in_turn(model: Artefact, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("town,age\nLyon,20\nBremen,77\n")
    rows = sampled(model, tmp_path, "--seed-file", str(seeds))[1]
    assert (rows["town"], rows["age"]) == (["Lyon", "Bremen"], [20, 77])
    rows = sampled(model, tmp_path, "--seed-file", str(seeds), "--rows", "5", "--fix", "since=50")[1]
    assert rows["town"] == ["Lyon", "Bremen", "Lyon", "Bremen", "Lyon"]
    assert set(rows["since"]) == {50}
    pq.write_table(pa.table({"town": ["Porto"]}), tmp_path / "seeds.parquet")
    rows = sampled(model, tmp_path, "--seed-file", str(tmp_path / "seeds.parquet"), "--rows", "3")[1]
    assert rows["town"] == ["Porto"] * 3
    assert len(set(sampled(model, tmp_path, "--rows", "900", "--fix", "town=Lyon")[1]["age"])) > 20


def test_what_is_not_drawn_first_is_said(model: Artefact, tmp_path: Path) -> None:
    assert "not drawn first" not in sampled(model, tmp_path, "--rows", "5", "--fix", "town=Lyon")[2]
    assert "since: not drawn first" in sampled(model, tmp_path, "--rows", "5", "--fix", "since=40")[2].replace(
        "\n", " "
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "how many rows"),
        (["--rows", "5", "--where", "height>=3"], "no column height"),
        (["--rows", "5", "--where", "age"], "compares nothing"),
        (["--rows", "5", "--where", "age<3"], "a limit is included"),
        (["--rows", "5", "--where", "age>=tall"], "no number"),
        (["--rows", "5", "--where", "age>=50", "--where", "age<=40"], "nothing is above 50"),
        (["--rows", "5", "--where", "age>=50", "--fix", "age=60"], "asked for twice"),
        (["--rows", "5", "--weight", "town=Lyon"], "a weight follows"),
        (["--rows", "5", "--weight", "town=Lyon:-1"], "not negative"),
        (["--rows", "5", "--fix", "town"], "write --fix"),
        (["--rows", "5", "--fix", "town=Atlantis"], "never seen"),
        (["--rows", "5", "--where", "town=Atlantis"], "no value that satisfies"),
        (["--rows", "5", "--where", "age>=200"], "no value that satisfies"),
        (["--seed-file", "none.csv"], "cannot be read"),
        (["--seed-file", "seeds.ods"], "says no format"),
    ],
)
def test_what_is_not_understood_is_said_without_a_trace(
    model: Artefact, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "m").write_bytes(model.data)
    done = CliRunner().invoke(create_app(), ["sample", str(tmp_path / "m"), "-o", str(tmp_path / "x.csv"), *options])
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "remedy" in done.stderr
