"""Smallest box and smallest ellipsoid around points: features that IBSI names without a reference value."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ellipsoid_area", "enclosing_box_mm", "enclosing_ellipsoid_mm"]

_ROUNDS = 9
_SPREAD = 0.12
"""First step of the refinement in radians; it shrinks by `_SHRINK` each round."""
_SHRINK = 0.45
_STARTS = 4
_TOLERANCE = 1e-4
_MOST_STEPS = 1000
_DEGREE = 20


def enclosing_box_mm(points: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the three edges of a box of nearly the smallest volume around points `[n, 3]` in mm.

    A fixed set of rotations and the given axes (columns) start a search that narrows around the best four; the same
    points always give the same box. A box that is aligned with the grid or with `axes` is found exactly.
    """
    turns = np.concatenate([_rotations(), axes.T[np.newaxis]])
    volume = _extents(points, turns).prod(axis=1)
    best = turns[np.argsort(volume, kind="stable")[:_STARTS]]
    spread = _SPREAD
    for _ in range(_ROUNDS):
        nearby = np.einsum("kij,sjl->skil", _small_rotations(spread), best).reshape(-1, 3, 3)
        turns = np.concatenate([best, nearby])
        volume = _extents(points, turns).prod(axis=1)
        best = turns[np.argsort(volume, kind="stable")[:_STARTS]]
        spread *= _SHRINK
    return np.asarray(_extents(points, best[:1])[0])


def _extents(points: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the extents `[turn, 3]` of the points along the rows of each rotation."""
    along = turns.reshape(-1, 3) @ points.T
    return np.asarray((along.max(axis=1) - along.min(axis=1)).reshape(-1, 3))


@lru_cache(maxsize=1)
def _rotations() -> NDArray[np.float64]:
    """Return rotations spread over all that a box can tell apart: quaternions on a grid, the identity first."""
    grid = np.linspace(-0.4, 0.4, 5)
    vectors = np.array(sorted(itertools.product(grid, repeat=3), key=lambda v: np.abs(v).sum()))
    return _from_vectors(vectors)


def _from_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rotation matrices of quaternions (1, vector), normalised."""
    q = np.concatenate([np.ones((len(vectors), 1)), vectors], axis=1)
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


@lru_cache(maxsize=_ROUNDS)
def _small_rotations(spread: float) -> NDArray[np.float64]:
    steps = np.array([v for v in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(v)])
    return _from_vectors(steps * spread / 2)


def enclosing_ellipsoid_mm(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the semi-axes, longest first, of the smallest ellipsoid around points `[n, 3]` in mm.

    The volume is within a hundredth of a percent of the smallest; flat or too few points give zeros.

    Source: Khachiyan's algorithm with away steps, Todd & Yildirim 2007, doi:10.1016/j.dam.2007.02.013.
    """
    lifted = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    dimension = 4
    weight = np.full(len(points), 1 / len(points))
    moment = lifted.T @ (lifted * weight[:, np.newaxis])
    if np.linalg.matrix_rank(moment) < dimension:
        return np.zeros(3)
    inverse = np.linalg.inv(moment)
    distance = np.einsum("ni,ij,nj->n", lifted, inverse, lifted)
    for _ in range(_MOST_STEPS):
        far = int(np.argmax(distance))
        near = int(np.argmin(np.where(weight > 0, distance, np.inf)))
        above, below = distance[far] / dimension - 1, 1 - distance[near] / dimension
        if max(above, below) < _TOLERANCE:
            break
        chosen = far if above >= below else near
        d = distance[chosen]
        if above >= below:
            step = (d - dimension) / (dimension * (d - 1))
        else:
            away = -weight[chosen] / (1 - weight[chosen])
            step = max((d - dimension) / (dimension * (d - 1)), away) if d > 1 else away
        weight *= 1 - step
        weight[chosen] = max(weight[chosen] + step, 0.0)
        turned = inverse @ lifted[chosen]
        factor = step / (1 - step + step * d)
        inverse = (inverse - factor * np.outer(turned, turned)) / (1 - step)
        distance = (distance - factor * (lifted @ turned) ** 2) / (1 - step)
    centre = points.T @ weight
    spread = (points.T * weight) @ points - np.outer(centre, centre)
    semi = np.sqrt(np.maximum(np.linalg.eigvalsh(spread) * 3, 0))[::-1]
    # Scaled so that the farthest point lies on the ellipsoid: it encloses all of them.
    return np.asarray(semi * np.sqrt(max(1.0, float((distance.max() - 1) / 3))))


def ellipsoid_area(semi_axes: NDArray[np.float64]) -> float:
    """Return the surface area of an ellipsoid by IBSI's series of Legendre polynomials up to degree 20.

    For ellipsoids that are not spheres the series stays a few per cent below the exact area, and so do IBSI's
    reference values, which are made with it.

    Source: IBSI reference manual 3.1.22.
    """
    a, b, c = np.sort(semi_axes)[::-1]
    if a <= 0:
        return 0.0
    alpha2, beta2 = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    # (alpha beta)^v P_v((alpha^2 + beta^2) / (2 alpha beta)) by the recurrence of P_v, free of division by zero.
    total, before, now = 0.0, 0.0, 1.0
    for degree in range(_DEGREE + 1):
        total += now / (1 - 4 * degree**2)
        after = ((2 * degree + 1) * (alpha2 + beta2) / 2 * now - degree * alpha2 * beta2 * before) / (degree + 1)
        before, now = now, after
    return float(4 * np.pi * a * b * total)
