"""Other grids for the same image: the only module that interpolates.

Every function keeps world coordinates (LPS mm): a structure has the same place before and after. A voxel fills its
cell, so an image reaches half a voxel beyond its outermost centres; values there are those of the outermost voxels,
and what lies outside is `fill`. Sheared grids (tilted gantry) are exact: only affine matrices are used.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vesalius.core.errors import GeometryError, IrregularGeometryError, UsageError
from vesalius.core.grid import Affine, Gridded
from vesalius.core.mask import Mask, present_labels
from vesalius.core.volume import Volume

__all__ = ["regrid", "resample", "resample_like", "resample_to_grid", "to_orthogonal"]

Method = Literal["linear", "cubic", "nearest"]
Image = TypeVar("Image", Volume, Mask)
Shape = tuple[int, int, int]
How = tuple[int, NDArray[np.float64], float]
"""Spline order, smoothing per source axis in voxels, fill."""

_ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
_EDGE = 0.5 + 1e-6
_SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
_COARSER = 1.01
"""A target voxel this much longer than the source's counts as shrinking."""
_PARALLEL = np.cos(np.deg2rad(0.5))
_SAME_PLACE = 0.01
"""Part of a slice distance or pixel below which two places count as one."""
_MOST_INVENTED = 2
"""At most this many output slices per measured one."""


def resample(
    image: Image,
    *,
    spacing_mm: tuple[float, float, float] | float,
    method: Method = "linear",
    antialias: bool = True,
) -> Image:
    """Return the image with another voxel size along its own (slice, row, column) axes.

    The new field of view has the old one's middle and covers it; where the sizes divide, the outer edges coincide.
    Voxel type is kept, integers are rounded. A mask keeps labels: nearest neighbour, or, along axes that get coarser,
    the label with the largest linear weight.

    Args:
        spacing_mm: voxel size along slice, row and column; one number for all three.
        method: "linear", "cubic" (B-spline) or "nearest".
        antialias: smooth before shrinking (see `resample_to_grid`).

    Raises:
        UnknownSpacingError: the image does not tell its pixel size.
        UsageError: a size that is not positive, or an unknown method.
    """
    wanted = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), (3,))
    if not (np.isfinite(wanted).all() and (wanted > 0).all()):
        raise UsageError("a voxel size is positive", found=str(spacing_mm), expected="mm along slice, row and column")
    shape, affine = _grid_of_spacing(image, wanted)
    return resample_to_grid(image, shape, affine, method=method, antialias=antialias)


def resample_like(
    image: Image, reference: Gridded, *, method: Method = "linear", fill: float = 0, antialias: bool = True
) -> Image:
    """Return the image on the grid of the reference; `fill` where the image does not reach.

    Raises:
        GeometryError: one is in patient coordinates and the other is a flat picture.
        UnknownSpacingError: one of them does not tell its pixel size.
    """
    if image.frame != reference.frame:
        raise GeometryError(
            "image and reference live in different frames",
            found=f"{image.frame} and {reference.frame}",
            expected="both in patient coordinates or both pictures",
        )
    reference.require_spacing()
    return resample_to_grid(image, reference.shape, reference.affine, method=method, fill=fill, antialias=antialias)


def resample_to_grid(
    image: Image,
    shape: Shape,
    affine: ArrayLike,
    *,
    method: Method = "linear",
    fill: float = 0,
    antialias: bool = True,
) -> Image:
    """Return the image on the grid of `shape` (slices, rows, columns) whose `affine` maps indices to LPS mm.

    Before shrinking, the image is smoothed along each of its axes by the Gaussian that turns its voxel into the new,
    larger one (full width at half maximum = voxel size).

    Raises:
        UnknownSpacingError: the image does not tell its pixel size.
        UsageError: unknown method, or a fill that the voxel type cannot hold.

    Source: Cardoso et al. 2015, doi:10.1007/978-3-319-24571-3_81 (width of the smoothing).
    """
    image.require_spacing()
    _check(image, method, fill)
    target = np.asarray(affine, dtype=np.float64)
    to_source = np.linalg.inv(image.affine) @ target
    sigma = _smoothing(to_source) if antialias and method != "nearest" else np.zeros(3)
    if isinstance(image, Mask):
        vote = method != "nearest" and bool((_coarsening(to_source) > _COARSER).any())
        how = (0, sigma, fill)
        array = (_voted if vote else _nearest)(image, shape, to_source, how)
        used = "largest linear weight" if vote else "nearest"
    else:
        array = _interpolated(image.array, shape, to_source, (_ORDERS[method], sigma, fill))
        used = method
    smoothed = tuple(round(float(s), 4) for s in sigma * np.linalg.norm(image.affine[:3, :3], axis=0))
    history = image.done("resample", shape=tuple(shape), affine=target.tolist(), method=used, sigma_mm=smoothed)
    return replace(image, array=array, affine=target, history=history)


