"""Grey level run length matrices (IBSI 3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.cooccurrence import merge_planes
from vesalius.features.radiomics.levels import DENSE, DIRECTIONS_2D, DIRECTIONS_3D, Levels, Offset
from vesalius.features.radiomics.matrices import Matrices, emphases, mean_over_units
from vesalius.features.radiomics.settings import Aggregation

__all__ = ["FEATURES", "run_lengths"]

FEATURES = (
    "sre",
    "lre",
    "lgre",
    "hgre",
    "srlge",
    "srhge",
    "lrlge",
    "lrhge",
    "glnu",
    "glnu_norm",
    "rlnu",
    "rlnu_norm",
    "r_perc",
    "gl_var",
    "rl_var",
    "rl_entr",
)


_LONG = 0.35
"""Share of voxels that continue a run above which lines are unrolled instead of followed."""
_TOGETHER = 1 << 17
"""Directions are followed together while their flags stay below this many voxels."""


def run_lengths(levels: Levels, aggregations: tuple[Aggregation, ...]) -> dict[Aggregation, NDArray[np.float64]]:
    """Return the features of `FEATURES` per aggregation."""
    result: dict[Aggregation, NDArray[np.float64]] = {}
    spatial = [a for a in aggregations if a.dimension == "3D"]
    planar = [a for a in aggregations if a.dimension != "3D"]
    if spatial:
        directions = len(DIRECTIONS_3D)
        matrices = _matrices(levels, DIRECTIONS_3D, planar=False)
        for each in spatial:
            averaged = each is Aggregation.VOLUME_AVERAGED
            chosen = matrices if averaged else matrices.merged(np.zeros(directions, dtype=np.int64), 1)
            result[each] = _pooled(chosen)
    if planar:
        matrices = _matrices(levels, DIRECTIONS_2D, planar=True)
        for each in planar:
            result[each] = _pooled(merge_planes(matrices, levels, each))
    return result


def _pooled(matrices: Matrices) -> NDArray[np.float64]:
    return mean_over_units(emphases(matrices))[: len(FEATURES)]


@dataclass(frozen=True, eq=False)
class _Runs:
    """How many runs of which length, level and unit there are."""

    unit: NDArray[np.int64]
    level: NDArray[Any]
    length: NDArray[np.int64]
    count: NDArray[np.float64]


def _matrices(levels: Levels, directions: tuple[Offset, ...], *, planar: bool) -> Matrices:
    """Return one matrix per direction, or per slice and direction (unit = slice x directions + direction)."""
    number = len(directions)
    found: list[_Runs] = []
    group = max(1, min(number, _TOGETHER // levels.flat.size))
    for start in range(0, number, group):
        chosen = list(range(start, min(start + group, number)))
        offsets = np.array([levels.offset(directions[n], 1) for n in chosen])
        found += _followed(levels, offsets, np.array(chosen), number if planar else 0)
    unit, level, length = (np.concatenate([getattr(f, part) for f in found]) for part in ("unit", "level", "length"))
    voxels = np.repeat(levels.voxels_per_plane, number) if planar else np.full(number, levels.places.size)
    return Matrices.counted(unit, level, length, voxels, np.concatenate([f.count for f in found]))


def _followed(levels: Levels, offsets: NDArray[np.int64], numbers: NDArray[np.int64], directions: int) -> list[_Runs]:
    """Return the runs along some directions, by following all runs step by step together.

    A run of length L starts L - k stretches of k further equal voxels, so the numbers of stretches of each length
    give the numbers of runs by their second difference.
    """
    wide = levels.highest + 1
    equal = _equal(levels, offsets)
    once = _stretches_of_one(levels, equal, numbers, planar=directions > 0)
    if once.sum() > _LONG * offsets.size * levels.places.size:
        del equal
        return [_unrolled(levels, o, n, directions) for o, n in zip(offsets.tolist(), numbers.tolist(), strict=True)]
    stretches = [_single_voxels(levels, offsets.size, wide, planar=directions > 0), once]
    twice = np.empty_like(equal)
    for row, offset in enumerate(offsets.tolist()):
        np.logical_and(equal[row, :-offset], equal[row, offset:], out=twice[row, :-offset])
        twice[row, -offset:] = False
    places = np.flatnonzero(twice)
    del twice
    code, rows = _coded(levels, places, offsets.size, planar=directions > 0)
    step = offsets[rows]
    places = places + step
    flags = equal.reshape(-1)
    while places.size:
        stretches.append(np.bincount(code, minlength=once.size))
        places = places + step
        keep = flags[places]
        places, code = places[keep], code[keep]
        step = step[keep] if offsets.size > 1 else step
    none = np.zeros_like(once)
    table = np.stack([*stretches, none, none])
    runs = table[:-2] - 2 * table[1:-1] + table[2:]
    length, where = np.nonzero(runs)
    unit, level = np.divmod(where, wide)
    number = numbers[unit % offsets.size]
    unit = unit // offsets.size * directions + number if directions else number
    return [_Runs(unit, level, length + 1, runs[length, where].astype(np.float64))]


def _equal(levels: Levels, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return `[direction, place]`: whether a voxel of the mask and the next along the direction are equal."""
    flat = levels.flat
    equal = np.empty((offsets.size, flat.size), dtype=np.bool_)
    for row, offset in enumerate(offsets.tolist()):
        np.equal(flat[:-offset], flat[offset:], out=equal[row, :-offset])
        equal[row, -offset:] = False
    equal &= levels.inside
    return equal


