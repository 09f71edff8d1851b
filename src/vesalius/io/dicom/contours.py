"""Outlines of a region on a slice, and regions from outlines: what RTSTRUCT is made of. Points are (row, column).

A pixel is inside when its centre is, by the even-odd rule, or when its centre lies on an outline: others draw through
the centres of boundary pixels. We draw along pixel edges, where no centre is, so that what is read back is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LimitError

F64 = NDArray[np.float64]
Inside = NDArray[np.bool_]
Vertex = tuple[int, int]

ON_EDGE = 0.01
"""Pixels; a centre nearer than this to an outline lies on it. Coordinates come rounded to about a hundredth of a mm."""
MAX_CROSSINGS = 200_000_000
"""Rows that the edges of one outline may cross together: an honest one on 512 x 512 pixels crosses some thousand."""
_CHUNK = 1 << 21
_STEPS: tuple[Vertex, ...] = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Right, down, left, up: an outline runs clockwise on the screen, the region on its right."""


def outlines(inside: Inside) -> list[F64]:
    """Return closed outlines along pixel edges, one per part; holes are joined to their part by keyholes.

    Parts that touch at a corner only are apart. The first point is not repeated at the end.
    """
    loops = list(_loops(np.pad(inside, 1)))
    outer = [loop for loop in loops if _area(loop) > 0]
    holes = [loop for loop in loops if _area(loop) < 0]
    joined = _with_keyholes(outer, holes) if holes else outer
    # The padded pixel (1, 1) is our (0, 0), and its first corner lies half a pixel before its centre.
    return [np.array(_corners(loop), dtype=np.float64) - 1.5 for loop in joined]


def _loops(inside: Inside) -> Iterator[list[Vertex]]:
    """Yield the closed loops of pixel edges between inside and outside, every corner of a pixel a vertex."""
    ahead = _edges(inside)
    starts = np.argwhere(ahead.any(axis=0))
    for start in [(int(row), int(column)) for row, column in starts]:
        for first in range(4):
            if not ahead[first][start]:
                continue
            loop, at, direction = [], start, first
            while ahead[direction][at]:
                ahead[direction][at] = False
                loop.append(at)
                at = (at[0] + _STEPS[direction][0], at[1] + _STEPS[direction][1])
                # Keeping to the right stays with the same pixel where two touch at a corner.
                turns = ((direction + 1) % 4, direction, (direction + 3) % 4)
                direction = next((turn for turn in turns if ahead[turn][at]), direction)
            yield loop


def _edges(inside: Inside) -> Inside:
    """Return from which corners an edge of an outline goes right, down, left and up."""
    rows, columns = inside.shape
    result = np.zeros((4, rows + 1, columns + 1), bool)
    above, below, before, after = (np.zeros_like(inside) for _ in range(4))
    above[1:], below[:-1], before[:, 1:], after[:, :-1] = inside[:-1], inside[1:], inside[:, :-1], inside[:, 1:]
    result[0, :-1, :-1] = inside & ~above
    result[1, :-1, 1:] = inside & ~after
    result[2, 1:, 1:] = inside & ~below
    result[3, 1:, :-1] = inside & ~before
    return result


def _area(loop: Sequence[Vertex]) -> float:
    points = np.array(loop, dtype=np.float64)
    after = np.roll(points, -1, axis=0)
    return float((points[:, 1] * after[:, 0] - after[:, 1] * points[:, 0]).sum() / 2)


def _with_keyholes(outer: list[list[Vertex]], holes: list[list[Vertex]]) -> list[list[Vertex]]:
    """Return the outer loops with every hole drawn in through a cut of no width.

    From its topmost, then leftmost corner a hole is joined to the first loop above, which may be another hole that
    has been joined before: the holes come in the order of these corners.
    """
    holes = sorted((_from_top(hole) for hole in holes), key=lambda hole: hole[0])
    loops = [*outer, *holes]
    owner = list(range(len(loops)))
    at: dict[Vertex, list[int]] = {}
    for number, loop in enumerate(loops):
        for vertex in loop:
            at.setdefault(vertex, []).append(number)
    for number in range(len(outer), len(loops)):
        row, column = loops[number][0]
        while True:
            found = [owner[other] for other in at.get((row, column), []) if owner[other] != number]
            if found:
                break
            row -= 1
        target, place = loops[found[0]], loops[found[0]].index((row, column))
        hole = loops[number]
        loops[found[0]] = [*target[: place + 1], *hole, hole[0], *target[place:]]
        owner = [found[0] if own == number else own for own in owner]
    return loops[: len(outer)]


