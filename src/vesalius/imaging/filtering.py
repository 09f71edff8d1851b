"""What every filter of images shares: checks, millimetres to voxels, work in parts, and the way back to the type."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import AxisKind
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume

Array = NDArray[Any]
Triple = tuple[float, float, float]
Radii = tuple[int, int, int]
Filter = Callable[[Array], Array]

MOST_THREADS = 8
ROUNDING_MM = 1e-3
"""A neighbour this little beyond a radius still counts: spacings are stored with rounding errors."""


def check_voxels(volume: Volume, what: str) -> None:
    """Raise unless every voxel is a finite number.

    Raises:
        ImageContentError: NaN or infinite voxels, or a yes/no image.
    """
    kind = volume.array.dtype.kind
    if kind == "b":
        raise ImageContentError(
            f"{what} works on brightness and this image holds only yes and no",
            found="type bool",
            fix="enhance the image that it was made from",
        )
    if kind == "f" and not np.isfinite(volume.array).all():
        count = int(volume.array.size - np.count_nonzero(np.isfinite(volume.array)))
        raise ImageContentError(
            f"{what} cannot work on voxels that are not finite",
            found=f"{count} of {volume.array.size} are NaN or infinite",
            fix="replace them first: filtering.replace_not_finite(volume, value=0), on the command line --fill-nan 0",
        )


def replace_not_finite(volume: Volume, *, value: float) -> Volume:
    """Return the image with NaN and infinite voxels replaced by `value`."""
    array = np.where(np.isfinite(volume.array), volume.array, volume.array.dtype.type(value))
    return volume.with_array(array, "replace_not_finite", value=value)


def require_volume(volume: Volume, what: str) -> None:
    """Raise unless the image has several slices.

    Raises:
        GeometryError: the image is one slice thick.
    """
    if volume.shape[0] == 1:
        raise GeometryError(
            f"{what} works on 3-D images and this one is one slice thick",
            found=f"shape {volume.shape}",
            expected="at least two slices",
            fix="use a method that `vesalius enhance list` marks 2-D",
        )


def require_picture(volume: Volume, what: str) -> None:
    """Raise unless the image is one slice thick.

    Raises:
        GeometryError: the image has several slices.
    """
    if volume.shape[0] != 1:
        raise GeometryError(
            f"{what} works on flat pictures and this image has several slices",
            found=f"shape {volume.shape}",
            expected="one slice",
            fix="take one slice: volume.crop((i, 0, 0), (i + 1, rows, columns))",
        )


def positive(name: str, value: float, unit: str = "") -> float:
    """Return the value as a float if it is finite and positive.

    Raises:
        UsageError: it is not.
    """
    return between(name, value, 0, np.inf, unit, low_open=True)


def between(name: str, value: float, low: float, high: float, unit: str = "", *, low_open: bool = False) -> float:
    """Return the value as a float if it lies in the range.

    Raises:
        UsageError: it is not a number in the range.
    """
    number = float(value)
    below = number <= low if low_open else number < low
    if not np.isfinite(number) or below or number > high:
        limits = f"above {low:g}" if low_open else f"at least {low:g}"
        limits += f" and at most {high:g}" if np.isfinite(high) else ""
        raise UsageError(
            f"{name} is out of range",
            found=f"{number:g} {unit}".strip(),
            expected=f"{limits} {unit}".strip(),
            fix=f"give {name} {limits}".strip(),
        )
    return number


def one_of(what: str, name: str, known: Iterable[str]) -> str:
    """Return the name if it is known.

    Raises:
        UnknownNameError: it is not; names the nearest.
    """
    names = tuple(known)
    if name not in names:
        raise unknown(what, name, names)
    return name


def active_axes(volume: Volume, *, slicewise: bool = False) -> tuple[int, ...]:
    """Return the array axes along which a filter works: those longer than one voxel; not across slices if so asked.

    Raises:
        GeometryError: the image is a single voxel.
    """
    axes = tuple(axis for axis in range(3) if volume.shape[axis] > 1 and not (slicewise and axis == 0))
    if not axes:
        raise GeometryError("a filter needs neighbours and there are none", found=f"shape {volume.shape}")
    return axes


def spacing_along(volume: Volume, axes: tuple[int, ...]) -> Triple:
    """Return mm per voxel along slice, row and column, for filters that work along `axes`.

    Raises:
        UnknownSpacingError: the image does not tell its pixel size.
        GeometryError: the axes are not orthogonal, so that distances along them are no distances in the patient.
    """
    spacing = volume.spacing_mm
    if 0 in axes and volume.is_sheared:
        raise GeometryError(
            "the slices are shifted against each other (tilted gantry): a filter would act obliquely",
            found="a sheared grid",
            expected="orthogonal axes",
            fix="resample first: imaging.spatial.to_orthogonal(volume), or filter each slice by itself: slicewise=True",
        )
    return spacing


def in_voxels(volume: Volume, size_mm: float, *, slicewise: bool = False) -> Triple:
    """Return a length in voxels along slice, row and column, 0 along axes that are not filtered."""
    axes = active_axes(volume, slicewise=slicewise)
    spacing = spacing_along(volume, axes)
    sizes = [size_mm / spacing[axis] if axis in axes else 0.0 for axis in range(3)]
    return sizes[0], sizes[1], sizes[2]


def radii(volume: Volume, radius_mm: float, *, slicewise: bool = False) -> Radii:
    """Return how many neighbours lie within `radius_mm` of a voxel along slice, row and column."""
    axes = active_axes(volume, slicewise=slicewise)
    spacing = spacing_along(volume, axes)
    counts = [int((radius_mm + ROUNDING_MM) / spacing[axis]) if axis in axes else 0 for axis in range(3)]
    return counts[0], counts[1], counts[2]


def window_radii(volume: Volume, width_mm: float, *, slicewise: bool = False) -> Radii:
    """Return how many neighbours to each side a box of edge length `width_mm` holds, at least one along some axis.

    Raises:
        UsageError: the box holds one voxel only, so that nothing would change.
    """
    filtered = active_axes(volume, slicewise=slicewise)
    counts = radii(volume, positive("width_mm", width_mm, "mm") / 2, slicewise=slicewise)
    if not any(counts):
        smallest = 2 * min(volume.spacing_mm[axis] for axis in filtered)
        raise UsageError(
            "the window holds one voxel only: the image would not change",
            found=f"{width_mm:g} mm",
            expected=f"at least {smallest:g} mm, three voxels",
            fix="give a wider window",
        )
    return counts


def working(array: Array) -> Array:
    """Return the array as float32, or as float64 where float32 would lose digits of the stored values."""
    wide = array.dtype.itemsize > 4 or (array.dtype.kind in "iu" and array.dtype.itemsize == 4)
    return np.asarray(array, dtype=np.float64 if wide else np.float32)


def as_stored(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array in the image's type; whole numbers are rounded and kept within the type's limits."""
    if dtype.kind not in "iu":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(array), limits.min, limits.max).astype(dtype)


