"""Grids in patient space: the affine algebra that `Volume` and `Mask` share.

The affine maps an array index (slice, row, column) to LPS millimetres. Axis codes name the direction in which
each array axis grows, with the letters L R, P A, S I; an axial stack as scanners write it is "SPL".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import GeometryError, UnknownSpacingError
from vesalius.core.step import Step

Affine = NDArray[np.float64]

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
SHEAR_TOLERANCE = 1e-3
"""Largest |cosine| between two array axes that still counts as orthogonal (0.06 degrees)."""


class Frame(StrEnum):
    """Whether world coordinates are a patient's or those of a flat picture."""

    PATIENT = "patient"
    IMAGE = "image"


class Spacing(StrEnum):
    """How far pixel sizes can be trusted.

    `calibrated` at the patient, `detector` at the detector (projection radiography), `unknown` not told by the format.
    """

    CALIBRATED = "calibrated"
    DETECTOR = "detector"
    UNKNOWN = "unknown"


def all_orientations() -> tuple[str, ...]:
    """Return the 48 axis codes, such as "SPL"."""
    orders = itertools.permutations(range(3))
    codes = ("".join(_LETTERS[w][s] for w, s in zip(o, signs, strict=True)) for o in orders for signs in _signs())
    return tuple(codes)


def _signs() -> itertools.product[tuple[int, ...]]:
    return itertools.product((0, 1), repeat=3)


