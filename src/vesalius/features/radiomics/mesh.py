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

# Triangles per cube kind as hexadecimal edge numbers, three to a triangle, kinds separated by a space. The first 128
# kinds suffice: the others are their complements with the surface turned round. Lorensen & Cline 1987,
# doi:10.1145/37402.37422, in the numbering of Bourke ("Polygonising a scalar field", 1994, public domain).
_TRIANGLES = """
- 083 190 183198 12a 08312a 92a029 2832a8a98 b23 b2008b 190b23 b2119b98b 3a1ba3 a1008a8ba 9033b9ba9 98aba8 478 043473
190478 194147173 12a478 34730412a 92a902478 2a9297273479 478b23 b47b24204 190478b23 47b94bb29192 3a1ba3478
ba114b10447b 4789033b9ba9 47b4b99ba 954 954083 054015 854835315 12a954 08312a954 2a5542240 2a5325354834 954b23
b2008b954 054015b23 215258b28548 3a1ba3954 549a1008a8ba 54050ba5bb03 548a58ba8 789579 309539357 780017715 157173
78957912a 12a309395357 0288258572a5 2a5253357 579789b23 579972209b27 b23018178157 21b17b157 7895793a1ba3
5705097b0a10ba0 ba003ba50078570 ba557b 65a 08365a 19065a 18319865a 165126 165126083 965906026 598582526832 b2365a
b2008b65a 190b2365a b2119b98b65a 63b653513 08b0b50515b6 63b036065059 65969bb98 47865a 04347365a 19047865a 19414717365a
478165126 043473165126 478965906026 739479329596269 b2347865a b47b2420465a 190b2347865a 47b94bb2919265a 47863b653513
51b5b610b47b04b 47863b036065059 65969b4797b9 a4964a a4964a083 01aa60640 18316886461a 149124264 149124264083 024426
832824426 b23a4964a b2008ba4964a b2301aa60640 64161a148b2118b 964369139b63 18b081b61149641 63b036640 86468b 67a78a89a
67a0a709a073 67a1a7178018 67a1a7173 126168189678 269129679309739 078706602 273267 b2367a78a89a 207b2709767a9a7
67a1a7178018b23 b2117ba61167 896678169b63136 09167b 07870603bb60 67b
"""
_EDGES = np.array(
    [
        [(0, 0, 0.5), (0, 0.5, 1), (0, 1, 0.5), (0, 0.5, 0)],
        [(1, 0, 0.5), (1, 0.5, 1), (1, 1, 0.5), (1, 0.5, 0)],
        [(0.5, 0, 0), (0.5, 0, 1), (0.5, 1, 1), (0.5, 1, 0)],
    ]
).reshape(12, 3)
"""Middle of each edge (slice, row, column) in the cube."""
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1), (0, 2), (2, 0), (0, 3), (3, 0))
_SMALL = 2000
_CORNER_BITS = (0, 1, 3, 2, 4, 5, 7, 6)
"""Our bit (column + 2 row + 4 slice) of each corner in the numbering of the table."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Area in mm2 and enclosed volume in mm3 of a closed mesh."""

    area_mm2: float
    volume_mm3: float


@lru_cache(maxsize=1)
def _triangles() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return kind and corners `[triangle, corner, axis]` (in cubes) of every triangle of all 256 kinds."""
    kinds, corners = [], []
    for number, text in enumerate(_TRIANGLES.split()):
        edges = [int(digit, 16) for digit in text if digit != "-"]
        kind = sum(1 << _CORNER_BITS[corner] for corner in range(8) if number >> corner & 1)
        for first in range(0, len(edges), 3):
            triangle = _EDGES[edges[first : first + 3]]
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
    kind = kinds.reshape(-1)[place]
    area, own, *shifts = _amounts(spacing_mm)
    count = np.bincount(kind, minlength=256)
    rest, columns = np.divmod(place, kinds.shape[2])
    planes, rows = np.divmod(rest, kinds.shape[1])
    volume = float(count @ own)
    for at, shift, size in zip((planes, rows, columns), shifts, spacing_mm, strict=True):
        volume += size * float(np.bincount(kind, weights=at, minlength=256) @ shift)
    return Surface(float(count @ area), abs(volume) / 6)


def _cube_kinds(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the kind of each cube of eight neighbouring voxels, the mask padded by one voxel."""
    kinds: NDArray[Any] = np.zeros(np.add(mask.shape, 2), dtype=np.uint8)
    kinds[1:-1, 1:-1, 1:-1] = mask
    kinds = kinds[:, :, :-1] | (kinds[:, :, 1:] << 1)
    kinds = kinds[:, :-1] | (kinds[:, 1:] << 2)
    return np.asarray(kinds[:-1] | (kinds[1:] << 4))


def outer_vertices(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return mesh vertices (slice, row, column) in voxels among which are all corners of the convex hull.

    Along every line of voxels only the first and the last vertex can be a corner, and of these none that lies on or
    inside the line between two neighbours on either side.
    """
    found = []
    for axis, order in enumerate(((1, 2, 0), (0, 2, 1), (0, 1, 2))):
        turned = mask.transpose(order)
        there = turned.any(axis=2)
        ends = np.stack([turned[:, :, ::-1].argmax(axis=2), turned.argmax(axis=2)])
        # Distance of the surface from the middle of the line, the same way round for both ends.
        height = np.where(there, turned.shape[2] / 2 - ends, -np.inf)
        side, rows, columns = np.nonzero(_corners(height))
        along = height[side, rows, columns]
        place = np.where(side == 0, along, -along) + (turned.shape[2] - 1) / 2
        points = np.empty((rows.size, 3))
        points[:, order[0]], points[:, order[1]], points[:, axis] = rows, columns, place
        found.append(points)
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