def each_component(volume: Volume, work: Filter, operation: str, **parameters: object) -> Volume:
    """Return the image with `work` done on every component of the fourth axis, type and geometry kept.

    Args:
        work: a float array [slice, row, column] to one of the same shape.
        operation: name of the step in the history.
        parameters: of the step.
    """
    check_voxels(volume, operation)
    if volume.axis is None:
        result = as_stored(work(working(volume.array)), volume.array.dtype)
        return volume.with_array(result, operation, **parameters)
    stacked = np.empty_like(volume.array)
    for index in range(len(volume.axis)):
        part = np.ascontiguousarray(volume.array[..., index])
        stacked[..., index] = as_stored(work(working(part)), stacked.dtype)
    return volume.with_array(stacked, operation, **parameters)


def is_colour(volume: Volume) -> bool:
    """Return whether the fourth axis holds red, green and blue."""
    return volume.axis is not None and volume.axis.kind is AxisKind.RGB


def refuse_colour(volume: Volume, what: str) -> None:
    """Raise for a colour picture.

    Raises:
        GeometryError: the fourth axis holds colours.
    """
    if is_colour(volume):
        raise GeometryError(
            f"{what} works on one brightness per voxel and this is a colour picture",
            found=str(volume.axis.kind if volume.axis else ""),
            fix="take one colour, volume.element(1) for green, or a method that works on colours",
        )


def threads() -> int:
    """Return how many threads a filter may use: what OMP_NUM_THREADS says, else the cores of this process."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(int(told) if told.isdecimal() else cores, MOST_THREADS))


def in_parts(
    work: Callable[[slice, slice], None], shape: tuple[int, ...], part: tuple[int, int], *, threads_from: int = 0
) -> None:
    """Call `work(slices, rows)` for every part of the image; parts do not overlap.

    Args:
        part: slices and rows of a part.
        threads_from: images of fewer voxels are done on one thread, because handing out parts costs more.
    """
    thickness, height = part
    parts = [
        (slice(z, min(z + thickness, shape[0])), slice(y, min(y + height, shape[1])))
        for z in range(0, shape[0], thickness)
        for y in range(0, shape[1], height)
    ]
    count = min(threads(), len(parts)) if np.prod(shape[:3]) >= threads_from else 1
    if count == 1:
        for slices, rows in parts:
            work(slices, rows)
        return
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda one: work(*one), parts))


def noise_level(array: Array, axes: tuple[int, ...]) -> float:
    """Return the standard deviation of the noise in the foreground, in image units.

    From the difference of each voxel and the mean of its direct neighbours along `axes`, by the median absolute
    deviation, so that edges do not count. Noise that is correlated between neighbours (interpolated images, speckle)
    is underestimated.

    Source: Coupe 2010 (pseudo-residuals), doi:10.1016/j.media.2010.03.001
    """
    residual = array.astype(np.float32)
    image = residual.copy()
    share = np.float32(1 / (2 * len(axes)))
    for axis in axes:
        index = np.arange(array.shape[axis])
        before = np.take(image, np.maximum(index - 1, 0), axis=axis)
        residual -= share * (before + np.take(image, np.minimum(index + 1, index[-1]), axis=axis))
    values = residual[image > np.median(image)] if (image == image.min()).mean() > 0.1 else residual.ravel()
    if not values.size:
        return 0.0
    deviation = float(np.median(np.abs(values - np.median(values))))
    count = 2 * len(axes)
    return float(np.sqrt(count / (count + 1)) * 1.4826 * deviation)
