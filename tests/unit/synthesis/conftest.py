"""What synthesis tests share: column types by name, and models whose network has not been trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.untrained import make_artefact, make_subject
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.table import learn_table


@pytest.fixture(scope="session")
def subject() -> Callable[..., Subject]:
    return make_subject


@pytest.fixture(scope="session")
def untrained() -> Callable[..., Artefact]:
    """A model of a table by its columns' values and subjects, its network random but calibrated."""

    def build(
        table: pa.Table,
        subjects: Sequence[Subject],
        privacy: Privacy | None = None,
        *,
        calibrated: bool = False,
        **options: Any,
    ) -> Artefact:
        privacy = privacy or Privacy()
        return make_artefact(
            learn_table(table, subjects, privacy, np.random.default_rng(3), **options), privacy, calibrated=calibrated
        )

    return build
