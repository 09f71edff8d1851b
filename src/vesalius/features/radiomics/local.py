"""Local and global intensity peak (IBSI 3.2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.region import PEAK_RADIUS_MM, Region

__all__ = ["FEATURES", "local_intensity"]

FEATURES = ("peak_loc", "peak_glob")
_BLOCK = 1 << 16
"""Voxels per block of slices, for the cache."""


def local_intensity(region: Region) -> NDArray[np.float64]:
    """Return the features of `FEATURES`: means in a sphere of 1 cm3 around voxels of the intensity mask.

    The sphere takes voxels outside the mask too; where it leaves the image, the mean is over what is inside.
    Of several voxels with the largest intensity the highest mean counts.
    """
    image = region.surround
    valid = np.isfinite(image) if image.dtype.kind == "f" else None
    if valid is not None and valid.all():
        valid = None
    total = _ball_sum(image if valid is None else np.where(valid, image, 0), region)[region.intensity]
    if valid is None and _fits(region):
        count: NDArray[np.float64] | float = float(_kernel_size(region.spacing_mm))
    else:
        there = np.ones(image.shape, dtype=np.bool_) if valid is None else valid
        count = _ball_sum(there, region)[region.intensity]
    mean = total / count
    return np.array([mean[region.values == region.values.max()].max(), mean.max()])


def _reach(spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    a, b, c = (int(np.floor(PEAK_RADIUS_MM / s)) for s in spacing_mm)
    return a, b, c


def _fits(region: Region) -> bool:
    """Return whether the sphere stays in the image around every voxel of the box."""
    return all(
        part.start >= reach and size - part.stop >= reach
        for part, reach, size in zip(region.inside, _reach(region.spacing_mm), region.surround.shape, strict=True)
    )


def _half_widths(spacing_mm: tuple[float, float, float]) -> NDArray[np.int64]:
    """Return for each (slice, row) step how far the sphere reaches along columns, -1 where it does not."""
    slices, rows, _ = _reach(spacing_mm)
    z = np.arange(-slices, slices + 1)[:, np.newaxis] * spacing_mm[0]
    y = np.arange(-rows, rows + 1) * spacing_mm[1]
    rest = PEAK_RADIUS_MM**2 - z * z - y * y
    return np.where(rest >= 0, np.floor(np.sqrt(np.maximum(rest, 0)) / spacing_mm[2]), -1).astype(np.int64)


def _kernel_size(spacing_mm: tuple[float, float, float]) -> int:
    half = _half_widths(spacing_mm)
    return int((2 * half[half >= 0] + 1).sum())


def _ball_sum(grey: NDArray[Any], region: Region) -> NDArray[Any]:
    """Return sums over the sphere around each voxel of the box; nothing outside the image counts.

    The sphere is a stack of rows: row sums come from one running sum per distinct row width, discs from row sums of
    one slice, and each disc serves the slices above and below. Blocks of slices keep memory small.
    """
    depth, height, width = (part.stop - part.start for part in region.inside)
    # Sums of 16-bit intensities over a sphere fit into 32 bits while it has fewer than 65536 voxels.
    small = (
        grey.dtype.kind in "iub"
        and grey.dtype.itemsize <= 2
        and max(*grey.shape, _kernel_size(region.spacing_mm)) < 1 << 15
    )
    kind = np.dtype(np.int32 if small else np.float64)
    result: NDArray[Any] = np.zeros((depth, height, width), dtype=kind)
    block = max(1, _BLOCK // (grey.shape[1] * grey.shape[2]))
    for start in range(0, grey.shape[0], block):
        part = grey[start : start + block].astype(kind)
        for step, disc in _discs(part, region):
            for shift in {start - region.inside[0].start - step, start - region.inside[0].start + step}:
                low, high = max(0, shift), min(depth, shift + part.shape[0])
                if low < high:
                    result[low:high] += disc[low - shift : high - shift]
    return result


def _discs(part: NDArray[Any], region: Region) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (distance in slices, sums over that disc of the sphere in each slice, at rows and columns of the box)."""
    half = _half_widths(region.spacing_mm)
    slices, rows, columns = _reach(region.spacing_mm)
    _, down, across = region.inside
    height, width, left = down.stop - down.start, across.stop - across.start, across.start + columns
    padded = np.pad(part, ((0, 0), (rows, rows), (columns + 1, columns)))
    running = np.cumsum(padded, axis=2, out=padded)
    sums = {
        int(h): running[:, :, left + h + 1 : left + h + 1 + width] - running[:, :, left - h : left - h + width]
        for h in np.unique(half[half >= 0])
    }
    for step in range(slices + 1):
        parts = [
            sums[int(h)][:, down.start + offset : down.start + offset + height]
            for offset, h in enumerate(half[slices + step])
            if h >= 0
        ]
        yield step, functools.reduce(np.add, parts)
