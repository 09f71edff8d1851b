"""Less speckle in ultrasound: filters for grain whose strength grows with the brightness.

The three take amplitudes that are not negative. A B-mode picture is a logarithm of them, in which the grain is even
and weaker; the filters work on it too, and remove less of the contrast between tissues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError
from vesalius.core.volume import Volume
from vesalius.imaging import denoise, filtering, windowed
from vesalius.imaging.filtering import Radii, Triple

Array = NDArray[Any]

FLOOR = 1 / 255
"""Part of the largest value that stands in for zero where brightness is divided by."""
QUIET = 0.25
"""Quantile of the local variation that stands for tissue with speckle only."""


def lee(volume: Volume, *, width_mm: float, grain: float | None = None, slicewise: bool = False) -> Volume:
    """Return the local mean where the image is even, the voxel itself where it varies more than speckle does.

    Args:
        width_mm: edge length of the window.
        grain: standard deviation over mean of pure speckle; default a low quantile of what the image shows.

    Raises:
        UsageError: a parameter out of range.
        ImageContentError: negative voxels.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Lee 1980, doi:10.1109/TPAMI.1980.4766994
    """
    reach = _checked(volume, width_mm, slicewise)

    def work(array: Array) -> Array:
        local, variation = _local(array, reach)
        weight = 1 - _grain(variation, grain) ** 2 / np.maximum(variation, 1e-12) ** 2
        return np.asarray(local + np.clip(weight, 0, 1).astype(array.dtype) * (array - local))

    return filtering.each_component(volume, work, "lee", width_mm=width_mm, grain=grain, slicewise=slicewise)


def frost(
    volume: Volume,
    *,
    width_mm: float,
    damping_per_mm: float = 1.0,
    grain: float | None = None,
    slicewise: bool = False,
) -> Volume:
    """Return means weighted by exp(-damping x distance x (local variation / grain)^2).

    Args:
        width_mm: edge length of the window.
        damping_per_mm: how fast weights fall where there is only speckle.
        grain: as in `lee`.

    Raises:
        UsageError: a parameter out of range.
        ImageContentError: negative voxels.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Frost 1982, doi:10.1109/TPAMI.1982.4767223
    """
    reach = _checked(volume, width_mm, slicewise)
    filtering.positive("damping_per_mm", damping_per_mm, "1/mm")
    spacing = volume.spacing_mm

    def work(array: Array) -> Array:
        _, variation = _local(array, reach)
        decay = -damping_per_mm * (variation / _grain(variation, grain)) ** 2
        return _decaying_mean(array, decay.astype(array.dtype), reach, spacing)

    told = {"width_mm": width_mm, "damping_per_mm": damping_per_mm, "grain": grain, "slicewise": slicewise}
    return filtering.each_component(volume, work, "frost", **told)


def _decaying_mean(array: Array, decay: Array, reach: Radii, spacing: Triple) -> Array:
    padded = np.pad(array, [(r, r) for r in reach], mode="edge")
    total, weights = np.zeros_like(array), np.zeros_like(array)
    for shift in windowed.shifts(reach):
        distance = float(np.linalg.norm(np.multiply(shift, spacing)))
        weight = np.exp(decay * array.dtype.type(distance))
        part = tuple(slice(r + d, r + d + n) for r, d, n in zip(reach, shift, array.shape, strict=True))
        total += weight * padded[part]
        weights += weight
    return np.asarray(total / weights)


def speckle_diffusion(
    volume: Volume, *, sigma_mm: float, grain: float | None = None, slicewise: bool = False
) -> Volume:
    """Return the image after diffusion that stops where it varies more than speckle does (SRAD).

    Where there is only speckle it is smoothed as by a Gaussian of `sigma_mm`. Variation is taken over the
    distance of the smallest voxels, as the method defines it.

    Args:
        grain: as in `lee`, at the start; it falls as the image becomes smooth.

    Raises:
        UsageError: a parameter out of range.
        ImageContentError: negative voxels.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Yu 2002, doi:10.1109/TIP.2002.804276; grain by the median absolute deviation: Aja-Fernandez 2006,
    doi:10.1109/TIP.2006.877360
    """
    filtering.positive("sigma_mm", sigma_mm, "mm")
    _check_amplitude(volume)
    axes = filtering.active_axes(volume, slicewise=slicewise)
    spacing = filtering.spacing_along(volume, axes)
    steps, step = denoise.diffusion_steps(sigma_mm, axes, spacing)

    def work(array: Array) -> Array:
        for _ in range(steps):
            variation = _instantaneous(array, axes, spacing)
            level = _grain(np.sqrt(variation), grain) ** 2
            flow = 1 / (1 + np.maximum(variation - level, 0) / (level * (1 + level)))
            array = denoise.diffused(array, flow.astype(array.dtype), axes, spacing, step)
        return array

    told = {"sigma_mm": sigma_mm, "grain": grain, "slicewise": slicewise}
    return filtering.each_component(volume, work, "speckle_diffusion", **told)


def _instantaneous(array: Array, axes: tuple[int, ...], spacing: Triple) -> Array:
    """Return the squared instantaneous coefficient of variation, the paper's equation 35 for any number of axes."""
    bright = np.maximum(array, array.dtype.type(FLOOR * float(array.max())))
    squares, laplacian = np.zeros_like(bright), np.zeros_like(bright)
    unit = min(spacing[axis] for axis in axes)
    for axis in axes:
        closer = array.dtype.type(unit / spacing[axis])
        step = np.diff(bright, axis=axis) * closer
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        laplacian[before] += step * closer
        laplacian[after] -= step * closer
        step *= step
        squares[before] += step
        squares[after] += step
    count = 2 * len(axes)
    slope = squares / (bright * bright)
    curve = laplacian / bright
    mean = np.maximum(1 + curve / count, FLOOR)
    return np.asarray(np.maximum(slope / count - (curve / count) ** 2, 0) / mean**2)


def _local(array: Array, reach: Radii) -> tuple[Array, Array]:
    """Return mean and standard deviation over mean in a box around each voxel."""
    from scipy.ndimage import uniform_filter

    size = tuple(2 * r + 1 for r in reach)
    wide = array.astype(np.float64)
    local = uniform_filter(wide, size, mode="nearest")
    variance = np.maximum(uniform_filter(wide * wide, size, mode="nearest") - local * local, 0)
    floor = FLOOR * max(float(array.max()), 1e-30)
    return local.astype(array.dtype), np.sqrt(variance) / np.maximum(local, floor)


def _grain(variation: Array, asked: float | None) -> float:
    if asked is not None:
        return filtering.positive("grain", asked)
    varied = variation[variation > 0]
    if not varied.size:
        raise ImageContentError("the image is constant: there is no speckle", found="no variation anywhere")
    return float(np.quantile(varied, QUIET))


def _checked(volume: Volume, width_mm: float, slicewise: bool) -> Radii:
    _check_amplitude(volume)
    return filtering.window_radii(volume, width_mm, slicewise=slicewise)


def _check_amplitude(volume: Volume) -> None:
    filtering.check_voxels(volume, "a speckle filter")
    lowest = float(volume.array.min())
    if lowest < 0:
        raise ImageContentError(
            "a speckle filter takes brightness that is not negative",
            found=f"minimum {lowest:g}",
            fix="subtract the minimum first, or use non_local_means",
        )
