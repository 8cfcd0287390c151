"""What a generator replica must have in common with all others: the mask secret, the catalogue, the mock pools, and where it draws
from models the processor's arithmetic."""

from __future__ import annotations

from functools import lru_cache

from tailrace_generator.kernels import MaskSecret, pools_digest
from tailrace_generator.sampling import numeric_fingerprint
from tailrace_shared.generators import CATALOGUE_VERSION, catalogue_digest
from tailrace_shared.job.spec import Job, learns
from tailrace_shared.plan.model import Fingerprints
from tailrace_shared.secrets import resolve


def mask_secret(job: Job) -> MaskSecret:
    """The secret that the job names. Raises UsageError that names the variable."""
    return _derived(resolve(job.secret).get_secret_value())


@lru_cache(maxsize=64)
def _derived(secret: str) -> MaskSecret:
    """Once per secret: deriving takes 0.1 s by design, and all of it on the event loop."""
    return MaskSecret.of(secret)


def fingerprints(job: Job) -> Fingerprints:
    """This replica's fingerprints for a job; digests that reveal nothing."""
    return Fingerprints(
        mask_secret=mask_secret(job).fingerprint(),
        catalogue=f"{CATALOGUE_VERSION}:{catalogue_digest()}",
        pools=pools_digest(),
        numeric=numeric_fingerprint() if learns(job) else "",
    )
