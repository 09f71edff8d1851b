"""A second, simpler opinion: tissue shares from brightness alone, without an atlas and without neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError
from vesalius.core.volume import Volume

BINS = 256
ROUNDS = 200
RELATIVE_VARIANCE = np.array([4.0, 2.5, 1.0, 1.0, 1.0])
LEAST_VOXELS = 1000

F64 = NDArray[np.float64]


def white_share_by_brightness(corrected: Volume, brain: NDArray[np.bool_]) -> float:
    """Return white matter over grey and white matter, 0..1, by a mixture of Gaussians inside the brain.

    Deep grey matter is nearly as bright as white matter and is counted with it, so that 0.02-0.08 more than by anatomy
    is usual.

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


def _shares(counts: F64, centre: F64) -> F64:
    """Return how much of fluid, grey and white matter there is; voxels of two tissues count half for each.

    Three tissues and two mixtures halfway between neighbours; one spread for grey, white and their mixture, twice and
    1.6 times that for fluid and its mixture, which keeps the components from changing places.
    """
    rank = np.cumsum(counts) / counts.sum()
    pure = np.interp((0.08, 0.4, 0.8), rank, centre)
    variance = ((centre[-1] - centre[0]) / 12) ** 2
    floor = ((centre[-1] - centre[0]) / 500) ** 2
    weight = np.full(5, 0.2)
    for _ in range(ROUNDS):
        mean = np.array([pure[0], (pure[0] + pure[1]) / 2, pure[1], (pure[1] + pure[2]) / 2, pure[2]])
        spread = variance * RELATIVE_VARIANCE
        density = weight * np.exp(-0.5 * (centre[:, None] - mean) ** 2 / spread) / np.sqrt(spread)
        part = counts[:, None] * density / (density.sum(axis=1, keepdims=True) + 1e-300)
        total = part.sum(axis=0) + 1e-9
        weight = total / total.sum()
        pure = (part[:, ::2] * centre[:, None]).sum(axis=0) / total[::2]
        square = (part[:, 2::2] * (centre[:, None] - mean[2::2]) ** 2).sum()
        variance = float(square / total[2::2].sum()) + floor
    half = weight[1::2] / 2
    return np.array([weight[0] + half[0], weight[2] + half.sum(), weight[4] + half[1]])
