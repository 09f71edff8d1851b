"""Lesions one by one: volume, diameters after RECIST, and place in patient words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from vesalius.core.grid import Frame
from vesalius.core.mask import Mask
from vesalius.features.radiomics.mesh import outer_vertices
from vesalius.features.spatial.lattice import F64, Inside, box_around, components, region_of, start_of, steps_mm
from vesalius.features.spatial.relations import Point, Position, extent, position_of

COLUMNS = (
    *("segment", "number", "volume_ml", "longest_mm", "short_axis_mm", "diameter_3d_mm", "slice"),
    *("centre_l_mm", "centre_p_mm", "centre_s_mm", "left_right", "front_back", "up_down"),
)


@dataclass(frozen=True, slots=True)
class Diameters:
    """The longest diameter on one plane and the longest one perpendicular to it.

    Args:
        longest_mm: RECIST 1.1 longest diameter.
        short_axis_mm: RECIST 1.1 short axis, for nodes.
        ends_mm: LPS mm of the two ends of the longest.
        slice: index along the plane axis of the mask.

    Source: Eisenhauer 2009, doi:10.1016/j.ejca.2008.10.026
    """

    longest_mm: float
    short_axis_mm: float
    ends_mm: tuple[Point, Point]
    slice: int


@dataclass(frozen=True, slots=True)
class Lesion:
    """One connected part.

    Args:
        number: from 1, largest first.
        centre_mm: centre of gravity, LPS.
        diameter_3d_mm: largest distance between two points of its surface.
        position: in the reference, None without one.
    """

    number: int
    voxels: int
    volume_ml: float
    centre_mm: Point
    diameters: Diameters
    diameter_3d_mm: float
    position: Position | None = None


@dataclass(frozen=True)
class LesionTable:
    """The lesions of one segment, largest first.

    Args:
        plane_axis: array axis that is nearest to the patient's length; diameters lie on planes across it.
        plane_angle_deg: how far these planes are from axial.
    """

    segment: str
    lesions: tuple[Lesion, ...]
    plane_axis: int
    plane_angle_deg: float

    def __iter__(self) -> Iterator[Lesion]:
        """Yield the lesions."""
        return iter(self.lesions)

    def __len__(self) -> int:
        """Return the number of lesions."""
        return len(self.lesions)

    @property
    def volume_ml(self) -> float:
        """Return the volume of all of them."""
        return sum(lesion.volume_ml for lesion in self.lesions)

    def to_csv(self) -> str:
        """Return comma-separated text with one header line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for lesion in self.lesions:
            size = lesion.diameters
            words = lesion.position.words if lesion.position is not None else ("", "", "")
            numbers = (lesion.volume_ml, size.longest_mm, size.short_axis_mm, lesion.diameter_3d_mm)
            where = (round(value, 3) for value in lesion.centre_mm)
            rounded = (round(value, 4) for value in numbers)
            writer.writerow((self.segment, lesion.number, *rounded, size.slice, *where, *map(str, words)))
        return text.getvalue()


@dataclass(frozen=True, eq=False)
class _Part:
    """One lesion cut out of its mask."""

    inside: Inside
    start: NDArray[np.int64]


def lesion_table(
    mask: Mask,
    segment: str | int | None = None,
    *,
    reference: Mask | None = None,
    reference_segment: str | int | None = None,
    connectivity: int = 26,
    smallest_ml: float = 0.0,
) -> LesionTable:
    """Return the connected parts of a segment with their sizes and places; none for an empty segment.

    Diameters run from voxel edge to voxel edge. They are measured on the stored planes nearest to axial; where
    `plane_angle_deg` is large, resample to an axial grid first.

    Args:
        reference: an organ in whose extent the places are told; it need not be on the same grid.
        smallest_ml: smaller parts are left out.

    Raises:
        GeometryError: a reference and no patient directions; a connectivity other than 6, 18, 26.
        ImageContentError: the reference is empty.
        LabelError: no such segment, or several and none named.
        UnknownSpacingError: the pixel size is not known.
    """
    mask.require_spacing()
    label, inside = region_of(mask, segment)
    axis, angle = _axial(mask)
    ends = None if reference is None else extent(reference, reference_segment)
    parts = _parts(inside, connectivity, smallest_ml / mask.voxel_volume_mm3 * 1000)
    lesions = tuple(_lesion(number, part, mask, axis, ends) for number, part in enumerate(parts, start=1))
    return LesionTable(mask.segments[label].name, lesions, axis, angle)


