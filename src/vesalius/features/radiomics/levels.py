"""Grey levels 1, 2, 3 ... of a region, and the flat zero-bordered array in which neighbours are a fixed step apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, LimitError
from vesalius.features.radiomics.region import Region
from vesalius.features.radiomics.settings import Discretisation, FixedBinNumber, FixedBinSize

__all__ = ["DENSE", "DIRECTIONS_2D", "DIRECTIONS_3D", "Levels", "Offset", "discretise"]

MOST_LEVELS = 65_535
_LOOKUP_RANGE = 1 << 20

Offset = tuple[int, int, int]
_ALL = [d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)]
DIRECTIONS_3D: tuple[Offset, ...] = tuple((a, b, c) for a, b, c in _ALL)
"""Half of the 26 neighbours; the other half is the way back."""
DIRECTIONS_2D = tuple(d for d in DIRECTIONS_3D if d[0] == 0)
DENSE = 1 << 24
"""Most pairs of levels that are counted in a full matrix."""
_BLOCK = 1 << 17
"""Voxels per block: codes and neighbours stay in the cache."""
_TRIPLES = 1 << 17
"""Most triples of levels that are counted: above, their counts leave the second-level cache."""
_IN_ROWS = ((0, 3), (4, 7), (5, 8), (6, 9))
"""Pairs of `DIRECTIONS_3D` one row apart."""
_IN_COLUMNS = ((1, 2), (10, 11))
"""Pairs of `DIRECTIONS_3D` one column apart."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Grey levels in a box, 0 outside the intensity mask.

    Args:
        array: `[slice, row, column]`, the smallest unsigned type that holds the highest level.
        count: number of bins, N_g of IBSI.
        highest: largest level that occurs.
        distance: of neighbours in voxels, Chebyshev.
        tally: voxels per level from 0 to the highest, where it is known already.
    """

    array: NDArray[Any]
    count: int
    highest: int
    distance: int = 1
    tally: NDArray[np.int64] | None = None

    @cached_property
    def step(self) -> tuple[int, int]:
        """Return how far the next slice and the next row are in `flat`."""
        row = int(self.array.shape[2]) + self.distance
        return (int(self.array.shape[1]) + self.distance) * row, row

    @cached_property
    def flat(self) -> NDArray[Any]:
        """Return the levels with zeros after each row, each slice and all slices, as one line.

        A step out of the box lands in zeros, so a neighbour is `flat[i + offset]` for every direction.
        """
        planes, rows, columns = self.array.shape
        d = self.distance
        padded = np.zeros((planes + d, rows + d, columns + d), dtype=self.array.dtype)
        padded[:planes, :rows, :columns] = self.array
        return padded.reshape(-1)

    @cached_property
    def length(self) -> int:
        """Return where the last slice ends in `flat`."""
        return int(self.array.shape[0]) * self.step[0]

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Return whether each place of `flat` is in the intensity mask."""
        return np.asarray(self.flat > 0)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Return where in `flat` the voxels of the intensity mask are, ascending."""
        return np.flatnonzero(self.inside)

    @cached_property
    def at_places(self) -> NDArray[Any]:
        """Return the levels of the voxels of the intensity mask."""
        return self.flat.take(self.places, mode="wrap")

    @cached_property
    def voxels_per_level(self) -> NDArray[np.int64]:
        """Return how many voxels each level from 0 to the highest has; none for 0."""
        if self.tally is not None:
            return self.tally
        return np.asarray(np.bincount(self.at_places, minlength=self.highest + 1), dtype=np.int64)

    @cached_property
    def planes(self) -> NDArray[np.int64]:
        """Return the slice of each voxel of the intensity mask."""
        return self.places // self.step[0]

    @cached_property
    def voxels_per_plane(self) -> NDArray[np.int64]:
        """Return the number of voxels of the intensity mask in each slice."""
        return np.asarray(np.count_nonzero(self.array, axis=(1, 2)))

    def offset(self, direction: Offset, distance: int | None = None) -> int:
        """Return the step in `flat` for a direction (slice, row, column), `distance` voxels long."""
        along = direction[0] * self.step[0] + direction[1] * self.step[1] + direction[2]
        return along * (self.distance if distance is None else distance)

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Return `[direction, level, level]`: how often a level has another next to it, one way round.

        Only for up to `DENSE` pairs of levels. Level 0 has no count.
        """
        wide = self.highest + 1
        result = np.zeros((len(DIRECTIONS_3D), wide, wide), dtype=np.int64)
        left = range(len(DIRECTIONS_3D))
        if wide**3 <= min(_TRIPLES, self.places.size):
            for couples, along in ((_IN_ROWS, (0, 1, 0)), (_IN_COLUMNS, (0, 0, 1))):
                # Both levels at once: half as many look-ups and counts.
                step = self.offset(along)
                both = self.flat[:-step].astype(np.uint16)
                both *= np.uint16(wide)
                both += self.flat[step:]
                firsts = tuple(first for first, _ in couples)
                for (first, second), found in zip(couples, self._counted(both, firsts, wide * wide), strict=True):
                    triples = found.reshape(wide, wide, wide)
                    result[first], result[second] = triples.sum(axis=2), triples.sum(axis=1)
            left = range(len(DIRECTIONS_3D) - 1, len(DIRECTIONS_3D))
        result[list(left)] = self._counted(self.flat, left, wide).reshape(-1, wide, wide)
        result[:, :, 0] = 0
        return result

    def _counted(self, line: NDArray[Any], numbers: Sequence[int], wide: int) -> NDArray[np.int64]:
        """Return how often a level meets a value of `line` along each direction of the given numbers."""
        length = (self.highest + 1) * wide
        kind: Any = np.uint16 if length <= 1 << 16 else np.int64
        counts = np.zeros((len(numbers), length), dtype=np.int64)
        ahead = [line[self.offset(DIRECTIONS_3D[number]) :] for number in numbers]
        for start in range(0, self.places.size, _BLOCK):
            at = self.places[start : start + _BLOCK]
            row = self.at_places[start : start + _BLOCK].astype(kind) * kind(wide)
            for count, other in zip(counts, ahead, strict=True):
                count += np.bincount(other.take(at, mode="wrap") + row, minlength=length)
        return counts


