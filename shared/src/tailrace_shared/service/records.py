"""Run records as they come from the topic."""

from __future__ import annotations

import json
from typing import Any

from tailrace_shared.job.spec import Job
from tailrace_shared.messages import RunRecord


class RecordReader:
    """Reads run records. A record carries its job, by far its largest part where a job names hundreds of tables; it is validated
    once, and again when it is another one than in the run's record before. Jobs of runs that are over are forgotten."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Job]] = {}

    def read(self, body: bytes) -> RunRecord:
        """The record. Raises pydantic's ValidationError, or ValueError for what is no JSON."""
        given = json.loads(body)
        job, run = (given.get("job"), given.get("run")) if isinstance(given, dict) else (None, None)
        known = self._known.get(run) if isinstance(run, str) else None
        if known is not None and known[0] == job:
            given["job"] = known[1]
        record = RunRecord.model_validate(given)
        if record.terminal:
            self._known.pop(record.run, None)
        elif known is None or record.job is not known[1]:
            self._known[record.run] = (job, record.job)
        return record
