"""Fourier low, high and band pass with windows that do not ring.

Sizes are wavelengths in mm: a structure of width w has its energy at wavelengths around 2 w. The image is mirrored at
its borders before the transform, so that opposite borders do not leak into each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import UsageError
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]

WINDOWS = ("gaussian", "butterworth", "hann")
"""Shapes of the step from pass to stop. The Gaussian has no overshoot at all; Butterworth (order 2) overshoots an edge
by 4 %, Hann (a raised cosine over the octave around the cutoff) by 7 %; an abrupt stop, which is not offered, by 9 %
with ripples that do not fade."""
BUTTERWORTH_ORDER = 2
MOST_MIRRORED = 64
"""Voxels of mirrored border along each side, at most."""


def low_pass(volume: Volume, *, cutoff_mm: float, window: str = "gaussian", slicewise: bool = False) -> Volume:
    """Return what varies over more than `cutoff_mm`, the wavelength that keeps half its amplitude.

    Raises:
        UsageError: a cutoff that the voxels cannot hold.
        UnknownNameError: no such window.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    _check_cutoff(volume, "cutoff_mm", cutoff_mm, slicewise)
    filtering.one_of("window", window, WINDOWS)

    def gain(frequency: Array) -> Array:
        return _pass(frequency, 1 / cutoff_mm, window)

    told = {"cutoff_mm": cutoff_mm, "window": window, "slicewise": slicewise}
    return _filtered(volume, gain, "low_pass", told, slicewise)


def high_pass(
    volume: Volume, *, cutoff_mm: float, window: str = "gaussian", keep_mean: bool = True, slicewise: bool = False
) -> Volume:
    """Return what varies over less than `cutoff_mm`, the wavelength that keeps half its amplitude.

    Args:
        keep_mean: add the mean of the image again, so that an unsigned type holds the result.

    Raises:
        UsageError: a cutoff that the voxels cannot hold.
        UnknownNameError: no such window.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    _check_cutoff(volume, "cutoff_mm", cutoff_mm, slicewise)
    filtering.one_of("window", window, WINDOWS)

    def gain(frequency: Array) -> Array:
        passed = 1 - _pass(frequency, 1 / cutoff_mm, window)
        return np.asarray(np.where(frequency == 0, float(keep_mean), passed), dtype=passed.dtype)

    told = {"cutoff_mm": cutoff_mm, "window": window, "keep_mean": keep_mean, "slicewise": slicewise}
    return _filtered(volume, gain, "high_pass", told, slicewise)


def band_pass(
    volume: Volume,
    *,
    shortest_mm: float,
    longest_mm: float,
    window: str = "gaussian",
    keep_mean: bool = True,
    slicewise: bool = False,
) -> Volume:
    """Return what varies over wavelengths from `shortest_mm` to `longest_mm`.

    Raises:
        UsageError: the limits are in the wrong order or the voxels cannot hold them.
        UnknownNameError: no such window.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    _check_cutoff(volume, "shortest_mm", shortest_mm, slicewise)
    filtering.one_of("window", window, WINDOWS)
    if not longest_mm > shortest_mm:
        found = f"shortest_mm {shortest_mm:g}, longest_mm {longest_mm:g}"
        raise UsageError("a band has a longest wavelength above its shortest", found=found, fix="exchange them")

    def gain(frequency: Array) -> Array:
        passed = _pass(frequency, 1 / shortest_mm, window) * (1 - _pass(frequency, 1 / longest_mm, window))
        return np.asarray(np.where(frequency == 0, float(keep_mean), passed), dtype=passed.dtype)

    told = {
        "shortest_mm": shortest_mm, "longest_mm": longest_mm, "window": window, "keep_mean": keep_mean,
        "slicewise": slicewise,
    }  # fmt: skip
    return _filtered(volume, gain, "band_pass", told, slicewise)


def _pass(frequency: Array, cutoff: float, window: str) -> Array:
    """Return the gain of a low pass at frequencies in cycles per mm; one half at the cutoff."""
    ratio = frequency / frequency.dtype.type(cutoff)
    if window == "gaussian":
        return np.asarray(np.exp2(-(ratio**2)))
    if window == "butterworth":
        # The usual amplitude at the cutoff is 0.71; this form gives one half, as the other windows do.
        return np.asarray(1 / (1 + ratio ** (2 * BUTTERWORTH_ORDER)))
    octave = np.clip((ratio - 0.5) / 1.0, 0, 1)
    return np.asarray(0.5 * (1 + np.cos(np.pi * octave)))


def _filtered(volume: Volume, gain: filtering.Filter, operation: str, told: dict[str, Any], slicewise: bool) -> Volume:
    axes = filtering.active_axes(volume, slicewise=slicewise)
    filtering.spacing_along(volume, axes if slicewise else ())
    directions = np.asarray(volume.affine[:3, :3])

    def work(array: Array) -> Array:
        return _transformed(array, gain, axes, directions)

    return filtering.each_component(volume, work, operation, **told)


def _transformed(array: Array, gain: filtering.Filter, axes: tuple[int, ...], directions: Array) -> Array:
    """Return the array with every frequency multiplied by its gain; exact on sheared grids too."""
    from scipy import fft

    border = [min(MOST_MIRRORED, array.shape[axis] // 2) if axis in axes else 0 for axis in range(3)]
    # A transform's length with small prime factors is several times as fast.
    size = [
        fft.next_fast_len(array.shape[a] + 2 * border[a], real=True) if a in axes else array.shape[a] for a in range(3)
    ]
    widths = [(border[a], size[a] - array.shape[a] - border[a]) for a in range(3)]
    padded = np.pad(array, widths, mode="symmetric")
    lengths = [size[a] for a in axes]
    spectrum = fft.rfftn(padded, axes=axes, workers=filtering.threads())
    spectrum *= gain(_frequencies(lengths, axes, directions).astype(array.dtype))
    back = fft.irfftn(spectrum, s=lengths, axes=axes, workers=filtering.threads())
    inner = tuple(slice(b, b + n) for b, n in zip(border, array.shape, strict=True))
    return np.asarray(back[inner], dtype=array.dtype)


def _frequencies(lengths: list[int], axes: tuple[int, ...], directions: Array) -> Array:
    """Return the frequency in cycles per mm of every element of a real transform."""
    from scipy import fft

    # Along the axes that are transformed; the dual basis makes wave vectors right for axes that are not orthogonal.
    dual = np.linalg.pinv(directions[:, list(axes)]).T
    squared: Any = 0.0
    lines = [fft.rfftfreq(n) if i == len(axes) - 1 else fft.fftfreq(n) for i, n in enumerate(lengths)]
    shaped = [line.reshape([-1 if a == axis else 1 for a in range(3)]) for line, axis in zip(lines, axes, strict=True)]
    for world in range(3):
        squared = squared + sum(dual[world, i] * line for i, line in enumerate(shaped)) ** 2
    return np.asarray(np.sqrt(squared))


def _check_cutoff(volume: Volume, name: str, value: float, slicewise: bool) -> None:
    filtering.positive(name, value, "mm")
    axes = filtering.active_axes(volume, slicewise=slicewise)
    least = 2 * min(volume.spacing_mm[axis] for axis in axes)
    if value < least:
        raise UsageError(
            f"{name} is shorter than two voxels, the shortest wavelength that the image holds",
            found=f"{value:g} mm",
            expected=f"at least {least:g} mm",
            fix=f"give a longer {name}",
        )