def discretise(region: Region, how: Discretisation, distance: int = 1) -> Levels:
    """Return the grey levels of a region.

    Raises:
        ImageContentError: no binning asked for and the intensities are not whole numbers.
        LimitError: more than 65535 levels.

    Source: IBSI reference manual 2.7.
    """
    spread = region.distribution.values
    edges = _numbered(spread, how, region.bounds[0])
    highest = int(edges[-1])
    count = _count(how, edges)
    if highest > MOST_LEVELS:
        raise LimitError(
            "too many grey levels for texture matrices",
            found=f"{highest} levels",
            expected=f"at most {MOST_LEVELS}",
            fix="use FixedBinNumber or a larger FixedBinSize",
        )
    dtype = np.dtype(np.uint8 if highest < 256 else np.uint16)
    array = np.zeros(region.image.shape, dtype=dtype)
    array[region.intensity] = _assigned(region.values, spread, edges, dtype, (how, region.bounds[0]))
    counts = region.distribution.counts
    tally = None if counts is None else np.bincount(edges, weights=counts, minlength=highest + 1).astype(np.int64)
    return Levels(array, count, highest, distance, tally)


def _assigned(
    values: NDArray[Any],
    spread: NDArray[np.float64],
    edges: NDArray[np.int64],
    dtype: np.dtype[Any],
    how: tuple[Discretisation, float | None],
) -> NDArray[Any]:
    """Return the level of each value: by a table for integers, by computing for others."""
    if values.dtype.kind not in "iub" or spread[-1] - spread[0] > _LOOKUP_RANGE:
        limits = spread[[0, -1]]
        return _numbered(values.astype(np.float64), how[0], how[1], limits).astype(dtype)
    table = np.zeros(int(spread[-1] - spread[0]) + 1, dtype=dtype)
    table[(spread - spread[0]).astype(np.int64)] = edges
    result = np.empty(values.shape, dtype=dtype)
    for start in range(0, values.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        result[part] = table.take(np.subtract(values[part], int(spread[0]), dtype=np.int64), mode="wrap")
    return result


def _numbered(
    values: NDArray[np.float64],
    how: Discretisation,
    lower: float | None,
    limits: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return the level of each value; `limits` are the smallest and largest value of the region."""
    low, high = (values[0], values[-1]) if limits is None else limits
    if isinstance(how, FixedBinNumber):
        if high == low:
            return np.ones(values.shape, dtype=np.int64)
        level = np.floor(how.bins * (values - low) / (high - low)) + 1
        return np.asarray(np.minimum(level, how.bins), dtype=np.int64)
    if isinstance(how, FixedBinSize):
        if how.origin == "zero":
            first = np.floor(low / how.width)
            return np.asarray(np.floor(values / how.width) - first + 1, dtype=np.int64)
        origin = low if lower is None else lower
        return np.asarray(np.maximum(np.floor((values - origin) / how.width) + 1, 1), dtype=np.int64)
    return _whole(values, low)


def _whole(values: NDArray[np.float64], low: float) -> NDArray[np.int64]:
    levels = np.rint(values)
    if not np.array_equal(levels, values):
        raise ImageContentError(
            "without binning the intensities must be whole numbers",
            found="fractions inside the segment",
            fix="use FixedBinNumber or FixedBinSize, or Interpolation(round_to=1)",
        )
    return np.asarray(levels + (1 - low if low < 1 else 0), dtype=np.int64)


def _count(how: Discretisation, edges: NDArray[np.int64]) -> int:
    if isinstance(how, FixedBinNumber):
        return how.bins
    first = 1 if isinstance(how, FixedBinSize) else int(edges[0])
    return int(edges[-1]) - first + 1
