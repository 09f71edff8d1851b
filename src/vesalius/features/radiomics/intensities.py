"""Intensities without their place: statistics (IBSI 3.3), histogram (3.4) and intensity-volume histogram (3.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.distribution import Distribution
from vesalius.features.radiomics.levels import Levels
from vesalius.features.radiomics.matrices import entropy
from vesalius.features.radiomics.region import Region
from vesalius.features.radiomics.settings import Discretisation, FixedBinNumber, FixedBinSize, NoBinning

__all__ = [
    "HISTOGRAM_FEATURES",
    "STATISTICS_FEATURES",
    "VOLUME_HISTOGRAM_FEATURES",
    "histogram",
    "statistics",
    "volume_histogram",
]

_SHARED = (
    "mean",
    "var",
    "skew",
    "kurt",
    "median",
    "min",
    "p10",
    "p90",
    "max",
    "iqr",
    "range",
    "mad",
    "rmad",
    "medad",
    "cov",
    "qcod",
)
STATISTICS_FEATURES = (*_SHARED, "energy", "rms")
HISTOGRAM_FEATURES = (
    *_SHARED,
    "mode",
    "entropy",
    "uniformity",
    "max_grad",
    "max_grad_g",
    "min_grad",
    "min_grad_g",
)
VOLUME_HISTOGRAM_FEATURES = ("v10", "v90", "i10", "i90", "diff_v10_v90", "diff_i10_i90", "auc")
_FALLBACK_BINS = 1000
_WIDEST = 1 << 20
"""Ranges up to this are taken level by level."""


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")


def _shared(of: Distribution) -> list[float]:
    """Return the features of `_SHARED`."""
    x = of.values
    mean = of.mean(x)
    centred = x - mean
    square = centred * centred
    variance = of.mean(square)
    third, fourth = of.mean(square * centred), of.mean(square * square)
    p10, p25, median, p75, p90 = (float(v) for v in of.percentile(10, 25, 50, 75, 90))
    robust = of.between(p10, p90)
    # Of two voxels none lies between the percentiles.
    middle = robust.mean(robust.values) if robust.values.size else float("nan")
    return [
        mean,
        variance,
        third / variance**1.5 if variance > 0 else 0.0,
        fourth / variance**2 - 3 if variance > 0 else 0.0,
        median,
        float(x[0]),
        p10,
        p90,
        float(x[-1]),
        p75 - p25,
        float(x[-1] - x[0]),
        of.mean(np.abs(centred)),
        robust.mean(np.abs(robust.values - middle)) if robust.values.size else middle,
        of.mean(np.abs(x - median)),
        _ratio(variance**0.5, mean),
        _ratio(p75 - p25, p75 + p25),
    ]


def statistics(region: Region) -> NDArray[np.float64]:
    """Return the features of `STATISTICS_FEATURES` of the intensities; ratios with a zero denominator are NaN."""
    of = region.distribution
    power = of.mean(of.values * of.values)
    return np.array([*_shared(of), power * of.size, power**0.5])


def histogram(levels: Levels) -> NDArray[np.float64]:
    """Return the features of `HISTOGRAM_FEATURES` of the grey levels.

    The gradient runs over the bins 1 to N_g; it is central inside and one-sided at the ends.
    """
    counts = levels.voxels_per_level
    there = np.flatnonzero(counts)
    shared = _shared(Distribution(there.astype(np.float64), counts[there]))
    first = levels.highest - levels.count + 1 if levels.highest > levels.count else 1
    bins = np.zeros(levels.count, dtype=np.float64)
    part = counts[first:]
    bins[: part.size] = part
    probability = bins / bins.sum()
    slope = np.gradient(bins) if bins.size > 1 else np.zeros(1)
    top, bottom = int(np.argmax(slope)), int(np.argmin(slope))
    mode = _mode(bins) + first
    rest = [float(entropy(probability).sum()), float(probability @ probability)]
    return np.array([*shared, mode, *rest, slope[top], top + first, slope[bottom], bottom + first])


def _mode(bins: NDArray[np.float64]) -> int:
    """Return the fullest bin; of several, the one nearest to the mean (IBSI 3.4.11)."""
    fullest = np.flatnonzero(bins == bins.max())
    mean = float(bins @ np.arange(bins.size)) / float(bins.sum())
    return int(fullest[np.argmin(np.abs(fullest - mean))])


def volume_histogram(region: Region, how: Discretisation | None) -> NDArray[np.float64]:
    """Return the features of `VOLUME_HISTOGRAM_FEATURES`.

    Intensities are taken over the re-segmentation range where there is one. The area under the curve has no IBSI
    reference; it is the integral of the volume fraction over the intensity fraction by the trapezoid rule.
    """
    level, count = _curve(region, how)
    share = 1 - np.concatenate(([0], np.cumsum(count)[:-1])) / count.sum()
    width = level[-1] - level[0]
    place = (level - level[0]) / width if width > 0 else np.zeros_like(level)
    beyond = level[-1] + (level[1] - level[0] if level.size > 1 else 1.0)
    volumes = [_first(share[place >= part], 0.0) for part in (0.1, 0.9)]
    # A small allowance keeps 0.9 from being missed by rounding.
    heights = [_first(level[share <= part + 1e-12], float(beyond)) for part in (0.1, 0.9)]
    area = float(np.trapezoid(share, place)) if width > 0 else 0.0
    return np.array([*volumes, *heights, volumes[0] - volumes[1], heights[0] - heights[1], area])


def _first(values: NDArray[np.float64], otherwise: float) -> float:
    return float(values[0]) if values.size else otherwise


def _curve(region: Region, how: Discretisation | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ascending intensities, evenly spaced, and the voxels at each."""
    of = region.distribution
    x = of.values
    counts = np.ones(x.size) if of.counts is None else of.counts.astype(np.float64)
    whole = bool(np.array_equal(x, np.rint(x)))
    if how is None:
        how = NoBinning() if whole and x[-1] - x[0] < _WIDEST else FixedBinNumber(_FALLBACK_BINS)
    low = float(x[0]) if region.bounds[0] is None else region.bounds[0]
    high = float(x[-1]) if region.bounds[1] is None else region.bounds[1]
    if isinstance(how, NoBinning):
        size = int(high - low) + 1
        if not whole or size > _WIDEST:
            return x, counts
        return low + np.arange(size, dtype=np.float64), _tally((x - low).astype(np.int64), counts, size)
    if isinstance(how, FixedBinNumber):
        width = x[-1] - x[0]
        at = np.floor(how.bins * (x - x[0]) / width) if width > 0 else np.zeros(x.size)
        at = np.minimum(at, how.bins - 1)
        return np.arange(1.0, how.bins + 1, dtype=np.float64), _tally(at.astype(np.int64), counts, how.bins)
    return _sized_bins(x, counts, (low, high), how)


def _sized_bins(
    x: NDArray[np.float64], counts: NDArray[np.float64], bounds: tuple[float, float], how: FixedBinSize
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bin centres and voxels; the bins reach over the whole re-segmentation range."""
    low, high = bounds
    at = np.maximum(np.floor((x - low) / how.width), 0).astype(np.int64)
    size = max(int(np.ceil((high - low) / how.width)) + 1, int(at[-1]) + 1)
    return low + (np.arange(size, dtype=np.float64) + 0.5) * how.width, _tally(at, counts, size)


def _tally(at: NDArray[np.int64], counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(at, weights=counts, minlength=size), dtype=np.float64)