def to_orthogonal(image: Image, *, method: Method = "linear", fill: float = 0) -> Image:
    """Return a sheared image (tilted gantry) on an orthogonal grid that covers it; others come back unchanged.

    Columns keep their direction, rows and slices turn to be perpendicular; the slices stay in their planes and the
    voxel keeps its volume, so a tilted stack is interpolated within its slices only.
    """
    image.require_spacing()
    if not image.is_sheared:
        return image
    axes = image.affine[:3, [2, 1, 0]]
    directions, lengths = np.linalg.qr(axes)
    scaled = (directions * np.diag(lengths))[:, ::-1]
    corners = _corners(image.shape) @ image.affine[:3, :3].T + image.affine[:3, 3]
    index = corners @ np.linalg.inv(scaled).T
    low, high = index.min(axis=0), index.max(axis=0)
    count = np.ceil(np.round(high - low, 6)).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = scaled
    affine[:3, 3] = scaled @ (low - (count - 1 - (high - low)) / 2)
    shape = (int(count[0]), int(count[1]), int(count[2]))
    return resample_to_grid(image, shape, affine, method=method, fill=fill, antialias=False)


def regrid(slices: Sequence[Volume]) -> Volume:
    """Return one regular volume from slices that lie irregularly: missing, duplicate, unequal, shifted or mixed.

    Each input is one slice thick and keeps its own affine. The most frequent orientation is kept; slices of another
    one are left out, of several at one place the first is used. Between measured slices the voxels are interpolated
    linearly, nothing is extrapolated. The step "regrid" of the history names, by position in the input and by output
    index, what was left out, moved in the plane and interpolated. Slices whose places follow an oblique line (tilted
    gantry) give a sheared grid.

    Raises:
        IrregularGeometryError: fewer than two places remain, or more than half of the result would be invented.
        GeometryError: an input is not one slice of the same kind as the others.
    """
    _check_slices(slices)
    frame = _reference_frame(slices)
    stack = _sorted_places(slices, frame)
    heights = np.array([height for height, _ in stack])
    count, step = _regular_step(heights)
    frame = replace(frame, direction=_stack_direction([slices[i] for _, i in stack], heights, frame))
    first = frame.at(heights[0])
    planes = [_in_plane(slices[i], frame.at(height), slices[frame.index].shape) for height, i in stack]
    array, between = _filled([plane for plane, _ in planes], heights, heights[0] + step * np.arange(count), step)
    affine = first.copy()
    affine[:3, 0] = frame.direction * step
    used = {i for _, i in stack}
    parallel = {i for i, one in enumerate(slices) if _is_parallel(one, frame)}
    done: dict[str, object] = {
        "slices": len(slices),
        "distance_mm": round(float(step), 6),
        "other_orientation": sorted(set(range(len(slices))) - parallel),
        "duplicates": sorted(parallel - used),
        "moved_in_plane": sorted(i for (_, i), (_, moved) in zip(stack, planes, strict=True) if moved),
        "interpolated": between,
    }
    reference = slices[frame.index]
    return replace(reference, array=array, affine=affine, history=reference.done("regrid", **done))


@dataclass(frozen=True)
class _SliceFrame:
    """Plane of the most frequent slice: unit normal, pixel axes and origin; `direction` leads to the next slice.

    `direction` advances one millimetre along the normal.
    """

    index: int
    affine: Affine
    normal: NDArray[np.float64]
    direction: NDArray[np.float64]

    def height(self, one: Volume) -> float:
        return float(self.normal @ one.affine[:3, 3])

    def at(self, height: float) -> Affine:
        affine = self.affine.copy()
        affine[:3, 0] = self.normal
        affine[:3, 3] += self.direction * (height - float(self.normal @ affine[:3, 3]))
        return affine


def _normal(affine: Affine) -> NDArray[np.float64]:
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    return np.asarray(normal / np.linalg.norm(normal))


def _is_parallel(one: Volume, frame: _SliceFrame) -> bool:
    return bool(abs(_normal(one.affine) @ frame.normal) > _PARALLEL)