def _stretches_of_one(
    levels: Levels, equal: NDArray[np.bool_], numbers: NDArray[np.int64], *, planar: bool
) -> NDArray[np.int64]:
    """Return how many equal neighbours each level has: the diagonal of the co-occurrence where that is known."""
    wide = levels.highest + 1
    if not planar and levels.distance == 1 and wide * wide <= DENSE:
        return np.asarray(np.diagonal(levels.pairs, axis1=1, axis2=2)[numbers].reshape(-1))
    code, _ = _coded(levels, np.flatnonzero(equal), len(equal), planar=planar)
    units = len(equal) * (levels.array.shape[0] if planar else 1)
    return np.asarray(np.bincount(code, minlength=units * wide), dtype=np.int64)


def _coded(
    levels: Levels, places: NDArray[np.int64], directions: int, *, planar: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return unit and level of places in `[direction, place]` as one number, and the direction."""
    rows, at = np.divmod(places, levels.flat.size) if directions > 1 else (np.zeros(1, dtype=np.int64), places)
    own = (at // levels.step[0]) * directions + rows if planar else rows
    return np.broadcast_to(own * (levels.highest + 1), at.shape) + levels.flat[at], rows


def _single_voxels(levels: Levels, directions: int, wide: int, *, planar: bool) -> NDArray[np.int64]:
    """Return how often each level occurs, per direction, or per slice and direction."""
    if not planar:
        return np.tile(levels.voxels_per_level, directions)
    planes = levels.array.shape[0]
    counts = np.bincount(levels.planes * wide + levels.at_places, minlength=planes * wide).reshape(planes, 1, wide)
    return np.asarray(np.repeat(counts, directions, axis=1).reshape(-1), dtype=np.int64)


def _unrolled(levels: Levels, offset: int, number: int, directions: int) -> _Runs:
    """Return the runs along one direction, for images with long runs.

    Lines along the step become contiguous when the flat array is folded at the step and transposed; the zeros
    between rows and slices part the runs.
    """
    flat, length = levels.flat, levels.length
    folds = length // offset + 2
    line: NDArray[Any] = np.zeros(folds * offset + 1, dtype=flat.dtype)
    if offset == 1:
        line[1 : length + 1] = flat[:length]
    else:
        folded = np.zeros(folds * offset, dtype=flat.dtype)
        folded[:length] = flat[:length]
        line[1:].reshape(offset, folds)[...] = folded.reshape(folds, offset).T
    bounds = np.flatnonzero(line[1:] != line[:-1])
    level = line[1:][bounds]
    inside = np.flatnonzero(level)
    start = bounds[inside]
    run = bounds[inside + 1] - start
    column, fold = np.divmod(start, folds) if offset > 1 else (0, start)
    plane = (fold * offset + column) // levels.step[0]
    unit = plane * directions + number if directions else np.full(run.size, number)
    return _Runs(unit.astype(np.int64), level[inside], run, np.ones(run.size))
