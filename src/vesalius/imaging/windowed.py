"""Fast windows on plain arrays [slice, row, column]: Gaussian, median of 3, and sums over shifted neighbours.

Our own because `PERFORMANCE.md` has a row for them. Everything works on parts that stay in the processor's cache;
beyond the border the outermost voxels are repeated. Results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.imaging.filtering import Radii, Triple, in_parts

Array = NDArray[Any]
Shift = tuple[int, int, int]

TRUNCATE = 4.0
"""Radius of a Gaussian window in standard deviations, as in SciPy."""
PART_VOXELS = 1 << 16
"""Voxels of a part: three float32 arrays of this size fit into a core's second-level cache."""
THICKNESS = 8
"""Slices of a part in which patches are compared, so that their borders stay a small share of the work."""
LIGHT_WORK = 1 << 21
"""Voxels from which threads pay for work of a few nanoseconds per voxel."""
TWO_THREE = (2, 4), (4, 6), (2, 4)
MEDIAN_OF_27 = (
    (4, 18), (2, 12), (6, 10), (16, 22), (14, 24), (8, 20), (16, 20), (12, 16), (15, 16), (16, 19), (5, 19), (7, 19),
    (8, 19), (13, 19), (8, 11), (8, 14), (7, 8), (7, 12), (7, 13), (7, 16), (15, 16), (10, 15), (10, 21), (8, 10),
    (8, 14), (5, 8), (14, 21), (14, 16), (10, 14), (10, 12), (10, 15), (10, 18), (11, 15), (15, 18), (18, 21),
    (14, 21), (13, 15), (8, 15), (15, 16), (14, 16), (14, 15), (14, 18), (11, 14), (8, 11), (11, 18), (13, 18),
    (12, 18), (11, 13), (13, 15), (14, 15), (11, 13), (11, 14), (12, 14), (13, 14), (12, 13),
)  # fmt: skip
MEDIANS = {1: ((), 1), 2: (TWO_THREE, 4), 3: (MEDIAN_OF_27, 13)}
"""Number of axes -> exchanges (smaller to the first) that bring the median of a 3 x 3 (x 3) cube, sorted along each
axis, to one place. Found by a greedy search over partial orders; proved by the 0-1 principle in the tests."""


def gaussian(array: Array, sigma: Triple) -> Array:
    """Return the array convolved with a sampled Gaussian; `sigma` in voxels along each axis."""
    return convolved(array, [_gaussian_kernel(one, array.dtype) for one in sigma])


def box_mean(array: Array, width: Triple) -> Array:
    """Return the mean over a box; `width` in voxels along each axis, the outermost count by the part inside."""
    return convolved(array, [_box_kernel(one, array.dtype) for one in width])


def convolved(array: Array, kernels: list[Array]) -> Array:
    """Return the array convolved along each axis with a symmetric kernel, given from its middle outwards."""
    halo = [len(kernel) - 1 for kernel in kernels]
    padded = np.pad(array, [(h, h) for h in halo], mode="edge")
    result = np.empty_like(array)

    def work(slices: slice, rows: slice) -> None:
        part = padded[slices.start : slices.stop + 2 * halo[0], rows.start : rows.stop + 2 * halo[1]]
        for axis, kernel in enumerate(kernels):
            part = _convolved(part, kernel, axis)
        result[slices, rows] = part

    thickness, height = _part_size(array.shape, 1)
    in_parts(work, array.shape, (thickness, max(height, 2 * halo[1])), threads_from=LIGHT_WORK)
    return result


def _box_kernel(width: float, dtype: np.dtype[Any]) -> Array:
    """Return the right half of the kernel with its middle."""
    if width <= 1:
        return np.ones(1, dtype)
    radius = int(np.ceil((width - 1) / 2 - 1e-6))
    inside = np.clip(width / 2 + 0.5 - np.arange(radius + 1), 0, 1)
    return np.asarray(inside / width, dtype=dtype)


def _gaussian_kernel(sigma: float, dtype: np.dtype[Any]) -> Array:
    """Return the right half of the kernel with its middle."""
    radius = int(TRUNCATE * sigma + 0.5)
    if not radius:
        return np.ones(1, dtype)
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]), dtype=dtype)


