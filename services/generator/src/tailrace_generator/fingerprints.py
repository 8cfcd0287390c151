"""What a generator replica must have in common with all others: the mask secret, the catalogue, the mock pools."""

from __future__ import annotations

from functools import lru_cache

from tailrace_generator.kernels import MaskSecret, pools_digest
from tailrace_shared.generators import CATALOGUE_VERSION, catalogue_digest
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Fingerprints
from tailrace_shared.secrets import resolve


def mask_secret(job: Job) -> MaskSecret:
    """The secret that the job names. Raises UsageError that names the variable."""
    return MaskSecret.of(resolve(job.secret))


@lru_cache(maxsize=64)
def _of_secret(secret: str) -> str:
    return MaskSecret.of(secret).fingerprint()


def fingerprints(job: Job) -> Fingerprints:
    """This replica's fingerprints for a job; digests that reveal nothing."""
    return Fingerprints(
        mask_secret=_of_secret(resolve(job.secret).get_secret_value()),
        catalogue=f"{CATALOGUE_VERSION}:{catalogue_digest()}",
        pools=pools_digest(),
    )
