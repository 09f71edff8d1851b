"""What measurements on masks share: the box around a region, its outermost voxels, and steps on the grid in mm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import GeometryError, LabelError
from vesalius.core.grid import Affine, Gridded
from vesalius.core.mask import Mask

Box = tuple[slice, slice, slice]
Inside = NDArray[np.bool_]
F64 = NDArray[np.float64]


def box_around(*regions: Inside) -> Box | None:
    """Return the smallest box that holds every voxel of the regions, None when all are empty."""
    slices = _extent(np.logical_or.reduce([region.reshape(len(region), -1).any(axis=1) for region in regions]))
    if slices is None:
        return None
    plane = np.logical_or.reduce([region[slices].any(axis=0) for region in regions])
    rows, columns = _extent(plane.any(axis=1)), _extent(plane.any(axis=0))
    return None if rows is None or columns is None else (slices, rows, columns)


def _extent(hit: NDArray[np.bool_]) -> slice | None:
    places = np.flatnonzero(hit)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else None


def grown(box: Box, shape: tuple[int, int, int], voxels: int = 1) -> Box:
    """Return a box that is larger by some voxels on every side, cut at the edge of the grid."""
    parts = [slice(max(s.start - voxels, 0), min(s.stop + voxels, n)) for s, n in zip(box, shape, strict=True)]
    return parts[0], parts[1], parts[2]


def start_of(box: Box) -> NDArray[np.int64]:
    """Return the index of the first voxel of a box."""
    return np.array([part.start for part in box])


def region_of(mask: Mask, segment: str | int | None) -> tuple[int, Inside]:
    """Return the label of a segment and where it is; without a name the mask must hold exactly one segment.

    Raises:
        LabelError: no such segment, or several and none named.
    """
    label = one_label(mask) if segment is None else segment
    label = mask.label_of(label) if isinstance(label, str) else label
    return label, mask.binary(label)


def one_label(mask: Mask) -> int:
    """Return the label of the only segment.

    Raises:
        LabelError: there are several, or none.
    """
    if len(mask.segments) == 1:
        return next(iter(mask.segments))
    names = ", ".join(segment.name for segment in mask.segments.values())
    raise LabelError(
        "name the segment: the mask does not hold exactly one",
        found=f"{len(mask.segments)} segments" + (f": {names}" if names else ""),
        fix="segment=<name or label>",
    )


def check_same_grid(first: Gridded, second: Gridded) -> None:
    """Refuse two images that do not share one grid.

    Raises:
        GeometryError: names the fix.
    """
    if first.same_grid(second):
        return
    what = f"shapes {first.shape} and {second.shape}" if first.shape != second.shape else "the same shape elsewhere"
    raise GeometryError(
        "the two masks are not on one grid",
        found=what,
        expected="equal shape, and equal places to 0.001 mm",
        fix="call imaging.spatial.resample_like(mask, reference) first, or mask.reorient(...) when only axes differ",
    )


def check_orthogonal(image: Gridded, what: str) -> None:
    """Refuse a sheared grid.

    Raises:
        GeometryError: names the fix.
    """
    if image.is_sheared:
        raise GeometryError(
            f"{what} needs perpendicular axes, and this grid is sheared (tilted gantry)",
            fix="call imaging.spatial.resample(mask, spacing_mm=...) first",
        )


def steps_mm(affine: Affine, axes: tuple[int, ...] = (0, 1, 2)) -> F64:
    """Return a k x k matrix that turns index steps along some axes into mm vectors of the right length and angle.

    Diagonal with the spacings for perpendicular axes; exact for a sheared grid too.
    """
    columns = affine[:3, list(axes)]
    lengths = np.linalg.norm(columns, axis=0)
    cosines = (columns / lengths).T @ (columns / lengths)
    if np.abs(cosines - np.eye(len(axes))).max() < 1e-6:
        return np.asarray(np.diag(lengths))
    return np.asarray(np.linalg.qr(columns)[1])


def flat_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a grid that are measured along: without one of length one, a flat picture's."""
    thin = [axis for axis, length in enumerate(shape) if length == 1]
    return tuple(axis for axis in range(3) if not thin or axis != thin[0])


def outermost(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a region with a face to the outside; beyond the array is outside."""
    padded = np.pad(inside, 1)
    middle = tuple([slice(1, -1)] * inside.ndim)
    enclosed = np.ones_like(inside)
    for axis in range(inside.ndim):
        for shift in (slice(0, -2), slice(2, None)):
            enclosed &= padded[tuple(shift if a == axis else part for a, part in enumerate(middle))]
    return np.asarray(inside & ~enclosed)


def neighbourhood(connectivity: int) -> NDArray[Any]:
    """Return the structure of 6, 18 or 26 neighbours.

    Raises:
        GeometryError: another number.
    """
    ranks = {6: 1, 18: 2, 26: 3}
    if connectivity not in ranks:
        raise GeometryError("connectivity in 3-D is 6, 18 or 26", found=str(connectivity))
    return np.asarray(ndimage.generate_binary_structure(3, ranks[connectivity]))


def components(inside: Inside, connectivity: int = 26) -> tuple[NDArray[np.int32], int]:
    """Return connected parts numbered from 1 in the order of their first voxel, and how many there are."""
    labels, count = ndimage.label(inside, neighbourhood(connectivity))
    return np.asarray(labels, dtype=np.int32), int(count)