def _convolved(part: Array, kernel: Array, axis: int) -> Array:
    """Return the symmetric convolution where the kernel fits."""
    radius = len(kernel) - 1
    if not radius:
        return part
    total = part[_cut(axis, radius, radius, part.shape)] * kernel[0]
    pair = np.empty_like(total)
    for step in range(1, radius + 1):
        np.add(
            part[_cut(axis, radius - step, radius + step, part.shape)],
            part[_cut(axis, radius + step, radius - step, part.shape)],
            out=pair,
        )
        pair *= kernel[step]
        total += pair
    return np.asarray(total)


def _cut(axis: int, before: int, after: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(before, n - after) if a == axis else slice(None) for a, n in enumerate(shape))


def median(array: Array, radius: Radii) -> Array:
    """Return the median of windows of one or three voxels along each axis; any type of number.

    Args:
        radius: 0 or 1 along slice, row and column.
    """
    axes = [axis for axis in range(3) if radius[axis]]
    operations, place = _median_operations(len(axes))
    padded = np.pad(array, [(r, r) for r in radius], mode="edge")
    result = np.empty_like(array)

    def work(slices: slice, rows: slice) -> None:
        part = padded[slices.start : slices.stop + 2 * radius[0], rows.start : rows.stop + 2 * radius[1]]
        values = _sorted_cube(part, axes)
        for one, other, keep in operations:
            if keep == "both":
                low = np.minimum(values[one], values[other])
                np.maximum(values[one], values[other], out=values[other])
                values[one] = low
            elif keep == "low":
                np.minimum(values[one], values[other], out=values[one])
            else:
                np.maximum(values[one], values[other], out=values[other])
        result[slices, rows] = values[place]

    in_parts(work, array.shape, _part_size(array.shape, 1), threads_from=LIGHT_WORK)
    return result


def _sorted_cube(part: Array, axes: list[int]) -> list[Array]:
    """Return 3^n arrays: for every voxel its window sorted along each axis, the first axis in `axes` slowest."""
    cube = [part]
    for axis in axes:
        cube = [ranked for one in cube for ranked in _sorted_three(one, axis)]
    return cube


def _sorted_three(part: Array, axis: int) -> tuple[Array, Array, Array]:
    first, second, third = (part[_cut(axis, k, 2 - k, part.shape)] for k in range(3))
    low, high = np.minimum(first, second), np.maximum(first, second)
    middle = np.minimum(high, third)
    np.maximum(high, third, out=high)
    lowest = np.minimum(low, middle)
    np.maximum(low, middle, out=middle)
    return lowest, middle, high


@lru_cache(maxsize=3)
def _median_operations(dimensions: int) -> tuple[tuple[tuple[int, int, str], ...], int]:
    """Return the exchanges without results that nothing reads, and the place of the median."""
    exchanges, place = MEDIANS[dimensions]
    needed, kept = {place}, list[tuple[int, int, str]]()
    for one, other in reversed(exchanges):
        if one in needed or other in needed:
            keep = "both" if {one, other} <= needed else "low" if one in needed else "high"
            kept.append((one, other, keep))
            needed |= {one, other}
    return tuple(reversed(kept)), place


def shifts(radius: Radii) -> Iterator[Shift]:
    """Yield every offset (slice, row, column) within a box."""
    slices, rows, columns = (range(-r, r + 1) for r in radius)
    return itertools.product(slices, rows, columns)


Weight = Callable[[Array, Shift], Array]
"""Called with the squared differences between a part and the part shifted by an offset (may be changed in place);
returns the weight of the shifted voxels."""


@dataclass(frozen=True)
class Likeness:
    """How alike two voxels are.

    Args:
        search: neighbours within this box are averaged.
        patch: squared differences are summed over this box around both voxels.
        scale: values are multiplied by it before they are compared, so that sums come in the weight's unit.
        weight: turns the sums into weights.
    """

    search: Radii
    patch: Radii
    scale: float
    weight: Weight


