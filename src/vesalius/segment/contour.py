"""Morphological snakes: a contour that moves until it parts two even areas, or lies on edges.

A contour moves and is smoothed voxel by voxel, so that it must see cubic voxels: images of other spacing are resampled
to a cubic grid before and the answer is brought back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, LabelError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, spatial, windowed
from vesalius.segment import inputs, threshold
from vesalius.segment.supervoxel import bounds

Array = NDArray[Any]

CUBIC = 0.02
"""Spacings this close, as a part, count as equal."""
EDGE_WEIGHT = 1000.0
"""How strongly a slope (part of the image's range per voxel) holds the geodesic contour."""
MARGIN = 3
"""Voxels around what the contour can reach."""


def chan_vese(
    volume: Volume,
    *,
    start: Mask | None = None,
    iterations: int = 100,
    smoothing: int = 1,
    grid_mm: float | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return the inside of a smooth contour between two areas of even brightness (ACWE).

    Args:
        start: its inside at the beginning; default Otsu's bright side.
        iterations: at most one voxel of the contour's grid each.
        smoothing: steps of smoothing per iteration; more give a smoother contour.
        grid_mm: voxel of the contour's grid; default the finest of the image.
        within: only the box around it is seen, only the mask itself is labelled.

    Raises:
        UsageError: a parameter out of range.
        LabelError: `start` is empty.
        UnknownSpacingError: pixels of unknown size that are not square.

    Source: Marquez-Neila 2014, doi:10.1109/TPAMI.2013.106
    """
    from skimage.segmentation import morphological_chan_vese

    single = _single(volume, "chan-vese")
    region = inputs.inside(volume, within)
    begin = threshold.otsu(single, within=within) if start is None else _begin(volume, start)
    part = bounds(region) if region is not None else tuple(slice(0, n) for n in volume.shape)

    def move(values: Array, inside: Array) -> Array:
        return np.asarray(morphological_chan_vese(values, iterations, inside, smoothing))

    found = _moved(single, begin, part, grid_mm, (iterations, smoothing), move)
    if region is not None:
        found &= region
    told = {"iterations": iterations, "smoothing": smoothing, "grid_mm": grid_mm}
    return inputs.answer(volume, found, {1: inputs.REGION}, "chan_vese", start=start, within=within, **told)


def geodesic_snake(
    volume: Volume,
    *,
    start: Mask,
    iterations: int = 100,
    smoothing: int = 1,
    balloon: float = 1.0,
    sigma_mm: float | None = None,
    grid_mm: float | None = None,
) -> Mask:
    """Return the inside of a smooth contour that was drawn to edges.

    Args:
        start: its inside at the beginning.
        iterations: at most one voxel of the contour's grid each.
        smoothing: steps of smoothing per iteration.
        balloon: above 0 the contour grows where there is no edge, below 0 it shrinks.
        sigma_mm: smoothing before edges are looked for, standard deviation; default one voxel of the contour's grid.
        grid_mm: voxel of the contour's grid; default the finest of the image.

    Raises:
        UsageError: a parameter out of range.
        LabelError: `start` is empty.
        UnknownSpacingError: pixels of unknown size that are not square.

    Source: Marquez-Neila 2014, doi:10.1109/TPAMI.2013.106
    """
    from skimage.segmentation import morphological_geodesic_active_contour

    single = _single(volume, "geodesic-snake")
    begin = _begin(volume, start)
    step = _cubic_mm(volume, grid_mm)
    if sigma_mm is not None:
        inputs.millimetres(volume, "geodesic-snake")
    sigma = 1.0 if sigma_mm is None else filtering.positive("sigma_mm", sigma_mm, "mm") / step
    reach = [int(np.ceil((iterations + MARGIN) * step / s)) for s in inputs.lengths(volume)]
    box = bounds(begin.array > 0)
    part = tuple(
        slice(max(b.start - r, 0), min(b.stop + r, n)) for b, r, n in zip(box, reach, volume.shape, strict=True)
    )

    def move(values: Array, inside: Array) -> Array:
        held = _stopping(values, sigma)
        return np.asarray(
            morphological_geodesic_active_contour(held, iterations, inside, smoothing, "auto", float(balloon))
        )

    found = _moved(single, begin, part, grid_mm, (iterations, smoothing), move)
    told = {"iterations": iterations, "smoothing": smoothing, "balloon": balloon, "sigma_mm": sigma_mm}
    return inputs.answer(volume, found, {1: inputs.REGION}, "geodesic_snake", start=start, grid_mm=grid_mm, **told)


def _single(volume: Volume, what: str) -> Volume:
    """Return one float32 value per voxel."""
    values = inputs.brightness(volume, what).astype(np.float32)
    return replace(volume, array=values, axis=None)


def _begin(volume: Volume, start: Mask) -> Mask:
    inputs.same_grid(volume, start, "start")
    if not start.array.any():
        raise LabelError("`start` is empty: there is no contour to move", found="no voxel above 0", fix="fill it")
    return inputs.answer(volume, start.array > 0, {1: inputs.REGION}, "start")


def _cubic_mm(volume: Volume, grid_mm: float | None) -> float:
    """Return the voxel of the contour's grid in mm, or in pixels where the format tells no mm.

    Raises:
        UnknownSpacingError: the pixel size is unknown and needed.
    """
    axes = [axis for axis in range(3) if volume.shape[axis] > 1]
    steps = [inputs.lengths(volume)[axis] for axis in axes]
    if not steps:
        raise GeometryError("a contour needs neighbours and there are none", found=f"shape {volume.shape}")
    if grid_mm is not None:
        volume.require_spacing()
        return filtering.positive("grid_mm", grid_mm, "mm")
    if max(steps) > min(steps) * (1 + CUBIC):
        inputs.millimetres(volume, "a contour")
    return min(steps)


def _moved(
    volume: Volume,
    begin: Mask,
    part: tuple[slice, ...],
    grid_mm: float | None,
    counts: tuple[int, int],
    move: Callable[[Array, Array], Array],
) -> Array:
    """Return the inside of the contour on the image's grid after `move` on a cubic grid of the part."""
    filtering.between("iterations", counts[0], 1, 100000)
    filtering.between("smoothing", counts[1], 0, 100)
    step = _cubic_mm(volume, grid_mm)
    low, high = tuple(s.start for s in part), tuple(s.stop for s in part)
    image = volume.crop((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    inside = begin.crop((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    target = tuple(step if n > 1 else s for n, s in zip(volume.shape, inputs.lengths(volume), strict=True))
    wanted = max(abs(t / s - 1) for t, s in zip(target, inputs.lengths(volume), strict=True)) > CUBIC
    fine = spatial.resample(image, spacing_mm=(target[0], target[1], target[2])) if wanted else image
    begun = spatial.resample_like(inside, fine) if wanted else inside
    flat = fine.shape[0] == 1
    values, flags = (fine.array[0], begun.array[0]) if flat else (fine.array, begun.array)
    moved = move(np.asarray(values), (np.asarray(flags) > 0).astype(np.int8)).astype(np.uint8).reshape(fine.shape)
    answer = begun.with_array(moved, "contour")
    back = spatial.resample_like(answer, image).array if wanted else answer.array
    found = np.zeros(volume.shape, bool)
    found[tuple(part)] = back > 0
    return found


def _stopping(values: Array, sigma: float) -> Array:
    """Return 1 where the image is even, towards 0 on edges."""
    low, high = np.percentile(values, (1, 99))
    scaled = np.asarray((values - low) / max(float(high - low), 1e-30), np.float32)
    depth = scaled if scaled.ndim == 3 else scaled[np.newaxis]
    smooth = windowed.gaussian(depth, (sigma if depth.shape[0] > 1 else 0.0, sigma, sigma))
    smooth = smooth.reshape(scaled.shape)
    square = np.zeros_like(scaled)
    for axis in range(scaled.ndim):
        square += np.gradient(smooth, axis=axis) ** 2
    return np.asarray(1 / np.sqrt(1 + EDGE_WEIGHT * np.sqrt(square)))
