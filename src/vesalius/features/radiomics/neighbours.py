"""Matrices of neighbourhoods: grey tone difference (IBSI 3.10) and grey level dependence (IBSI 3.11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.levels import DIRECTIONS_2D, DIRECTIONS_3D, Levels
from vesalius.features.radiomics.matrices import Matrices, emphases, mean_over_units

__all__ = ["DEPENDENCE_FEATURES", "DIFFERENCE_FEATURES", "dependence", "tone_difference"]

DIFFERENCE_FEATURES = ("coarseness", "contrast", "busyness", "complexity", "strength")
DEPENDENCE_FEATURES = (
    "lde",
    "hde",
    "lgce",
    "hgce",
    "ldlge",
    "ldhge",
    "hdlge",
    "hdhge",
    "glnu",
    "glnu_norm",
    "dcnu",
    "dcnu_norm",
    "dc_perc",
    "gl_var",
    "dc_var",
    "dc_entr",
    "dc_energy",
)
_COARSEST = 1e6
"""Coarseness of a region without any difference, as IBSI suggests."""
_ROWS = 512
_BLOCK = 1 << 16


def tone_difference(
    levels: Levels, dimensions: tuple[str, ...], *, lone_voxels: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Return the features of `DIFFERENCE_FEATURES` per dimension."""
    result = {}
    for planar in sorted({d != "3D" for d in dimensions}):
        size, total = _differences(levels, planar, lone_voxels)
        units = levels.array.shape[0] if planar else 1
        wide = levels.highest + 1
        counts, sums = size.reshape(units, wide), total.reshape(units, wide)
        for dimension in (d for d in dimensions if (d != "3D") == planar):
            if dimension == "2D":
                each = [_difference_features(n, s) for n, s in zip(counts, sums, strict=True)]
                result[dimension] = mean_over_units(np.stack(each, axis=1))
            else:
                result[dimension] = _difference_features(counts.sum(axis=0), sums.sum(axis=0))
    return result