def _check_slices(slices: Sequence[Volume]) -> None:
    if len(slices) < 2:
        raise IrregularGeometryError("too few slices for a volume", found=str(len(slices)), expected="two or more")
    first = slices[0]
    for number, one in enumerate(slices):
        one.require_spacing()
        if one.shape[0] != 1 or one.array.shape[3:] != first.array.shape[3:] or one.frame != first.frame:
            raise GeometryError(
                f"slice {number} does not fit the others",
                found=f"shape {one.array.shape}, {one.frame}",
                expected=f"one slice with {first.array.shape[3:] or 'no'} further axis, {first.frame}",
            )


def _reference_frame(slices: Sequence[Volume]) -> _SliceFrame:
    """Return the frame of the first slice with the most frequent orientation and, within it, pixel grid."""
    normals = np.array([_normal(one.affine) for one in slices])
    parallel = np.abs(normals @ normals.T) > _PARALLEL
    group = [int(i) for i in np.flatnonzero(parallel[int(parallel.sum(axis=1).argmax())])]
    grids = [(slices[i].shape, np.round(slices[i].affine[:3, 1:3], 3).tolist()) for i in group]
    index = group[max(range(len(group)), key=lambda k: (grids.count(grids[k]), -k))]
    return _SliceFrame(index, slices[index].affine, normals[index], normals[index])


def _sorted_places(slices: Sequence[Volume], frame: _SliceFrame) -> list[tuple[float, int]]:
    """Return (height in mm along the normal, input index), ascending, one per place."""
    stack = sorted((frame.height(one), i) for i, one in enumerate(slices) if _is_parallel(one, frame))
    gaps = np.diff([height for height, _ in stack])
    apart = gaps[gaps > 1e-3]
    if not len(apart):
        raise IrregularGeometryError(
            "no two slices are parallel and apart",
            found=f"{len(slices)} slices, {len(stack)} of one orientation",
            expected="two places or more in one orientation",
        )
    nearest = _SAME_PLACE * float(np.median(apart))
    return [place for place, gap in zip(stack, [np.inf, *gaps], strict=True) if gap > nearest]


def _regular_step(heights: NDArray[np.float64]) -> tuple[int, float]:
    """Return how many slices at which distance cover the stack from its first to its last slice.

    The distance is the smallest gap when every gap is near a multiple of it, else the median gap.
    """
    gaps = np.diff(heights)
    smallest = float(np.mean(gaps[gaps < 1.1 * gaps.min()]))
    multiples = np.round(gaps / smallest)
    fits = (np.abs(gaps - multiples * smallest) < 0.1 * smallest).all()
    extent = float(heights[-1] - heights[0])
    steps = int(multiples.sum()) if fits else max(1, round(extent / float(np.median(gaps))))
    if steps + 1 > _MOST_INVENTED * len(heights) + 1:
        raise IrregularGeometryError(
            "too much of the volume is missing",
            found=f"{len(heights)} slices for {steps + 1} places",
            expected="at least half of them",
            fix="send the whole series, or choose the part without the gap",
        )
    return steps + 1, extent / steps


def _stack_direction(slices: Sequence[Volume], heights: NDArray[np.float64], frame: _SliceFrame) -> NDArray[np.float64]:
    """Return the way from slice to slice per mm of height: oblique when all places follow one oblique line."""
    origins = np.array([one.affine[:3, 3] for one in slices])
    mean = origins.mean(axis=0)
    centred = heights - heights.mean()
    direction = (centred @ (origins - mean)) / (centred @ centred)
    off = np.linalg.norm(origins - mean - centred[:, np.newaxis] * direction, axis=1).max()
    pixel = np.linalg.norm(frame.affine[:3, 1:3], axis=0).min()
    oblique = np.linalg.norm(direction - frame.normal) > 1e-4
    return direction if off < 0.05 * pixel and oblique else frame.normal


def _in_plane(one: Volume, affine: Affine, shape: Shape) -> tuple[NDArray[Any], bool]:
    """Return the pixels of a slice on the plane's pixel grid and whether they had to be interpolated."""
    pixel = float(np.linalg.norm(affine[:3, 1:3], axis=0).min())
    off = (
        np.abs(one.affine[:3, 1:3] - affine[:3, 1:3]).max() * max(shape)
        + np.abs(one.affine[:3, 3] - affine[:3, 3]).max()
    )
    if one.shape == shape and off < _SAME_PLACE * pixel:
        return one.array[0], False
    flat = one.affine.copy()
    flat[:3, 0] = affine[:3, 0]
    moved = resample_to_grid(replace(one, affine=flat), (1, shape[1], shape[2]), affine)
    return moved.array[0], True


