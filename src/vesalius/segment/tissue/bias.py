"""The smooth multiplicative bias field: a product cosine basis in template space, fitted to class residuals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

CUTOFF_MM = 75.0
SPREAD = 0.015
"""Standard deviation of the log-bias that a wave of 250 mm is expected to have; falls with the square of frequency."""

EVIDENCE = 0.01
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
        """Return the prior precision of each coefficient, after the bending energy of its cosine."""
        lengths = 2 * np.array(self.shape) * self.spacing_mm / 250
        waves = [np.arange(p.shape[1]) / length for p, length in zip(self.parts, lengths, strict=True)]
        squared = waves[0][:, None, None] ** 2 + waves[1][:, None] ** 2 + waves[2] ** 2
        precision = np.maximum(squared.ravel(), 0.25) ** 2 / SPREAD**2
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


def fit(rows: F32, value: F32, target: F32, weight: F32, current: F64, roughness: F64) -> F64:
    """Return log-bias coefficients after one Gauss-Newton step.

    Args:
        rows: basis at the voxels, [n, coefficients].
        value: corrected intensity (image divided by the current bias).
        target: expected intensity of the voxel's classes.
        weight: inverse variance of that expectation.
        current: current coefficients.
        roughness: prior precision of the coefficients.
    """
    weight = weight * np.float32(EVIDENCE)
    slope = weight * value * value
    left = (rows * slope[:, None]).T @ rows
    right = rows.T @ (weight * value * (value - target))
    system = left.astype(np.float64) + np.diag(roughness)
    return np.asarray(current + np.linalg.solve(system, right - roughness * current))
