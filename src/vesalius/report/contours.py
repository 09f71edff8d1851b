"""Contours of segments on one slice, each shared border drawn once in the colour of the inner segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.mask import Segment

_TOUCHING = 0.2
"""Share of another segment at a contour point from which the border counts as shared."""

Line = NDArray[np.float64]
"""Points (x, y) in mm of the view, shape (n, 2); NaN where the pen is lifted."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The border of one segment on one slice: lines, and beside each point who else is there."""

    segment: Segment
    lines: tuple[Line, ...]
    neighbours: tuple[Mapping[str, NDArray[np.float32]], ...]

    def length(self) -> int:
        """Return the number of points."""
        return sum(len(line) for line in self.lines)

    def outside(self) -> int:
        """Return the number of points where no other segment touches."""
        return sum(int((_most(beside, len(line)) < _TOUCHING).sum()) for line, beside in self._pairs())

    def path(self, drawn: Sequence[str]) -> Line:
        """Return all lines as one, the pen lifted between them and where a segment drawn already shares the border."""
        lift = np.full((1, 2), np.nan)
        parts = [lift]
        for line, beside in self._pairs():
            shared = _most({name: beside[name] for name in drawn if name in beside}, len(line)) >= _TOUCHING
            parts += [np.where(shared[:, None], np.nan, line), lift]
        return np.concatenate(parts)

    def _pairs(self) -> list[tuple[Line, Mapping[str, NDArray[np.float32]]]]:
        return list(zip(self.lines, self.neighbours, strict=True))


def _most(beside: Mapping[str, NDArray[np.float32]], count: int) -> NDArray[np.float32]:
    if not beside:
        return np.zeros(count, dtype=np.float32)
    most: NDArray[np.float32] = np.max(np.stack(list(beside.values())), axis=0)
    return most


def trace(shares: Sequence[tuple[Segment, NDArray[np.float32]]], size_mm: tuple[float, float]) -> tuple[Outline, ...]:
    """Return the 0.5 lines of each segment's share (0..1, [down, right]) on a slice of this size."""
    from contourpy import contour_generator

    outlines = []
    for segment, share in shares:
        if not share.max() >= 0.5 > share.min():
            continue
        x, y = (np.linspace(0, size, 2 * n + 1)[1::2] for size, n in zip(size_mm, share.shape[::-1], strict=True))
        lines = [
            np.asarray(line, dtype=np.float64) for line in contour_generator(x, y, share, name="serial").lines(0.5)
        ]
        others = {other.name: values for other, values in shares if other.name != segment.name}
        spots = tuple({name: _at(values, line, size_mm) for name, values in others.items()} for line in lines)
        outlines.append(Outline(segment, tuple(lines), spots))
    return tuple(outlines)


def _at(values: NDArray[np.float32], line: Line, size_mm: tuple[float, float]) -> NDArray[np.float32]:
    from scipy import ndimage

    rows, columns = values.shape
    index = np.stack([line[:, 1] / size_mm[1] * rows - 0.5, line[:, 0] / size_mm[0] * columns - 0.5])
    at: NDArray[np.float32] = ndimage.map_coordinates(values, index, order=1, mode="nearest")
    return at


def inner_first(outlines: Sequence[Outline]) -> tuple[Segment, ...]:
    """Return the segments from the innermost (least border with the background, then the shortest) outwards."""
    segments = {outline.segment.name: outline.segment for outline in outlines}

    def rank(name: str) -> tuple[float, int]:
        own = [outline for outline in outlines if outline.segment.name == name]
        length = sum(outline.length() for outline in own)
        return round(sum(outline.outside() for outline in own) / max(1, length), 1), length

    return tuple(segments[name] for name in sorted(segments, key=rank))