def _filled(
    planes: Sequence[NDArray[Any]], heights: NDArray[np.float64], wanted: NDArray[np.float64], step: float
) -> tuple[NDArray[Any], list[int]]:
    """Return the stack at the wanted heights and the indices that had to be interpolated."""
    dtype = np.result_type(*{plane.dtype for plane in planes})
    result = np.empty((len(wanted), *planes[0].shape), dtype=dtype)
    between = []
    for index, height in enumerate(wanted):
        near = int(np.abs(heights - height).argmin())
        if abs(heights[near] - height) <= _SAME_PLACE * step:
            result[index] = planes[near]
            continue
        above = int(np.clip(np.searchsorted(heights, height), 1, len(heights) - 1))
        weight = (height - heights[above - 1]) / (heights[above] - heights[above - 1])
        mixed = (1 - weight) * planes[above - 1].astype(np.float64) + weight * planes[above]
        result[index] = _rounded(mixed, dtype)
        between.append(index)
    return result, between


def _check(image: Gridded, method: str, fill: float) -> None:
    if method not in _ORDERS or (isinstance(image, Mask) and method == "cubic"):
        allowed = "linear, nearest" if isinstance(image, Mask) else ", ".join(_ORDERS)
        raise UsageError("no such interpolation", found=str(method), expected=allowed)
    if isinstance(image, Mask) and fill and fill not in image.segments:
        raise UsageError("the fill of a mask is 0 or one of its labels", found=str(fill))
    if image.array.dtype.kind in "iub" and np.asarray(fill).astype(image.array.dtype) != fill:
        raise UsageError(f"the fill does not fit the voxel type {image.array.dtype}", found=str(fill))


def _grid_of_spacing(image: Gridded, wanted: NDArray[np.float64]) -> tuple[Shape, Affine]:
    """Return shape and affine of the grid with the same axes and middle that covers the field of view."""
    ratio = wanted / np.asarray(image.spacing_mm)
    size = np.asarray(image.shape)
    # A tolerance of a thousandth keeps 0.9999999 from adding a voxel.
    count = np.maximum(1, np.ceil(size / ratio - 1e-3)).astype(int)
    first = (size - 1) / 2 - ratio * (count - 1) / 2
    affine = image.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] = image.index_to_world(first)
    return (int(count[0]), int(count[1]), int(count[2])), affine


def _coarsening(to_source: Affine) -> NDArray[np.float64]:
    """Return how long a target voxel is along each source axis, in source voxels."""
    return np.asarray(np.linalg.norm(to_source[:3, :3], axis=1))


def _smoothing(to_source: Affine) -> NDArray[np.float64]:
    """Return the standard deviation, in source voxels, that turns a source voxel into a target one per axis."""
    ratio = _coarsening(to_source)
    ratio[ratio <= _COARSER] = 1.0
    return np.asarray(_SIGMA_PER_FWHM * np.sqrt(ratio**2 - 1))


def _smooth(array: NDArray[Any], sigma: NDArray[np.float64], kind: np.dtype[Any]) -> NDArray[Any]:
    for axis in np.flatnonzero(sigma):
        into = kind if array.dtype != kind or not array.flags.writeable else array
        array = ndimage.gaussian_filter1d(array, sigma[axis], axis=int(axis), output=into, mode="nearest")
    return array


def _interpolated(array: NDArray[Any], shape: Shape, to_source: Affine, how: How) -> NDArray[Any]:
    """Return the voxels on the target grid in the type they had, element by element of a fourth axis."""
    order, sigma, _ = how
    if array.ndim == 4:
        result = np.empty((*shape, array.shape[3]), dtype=array.dtype)
        for element in range(array.shape[3]):
            result[..., element] = _interpolated(array[..., element], shape, to_source, how)
        return result
    if array.dtype.kind == "b":
        return _interpolated(array.view(np.uint8), shape, to_source, how).astype(bool)
    kind = np.result_type(array.dtype, np.float32)
    source = _smooth(array, sigma, kind)
    if order > 1:
        source = ndimage.spline_filter(source, order, output=kind, mode="mirror")
    return _transformed(source, shape, to_source, how, array.dtype)


