"""Masks with a known answer for the tests of metrics."""

from __future__ import annotations

import numpy as np

from vesalius.core import Code, Mask, Segment

ORGAN = Segment("organ", Code("113343008", "SCT", "Organ"), (200, 30, 30))


def mask(inside: np.ndarray, spacing=(1.0, 1.0, 1.0), affine: np.ndarray | None = None) -> Mask:
    """Return a mask of one segment, label 1."""
    affine = np.diag([*spacing, 1.0]) if affine is None else affine
    return Mask(np.asarray(inside).astype(np.uint8), affine, segments={1: ORGAN})


def two_bodies() -> tuple[np.ndarray, np.ndarray]:
    """Return two overlapping bodies, one with a part far off; the same for which other packages' values are noted."""
    z, y, x = np.indices((20, 32, 28), dtype=float)
    one = ((z - 9) / 6) ** 2 + ((y - 15) / 9) ** 2 + ((x - 13) / 8) ** 2 <= 1
    one |= (z - 4) ** 2 + (y - 26) ** 2 + (x - 20) ** 2 <= 6
    two = ((z - 10) / 6) ** 2 + ((y - 16) / 8) ** 2 + ((x - 12) / 9) ** 2 <= 1
    two &= ~((z > 11) & (y > 18))
    return one, two


def ball(radius_mm: float, spacing=(1.0, 1.0, 1.0), centre_mm=(0.0, 0.0, 0.0), half_mm: float = 20.0) -> np.ndarray:
    """Return a ball on a grid of 2 * half_mm around the origin."""
    counts = [round(2 * half_mm / s) + 1 for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * s - c for n, s, c in zip(counts, spacing, centre_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2
