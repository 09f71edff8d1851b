"""Classification of the input grid's voxels with the fitted model and a Markov random field, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

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
    Bins,
    Fit,
    Template,
    binned,
    class_histograms,
    effective,
    posterior,
    rescaled,
)

Box = tuple[slice, slice, slice]
Flat = NDArray[np.int32]

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
        below: bool [active], rather below than above the foramen magnum.
        left: bool [active], left of the mid-sagittal plane.
        densities: class densities at full resolution.
    """

    box: Box
    active: Flat
    groups: F32
    log_bias: F32
    below: NDArray[np.bool_]
    left: NDArray[np.bool_]
    densities: Densities

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the box."""
        a, b, c = (s.stop - s.start for s in self.box)
        return a, b, c

    def dense(self, values: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """Return values of the active voxels on the box."""
        out = np.full(int(np.prod(self.shape)), fill, dtype=values.dtype)
        out[self.active] = values
        return out.reshape(self.shape)


@dataclass(eq=False)
class Slab:
    """The voxels near the brain in a few slices of the box.

    Args:
        active: flat indices into the box.
        priors: float16 [class, active], what the atlas expects.
        bins: intensity bins after bias correction.
        log_bias: float32 [active].
        below: bool [active].
        left: bool [active].
    """

    active: Flat
    priors: NDArray[np.float16]
    bins: Bins
    log_bias: F32
    below: NDArray[np.bool_]
    left: NDArray[np.bool_]


def brain_box(shape: tuple[int, ...], affine: F64, fit: Fit, atlas: Atlas) -> Box:
    """Return the box of the input grid around the aligned atlas brain."""
    index = np.argwhere(atlas.brain > 0.02).T.astype(np.float32)
    moved = index - fit.displacement[(slice(None), *index.astype(np.int64))]
    place = mapped(moved, np.linalg.inv(affine) @ fit.pose.matrix @ atlas.affine)
    low = np.clip(np.floor(place.min(axis=1)) - 2, 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(place.max(axis=1)) + 3, low + 1, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def slabs(image: F32, affine: F64, box: Box, atlas: Atlas, prior: F32, head: Template, fit: Fit) -> Iterator[Slab]:
    """Yield the voxels of the box near the brain, a few slices at a time."""
    to_template = np.linalg.inv(atlas.affine) @ np.linalg.inv(fit.pose.matrix) @ affine
    brain = warp(atlas.brain[None], fit.displacement)[0]
    field = head.basis.field(fit.coefficients)
    part = image[box]
    corner = np.array([s.start for s in box], dtype=np.float32)[:, None]
    middle = (atlas.shape[2] - 1) / 2
    for start in range(0, part.shape[0], SLAB):
        values = part[start : start + SLAB]
        index = grid_index(values.shape).reshape(3, -1) + corner
        index[0] += start
        aligned = mapped(index, to_template)
        near = _sampled(brain, aligned, mode="constant") > BRAIN_REACH
        aligned = aligned[:, near]
        target = aligned + np.stack([_sampled(d, aligned) for d in fit.displacement])
        log_bias = _sampled(field, aligned)
        yield Slab(
            (np.flatnonzero(near) + start * part.shape[1] * part.shape[2]).astype(np.int32),
            np.stack([_sampled(p, target).astype(np.float16) for p in prior]),
            binned(values.reshape(-1)[near] * np.exp(-log_bias), fit.reference),
            log_bias,
            _sampled(atlas.below_foramen, target) >= 0.5,
            target[2] > middle,
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
    found = list(slabs(image, affine, box, atlas, prior, head, fit))
    gains = effective(fit.proportions)
    densities = _refined(found, gains, deepcopy(fit.densities), options.steps)
    active, log_bias, below, left = (
        np.concatenate([getattr(s, name) for s in found]) for name in ("active", "log_bias", "below", "left")
    )
    groups = np.empty((len(GROUPS), len(active)), dtype=np.float32)
    start = 0
    for slab in found:
        shares, _ = posterior(rescaled(slab.priors.astype(np.float32), gains), densities.table, slab.bins)
        for k, group in enumerate(GROUPS):
            groups[k, start : start + len(slab.active)] = shares[list(group)].sum(axis=0)
        start += len(slab.active)
        slab.priors = slab.priors[:, :0]
    result = NativeResult(box, active, groups, log_bias, below, left, densities)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    result.groups = random_field(groups, result.shape, active, spacing, options)
    return result


def _refined(found: list[Slab], gains: F32, densities: Densities, steps: int) -> Densities:
    """Return the densities after expectation maximisation on every third voxel."""
    thin = slice(None, None, THINNING)
    priors = rescaled(np.concatenate([s.priors[:, thin] for s in found], axis=1).astype(np.float32), gains)
    bins = np.concatenate([s.bins[thin] for s in found])
    before = -np.inf
    for _ in range(steps):
        shares, total = posterior(priors, densities.table, bins)
        densities = update(densities, class_histograms(shares, bins))
        now = float(np.log(total).mean())
        if abs(now - before) < TOLERANCE:
            break
        before = now
    return densities


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
        support *= strength
        np.exp(support, out=support)
        support *= unary
        support /= support.sum(axis=0)
        current = support
    return current


def _neighbours(dense: F32, weights: NDArray[np.float32]) -> F32:
    total = np.zeros_like(dense)
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(ahead)] += weights[axis] * dense[tuple(behind)]
        total[tuple(behind)] += weights[axis] * dense[tuple(ahead)]
    return total