def weighted_mean(array: Array, likeness: Likeness, power: int = 1) -> Array:
    """Return, for every voxel, the mean of its neighbours' values (to a power) weighted by likeness.

    Args:
        array: [slice, row, column] or [slice, row, column, n]; likeness sums over the components.
        likeness: which neighbours, and how they are weighted.
        power: of the values that are averaged.
    """
    search, patch = likeness.search, likeness.patch
    values = array if array.ndim == 4 else array[..., np.newaxis]
    halo = [s + p for s, p in zip(search, patch, strict=True)]
    padded = [np.pad(values[..., c], [(h, h) for h in halo], mode="edge") for c in range(values.shape[3])]
    scaled = [one * array.dtype.type(likeness.scale) for one in padded]
    raised = padded if power == 1 else [one**power for one in padded]
    result = np.empty_like(values)

    def work(slices: slice, rows: slice) -> None:
        box = _Box(slices, rows, array.shape[2], halo)
        centres = [np.ascontiguousarray(one[box.at((0, 0, 0), patch)]) for one in scaled]
        total = np.zeros(box.shape, array.dtype)
        sums = [np.zeros(box.shape, array.dtype) for _ in padded]
        buffers, product = _Buffers(array.dtype), np.empty(box.shape, array.dtype)
        for shift in shifts(search):
            squares = buffers.squares(centres, [one[box.at(shift, patch)] for one in scaled])
            weights = likeness.weight(buffers.box_sum(squares, patch), shift)
            total += weights
            for one, source in zip(sums, raised, strict=True):
                one += np.multiply(weights, source[box.at(shift, (0, 0, 0))], out=product)
        for component, one in enumerate(sums):
            result[slices, rows, :, component] = one / total

    in_parts(work, array.shape, _part_size(array.shape, THICKNESS if any(patch) else 1))
    return result.reshape(array.shape)


class _Box:
    """A part of an image in the coordinates of the padded array."""

    def __init__(self, slices: slice, rows: slice, columns: int, halo: list[int]) -> None:
        self.start = (slices.start + halo[0], rows.start + halo[1], halo[2])
        self.shape = (slices.stop - slices.start, rows.stop - rows.start, columns)

    def at(self, shift: Shift, around: Radii) -> tuple[slice, ...]:
        """Return the part moved by `shift` with a border of `around`."""
        places = zip(self.start, self.shape, shift, around, strict=True)
        return tuple(slice(a + d - r, a + d + n + r) for a, n, d, r in places)


class _Buffers:
    """Arrays that are used again for every shift, so that nothing is allocated in the inner loop."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.kept: dict[tuple[int, ...], Array] = {}

    def get(self, shape: tuple[int, ...], use: int) -> Array:
        """Return the buffer for one use; its content is whatever was left there."""
        key = (use, *shape)
        if key not in self.kept:
            self.kept[key] = np.empty(shape, self.dtype)
        return self.kept[key]

    def squares(self, centres: list[Array], others: list[Array]) -> Array:
        """Return the squared differences summed over the components."""
        total = self.get(centres[0].shape, 0)
        for number, (centre, other) in enumerate(zip(centres, others, strict=True)):
            into = total if number == 0 else self.get(total.shape, 1)
            np.subtract(centre, other, out=into)
            np.multiply(into, into, out=into)
            if number:
                total += into
        return total

    def box_sum(self, array: Array, radius: Radii) -> Array:
        """Return sums over a box where it fits."""
        for axis in range(3):
            if radius[axis]:
                array = self._running_sum(array, 2 * radius[axis] + 1, axis)
        return array

    def _running_sum(self, array: Array, width: int, axis: int) -> Array:
        """Return sums over `width` (odd) neighbours along an axis, from sums over 1, 2, 4, ... of them."""
        count = array.shape[axis] - width + 1
        total, start, size = array[_cut(axis, 0, width - 1, array.shape)], 1, 1
        while 2 * size <= width:
            shape = tuple(n - size if a == axis else n for a, n in enumerate(array.shape))
            before, after = array[_cut(axis, 0, size, array.shape)], array[_cut(axis, size, 0, array.shape)]
            array = np.add(before, after, out=self.get(shape, 2 + axis))
            size *= 2
            if width & size:
                part = array[_cut(axis, start, shape[axis] - start - count, shape)]
                total = np.add(total, part, out=self.get(part.shape, 5 + axis))
                start += size
        return total


def _part_size(shape: tuple[int, ...], thickness: int) -> tuple[int, int]:
    """Return slices and rows of a part that fits the cache."""
    thickness = min(max(thickness, 1), shape[0])
    rows = max(8, PART_VOXELS // (thickness * shape[2]))
    if rows >= shape[1]:
        thickness = min(shape[0], max(thickness, PART_VOXELS // (shape[1] * shape[2])))
    return thickness, min(rows, shape[1])
