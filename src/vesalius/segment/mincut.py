"""Minimum cuts of voxel graphs, exact where they are small and in a band around the border where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from vesalius.segment.inputs import Flags

Array = NDArray[Any]
F32 = NDArray[np.float32]

MOST_NODES = 40_000
"""Larger images are cut on blocks first: SciPy's maximum flow takes about a second for 100 000 nodes."""
BAND = 2
"""Voxels to each side of a coarse border among which the finer one is looked for."""
REACH = 2.0
"""Length, in shortest voxel edges, over which a sure voxel outweighs a border through an even area."""
WHOLE = 1000.0
"""Capacities are whole numbers: this many for one voxel."""
MOST = 1 << 24
SURE = 3.0
"""Multiple of the noise from which a difference is an edge, whatever its height."""
SAMPLE = 100_000
"""Neighbours looked at along an axis to tell the noise."""
SIGMA_PER_MEDIAN = 1.4826


@dataclass(frozen=True)
class Scene:
    """What is cut.

    Args:
        values: brightness [slice, row, column].
        likely: log odds of the foreground.
        seeds: 1 foreground, 2 background, 0 free.
        region: what takes part.
        spacing: lengths of a voxel.
    """

    values: Array
    likely: F32
    seeds: Array
    region: Flags
    spacing: tuple[float, ...]

    def halved(self) -> tuple[Scene, tuple[int, ...]]:
        """Return the scene on blocks of up to 2 x 2 x 2 voxels, nearly cubic, and the block's shape."""
        short = _shortest(self)
        steps = zip(self.spacing, self.values.shape, strict=True)
        block = tuple(2 if n > 1 and s < 1.5 * short else 1 for s, n in steps)
        weight = self.region.astype(np.float32)
        mass = blocks(weight, block)
        share = np.maximum(mass, 1e-6)
        front, back = (blocks((self.seeds == k).astype(np.float32), block) > 0 for k in (1, 2))
        seeds = np.where(front & ~back, 1, np.where(back & ~front, 2, 0))
        values = blocks(self.values * weight, block) / share
        likely = np.asarray(blocks(self.likely * weight, block) / share, np.float32)
        spacing = tuple(float(s * b) for s, b in zip(self.spacing, block, strict=True))
        return Scene(values, likely, seeds, mass > 0, spacing), block


def _shortest(scene: Scene) -> float:
    """Return the shortest voxel edge along an axis of several voxels."""
    steps = zip(scene.spacing, scene.values.shape, strict=True)
    return min((s for s, n in steps if n > 1), default=min(scene.spacing))


def blocks(values: Array, block: tuple[int, ...]) -> Array:
    """Return block means; blocks that the edge cuts count as if repeated."""
    for axis, size in enumerate(block):
        if size > 1:
            length = values.shape[axis]
            if length % size:
                widths = [(0, -length % size if a == axis else 0) for a in range(values.ndim)]
                values = np.pad(values, widths, mode="edge")
            first = np.moveaxis(values, axis, 0)
            values = np.moveaxis((first[0::2] + first[1::2]) * np.float32(0.5), 0, axis)
    return values


