"""Sorted intensities with their counts: what statistics and both histograms are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Distribution"]

_WIDEST = 1 << 20
"""Integer ranges up to this are counted, wider ones sorted."""
_BLOCK = 1 << 16
"""Values that are counted at once: their copy as wide integers stays in the cache."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """Ascending values and how often each occurs; values may repeat."""

    values: NDArray[np.float64]
    counts: NDArray[np.int64] | None

    @classmethod
    def of(cls, values: NDArray[Any]) -> Distribution:
        """Return the distribution of at least one value; integers are counted, others sorted."""
        if values.dtype.kind in "iub":
            low, high = int(values.min()), int(values.max())
            if high - low <= max(_WIDEST, 4 * values.size):
                counts = _tally(values, low, high - low + 1)
                there = np.flatnonzero(counts)
                return cls((there + low).astype(np.float64), counts[there])
        return cls(np.sort(values).astype(np.float64, copy=False), None)

    @cached_property
    def size(self) -> int:
        """Return the number of voxels."""
        return int(self.values.size if self.counts is None else self.counts.sum())

    @cached_property
    def _upto(self) -> NDArray[np.int64]:
        return np.arange(1, self.size + 1) if self.counts is None else np.cumsum(self.counts)

    def percentile(self, *percents: float) -> NDArray[np.float64]:
        """Return percentiles, interpolated linearly between neighbours in rank."""
        place = np.asarray(percents) / 100.0 * (self.size - 1)
        lower = np.floor(place)
        below, above = lower.astype(np.int64), np.ceil(place).astype(np.int64)
        if self.counts is not None:
            below, above = (np.searchsorted(self._upto, rank, side="right") for rank in (below, above))
        low, high = self.values[below], self.values[above]
        return np.asarray(low + (high - low) * (place - lower))

    def mean(self, values: NDArray[np.float64]) -> float:
        """Return the mean over voxels of something computed from each of `self.values`."""
        if self.counts is None:
            return float(values.mean())
        return float(values @ self.counts) / self.size

    def between(self, low: float, high: float) -> Distribution:
        """Return the part from `low` to `high`, both included."""
        start, stop = np.searchsorted(self.values, low, "left"), np.searchsorted(self.values, high, "right")
        return Distribution(self.values[start:stop], None if self.counts is None else self.counts[start:stop])


def _tally(values: NDArray[Any], low: int, length: int) -> NDArray[np.int64]:
    """Return how often each integer from `low` on occurs."""
    counts = np.zeros(length, dtype=np.int64)
    block = max(_BLOCK, length)
    for start in range(0, values.size, block):
        part = np.subtract(values[start : start + block], low, dtype=np.int64)
        counts += np.bincount(part, minlength=length)
    return counts
