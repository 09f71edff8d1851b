"""How two masks lie to each other, and where something is in the patient's own words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.grid import Frame
from vesalius.core.mask import Mask
from vesalius.features.spatial.lattice import (
    F64,
    Inside,
    box_around,
    check_same_grid,
    outermost,
    region_of,
    start_of,
)

Point = tuple[float, float, float]
ONE_SIDE = 0.8
"""Share of a region on one side of the middle from which it is called left or right, else both."""
MIDDLE = (1 / 3, 2 / 3)
"""Part of the extent of a reference that is called its middle."""


class Word(StrEnum):
    """A direction in the patient, not on the screen."""

    RIGHT = "right"
    LEFT = "left"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    INFERIOR = "inferior"
    SUPERIOR = "superior"
    MIDDLE = "middle"
    BOTH = "both"


_ENDS = ((Word.RIGHT, Word.LEFT), (Word.ANTERIOR, Word.POSTERIOR), (Word.INFERIOR, Word.SUPERIOR))


@dataclass(frozen=True, slots=True)
class Relation:
    """How a first region lies to a second one.

    Args:
        gap_mm: smallest distance between the voxels as boxes; 0 when they touch or overlap. Exact for perpendicular
            axes, between corners for sheared ones.
        nearest_mm: LPS mm of the two places that are that far apart.
        centres_mm: distance of the centres of gravity.
        contact_mm2: area of the voxel faces between them, overlap left out.
        inside: share of the first that lies in the second, 0..1.
        contains: share of the second that lies in the first, 0..1.
        enclosed: all of the first lies in the second or in holes that it closes in.
    """

    gap_mm: float
    nearest_mm: tuple[Point, Point]
    centres_mm: float
    contact_mm2: float
    inside: float
    contains: float
    enclosed: bool

    @property
    def touches(self) -> bool:
        """Return whether they overlap or share a face, an edge or a corner."""
        return self.gap_mm == 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where the centre of a region lies in the extent of a reference.

    Args:
        fractions: 0..1 from right to left, anterior to posterior, inferior to superior; beyond when outside.
        words: one per direction, `middle` in the middle third.
    """

    fractions: Point
    words: tuple[Word, Word, Word]


@dataclass(frozen=True, slots=True)
class Laterality:
    """On which side of the middle of a reference a region lies; `left_share` is the part on the patient's left."""

    side: Word
    left_share: float

    @property
    def letter(self) -> str:
        """Return L or R as in DICOM, "" for both."""
        return {Word.LEFT: "L", Word.RIGHT: "R"}.get(self.side, "")


def relation(
    first: Mask, second: Mask, first_segment: str | int | None = None, second_segment: str | int | None = None
) -> Relation:
    """Return how a segment of one mask lies to a segment of another, or of the same, mask.

    Raises:
        GeometryError: the masks are not on one grid.
        ImageContentError: one of the segments has no voxel.
        LabelError: no such segment, or several and none named.
        UnknownSpacingError: the pixel size is not known.
    """
    check_same_grid(first, second)
    first.require_spacing()
    one, other = filled_region(first, first_segment), filled_region(second, second_segment)
    box = box_around(one, other)
    if box is None:
        raise ImageContentError("both segments are empty")
    start, (one, other) = start_of(box), (one[box], other[box])
    both, counts = int(np.count_nonzero(one & other)), [int(np.count_nonzero(part)) for part in (one, other)]
    gap, ends = _gap(one, other, first, start)
    centres = [first.index_to_world(np.argwhere(part).mean(axis=0) + start) for part in (one, other)]
    return Relation(
        gap_mm=gap,
        nearest_mm=(_point(ends[0]), _point(ends[1])),
        centres_mm=float(np.linalg.norm(centres[0] - centres[1])),
        contact_mm2=_contact(one, other, first.affine[:3, :3]),
        inside=both / counts[0],
        contains=both / counts[1],
        enclosed=bool(ndimage.binary_fill_holes(other)[one].all()),
    )


def filled_region(mask: Mask, segment: str | int | None) -> Inside:
    """Return where a segment is.

    Raises:
        ImageContentError: it has no voxel.
    """
    label, inside = region_of(mask, segment)
    if not inside.any():
        raise ImageContentError(
            "the segment has no voxel",
            found=f"segment {mask.segments[label].name} with label {label}",
            expected="at least one voxel",
            fix="leave empty segments out: mask.volume_ml(segment) > 0",
        )
    return inside


