"""How much likelier a brightness is on one side of a border than on the other, learnt from voxels of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.segment.inputs import Flags

Array = NDArray[Any]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BINS = 128
BLUR = 2.0
"""Standard deviation in bins by which histograms are smoothed: seeds are few."""
UNIFORM = 0.02
"""Share of a side that is spread over all values, so that nothing is impossible."""
SAMPLE = 200_000
LEAST_SPREAD = 0.01
"""Smallest standard deviation of a Gaussian, as a part of the range from the 1st to the 99th percentile."""


class Scale:
    """Brightness to bins that hold about equally many voxels, so that CT needs no window and outliers do no harm."""

    def __init__(self, values: Array, extra: Array) -> None:
        """Take the bins from a regular sample of an image and from voxels that must be told apart too.

        Args:
            values: the image.
            extra: voxels near seeds; they count as much as the rest.
        """
        flat = values.ravel()
        # A step that is odd does not follow the rows of an image.
        sample = flat[:: 2 * (flat.size // (2 * SAMPLE)) + 1]
        steps = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = [np.quantile(part, steps[i::2]) for i, part in ((0, sample), (1, extra if extra.size else sample))]
        self.edges = np.unique(np.concatenate(edges)).astype(np.float32)

    def bins(self, values: Array) -> NDArray[np.uint8]:
        """Return the bin of each value."""
        if values.dtype.kind in "iu" and int(values.max()) - int(values.min()) < 1 << 16:
            low = int(values.min())
            table = np.searchsorted(self.edges, np.arange(low, int(values.max()) + 1)).astype(np.uint8)
            return np.asarray(table[values.astype(np.int32) - low])
        return np.searchsorted(self.edges, values).astype(np.uint8)


def histogram(bins: Array) -> F64:
    """Return how many voxels lie in each bin."""
    return np.bincount(bins.ravel(), minlength=BINS).astype(np.float64)


def odds(front: F64, back: F64) -> F32:
    """Return the log odds of the foreground per bin, from histograms of both sides."""
    tables = []
    for counts in (front, back):
        smooth = ndimage.gaussian_filter1d(counts, BLUR, mode="nearest")
        tables.append((1 - UNIFORM) * smooth / max(float(smooth.sum()), 1e-30) + UNIFORM / BINS)
    return np.asarray(np.log(tables[0] / tables[1]), np.float32)


def by_histograms(values: Array, front: Flags, back: Flags) -> F32:
    """Return the log odds of the foreground per voxel, from smoothed histograms of both sides' voxels."""
    scale = Scale(values, values[front | back])
    bins = scale.bins(values)
    return odds(histogram(bins[front]), histogram(bins[back]))[bins]


def by_gaussians(values: Array, front: Flags, back: Flags) -> F32:
    """Return the log odds of the foreground per voxel, from one Gaussian on each side."""
    low, high = np.percentile(values, (1, 99))
    floor = max(LEAST_SPREAD * float(high - low), 1e-6)
    densities = []
    for chosen in (values[front].astype(np.float64), values[back].astype(np.float64)):
        width = max(float(chosen.std()), floor)
        apart = (values.astype(np.float32) - np.float32(chosen.mean())) / np.float32(width)
        level = UNIFORM / max(float(high - low), floor)
        densities.append((1 - UNIFORM) * np.exp(-0.5 * apart**2) / (width * np.sqrt(2 * np.pi)) + level)
    return np.asarray(np.log(densities[0] / densities[1]), np.float32)
