"""Graphs: the cheapest border between seeds, random walks, and strongest paths.

Every function takes 2-D (one slice thick) and 3-D images; neighbours share a face and count by the voxel's shape, so
that 1 x 1 x 1 and 1 x 1 x 4 mm give the same border. Seeds keep their label. `within` limits what is labelled.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from vesalius.core.errors import GeometryError
from vesalius.core.mask import Mask
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment import inputs, mincut, resemblance
from vesalius.segment.inputs import Flags, SeedsLike
from vesalius.segment.supervoxel import bounds

Array = NDArray[Any]
Model = Literal["histogram", "gaussian"]
MODELS = ("histogram", "gaussian")

LEAST_STEP = 1e-10
"""Chance of a step over the steepest edge, so that every voxel reaches a seed."""
EXACT, MOST_ROUNDS = 1e-4, 5000
"""Relative residual at which the chances are known well enough, and the most rounds of conjugate gradients."""
FALL_PER_VOXEL = 1e-3
"""Loss of strength along the shortest voxel edge in an even area: the nearer of two alike seeds wins."""


def graph_cut(
    volume: Volume,
    *,
    foreground: SeedsLike,
    background: SeedsLike,
    model: Model = "histogram",
    balance: float = 0.3,
    within: Mask | None = None,
) -> Mask:
    """Return the side of the foreground's seeds of the cheapest border between both kinds of seeds.

    A border costs its area, less where neighbours differ; a voxel costs by how little it is like the seeds of its
    side. The cut is exact up to 40 000 voxels; above that it is found on blocks of voxels and then made exact in a band
    around the border, halving the blocks, so that parts thinner than a block may be missed far from seeds.

    Args:
        foreground: seeds of what is looked for.
        background: seeds of the rest.
        model: brightness of the seeds, as a smoothed "histogram" or one "gaussian" each.
        balance: weight of the brightness against the border; 0 for the border alone, 1 for pictures whose parts
            differ clearly.
        within: region that is divided.

    Raises:
        GeometryError: a seed outside the image, or of both kinds.
        UsageError: a parameter out of range.

    Source: Boykov and Jolly 2001, doi:10.1109/ICCV.2001.937505; weights: Boykov 2003, doi:10.1109/ICCV.2003.1238310
    """
    if model not in MODELS:
        raise unknown("model of brightness", model, MODELS)
    filtering.between("balance", balance, 0, np.inf)
    values, seeds, region, box, _ = _prepared(volume, "graph-cut", (foreground, background, None), within)
    learn = resemblance.by_histograms if model == "histogram" else resemblance.by_gaussians
    likely = learn(values, seeds == 1, seeds == 2)
    found = np.zeros(volume.shape, bool)
    found[box] = mincut.cut(mincut.Scene(values, likely * np.float32(balance), seeds, region, inputs.lengths(volume)))
    told = {"model": model, "balance": balance}
    return inputs.answer(
        volume, found, {1: inputs.REGION}, "graph_cut", foreground=foreground, background=background, within=within,
        **told,
    )  # fmt: skip


def random_walker(
    volume: Volume,
    *,
    foreground: SeedsLike | None = None,
    background: SeedsLike | None = None,
    markers: Mask | None = None,
    beta: float = 40.0,
    within: Mask | None = None,
) -> Mask:
    """Return, for each voxel, the seed that a random walk from it reaches first; steps over edges are rare.

    Give `foreground` and `background`, or `markers` with one segment per kind of seed.

    Args:
        foreground: seeds of what is looked for.
        background: seeds of the rest.
        markers: seeds of several segments at once.
        beta: how much edges hold the walk back: a step over a difference of the image's standard deviation is
            exp(-beta / 10) as likely as one in an even area.
        within: region that is divided.

    Raises:
        UsageError: seeds of one kind only.
        GeometryError: a seed outside the image, or of both kinds.

    Source: Grady 2006, doi:10.1109/TPAMI.2006.233
    """
    filtering.positive("beta", beta)
    values, seeds, region, box, segments = _prepared(volume, "random-walker", (foreground, background, markers), within)
    found = np.zeros(volume.shape, np.int32)
    found[box] = _reached(values.astype(np.float64), seeds, region, inputs.lengths(volume), beta)
    return _labelled(volume, found, segments, "random_walker", (foreground, background, markers, within), beta=beta)


def _reached(values: Array, seeds: Array, region: Flags, spacing: tuple[float, ...], beta: float) -> Array:
    """Return the label of the seed that a walk from each voxel reaches first, most often."""
    parts, count = ndimage.label(region)
    walked = np.zeros(count + 1, bool)
    walked[parts[(seeds > 0) & region]] = True
    walked[0] = False
    region = walked[parts]
    free = region & (seeds == 0)
    nodes = np.full(values.shape, -1, np.int64)
    nodes[free], nodes[region & ~free] = np.arange(free.sum()), -2
    steps, links = _steps(values, region, spacing, beta), []
    known = np.unique(seeds[region & ~free])
    total, towards = np.zeros(free.sum()), np.zeros((len(known), int(free.sum())))
    for one, other, weight in steps:
        for start, stop in ((one, other), (other, one)):
            here, there = nodes[start], nodes[stop]
            inner = here >= 0
            total += np.bincount(here[inner], weights=weight[inner], minlength=len(total))
            both, fixed = inner & (there >= 0), inner & (there == -2)
            links.append((here[both], there[both], -weight[both]))
            rank = np.searchsorted(known, seeds[stop][fixed])
            for label, side in enumerate(towards):
                side += np.bincount(here[fixed], weights=weight[fixed] * (rank == label), minlength=len(total))
    chances = _chances(links, total, towards)
    labels = np.where(region, seeds, 0).astype(np.int32)
    labels[free] = known[np.argmax(chances, axis=0)]
    return labels


def _steps(
    values: Array, region: Flags, spacing: tuple[float, ...], beta: float
) -> list[tuple[tuple[Array, ...], tuple[Array, ...], Array]]:
    """Return neighbours along each axis with the chance of a step, relative to one along the shortest edge."""
    spread = max(float(values[region].std()), 1e-30)
    found = []
    for axis in range(3):
        one, other = mincut.pairs(region, axis)
        change = (values[one] - values[other]) / spread
        near = (min(spacing) / spacing[axis]) ** 2
        found.append((one, other, near * np.exp(-beta / 10 * change**2) + LEAST_STEP))
    return found


def _chances(links: list[tuple[Array, Array, Array]], total: Array, towards: Array) -> Array:
    """Return the chance of each label per free voxel: the discrete Dirichlet problem, all labels but the last."""
    rows, columns, weights = (np.concatenate(part) for part in zip(*links, strict=True))
    numbers = np.arange(len(total))
    where = (np.concatenate([rows, numbers]), np.concatenate([columns, numbers]))
    system = sparse.csr_array((np.concatenate([weights, total]), where), shape=(len(total),) * 2)
    scale = sparse.dia_array((1 / total[None], [0]), shape=system.shape)
    chances = np.empty_like(towards)
    for label, side in enumerate(towards[:-1]):
        chances[label], _ = sparse.linalg.cg(system, side, rtol=EXACT, atol=0.0, M=scale, maxiter=MOST_ROUNDS)
    chances[-1] = 1 - chances[:-1].sum(axis=0)
    return chances


def grow_cut(
    volume: Volume,
    *,
    foreground: SeedsLike | None = None,
    background: SeedsLike | None = None,
    markers: Mask | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return, for each voxel, the seed with the strongest path to it; a step over a difference weakens a path.

    What the cellular automaton of GrowCut converges to, found at once as shortest paths. Give `foreground` and
    `background`, or `markers` with one segment per kind of seed.

    Raises:
        UsageError: seeds of one kind only.
        GeometryError: a seed outside the image, or of both kinds.

    Source: Vezhnevets 2005, GrowCut, Graphicon; shortest paths: Zhu 2014, doi:10.1117/12.2043400
    """
    values, seeds, region, box, segments = _prepared(volume, "grow-cut", (foreground, background, markers), within)
    found = np.zeros(volume.shape, np.int32)
    found[box] = _strongest(values.astype(np.float32), seeds, region, inputs.lengths(volume))
    return _labelled(volume, found, segments, "grow_cut", (foreground, background, markers, within))


