"""Which variables a job needs, and which service may have them: each secret goes only where it is used."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from tailrace_shared.envelope import TransportKey
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import ServiceName
from tailrace_shared.plan.condition_variables import condition_references
from tailrace_shared.secrets import lookup, name_of, require_long_secret
from tailrace_shared.verify.canaries import resolve_canaries

TRANSPORT_KEY = "TAILRACE_TRANSPORT_KEY"
MASK_SECRET = "TAILRACE_MASK_SECRET"  # noqa: S105  (a variable's name)
_TRANSPORT_KEY_BYTES = 32
_HOLDERS_OF_TRANSPORT_KEY: tuple[ServiceName, ...] = ("reader", "generator", "trainer")


def require(references: Iterable[str], environ: Mapping[str, str]) -> None:
    """Raise one UsageError that names every variable that is not set, before anything is started."""
    names = [name_of(reference) for reference in references]
    missing = [name for name in dict.fromkeys(names) if lookup(name, environ) is None]
    if missing:
        what = "environment variable" if len(missing) == 1 else "environment variables"
        raise UsageError(
            "secret.missing",
            f"{what} {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set, and the job refers to "
            f"{'it' if len(missing) == 1 else 'them'}",
            f"Set {' and '.join(missing)}; a name with _FILE at its end may hold the path of a file instead.",
        )


def require_strength(job: Job, environ: Mapping[str, str]) -> None:
    """Raise UsageError where the mask secret or the transport key is too short: the services would refuse to start."""
    mask, transport = lookup(name_of(job.secret), environ), lookup(TRANSPORT_KEY, environ)
    if mask is not None:
        require_long_secret(mask, name_of(job.secret))
    if transport is not None:
        TransportKey.of(transport)


def split_secrets(job: Job, environ: Mapping[str, str]) -> dict[ServiceName, dict[str, str]]:
    """What each service's environment holds beside the common settings.

    The source's URL and the variables of conditions are the reader's alone, the destination's and the canaries the
    writer's, the mask secret the generator's; the transport key is held by all but the writer, and is made for this
    invocation where none is set.
    Raises UsageError naming the variables that are missing or hold no canary, or a secret that is too short to take.
    """
    conditions = condition_references(job)
    require((job.source.url, job.destination.url, job.secret, *job.verify.canaries, *conditions), environ)
    require_strength(job, environ)
    resolve_canaries(job.verify.canaries, environ)
    transport = _passed(TRANSPORT_KEY, environ) or {TRANSPORT_KEY: secrets.token_urlsafe(_TRANSPORT_KEY_BYTES)}
    mask = _passed(name_of(job.secret), environ)
    secret = lookup(name_of(job.secret), environ)
    if secret is not None and MASK_SECRET not in mask:
        mask = mask | {MASK_SECRET: secret}
    shares: dict[ServiceName, dict[str, str]] = {
        "reader": _passed(name_of(job.source.url), environ),
        "generator": mask,
        "trainer": {},
        "writer": _passed(name_of(job.destination.url), environ),
    }
    for reference in conditions:
        shares["reader"] = shares["reader"] | _passed(name_of(reference), environ)
    for reference in job.verify.canaries:
        shares["writer"] = shares["writer"] | _passed(name_of(reference), environ)
    for service in _HOLDERS_OF_TRANSPORT_KEY:
        shares[service] = shares[service] | transport
    return shares


def _passed(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variable as it is set here: by value, or by the path of its file."""
    return {key: environ[key] for key in (name, f"{name}_FILE") if environ.get(key)}
