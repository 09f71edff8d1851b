"""Supervoxels: small even pieces of an image (SLIC), and their merging on the graph of neighbours."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import UsageError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment import inputs
from vesalius.segment.inputs import Flags

Array = NDArray[Any]

ROUNDS = 10
"""Iterations of SLIC; the authors found ten to suffice."""


def supervoxels(
    volume: Volume,
    *,
    count: int = 500,
    size_mm: float | None = None,
    compactness: float = 0.1,
    within: Mask | None = None,
) -> Mask:
    """Return small connected pieces of even brightness, as long in mm along every axis.

    Args:
        count: of pieces, about.
        size_mm: edge length of a piece, instead of the count.
        compactness: weight of nearness against likeness; brightness counts as a part of its range (1st to 99th
            percentile).
        within: region that is divided.

    Raises:
        UsageError: a parameter out of range.
        UnknownSpacingError: `size_mm` on an image that does not tell its pixel size.

    Source: Achanta 2012, doi:10.1109/TPAMI.2012.120
    """
    labels = slic(volume, count, size_mm, compactness, inputs.inside(volume, within))
    told = {"count": count, "size_mm": size_mm, "compactness": compactness, "within": within}
    return inputs.answer(volume, labels, inputs.pieces(int(labels.max()), "piece"), "supervoxels", **told)


def merged_supervoxels(
    volume: Volume,
    *,
    regions: int = 8,
    count: int = 500,
    size_mm: float | None = None,
    compactness: float = 0.1,
    within: Mask | None = None,
) -> Mask:
    """Return `regions` connected regions: supervoxels merged with the neighbour that adds least variance.

    Regions are ordered by their mean, 1 the darkest. Other parameters as in `supervoxels`.

    Raises:
        UsageError: a parameter out of range, or fewer supervoxels than regions.

    Source: Haris 1998, doi:10.1109/83.730380
    """
    region = inputs.inside(volume, within)
    labels = slic(volume, count, size_mm, compactness, region)
    filtering.between("regions", regions, 1, np.inf)
    if labels.max() < regions:
        raise UsageError(
            "there are fewer supervoxels than regions", found=f"{labels.max()}", expected=f"{regions} or more",
            fix="raise count, or lower regions",
        )  # fmt: skip
    values = inputs.brightness(volume, "merged-supervoxels")
    sizes, means = statistics(labels, values)
    merged = by_mean(merge(sizes, means, neighbours(labels), regions), sizes, means)
    told = {"regions": regions, "count": count, "size_mm": size_mm, "compactness": compactness, "within": within}
    found = merged[labels]
    return inputs.answer(volume, found, inputs.pieces(int(found.max()), "region"), "merged_supervoxels", **told)


def slic(
    volume: Volume, count: int, size_mm: float | None, compactness: float, region: Flags | None
) -> NDArray[np.int32]:
    """Return supervoxel labels 1..n, 0 outside the region."""
    import SimpleITK

    values = inputs.brightness(volume, "supervoxels").astype(np.float32)
    filtering.positive("compactness", compactness)
    box = _edges(volume, count, size_mm, region)
    crop = bounds(region) if region is not None else tuple(slice(0, n) for n in volume.shape)
    part = values[crop]
    low, high = np.percentile(part if region is None else values[region], (1, 99))
    scaled = np.clip((part - low) / max(float(high - low), 1e-30), -1, 2) if high > low else np.zeros_like(part)
    flat = scaled.shape[0] == 1
    image = SimpleITK.GetImageFromArray(scaled[0] if flat else scaled)
    grid = [max(1, min(b, n)) for b, n in zip(box, part.shape, strict=True)]
    given = list(reversed(grid[1:] if flat else grid))
    found = SimpleITK.GetArrayFromImage(SimpleITK.SLIC(image, given, compactness, ROUNDS))
    whole = np.zeros(volume.shape, np.int64)
    whole[crop] = found.reshape(part.shape).astype(np.int64) + 1
    if region is not None:
        whole[~region] = 0
    return _connected(whole)


def _edges(volume: Volume, count: int, size_mm: float | None, region: Flags | None) -> list[int]:
    """Return voxels per piece along each axis, so that its edges are equally long."""
    steps = np.array(inputs.lengths(volume))
    axes = [axis for axis in range(3) if volume.shape[axis] > 1]
    if size_mm is None:
        filtering.between("count", count, 1, np.inf)
        voxels = volume.array.shape[0] * volume.array.shape[1] * volume.array.shape[2]
        voxels = voxels if region is None else int(np.count_nonzero(region))
        if 2 * count > voxels:
            raise UsageError(
                "supervoxels of a single voxel say nothing",
                found=f"{count} pieces for {voxels} voxels",
                expected="at least two voxels per piece",
                fix=f"ask for fewer: --count {max(1, voxels // 16)}",
            )
        edge = float((voxels * np.prod(steps[axes]) / count) ** (1 / max(len(axes), 1)))
    else:
        edge = filtering.positive("size_mm", size_mm, "mm")
        inputs.millimetres(volume, "supervoxels")
    return [max(1, round(edge / steps[axis])) if axis in axes else 1 for axis in range(3)]


def bounds(region: Flags) -> tuple[slice, slice, slice]:
    """Return the smallest box around a region that is not empty."""
    ends = []
    for axis in range(3):
        seen = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append(slice(int(seen[0]), int(seen[-1]) + 1))
    return ends[0], ends[1], ends[2]


def _connected(labels: Array) -> NDArray[np.int32]:
    """Return the labels with each connected part numbered by itself; the region's border may have cut pieces in two."""
    from skimage.measure import label

    return np.asarray(label(labels, background=0, connectivity=1), np.int32)


