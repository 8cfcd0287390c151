"""Kernels: one small class per generator, from whole Arrow arrays to whole Arrow arrays."""

from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.pools import pool_digest, pools_digest
from tailrace_generator.kernels.registry import KERNELS, build
from tailrace_generator.kernels.secret import MaskSecret

__all__ = ["KERNELS", "Kernel", "MaskSecret", "build", "pool_digest", "pools_digest"]
