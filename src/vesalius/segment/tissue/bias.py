"""The smooth multiplicative bias field: a product cosine basis in template space, fitted to class residuals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

CUTOFF_MM = 75.0
SPREAD_LIMITS = (0.006, 0.12)
"""Bounds of the standard deviation of a log-bias wave of 250 mm; it falls with the square of frequency."""

FIRST_SPREAD = 0.06

TYPICAL_BIAS = 0.06
"""Standard deviation of the log-bias inside the brain above which a field is taken to be real."""

EVIDENCE = 0.02
"""Independent observations per sampled voxel: neighbours share texture, and the classes are not certain."""


@dataclass(frozen=True, eq=False)
class CosineBasis:
    """Product cosines up to a cut-off wavelength on a template grid.

    Args:
        shape: (slices, rows, columns).
        spacing_mm: edge of a voxel.
    """

    shape: tuple[int, int, int]
    spacing_mm: float

    @cached_property
    def parts(self) -> tuple[F32, F32, F32]:
        """Return the one-dimensional bases [n, order]."""
        found = []
        for n in self.shape:
            order = max(2, int(np.ceil(2 * n * self.spacing_mm / CUTOFF_MM)))
            phase = np.pi * (np.arange(n) + 0.5) / n
            found.append(np.cos(phase[:, None] * np.arange(order)).astype(np.float32))
        return found[0], found[1], found[2]

    @cached_property
    def roughness(self) -> F64:
        """Return the relative prior precision of each coefficient, after the bending energy of its cosine."""
        lengths = 2 * np.array(self.shape) * self.spacing_mm / 250
        waves = [np.arange(p.shape[1]) / length for p, length in zip(self.parts, lengths, strict=True)]
        squared = waves[0][:, None, None] ** 2 + waves[1][:, None] ** 2 + waves[2] ** 2
        precision = np.maximum(squared.ravel(), 0.25) ** 2
        precision[0] = 1e9  # a constant factor belongs to the class means
        return np.asarray(precision)

    def rows(self, index: NDArray[np.int64]) -> F32:
        """Return the basis [n, coefficients] at voxel indices [n, 3]."""
        a, b, c = (p[index[:, i]] for i, p in enumerate(self.parts))
        return (a[:, :, None, None] * b[:, None, :, None] * c[:, None, None, :]).reshape(len(index), -1)

    def field(self, coefficients: F64) -> F32:
        """Return the log-bias on the grid."""
        cube = coefficients.astype(np.float32).reshape([p.shape[1] for p in self.parts])
        for part in self.parts:
            cube = np.tensordot(cube, part, axes=(0, 1))
        return np.ascontiguousarray(cube)


def fit(rows: F32, value: F32, target: F32, weight: F32, current: F64, roughness: F64, spread: float) -> F64:
    """Return log-bias coefficients after one Gauss-Newton step.

    Args:
        rows: basis at the voxels, [n, coefficients].
        value: corrected intensity (image divided by the current bias).
        target: expected intensity of the voxel's classes.
        weight: inverse variance of that expectation.
        current: current coefficients.
        roughness: relative prior precision of the coefficients.
        spread: standard deviation of a wave of 250 mm.
    """
    precision = roughness / spread**2
    weight = weight * np.float32(EVIDENCE)
    slope = weight * value * value
    left = (rows * slope[:, None]).T @ rows
    right = rows.T @ (weight * value * (value - target))
    system = left.astype(np.float64) + np.diag(precision)
    return np.asarray(current + np.linalg.solve(system, right - precision * current))


def likely_spread(log_bias: F32, weight: F32) -> float:
    """Return the prior spread that the fitted field itself suggests (in the manner of empirical Bayes), bounded.

    An image with little bias keeps a stiff field, so that true differences inside a tissue are not flattened.
    """
    total = max(float(weight.sum()), 1e-9)
    mean = float((weight * log_bias).sum()) / total
    found = float(np.sqrt((weight * (log_bias - mean) ** 2).sum() / total))
    return float(np.clip(FIRST_SPREAD * (found / TYPICAL_BIAS) ** 2, *SPREAD_LIMITS))
