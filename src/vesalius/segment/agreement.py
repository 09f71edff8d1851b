"""A second, simpler opinion: tissue shares from brightness alone, without an atlas and without neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError
from vesalius.core.volume import Volume

BINS = 256
ROUNDS = 100
LEAST_VOXELS = 1000


def white_share_by_brightness(corrected: Volume, brain: NDArray[np.bool_]) -> float:
    """Return white matter over grey and white matter, 0..1, by a mixture of three Gaussians inside the brain.

    Args:
        corrected: T1-weighted, without bias field.
        brain: grey matter, white matter and fluid.

    Raises:
        ImageContentError: too few voxels, or one brightness only.
    """
    values = corrected.array[brain]
    if values.size < LEAST_VOXELS or float(np.ptp(values)) == 0:
        raise ImageContentError("too little to fit a mixture to", found=f"{values.size} voxels")
    low, high = np.percentile(values, (0.1, 99.9))
    counts, edges = np.histogram(values, BINS, (float(low), float(high)))
    shares = _shares(counts.astype(np.float64), (edges[1:] + edges[:-1]) / 2)
    return float(shares[2] / (shares[1] + shares[2]))


def _shares(counts: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of three Gaussians from dark to bright, each at least a fiftieth of the range wide."""
    order = np.cumsum(counts) / counts.sum()
    mean = np.interp((0.08, 0.4, 0.8), order, centre)
    floor = ((centre[-1] - centre[0]) / 50) ** 2
    variance = np.full(3, 10 * floor)
    weight = np.full(3, 1 / 3)
    for _ in range(ROUNDS):
        density = weight * np.exp(-0.5 * (centre[:, None] - mean) ** 2 / variance) / np.sqrt(variance)
        part = counts[:, None] * density / (density.sum(axis=1, keepdims=True) + 1e-300)
        total = part.sum(axis=0) + 1e-9
        weight = total / total.sum()
        mean = (part * centre[:, None]).sum(axis=0) / total
        variance = (part * (centre[:, None] - mean) ** 2).sum(axis=0) / total + floor / 10
    result: NDArray[np.float64] = weight[np.argsort(mean)]
    return result
