"""Sparse stacks of texture matrices, and the features that run, zone, distance and dependence matrices share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EMPHASES", "Matrices", "emphases", "entropy", "mean_over_units"]

EMPHASES = (
    "small",
    "large",
    "low_grey",
    "high_grey",
    "small_low",
    "small_high",
    "large_low",
    "large_high",
    "grey_nonuniformity",
    "grey_nonuniformity_norm",
    "nonuniformity",
    "nonuniformity_norm",
    "percentage",
    "grey_variance",
    "variance",
    "entropy",
    "energy",
)
"""Order of the columns of `emphases`."""

_NARROW = 1 << 10
"""Columns from here on are numbered without gaps before they are counted."""
_DENSE = 1 << 22
"""Codes up to this are counted in a dense array, wider ones sorted."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """A stack of sparse matrices: `count` at `[unit, level, column]`, sorted by unit; units may be empty.

    Args:
        units: number of matrices.
        unit: matrix of each entry.
        level: grey level, from 1.
        column: run length, zone size, distance, dependence or second grey level, from 1.
        count: how often, float64.
        voxels: voxels that each matrix describes.
    """

    units: int
    unit: NDArray[np.int64]
    level: NDArray[np.int64]
    column: NDArray[np.int64]
    count: NDArray[np.float64]
    voxels: NDArray[np.float64]

    @classmethod
    def counted(
        cls,
        unit: NDArray[Any] | int,
        level: NDArray[Any],
        column: NDArray[Any],
        voxels: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
    ) -> Matrices:
        """Return the matrices of single observations, or of weighted ones."""
        column, rare = _narrowed(column)
        wide = int(column.max(initial=0)) + 1
        high = int(level.max(initial=0)) + 1
        total = np.asarray(voxels, dtype=np.float64)
        units = total.size
        kind: Any = np.uint16 if units * high * wide < 1 << 16 else np.int64
        code: NDArray[Any] = level.astype(kind)
        if units > 1:
            code += np.multiply(unit, high, dtype=kind, casting="unsafe")
        code *= kind(wide)
        np.add(code, column, out=code, casting="unsafe")
        if units * high * wide <= max(_DENSE, 4 * code.size):
            dense = np.bincount(code, weights=weights)
            there = np.flatnonzero(dense)
            count = dense[there].astype(np.float64)
        else:
            there, inverse, number = np.unique(code, return_inverse=True, return_counts=True)
            count = np.asarray(number if weights is None else np.bincount(inverse, weights=weights), np.float64)
        rest, at = np.divmod(there, wide)
        which, grey = np.divmod(rest, high)
        if rare.size:
            beyond = at >= _NARROW
            at[beyond] = rare[at[beyond] - _NARROW]
        return cls(units, which, grey, at, count, total)

    def merged(self, target: NDArray[np.int64], units: int) -> Matrices:
        """Return the matrices summed into `units` others: unit u goes to target[u]."""
        voxels = np.bincount(target, weights=self.voxels, minlength=units)
        return Matrices.counted(target[self.unit], self.level, self.column, voxels, self.count)

    def totals(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums over the entries of each matrix: weights `[k, entry]` to `[k, unit]`."""
        result = np.zeros((weights.shape[0], self.units))
        if self.unit.size:
            present, starts = first_of_each(self.unit)
            result[:, present] = np.add.reduceat(weights, starts, axis=1)
        return result


def _narrowed(column: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return columns with those from `_NARROW` on numbered without gaps, and these: a few zones are very large."""
    if column.max(initial=0) < _NARROW:
        return column, column[:0]
    beyond = column >= _NARROW
    rare = np.unique(column[beyond])
    column = column.copy()
    column[beyond] = np.searchsorted(rare, column[beyond]) + _NARROW
    return column, rare


def first_of_each(ordered: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct values of an ascending array and where each begins."""
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    return ordered[starts], starts


def entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p log2 p of each element with 0 log 0 = 0, negated."""
    safe = np.where(probability > 0, probability, 1.0)
    return np.asarray(-probability * np.log2(safe))


def marginal(unit: NDArray[np.int64], index: NDArray[np.int64], weight: NDArray[np.float64], units: int) -> Any:
    """Return weights summed by `[unit, index]`."""
    wide = int(index.max(initial=0)) + 1
    return np.bincount(unit * wide + index, weights=weight, minlength=units * wide).reshape(units, wide)


def emphases(matrices: Matrices) -> NDArray[np.float64]:
    """Return the features of `EMPHASES` per matrix, `[feature, unit]`; NaN for empty matrices.

    Source: IBSI reference manual 3.7 to 3.9 and 3.11, whose definitions differ only in what a column means.
    """
    n, i, j = matrices.count, matrices.level.astype(np.float64), matrices.column.astype(np.float64)
    i2, j2 = i * i, j * j
    weights = np.empty((15, n.size))
    weights[0] = n
    np.divide(n, j2, out=weights[1])
    np.multiply(n, j2, out=weights[2])
    np.divide(n, i2, out=weights[3])
    np.multiply(n, i2, out=weights[4])
    np.divide(weights[3], j2, out=weights[5])
    np.divide(weights[4], j2, out=weights[6])
    np.multiply(weights[3], j2, out=weights[7])
    np.multiply(weights[4], j2, out=weights[8])
    np.multiply(n, i, out=weights[9])
    np.multiply(n, j, out=weights[10])
    np.multiply(n, np.log2(n), out=weights[11])
    np.multiply(n, n, out=weights[12])
    sums = matrices.totals(weights[:13])
    total = sums[0]
    units = matrices.units
    grey = np.square(marginal(matrices.unit, matrices.level, n, units)).sum(axis=1)
    size = np.square(marginal(matrices.unit, matrices.column, n, units)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.empty((len(EMPHASES), units))
        result[:8] = sums[1:9] / total
        result[8], result[9] = grey / total, grey / total**2
        result[10], result[11] = size / total, size / total**2
        result[12] = total / matrices.voxels
        result[13] = result[3] - (sums[9] / total) ** 2
        result[14] = result[1] - (sums[10] / total) ** 2
        result[15] = np.log2(total) - sums[11] / total
        result[16] = sums[12] / total**2
    return result


def mean_over_units(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `[feature]` from `[feature, unit]`: the mean over the matrices that are not empty.

    A slice without voxels, or a direction without a pair, has no matrix and takes no part.
    """
    if features.shape[1] == 1:
        return features[:, 0]
    there = ~np.isnan(features).all(axis=0)
    if not there.any():
        return np.full(features.shape[0], np.nan)
    return np.asarray(features[:, there].mean(axis=1))
