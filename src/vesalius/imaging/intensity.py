"""Brightness: bias field correction and normalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.mask import Mask
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume

F32 = NDArray[np.float32]

HISTOGRAM_BINS = 256
STRIPE_WIDTH = 0.05
"""Half width of the white stripe as a share of the voxels: Shinohara 2014."""


@dataclass(frozen=True, eq=False)
class BiasCorrection:
    """An image without its bias field, and the multiplicative field (mean 1 in the region), both float32."""

    corrected: Volume
    field: Volume


@dataclass(frozen=True)
class N4Options:
    """How N4 is run.

    Args:
        shrink: factor by which the image is reduced for the fit; the field is evaluated at full size.
        levels: resolutions of the B-spline mesh, one more doubles the mesh.
        iterations: most iterations at each level.
        convergence: relative change of the field at which a level ends.
        threads: threads of the filter.
    """

    shrink: int = 4
    levels: int = 4
    iterations: int = 50
    convergence: float = 1e-3
    threads: int = 2


def n4(volume: Volume, *, region: Mask | None = None, options: N4Options | None = None) -> BiasCorrection:
    """Return the image divided by its smooth multiplicative bias field.

    Args:
        volume: 3-D, brightness not negative where it counts.
        region: where the field is fitted (any label); default the foreground by Otsu's threshold.
        options: how the fit runs.

    Raises:
        GeometryError: the image has a fourth axis or the region lies on another grid.
        ImageContentError: the region holds no positive voxel.

    Source: Tustison 2010, doi:10.1109/TMI.2010.2046908 (SimpleITK).
    """
    chosen = options or N4Options()
    image = scalar(volume)
    inside = _inside(volume, image, region) & (image > 0)
    if not inside.any():
        raise ImageContentError("no positive voxel to fit a bias field to", found="a region without signal")
    field = np.exp(_log_field(image, inside, volume.spacing_mm, chosen))
    field /= np.float32(field[inside].mean())
    bias = replace(volume.with_array(field, "n4_field", shrink=chosen.shrink), unit="1")
    return BiasCorrection(apply_bias(volume, bias), bias)


def _log_field(image: F32, inside: NDArray[np.bool_], spacing: tuple[float, float, float], options: N4Options) -> F32:
    import SimpleITK

    # The fit works along the array axes, so that the direction (sheared perhaps) does not matter.
    full = SimpleITK.GetImageFromArray(image)
    full.SetSpacing(tuple(reversed(spacing)))
    region = SimpleITK.GetImageFromArray(inside.astype(np.uint8))
    region.CopyInformation(full)
    factors = [max(1, min(options.shrink, n // 8)) for n in reversed(image.shape)]
    fit = SimpleITK.N4BiasFieldCorrectionImageFilter()
    fit.SetMaximumNumberOfIterations([options.iterations] * options.levels)
    fit.SetConvergenceThreshold(options.convergence)
    fit.SetNumberOfThreads(options.threads)
    try:
        fit.Execute(SimpleITK.Shrink(full, factors), SimpleITK.Shrink(region, factors))
        log_field = fit.GetLogBiasFieldAsImage(full)
    except RuntimeError as error:
        raise ImageContentError("N4 could not fit a bias field", found=str(error).splitlines()[-1][:200]) from error
    field: F32 = SimpleITK.GetArrayFromImage(log_field).astype(np.float32, copy=False)
    return field


def apply_bias(volume: Volume, field: Volume) -> Volume:
    """Return the image divided by a multiplicative field on the same grid, float32.

    Raises:
        GeometryError: the grids differ.
        ImageContentError: the field is not positive everywhere.
    """
    if not volume.same_grid(field):
        raise GeometryError("the field lies on another grid than the image", found=str(field), expected=str(volume))
    if not float(field.array.min()) > 0:
        raise ImageContentError("a multiplicative field is positive everywhere", found=f"{field.array.min()}")
    return volume.with_array(scalar(volume) / field.array.astype(np.float32, copy=False), "apply_bias")


def normalise(volume: Volume, *, method: str = "z-score", region: Mask | None = None, **parameters: float) -> Volume:
    """Return the image with comparable brightness, float32.

    Args:
        volume: 3-D.
        method: "z-score" (mean 0, standard deviation 1), "percentile" (`low`, `high` in percent become 0 and 1,
            values beyond are cut) or "white-stripe" (the peak of white matter becomes 0, its spread 1; T1-weighted,
            give the brain as region: fat would be taken for white matter).
        region: voxels (any label) that set the scale; default the foreground by Otsu's threshold.
        parameters: of the method.

    Raises:
        UnknownNameError: no such method.
        ImageContentError: the region is empty or constant.

    Source: white stripe: Shinohara 2014, doi:10.1016/j.nicl.2014.08.008.
    """
    if method not in METHODS:
        raise unknown("normalisation method", method, tuple(METHODS))
    image = scalar(volume)
    values = image[_inside(volume, image, region)]
    if values.size < 2 or float(values.min()) == float(values.max()):
        raise ImageContentError("the region is empty or constant: no scale can be set", found=f"{values.size} voxels")
    scaled = METHODS[method](image, values, **parameters)
    return replace(volume.with_array(scaled, "normalise", method=method, **parameters), unit="1")


def _z_score(image: F32, values: F32) -> F32:
    mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return ((image - np.float32(mean)) / np.float32(spread)).astype(np.float32)


def _percentile(image: F32, values: F32, low: float = 1.0, high: float = 99.0) -> F32:
    bottom, top = np.percentile(values, (low, high))
    if not top > bottom:
        raise ImageContentError("both percentiles fall on one value", found=f"{low} % and {high} % are {bottom:g}")
    scaled: F32 = np.clip((image - np.float32(bottom)) / np.float32(top - bottom), 0, 1)
    return scaled


def _white_stripe(image: F32, values: F32, width: float = STRIPE_WIDTH) -> F32:
    peak = brightest_peak(values)
    rank = float((values <= peak).mean())
    low, high = np.quantile(values, (max(rank - width, 0.0), min(rank + width, 1.0)))
    stripe = values[(values >= low) & (values <= high)]
    spread = float(stripe.std(dtype=np.float64))
    if not spread > 0:
        raise ImageContentError("the white stripe holds one value only", found=f"{peak:g}")
    return ((image - np.float32(peak)) / np.float32(spread)).astype(np.float32)


METHODS: MappingProxyType[str, Callable[..., F32]] = MappingProxyType(
    {"z-score": _z_score, "percentile": _percentile, "white-stripe": _white_stripe}
)
"""The methods of `normalise`."""


def brightest_peak(values: NDArray[Any]) -> float:
    """Return the brightness of the brightest distinct peak of the histogram: white matter in a T1-weighted brain.

    A peak counts when it reaches a fifth of the highest one.
    """
    from scipy.ndimage import gaussian_filter1d

    low, high = np.percentile(values, (0.5, 99.5))
    counts, edges = np.histogram(values, HISTOGRAM_BINS, (float(low), float(high)))
    smooth = gaussian_filter1d(counts.astype(np.float64), HISTOGRAM_BINS / 40, mode="constant")
    inner = smooth[1:-1]
    peaks = np.flatnonzero((inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner > 0.2 * smooth.max())) + 1
    at = int(peaks[-1]) if len(peaks) else int(np.argmax(smooth))
    return float((edges[at] + edges[at + 1]) / 2)


def otsu_threshold(values: NDArray[Any]) -> float:
    """Return the threshold that best splits the values in two, by Otsu's criterion on the square root.

    The square root keeps bright fat and vessels from drawing the threshold into the head.

    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076
    """
    low, high = np.percentile(values, (0.0, 99.5))
    roots = np.sqrt(np.clip(values, low, high) - low)
    counts, edges = np.histogram(roots, HISTOGRAM_BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    below, weighted = np.cumsum(counts), np.cumsum(counts * middle)
    above = below[-1] - below
    usable = (below > 0) & (above > 0)
    gap = weighted[usable] / below[usable] - (weighted[-1] - weighted[usable]) / above[usable]
    if not usable.any():
        return float(low)
    score = below[usable] * above[usable] * gap**2
    # Between two distant peaks every threshold is as good: the middle is taken.
    best = np.median(middle[usable][score >= 0.9999 * score.max()])
    return float(best**2 + low)


def foreground(volume: Volume) -> NDArray[np.bool_]:
    """Return where the image is brighter than Otsu's threshold."""
    image = scalar(volume)
    return np.asarray(image > otsu_threshold(image[:: 1 + image.shape[0] // 128]))


def scalar(volume: Volume) -> F32:
    """Return the voxels of a 3-D image as float32, not finite ones as zero.

    Raises:
        GeometryError: the image has a fourth axis.
    """
    if volume.axis is not None:
        raise GeometryError(
            "this function works on one 3-D image", found=str(volume.axis), fix="take one element: volume.element(0)"
        )
    if volume.array.dtype.kind != "f":
        return volume.array.astype(np.float32)
    return np.nan_to_num(volume.array.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)


def _inside(volume: Volume, image: F32, region: Mask | None) -> NDArray[np.bool_]:
    if region is None:
        return np.asarray(image > otsu_threshold(image[:: 1 + image.shape[0] // 128]))
    if not volume.same_grid(region):
        raise GeometryError("the region lies on another grid than the image", found=str(region), expected=str(volume))
    return np.asarray(region.array > 0)