def statistics(labels: Array, values: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return voxels and mean of each label, index 0 for the background."""
    flat = labels.ravel()
    sizes = np.bincount(flat).astype(np.float64)
    sums = np.bincount(flat, weights=values.ravel().astype(np.float64))
    return sizes, sums / np.maximum(sizes, 1)


def neighbours(labels: Array) -> NDArray[np.int64]:
    """Return the pairs of labels that share a face, each once, background left out."""
    found = []
    for axis in range(3):
        before = np.moveaxis(labels, axis, 0)[:-1].ravel()
        after = np.moveaxis(labels, axis, 0)[1:].ravel()
        apart = (before != after) & (before > 0) & (after > 0)
        pairs = np.sort(np.stack([before[apart], after[apart]], axis=1), axis=1).astype(np.int64)
        found.append(np.unique(pairs, axis=0))
    return np.unique(np.concatenate(found), axis=0)


def merge(
    sizes: NDArray[np.float64], means: NDArray[np.float64], pairs: NDArray[np.int64], regions: int
) -> NDArray[np.int64]:
    """Return the region of each label after merging neighbours, always those that add the least variance."""
    size, mean = sizes.tolist(), means.tolist()
    around: list[set[int]] = [set() for _ in size]
    for one, other in pairs.tolist():
        around[one].add(other)
        around[other].add(one)
    parent, version = list(range(len(size))), [0] * len(size)

    def cost(a: int, b: int) -> float:
        return float(size[a] * size[b] / (size[a] + size[b]) * (mean[a] - mean[b]) ** 2)

    heap = [(cost(a, b), a, b, 0, 0) for a, b in pairs.tolist()]
    heapq.heapify(heap)
    left = len(size) - 1
    while left > regions and heap:
        _, a, b, old_a, old_b = heapq.heappop(heap)
        if version[a] != old_a or version[b] != old_b or parent[a] != a or parent[b] != b:
            continue
        mean[a] = (size[a] * mean[a] + size[b] * mean[b]) / (size[a] + size[b])
        size[a] += size[b]
        parent[b], version[a], left = a, version[a] + 1, left - 1
        around[a] = (around[a] | around[b]) - {a, b}
        for other in around[a]:
            around[other].discard(b)
            around[other].add(a)
            heapq.heappush(heap, (cost(a, other), a, other, version[a], version[other]))
    return _roots(parent)


def _roots(parent: list[int]) -> NDArray[np.int64]:
    roots = np.array(parent)
    while (roots[roots] != roots).any():
        roots = roots[roots]
    return roots


def by_mean(groups: Array, sizes: Array, means: Array) -> NDArray[np.int64]:
    """Return the groups numbered 1..n from the darkest, 0 for label 0."""
    names, index = np.unique(groups[1:], return_inverse=True)
    total = np.bincount(index, weights=sizes[1:])
    mean = np.bincount(index, weights=sizes[1:] * means[1:]) / total
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(1, len(names) + 1)
    return np.concatenate([[0], rank[index]])


def parts_of(flags: Flags) -> tuple[Array, int]:
    """Return the components that share faces, and how many."""
    labels, count = ndimage.label(flags)
    return labels, int(count)
