"""Operations that turn an image into a vector of features, float32 [1, n]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.errors import GeometryError

F32 = NDArray[np.float32]


def hog(image: Volume, *, orientations: int = 9, cell: int = 8, block: int = 2) -> F32:
    """Return histograms of oriented gradients of a grey picture.

    Source: Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177.
    """
    from skimage.feature import hog as oriented

    found = oriented(
        _picture(image), orientations=orientations, pixels_per_cell=(cell, cell), cells_per_block=(block, block),
        block_norm="L2-Hys", feature_vector=True,
    )  # fmt: skip
    return _vector(found)


def lbp(image: Volume, *, radius: float = 2.0, points: int = 16, grid: int = 4) -> F32:
    """Return histograms of uniform local binary patterns over a grid of tiles.

    Source: Ojala et al. 2002, doi:10.1109/TPAMI.2002.1017623.
    """
    from skimage.feature import local_binary_pattern

    picture = _picture(image)
    low, high = float(picture.min()), float(picture.max())
    grey = (
        np.round(255 * (picture - low) / (high - low)).astype(np.uint8)
        if high > low
        else np.zeros(picture.shape, np.uint8)
    )
    patterns = local_binary_pattern(grey, points, radius, method="uniform").astype(np.int64)
    tiles = [t for rows in np.array_split(patterns, grid, axis=0) for t in np.array_split(rows, grid, axis=1)]
    counts = [np.bincount(tile.ravel(), minlength=points + 2) / max(tile.size, 1) for tile in tiles]
    return _vector(np.concatenate(counts))


def intensity(image: Volume, *, bins: int = 32, low: float | None = None, high: float | None = None) -> F32:
    """Return mean, standard deviation, skewness, kurtosis, five percentiles and a histogram of the values."""
    values = image.array.astype(np.float64).ravel()
    bottom = float(values.min()) if low is None else low
    top = float(values.max()) if high is None else high
    counts, _ = np.histogram(np.clip(values, bottom, top), bins=bins, range=(bottom, max(top, bottom + 1e-9)))
    mean, sd = float(values.mean()), float(values.std())
    shape = [float((((values - mean) / sd) ** n).mean()) if sd > 0 else 0.0 for n in (3, 4)]
    return _vector([mean, sd, *shape, *np.percentile(values, (5, 25, 50, 75, 95)), *(counts / values.size)])


def _picture(image: Volume) -> F32:
    if image.axis is not None or image.array.shape[0] != 1:
        raise GeometryError("this feature is for one grey picture", found=f"shape {image.array.shape}",
                            fix="imaging.grey first")  # fmt: skip
    picture: F32 = image.array[0].astype(np.float32)
    return picture


def _vector(values: Any) -> F32:
    row: F32 = np.asarray(values, dtype=np.float32).reshape(1, -1)
    return row