def _transformed(
    source: NDArray[Any], shape: Shape, to_source: Affine, how: How, dtype: np.dtype[Any] | None = None
) -> NDArray[Any]:
    """Return `source` at the target grid's points, slice by slice; no copy of the whole is made."""
    order, _, fill = how
    dtype = source.dtype if dtype is None else dtype
    result = np.empty(shape, dtype=dtype)
    matrix = _cleaned(to_source)
    for index in range(shape[0]):
        offset = matrix[:3, 0] * index + matrix[:3, 3]
        plane = ndimage.affine_transform(
            source,
            matrix[:3, :3],
            offset=offset,
            output_shape=(1, *shape[1:]),
            output=dtype if order == 0 else np.result_type(dtype, np.float32),
            order=order,
            mode="mirror" if order > 1 else "nearest",
            prefilter=False,
        )[0]
        result[index] = _rounded(plane, dtype)
        outside = _outside(matrix, offset, shape, source.shape)
        if outside is not None:
            result[index][outside] = fill
    return result


def _cleaned(matrix: Affine) -> Affine:
    """Return the matrix without the rounding errors of its inversion: whole numbers stay whole."""
    whole = np.round(matrix)
    return np.asarray(np.where(np.abs(matrix - whole) < 1e-9, whole, matrix))


def _rounded(plane: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind not in "iu" or plane.dtype == dtype:
        return np.asarray(plane, dtype=dtype)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(plane), limits.min, limits.max), dtype=dtype)


def _outside(
    matrix: Affine, offset: NDArray[np.float64], shape: Shape, size: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return where a target slice leaves the source's field of view, None when nowhere."""
    rows, columns = np.arange(shape[1])[:, np.newaxis], np.arange(shape[2])[np.newaxis]
    result: NDArray[np.bool_] | None = None
    for axis in range(3):
        down, across = matrix[axis, 1] * (shape[1] - 1), matrix[axis, 2] * (shape[2] - 1)
        ends = offset[axis] + np.array([0.0, down, across, down + across])
        if ends.min() >= -_EDGE and ends.max() <= size[axis] - 1 + _EDGE:
            continue
        place = offset[axis] + matrix[axis, 1] * rows + matrix[axis, 2] * columns
        beyond = (place < -_EDGE) | (place > size[axis] - 1 + _EDGE)
        result = beyond if result is None else result | beyond
    return result


def _nearest(mask: Mask, shape: Shape, to_source: Affine, how: How) -> NDArray[Any]:
    return _transformed(mask.array, shape, to_source, how)


def _voted(mask: Mask, shape: Shape, to_source: Affine, how: How) -> NDArray[Any]:
    """Return for each target voxel the label whose smoothed, linearly interpolated membership is largest."""
    _, sigma, fill = how
    best = np.zeros(shape, dtype=np.float32)
    labels = np.full(shape, fill, dtype=mask.array.dtype)
    for label in present_labels(mask.array):
        source, target = _boxes(mask, label, shape, to_source, sigma)
        start = [part.start for part in target]
        size = tuple(part.stop - part.start for part in target)
        if 0 in size:
            continue
        moved = to_source.copy()
        moved[:3, 3] += to_source[:3, :3] @ start - np.array([part.start for part in source])
        member = _smooth((mask.array[source] == label).astype(np.float32), sigma, np.dtype(np.float32))
        weight = _transformed(member, (size[0], size[1], size[2]), moved, (1, sigma, 0))
        wins = weight > best[target]
        best[target][wins] = weight[wins]
        labels[target][wins] = label
    return labels


def _boxes(
    mask: Mask, label: int, shape: Shape, to_source: Affine, sigma: NDArray[np.float64]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a label lies in the source, with room for the smoothing, and the target box that it reaches."""
    where = mask.array == label
    spans = [np.flatnonzero(where.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    room = np.ceil(4 * sigma).astype(int) + 2
    low = np.maximum([span[0] for span in spans] - room, 0)
    high = np.minimum([span[-1] for span in spans] + room + 1, mask.shape)
    corners = np.array(list(itertools.product(*zip(low - 0.5, high - 0.5, strict=True))))
    back = np.linalg.inv(to_source)
    reached = corners @ back[:3, :3].T + back[:3, 3]
    first = np.clip(np.floor(reached.min(axis=0)), 0, shape).astype(int)
    last = np.clip(np.ceil(reached.max(axis=0)) + 1, first, shape).astype(int)
    return _slices(low, high), _slices(first, last)


def _slices(start: NDArray[Any], stop: NDArray[Any]) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))


def _corners(shape: Shape) -> NDArray[np.float64]:
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])), dtype=np.float64)
