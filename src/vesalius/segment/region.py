"""Regions: growing from seeds, and basins of the gradient.

Every function takes 2-D (one slice thick) and 3-D images; neighbours share a face. `within` limits both what is looked
at and what is labelled.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import ImageContentError, LabelError, UsageError
from vesalius.core.mask import Mask, present_labels
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, windowed
from vesalius.segment import inputs
from vesalius.segment.inputs import Flags, SeedsLike
from vesalius.segment.threshold import ends

Array = NDArray[Any]
Relief = Literal["gradient", "distance"]
RELIEFS = ("gradient", "distance")


def connected(
    volume: Volume,
    *,
    seeds: SeedsLike,
    low: float | None = None,
    high: float | None = None,
    tolerance: float | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return the voxels from `low` to `high` that hang together with a seed.

    Args:
        seeds: where the region starts.
        low: lowest value that belongs, image units.
        high: highest value that belongs, image units.
        tolerance: instead of both, how far values lie from the seeds' mean, image units.
        within: region that is not left.

    Raises:
        UsageError: no range, or no seed has a value in it.
        GeometryError: a seed outside the image or `within`.
    """
    values = inputs.brightness(volume, "connected")
    region = inputs.inside(volume, within)
    start = inputs.need_seeds(inputs.marked(volume, seeds, "seeds"), region, "seeds")
    if tolerance is not None:
        if low is not None or high is not None:
            raise UsageError("give a range, or a tolerance", found="both", fix="leave tolerance out")
        width, middle = filtering.between("tolerance", tolerance, 0, np.inf), float(values[start].mean())
        low, high = middle - width, middle + width
    ends(low, high)
    found = _grown(values, start, (low, high), region)
    if not found.any():
        here = values[start]
        raise UsageError(
            "no seed has a value in the range",
            found=f"seeds from {float(here.min()):g} to {float(here.max()):g}",
            expected=f"{'any' if low is None else format(low, 'g')} to {'any' if high is None else format(high, 'g')}",
            fix="move the seeds, or widen the range",
        )
    return inputs.answer(volume, found, {1: inputs.REGION}, "connected", seeds=seeds, low=low, high=high, within=within)


def _grown(values: Array, start: Flags, limits: tuple[float | None, float | None], region: Flags | None) -> Flags:
    low, high = limits
    allowed = np.ones(values.shape, bool) if region is None else region.copy()
    if low is not None:
        allowed &= values >= low
    if high is not None:
        allowed &= values <= high
    parts, count = ndimage.label(allowed)
    chosen = np.zeros(count + 1, bool)
    chosen[parts[start]] = True
    chosen[0] = False
    return np.asarray(chosen[parts])


