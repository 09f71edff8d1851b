"""Operations on numbers and words of a case: float32 [1, n]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def number(value: float | None) -> F32:
    """Return a number as a vector of one, NaN when it is missing."""
    return np.array([[np.nan if value is None else float(value)]], dtype=np.float32)


def category(value: str, *, values: list[str], unknown: str = "zero") -> F32:
    """Return a word as a vector with 1 at its place; a word that is not listed gives zeros, or is refused.

    Raises:
        ValueError: `unknown` is "refuse" and the word is not listed.
    """
    found = str(value)
    if unknown == "refuse" and found not in values:
        raise ValueError(f"a value that is not among {', '.join(values)}")
    return np.array([[1.0 if found == one else 0.0 for one in values]], dtype=np.float32)


def fill(vector: F32, *, values: list[float], indicate: bool = False) -> F32:
    """Return the vector with missing values replaced; `indicate` appends 1 where one was missing."""
    _same(vector, values)
    missing = np.isnan(vector)
    filled = np.where(missing, np.array([values], dtype=np.float32), vector).astype(np.float32)
    result: F32 = np.concatenate([filled, missing.astype(np.float32)], axis=1) if indicate else filled
    return result


def scale(vector: F32, *, mean: list[float], sd: list[float]) -> F32:
    """Return (vector - mean) / sd."""
    _same(vector, mean)
    _same(vector, sd)
    scaled: F32 = ((vector.astype(np.float64) - np.array([mean])) / np.array([sd])).astype(np.float32)
    return scaled


def join(*vectors: F32) -> F32:
    """Return the vectors one after the other."""
    return np.concatenate([np.asarray(one, dtype=np.float32).reshape(1, -1) for one in vectors], axis=1)


def _same(vector: F32, values: list[float]) -> None:
    if vector.shape[1] != len(values):
        raise ValueError(f"{vector.shape[1]} features, {len(values)} values")