def _axial(mask: Mask) -> tuple[int, float]:
    """Return the array axis whose planes are nearest to axial, and the angle between them in degrees.

    Of a single slice, that slice is the plane.
    """
    if mask.frame is not Frame.PATIENT:
        return 0, 0.0
    columns = mask.affine[:3, :3]
    normals = np.stack([np.cross(columns[:, (a + 1) % 3], columns[:, (a + 2) % 3]) for a in range(3)])
    upright = np.abs(normals[:, 2]) / np.linalg.norm(normals, axis=1)
    thin = [axis for axis, length in enumerate(mask.shape) if length == 1]
    axis = thin[0] if thin else int(upright.argmax())
    return axis, float(np.degrees(np.arccos(min(upright[axis], 1.0))))


def _parts(inside: Inside, connectivity: int, smallest: float) -> list[_Part]:
    """Return connected parts of at least so many voxels, largest first."""
    box = box_around(inside)
    if box is None:
        return []
    labels, count = components(inside[box], connectivity)
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    order = [number for number in np.argsort(-sizes, kind="stable") if sizes[number] >= smallest]
    return [_Part(labels[boxes[n]] == n + 1, start_of(boxes[n]) + start_of(box)) for n in order]


def _lesion(number: int, part: _Part, mask: Mask, axis: int, ends: F64 | None) -> Lesion:
    count = int(np.count_nonzero(part.inside))
    centre = mask.index_to_world(np.argwhere(part.inside).mean(axis=0) + part.start)
    corners = outer_vertices(part.inside) @ steps_mm(mask.affine).T
    return Lesion(
        number=number,
        voxels=count,
        volume_ml=count * mask.voxel_volume_mm3 / 1000,
        centre_mm=_point(centre),
        diameters=_diameters(part, mask, axis),
        diameter_3d_mm=float(pdist(_hull(corners)).max()),
        position=None if ends is None else position_of(centre, ends),
    )


def _diameters(part: _Part, mask: Mask, axis: int) -> Diameters:
    """Return the diameters on the plane where the longest is longest."""
    others = [other for other in range(3) if other != axis]
    steps = steps_mm(mask.affine, (others[0], others[1]))
    planes = [_rim(plane) for plane in np.moveaxis(part.inside, axis, 0)]
    # The diagonal of its box bounds the diameter of a plane: the largest first, and most need no closer look.
    bounds = [float(np.linalg.norm(np.abs(steps) @ np.ptp(rim, axis=0))) if len(rim) else 0.0 for rim in planes]
    best: tuple[float, int, F64, tuple[int, int]] = (-1.0, 0, np.zeros((0, 2)), (0, 0))
    for index in np.argsort(-np.array(bounds), kind="stable").tolist():
        if bounds[index] <= best[0]:
            break
        corners = _hull(planes[index] @ steps.T)
        apart = squareform(pdist(corners))
        i, j = np.unravel_index(int(apart.argmax()), apart.shape)
        if apart[i, j] > best[0]:
            best = float(apart[i, j]), index, corners, (int(i), int(j))
    longest, plane, corners, (one, other) = best
    ends = []
    for corner in (corners[one], corners[other]):
        place = np.empty(3)
        place[axis], place[others] = plane, np.linalg.solve(steps, corner)
        ends.append(_point(mask.index_to_world(place + part.start)))
    return Diameters(longest, _across(corners, one, other), (ends[0], ends[1]), plane + int(part.start[axis]))


def _rim(plane: NDArray[np.bool_]) -> F64:
    """Return the outer edge middles of the ends of every row and column, all corners of the hull among them."""
    found = []
    for turned, order in ((plane, (0, 1)), (plane.T, (1, 0))):
        lines = np.flatnonzero(turned.any(axis=1))
        first = turned[lines].argmax(axis=1) - 0.5
        last = turned.shape[1] - 0.5 - turned[lines, ::-1].argmax(axis=1)
        for ends in (first, last):
            found.append(np.stack([lines, ends], axis=1)[:, order])
    return np.concatenate(found)


def _hull(points: F64) -> F64:
    """Return the corners of the convex hull, in order around it in 2-D."""
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return points


def _across(corners: F64, i: int, j: int) -> float:
    """Return the longest chord of a convex outline perpendicular to the line between two of its corners."""
    along = (corners[j] - corners[i]) / np.linalg.norm(corners[j] - corners[i])
    turned = corners @ np.array([along, [-along[1], along[0]]]).T
    start, end = turned, np.roll(turned, -1, axis=0)
    longest = 0.0
    # The chord is a concave function along the line, straight between corners: its maximum is at one of them.
    for place in turned[:, 0]:
        low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
        hit = (low <= place) & (place <= high) & (high > low)
        share = (place - start[hit, 0]) / (end[hit, 0] - start[hit, 0])
        heights = start[hit, 1] + share * (end[hit, 1] - start[hit, 1])
        longest = max(longest, float(np.ptp(heights)) if hit.any() else 0.0)
    return longest


def _point(values: F64) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
