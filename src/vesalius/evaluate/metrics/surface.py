"""Distances between two surfaces, in the definitions of the packages that people quote.

`deepmind`: surface elements of marching cubes at the corners between voxels, each weighted by its area
(Nikolov et al. 2018, arXiv:1809.04430; package surface-distance). `monai`, `pooled` and its other name `medpy`: voxels
of the mask with a face to the outside, each counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vesalius.core.errors import UnknownNameError
from vesalius.evaluate.metrics.pair import Pair
from vesalius.features.spatial.lattice import outermost

Definition = Literal["deepmind", "monai", "pooled", "medpy"]
F64 = NDArray[np.float64]
_STEPS = 250
_FEW = 50
"""How many steps to neighbours are tried, and how few elements may be left for the k-d tree before that."""

# Normals (eighths of a voxel face) of the surface elements of the first 128 of 256 neighbourhoods, a letter each, kinds
# apart by a space; the others are the complements of these. Copyright 2018 Google Inc., Apache License 2.0
# (surface-distance, lookup_tables.py), signs that do not change an area left out.
_NORMALS = """
- h g oo f mm fg hpu e eh ll gnu jj fku eiu uu e cc eg dhp ef ahp efg hhpp ee cce ell bhlt ejj bhjt hhpu hpu f fh bb dgn
ff fmm bbf cgms ef efh agn ggnn fjj ffku beoq gnu jj dei dfk dd fjj hjlt dhhp dhp ejj dggn flor dgn jjjj goo hoo oo g gh
gg goo bb afk bbg cfor eg egh gll ggnu dfk ffkk bemq fku ll aei gll emoq agn aa ahhp ahp ell affk llll fmm gjms afk hmm
mm fg fgh bbg dggn bbf affk bbbb cce efg efgh aggn efh dffk egh cch eh eiu eeii cflr dei cgjs aei cch cc hhpu fgh hmm fh
hoo gh hh h
"""
_LETTERS = (
    *((0, 0, 4), (0, 2, -2), (0, 2, 2), (0, 4, 0), (1, -1, -1), (1, -1, 1), (1, 1, -1), (1, 1, 1), (2, -2, -2)),
    *((2, -2, 0), (2, -2, 2), (2, 0, -2), (2, 0, 2), (2, 2, -2), (2, 2, 0), (2, 2, 2), (3, -3, -3), (3, -3, 3)),
    *((3, 3, -3), (3, 3, 3), (4, 0, 0)),
)
_SEGMENTS = {1: "d", 2: "e", 3: "h", 4: "e", 5: "v", 6: "ee", 7: "d"}
"""Line elements of the first eight of 16 neighbourhoods in 2-D: horizontal, vertical and the two diagonals."""
_LINES = {"h": (0, 1), "v": (1, 0), "d": (0.5, -0.5), "e": (0.5, 0.5)}


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance in mm from every element of each of two surfaces to the other, and the weight of each element.

    Args:
        from_prediction: mm, one per element of the predicted surface; infinite when there is no reference.
        from_reference: mm, one per element of the surface that should be.
        prediction_weights: mm2 (mm in 2-D) by `deepmind`, 1 otherwise.
        reference_weights: the same of the reference.
    """

    definition: Definition
    from_prediction: F64
    from_reference: F64
    prediction_weights: F64
    reference_weights: F64

    @property
    def sides(self) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
        """Return (distances, weights) from the prediction and from the reference."""
        return (self.from_prediction, self.prediction_weights), (self.from_reference, self.reference_weights)

    def percentile(self, percent: float) -> float:
        """Return the distance below which a percentage of the surface lies, in mm."""
        if self.definition == "deepmind":
            return max(_weighted_percentile(distances, weights, percent) for distances, weights in self.sides)
        if self.definition == "monai":
            return max(float(np.percentile(distances, percent)) for distances, _ in self.sides)
        return float(np.percentile(np.concatenate([distances for distances, _ in self.sides]), percent))

    def largest(self) -> float:
        """Return the Hausdorff distance in mm."""
        return float(max(self.from_prediction.max(), self.from_reference.max()))

    def pooled_mean(self) -> float:
        """Return the mean over both surfaces together in mm (ASSD)."""
        return float(sum(d @ w for d, w in self.sides) / sum(w.sum() for _, w in self.sides))

    def mean_of_means(self) -> float:
        """Return the mean of the two directed means in mm (MASD)."""
        return float(sum(d @ w / w.sum() for d, w in self.sides) / 2)

    def share_within(self, tolerance_mm: float) -> float:
        """Return the share of both surfaces no farther than a tolerance from the other (surface Dice, NSD)."""
        near = sum(float(w[d <= tolerance_mm].sum()) for d, w in self.sides)
        return near / float(sum(w.sum() for _, w in self.sides))


