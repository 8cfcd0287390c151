"""Keep megabyte buffers in the heap.

Every record is a buffer of about 1 MB. Above glibc's mmap threshold (128 KiB at start) each one costs an mmap, page faults
on first touch and a munmap; that is half of the CPU that a Kafka client spends on such records.
"""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD_BYTES = 32 << 20
"""The largest value that glibc takes; above every record that a topic admits."""
TRIM_THRESHOLD_BYTES = 32 << 20
"""Free memory at the top of the heap that is kept: a full window of records. Every megabyte of it stays resident for good."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def tune() -> bool:
    """Set both thresholds for this process, as early as possible. False where the C library is not glibc: nothing is set."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    mmap = library.mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    trim = library.mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    return bool(mmap and trim)
