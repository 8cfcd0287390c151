"""All dashboards of panels."""

from __future__ import annotations

from dashboards.continuous import CONTINUOUS
from dashboards.pipeline import PIPELINE
from dashboards.privacy import PRIVACY
from dashboards.run import RUN_BOARD

DASHBOARDS = (PIPELINE, RUN_BOARD, CONTINUOUS, PRIVACY)
