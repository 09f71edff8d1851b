"""Expectation maximisation of densities, proportions and bias in template space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from vesalius.segment.tissue import bias as bias_field
from vesalius.segment.tissue.alignment import Pose
from vesalius.segment.tissue.atlas import CLASSES
from vesalius.segment.tissue.deformation import shrink
from vesalius.segment.tissue.densities import BINS, TOP, Densities, from_histograms, update

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bins = NDArray[np.int16]

TOLERANCE = 3e-4
"""Expectation maximisation stops when it gains less than this, nats per voxel."""

PROPORTION_PRIOR = 500.0
PROPORTION_LIMITS = (0.2, 5.0)
PROPORTION_GROUPS = ((0,), (1,), (2,), (3,), (4, 5, 6), (7,), (8,))
"""Classes that share a proportion: fluid, dura and bone look alike, only the atlas may share space between them."""

RIM_LIMITS = (0.7, 1.6)

SHARP = ("cortex", "deep_grey", "white", "stem")
"""Classes whose brightness informs the bias field; fluid does not, its border is the least certain."""


@dataclass(eq=False)
class Template:
    """The head on the template grid and the lattice of voxels that the mixture is fitted to.

    Args:
        image: float32 [slice, row, column] on the template grid under the affine pose.
        region: where the image reaches, the atlas knows, and the brain is near.
        lattice: bool on every other voxel, those of the region.
        basis: the bias basis.
    """

    image: F32
    region: NDArray[np.bool_]
    lattice: NDArray[np.bool_]
    basis: bias_field.CosineBasis

    def sampled(self, values: NDArray[np.float32]) -> F32:
        """Return the values of the last three axes at the lattice voxels."""
        part = slice(self.basis.offset, None, self.basis.stride)
        return np.ascontiguousarray(values[..., part, part, part][..., self.lattice])

    def places(self) -> F32:
        """Return the template index of the lattice voxels, float32 [3, n]."""
        index: F32 = np.argwhere(self.lattice).T.astype(np.float32)
        return index * np.float32(self.basis.stride) + np.float32(self.basis.offset)


@dataclass(eq=False)
class Fit:
    """State of the fit in template space.

    Args:
        pose: affine alignment.
        displacement: [3, ...] template voxels.
        coefficients: log-bias coefficients.
        densities: class densities.
        reference: image brightness that lies at bin BINS / TOP.
        stripped: the skull is not in the image.
        spread: prior spread of the bias field.
        proportions: how much more or less of each class there is than the atlas expects.
        log_likelihood: nats per voxel at the last deformable step.
        trace: nats per lattice voxel after each expectation-maximisation step.
    """

    pose: Pose
    displacement: F32
    coefficients: F64
    densities: Densities
    reference: float
    stripped: bool = False
    spread: float = bias_field.FIRST_SPREAD
    proportions: F32 = field(default_factory=lambda: np.ones(len(CLASSES), dtype=np.float32))
    log_likelihood: float = 0.0
    trace: list[float] = field(default_factory=list)


def binned(value: F32, reference: float) -> Bins:
    """Return the histogram bin of corrected intensities."""
    bins: Bins = np.clip(value * np.float32(BINS / TOP / reference), 0, BINS - 1).astype(np.int16)
    return bins


def posterior(prior: F32, table: F32, bins: Bins) -> tuple[F32, F32]:
    """Return class responsibilities [class, n] and the mixture likelihood [n]."""
    shares = np.empty_like(prior)
    for k in range(len(prior)):
        np.multiply(prior[k], table[k].take(bins), out=shares[k])
    total = shares.sum(axis=0)
    np.maximum(total, np.float32(1e-12), out=total)
    shares /= total
    return shares, total


def class_histograms(shares: F32, bins: Bins) -> F64:
    """Return [class, bin] sums of responsibilities."""
    return np.stack([np.bincount(bins, weights=s, minlength=BINS) for s in shares])


def rescaled(prior: F32, proportions: F32) -> F32:
    """Return the prior [class, ...] with each class multiplied by its proportion, normalised again."""
    scaled: F32 = prior * proportions.reshape(-1, *[1] * (prior.ndim - 1))
    scaled /= scaled.sum(axis=0)
    return scaled


def effective(proportions: F32) -> F32:
    """Return the proportions with bone and dura lowered where there is much fluid, and the other way round.

    Wide sulci and ventricles go with a wide rim of fluid under the inner table, which itself is not visible on T1.
    """
    result = proportions.copy()
    rim = float(np.clip(proportions[4], *RIM_LIMITS))
    result[[5, 6]] = proportions[4] / rim
    return result


def new_proportions(prior: F32, shares: F32, proportions: F32) -> F32:
    """Return how much more or less of each class this head has than the atlas expects.

    Source: Ashburner and Friston 2005, Unified segmentation, doi:10.1016/j.neuroimage.2005.02.018.
    """
    expected = (prior / np.einsum("k,kn->n", proportions, prior)).sum(axis=1)
    found = shares.sum(axis=1)
    ratio = np.empty_like(found)
    for group in map(list, PROPORTION_GROUPS):
        ratio[group] = (found[group].sum() + PROPORTION_PRIOR) / (expected[group].sum() + PROPORTION_PRIOR)
    limited: F32 = np.clip(ratio / ratio.mean(), *PROPORTION_LIMITS).astype(np.float32)
    return limited


def fit_mixture(head: Template, fit: Fit, prior: F32, steps: int, *, first: bool) -> None:
    """Improve densities, proportions and bias on the lattice; `fit` is changed.

    Args:
        head: the head on the template grid.
        fit: state to improve.
        prior: atlas on its own grid; it is sampled at the lattice through the displacement.
        steps: largest number of expectation-maximisation steps.
        first: start the densities from histograms, whatever the contrast.
    """
    raw = head.sampled(head.image)
    place = head.places() + head.sampled(fit.displacement)
    local = np.stack([map_coordinates(p, place, order=1, mode="nearest", prefilter=False) for p in prior])
    for step in range(steps):
        log_bias = head.basis.field(fit.coefficients, lattice=True)[head.lattice]
        value = raw * np.exp(-log_bias)
        bins = binned(value, fit.reference)
        if first and step == 0:
            fit.densities = from_histograms(free_histograms(local, bins), stripped=fit.stripped)
        shares, total = posterior(rescaled(local, effective(fit.proportions)), fit.densities.table, bins)
        fit.trace.append(float(np.log(total).mean()))
        fit.densities = update(fit.densities, class_histograms(shares, bins))
        fit.proportions = new_proportions(local, shares, fit.proportions)
        if step > 1 or not first:
            _update_bias(head, fit, shares, value, bins)
        if step > 3 and abs(fit.trace[-1] - fit.trace[-2]) < TOLERANCE:
            break
    log_bias = head.basis.field(fit.coefficients, lattice=True)[head.lattice]
    fit.spread = bias_field.likely_spread(log_bias, shares[:4].sum(axis=0))


def free_histograms(prior: F32, bins: Bins, rounds: int = 6) -> F64:
    """Return class histograms after a few rounds with free densities, so that no contrast is assumed."""
    histogram = class_histograms(prior**2, bins)
    for _ in range(rounds):
        smooth = gaussian_filter(histogram, (0, 8.0)) + 1e-6
        table = (smooth / smooth.sum(axis=1, keepdims=True)).astype(np.float32)
        shares, _ = posterior(prior, table, bins)
        histogram = class_histograms(shares, bins)
    return histogram


def _update_bias(head: Template, fit: Fit, shares: F32, value: F32, bins: Bins) -> None:
    scale = fit.reference * TOP / BINS
    weight = np.zeros(value.shape)
    target = np.zeros(value.shape)
    for name in SHARP:
        pure = shares[CLASSES.index(name)] * fit.densities.pure[name].take(bins)
        part = pure / (fit.densities.sd(name) * scale) ** 2
        weight += part
        target += part * (fit.densities.mean(name) * scale)
    target /= np.maximum(weight, 1e-12)
    dense = []
    for values in (value, target, weight):
        full = np.zeros(head.lattice.shape)
        full[head.lattice] = values
        dense.append(full)
    fit.coefficients = bias_field.fit(head.basis, dense[0], dense[1], dense[2], fit.coefficients, fit.spread)


def evidence_pyramid(head: Template, fit: Fit, prior: F32, strides: Iterable[int]) -> dict[int, tuple[F32, F32]]:
    """Return class likelihoods and the rescaled atlas as block means for each stride, class by class to save memory.

    Likelihoods are scaled so that their mean over the classes is 1; they are flat where nothing is known.
    """
    value = head.image * np.exp(-head.basis.field(fit.coefficients))
    bins = binned(value, fit.reference)
    mean = fit.densities.table.mean(axis=0)
    gains = effective(fit.proportions)
    total = np.einsum("k,k...->...", gains, prior)
    parts: dict[int, tuple[list[F32], list[F32]]] = {stride: ([], []) for stride in strides}
    for row, gain, expected in zip(fit.densities.table, gains, prior, strict=True):
        like = (row / mean).take(bins)
        like[~head.region] = 1
        scaled = expected * gain / total
        for stride, (likes, priors) in parts.items():
            likes.append(shrink(like, stride))
            priors.append(shrink(scaled, stride))
    return {stride: (np.stack(likes), np.stack(priors)) for stride, (likes, priors) in parts.items()}
