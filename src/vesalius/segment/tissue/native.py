"""Classification of the input grid's voxels with the fitted model and a Markov random field."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from vesalius.segment.tissue.atlas import Atlas
from vesalius.segment.tissue.deformation import grid_index, mapped, warp
from vesalius.segment.tissue.densities import Densities, update
from vesalius.segment.tissue.mixture import (
    F32,
    F64,
    TOLERANCE,
    Fit,
    Template,
    binned,
    class_histograms,
    effective,
    posterior,
    rescaled,
)

Box = tuple[slice, slice, slice]
Flat = NDArray[np.int64]

GROUPS = ((0, 1), (2, 3), (4,), (5, 6, 7, 8))
"""Channels of grey matter, white matter, fluid and everything else."""

BRAIN_REACH = 0.004
SLAB = 16
THINNING = 3


@dataclass(frozen=True)
class NativeOptions:
    """How voxels are classified.

    Args:
        steps: largest number of expectation-maximisation steps at full resolution.
        field_strength: strength of the Markov random field per neighbour.
        field_steps: mean-field steps.
    """

    steps: int = 20
    field_strength: float = 0.25
    field_steps: int = 5


@dataclass(eq=False)
class NativeResult:
    """Posteriors on a box of the input grid.

    Args:
        box: slices of the input array.
        active: flat indices into the box that were classified.
        groups: float32 [4, active] probabilities of grey, white, fluid, other.
        log_bias: float32 [active].
        below: float32 [active], probability of lying below the foramen magnum.
        left: bool [active], left of the mid-sagittal plane.
        densities: class densities at full resolution.
    """

    box: Box
    active: Flat
    groups: F32
    log_bias: F32
    below: F32
    left: NDArray[np.bool_]
    densities: Densities

    def dense(self, values: NDArray[np.generic], fill: float = 0) -> NDArray[np.generic]:
        """Return values of the active voxels on the box."""
        shape = tuple(s.stop - s.start for s in self.box)
        out = np.full(int(np.prod(shape)), fill, dtype=values.dtype)
        out[self.active] = values
        return out.reshape(shape)


@dataclass(eq=False)
class Places:
    """The classified voxels of a box: where they lie and what the atlas expects there.

    Args:
        active: flat indices into the box.
        priors: float32 [class, active].
        aligned: float32 [3, active] template index under the affine pose.
        target: float32 [3, active] template index after the deformation.
    """

    active: Flat
    priors: F32
    aligned: F32
    target: F32


def brain_box(shape: tuple[int, ...], affine: F64, fit: Fit, atlas: Atlas) -> Box:
    """Return the box of the input grid around the aligned atlas brain."""
    index = np.argwhere(atlas.brain > 0.02).T.astype(np.float32)
    moved = index - fit.displacement[(slice(None), *index.astype(np.int64))]
    place = mapped(moved, np.linalg.inv(affine) @ fit.pose.matrix @ atlas.affine)
    low = np.clip(np.floor(place.min(axis=1)) - 2, 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(place.max(axis=1)) + 3, low + 1, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def places(prior: F32, box: Box, affine: F64, atlas: Atlas, fit: Fit) -> Places:
    """Return the voxels of the box near the brain, slab by slab to bound memory."""
    to_template = np.linalg.inv(atlas.affine) @ np.linalg.inv(fit.pose.matrix) @ affine
    brain = warp(atlas.brain[None], fit.displacement)[0]
    slabs = []
    shape = [s.stop - s.start for s in box]
    corner = np.array([s.start for s in box], dtype=np.float32)[:, None]
    for start in range(0, shape[0], SLAB):
        rows = min(SLAB, shape[0] - start)
        index = grid_index((rows, *shape[1:])).reshape(3, -1) + corner
        index[0] += start
        aligned = mapped(index, to_template)
        near = _sampled(brain, aligned, mode="constant") > BRAIN_REACH
        aligned = aligned[:, near]
        target = aligned + np.stack([_sampled(d, aligned) for d in fit.displacement])
        expected = np.stack([_sampled(p, target) for p in prior])
        slabs.append(Places(np.flatnonzero(near) + start * shape[1] * shape[2], expected, aligned, target))
    return Places(
        np.concatenate([s.active for s in slabs]),
        np.concatenate([s.priors for s in slabs], axis=1),
        np.concatenate([s.aligned for s in slabs], axis=1),
        np.concatenate([s.target for s in slabs], axis=1),
    )


def _sampled(array: F32, place: F32, mode: str = "nearest") -> F32:
    values: F32 = map_coordinates(array, place, order=1, mode=mode, prefilter=False)
    return values


def classify(
    image: F32, affine: F64, atlas: Atlas, prior: F32, head: Template, fit: Fit, options: NativeOptions
) -> NativeResult:
    """Return tissue posteriors at full resolution inside the brain's box.

    Args:
        image: the input image.
        affine: array index to patient LPS mm.
        atlas: the atlas.
        prior: the atlas with floor, on its own grid.
        head: the head on the template grid.
        fit: the fitted state.
        options: steps and random field.
    """
    box = brain_box(image.shape, affine, fit, atlas)
    part = image[box]
    found = places(prior, box, affine, atlas, fit)
    log_bias = _sampled(head.basis.field(fit.coefficients), found.aligned)
    bins = binned(part.reshape(-1)[found.active] * np.exp(-log_bias), fit.reference)
    priors = rescaled(found.priors, effective(fit.proportions))
    densities = deepcopy(fit.densities)
    thin = slice(None, None, THINNING)
    before = -np.inf
    for _ in range(options.steps):
        shares, total = posterior(priors[:, thin], densities.table, bins[thin])
        densities = update(densities, class_histograms(shares, bins[thin]))
        now = float(np.log(total).mean())
        if abs(now - before) < TOLERANCE:
            break
        before = now
    shares, _ = posterior(priors, densities.table, bins)
    groups = np.stack([shares[list(g)].sum(axis=0) for g in GROUPS])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    groups = random_field(groups, part.shape, found.active, spacing, options)
    below = _sampled(atlas.below_foramen, found.target)
    middle = (atlas.shape[2] - 1) / 2
    return NativeResult(box, found.active, groups, log_bias, below, found.target[2] > middle, densities)


def random_field(groups: F32, shape: tuple[int, ...], active: Flat, spacing: F64, options: NativeOptions) -> F32:
    """Return mean-field posteriors of a Potts field over six neighbours, weighted by 1 / distance.

    Args:
        groups: [4, active] posteriors without the field; what is not active is 'other'.
        shape: of the box.
        active: flat indices into the box.
        spacing: mm along the box's axes.
        options: strength per neighbour and number of steps.
    """
    strength = np.float32(options.field_strength)
    weights = (spacing.min() / spacing).astype(np.float32)
    unary = groups + np.float32(1e-6)
    current = unary
    for _ in range(options.field_steps):
        support = np.empty_like(unary)
        for k in range(len(groups)):
            dense = np.full(int(np.prod(shape)), 1.0 if k == len(groups) - 1 else 0.0, dtype=np.float32)
            dense[active] = current[k]
            support[k] = _neighbours(dense.reshape(shape), weights).reshape(-1)[active]
        support -= support.max(axis=0)
        current = unary * np.exp(strength * support)
        current /= current.sum(axis=0)
    return current


def _neighbours(dense: F32, weights: NDArray[np.float32]) -> F32:
    total = np.zeros_like(dense)
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(ahead)] += weights[axis] * dense[tuple(behind)]
        total[tuple(behind)] += weights[axis] * dense[tuple(ahead)]
    return total
