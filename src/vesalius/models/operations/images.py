"""Operations on images: Volume in, Volume out; `tensor` makes the array that a network takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesalius.core import AxisKind, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError

F32 = NDArray[np.float32]
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


def grey(image: Volume) -> Volume:
    """Return a colour image as luminance, float32; a grey one as float32."""
    array = image.array.astype(np.float32)
    if image.axis is None:
        return replace(image, array=array)
    if image.axis.kind is not AxisKind.RGB:
        raise GeometryError("only colour becomes grey", found=f"a fourth axis {image.axis.kind}")
    return replace(image, array=array[..., :3] @ np.array(LUMINANCE, dtype=np.float32), axis=None)


def resize(image: Volume, *, rows: int, columns: int, keep_aspect: bool = False, slices: int | None = None) -> Volume:
    """Return the image with this number of rows and columns (and slices), averaged when shrinking, float32.

    `keep_aspect` fits the image in and fills the rest with its lowest value.
    """
    array = image.array.astype(np.float32)
    size = (slices or array.shape[0], rows, columns)
    if not keep_aspect:
        return _pictured(image, _resized(array, size))
    factor = min(rows / array.shape[1], columns / array.shape[2])
    inner = (size[0], max(1, round(array.shape[1] * factor)), max(1, round(array.shape[2] * factor)))
    return _pictured(image, _placed(_resized(array, inner), (inner[0], rows, columns)))


def _resized(array: F32, size: tuple[int, int, int]) -> F32:
    from skimage.transform import resize as resized

    if array.shape[:3] == size:
        return array
    shrinks = any(new < old for new, old in zip(size, array.shape[:3], strict=True))
    target = (*size, *array.shape[3:])
    result: F32 = resized(array, target, order=1, anti_aliasing=shrinks, preserve_range=True).astype(np.float32)
    return result


def _placed(array: F32, size: tuple[int, int, int]) -> F32:
    """Return the array in the middle of a frame of this size, cut or filled with its lowest value."""
    result = np.full((*size, *array.shape[3:]), array.min(), dtype=np.float32)
    source, target = [], []
    for old, new in zip(array.shape[:3], size, strict=True):
        start = abs(new - old) // 2
        length = min(old, new)
        source.append(slice(start, start + length) if old > new else slice(0, length))
        target.append(slice(start, start + length) if new > old else slice(0, length))
    result[tuple(target)] = array[tuple(source)]
    return result


def _pictured(image: Volume, array: F32) -> Volume:
    # rows and columns no longer have the size that the header tells
    return replace(image, array=array, affine=np.eye(4), spacing=Spacing.UNKNOWN)


def spacing(image: Volume, *, mm: tuple[float, float, float]) -> Volume:
    """Return the image resampled to voxels of this size in mm along (slice, row, column)."""
    from vesalius.imaging.spatial import resample

    return resample(image, spacing_mm=(float(mm[0]), float(mm[1]), float(mm[2])))


def window(image: Volume, *, low: float, high: float) -> Volume:
    """Return the image with `low` at 0 and `high` at 1, cut beyond, float32."""
    if not high > low:
        raise ValueError(f"high {high} is not above low {low}")
    array = np.clip((image.array.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return replace(image, array=array)


def percentiles(image: Volume, *, low: float = 1.0, high: float = 99.0) -> Volume:
    """Return the image with its own percentiles at 0 and 1, cut beyond, float32; a flat image becomes 0."""
    array = image.array.astype(np.float32)
    bottom, top = np.percentile(array, (low, high))
    scale = float(top - bottom)
    scaled = np.clip((array - np.float32(bottom)) / np.float32(scale), 0, 1) if scale > 0 else np.zeros_like(array)
    return replace(image, array=scaled.astype(np.float32))


def zscore(image: Volume) -> Volume:
    """Return the image with its own mean at 0 and standard deviation 1, float32; a flat image becomes 0."""
    array = image.array.astype(np.float32)
    spread = float(array.std(dtype=np.float64))
    mean = float(array.mean(dtype=np.float64))
    return replace(image, array=((array - np.float32(mean)) / np.float32(spread or 1.0)).astype(np.float32))


def fit(image: Volume, *, shape: tuple[int, int, int]) -> Volume:
    """Return the middle of the image in this number of slices, rows and columns; the rest is its lowest value."""
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    return _pictured(image, _placed(image.array.astype(np.float32), size))


def tensor(
    image: Volume, *, dimensions: Literal[2, 3] = 2, channels: int = 1,
    mean: list[float] | None = None, sd: list[float] | None = None,
) -> F32:  # fmt: skip
    """Return the array of a network: [1, channel, row, column], or [1, channel, slice, row, column], float32.

    Raises:
        GeometryError: several slices for a 2-D network.
        ImageContentError: NaN or infinity.
    """
    array = image.array.astype(np.float32)
    if dimensions == 2 and array.shape[0] != 1:
        raise GeometryError("a 2-D network takes one slice", found=f"{array.shape[0]} slices")
    if not np.isfinite(array).all():
        raise ImageContentError("the image holds NaN or infinity", fix="fill them first")
    array = array[..., None] if image.axis is None else array
    if array.shape[-1] != channels:
        array = np.repeat(array.mean(axis=-1, keepdims=True), channels, axis=-1)
    array = (array - _row(mean, 0.0, channels)) / _row(sd, 1.0, channels)
    moved = np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(moved[None, :, 0] if dimensions == 2 else moved[None], dtype=np.float32)


def slices(
    image: Volume, *, count: int, channels: int = 1, mean: list[float] | None = None, sd: list[float] | None = None
) -> F32:
    """Return [1, count, channel, row, column], float32: slices evenly spaced from the first to the last.

    A volume with fewer slices gives some of them twice, so that the number is always the same.

    Raises:
        ImageContentError: NaN or infinity.
    """
    if count < 1:
        raise ValueError(f"{count} slices")
    last = image.array.shape[0] - 1
    at = np.round(np.linspace(0, last, count)).astype(np.int64) if count > 1 else np.array([last // 2])
    chosen = replace(image, array=image.array[at])
    found = tensor(chosen, dimensions=3, channels=channels, mean=mean, sd=sd)
    return np.ascontiguousarray(np.moveaxis(found, 1, 2))


def _row(values: list[float] | None, default: float, channels: int) -> NDArray[Any]:
    row = np.array(values if values is not None else [default] * channels, dtype=np.float32)
    if len(row) != channels:
        raise ValueError(f"{len(row)} values for {channels} channels")
    return row
