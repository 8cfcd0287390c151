"""Run records are read as they are; their job is validated once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tailrace_shared.job.load import parse_job
from tailrace_shared.messages import RunRecord, State
from tailrace_shared.service.records import RecordReader

JOB = parse_job(
    'version: 1\nname: shop\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\nschemas: [public]\npolicy: mask\n'
    "tables: {public.t: {columns: {a: mask.text}}}\n"
)


def record(run: str = "r", version: int = 1, state: State = "loading", policy: str = "mask") -> RunRecord:
    now = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    job = JOB.model_copy(update={"policy": policy})
    return RunRecord(run=run, version=version, state=state, job=job, submitted_at=now, updated_at=now)


def test_a_record_reads_back_as_it_was_and_its_job_is_the_one_known() -> None:
    reader, first, second = RecordReader(), record(), record(version=2)
    read = [reader.read(r.model_dump_json().encode()) for r in (first, second)]
    assert read == [first, second]
    assert read[1].job is read[0].job


def test_a_job_that_has_changed_is_read_anew_and_runs_do_not_mix() -> None:
    reader = RecordReader()
    for given in (record(), record(run="other", policy="halt"), record(version=2, policy="null"), record(version=3)):
        assert reader.read(given.model_dump_json().encode()) == given


def test_the_job_of_a_run_that_is_over_is_not_kept() -> None:
    reader = RecordReader()
    kept = reader.read(record().model_dump_json().encode())
    reader.read(record(version=2, state="done").model_dump_json().encode())
    assert reader.read(record(version=3).model_dump_json().encode()).job is not kept.job


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"run": 3}', b'{"run": "r", "job": {}}'])
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises((ValidationError, ValueError)):
        RecordReader().read(body)
