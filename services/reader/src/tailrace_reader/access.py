"""What only some services may know: the source's URL is the reader's alone, the transport key also generator's and trainer's."""

from __future__ import annotations

from tailrace_reader.snapshot import SourceServer
from tailrace_shared.envelope import VARIABLE, TransportKey
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.secrets import name_of, resolve
from tailrace_shared.settings import secret_setting


def source_of(job: Job, application_name: str) -> SourceServer:
    """The source that the job names. Raises UsageError that names the variable when it is not set here."""
    return SourceServer(resolve(job.source.url), application_name, name_of(job.source.url))


def transport_key() -> TransportKey:
    """The key that closes data keys. Raises UsageError when it is not set or too short."""
    secret = secret_setting(VARIABLE)
    if secret is None:
        raise UsageError(
            "transport-key.missing",
            f"{VARIABLE} is not set",
            f"Give reader, generator and trainer the same {VARIABLE} (or {VARIABLE}_FILE).",
        )
    return TransportKey.of(secret)
