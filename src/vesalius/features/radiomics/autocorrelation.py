"""Moran's I and Geary's C over all pairs of voxels, exactly, by Fourier transform.

Both are sums over pairs weighted by 1 / distance. For voxels on a grid the weight depends on the step between them
only, so each sum is a product of spectra: O(n log n) instead of O(n^2), where others sample pairs at random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vesalius.features.radiomics.region import Region

__all__ = ["moran_and_geary"]

_SINGLE = 1 << 18
"""Boxes of more voxels are transformed in single precision, which keeps six digits and halves the memory."""


def moran_and_geary(region: Region) -> tuple[float, float]:
    """Return Moran's I and Geary's C of the intensity mask (IBSI 3.1.28 and 3.1.29); both 1 for equal intensities."""
    mask = region.intensity
    kind = np.float32 if mask.size > _SINGLE else np.float64
    values = region.distribution
    mean = values.mean(values.values)
    count = values.size
    residual = np.where(mask, region.image - mean, 0).astype(kind)
    power = float(np.square(residual, dtype=np.float64).sum())
    if power == 0:
        return 1.0, 1.0
    half = np.array([fft.next_fast_len(n, real=True) for n in mask.shape])
    weights = _weight_spectrum(half, region.spacing_mm, kind)
    shape = tuple(int(n) for n in 2 * half)
    there = _spectrum(mask.astype(kind), shape)
    pairs = _sum(weights, there, there)
    square = _spectrum(np.square(residual), shape)
    mixed = _sum(weights, square, there)
    del square, there
    own = _spectrum(residual, shape)
    product = _sum(weights, own, own)
    moran = count * product / (pairs * power)
    geary = (count - 1) * (2 * mixed - 2 * product) / (2 * pairs * power)
    return moran, geary


def _weight_spectrum(
    half: NDArray[np.int64], spacing_mm: tuple[float, float, float], kind: Any
) -> NDArray[np.floating[Any]]:
    """Return the spectrum of 1 / distance for the non-negative frequencies of each axis: even, so a cosine transform."""
    squares = [(np.arange(n + 1) * s) ** 2 for n, s in zip(half, spacing_mm, strict=True)]
    distance = squares[0][:, np.newaxis, np.newaxis] + squares[1][:, np.newaxis] + squares[2]
    distance[0, 0, 0] = np.inf
    weight = (1 / np.sqrt(distance, out=distance)).astype(kind)
    return np.asarray(fft.dctn(weight, type=1, overwrite_x=True))


def _spectrum(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the transform of a zero-padded array along rows and columns only; `_sum` goes along slices."""
    lines = fft.rfft(array, shape[2], axis=2)
    return np.asarray(fft.fft(lines, shape[1], axis=1, overwrite_x=True))


def _sum(weights: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the weighted sum over all pairs of voxels, by Parseval's theorem, a few rows of the spectrum at a time."""
    planes, rows, columns = 2 * (weights.shape[0] - 1), one.shape[1], one.shape[2]
    middle = np.full(columns, 2.0)
    middle[[0, -1]] = 1.0
    total = 0.0
    block = max(1, (1 << 16) // (planes * columns))
    for start in range(0, rows, block):
        part = slice(start, start + block)
        first = fft.fft(one[:, part], planes, axis=0)
        second = first if other is one else fft.fft(other[:, part], planes, axis=0)
        power = first.real * second.real + first.imag * second.imag
        row = np.minimum(np.arange(start, min(start + block, rows)), rows - np.arange(start, min(start + block, rows)))
        half = weights.shape[0]
        power[1 : half - 1] += power[: half - 1 : -1]
        total += float(np.einsum("zrx,zrx,x->", power[:half], weights[:, row], middle, dtype=np.float64))
    return total / (planes * rows * 2 * (columns - 1))
