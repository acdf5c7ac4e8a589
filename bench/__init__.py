"""Measurements: always as a ratio to a peer in the same run, and kept in bench/records."""

import minigpt  # noqa: F401  before NumPy, so that OpenBLAS hears which kernels to take (minigpt/blas.py)
