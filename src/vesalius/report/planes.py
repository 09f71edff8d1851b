"""Planes as radiologists read them: which way is right and down, where a slice lies, what it shows.

The planes follow the image's own axes (greys stay as acquired), made orthogonal when a gantry was tilted. Axial is
seen from the feet with anterior up, coronal from the front with superior up, sagittal from the patient's left with
anterior to the left; the patient's right is on the left. Vectors and points are LPS mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import AxisKind
from vesalius.core.errors import UnknownNameError
from vesalius.core.grid import Frame, Gridded, Spacing, parse_orientation
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume

Vector = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, right, top and bottom of a view in mm along the plane's right and down directions."""

PLANES = {
    "axial": ((0, 1), (1, 1), (2, 1)),
    "coronal": ((0, 1), (2, -1), (1, 1)),
    "sagittal": ((1, 1), (2, -1), (0, 1)),
}
"""Plane -> (patient axis, sign) of screen right, screen down and the normal, with 0 = L, 1 = P, 2 = S."""

OBLIQUE = 0.26
"""Share of a direction (sine of 15 degrees) from which a second orientation letter is shown."""

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
_SCAN_VOXELS = 2_000_000
"""About how many voxels are looked at to find what a view must show."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Unit vectors of a view: screen right, screen down, and the normal along which slices are counted."""

    name: str
    right: Vector
    down: Vector
    normal: Vector

    def edge_letters(self) -> tuple[str, str, str, str]:
        """Return the orientation letters of the left, right, top and bottom edge."""
        return letters(-self.right), letters(self.right), letters(-self.down), letters(self.down)

    def position(self, point_mm: Vector) -> tuple[str, float]:
        """Return the slice position as the letter of its side and the distance from the origin in mm."""
        distance = float(point_mm @ self.normal)
        side = letters(self.normal if distance >= 0 else -self.normal)[0]
        return side, abs(distance)

    def project(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates along (right, down) in mm, shape (..., 2)."""
        return points_mm @ np.stack([self.right, self.down], axis=1)


def plane(image: Gridded, name: str) -> Plane:
    """Return the view of this name that follows the image's own axes.

    Raises:
        UnknownNameError: the plane is not axial, coronal or sagittal.
    """
    if name not in PLANES:
        raise UnknownNameError("unknown plane", found=repr(name), expected=", ".join(PLANES))
    frame = patient_frame(image)
    right, down, normal = (sign * frame[axis] for axis, sign in PLANES[name])
    return Plane(name, right, down, normal)


def patient_frame(image: Gridded) -> NDArray[np.float64]:
    """Return three orthonormal rows: the image's directions nearest to the patient's left, posterior and superior."""
    directions = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    rows = np.empty((3, 3))
    for axis, (world, sign) in enumerate(parse_orientation(image.orientation)):
        rows[world] = sign * directions[:, axis]
    left, _, right = np.linalg.svd(rows)
    frame: NDArray[np.float64] = left @ right
    return frame


def letters(direction: Vector) -> str:
    """Return the nearest orientation letter of an LPS direction, two or three when it is oblique ("AR")."""
    unit = direction / np.linalg.norm(direction)
    order = sorted(range(3), key=lambda axis: -abs(unit[axis]))
    shown = [axis for index, axis in enumerate(order) if index == 0 or abs(unit[axis]) > OBLIQUE]
    return "".join(_LETTERS[axis][int(unit[axis] > 0)] for axis in shown)


def is_flat(volume: Volume) -> bool:
    """Return whether the picture has no patient planes: a photograph or a radiograph."""
    return volume.frame is Frame.IMAGE


def first_element(volume: Volume) -> Volume:
    """Return a scalar volume: the first element of a fourth axis that does not count colours."""
    if volume.axis is None or volume.axis.kind is AxisKind.RGB:
        return volume
    return volume.element(0)


def robust_window(volume: Volume) -> tuple[float, float]:
    """Return the 0.5 and 99.5 percentile of the finite voxels, one apart at least."""
    values = _thinned(volume.array).astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (0.5, 99.5)) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1.0 if high <= low else high))


def view_box(volume: Volume, mask: Mask | None, view: Plane, low: float, margin_mm: float = 6.0) -> Box:
    """Return the part of the plane worth showing: where voxels exceed `low` or the mask lies, with a margin.

    The whole field of view when that is nothing; never flatter than about a third of its length, so that labels fit.
    """
    boxes = [box for image, bound in ((volume, low), (mask, 0.0)) if (box := _content(image, bound)) is not None]
    whole = np.array([(0, 0, 0), np.array(volume.shape) - 1], dtype=np.float64)
    corners = np.concatenate([_corners(image, box) for image, box in boxes] or [_corners(volume, whole)])
    flat = view.project(corners)
    limit = view.project(_corners(volume, whole))
    start = np.maximum(flat.min(axis=0) - margin_mm, limit.min(axis=0) - margin_mm)
    stop = np.minimum(flat.max(axis=0) + margin_mm, limit.max(axis=0) + margin_mm)
    short = np.maximum(0.0, 0.35 * float((stop - start).max()) - (stop - start)) / 2
    start, stop = start - short, stop + short
    return float(start[0]), float(stop[0]), float(start[1]), float(stop[1])


def sample(volume: Volume, view: Plane, point_mm: Vector, box: Box, step_mm: float) -> NDArray[np.float32]:
    """Return the slice through a point, [down, right] (linear between voxels); NaN outside the image."""
    return _interpolate(volume.array, volume, _grid(view, point_mm, box, step_mm), np.nan)


def sample_label(
    mask: Mask, label: int, view: Plane, point_mm: Vector, box: Box, step_mm: float
) -> NDArray[np.float32]:
    """Return how much of a label is at each point of the slice, 0..1; its border is the 0.5 line."""
    points = _grid(view, point_mm, box, step_mm)
    return _interpolate(mask.array, mask, points, 0.0, label)


def native_step_mm(volume: Volume, box: Box, most: int = 512) -> float:
    """Return the pixel size of a drawn slice: the image's finest spacing, never more than `most` pixels a side."""
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return float(max(lengths.min(), (box[1] - box[0]) / most, (box[3] - box[2]) / most))


def flat_pixels(volume: Volume) -> tuple[NDArray[Any], tuple[float, float], bool]:
    """Return a flat picture's pixels, its pixel size (row, column) and whether that is in millimetres."""
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return volume.array[0], (float(lengths[1]), float(lengths[2])), volume.spacing is Spacing.CALIBRATED


def _grid(view: Plane, point_mm: Vector, box: Box, step_mm: float) -> NDArray[np.float64]:
    right = np.arange(box[0], box[1] + step_mm / 2, step_mm)
    down = np.arange(box[2], box[3] + step_mm / 2, step_mm)
    depth = float(point_mm @ view.normal) * view.normal
    grid: NDArray[np.float64] = depth + down[:, None, None] * view.down + right[None, :, None] * view.right
    return grid


def _interpolate(
    array: NDArray[Any], image: Gridded, points: NDArray[np.float64], outside: float, label: int | None = None
) -> NDArray[np.float32]:
    """Return linear samples at LPS points; only the slab that the points touch is read."""
    from scipy import ndimage

    index = image.world_to_index(points)
    shape = np.array(image.shape)
    start = np.clip(np.floor(index.reshape(-1, 3).min(axis=0)).astype(int) - 1, 0, shape - 1)
    stop = np.clip(np.ceil(index.reshape(-1, 3).max(axis=0)).astype(int) + 2, start + 1, shape)
    slab = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    slab = (slab == label).astype(np.float32) if label is not None else slab.astype(np.float32)
    inside = ((index >= -0.5) & (index <= shape - 0.5)).all(axis=-1)
    values = ndimage.map_coordinates(slab, np.moveaxis(index - start, -1, 0), order=1, mode="nearest")
    return np.where(inside, values, np.float32(outside)).astype(np.float32)


def _thinned(array: NDArray[Any]) -> NDArray[Any]:
    stride = max(1, round((array.size / _SCAN_VOXELS) ** (1 / 3)))
    return array[::stride, ::stride, ::stride]


def _content(image: Gridded | None, low: float) -> tuple[Gridded, NDArray[np.float64]] | None:
    """Return the index box of voxels above a value, specks left out; None when there are none."""
    if image is None:
        return None
    stride = [max(1, round((image.array.size / _SCAN_VOXELS) ** (1 / 3)))] * 3
    stride = [min(step, max(1, n // 8)) for step, n in zip(stride, image.shape, strict=True)]
    part = image.array[:: stride[0], :: stride[1], :: stride[2]]
    above = np.asarray(part > low) if part.ndim == 3 else np.asarray((part > low).any(axis=3))
    bounds = [_extent(above, axis, step) for axis, step in enumerate(stride)]
    if any(bound is None for bound in bounds):
        return None
    return image, np.array(bounds, dtype=np.float64).T


def _extent(above: NDArray[np.bool_], axis: int, step: int, speck: float = 0.004) -> tuple[int, int] | None:
    others = tuple(other for other in range(3) if other != axis)
    share = above.mean(axis=others)
    where = np.flatnonzero(share > min(speck, share.max() / 4))
    return (int(where[0]) * step, int(where[-1] + 1) * step - 1) if where.size else None


def _corners(image: Gridded, box: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = box[0], box[1]
    index = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)], dtype=np.float64)
    return image.index_to_world(index)
