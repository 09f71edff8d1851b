"""Area, volume and outermost vertices of the marching-cubes surface of a mask at level 0.5.

All vertices of a mask's surface are midpoints of cube edges, so a cube adds one of 256 amounts of area and volume:
counting cubes by kind replaces building the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Surface", "outer_vertices", "surface"]

_TURNED = 64
"""Bit of the corner (column 0, row 1, slice 1): cubes that hold it are cut as their complement, as in PyRadiomics."""
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1), (0, 2), (2, 0), (0, 3), (3, 0))
_SMALL = 2000


@dataclass(frozen=True, slots=True)
class Surface:
    """Area in mm2 and enclosed volume in mm3 of a closed mesh."""

    area_mm2: float
    volume_mm3: float


@lru_cache(maxsize=1)
def _triangles() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return kind and corners `[triangle, corner, axis]` (in cubes) of every triangle of all 256 kinds.

    The kind is the sum of 1 << (column + 2 row + 4 slice) over the corners inside. Only half of the kinds are asked
    for: the others are their complements with the surface turned round.

    Source: Lorensen & Cline 1987, doi:10.1145/37402.37422, as scikit-image cuts single cubes.
    """
    from skimage.measure import marching_cubes

    kinds, corners = [], []
    for kind in range(1, 255):
        if kind & _TURNED:
            continue
        cube = (kind >> np.arange(8) & 1).reshape(2, 2, 2).astype(np.float32)
        vertices, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen")
        for triangle in vertices[faces].astype(np.float64):
            kinds += [kind, 255 - kind]
            corners += [triangle, triangle[::-1]]
    return np.array(kinds), np.array(corners)


@lru_cache(maxsize=8)
def _amounts(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return `[5, kind]`: area, six-fold volume seen from the cube's own corner, and its change per mm of shift."""
    kinds, corners = _triangles()
    a, b, c = np.moveaxis(corners * np.asarray(spacing_mm), 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    volume = np.einsum("ij,ij->i", a, np.cross(b, c))
    shift = np.cross(a, b) + np.cross(b, c) + np.cross(c, a)
    return np.stack([np.bincount(kinds, weights=part, minlength=256) for part in (area, volume, *shift.T)])


def surface(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Surface:
    """Return area and volume of the surface of a mask; outside the array is outside the mask.

    Where a mask touches itself across an edge only, the table leaves the surface open there, as PyRadiomics 3.0 does;
    volumes are summed from the corner one voxel before the box, as there.
    """
    kinds = _cube_kinds(mask)
    place = np.flatnonzero((kinds.reshape(-1) + np.uint8(255)) < 254)
    kind = kinds.reshape(-1).take(place, mode="wrap")
    area, own, *shifts = _amounts(spacing_mm)
    count = np.bincount(kind, minlength=256)
    rest, columns = np.divmod(place, kinds.shape[2])
    planes, rows = np.divmod(rest, kinds.shape[1])
    volume = float(count @ own)
    for at, shift, size in zip((planes, rows, columns), shifts, spacing_mm, strict=True):
        volume += size * float(np.bincount(kind, weights=at, minlength=256) @ shift)
    return Surface(float(count @ area), abs(volume) / 6)


def _cube_kinds(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the kind of each cube of eight neighbouring voxels, the mask padded by one voxel.

    Along the last voxels of each axis, which have no cube, the kind is 0: the next in line is padding, too.
    """
    kinds: NDArray[Any] = np.zeros(np.add(mask.shape, 2), dtype=np.uint8)
    kinds[1:-1, 1:-1, 1:-1] = mask
    line, row = kinds.reshape(-1), kinds.shape[2]
    # A product is several times faster here than a shift.
    for step, weight in ((1, 2), (row, 4), (row * kinds.shape[1], 16)):
        line[:-step] |= line[step:] * np.uint8(weight)
    return kinds


def outer_vertices(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return mesh vertices (slice, row, column) in voxels among which are all corners of the convex hull.

    Vertices lie half a step from a voxel along an axis, so their hull is that of the voxels grown by an octahedron, and
    each of its corners is half a step from a corner of the hull of the voxels. Of a line of voxels only both ends can
    be one, and of these none that lies on or inside the line between two neighbours on either side.
    """
    columns = mask.shape[2]
    numbers = np.arange(1, columns + 1, dtype=np.min_scalar_type(columns))
    last = np.multiply(mask, numbers).max(axis=2).astype(np.int64)
    there = last > 0
    ends = np.stack([last - 1, mask.argmax(axis=2)])
    # Both ends the same way round.
    height = np.where(there, ends * np.array([1.0, -1.0])[:, np.newaxis, np.newaxis], -np.inf)
    side, planes, rows = np.nonzero(_corners(height))
    voxels = np.stack([planes, rows, ends[side, planes, rows]], axis=1)
    outward = np.zeros((side.size, 3), dtype=np.int64)
    outward[:, 2] = 1 - 2 * side
    found = [voxels + outward / 2]
    padded = np.pad(mask, 1)
    for step in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)):
        beside = voxels + np.array(step)
        free = ~padded[tuple(beside.T + 1)]
        found.append((voxels[free] + beside[free]) / 2)
    return np.concatenate(found)


def _corners(height: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where height maps `[map, row, column]` are above the middle of every pair of opposite neighbours."""
    keep = height > -np.inf
    _, rows, columns = height.shape
    steps = _STEPS if keep.size > _SMALL else _STEPS[:4]
    reach = 3
    padded = np.full((2, rows + 2 * reach, columns + 2 * reach), -np.inf)
    padded[:, reach:-reach, reach:-reach] = height
    double = height * 2
    for down, across in steps:
        one = padded[:, reach + down : reach + down + rows, reach + across : reach + across + columns]
        other = padded[:, reach - down : reach - down + rows, reach - across : reach - across + columns]
        keep &= double > one + other
    return keep
