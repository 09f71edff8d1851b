"""Intervals for many figures at once: resamples of patients as weights of cases.

A resample in which a patient was drawn k times gives every case of that patient the weight k. A figure takes weights
[m, cases] and returns [m] or [m, figures], NaN where it is not defined, so that thousands of resamples are one
calculation. The draws are those of `intervals.bootstrap`, and so are the ends of the intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import UsageError
from vesalius.evaluate.intervals import LEAST_GROUPS, Comparison, Estimate, bca

F64 = NDArray[np.float64]
Counts = NDArray[np.uint16]
Weighted = Callable[[F64], F64]
"""Figures of weighted cases: weights [m, cases] -> [m] or [m, figures]."""

DRAWS = 2000
MOST_BLOCKS = 400
CELLS = 1_500_000
"""Weights that are worked on at a time."""


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each case was drawn.

    Args:
        drawn: [draws, cases].
        left: [blocks, cases], 0 for the patients left out of the jackknife.
        groups: number of patients.
    """

    drawn: Counts
    left: Counts
    groups: int
    level: float = 0.95

    def take(self, chosen: NDArray[np.generic], groups: ArrayLike) -> Resamples:
        """Return the same draws for some of the cases.

        Args:
            groups: patient of each chosen case.
        """
        return Resamples(self.drawn[:, chosen], self.left[:, chosen], len(np.unique(np.asarray(groups))), self.level)


def resamples(groups: ArrayLike, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0) -> Resamples:
    """Return resamples of whole patients.

    Args:
        groups: patient of each case, [n].

    Raises:
        UsageError: fewer than three patients.
    """
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    count = int(inverse.max()) + 1 if len(inverse) else 0
    if count < LEAST_GROUPS:
        raise UsageError("an interval needs more patients", found=str(count), expected=f"{LEAST_GROUPS} or more")
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(inverse)), dtype=np.uint16)
    for row in range(draws):
        drawn[row] = np.bincount(rng.integers(0, count, count), minlength=count)[inverse]
    blocks = np.array_split(np.arange(count), min(count, MOST_BLOCKS))
    left = np.ones((len(blocks), len(inverse)), dtype=np.uint16)
    for row, block in enumerate(blocks):
        left[row, np.isin(inverse, block)] = 0
    return Resamples(drawn, left, count, level)


def values(figure: Weighted, weights: Counts) -> F64:
    """Return figures [m, figures] of every row of weights, a part at a time."""
    step = max(1, CELLS // max(1, weights.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [figure(weights[k : k + step].astype(np.float64)) for k in range(0, len(weights), step)]
    found: F64 = np.concatenate([part.reshape(len(part), -1) for part in parts])
    return found


def whole(figure: Weighted, cases: int) -> F64:
    """Return figures [figures] of all cases."""
    found: F64 = values(figure, np.ones((1, cases), dtype=np.uint16))[0]
    return found


def estimates(figure: Weighted, drawn: Resamples) -> list[Estimate]:
    """Return each figure with its BCa interval; ends are NaN where fewer than half of the resamples define it."""
    value = whole(figure, drawn.drawn.shape[1])
    sample, left = values(figure, drawn.drawn), values(figure, drawn.left)
    return [_estimate(float(value[k]), sample[:, k], left[:, k], drawn) for k in range(len(value))]


def _estimate(value: float, sample: F64, left: F64, drawn: Resamples) -> Estimate:
    found, jackknife = sample[np.isfinite(sample)], left[np.isfinite(left)]
    if not np.isfinite(value) or len(found) < len(sample) / 2 or not len(jackknife):
        return Estimate(value, float("nan"), float("nan"), drawn.level, drawn.groups, len(found))
    low, high = bca(value, found, jackknife, drawn.level)
    return Estimate(value, low, high, drawn.level, drawn.groups, len(found))


def band(figure: Weighted, drawn: Resamples) -> tuple[F64, F64, F64]:
    """Return figures [figures] and the percentile limits of each, for curves."""
    sample = values(figure, drawn.drawn)
    ends = (1 - drawn.level) / 2
    with np.errstate(all="ignore"):
        low, high = np.nanquantile(sample, (ends, 1 - ends), axis=0)
    return whole(figure, drawn.drawn.shape[1]), low, high


def difference(first: Weighted, second: Weighted, drawn: Resamples) -> list[Comparison]:
    """Return first - second of each figure with its BCa interval, the same patients drawn for both."""

    def apart(weights: F64) -> F64:
        return first(weights).reshape(len(weights), -1) - second(weights).reshape(len(weights), -1)

    found = estimates(apart, drawn)
    sample = values(apart, drawn.drawn)
    return [_compared(one, sample[:, k]) for k, one in enumerate(found)]


def _compared(estimate: Estimate, sample: F64) -> Comparison:
    known = sample[np.isfinite(sample)]
    tail = (min((known <= 0).sum(), (known >= 0).sum()) + 1) / (len(known) + 1)
    return Comparison(estimate.value, estimate.low, estimate.high, float(min(1.0, 2 * tail)), "paired bootstrap")


def one_hot(numbers: ArrayLike, count: int) -> F64:
    """Return [n, count] with a one at each number."""
    return np.eye(count)[np.asarray(numbers, dtype=np.int64)]


def joined(parts: Sequence[Weighted]) -> Weighted:
    """Return one function that gives the figures of several."""

    def together(weights: F64) -> F64:
        return np.concatenate([part(weights).reshape(len(weights), -1) for part in parts], axis=1)

    return together
