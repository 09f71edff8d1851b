"""Smallest box and smallest ellipsoid around points: features that IBSI names without a reference value."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ellipsoid_area", "enclosing_box_mm", "enclosing_ellipsoid_mm"]

_ROUNDS = 5
_SPREAD = 0.15
"""First step of the refinement in radians; it shrinks by `_SHRINK` each round."""
_SHRINK = 0.35
_STARTS = 3
_TOLERANCE = 4e-3
"""Largest excess of a point's squared distance over the ellipsoid's: the volume is within 0.6 % of the smallest."""
_MOST_STEPS = 400
_MOST_ROUNDS = 20
_ADDED = 12
_DEGREE = 20


def enclosing_box_mm(points: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the three edges of a box of nearly the smallest volume around points `[n, 3]` in mm.

    A fixed set of rotations and the given axes (columns) start a search that narrows around the best three; the same
    points always give the same box. A box that is aligned with the grid or with `axes` is found exactly.
    """
    turns = np.concatenate([_rotations(), axes.T[np.newaxis]])
    along = _along(points, turns)
    outermost = points[np.unique([along.argmax(axis=1), along.argmin(axis=1)])]
    volume = _extents(along).prod(axis=1)
    best = turns[np.argsort(volume, kind="stable")[:_STARTS]]
    spread = _SPREAD
    for _ in range(_ROUNDS):
        nearby = np.einsum("kij,sjl->skil", _small_rotations(spread), best).reshape(-1, 3, 3)
        turns = np.concatenate([best, nearby])
        volume = _extents(_along(outermost, turns)).prod(axis=1)
        best = turns[np.argsort(volume, kind="stable")[:_STARTS]]
        spread *= _SHRINK
    final = _extents(_along(points, np.concatenate([best, _rotations()[:1], axes.T[np.newaxis]])))
    return np.asarray(final[final.prod(axis=1).argmin()])


def _along(points: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coordinates `[turn x 3, point]` along the rows of each rotation.

    Not a matrix product: its threads cost more than they save here.
    """
    x, y, z = turns.reshape(-1, 3).T[:, :, np.newaxis]
    result: NDArray[np.float64] = x * points[:, 0]
    result += y * points[:, 1]
    result += z * points[:, 2]
    return result


def _extents(along: NDArray[np.float64]) -> NDArray[np.float64]:
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
    """Return the semi-axes, longest first, of a nearly smallest ellipsoid around points `[n, 3]` in mm.

    Solved on the outermost points, adding those that stick out until none does beyond the tolerance. Flat or too
    few points give zeros.

    Source: Khachiyan's algorithm with away steps, Todd & Yildirim 2007, doi:10.1016/j.dam.2007.02.013.
    """
    lifted = np.concatenate([points - points.mean(axis=0), np.ones((len(points), 1))], axis=1)
    if len(points) < 4 or np.linalg.matrix_rank(lifted) < 4:
        return np.zeros(3)
    along = _along(points, _rotations()[:8])
    core = np.unique([along.argmax(axis=1), along.argmin(axis=1)])
    weight = np.full(core.size, 1 / core.size)
    for _ in range(_MOST_ROUNDS):
        weight, inverse = _optimal_weights(lifted[core], weight)
        distance = np.einsum("ni,ij,nj->n", lifted, inverse, lifted)
        farthest = float(distance.max())
        outside = np.argsort(-distance, kind="stable")[:_ADDED]
        outside = np.setdiff1d(outside[distance[outside] > 4 * (1 + _TOLERANCE)], core)
        if outside.size == 0:
            break
        core = np.concatenate([core, outside])
        weight = np.concatenate([weight, np.zeros(outside.size)])
    chosen = lifted[core, :3]
    centre = chosen.T @ weight
    spread = (chosen.T * weight) @ chosen - np.outer(centre, centre)
    semi = np.sqrt(np.maximum(np.linalg.eigvalsh(spread) * 3, 0))[::-1]
    # Scaled so that the farthest point lies on the ellipsoid: it encloses all of them.
    return np.asarray(semi * np.sqrt(max(1.0, (farthest - 1) / 3)))


def _optimal_weights(
    lifted: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of the points (x, y, z, 1) that maximise the determinant of their moment, and its inverse."""
    weight = weight.copy()
    moment = (lifted.T * weight) @ lifted
    if np.linalg.matrix_rank(moment) < 4:
        weight[:] = 1 / weight.size
        moment = (lifted.T * weight) @ lifted
    inverse: NDArray[np.float64] = np.asarray(np.linalg.inv(moment), dtype=np.float64)
    distance = np.einsum("ni,ij,nj->n", lifted, inverse, lifted)
    unused = np.where(weight > 0, 0.0, np.inf)
    for _ in range(_MOST_STEPS):
        far, near = int(distance.argmax()), int((distance + unused).argmin())
        above, below = float(distance[far]) / 4 - 1, 1 - float(distance[near]) / 4
        if max(above, below) < _TOLERANCE / 2:
            break
        chosen = far if above >= below else near
        d, held = float(distance[chosen]), float(weight[chosen])
        step = (d - 4) / (4 * (d - 1)) if d > 1 else -1.0
        step = max(step, -held / (1 - held)) if chosen != far else step
        weight *= 1 - step
        weight[chosen] = max(held * (1 - step) + step, 0.0)
        unused[chosen] = 0.0 if weight[chosen] > 1e-15 else np.inf
        turned = lifted[chosen] @ inverse
        factor = step / (1 - step + step * d)
        inverse = (inverse - (factor * turned)[:, np.newaxis] * turned) / (1 - step)
        distance = (distance - factor * np.square(lifted @ turned)) / (1 - step)
    return weight, inverse


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