def repeated(values: Array, block: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return each block's value for all its voxels."""
    for axis, size in enumerate(block):
        if size > 1:
            values = np.repeat(values, size, axis=axis)
    return np.asarray(values[tuple(slice(0, n) for n in shape)])


def cut(scene: Scene) -> Flags:
    """Return the foreground of the cheapest cut."""
    noise = _noise(scene)
    unit = _shortest(scene)
    return _cut(scene, noise, unit)


def _cut(scene: Scene, noise: float, unit: float) -> Flags:
    free = scene.region & (scene.seeds == 0)
    if np.count_nonzero(free) <= MOST_NODES or max(scene.values.shape) < 4:
        return _solved(scene, scene.seeds == 1, free, noise, unit)
    coarse, block = scene.halved()
    guess = repeated(_cut(coarse, noise, unit), block, scene.values.shape)
    guess = (guess | (scene.seeds == 1)) & (scene.seeds != 2) & scene.region
    return _solved(scene, guess, free & _band(guess), noise, unit)


def _band(flags: Flags) -> Flags:
    near = np.zeros(flags.shape, bool)
    for axis in range(3):
        before, after = (_shifted(axis, *ends) for ends in ((None, -1), (1, None)))
        change = flags[before] != flags[after]
        near[before] |= change
        near[after] |= change
    grown = ndimage.binary_dilation(near, ndimage.generate_binary_structure(3, 1), iterations=BAND - 1)
    return np.asarray(grown)


def _shifted(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def pairs(region: Flags, axis: int) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the indices of neighbours along an axis that both lie in the region."""
    both = region[_shifted(axis, None, -1)] & region[_shifted(axis, 1, None)]
    one = np.nonzero(both)
    other = tuple(index + (a == axis) for a, index in enumerate(one))
    return one, other


def ways(scene: Scene, steep: float) -> tuple[sparse.csr_array, NDArray[np.int64]]:
    """Return the lengths of steps between neighbours in the region, and the number of each voxel, -1 outside.

    Args:
        steep: shortest voxel edges that a difference of the size of the noise adds.
    """
    nodes = np.full(scene.values.shape, -1, np.int64)
    nodes[scene.region] = np.arange(np.count_nonzero(scene.region))
    width = np.sqrt(_noise(scene))
    rows, columns, costs = [], [], []
    for axis in range(3):
        one, other = pairs(scene.region, axis)
        change = np.abs(scene.values[one].astype(np.float64) - scene.values[other]) / width
        rows.append(nodes[one])
        columns.append(nodes[other])
        costs.append(scene.spacing[axis] + steep * _shortest(scene) * np.minimum(change, SURE))
    count = int(np.count_nonzero(scene.region))
    links = (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(links, shape=(count, count)), nodes


def _noise(scene: Scene) -> float:
    """Return the square of what neighbours in an even area differ by.

    From the median, because a mean would follow the few large steps, and without equal neighbours, which padding is
    made of.
    """
    found = []
    for axis in range(3):
        before, after = _shifted(axis, None, -1), _shifted(axis, 1, None)
        both = np.flatnonzero(scene.region[before] & scene.region[after])
        both = both[:: 2 * (both.size // (2 * SAMPLE)) + 1]
        change = scene.values[after].ravel()[both].astype(np.float64) - scene.values[before].ravel()[both]
        found.append(np.abs(change[change != 0]))
    differences = np.concatenate(found)
    return max((SIGMA_PER_MEDIAN * float(np.median(differences))) ** 2, 1e-30) if differences.size else 1.0


def _solved(scene: Scene, known: Flags, free: Flags, noise: float, unit: float) -> Flags:
    """Return the cheapest cut of the free voxels, the others as known."""
    places = np.flatnonzero(free)
    if not len(places):
        return known
    nodes = np.full(free.size, -1, np.int32)
    nodes[places] = np.arange(len(places), dtype=np.int32)
    volume = float(np.prod(scene.spacing)) / unit**3
    terminal = scene.likely.ravel()[places].astype(np.float64) * volume
    links: list[tuple[Array, Array, Array]] = []
    for axis in range(3):
        area = REACH * volume * unit / scene.spacing[axis]
        for step in (1, -1):
            first, other, weight = _links(scene, places, axis, step)
            weight = area * np.exp(-weight / (2 * noise))
            second = nodes[other]
            fixed = second < 0
            towards = np.where(known.ravel()[other[fixed]], weight[fixed], -weight[fixed])
            terminal += np.bincount(first[fixed], weights=towards, minlength=len(places))
            if step == 1:
                links.append((first[~fixed], second[~fixed], weight[~fixed]))
    answer = known.copy()
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*links, strict=True))
    answer.ravel()[places] = _flow(rows, columns, weights, terminal)
    return answer


def _links(scene: Scene, places: Array, axis: int, step: int) -> tuple[Array, Array, Array]:
    """Return, for places with a neighbour along an axis: number, neighbour's place, squared difference."""
    shape = scene.values.shape
    stride = int(np.prod(shape[axis + 1 :]))
    along = (places // stride) % shape[axis]
    numbers = np.flatnonzero(along + step < shape[axis] if step > 0 else along > 0)
    other = places[numbers] + step * stride
    kept = scene.region.ravel()[other]
    numbers, other = numbers[kept], other[kept]
    values = scene.values.ravel()
    change = values[places[numbers]].astype(np.float64) - values[other]
    return numbers, other, change * change


def _flow(rows: Array, columns: Array, weights: Array, terminal: Array) -> Flags:
    """Return which nodes stay with the source: the source where `terminal` is above 0, the sink below."""
    count = len(terminal)
    source, sink = count, count + 1
    capacity = np.minimum(np.rint(weights * WHOLE), MOST).astype(np.int32)
    tied = np.minimum(np.rint(np.abs(terminal) * WHOLE), MOST).astype(np.int32)
    front, back = np.flatnonzero(terminal > 0), np.flatnonzero(terminal < 0)
    start = np.concatenate([rows, columns, np.full(len(front), source), back])
    stop = np.concatenate([columns, rows, front, np.full(len(back), sink)])
    sizes = np.concatenate([capacity, capacity, tied[front], tied[back]])
    graph = sparse.csr_array((sizes, (start, stop)), shape=(count + 2, count + 2), dtype=np.int32)
    flow = csgraph.maximum_flow(sparse.csr_matrix(graph), source, sink).flow
    left = sparse.csr_matrix(graph - flow)
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = csgraph.breadth_first_order(left, source, return_predecessors=False)
    inside = np.zeros(count + 2, bool)
    inside[reached] = True
    return inside[:count]
