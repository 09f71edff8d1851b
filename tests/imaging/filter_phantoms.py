"""Phantoms that the tests of filters share: one scene in mm, sampled on grids of any spacing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vesalius.core import Frame, Spacing, Volume

FINE, COARSE = (1.0, 1.0, 1.0), (4.0, 1.0, 1.0)
SIDE_MM, RADIUS_MM = 48.0, 13.0


def ball(
    spacing_mm: tuple[float, float, float] = FINE, *, radius_mm: float = RADIUS_MM, soft_mm: float = 1.0
) -> Volume:
    """Return a ball of value 1000 on 0 with a soft border; the middle is a voxel of every such grid."""
    shape = [int(SIDE_MM / s) for s in spacing_mm]
    lines = [(np.arange(n) - n // 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*lines, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2) - radius_mm
    return Volume((1000 / (1 + np.exp(distance / soft_mm))).astype(np.float32), np.diag([*spacing_mm, 1.0]))


def bright_ml(volume: Volume, above: float = 500.0) -> float:
    """Return the volume brighter than a value."""
    return float((volume.array > above).sum() * volume.voxel_volume_mm3 / 1000)


def disagreement(work: Callable[[Volume], Volume], **scene: float) -> tuple[float, float]:
    """Return mean absolute difference of the answers on the common places of both grids, and of the change made."""
    fine, coarse = ball(FINE, **scene), ball(COARSE, **scene)
    one, other = work(fine).array[::4], work(coarse).array
    return float(np.abs(one - other).mean()), float(np.abs(one - fine.array[::4]).mean())


def noisy(volume: Volume, level: float, seed: int = 0) -> Volume:
    """Return the image with Gaussian noise, float32."""
    grain = np.random.default_rng(seed).normal(0, level, volume.array.shape)
    return volume.with_array((volume.array + grain).astype(np.float32), "noise", level=level)


def flat(array: np.ndarray, pixel_mm: float | None = 1.0) -> Volume:
    """Return a picture; unknown spacing without a pixel size."""
    size = pixel_mm or 1.0
    known = Spacing.UNKNOWN if pixel_mm is None else Spacing.CALIBRATED
    return Volume(array[np.newaxis], np.diag([1.0, size, size, 1.0]), Frame.IMAGE, known)
