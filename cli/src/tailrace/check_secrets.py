"""Preflight of the environment: which variables are set, by name; never a value, nor a fingerprint of one."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.check_findings import Findings
from tailrace.environment import TRANSPORT_KEY, require
from tailrace_shared.envelope import TransportKey
from tailrace_shared.errors import TailraceError
from tailrace_shared.job.spec import Job
from tailrace_shared.secrets import lookup, name_of, require_long_secret
from tailrace_shared.verify.canaries import resolve_canaries


def check_secrets(job: Job, environ: Mapping[str, str], *, brokers: bool) -> Findings:
    """The job's variables and the transport key, as this environment has them.

    With ``brokers`` the services may run elsewhere, with secrets of their own; without, ``run --embedded`` uses these.
    """
    found = Findings("secrets")
    for reference in (job.source.url, job.destination.url):
        name = name_of(reference)
        with found.attempt(name):
            require((reference,), environ)
            found.ok(name, "is set")
    _mask_secret(name_of(job.secret), environ, found, brokers=brokers)
    for reference in dict.fromkeys(job.verify.canaries):
        _canaries(reference, environ, found, brokers=brokers)
    _transport_key(environ, found, brokers=brokers)
    return found


def _mask_secret(name: str, environ: Mapping[str, str], found: Findings, *, brokers: bool) -> None:
    try:
        secret = lookup(name, environ)
        if secret is not None:
            require_long_secret(secret, name)
    except TailraceError as error:
        found.error(name, error)
        return
    if secret is not None:
        found.ok(name, "is set, and long enough")
    elif brokers:
        found.unknown(name, "is not set here; the generators need it where they run")
    else:
        with found.attempt(name):
            require((f"${{{name}}}",), environ)


def _canaries(reference: str, environ: Mapping[str, str], found: Findings, *, brokers: bool) -> None:
    name = name_of(reference)
    with found.attempt(name):
        if lookup(name, environ) is None and brokers:
            found.unknown(name, "is not set here; the writers need it where they run, and `tailrace verify` here")
            return
        require((reference,), environ)
        found.ok(name, f"holds canaries: {len(resolve_canaries((reference,), environ))}")


def _transport_key(environ: Mapping[str, str], found: Findings, *, brokers: bool) -> None:
    try:
        key = lookup(TRANSPORT_KEY, environ)
        if key is not None:
            TransportKey.of(key)
    except TailraceError as error:
        found.error(TRANSPORT_KEY, error)
        return
    if key is not None:
        found.ok(TRANSPORT_KEY, "is set, and long enough")
    elif brokers:
        found.unknown(
            TRANSPORT_KEY, "is not set here; readers, generators and trainers need one and the same where they run"
        )
    else:
        found.ok(TRANSPORT_KEY, "is not set, and `run --embedded` makes one for each run")