def _from_top(loop: list[Vertex]) -> list[Vertex]:
    first = loop.index(min(loop))
    return loop[first:] + loop[:first]


def _corners(loop: list[Vertex]) -> list[Vertex]:
    """Return the vertices where the direction changes; a cut that turns back is one."""
    unique = [v for v, before in zip(loop, [loop[-1], *loop[:-1]], strict=True) if v != before]
    kept = []
    for before, vertex, after in zip([unique[-1], *unique[:-1]], unique, [*unique[1:], unique[0]], strict=True):
        came = (np.sign(vertex[0] - before[0]), np.sign(vertex[1] - before[1]))
        goes = (np.sign(after[0] - vertex[0]), np.sign(after[1] - vertex[1]))
        if came != goes:
            kept.append(vertex)
    return kept


def filled(points: F64, shape: tuple[int, int]) -> tuple[Inside, Inside]:
    """Return the pixels whose centre is inside a closed outline, and those whose centre lies on it.

    Args:
        points: (row, column) in pixels, the last joined to the first; parts beyond the slice are cut off.

    Raises:
        LimitError: the edges cross more rows than any honest outline does.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), np.uint8)
    on_edge = np.zeros(shape, bool)
    points = np.concatenate([points, points[:1]])
    for edges in _in_parts(points, shape[0]):
        edge, row = edges
        start, end = points[edge], points[edge + 1]
        rise = end[:, 0] - start[:, 0]
        flat = np.abs(rise) < 1e-12
        share = np.clip((row - start[:, 0]) / np.where(flat, 1, rise), 0, 1)
        column = start[:, 1] + share * (end[:, 1] - start[:, 1])
        crosses = (start[:, 0] <= row) != (end[:, 0] <= row)
        first = np.clip(np.ceil(column[crosses]), 0, shape[1]).astype(np.int64)
        np.bitwise_xor.at(toggles, (row[crosses], first), np.uint8(1))
        near = np.rint(column)
        hit = (np.abs(column - near) <= ON_EDGE) & (near >= 0) & (near < shape[1])
        on_edge[row[hit], near[hit].astype(np.int64)] = True
        _along_rows(on_edge, start, end, row)
    inside = np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)
    return inside, on_edge


def _in_parts(points: F64, rows: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (edge, row) for every row that an edge reaches, in parts that fit into memory."""
    low, high = np.minimum(points[:-1, 0], points[1:, 0]), np.maximum(points[:-1, 0], points[1:, 0])
    first = np.clip(np.ceil(low - ON_EDGE), 0, rows).astype(np.int64)
    counts = np.maximum(np.clip(np.floor(high + ON_EDGE), -1, rows - 1).astype(np.int64) - first + 1, 0)
    total = np.cumsum(counts)
    if len(total) and total[-1] > MAX_CROSSINGS:
        raise LimitError(
            "an outline winds more than any drawing does",
            found=f"{len(counts)} points crossing {int(total[-1])} rows",
            expected=f"at most {MAX_CROSSINGS}",
        )
    bounds = np.unique(np.searchsorted(total, np.arange(_CHUNK, int(total[-1]) + _CHUNK, _CHUNK), side="left"))
    begin = 0
    for end in (*(int(b) + 1 for b in bounds), len(counts)):
        edge = np.repeat(np.arange(begin, min(end, len(counts))), counts[begin:end])
        if len(edge):
            own = counts[begin:end]
            row = np.arange(len(edge)) - np.repeat(np.cumsum(own) - own, own) + first[edge]
            yield edge, row
        begin = max(begin, end)


def _along_rows(on_edge: Inside, start: F64, end: F64, row: NDArray[np.int64]) -> None:
    """Mark the centres along edges that run within a row of centres."""
    level = (np.abs(start[:, 0] - row) <= ON_EDGE) & (np.abs(end[:, 0] - row) <= ON_EDGE)
    low, high = np.minimum(start[level, 1], end[level, 1]), np.maximum(start[level, 1], end[level, 1])
    columns = on_edge.shape[1]
    first = np.clip(np.ceil(low - ON_EDGE), 0, columns).astype(np.int64)
    last = np.clip(np.floor(high + ON_EDGE), -1, columns - 1).astype(np.int64)
    for line, begin, stop in zip(row[level].tolist(), first.tolist(), last.tolist(), strict=True):
        on_edge[line, begin : stop + 1] = True