def orientation_of(affine: Affine) -> str:
    """Return the axis code nearest to the affine, by the assignment that maximises the summed |cosines|."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = max(itertools.permutations(range(3)), key=lambda o: sum(abs(directions[o[i], i]) for i in range(3)))
    return "".join(_LETTERS[w][int(directions[w, i] > 0)] for i, w in enumerate(order))


def parse_orientation(code: str) -> tuple[tuple[int, int], ...]:
    """Return (world axis, sign) per array axis for a code such as "SPL".

    Raises:
        GeometryError: the code is not one of the 48.
    """
    found = [
        (world, 1 if letter == pair[1] else -1)
        for letter in code.upper()
        for world, pair in enumerate(_LETTERS)
        if letter in pair
    ]
    if len(code) != 3 or sorted(world for world, _ in found) != [0, 1, 2]:
        raise GeometryError(
            "not an axis code",
            found=repr(code),
            expected="three letters, one each of L/R, P/A, S/I, naming the direction in which each array axis grows",
            fix='for instance "SPL" (axial as scanners write it) or "RAS" (NIfTI order)',
        )
    return tuple(found)


def check_affine(affine: ArrayLike) -> Affine:
    """Return a read-only float64 copy.

    Raises:
        GeometryError: not a finite, invertible 4x4 with last row 0 0 0 1.
    """
    matrix = np.array(affine, dtype=np.float64, copy=True)
    if matrix.shape != (4, 4) or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise GeometryError("an affine is a 4x4 matrix whose last row is 0 0 0 1", found=f"shape {matrix.shape}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or (lengths == 0).any():
        raise GeometryError("the affine holds a zero axis or a value that is not finite", found=str(matrix.tolist()))
    if abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise GeometryError("the affine is singular: two array axes are parallel", found=str(matrix.tolist()))
    matrix.flags.writeable = False
    return matrix


def translated(affine: Affine, index: ArrayLike) -> Affine:
    """Return the affine whose origin is the given (possibly fractional) index of the old one."""
    result = affine.copy()
    result[:3, 3] = affine[:3, :3] @ np.asarray(index, dtype=np.float64) + affine[:3, 3]
    return result


@dataclass(frozen=True, eq=False)
class Gridded:
    """An array on a grid in LPS millimetres; `Volume` and `Mask` are the two kinds.

    Args:
        array: [slice, row, column] or [slice, row, column, n]; kept C-ordered and read-only, never copied when it
            already is C-ordered.
        affine: 4x4, array index (slice, row, column) to LPS millimetres.
        frame: patient or image coordinates.
        spacing: how far the pixel sizes can be trusted.
        history: what was done to the image.
    """

    array: NDArray[Any]
    affine: Affine
    frame: Frame = Frame.PATIENT
    spacing: Spacing = Spacing.CALIBRATED
    history: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the array and the affine."""
        array = np.ascontiguousarray(self.array)
        view = array.view()
        view.flags.writeable = False
        object.__setattr__(self, "array", view)
        object.__setattr__(self, "affine", check_affine(self.affine))
        object.__setattr__(self, "frame", Frame(self.frame))
        object.__setattr__(self, "spacing", Spacing(self.spacing))
        object.__setattr__(self, "history", tuple(self.history))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (slices, rows, columns)."""
        return self.array.shape[0], self.array.shape[1], self.array.shape[2]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Return the distance between neighbours along (slice, row, column) in mm.

        Raises:
            UnknownSpacingError: the format did not tell.
        """
        self.require_spacing()
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def voxel_volume_mm3(self) -> float:
        """Return the volume of one voxel in cubic millimetres, exact also for a sheared grid."""
        self.require_spacing()
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> str:
        """Return the nearest axis code, such as "SPL"."""
        return orientation_of(self.affine)

    @property
    def is_sheared(self) -> bool:
        """Return whether the array axes are not orthogonal, as with a tilted gantry."""
        unit = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        cosines = unit.T @ unit - np.eye(3)
        return bool(np.abs(cosines).max() > SHEAR_TOLERANCE)

    def require_spacing(self) -> None:
        """Raise unless millimetres mean something.

        Raises:
            UnknownSpacingError: spacing is unknown.
        """
        if self.spacing is Spacing.UNKNOWN:
            raise UnknownSpacingError(
                "this function works in millimetres and the image does not tell its pixel size",
                expected="an image with calibrated spacing",
                fix="give the pixel size explicitly: volume.calibrated((slice_mm, row_mm, column_mm))",
            )

    def same_grid(self, other: Gridded, tolerance_mm: float = 1e-3) -> bool:
        """Return whether both have the same shape and every corner voxel at the same place."""
        if self.shape != other.shape or self.frame != other.frame:
            return False
        corners = np.array(list(itertools.product(*[(0, n - 1) for n in self.shape])), dtype=np.float64)
        apart = self.index_to_world(corners) - other.index_to_world(corners)
        return bool(np.linalg.norm(apart, axis=1).max() <= tolerance_mm)

    def index_to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Return LPS mm of indices (slice, row, column), shape (..., 3); fractions allowed."""
        points = np.asarray(index, dtype=np.float64)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def world_to_index(self, point_mm: ArrayLike) -> NDArray[np.float64]:
        """Return fractional indices (slice, row, column) of LPS mm points, shape (..., 3)."""
        points = np.asarray(point_mm, dtype=np.float64) - self.affine[:3, 3]
        return points @ np.linalg.inv(self.affine[:3, :3]).T

    def centre_mm(self) -> NDArray[np.float64]:
        """Return the LPS mm position of the middle of the grid."""
        return self.index_to_world((np.array(self.shape) - 1) / 2)

    def done(self, operation: str, **parameters: object) -> tuple[Step, ...]:
        """Return the history with one more step, for use in `dataclasses.replace`."""
        return (*self.history, Step(operation, parameters))

    def calibrated(self, spacing_mm: tuple[float, float, float]) -> Self:
        """Return the same image with the given voxel size, calibrated by the caller's word."""
        if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
            raise GeometryError("spacing is three positive numbers of mm (slice, row, column)", found=str(spacing_mm))
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        affine = self.affine.copy()
        affine[:3, :3] *= np.asarray(spacing_mm) / lengths
        history = self.done("calibrate", spacing_mm=tuple(spacing_mm))
        return replace(self, affine=affine, spacing=Spacing.CALIBRATED, history=history)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Self:
        """Return the part from index `start` to before `stop`.

        Raises:
            GeometryError: the box is empty or leaves the grid.
        """
        fits = all(0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True))
        if not fits:
            raise GeometryError(
                "the crop box is empty or leaves the image",
                found=f"{tuple(start)} to {tuple(stop)}",
                expected=f"0 <= start < stop <= {self.shape} along slice, row and column",
            )
        part = self.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        history = self.done("crop", start=tuple(start), stop=tuple(stop))
        return replace(self, array=part.copy(), affine=translated(self.affine, start), history=history)

    def pad(self, before: tuple[int, int, int], after: tuple[int, int, int], *, value: float = 0) -> Self:
        """Return a larger image, `value` around the old one.

        Raises:
            GeometryError: a negative width, or a value that the voxel type cannot hold.
        """
        if min(*before, *after) < 0:
            raise GeometryError("pad widths are not negative", found=f"{before}, {after}", fix="use crop to remove")
        if self.array.dtype.type(value) != value:
            raise GeometryError(f"the pad value {value} does not fit the voxel type {self.array.dtype}")
        widths = [*zip(before, after, strict=True), *([(0, 0)] * (self.array.ndim - 3))]
        array = np.pad(self.array, widths, constant_values=value)
        history = self.done("pad", before=tuple(before), after=tuple(after), value=value)
        origin = -np.asarray(before, dtype=np.float64)
        return replace(self, array=array, affine=translated(self.affine, origin), history=history)

    def flip(self, axis: int) -> Self:
        """Return the image with one array axis (0 slice, 1 row, 2 column) reversed; every voxel keeps its place."""
        if axis not in (0, 1, 2):
            raise GeometryError("only the three spatial axes can be flipped", found=str(axis), expected="0, 1 or 2")
        index = [0, 0, 0]
        index[axis] = self.shape[axis] - 1
        affine = translated(self.affine, index)
        affine[:3, axis] *= -1
        return replace(self, array=np.flip(self.array, axis), affine=affine, history=self.done("flip", axis=axis))

    def transpose(self, order: tuple[int, int, int]) -> Self:
        """Return the image with its spatial axes in another order; every voxel keeps its place."""
        if sorted(order) != [0, 1, 2]:
            raise GeometryError("an order names each of the axes 0, 1 and 2 once", found=str(order))
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, list(order)]
        array = self.array.transpose(*order, *range(3, self.array.ndim))
        return replace(self, array=array, affine=affine, history=self.done("transpose", order=tuple(order)))

    def reorient(self, code: str) -> Self:
        """Return the image with axes nearest to an axis code such as "SPL"; voxels are moved, never interpolated.

        Raises:
            GeometryError: the code is not one of the 48.
        """
        wanted, current = parse_orientation(code), parse_orientation(self.orientation)
        order = tuple([world for world, _ in current].index(world) for world, _ in wanted)
        flips = [
            axis
            for axis, (source, (_, sign)) in enumerate(zip(order, wanted, strict=True))
            if current[source][1] != sign
        ]
        result = self.transpose((order[0], order[1], order[2]))
        for axis in flips:
            result = result.flip(axis)
        return replace(result, history=self.done("reorient", code=code.upper()))