def confidence(
    volume: Volume,
    *,
    seeds: SeedsLike,
    multiplier: float = 2.5,
    iterations: int = 5,
    radius_mm: float | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return what hangs together with the seeds and lies within some standard deviations of the region's mean.

    Mean and spread are first those around the seeds, then those of the region, as in ITK. The range always includes
    the seeds' own values.

    Args:
        seeds: where the region starts.
        multiplier: of the standard deviation.
        iterations: how often mean and spread are taken anew.
        radius_mm: half the edge of the box around each seed; default one voxel.
        within: region that is not left.

    Raises:
        UsageError: a parameter out of range.
        GeometryError: a seed outside the image or `within`.

    Source: Yoo 2002, Engineering and algorithm design for ITK; itk::ConfidenceConnectedImageFilter
    """
    values = inputs.brightness(volume, "confidence")
    region = inputs.inside(volume, within)
    start = inputs.need_seeds(inputs.marked(volume, seeds, "seeds"), region, "seeds")
    filtering.positive("multiplier", multiplier)
    filtering.between("iterations", iterations, 0, 1000)
    own = values[start].astype(np.float64)
    mean, variance = _around(volume, values, start, radius_mm, region)
    for _ in range(iterations + 1):
        width = multiplier * np.sqrt(variance)
        limits = (min(mean - width, float(own.min())), max(mean + width, float(own.max())))
        found = _grown(values, start, limits, region)
        chosen = values[found].astype(np.float64)
        mean, variance = float(chosen.mean()), float(chosen.var(ddof=1)) if chosen.size > 1 else 0.0
    told = {"multiplier": multiplier, "iterations": iterations, "radius_mm": radius_mm}
    return inputs.answer(volume, found, {1: inputs.REGION}, "confidence", seeds=seeds, within=within, **told)


def _around(
    volume: Volume, values: Array, start: Flags, radius_mm: float | None, region: Flags | None
) -> tuple[float, float]:
    """Return mean and variance of the boxes around the seeds, the mean of each box's own."""
    if radius_mm is None:
        reach = tuple(int(n > 1) for n in volume.shape)
    else:
        reach = filtering.radii(volume, filtering.positive("radius_mm", radius_mm, "mm"))
    means, variances = [], []
    for place in np.argwhere(start):
        box = tuple(slice(max(p - r, 0), p + r + 1) for p, r in zip(place, reach, strict=True))
        near = (values[box] if region is None else values[box][region[box]]).astype(np.float64)
        means.append(near.mean())
        variances.append(near.var(ddof=1) if near.size > 1 else 0.0)
    return float(np.mean(means)), float(np.mean(variances))


def watershed(
    volume: Volume,
    *,
    markers: Mask | None = None,
    relief: Relief = "gradient",
    depth: float = 0.05,
    sigma_mm: float | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return the basins of a relief: of the gradient, or, to take joined bodies apart, of the distance to the border.

    Args:
        markers: one segment per basin, which the result keeps; default every basin deeper than `depth`.
        relief: "gradient" of the image per mm, or "distance" to the border of `within`, which is then needed.
        depth: of a basin found automatically, as a part of the relief's range (1st to 99.9th percentile), 0 to 1.
        sigma_mm: smoothing before the gradient, standard deviation; default none.
        within: region that is divided.

    Raises:
        UsageError: "distance" without `within`, or a parameter out of range.
        LabelError: markers without a voxel in `within`.
        ImageContentError: all voxels are equal.

    Source: Vincent and Soille 1991, doi:10.1109/34.87344
    """
    from skimage.segmentation import watershed as flood

    if relief not in RELIEFS:
        raise unknown("relief", relief, RELIEFS)
    filtering.between("depth", depth, 0, 1)
    region = inputs.inside(volume, within)
    height = _gradient(volume, sigma_mm, region) if relief == "gradient" else _distance(volume, region)
    if markers is None:
        places, count = _basins(height, depth, region)
        segments = inputs.pieces(count, "basin")
    else:
        inputs.same_grid(volume, markers, "markers")
        places = markers.array.astype(np.int32) if region is None else np.where(region, markers.array, 0)
        known = [label for label in present_labels(places) if label]
        if not known:
            raise LabelError("the markers hold no voxel to start from", found="none", fix="paint one per basin")
        segments = {label: markers.segments[label] for label in known}
    labels = flood(height, places.astype(np.int32), mask=region)
    told = {"relief": relief, "depth": depth, "sigma_mm": sigma_mm}
    return inputs.answer(volume, labels, segments, "watershed", markers=markers, within=within, **told)


def _gradient(volume: Volume, sigma_mm: float | None, region: Flags | None) -> Array:
    values = inputs.brightness(volume, "watershed")
    inputs.varied(values if region is None else values[region], "watershed")
    smooth = values.astype(np.float32)
    if sigma_mm is not None:
        smooth = windowed.gaussian(smooth, filtering.in_voxels(volume, filtering.positive("sigma_mm", sigma_mm, "mm")))
    return slope(smooth, inputs.lengths(volume))


def slope(values: Array, spacing: tuple[float, ...]) -> Array:
    """Return the length of the gradient, image units per unit of the spacing."""
    total = np.zeros(values.shape, np.float32)
    for axis, step in enumerate(spacing):
        if values.shape[axis] > 1:
            total += (np.gradient(values, axis=axis) / np.float32(step)) ** 2
    return np.sqrt(total)


def _distance(volume: Volume, region: Flags | None) -> Array:
    if region is None:
        raise UsageError("the distance to a border needs a mask", found="no within", fix="give within: what is joined")
    if region.all():
        raise ImageContentError("`within` has no border: it fills the image", fix="pad the image: volume.pad")
    return np.asarray(-ndimage.distance_transform_edt(region, sampling=inputs.lengths(volume)), np.float32)


def _basins(height: Array, depth: float, region: Flags | None) -> tuple[Array, int]:
    """Return a label per basin deeper than `depth`, at its floor."""
    from skimage.morphology import local_minima, reconstruction

    seen = height if region is None else height[region]
    low, high = np.percentile(seen, (1, 99.9))
    walled = height if region is None else np.where(region, height, height.max())
    faces = ndimage.generate_binary_structure(3, 1)
    filled = walled
    if depth:
        filled = reconstruction(walled + np.float32(depth * (high - low)), walled, method="erosion", footprint=faces)
    flat = filled.min() == filled.max()
    floors = np.ones(height.shape, bool) if flat else local_minima(filled.astype(np.float32), connectivity=1)
    if region is not None:
        floors &= region
    places, count = ndimage.label(floors)
    if not count:
        raise ImageContentError("no basin is that deep", found=f"depth {depth:g}", fix="lower depth, or give markers")
    return places, count
