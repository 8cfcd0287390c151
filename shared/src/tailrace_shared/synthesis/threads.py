"""One thread for numpy's products.

Products here are small: a second thread spins more than it helps, many times so on a busy machine (measured: seven times the CPU),
and may add in another order. The library reads its environment variable when numpy is loaded, which is too late for a service, so
its setter is called.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import numpy as np

FOLDERS = ("numpy.libs", "numpy/.dylibs")
"""Where wheels of numpy carry OpenBLAS, beside the package or in it."""
SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads64_")


@lru_cache(maxsize=1)
def one_thread() -> bool:
    """Tell OpenBLAS; False for a numpy that is built on something else, which keeps its own setting."""
    packages = Path(np.__file__).parent.parent
    for path in sorted(found for folder in FOLDERS for found in (packages / folder).glob("*openblas*")):
        library = ctypes.CDLL(str(path))  # loaded by numpy already: this is a handle to the same one
        for name in SETTERS:
            if hasattr(library, name):
                getattr(library, name)(ctypes.c_int(1))
                return True
    return False