def distances(pair: Pair, definition: Definition = "deepmind") -> SurfaceDistances:
    """Return the distances between the two surfaces of a pair, neither of which is empty.

    Exact on every grid, sheared ones too. Of a grid one slice thick the outlines on that slice are compared.

    Raises:
        UnknownSpacingError: the pixel size is not known.
        UnknownNameError: no such definition.
    """
    if definition not in get_args(Definition):
        names = ", ".join(get_args(Definition))
        raise UnknownNameError("no such definition of surface distances", found=repr(definition), expected=names)
    steps = pair.steps_mm
    if definition == "deepmind":
        kinds = [_kinds(inside) for inside in (pair.prediction, pair.reference)]
        elements = [_surface(kind) for kind in kinds]
        sizes = _sizes(steps)
        weights = [sizes[kind[there]] for kind, there in zip(kinds, elements, strict=True)]
    else:
        elements = [outermost(inside) for inside in (pair.prediction, pair.reference)]
        weights = [np.ones(int(np.count_nonzero(there))) for there in elements]
    one, other = elements
    return SurfaceDistances(definition, _nearest(one, other, steps), _nearest(other, one, steps), *weights)


def _nearest(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], steps: F64) -> F64:
    """Return the distance in mm from each of our elements to the nearest of theirs; both lie on one lattice.

    Most are a few steps away: the steps are tried in the order of their length, and a k-d tree finds the rest.
    """
    lengths, shifts = _short_steps(steps)
    reach = np.abs(shifts).max(axis=0)
    padded = np.pad(theirs, [(int(r), int(r)) for r in reach])
    strides = np.array(padded.strides)
    places = np.argwhere(ours)
    flat, at = padded.reshape(-1), (places + reach) @ strides
    result = np.full(len(places), np.inf)
    left = np.arange(len(places))
    for length, shift in zip(lengths.tolist(), (shifts @ strides).tolist(), strict=True):
        hit = flat[at + shift]
        result[left[hit]] = length
        left, at = left[~hit], at[~hit]
        if len(left) <= _FEW:
            break
    if len(left):
        tree = cKDTree(np.argwhere(theirs) @ steps.T, balanced_tree=False, compact_nodes=False)
        result[left] = tree.query(places[left] @ steps.T)[0]
    return result


def _short_steps(steps: F64) -> tuple[F64, NDArray[np.int64]]:
    """Return length in mm and index shift of all steps within a radius, about `_STEPS` of them, shortest first."""
    size = len(steps)
    ball = np.pi if size == 2 else 4 / 3 * np.pi
    radius = (_STEPS * abs(np.linalg.det(steps)) / ball) ** (1 / size)
    # No step within the radius leaves this box: the rows of the inverse are the heights between lattice planes.
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(steps), axis=1) + 1e-9).astype(int)
    shifts = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, size)
    lengths = np.linalg.norm(shifts @ steps.T, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]
    return lengths[order], shifts[order]


def _weighted_percentile(distances: F64, weights: F64, percent: float) -> float:
    order = np.argsort(distances)
    share = np.cumsum(weights[order])
    place = int(np.searchsorted(share / share[-1], percent / 100))
    return float(distances[order[min(place, order.size - 1)]])


def _kinds(inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return which of its four or eight corners are inside, for each cell between voxels; the first is the top bit."""
    kinds = np.pad(inside, 1).view(np.uint8)
    for axis in range(inside.ndim - 1, -1, -1):
        before = [slice(None)] * inside.ndim
        after = list(before)
        before[axis], after[axis] = slice(0, -1), slice(1, None)
        shift = np.uint8(1 << (inside.ndim - 1 - axis))
        kinds = (kinds[tuple(before)] << shift) | kinds[tuple(after)]
    return kinds


def _surface(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the cells with a corner inside and another outside."""
    full = 2 ** (2**kinds.ndim) - 1
    return np.asarray((kinds != 0) & (kinds != full))


def _sizes(steps: F64) -> F64:
    """Return mm2 (mm in 2-D) of the surface elements of each kind of cell."""
    if len(steps) == 2:
        lengths = {name: float(np.linalg.norm(steps @ line)) for name, line in _LINES.items()}
        half = [sum(lengths[name] for name in _SEGMENTS.get(kind, "")) for kind in range(8)]
    else:
        # An area vector goes with the cofactors of the matrix, so that a sheared grid has the right areas too.
        cofactors = np.linalg.det(steps) * np.linalg.inv(steps).T
        areas = np.linalg.norm(np.array(_LETTERS) / 8 @ cofactors.T, axis=1)
        half = [sum(areas[ord(letter) - ord("a")] for letter in word) for word in _words()]
    return np.array([*half, *half[::-1]])


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    return tuple(word.strip("-") for word in _NORMALS.split())
