"""How many threads numerical libraries start, told before they are loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NAMES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Environment variables that OpenMP, BLAS libraries and ITK read once, when they are loaded."""


@contextlib.contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Let processes that start inside the block use `threads` threads in each numerical library."""
    before = {name: os.environ.get(name) for name in NAMES}
    os.environ.update(dict.fromkeys(NAMES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
