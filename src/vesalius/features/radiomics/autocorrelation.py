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
_BLOCK = 1 << 19
"""Values of a spectrum at hand at a time."""


def moran_and_geary(region: Region) -> tuple[float, float]:
    """Return Moran's I and Geary's C of the intensity mask (IBSI 3.1.28 and 3.1.29); both 1 for equal intensities."""
    mask = region.intensity
    kind = np.float32 if mask.size > _SINGLE else np.float64
    values = region.distribution
    mean = values.mean(values.values)
    count = values.size
    residual = np.zeros(mask.shape, dtype=kind)
    np.subtract(region.image, mean, out=residual, where=mask, casting="unsafe")
    power = float(np.square(residual, dtype=np.float64).sum())
    if power == 0:
        return 1.0, 1.0
    half = np.array([fft.next_fast_len(n, real=True) for n in mask.shape])
    weights = _weight_spectrum(half, region.spacing_mm, kind)
    own, there = (fft.rfft(part, int(2 * half[2]), axis=2) for part in (residual, mask.astype(kind)))
    square = fft.rfft(np.square(residual, out=residual), int(2 * half[2]), axis=2)
    product, mixed, pairs = _sums(weights, own, square, there)
    moran = count * product / (pairs * power)
    geary = (count - 1) * (mixed - product) / (pairs * power)
    return moran, geary


def _weight_spectrum(half: NDArray[np.int64], spacing_mm: tuple[float, float, float], kind: Any) -> NDArray[Any]:
    """Return the spectrum of 1 / distance at the non-negative frequencies: it is even, so a cosine transform."""
    squares = [((np.arange(n + 1) * s) ** 2).astype(kind) for n, s in zip(half, spacing_mm, strict=True)]
    weight = squares[0][:, np.newaxis, np.newaxis] + squares[1][:, np.newaxis] + squares[2]
    weight[0, 0, 0] = np.inf
    np.sqrt(weight, out=weight)
    np.divide(1, weight, out=weight)
    return np.asarray(fft.dctn(weight, type=1, overwrite_x=True))


def _sums(
    weights: NDArray[Any], own: NDArray[Any], square: NDArray[Any], there: NDArray[Any]
) -> tuple[float, float, float]:
    """Return the sums over pairs of residual x residual, square x inside and inside x inside, weighted.

    By Parseval's theorem; the arrays are transformed along columns and padded here along rows and slices, a few
    columns of the spectrum at a time.
    """
    planes, rows = 2 * (weights.shape[0] - 1), 2 * (weights.shape[1] - 1)
    columns = weights.shape[2]
    twice = np.full(columns, 2.0)
    twice[[0, -1]] = 1.0
    block = max(1, _BLOCK // (planes * rows))
    total = np.zeros(3)
    for start in range(0, columns, block):
        part = slice(start, min(start + block, columns))
        one, two, three = (_padded(lines[:, :, part], rows, planes) for lines in (own, square, there))
        weight = weights[:, :, part] * twice[part].astype(weights.dtype)
        for number, (first, second) in enumerate(((one, one), (two, three), (three, three))):
            power = first.real * second.real + first.imag * second.imag
            folded = _folded(_folded(power, 0), 1)
            total[number] += float(np.multiply(folded, weight, out=folded).sum(dtype=np.float64))
    product, mixed, pairs = total / (planes * rows * 2 * (columns - 1))
    return float(product), float(mixed), float(pairs)


def _padded(lines: NDArray[Any], rows: int, planes: int) -> NDArray[Any]:
    """Return the transform along rows and slices, zero-padded to the given lengths."""
    return np.asarray(fft.fft(fft.fft(lines, rows, axis=1), planes, axis=0, overwrite_x=True))


def _folded(power: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the values at negative frequencies of an axis added to those at positive ones."""
    turned = np.moveaxis(power, axis, 0)
    half = turned.shape[0] // 2
    turned[1:half] += turned[:half:-1]
    return np.moveaxis(turned[: half + 1], 0, axis)
