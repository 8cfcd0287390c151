"""Saved models on the command line: what one says of itself, and rows drawn into a file, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from support.untrained import make_artefact, make_pair, make_subject
from tailrace.app import create_app
from tailrace.commands.models import inside
from tailrace.model_store import described
from tailrace_shared.synthesis import Account, Artefact, Privacy, SequenceArtefact
from tailrace_trainer.learning.sequence import Ties, learn_sequence
from tailrace_trainer.learning.table import learn_table


@pytest.fixture(scope="module")
def model() -> Artefact:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "age": pa.array(rng.integers(18, 90, 1000).astype(np.int32)),
            "town": pa.array(rng.choice(["Lyon", "Porto", "Bremen"], 1000).tolist()),
            "token": pa.array([UUID(int=n).bytes for n in range(1000)], pa.binary(16)),
        }
    )
    subjects = [
        make_subject("age", "int4", False),
        make_subject("town", "text", False),
        make_subject("token", "uuid", False),
    ]
    return make_artefact(learn_table(table, subjects, Privacy(k=12), rng), Privacy(k=12))


def sample(model: Artefact, folder: Path, name: str, *options: str) -> Path:
    (folder / "m.safetensors").write_bytes(model.data)
    to = folder / name
    done = CliRunner().invoke(
        create_app(), ["sample", str(folder / "m.safetensors"), "-o", str(to), "--json", *options]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model"] == model.digest
    return to


def test_rows_go_to_parquet_and_csv_the_same_for_the_same_seed(model: Artefact, tmp_path: Path) -> None:
    rows = pq.read_table(sample(model, tmp_path, "a.parquet", "--rows", "70000"))
    assert rows.num_rows == 70_000
    assert set(rows["town"].to_pylist()) == {"Lyon", "Porto", "Bremen"}
    assert UUID(rows["token"][0].as_py()).version == 4
    again = pq.read_table(sample(model, tmp_path, "b.parquet", "--rows", "70000"))
    other = pq.read_table(sample(model, tmp_path, "c.parquet", "--rows", "70000", "--seed", "2"))
    assert again.equals(rows)
    assert not other.equals(rows)
    text = pa_csv.read_csv(sample(model, tmp_path, "d.csv", "--rows", "5"))
    assert text["age"].to_pylist() == rows["age"].to_pylist()[:5]


def test_a_model_tells_its_columns_privacy_and_training_and_no_value(model: Artefact) -> None:
    told = described(model)
    assert told["privacy"]["k"] == 12
    assert [(c["name"], c["form"]) for c in told["columns"]] == [
        ("age", "number"),
        ("town", "category"),
        ("token", "fresh"),
    ]
    assert "Lyon" not in json.dumps(told)


def test_of_entities_and_events_a_model_tells_both_and_is_drawn_into_two_files(
    pair_model: SequenceArtefact, tmp_path: Path
) -> None:
    (tmp_path / "p.safetensors").write_bytes(pair_model.data)
    to = tmp_path / "people.parquet"
    done = CliRunner().invoke(
        create_app(), ["sample", str(tmp_path / "p.safetensors"), "--rows", "3000", "-o", str(to), "--json"]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    people, visits = pq.read_table(to), pq.read_table(tmp_path / "people-events.parquet")
    assert (told["rows"], told["events"], told["events_file"]) == (
        3000,
        len(visits),
        str(tmp_path / "people-events.parquet"),
    )
    assert people["id"].to_pylist() == list(range(1, 3001))
    assert (people.column_names, visits.column_names) == (["id", "age"], ["person", "room", "day"])
    assert 1 <= min(visits["person"].to_pylist()) <= max(visits["person"].to_pylist()) <= 3000
    about = described(pair_model)
    assert [column["name"] for column in about["columns"]] == ["age"], "what is hidden is none of its columns"
    assert (about["events"]["order"], [c["name"] for c in about["events"]["columns"]]) == ("day", ["room"])
    said = " ".join(line for line in inside(about) if isinstance(line, str))
    assert "in order of day" in said


@pytest.fixture(scope="module")
def pair_model() -> SequenceArtefact:
    rng = np.random.default_rng(2)
    people = pa.table({"id": np.arange(900), "age": rng.integers(18, 90, 900).astype(np.int32)})
    owners = np.repeat(np.arange(900), rng.poisson(3, 900))
    visits = pa.table(
        {
            "person": owners,
            "room": rng.choice(["gym", "pool"], len(owners)),
            "day": pa.array(rng.integers(19_000, 19_400, len(owners)).astype(np.int32)).view(pa.date32()),
        }
    )
    coded = learn_sequence(
        people, visits, [make_subject("age", "int4", False)],
        [make_subject("room", "text", False), make_subject("day", "date", False)],
        Ties("id", "person", "day"), Privacy(), rng,
    )  # fmt: skip
    return make_pair(coded, Privacy(), key="id", foreign_key="person")


def test_a_private_model_tells_how_its_guarantee_was_spent_and_no_loss(model: Artefact) -> None:
    header = model.header
    account = Account(sampling_rate=0.0512, steps=400, noise=1.234, histogram_noise=9.5, histogram_units=7)
    private = Artefact(
        header.model_copy(
            update={
                "privacy": Privacy(k=12, epsilon=3, delta=1e-6),
                "training": header.training.model_copy(update={"account": account}),
            }
        ),
        model.tensors,
    )
    said = " ".join(line for line in inside(described(Artefact.load(private.data))) if isinstance(line, str))
    for told in (
        "ε 3, δ 1e-06",
        "sampling rate 0.0512 in 400 steps, noise 1.23",
        "7 units, noise 9.50",
        "no loss told",
    ):
        assert told in said
    plain = " ".join(line for line in inside(described(model)) if isinstance(line, str))
    assert "ε" not in plain
    assert "nats per row" in plain
    assert b"account" not in model.data, "a model of before has the bytes, and so the name, that it had"


@pytest.mark.parametrize(("content", "name"), [(b"no model", "x.parquet"), (None, "x.parquet"), (b"", "x.ods")])
def test_what_is_no_model_or_no_format_is_said_without_a_trace(
    model: Artefact, tmp_path: Path, content: bytes | None, name: str
) -> None:
    file = tmp_path / "m"
    if content is not None:
        file.write_bytes(content or model.data)
    done = CliRunner().invoke(create_app(), ["sample", str(file), "--rows", "1", "-o", str(tmp_path / name)])
    assert done.exit_code in (1, 2)
    assert "remedy" in done.stderr
