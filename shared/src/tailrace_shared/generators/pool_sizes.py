"""How many distinct mocks each pool can give, per locale: the N of the planner, pinned by a test against the pools."""

from __future__ import annotations

from collections.abc import Mapping

POOL_SIZES: Mapping[str, Mapping[str, int]] = {}
