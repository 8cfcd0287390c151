"""Tailrace generator: makes what arrives, from raw batches and orders, with kernels over whole Arrow arrays."""
