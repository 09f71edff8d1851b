"""The graph of a thinned region: paths between junctions and ends, in voxels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

F64 = NDArray[np.float64]
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Path:
    """A line of points in order.

    Args:
        points: voxels, shape (n, dimensions); the middle of a junction at an end that has one, the first point again at
            the end of a closed line.
        voxels: indices of its own voxels in the list of the graph.
        ends: number of the junction at either end, -1 for a free end.
        closed: a ring without junction.
    """

    points: F64
    voxels: NDArray[np.int64]
    ends: tuple[int, int]
    closed: bool = False

    @property
    def free_ends(self) -> tuple[int, ...]:
        """Return 0 and -1, or those of them that are no junction."""
        return () if self.closed else tuple(k for k, at in zip((0, -1), self.ends, strict=True) if at < 0)

    @property
    def length(self) -> float:
        """Return its length in voxels."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())


@dataclass(frozen=True, eq=False)
class Graph:
    """Paths and junctions of the thinned region `line`; `junctions` are their middles in voxels."""

    line: NDArray[np.bool_]
    voxels: NDArray[np.int64]
    paths: tuple[Path, ...]
    junctions: F64


def graph_of(line: NDArray[np.bool_]) -> Graph:
    """Return the paths of a thinned region."""
    voxels = np.argwhere(line)
    links = _links(line, voxels)
    degree = np.diff(links.indptr)
    crossing = degree > 2
    count, group = connected_components(links[crossing][:, crossing], directed=False) if crossing.any() else (0, [])
    middles = np.array([voxels[crossing][group == k].mean(axis=0) for k in range(count)]).reshape(-1, line.ndim)
    junction = np.full(len(voxels), -1)
    junction[crossing] = group
    return Graph(line, voxels, tuple(_paths(voxels, links, junction, middles)), middles)


def without_spurs(graph: Graph, radii: F64, prune: float) -> Graph:
    """Return the graph without free pieces shorter than `prune` radii of the vessel at their junction."""
    for _ in range(_ROUNDS):
        spurs = _spurs(graph, radii, prune)
        if not spurs:
            return graph
        line = graph.line.copy()
        for path in spurs:
            line[tuple(graph.voxels[path.voxels].T)] = False
        graph = graph_of(line)
    return graph


def _spurs(graph: Graph, radii: F64, prune: float) -> list[Path]:
    """Return the free pieces to be taken away, never all pieces at a junction."""
    found: list[Path] = []
    for number, middle in enumerate(graph.junctions):
        here = [path for path in graph.paths if number in path.ends]
        limit = prune * float(radii[tuple(np.rint(middle).astype(int))])
        short = sorted((p for p in here if -1 in p.ends and p.length < limit), key=lambda path: path.length)
        found += short[: len(here) - 1] if len(short) == len(here) else short
    return found


def _links(line: NDArray[np.bool_], voxels: NDArray[np.int64]) -> csr_array:
    """Return which voxels are neighbours; a diagonal step that two shorter ones replace is left out.

    Without it a bend would look like a junction.
    """
    number = np.full(tuple(n + 2 for n in line.shape), -1, np.int64)
    number[tuple((voxels + 1).T)] = np.arange(len(voxels))
    size = (len(voxels), len(voxels))
    total, shorter = csr_array(size, dtype=np.int32), csr_array(size, dtype=np.int32)
    for length in range(1, line.ndim + 1):
        rows, columns = [], []
        for shift in product((-1, 0, 1), repeat=line.ndim):
            if np.abs(shift).sum() == length:
                other = number[tuple((voxels + 1 + shift).T)]
                rows.append(np.flatnonzero(other >= 0))
                columns.append(other[other >= 0])
        row, column = np.concatenate(rows), np.concatenate(columns)
        steps = csr_array((np.ones(len(row), np.int32), (row, column)), size)
        detour = (shorter @ shorter).astype(bool).astype(np.int32)
        total = total + (steps - steps.multiply(detour))
        shorter = shorter + steps
    total = csr_array(total)
    total.eliminate_zeros()
    return total


def _paths(voxels: NDArray[np.int64], links: csr_array, junction: NDArray[np.int64], middles: F64) -> list[Path]:
    """Return the pieces that are left when the junctions are taken out, walked from end to end."""
    neighbours = np.split(links.indices, links.indptr[1:-1])
    seen = junction >= 0
    paths = []
    degree = np.diff(links.indptr)
    plain = [[n for n in near if junction[n] < 0] for near in neighbours]
    # Ends first, rings last: a walk from an end or from beside a junction sees the whole piece.
    order = sorted(np.flatnonzero(junction < 0), key=lambda v: (len(plain[v]) > 1, v))
    for first in order:
        if seen[first]:
            continue
        walk = [int(first)]
        seen[first] = True
        while ahead := [n for n in plain[walk[-1]] if not seen[n]]:
            walk.append(int(ahead[0]))
            seen[ahead[0]] = True
        closed = len(walk) > 2 and walk[0] in plain[walk[-1]] and degree[walk[0]] == 2 == degree[walk[-1]]
        paths.append(_path(walk, voxels, neighbours, junction, middles, closed=closed and len(plain[walk[0]]) == 2))
    return paths


def _path(
    walk: list[int],
    voxels: NDArray[np.int64],
    neighbours: list[NDArray[np.int64]],
    junction: NDArray[np.int64],
    middles: F64,
    *,
    closed: bool,
) -> Path:
    points = voxels[walk].astype(np.float64)
    if closed:
        return Path(np.concatenate([points, points[:1]]), np.array(walk), (-1, -1), closed=True)
    beside = [[int(junction[n]) for n in neighbours[walk[k]] if junction[n] >= 0] for k in (0, -1)]
    if len(walk) == 1 and len(beside[0]) > 1:
        beside = [beside[0][:1], beside[0][1:]]
    elif len(walk) == 1:
        beside = [beside[0], []]
    ends = (beside[0][0] if beside[0] else -1, beside[1][0] if beside[1] else -1)
    parts = [points]
    if ends[0] >= 0:
        parts.insert(0, middles[ends[0]][None])
    if ends[1] >= 0:
        parts.append(middles[ends[1]][None])
    return Path(np.concatenate(parts), np.array(walk), ends)
