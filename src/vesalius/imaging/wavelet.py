"""Noise removed from wavelet coefficients (PyWavelets), with scales in mm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.imaging.filtering import Triple

Array = NDArray[Any]
Details = dict[str, Array]

METHODS = ("bayes", "visu")
SHRINKAGES = ("soft", "hard")
EQUAL_SPACING = 1.5
"""Axes whose sampling is at most this many times the finest one's are halved together."""
MOST_LEVELS = 10
MAD_TO_SD = 1.4826


def wavelet(
    volume: Volume,
    *,
    family: str = "sym4",
    method: str = "bayes",
    shrinkage: str = "soft",
    coarsest_mm: float | None = None,
    noise: float | None = None,
    slicewise: bool = False,
) -> Volume:
    """Return the image rebuilt from wavelet coefficients that stand out of the noise.

    An axis with large voxels is halved only once the others are as coarse, so that a level means one size in mm.
    The transform is averaged over shifts of one voxel, which removes most of its blockiness.

    Args:
        family: any discrete family of PyWavelets, such as "haar", "db4", "sym4", "coif2", "bior3.3".
        method: "bayes" (a threshold per band, BayesShrink) or "visu" (one threshold, VisuShrink).
        shrinkage: "soft" or "hard".
        coarsest_mm: sampling of the coarsest level that is cleaned; default eight times the smallest voxel.
        noise: its standard deviation in image units; default estimated from the finest diagonal details.

    Raises:
        UnknownNameError: no such family, method or shrinkage.
        UsageError: a parameter out of range.
        ImageContentError: no noise was found.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: BayesShrink: Chang 2000, doi:10.1109/83.862633; VisuShrink: Donoho 1994, doi:10.1093/biomet/81.3.425;
    shifts: Coifman 1995, doi:10.1007/978-1-4612-2544-7_9
    """
    _check_family(family)
    filtering.one_of("threshold", method, METHODS)
    filtering.one_of("shrinkage", shrinkage, SHRINKAGES)
    axes = filtering.active_axes(volume, slicewise=slicewise)
    spacing = filtering.spacing_along(volume, axes)
    finest = min(spacing[axis] for axis in axes)
    coarsest = 8 * finest if coarsest_mm is None else filtering.positive("coarsest_mm", coarsest_mm, "mm")
    levels = level_axes(spacing, axes, coarsest, volume.shape)
    if not levels:
        raise UsageError(
            "no level is as fine as asked for",
            found=f"coarsest_mm {coarsest:g}",
            expected=f"at least {2 * finest:g} mm",
        )
    if noise is not None:
        filtering.positive("noise", noise)

    def work(array: Array) -> Array:
        return _cleaned(array, levels, family, (method, shrinkage, noise))

    told = {
        "family": family, "method": method, "shrinkage": shrinkage, "coarsest_mm": coarsest, "noise": noise,
        "slicewise": slicewise,
    }  # fmt: skip
    return filtering.each_component(volume, work, "wavelet", **told)


def level_axes(
    spacing: Triple, axes: tuple[int, ...], coarsest_mm: float, shape: tuple[int, int, int]
) -> tuple[tuple[int, ...], ...]:
    """Return, level by level, the array axes that are halved, so that voxels become and stay about cubic."""
    step, size = list(spacing), list(shape)
    levels = list[tuple[int, ...]]()
    while len(levels) < MOST_LEVELS:
        usable = [axis for axis in axes if size[axis] >= 4]
        if not usable:
            break
        finest = min(step[axis] for axis in usable)
        if 2 * finest > coarsest_mm * (1 + 1e-6):
            break
        chosen = tuple(axis for axis in usable if step[axis] <= EQUAL_SPACING * finest)
        for axis in chosen:
            step[axis] *= 2
            size[axis] = (size[axis] + 1) // 2
        levels.append(chosen)
    return tuple(levels)


def _check_family(family: str) -> None:
    import pywt

    known = pywt.wavelist(kind="discrete")
    if family not in known:
        raise unknown("wavelet family", family, known)


def _cleaned(
    array: Array, levels: tuple[tuple[int, ...], ...], family: str, how: tuple[str, str, float | None]
) -> Array:
    """Return the average over two shifts along the diagonal."""
    method, shrinkage, noise = how
    axes = tuple(sorted({axis for level in levels for axis in level}))
    level = noise if noise is not None else _finest_noise(array, levels[0], family)
    total = np.zeros_like(array)
    for shift in (0, 1):
        moved = np.pad(array, [(shift if a in axes else 0, 0) for a in range(3)], mode="symmetric")
        rebuilt = _shrunk(moved, levels, family, (method, shrinkage, level))
        inner = tuple(slice(shift if a in axes else 0, None) for a in range(3))
        total += rebuilt[tuple(slice(0, n) for n in moved.shape)][inner]
    return np.asarray(total / 2, dtype=array.dtype)


def _shrunk(array: Array, levels: tuple[tuple[int, ...], ...], family: str, how: tuple[str, str, float]) -> Array:
    import pywt

    if not levels:
        return array
    method, shrinkage, noise = how
    bands: Details = pywt.dwtn(array, family, mode="symmetric", axes=levels[0])
    coarse = "a" * len(levels[0])
    for name, band in bands.items():
        if name != coarse:
            limit = _bayes(band, noise) if method == "bayes" else noise * np.sqrt(2 * np.log(array.size))
            bands[name] = _thresholded(band, limit, shrinkage)
    inner = _shrunk(bands[coarse], levels[1:], family, how)
    bands[coarse] = inner[tuple(slice(0, n) for n in bands[coarse].shape)]
    return np.asarray(pywt.idwtn(bands, family, mode="symmetric", axes=levels[0]), dtype=array.dtype)


def _bayes(band: Array, noise: float) -> float:
    signal = np.sqrt(max(float(np.mean(np.square(band, dtype=np.float64))) - noise**2, 0))
    return float(noise**2 / signal) if signal > 0 else float(np.abs(band).max())


def _thresholded(band: Array, limit: float, shrinkage: str) -> Array:
    import pywt

    # PyWavelets' soft threshold divides by the magnitude and warns at exact zeros.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(pywt.threshold(band, limit, mode=shrinkage), dtype=band.dtype)


def _finest_noise(array: Array, axes: tuple[int, ...], family: str) -> float:
    import pywt

    details = pywt.dwtn(array, family, mode="symmetric", axes=axes)["d" * len(axes)]
    # A constant image leaves rounding errors, and padding zeros, that are no noise.
    varied = details[np.abs(details) > 1e-6 * float(np.abs(array).max())]
    level = MAD_TO_SD * float(np.median(np.abs(varied))) if varied.size else 0.0
    if not level > 0:
        raise ImageContentError(
            "no noise was found in the image", found="no fine detail", fix="give noise in image units"
        )
    return level
