"""Whether a table's batches go into the destination by binary COPY or as CSV text."""

from collections.abc import Sequence
from typing import Literal

from tailrace_shared.plan.model import PlannedColumn


def copy_format(columns: Sequence[PlannedColumn]) -> Literal["binary", "csv"]:
    return "csv"
