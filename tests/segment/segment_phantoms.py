"""Phantoms that the tests of segmentation share: scenes in mm, sampled on grids of any spacing."""

from __future__ import annotations

import numpy as np

from vesalius.core import Frame, Mask, Spacing, Volume
from vesalius.segment import inputs
from vesalius.segment.inputs import Seeds

FINE, COARSE = (1.0, 1.0, 1.0), (4.0, 1.0, 1.0)
GRIDS = (FINE, COARSE)
SIDE_MM, RADIUS_MM = 48.0, 14.0
BALL_ML = 4 / 3 * np.pi * RADIUS_MM**3 / 1000


def places(spacing_mm: tuple[float, float, float], side_mm: float = SIDE_MM) -> list[np.ndarray]:
    """Return z, y, x in mm from the middle voxel, which lies at LPS 0, 0, 0."""
    shape = [int(side_mm / s) for s in spacing_mm]
    lines = [(np.arange(n) - n // 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    return np.meshgrid(*lines, indexing="ij")


def grid(array: np.ndarray, spacing_mm: tuple[float, float, float] = FINE) -> Volume:
    """Return an axial volume whose middle voxel lies at LPS 0, 0, 0."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = (*spacing_mm, 1.0)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(array.shape[:3]) // 2)
    return Volume(array, affine)


def ball(spacing_mm: tuple[float, float, float] = FINE, noise: float = 0.0, radius_mm: float = RADIUS_MM) -> Volume:
    """Return a ball of 100 on 0, float32, its border sampled by half voxels."""
    z, y, x = places(spacing_mm)
    array = 100.0 * (x**2 + y**2 + z**2 < radius_mm**2)
    return grid((array + np.random.default_rng(0).normal(0, noise, array.shape)).astype(np.float32), spacing_mm)


def truth(spacing_mm: tuple[float, float, float] = FINE, radius_mm: float = RADIUS_MM) -> np.ndarray:
    """Return where the ball is."""
    return ball(spacing_mm, radius_mm=radius_mm).array > 50


def mask(flags: np.ndarray, spacing_mm: tuple[float, float, float] = FINE) -> Mask:
    """Return a mask of labels 0..n on the grid of the phantoms."""
    names = inputs.pieces(int(flags.max()), "part") if flags.dtype != bool else {1: inputs.REGION}
    return inputs.answer(grid(np.asarray(flags, np.uint8), spacing_mm), flags, names, "made")


def picture(array: np.ndarray, pixel_mm: float | None = None) -> Volume:
    """Return a flat picture; unknown spacing without a pixel size."""
    size = pixel_mm or 1.0
    known = Spacing.UNKNOWN if pixel_mm is None else Spacing.CALIBRATED
    return Volume(array[np.newaxis], np.diag([1.0, size, size, 1.0]), Frame.IMAGE, known)


def disc(noise: float = 5.0, pixel_mm: float | None = None) -> Volume:
    """Return a disc of 100 and radius 20 pixels on 0 in a picture of 64 x 80 pixels."""
    y, x = np.mgrid[:64, :80]
    array = 100.0 * ((y - 30) ** 2 + (x - 40) ** 2 < 20**2)
    return picture((array + np.random.default_rng(0).normal(0, noise, array.shape)).astype(np.float32), pixel_mm)


MIDDLE = Seeds([[0.0, 0.0, 0.0]])
"""The ball's middle, LPS mm."""
OUTSIDE = Seeds([[-22.0, -22.0, -20.0], [22.0, 22.0, 16.0], [0.0, 20.0, 0.0]])


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the overlap of two masks."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
