"""Grids that break careless geometry code: every orientation, straight, oblique, anisotropic and tilted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.grid import all_orientations
from vesalius.phantoms.geometry import grid_affine, marker_phantom

SHAPE = (11, 13, 15)
"""(slices, rows, columns), all different, so that a swapped axis cannot hide."""
KINDS = ("straight", "oblique", "anisotropic", "tilted")
CODES = all_orientations()
_GRIDS = {
    "straight": {"spacing_mm": (1.5, 1.0, 0.8)},
    "oblique": {"spacing_mm": (1.5, 1.0, 0.8), "rotation_deg": (17.0, -11.0, 23.0)},
    "anisotropic": {"spacing_mm": (5.0, 1.0, 1.0), "rotation_deg": (3.0, 5.0, -4.0)},
    "tilted": {"spacing_mm": (1.5, 1.0, 0.8), "tilt_deg": 15.0},
}


@dataclass(frozen=True)
class Torture:
    """A phantom and the place of its marker in LPS mm."""

    volume: Volume
    marker_mm: NDArray[np.float64]


def torture(kind: str, code: str = "SPL") -> Torture:
    """Return the phantom on one of the grids; its marker is the centre of one voxel, the only brightest."""
    affine = grid_affine(SHAPE, orientation=code, **_GRIDS[kind])  # type: ignore[arg-type]
    index = (7, 4, 9)
    marker = affine[:3, :3] @ index + affine[:3, 3]
    return Torture(marker_phantom(SHAPE, affine, marker_mm=marker), marker)
