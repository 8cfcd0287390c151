"""What an undisturbed run makes of a pair of databases, and the proof that a disturbed one has made the same of it."""

from __future__ import annotations

from dataclasses import dataclass

from support.databases import Pair
from support.installation import Installation, eventually
from tailrace.embedded.runtime import Runtime
from tailrace_shared.messages import RunRecord

CANARIES = ("CanaryFirst", "CanaryLast", "canary secret", "Canary Lane", "Canaryville", "canary-mail.test")
_WORKING_TABLES = ("ledger", "range", '"table"', "ddl", "claim", "leak", "replica")


@dataclass(frozen=True)
class Undisturbed:
    """A pair, a job that may be run again and again, and what is there after a run of it."""

    pair: Pair
    job: str
    digest: dict[str, tuple[int, int]]
    catalogue: list[tuple[str, ...]]

    @classmethod
    def by_running(cls, runtime: Runtime, pair: Pair, job: str) -> Undisturbed:
        """Run the job once, with nobody in its way."""
        catalogue = pair.catalogue()
        again = job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
        with Installation(runtime, pair) as installation:
            record = installation.run(again)
            assert record.state == "done", record.failure
        return cls(pair, again, pair.digest(), catalogue)

    def is_what_came_of(self, installation: Installation, run: str, seconds: float = 120) -> RunRecord:
        """The run ends, the destination is the same, nothing is left behind and nothing was told."""
        record = installation.wait(run, seconds=seconds)
        assert record.state == "done", f"{record.failure}\n{installation.logs()[-6000:]}"
        assert all(check.passed for check in record.checks)
        assert self.pair.digest() == self.digest
        assert self.pair.catalogue() == self.catalogue
        self.nothing_is_left(installation, run)
        return record

    def state(self, run: str) -> str:
        """Of the run's row, at this moment; empty while there is none."""
        rows = self.pair.fetch("destination", f"SELECT state FROM tailrace.run WHERE run = '{run}'")
        return rows[0]["state"] if rows else ""

    def is_over(self, run: str) -> bool:
        """Whether the run has ended, one way or another."""
        return self.state(run) in ("done", "failed", "cancelled")

    def nothing_is_left(self, installation: Installation, run: str) -> None:
        """No topics, no working rows, no canaries in any log; the run's one row stays."""
        eventually(lambda: not installation.topics_left(), 90, "the run's topics are gone")
        for table in _WORKING_TABLES:
            count = f"SELECT count(*) FROM tailrace.{table} WHERE run = '{run}'"
            eventually(lambda query=count: self.pair.value("destination", query) == 0, 30, f"{table} is empty")
        assert self.pair.value("destination", f"SELECT count(*) FROM tailrace.run WHERE run = '{run}'") == 1
        logs = installation.logs()
        assert [canary for canary in CANARIES if canary in logs] == []
        assert [secret for secret in installation.secrets_given if secret in logs] == []


def slowly(job: str) -> str:
    """The job in many small ranges and little credit, so that its load lasts long enough to be disturbed."""
    for usual, small in (
        ("range_bytes: 262144", "range_bytes: 65536"),
        ("credit_bytes: 4194304", "credit_bytes: 1048576"),
    ):
        assert usual in job
        job = job.replace(usual, small)
    return job
