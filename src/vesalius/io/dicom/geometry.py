"""Whether planes form a grid: the verdict, the affine, and the names of the slices that spoil it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Frame, Geometry, Message, Spacing, Verdict
from vesalius.core.grid import SHEAR_TOLERANCE
from vesalius.io.dicom.planes import Plane

SAME_PLACE_MM: Final = 0.005
"""Two planes closer than this along the normal lie at one position."""
PLACE_TOLERANCE_MM: Final = 0.01
PLACE_TOLERANCE: Final = 0.02
"""A slice may lie off the regular grid by the larger of 0.01 mm and 2 % of the slice distance: scanners round positions
to between 0.001 and 0.1 mm."""
WHOLE_GAP_TOLERANCE: Final = 0.1
"""A gap that is a whole number of slice distances within this share is a gap of missing slices."""
NAMED_SLICES: Final = 8

Namer = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Line:
    """Positions of a stack in LPS mm, sorted, and their coordinates along the unit normal."""

    points: NDArray[np.float64]
    along: NDArray[np.float64]
    normal: NDArray[np.float64]


def normal_of(plane: Plane) -> NDArray[np.float64]:
    """Return the unit normal of a placed plane, row direction x column direction."""
    normal = np.cross(plane.row or (), plane.column or ())
    result: NDArray[np.float64] = normal / np.linalg.norm(normal)
    return result


def along_normal(plane: Plane, normal: NDArray[np.float64]) -> float:
    """Return the coordinate of a placed plane along a unit normal in mm."""
    return float(np.array(plane.position) @ normal)


def flat(rows: int, columns: int, spacing_mm: tuple[float, float] | None, status: Spacing, slices: int = 1) -> Geometry:
    """Return the geometry of a picture without a place in a patient: x along columns, y along rows.

    Its verdict is unknown: there is no grid in space to judge.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    if spacing_mm is not None and status is not Spacing.UNKNOWN:
        affine[:3, 1] *= spacing_mm[0]
        affine[:3, 2] *= spacing_mm[1]
    else:
        status = Spacing.UNKNOWN
    return Geometry((slices, rows, columns), affine, Verdict.UNKNOWN, Frame.IMAGE, status)


def of_stack(planes: Sequence[Plane], shape: tuple[int, int], status: Spacing, name: Namer) -> Geometry:
    """Return the geometry of placed planes, one per position, sorted along their normal.

    Args:
        planes: one per level, in stack order.
        shape: rows and columns.
        status: how far the pixel size is trusted.
        name: gives the name of the i-th plane for messages.
    """
    plane = planes[0]
    normal = normal_of(plane)
    points = np.array([p.position for p in planes], dtype=np.float64)
    line = _Line(points, points @ normal, normal)
    if len(planes) == 1:
        depth = plane.thickness_mm or plane.between_mm
        affine = affine_of(plane, normal * (depth or 1.0))
        reasons = () if depth else (Message("io.dicom.thickness_unknown"),)
        status = status if depth else Spacing.UNKNOWN
        return Geometry((1, *shape), affine, Verdict.REGULAR, Frame.PATIENT, status, reasons, plane.thickness_mm)
    step = (points[-1] - points[0]) / (len(points) - 1)
    off = _off_grid(line, step)
    if not off.any():
        affine = affine_of(plane, step)
        verdict = Verdict.SHEARED if _is_sheared(affine) else Verdict.REGULAR
        return Geometry((len(planes), *shape), affine, verdict, Frame.PATIENT, status, (), plane.thickness_mm)
    return _irregular(planes, shape, status, line, name)


def affine_of(plane: Plane, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of a stack that begins at a placed plane and advances by `step` mm."""
    affine = np.eye(4)
    between_rows, between_columns = plane.spacing_mm or (1.0, 1.0)
    affine[:3, 0] = step
    affine[:3, 1] = np.array(plane.column) * between_rows
    affine[:3, 2] = np.array(plane.row) * between_columns
    affine[:3, 3] = plane.position
    return affine


def _is_sheared(affine: NDArray[np.float64]) -> bool:
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_TOLERANCE)


def _off_grid(line: _Line, step: NDArray[np.float64]) -> NDArray[np.bool_]:
    expected = line.points[0] + np.arange(len(line.points))[:, None] * step
    tolerance = max(PLACE_TOLERANCE_MM, PLACE_TOLERANCE * abs(float(step @ line.normal)))
    result: NDArray[np.bool_] = np.linalg.norm(line.points - expected, axis=1) > tolerance
    return result


def _irregular(planes: Sequence[Plane], shape: tuple[int, int], status: Spacing, line: _Line, name: Namer) -> Geometry:
    gaps = np.diff(line.along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    affine = affine_of(planes[0], line.normal * usual)
    count = round(float(line.along[-1] - line.along[0]) / usual) + 1
    verdict, reasons = _gaps(line, gaps, usual, name)
    return Geometry((count, *shape), affine, verdict, Frame.PATIENT, status, reasons, planes[0].thickness_mm)


def _gaps(line: _Line, gaps: NDArray[np.float64], usual: float, name: Namer) -> tuple[Verdict, tuple[Message, ...]]:
    wholes = np.round(gaps / usual)
    is_whole = np.abs(gaps / usual - wholes) <= WHOLE_GAP_TOLERANCE
    odd = np.abs(gaps - usual) > max(PLACE_TOLERANCE_MM, PLACE_TOLERANCE * usual)
    if not odd.any():
        return Verdict.UNEQUAL_SPACING, (_off_line(line, name),)
    if is_whole.all() and wholes.max() > 1:
        missing = [(int(i), int(wholes[i]) - 1) for i in np.flatnonzero(wholes > 1)]
        lines = [_missing(line, i, count, usual, name) for i, count in missing]
        return Verdict.MISSING_SLICES, _limited(lines, sum(count for _, count in missing))
    lines = [_unequal(float(gaps[i]), usual, name(int(i)), name(int(i) + 1)) for i in np.flatnonzero(odd)]
    return Verdict.UNEQUAL_SPACING, _limited(lines, len(lines))


def _unequal(gap: float, usual: float, before: str, after: str) -> Message:
    parameters: dict[str, str | int | float] = {
        "gap": round(gap, 3),
        "usual": round(usual, 3),
        "before": before,
        "after": after,
    }
    return Message("io.dicom.unequal_gap", parameters)


def _missing(line: _Line, index: int, count: int, usual: float, name: Namer) -> Message:
    return Message(
        "io.dicom.missing_slices",
        {
            "count": count,
            "position": round(float(line.along[index]) + usual, 3),
            "before": name(index),
            "after": name(index + 1),
        },
    )


def _off_line(line: _Line, name: Namer) -> Message:
    """Return the reason for slices that are shifted within their plane."""
    across = line.points - line.along[:, None] * line.normal
    middle = np.median(across, axis=0)
    far = np.argsort(-np.linalg.norm(across - middle, axis=1))[:NAMED_SLICES]
    shifted = [int(i) for i in sorted(far) if np.linalg.norm(across[i] - middle) > PLACE_TOLERANCE_MM]
    return Message("io.dicom.off_line", {"slices": "; ".join(name(i) for i in shifted)})


def _limited(lines: list[Message], total: int) -> tuple[Message, ...]:
    if len(lines) <= NAMED_SLICES:
        return tuple(lines)
    return (*lines[:NAMED_SLICES], Message("io.dicom.and_more", {"count": total}))
