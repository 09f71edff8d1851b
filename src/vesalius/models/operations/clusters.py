"""Distances from points that the training data left: clusters, and how unusual a case is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def nearest(vector: NDArray[np.floating], *, centroids: list[list[float]]) -> F64:
    """Return [1, clusters] with 1 at the nearest centroid; the lowest number wins a tie."""
    distances = np.linalg.norm(np.array(centroids) - np.asarray(vector, dtype=np.float64).reshape(1, -1), axis=1)
    found = np.zeros((1, len(distances)))
    found[0, int(distances.argmin())] = 1.0
    return found


def mahalanobis(
    vector: NDArray[np.floating], *, mean: list[float], components: list[list[float]], variances: list[float]
) -> F64:
    """Return the distance of a case from the training data in standard deviations, [1, 1].

    Args:
        components: principal directions in rows, unit length.
        variances: variance of the training data along each.
    """
    offset = np.asarray(vector, dtype=np.float64).reshape(-1) - np.array(mean)
    along = np.array(components) @ offset
    return np.array([[float(np.sqrt(np.mean(along**2 / np.array(variances))))]])
