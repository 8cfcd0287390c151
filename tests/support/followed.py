"""A followed pair for tests of faults: a workload, a fault, and the proof that nothing was lost, doubled or left behind."""

from __future__ import annotations

from dataclasses import dataclass

from support.databases import DATABASES, Pair
from support.following import caught_up, slots, streaming
from support.hammer import Hammer
from support.installation import Installation, eventually
from support.wholeness import seen_wrong
from tailrace_shared.messages import RunRecord, StopRequested

SCHEMA = (DATABASES / "hammer.sql").read_text()
ROWS = (DATABASES / "hammer_rows.sql").read_text()
JOB = (DATABASES / "hammer_job.yaml").read_text()


@dataclass
class Followed:
    """A pair with services of its own, and a job."""

    pair: Pair
    installation: Installation
    job: str = JOB
    load_s: float = 150
    """A load takes no longer."""

    def reset(self) -> None:
        """The source as it was first."""
        tables = ", ".join(self.pair.tables("source"))
        self.pair.source.run_sql(f"TRUNCATE {tables};\n{ROWS}", self.pair.name)

    def hammered(self, seed: int) -> Hammer:
        """Traffic without TRUNCATE, which a reload after a fault would run into."""
        return Hammer(self.pair, seed)

    def submit(self) -> str:
        """A run that streams."""
        run = self.installation.submit(self.job)
        streaming(self.installation, run, self.load_s)
        return run

    def again(self, run: str, attempt: int = 2) -> RunRecord:
        """The record once the run streams in a later attempt."""
        record = self.installation.wait(
            run, lambda r: (r.state == "streaming" and r.attempt >= attempt) or r.terminal, self.load_s
        )
        assert record.state == "streaming", record.failure or record.problems
        return record

    def caught_up(self, run: str) -> None:
        """The destination holds everything that is committed now; fails with what is known of the run."""
        try:
            caught_up(self.pair, self.load_s)
        except AssertionError as error:
            lane = self.pair.fetch("destination", "SELECT * FROM tailrace.lane")
            newest = self.installation.records(run)[-1].model_dump(exclude={"job"})
            raise AssertionError(f"{error}\n{lane}\n{newest}\n{self.installation.logs()[-8000:]}") from None

    def is_equal(self, run: str, attempt: int = 1) -> RunRecord:
        """Caught up, whole, and as a fresh snapshot is; then stopped, with nothing left behind. The workload must be quiet."""
        self.caught_up(run)
        assert seen_wrong(self.pair) == {}
        followed = self.pair.digest()
        self.installation.tell(StopRequested(run=run))
        record = self.installation.wait(run, seconds=self.load_s)
        assert record.state == "done", record.failure or record.checks
        assert record.attempt == attempt
        assert self.pair.digest() == followed
        eventually(lambda: slots(self.pair) == [], 10, "slot and publication are dropped")
        fresh = self.installation.run(self.job.replace("mode: continuous\n", ""), self.load_s)
        assert fresh.state == "done", fresh.failure or fresh.problems
        assert self.pair.digest() == followed
        return record
