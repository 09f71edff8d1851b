"""The smooth multiplicative bias field: a product cosine basis in template space, fitted to class residuals.

All sums are separable or plain loops, never threaded matrix products, so that a result does not depend on threads.
"""

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

TYPICAL_BIAS = 0.045
"""Standard deviation of the log-bias inside the brain above which a field is taken to be real."""

EVIDENCE = 0.01
"""Independent observations per lattice voxel: neighbours share texture, and the classes are not certain."""


@dataclass(frozen=True, eq=False)
class CosineBasis:
    """Product cosines up to a cut-off wavelength on a template grid, and on the lattice of every `stride`-th voxel.

    Args:
        shape: (slices, rows, columns).
        spacing_mm: edge of a voxel.
        stride: step of the lattice in voxels.
        offset: first voxel of the lattice along each axis.
    """

    shape: tuple[int, int, int]
    spacing_mm: float
    stride: int = 2
    offset: int = 0

    @cached_property
    def orders(self) -> tuple[int, int, int]:
        """Return the number of cosines along each axis."""
        a, b, c = (max(2, int(np.ceil(2 * n * self.spacing_mm / CUTOFF_MM))) for n in self.shape)
        return a, b, c

    @property
    def count(self) -> int:
        """Return the number of coefficients."""
        return int(np.prod(self.orders))

    def _cosines(self, axis: int, orders: int, stride: int) -> F64:
        n = self.shape[axis]
        phase = np.pi * (np.arange(self.offset if stride > 1 else 0, n, stride) + 0.5) / n
        return np.asarray(np.cos(phase[:, None] * np.arange(orders)))

    @cached_property
    def roughness(self) -> F64:
        """Return the relative prior precision of each coefficient, after the bending energy of its cosine."""
        lengths = 2 * np.array(self.shape) * self.spacing_mm / 250
        waves = [np.arange(n) / length for n, length in zip(self.orders, lengths, strict=True)]
        squared = waves[0][:, None, None] ** 2 + waves[1][:, None] ** 2 + waves[2] ** 2
        precision = np.maximum(squared.ravel(), 0.25) ** 2
        precision[0] = 1e9  # a constant factor belongs to the class means
        return np.asarray(precision)

    def field(self, coefficients: F64, *, lattice: bool = False) -> F32:
        """Return the log-bias on the grid or on the lattice."""
        step = self.stride if lattice else 1
        parts = [self._cosines(i, n, step) for i, n in enumerate(self.orders)]
        cube = np.einsum("abc,ia->ibc", coefficients.reshape(self.orders), parts[0])
        cube = np.einsum("ibc,jb->ijc", cube, parts[1])
        field: F32 = np.einsum("ijc,kc->ijk", cube.astype(np.float32), parts[2].astype(np.float32))
        return field

    def moments(self, values: F64, orders: tuple[int, ...]) -> F64:
        """Return sums of lattice values times product cosines of the given orders."""
        parts = [self._cosines(i, n, self.stride) for i, n in enumerate(orders)]
        cube = np.einsum("ijk,kc->ijc", values, parts[2])
        cube = np.einsum("ijc,jb->ibc", cube, parts[1])
        return np.asarray(np.einsum("ibc,ia->abc", cube, parts[0]))

    @cached_property
    def _pairs(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        index = np.unravel_index(np.arange(self.count), self.orders)
        return [(np.abs(i[:, None] - i[None, :]), i[:, None] + i[None, :]) for i in index]

    def gram(self, weight: F64) -> F64:
        """Return the weighted Gram matrix of the basis on the lattice.

        Products of cosines are sums of cosines of the added and subtracted orders, so one set of moments is enough.
        """
        moments = self.moments(weight, tuple(2 * n - 1 for n in self.orders))
        total = np.zeros((self.count, self.count))
        for a in self._pairs[0]:
            for b in self._pairs[1]:
                for c in self._pairs[2]:
                    total += moments[a, b, c]
        return total / 8


def fit(basis: CosineBasis, value: F64, target: F64, weight: F64, current: F64, spread: float) -> F64:
    """Return log-bias coefficients after one Gauss-Newton step.

    Args:
        basis: the cosine basis.
        value: corrected intensity (image divided by the current bias) on the lattice.
        target: expected intensity of the voxel's classes on the lattice.
        weight: inverse variance of that expectation, 0 where nothing is known.
        current: current coefficients.
        spread: standard deviation of a wave of 250 mm.
    """
    precision = basis.roughness / spread**2
    scaled = weight * EVIDENCE * value
    right = basis.moments(scaled * (value - target), basis.orders).ravel() - precision * current
    step = np.linalg.solve(basis.gram(scaled * value) + np.diag(precision), right)
    return np.asarray(np.round(current + step, 9), dtype=np.float64)


def likely_spread(log_bias: F32, weight: F32) -> float:
    """Return the prior spread that the fitted field itself suggests (in the manner of empirical Bayes), bounded.

    An image with little bias keeps a stiff field, so that true differences inside a tissue are not flattened.
    """
    total = max(float(weight.sum()), 1e-9)
    mean = float((weight * log_bias).sum()) / total
    found = float(np.sqrt((weight * (log_bias - mean) ** 2).sum() / total))
    return float(np.clip(FIRST_SPREAD * (found / TYPICAL_BIAS) ** 4, *SPREAD_LIMITS))
