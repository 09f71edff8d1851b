"""Thresholds: of the whole image, of windows around each voxel, and two that work together.

Every function takes 2-D (one slice thick) and 3-D images. `within` limits both what is looked at and what is labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, windowed
from vesalius.segment import inputs

Array = NDArray[Any]
Side = Literal["above", "below"]

BINS = 256
MOST_CLASSES = 6
"""Multi-Otsu tries every split of the histogram: more classes take minutes."""
MOST_VALUES = 65536
"""Whole numbers of a smaller range are counted exactly, one bin each."""


def fixed(volume: Volume, *, low: float | None = None, high: float | None = None, within: Mask | None = None) -> Mask:
    """Return the voxels from `low` to `high`, both included, in image units.

    Raises:
        UsageError: neither end is given, or low is above high.
    """
    values = inputs.brightness(volume, "range")
    ends(low, high)
    found = np.ones(values.shape, bool) if low is None else values >= low
    if high is not None:
        found &= values <= high
    region = inputs.inside(volume, within)
    if region is not None:
        found &= region
    return inputs.answer(volume, found, {1: inputs.REGION}, "range", low=low, high=high, within=within)


def ends(low: float | None, high: float | None) -> None:
    """Raise unless a range has an end and its ends are in order.

    Raises:
        UsageError: it has none, or low is above high.
    """
    if low is None and high is None:
        raise UsageError("a range has at least one end", fix="give low, high or both")
    if low is not None and high is not None and not low <= high:
        raise UsageError("low is above high", found=f"{low:g} and {high:g}", fix="exchange them")


def otsu(volume: Volume, *, side: Side = "above", within: Mask | None = None) -> Mask:
    """Return the side of the threshold that leaves the least variance in both classes.

    Raises:
        ImageContentError: all voxels are equal.

    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076
    """
    from skimage.filters import threshold_otsu

    def find(values: Array) -> float:
        return float(threshold_otsu(hist=histogram(values)))

    return _split(volume, find, "otsu", side, within)


def li(volume: Volume, *, side: Side = "above", within: Mask | None = None) -> Mask:
    """Return the side of the threshold with the least cross entropy between the image and its two means.

    Raises:
        ImageContentError: all voxels are equal.

    Source: Li and Tam 1998, doi:10.1016/S0167-8655(98)00057-9
    """
    from skimage.filters import threshold_li

    return _split(volume, lambda values: float(threshold_li(values)), "li", side, within)


def triangle(volume: Volume, *, side: Side = "above", within: Mask | None = None) -> Mask:
    """Return the side of the threshold at the foot of the histogram's only peak; for few bright or dark voxels.

    Raises:
        ImageContentError: all voxels are equal.

    Source: Zack 1977, doi:10.1177/25.7.70454
    """
    from skimage.filters import threshold_triangle

    return _split(volume, lambda values: float(threshold_triangle(values)), "triangle", side, within)


def multi_otsu(volume: Volume, *, classes: int = 3, within: Mask | None = None) -> Mask:
    """Return `classes` classes of least variance, 1 the darkest.

    Raises:
        UsageError: fewer than 2 or more than 6 classes.
        ImageContentError: fewer different values than classes.

    Source: Liao 2001, A fast algorithm for multilevel thresholding, J. Inf. Sci. Eng. 17:713-727
    """
    from skimage.filters import threshold_multiotsu

    values = inputs.brightness(volume, "multi-otsu")
    if not 2 <= classes <= MOST_CLASSES:
        raise UsageError("the number of classes is out of range", found=str(classes), expected=f"2 to {MOST_CLASSES}")
    region = inputs.inside(volume, within)
    chosen = inputs.varied(values if region is None else values[region], "multi-otsu")
    counts, centres = histogram(chosen)
    if np.count_nonzero(counts) < classes:
        raise ImageContentError(
            f"{classes} classes need as many different values",
            found=f"{np.count_nonzero(counts)} different values",
            fix="ask for fewer classes",
        )
    if len(counts) > BINS:
        counts, centres = _binned(chosen)
    cuts = threshold_multiotsu(classes=classes, hist=(counts, centres))
    labels = np.digitize(values, cuts, right=True) + 1
    if region is not None:
        labels[~region] = 0
    return inputs.answer(volume, labels, inputs.pieces(classes), "multi_otsu", classes=classes, within=within)


def hysteresis(volume: Volume, *, low: float, high: float, within: Mask | None = None) -> Mask:
    """Return voxels above `low` that hang together, by faces, edges or corners, with one above `high`.

    Raises:
        UsageError: low is above high.

    Source: Canny 1986, doi:10.1109/TPAMI.1986.4767851
    """
    values = inputs.brightness(volume, "hysteresis")
    ends(low, high)
    region = inputs.inside(volume, within)
    weak = values > low if region is None else (values > low) & region
    parts, count = ndimage.label(weak, np.ones((3, 3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(parts[weak & (values > high)])] = True
    strong[0] = False
    return inputs.answer(volume, strong[parts], {1: inputs.REGION}, "hysteresis", low=low, high=high, within=within)


def niblack(
    volume: Volume,
    *,
    window_mm: float,
    k: float = 0.2,
    side: Side = "above",
    slicewise: bool = False,
    within: Mask | None = None,
) -> Mask:
    """Return the side of a local threshold: mean - k x standard deviation of a box around each voxel.

    Args:
        window_mm: edge length of the box; voxels that it cuts do not count.
        k: weight of the spread; below 0 for few bright voxels.
        side: which is kept.
        slicewise: windows within a slice.
        within: region that is labelled; windows see voxels outside it too.

    Raises:
        UsageError: the window holds one voxel only.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Niblack 1986, An introduction to digital image processing
    """
    values = inputs.brightness(volume, "niblack")
    middle, spread = _local(volume, values, window_mm, slicewise)
    told = {"window_mm": window_mm, "k": k, "side": side, "slicewise": slicewise}
    return _kept(volume, values, middle - k * spread, within, ("niblack", told))


def sauvola(
    volume: Volume,
    *,
    window_mm: float,
    k: float = 0.2,
    spread: float | None = None,
    side: Side = "above",
    slicewise: bool = False,
    within: Mask | None = None,
) -> Mask:  # fmt: skip
    """Return the side of a local threshold: mean x (1 + k (standard deviation / spread - 1)).

    In an even window the threshold lies below the mean, so that noise is not cut in two. The formula presumes that
    values begin at 0: they are counted from the lowest of the image, which for CT is air.

    Args:
        window_mm: edge length of the box.
        k: weight of the spread.
        spread: largest standard deviation, image units; default half the image's range.
        side: which is kept.
        slicewise: windows within a slice.
        within: region that is labelled; windows see voxels outside it too.

    Raises:
        UsageError: the window holds one voxel only.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Sauvola and Pietikainen 2000, doi:10.1016/S0031-3203(99)00055-2
    """
    values = inputs.brightness(volume, "sauvola")
    inputs.varied(values, "sauvola")
    lowest = float(values.min())
    largest = (float(values.max()) - lowest) / 2 if spread is None else filtering.positive("spread", spread)
    middle, local = _local(volume, values, window_mm, slicewise)
    limit = (middle - lowest) * (1 + k * (local / largest - 1)) + lowest
    told = {"window_mm": window_mm, "k": k, "spread": spread, "side": side, "slicewise": slicewise}
    return _kept(volume, values, limit, within, ("sauvola", told))


def _local(volume: Volume, values: Array, window_mm: float, slicewise: bool) -> tuple[Array, Array]:
    """Return mean and standard deviation of the window around each voxel, float64 where float32 would lose digits."""
    reach = filtering.window_radii(volume, window_mm, slicewise=slicewise)
    width = tuple(float(2 * r + 1) for r in reach)
    # Counted from the mean, squares keep their digits.
    centred = values.astype(np.float64) - float(values.mean())
    middle = windowed.box_mean(centred, (width[0], width[1], width[2]))
    square = windowed.box_mean(centred * centred, (width[0], width[1], width[2]))
    spread = np.sqrt(np.maximum(square - middle * middle, 0))
    return middle + float(values.mean()), spread


def histogram(values: Array) -> tuple[Array, Array]:
    """Return counts and values of a histogram: one bin per whole number, else 256 bins of equal width."""
    if values.dtype.kind in "iu" and int(values.max()) - int(values.min()) < MOST_VALUES:
        low = int(values.min())
        counts = np.bincount((values.astype(np.int64) - low).ravel())
        return counts, np.arange(low, low + len(counts), dtype=np.float64)
    return _binned(values)


def _binned(values: Array) -> tuple[Array, Array]:
    counts, edges = np.histogram(values, BINS)
    return counts, (edges[1:] + edges[:-1]) / 2


def _split(volume: Volume, find: Callable[[Array], float], name: str, side: Side, within: Mask | None) -> Mask:
    values = inputs.brightness(volume, name)
    region = inputs.inside(volume, within)
    chosen = inputs.varied(values if region is None else values[region], name)
    limit = find(chosen)
    return _kept(volume, values, limit, within, (name, {"side": side, "threshold": limit}))


def _kept(
    volume: Volume, values: Array, limit: Array | float, within: Mask | None, told: tuple[str, dict[str, Any]]
) -> Mask:
    """Return the side of a threshold that is kept; `told` is the step of the history."""
    side = told[1]["side"]
    if side not in ("above", "below"):
        raise unknown("side of a threshold", side, ("above", "below"))
    region = inputs.inside(volume, within)
    found = values > limit if side == "above" else values <= limit
    if region is not None:
        found &= region
    return inputs.answer(volume, found, {1: inputs.REGION}, told[0], within=within, **told[1])