def _gap(one: Inside, other: Inside, grid: Mask, start: NDArray[np.int64]) -> tuple[float, tuple[F64, F64]]:
    """Return the smallest distance between the voxels as boxes, and its ends in LPS mm.

    On one lattice the nearest points of two boxes are always corners, so that corners are all that need be compared.
    """
    corners = [_corners(part) for part in (one, other)]
    places = [grid.index_to_world(found + start - 0.5) for found in corners]
    if np.count_nonzero(one & other):
        here = grid.index_to_world(np.argwhere(one & other)[0] + start)
        return 0.0, (here, here)
    far, nearest = cKDTree(places[1]).query(places[0])
    at = int(far.argmin())
    return float(far[at]), (places[0][at], places[1][int(nearest[at])])


def _corners(inside: Inside) -> NDArray[np.int64]:
    """Return the corners of the outer voxels, as indices of the voxel behind each."""
    rim = np.argwhere(outermost(inside))
    steps = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
    return np.asarray(np.unique((rim[:, None] + steps).reshape(-1, 3), axis=0))


def _contact(one: Inside, other: Inside, matrix: F64) -> float:
    """Return the area of faces with a voxel of one alone on this side and of the other alone on that."""
    alone, second = one & ~other, other & ~one
    total = 0.0
    for axis in range(3):
        area = float(np.linalg.norm(np.cross(*np.delete(matrix, axis, axis=1).T)))
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(0, -1), slice(1, None)
        below, above = tuple(low), tuple(high)
        faces = np.count_nonzero(alone[below] & second[above]) + np.count_nonzero(second[below] & alone[above])
        total += area * int(faces)
    return total


def laterality(
    mask: Mask, reference: Mask, segment: str | int | None = None, reference_segment: str | int | None = None
) -> Laterality:
    """Return whether a region is left or right of the middle of a reference, such as the body or both lungs.

    The middle is halfway between the reference's outermost points to the patient's right and left.

    Raises:
        GeometryError: the image has no patient directions.
        ImageContentError: an empty segment.
    """
    across = _places(mask, segment)[:, 0]
    ends = _places(reference, reference_segment)[:, 0]
    share = float(np.mean(across > (ends.min() + ends.max()) / 2))
    side = Word.LEFT if share >= ONE_SIDE else Word.RIGHT if share <= 1 - ONE_SIDE else Word.BOTH
    return Laterality(side, share)


def position(
    mask: Mask, reference: Mask, segment: str | int | None = None, reference_segment: str | int | None = None
) -> Position:
    """Return where the centre of a region lies in a reference, such as a nodule in its lung, in patient words.

    Raises:
        GeometryError: the image has no patient directions.
        ImageContentError: an empty segment.
    """
    return position_of(_places(mask, segment).mean(axis=0), extent(reference, reference_segment))


def extent(reference: Mask, segment: str | int | None = None) -> F64:
    """Return the lowest and highest LPS mm of voxel centres of a segment, shape (2, 3)."""
    places = _places(reference, segment)
    return np.array([places.min(axis=0), places.max(axis=0)])


def position_of(point_mm: F64, ends_mm: F64) -> Position:
    """Return the position of an LPS point between the ends of a reference."""
    size = np.where(np.ptp(ends_mm, axis=0) > 0, np.ptp(ends_mm, axis=0), 1.0)
    along = (point_mm - ends_mm[0]) / size
    words = [
        low if value < MIDDLE[0] else high if value > MIDDLE[1] else Word.MIDDLE
        for value, (low, high) in zip(along, _ENDS, strict=True)
    ]
    return Position(_point(along), (words[0], words[1], words[2]))


def _places(mask: Mask, segment: str | int | None) -> F64:
    """Return LPS mm of the voxels of a segment."""
    if mask.frame is not Frame.PATIENT:
        raise GeometryError(
            "left and right of the patient are not known in a flat picture",
            found=f"frame {mask.frame.value}",
            expected="an image in patient coordinates",
            fix="load the DICOM or NIfTI original instead of a picture of it",
        )
    return mask.index_to_world(np.argwhere(filled_region(mask, segment)))


def _point(values: F64) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
