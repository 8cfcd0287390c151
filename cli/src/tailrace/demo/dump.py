"""The demo's data: a dump of pagila, whole for the source, its structure alone for the destination."""

from __future__ import annotations

import gzip
import re
from importlib import resources

_COPY_BLOCK = re.compile(r"^COPY .*? FROM stdin;\n.*?^\\\.\n", re.MULTILINE | re.DOTALL)
_FILLING = re.compile(r"^(?:SELECT pg_catalog\.setval\(.*|REFRESH MATERIALIZED VIEW .*)\n", re.MULTILINE)


def pagila() -> str:
    """The whole dump, for psql."""
    return gzip.decompress(resources.files(__package__).joinpath("pagila.sql.gz").read_bytes()).decode()


def structure_of(dump: str) -> str:
    """A plain dump without rows and positions of sequences: what a lower environment has after its migrations."""
    return _FILLING.sub("", _COPY_BLOCK.sub("", dump))


def job_text() -> str:
    """The demo's job file."""
    return resources.files(__package__).joinpath("job.yaml").read_text()