def _strongest(values: Array, seeds: Array, region: Flags, spacing: tuple[float, ...]) -> Array:
    nodes = np.full(values.shape, -1, np.int64)
    nodes[region] = np.arange(np.count_nonzero(region))
    wide = max(float(np.ptp(values[region])), 1e-30)
    rows, columns, costs = [], [], []
    for axis in range(3):
        one, other = mincut.pairs(region, axis)
        loss = np.minimum(np.abs(values[one] - values[other]) / wide, 1 - 1e-6)
        rows.append(nodes[one])
        columns.append(nodes[other])
        costs.append(-np.log1p(-loss) + FALL_PER_VOXEL * spacing[axis] / min(spacing))
    shape = (np.count_nonzero(region),) * 2
    graph = sparse.csr_array((np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    start = nodes[(seeds > 0) & region]
    _, _, sources = sparse.csgraph.dijkstra(
        graph, directed=False, indices=start, min_only=True, return_predecessors=True
    )
    labels = np.zeros(values.shape, np.int32)
    inside = np.zeros(shape[0], np.int32)
    reached = sources >= 0
    inside[reached] = seeds[region][sources[reached]]
    labels[region] = inside
    return labels


def _prepared(
    volume: Volume, what: str, kinds: tuple[SeedsLike | None, SeedsLike | None, Mask | None], within: Mask | None
) -> tuple[Array, Array, Flags, tuple[slice, slice, slice], dict[int, Any]]:
    """Return brightness, seed labels and region, all cut to the region's box, the box, and the segments."""
    values = inputs.brightness(volume, what)
    seeds, segments = inputs.seeds_of(volume, *kinds)
    region = inputs.inside(volume, within)
    if region is None:
        box = (slice(None), slice(None), slice(None))
        return values, seeds, np.ones(values.shape, bool), box, segments
    lost = [int(label) for label in np.unique(seeds[seeds > 0]) if not (region & (seeds == label)).any()]
    if lost:
        raise GeometryError(
            "seeds of every kind must lie in `within`",
            found=f"none of {', '.join('background' if k not in segments else segments[k].name for k in lost)}",
            fix="move a seed into the mask, or widen the mask",
        )
    cut = bounds(region)
    return values[cut], np.where(region, seeds, 0)[cut], region[cut], cut, segments


def _labelled(
    volume: Volume, labels: Array, segments: dict[int, Any], operation: str, given: tuple[Any, ...], **told: object
) -> Mask:
    """Return the mask; labels without a segment are background."""
    kept = np.isin(labels, list(segments))
    names = dict(zip(("foreground", "background", "markers", "within"), given, strict=True))
    return inputs.answer(volume, np.where(kept, labels, 0), segments, operation, **names, **told)