def _differences(levels: Levels, planar: bool, lone_voxels: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return voxels with neighbours and summed |level - mean of neighbours| per slice (or in all) and level."""
    wide = levels.highest + 1
    cube = (2 * levels.distance + 1) ** 3
    kind = np.min_scalar_type(-levels.highest * cube)
    steps = (1, levels.step[1]) if planar else (1, levels.step[1], levels.step[0])
    sums = _box_sum(levels.flat.astype(kind), steps, levels.distance)
    counts = _box_sum(levels.inside.astype(np.min_scalar_type(-cube)), steps, levels.distance)
    length = wide * (levels.array.shape[0] if planar else 1)
    total = np.zeros(length)
    code = levels.planes * wide + levels.at_places if planar else levels.at_places
    size = np.bincount(code, minlength=length) if planar else levels.voxels_per_level.copy()
    for start in range(0, levels.places.size, _BLOCK):
        at = levels.places[start : start + _BLOCK]
        own, at_level = levels.at_places[start : start + _BLOCK], code[start : start + _BLOCK]
        cells = counts.take(at, mode="wrap")
        # Times the cells, with the voxel itself in both: whole numbers stay small.
        difference = np.abs(np.multiply(own, cells, dtype=kind) - sums.take(at, mode="wrap"))
        if not lone_voxels and cells.min() == 1:
            size -= np.bincount(at_level[cells == 1], minlength=length)
        weights = np.divide(difference, cells - (cells > 1), dtype=np.float64)
        total += np.bincount(at_level, weights=weights, minlength=length)
    return size, total


def _box_sum(flat: NDArray[Any], steps: tuple[int, ...], distance: int) -> NDArray[Any]:
    """Return sums over the cube of neighbours up to a distance, right at the places of the box.

    The zeros after each row and slice are what a step out of the box reads, so that long lines are added.
    """
    for step in steps:
        result = flat.copy()
        for far in range(step, step * distance + 1, step):
            result[:-far] += flat[far:]
            result[far:] += flat[:-far]
        flat = result
    return flat


def _difference_features(size: NDArray[np.int64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the features of one matrix; NaN when no voxel has a neighbour."""
    level = np.flatnonzero(size)
    if level.size == 0:
        return np.full(len(DIFFERENCE_FEATURES), np.nan)
    n, s = size[level].astype(np.float64), total[level]
    voxels = n.sum()
    p, i = n / voxels, level.astype(np.float64)
    weighted = float(p @ s)
    present = level.size
    # Sum over pairs of p_i p_j (i - j)^2, both orders.
    spread = 2 * float(p @ (i * i) - (p @ i) ** 2)
    contrast = spread / (present * (present - 1)) * float(s.sum()) / voxels if present > 1 else 0.0
    busy, complexity, strength = _pairs(i, p, s)
    everything = float(s.sum())
    return np.array(
        [
            1 / weighted if weighted > 0 else _COARSEST,
            contrast,
            weighted / busy if busy > 0 else 0.0,
            complexity / voxels,
            strength / everything if everything > 0 else 0.0,
        ]
    )


def _pairs(i: NDArray[np.float64], p: NDArray[np.float64], s: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the sums over pairs of levels in busyness, complexity and strength, blocks of rows at a time."""
    busy = complexity = strength = 0.0
    ip, ps = i * p, p * s
    for start in range(0, i.size, _ROWS):
        rows = slice(start, start + _ROWS)
        gap = i[rows, np.newaxis] - i
        both = p[rows, np.newaxis] + p
        busy += float(np.abs(ip[rows, np.newaxis] - ip).sum())
        complexity += float((np.abs(gap) * (ps[rows, np.newaxis] + ps) / both).sum())
        strength += float((both * gap * gap).sum())
    return busy, complexity, strength


def dependence(levels: Levels, dimensions: tuple[str, ...], coarseness: int) -> dict[str, NDArray[np.float64]]:
    """Return the features of `DEPENDENCE_FEATURES` per dimension.

    A voxel depends on a neighbour when their levels differ by at most `coarseness`; the column is one more than the
    number of such neighbours.
    """
    result = {}
    for planar in sorted({d != "3D" for d in dimensions}):
        column = _dependent(levels, planar, coarseness)
        for dimension in (d for d in dimensions if (d != "3D") == planar):
            sliced = dimension == "2D"
            voxels = levels.voxels_per_plane if sliced else np.array([levels.places.size])
            unit = levels.planes if sliced else 0
            result[dimension] = mean_over_units(emphases(Matrices.counted(unit, levels.at_places, column, voxels)))
    return result


def _dependent(levels: Levels, planar: bool, coarseness: int) -> NDArray[Any]:
    """Return one more than the number of dependent neighbours of each voxel of the intensity mask."""
    reach = levels.distance
    kind = np.uint8 if (2 * reach + 1) ** 3 < 256 else np.uint16
    flat = levels.flat
    result: NDArray[Any] = np.ones(flat.size, dtype=kind)
    for offset in _offsets(levels, planar):
        one, other = flat[:-offset], flat[offset:]
        if coarseness == 0:
            # Outside equals outside too, but is not read.
            depends = one == other
        else:
            depends = np.abs(np.subtract(one, other, dtype=np.int32)) <= coarseness
            depends &= levels.inside[offset:]
            depends &= levels.inside[:-offset]
        # As numbers: adding truth values to numbers converts them piece by piece.
        result[:-offset] += depends.view(np.uint8)
        result[offset:] += depends.view(np.uint8)
    return result.take(levels.places, mode="wrap")


def _offsets(levels: Levels, planar: bool) -> list[int]:
    """Return the steps in `flat` to half of the neighbours within the Chebyshev distance."""
    reach = levels.distance
    if reach == 1:
        chosen = DIRECTIONS_2D if planar else DIRECTIONS_3D
        return [levels.offset(d) for d in chosen]
    span = range(-reach, reach + 1)
    deep = (0,) if planar else span
    slices, rows = levels.step
    steps = [(a, b, c) for a in deep for b in span for c in span if (a, b, c) > (0, 0, 0)]
    return [a * slices + b * rows + c for a, b, c in steps]
