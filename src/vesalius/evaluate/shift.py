"""What a model loses on images from elsewhere: noise, blur, gamma and resolution, several strengths of each.

A simulation of the scanner next door, not a replacement for data from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.errors import UsageError
from vesalius.core.registry import unknown
from vesalius.evaluate.predictions import Figure

F64 = NDArray[np.float64]

STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "noise": (0.02, 0.05, 0.1, 0.2),
    "blur": (0.5, 1.0, 2.0, 4.0),
    "gamma": (0.5, 0.7, 1.4, 2.0),
    "resolution": (1.5, 2.0, 3.0, 4.0),
}
"""Kind -> strengths: noise as a share of the image's range; blur as standard deviation in pixels of an image with 256
rows (in proportion for others, at least a quarter); gamma as exponent; resolution as growth of the pixels."""

REFERENCE_ROWS = 256


@dataclass(frozen=True)
class Shifted:
    """What one shift of one strength does.

    Args:
        figure: the figure on shifted images.
        drop: the figure on the images as they are, minus that; above zero is a loss.
        refused: cases that the package no longer takes.
        changed: share of the predictions that became others.
    """

    kind: str
    strength: float
    figure: Figure
    drop: Figure
    refused: int
    changed: float


def shifted(volume: Volume, kind: str, strength: float, *, seed: int = 0) -> Volume:
    """Return an image as another device might have made it; type and range of values stay.

    Args:
        kind: one of STRENGTHS.
        seed: of the noise.

    Raises:
        UnknownNameError: there is no such shift.
        UsageError: a strength that is not above zero.
    """
    if kind not in _KINDS:
        raise unknown("shift", kind, tuple(_KINDS))
    if strength <= 0:
        raise UsageError(f"the strength of {kind} is above zero", found=f"{strength:g}")
    array = volume.array.astype(np.float64)
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    if high <= low:
        return volume
    unit = _KINDS[kind]((array - low) / (high - low), strength, np.random.default_rng(seed))
    back = np.clip(unit, 0, 1) * (high - low) + low
    kept = np.round(back) if volume.array.dtype.kind in "iu" else back
    return replace(volume, array=kept.astype(volume.array.dtype))


def _noise(unit: F64, strength: float, rng: np.random.Generator) -> F64:
    shape = unit.shape[:3]
    drawn = rng.normal(0, strength, shape)
    return unit + (drawn[..., None] if unit.ndim == 4 else drawn)


def _blur(unit: F64, strength: float, rng: np.random.Generator) -> F64:
    from scipy.ndimage import gaussian_filter

    sigma = strength * max(min(unit.shape[1:3]) / REFERENCE_ROWS, 0.25)
    found: F64 = gaussian_filter(unit, (0.0, sigma, sigma, *([0.0] * (unit.ndim - 3))), mode="nearest")
    return found


def _gamma(unit: F64, strength: float, rng: np.random.Generator) -> F64:
    found: F64 = unit**strength
    return found


def _resolution(unit: F64, strength: float, rng: np.random.Generator) -> F64:
    """Return the image averaged over larger pixels and enlarged again, so that its size stays."""
    from scipy.ndimage import zoom

    rows, columns = unit.shape[1:3]
    few = (max(2, round(rows / strength)), max(2, round(columns / strength)))
    small = _averaged(_averaged(unit, few[0], 1), few[1], 2)
    rest = [1.0] * (unit.ndim - 3)
    found: F64 = zoom(small, (1.0, rows / few[0], columns / few[1], *rest), order=1, grid_mode=True, mode="nearest")
    return found


def _averaged(unit: F64, count: int, axis: int) -> F64:
    """Return means over `count` parts of an axis, by area."""
    moved = np.moveaxis(unit, axis, 0)
    edges = np.linspace(0, len(moved), count + 1)
    summed = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0)])
    at = np.minimum(edges.astype(int), len(moved) - 1)
    share = (edges - at).reshape(-1, *([1] * (moved.ndim - 1)))
    total = summed[at] + share * moved[at]
    width = np.diff(edges).reshape(-1, *([1] * (moved.ndim - 1)))
    return np.moveaxis(np.diff(total, axis=0) / width, 0, axis)


_KINDS: Mapping[str, Callable[[F64, float, np.random.Generator], F64]] = {
    "noise": _noise,
    "blur": _blur,
    "gamma": _gamma,
    "resolution": _resolution,
}
