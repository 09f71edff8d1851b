"""Where the slices of an image and the frames of its source lie, as the writers of DICOM objects need it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vesalius.core.grid import Affine, Gridded
from vesalius.io.dicom import planes
from vesalius.io.dicom.values import text, whole

PERPENDICULAR = 1e-4
"""Largest |cosine| between rows and columns that DICOM readers take as perpendicular."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one slice or frame lies, in LPS mm.

    Args:
        position_mm: centre of the first pixel.
        orientation: unit vectors along a row (growing column index) and down a column, six numbers.
        spacing_mm: distance between rows, distance between columns.
        frame: number in a multi-frame object from 1, None in a single-frame one.
        thickness_mm: nominal slice thickness, None when not told.
    """

    position_mm: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    frame: int | None = None
    thickness_mm: float | None = None

    @property
    def normal(self) -> NDArray[np.float64]:
        """Return the unit vector perpendicular to the plane: row direction x column direction."""
        crossed = np.cross(self.orientation[:3], self.orientation[3:])
        return np.asarray(crossed / np.linalg.norm(crossed))

    def affine(self, step_mm: NDArray[np.float64]) -> Affine:
        """Return the index-to-world matrix of a stack that begins with this plane and goes on by `step_mm`."""
        matrix = np.eye(4)
        matrix[:3, 0] = step_mm
        matrix[:3, 1] = self.orientation[3:] * self.spacing_mm[0]
        matrix[:3, 2] = self.orientation[:3] * self.spacing_mm[1]
        matrix[:3, 3] = self.position_mm
        return matrix


def of_slice(image: Gridded, index: int) -> Placement:
    """Return where one slice of an image lies; rows and columns are made exactly perpendicular."""
    row, column = image.affine[:3, 2], image.affine[:3, 1]
    spacing = np.array([np.linalg.norm(column), np.linalg.norm(row)])
    across, down = row / spacing[1], column / spacing[0]
    # Both turn by half of the deviation, so that neither carries it alone.
    half = (across @ down) / 2
    across, down = across - half * down, down - half * across
    orientation = np.concatenate([across / np.linalg.norm(across), down / np.linalg.norm(down)])
    return Placement(image.index_to_world((index, 0, 0)), orientation, spacing)


def of_frames(header: Dataset) -> list[Placement]:
    """Return where the frames of a stored image lie, in stored order; empty when it does not tell."""
    frames = whole(header, "NumberOfFrames") or 1
    told = planes.of(header, text(header, "Modality"), text(header, "SOPClassUID"), frames).planes
    if not all(plane.is_placed and plane.column for plane in told):
        return []
    several = frames > 1 or planes.PER_FRAME in header
    return [
        Placement(
            np.array(plane.position),
            np.array([*(plane.row or ()), *(plane.column or ())]),
            np.array(plane.spacing_mm),
            number if several else None,
            plane.thickness_mm,
        )
        for number, plane in enumerate(told, start=1)
    ]
