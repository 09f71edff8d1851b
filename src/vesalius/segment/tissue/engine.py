"""The numerical engine: image array and affine in, tissue posteriors out. No nouns, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from vesalius.segment.tissue import bias as bias_field
from vesalius.segment.tissue.alignment import Pose, align, coarse_image
from vesalius.segment.tissue.atlas import CLASSES, Atlas
from vesalius.segment.tissue.deformation import Level, deform, grid_index, warp
from vesalius.segment.tissue.densities import BINS, TOP, Densities, from_histograms, update

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Progress = Callable[[str, float], None]

FLOOR = np.float32(1e-3)
GROUPS = ((0, 1), (2, 3), (4,), (5, 6, 7, 8))
SCALP_BRIGHT = 0.15
"""Scalp and muscle count as present above this fraction of the median brightness of the brain."""

STRIPPED_DURA = 0.2
PROPORTION_PRIOR = 500.0
PROPORTION_LIMITS = (0.2, 5.0)
SHARP = ("cortex", "deep_grey", "white", "stem")


@dataclass(frozen=True)
class Settings:
    """Numbers of the engine; see the docstrings of the stages."""

    rounds: tuple[tuple[Level, ...], ...] = (
        (Level(3, 8, 1.5, 1.2, 0.6),),
        (Level(3, 4, 1.5, 1.2, 0.4), Level(2, 8, 1.5, 1.2, 0.4)),
    )
    expectation_steps: int = 8
    native_steps: int = 8
    field_strength: float = 0.25
    field_steps: int = 5
    bias_every: int = 1
    skull: bool | None = None


@dataclass(eq=False)
class Fit:
    """State of the fit in template space.

    Args:
        pose: affine alignment.
        displacement: [3, ...] template voxels.
        coefficients: log-bias coefficients.
        densities: class densities.
        reference: image brightness of bin BINS / TOP.
        stripped: the skull is not in the image.
        proportions: how much more or less of each class there is than the atlas expects.
        log_likelihood: nats per voxel at the last deformable step.
        trace: nats per sampled voxel after each expectation-maximisation step.
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
    bias_sd: list[float] = field(default_factory=list)


def to_template(image: F32, affine: F64, pose: Pose, atlas: Atlas) -> tuple[F32, NDArray[np.bool_]]:
    """Return the image on the template grid under the affine pose, and where the image reaches."""
    small, small_affine = coarse_image(image, affine, atlas.spacing_mm)
    to_index = np.linalg.inv(small_affine) @ pose.matrix @ atlas.affine
    place = _mapped(grid_index(atlas.shape), to_index)
    limits = np.array(small.shape)[:, None, None, None] - 0.5
    inside = np.all((place > -0.5) & (place < limits), axis=0)
    values = map_coordinates(small, place, order=1, mode="nearest", prefilter=False, output=np.float32)
    return values, inside


def _mapped(index: F32, matrix: F64) -> F32:
    part = matrix.astype(np.float32)
    out = np.empty_like(index)
    for row in range(3):
        out[row] = part[row, 0] * index[0] + part[row, 1] * index[1] + part[row, 2] * index[2] + part[row, 3]
    return out


def binned(value: F32, reference: float) -> NDArray[np.int16]:
    """Return the histogram bin of corrected intensities."""
    return np.clip(value * np.float32(BINS / TOP / reference), 0, BINS - 1).astype(np.int16)


def posterior(prior: F32, table: F32, bins: NDArray[np.int16]) -> tuple[F32, F32]:
    """Return class responsibilities [class, n] and the mixture likelihood [n]."""
    shares = np.empty_like(prior)
    for k in range(len(prior)):
        np.multiply(prior[k], table[k].take(bins), out=shares[k])
    total = shares.sum(axis=0)
    np.maximum(total, np.float32(1e-12), out=total)
    shares /= total
    return shares, total


def class_histograms(shares: F32, bins: NDArray[np.int16]) -> F64:
    """Return [class, bin] sums of responsibilities."""
    return np.stack([np.bincount(bins, weights=s, minlength=BINS) for s in shares])


@dataclass(eq=False)
class Template:
    """The head on the template grid and the voxels that the mixture is fitted to."""

    image: F32
    region: NDArray[np.bool_]
    sample: NDArray[np.int64]
    basis: bias_field.CosineBasis
    rows: F32


def prepare(image: F32, affine: F64, pose: Pose, atlas: Atlas) -> Template:
    """Return the head on the template grid with a sample of every other voxel for the mixture."""
    values, inside = to_template(image, affine, pose, atlas)
    near = distance_transform_edt(atlas.brain < 0.5, sampling=atlas.spacing_mm) <= 20.0
    region = inside & atlas.known & near
    chosen = np.zeros(atlas.shape, dtype=bool)
    chosen[::2, ::2, ::2] = True
    chosen[1::2, 1::2, 1::2] = True
    sample = np.argwhere(chosen & region)
    basis = bias_field.CosineBasis(atlas.shape, atlas.spacing_mm)
    return Template(values, region, sample, basis, basis.rows(sample))


def fit_mixture(head: Template, fit: Fit, prior: F32, steps: int, *, first: bool) -> None:
    """Improve densities and bias by expectation maximisation on the sample; `fit` is changed."""
    place = tuple(head.sample.T)
    local = np.ascontiguousarray(prior[(slice(None), *place)])
    raw = head.image[place]
    for step in range(steps):
        value = raw * np.exp(-(head.rows @ fit.coefficients.astype(np.float32)))
        bins = binned(value, fit.reference)
        if first and step == 0:
            fit.densities = from_histograms(_soft_histograms(local, bins), stripped=fit.stripped)
        scaled = rescaled(local, fit.proportions)
        shares, total = posterior(scaled, fit.densities.table, bins)
        fit.trace.append(float(np.log(total).mean()))
        fit.densities = update(fit.densities, class_histograms(shares, bins))
        fit.proportions = new_proportions(local, shares, fit.proportions)
        if step > 1 or not first:
            _update_bias(head, fit, shares, value)
    log_bias = head.rows @ fit.coefficients.astype(np.float32)
    fit.spread = bias_field.likely_spread(log_bias, shares[:4].sum(axis=0))
    fit.bias_sd.append(fit.spread)


def rescaled(prior: F32, proportions: F32) -> F32:
    """Return the prior [class, ...] with each class multiplied by its proportion, normalised again."""
    scaled: F32 = prior * proportions.reshape(-1, *[1] * (prior.ndim - 1))
    scaled /= scaled.sum(axis=0)
    return scaled


def new_proportions(prior: F32, shares: F32, proportions: F32) -> F32:
    """Return how much more or less of each class this head has than the atlas expects (unified segmentation).

    Source: Ashburner and Friston 2005, doi:10.1016/j.neuroimage.2005.02.018, equation 27.
    """
    expected = (prior / np.einsum("k,kn->n", proportions, prior)).sum(axis=1)
    found = shares.sum(axis=1)
    ratio = (found + PROPORTION_PRIOR) / (expected + PROPORTION_PRIOR)
    return np.clip(ratio / ratio.mean(), *PROPORTION_LIMITS).astype(np.float32)


def _soft_histograms(prior: F32, bins: NDArray[np.int16], rounds: int = 6) -> F64:
    """Return class histograms after a few rounds with free densities, so that no contrast is assumed."""
    histogram = class_histograms(prior**2, bins)
    for _ in range(rounds):
        smooth = gaussian_filter(histogram, (0, 8.0)) + 1e-6
        table = (smooth / smooth.sum(axis=1, keepdims=True)).astype(np.float32)
        shares, _ = posterior(prior, table, bins)
        histogram = class_histograms(shares, bins)
    return histogram


def _update_bias(head: Template, fit: Fit, shares: F32, value: F32) -> None:
    scale = fit.reference * TOP / BINS
    weight = np.zeros_like(value)
    target = np.zeros_like(value)
    for name in SHARP:
        share = shares[CLASSES.index(name)]
        part = share / np.float32((fit.densities.sd(name) * scale) ** 2)
        weight += part
        target += part * np.float32(fit.densities.mean(name) * scale)
    target /= np.maximum(weight, 1e-12)
    chosen = slice(None, None, 4)
    fit.coefficients = bias_field.fit(
        head.rows[chosen], value[chosen], target[chosen], weight[chosen], fit.coefficients, head.basis.roughness,
        fit.spread,
    )  # fmt: skip


def likelihoods(head: Template, fit: Fit) -> F32:
    """Return class likelihoods on the template grid, scaled so that their mean is 1; flat where nothing is known."""
    value = head.image * np.exp(-head.basis.field(fit.coefficients))
    bins = binned(value, fit.reference)
    like = np.stack([row.take(bins) for row in fit.densities.table])
    like /= like.mean(axis=0)
    like[:, ~head.region] = 1
    return like


def skull_evidence(head: Template, atlas: Atlas) -> tuple[bool, float]:
    """Return whether the skull is in the image and the bright share of the expected scalp.

    Two models of the expected scalp are compared: a head with skull shows 85 % of it brighter than background, a
    stripped head 3 %. The likelihood ratio of the observed shares decides.
    """
    scalp = head.region & (atlas.probabilities[CLASSES.index("soft")] > 0.7)
    inner = head.region & (atlas.brain > 0.9)
    if np.count_nonzero(scalp) < 100 or np.count_nonzero(inner) < 100:
        return False, 0.0
    bright = float(np.mean(head.image[scalp] > SCALP_BRIGHT * np.median(head.image[inner])))
    ratio = bright * np.log(0.85 / 0.03) + (1 - bright) * np.log(0.15 / 0.97)
    return bool(ratio > 0), bright


def starting_prior(atlas: Atlas, *, stripped: bool) -> F32:
    """Return the atlas with a floor; in a stripped head most of the dura is gone and the rest is background."""
    prior = atlas.probabilities + FLOOR
    if stripped:
        prior[CLASSES.index("dura")] *= np.float32(STRIPPED_DURA)
        prior /= prior.sum(axis=0)
    return prior


def fit_template(image: F32, affine: F64, atlas: Atlas, settings: Settings, progress: Progress) -> tuple[Template, Fit]:
    """Return the fitted state: affine, mixture, bias and deformation in template space."""
    progress("align", 0.0)
    pose = align(image, affine, atlas)
    progress("deform", 0.35)
    head = prepare(image, affine, pose, atlas)
    present, _ = skull_evidence(head, atlas)
    stripped = not present if settings.skull is None else not settings.skull
    inner = head.image[head.region & (atlas.brain > 0.9)]
    reference = max(float(np.percentile(inner, 95)), 1e-6) if inner.size else 1.0
    start = np.zeros((3, *atlas.shape), dtype=np.float32)
    count = head.rows.shape[1]
    fit = Fit(pose, start, np.zeros(count), Densities(np.empty((0, 0), np.float32)), reference, stripped)
    prior = starting_prior(atlas, stripped=stripped)
    fit_mixture(head, fit, prior, settings.expectation_steps, first=True)
    for levels in settings.rounds:
        like = likelihoods(head, fit)
        fit.displacement, fit.log_likelihood = deform(like, prior, fit.displacement, levels)
        moved = warp(prior, fit.displacement)
        fit_mixture(head, fit, moved, settings.expectation_steps, first=False)
    return head, fit


@dataclass(eq=False)
class NativeResult:
    """Posteriors on a box of the input grid.

    Args:
        box: slices of the input array.
        active: flat indices into the box that were classified.
        groups: float32 [4, active] probabilities of grey, white, fluid, other.
        log_bias: float32 [active].
        template_index: float32 [3, active], where in the template grid each voxel lies after the deformation.
    """

    box: tuple[slice, slice, slice]
    active: NDArray[np.int64]
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


def brain_box(shape: tuple[int, int, int], affine: F64, fit: Fit, atlas: Atlas) -> tuple[slice, slice, slice]:
    """Return the box of the input grid around the aligned atlas brain."""
    index = np.argwhere(atlas.brain > 0.02)
    moved = index - np.stack([d[tuple(index.T)] for d in fit.displacement], axis=1)
    world = moved @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    world = world @ fit.pose.matrix[:3, :3].T + fit.pose.matrix[:3, 3]
    inverse = np.linalg.inv(affine)
    place = world @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(place.min(axis=0)) - 2, 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(place.max(axis=0)) + 3, low + 1, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def classify(image: F32, affine: F64, atlas: Atlas, head: Template, fit: Fit, settings: Settings) -> NativeResult:
    """Return tissue posteriors at full resolution inside the brain's box."""
    box = brain_box(image.shape, affine, fit, atlas)  # type: ignore[arg-type]
    part = image[box]
    priors, place, active = _native_priors(part.shape, box, affine, atlas, fit)
    log_bias = map_coordinates(head.basis.field(fit.coefficients), place[0], order=1, mode="nearest", prefilter=False)
    priors = rescaled(priors, fit.proportions)
    raw = part.reshape(-1)[active]
    bins = binned(raw * np.exp(-log_bias), fit.reference)
    densities = fit.densities
    for _ in range(settings.native_steps):
        thin = slice(None, None, 3)
        shares, _ = posterior(priors[:, thin], densities.table, bins[thin])
        densities = update(densities, class_histograms(shares, bins[thin]))
    shares, _ = posterior(priors, densities.table, bins)
    groups = np.stack([shares[list(g)].sum(axis=0) for g in GROUPS])
    groups = _random_field(groups, part.shape, active, affine, settings)
    below = map_coordinates(atlas.below_foramen, place[1], order=1, mode="nearest", prefilter=False)
    middle = (atlas.shape[2] - 1) / 2
    return NativeResult(box, active, groups, log_bias, below, place[1][2] > middle, densities)


def _native_priors(shape, box, affine, atlas, fit):  # type: ignore[no-untyped-def]
    to_template = np.linalg.inv(atlas.affine) @ np.linalg.inv(fit.pose.matrix) @ affine
    moved_brain = warp(atlas.brain[None], fit.displacement)[0]
    prior = starting_prior(atlas, stripped=fit.stripped)
    found, straight, bent, active = [], [], [], []
    plane = shape[1] * shape[2]
    for start in range(0, shape[0], 16):
        stop = min(start + 16, shape[0])
        index = grid_index((stop - start, *shape[1:])).reshape(3, -1)
        index += np.array([start + box[0].start, box[1].start, box[2].start], dtype=np.float32)[:, None]
        place = _mapped(index, to_template)
        inside = map_coordinates(moved_brain, place, order=1, mode="constant", prefilter=False) > 0.004
        place = place[:, inside]
        shift = np.stack([map_coordinates(d, place, order=1, mode="nearest", prefilter=False)
                          for d in fit.displacement])
        target = place + shift
        found.append(np.stack([map_coordinates(p, target, order=1, mode="nearest", prefilter=False) for p in prior]))
        straight.append(place)
        bent.append(target)
        active.append(np.flatnonzero(inside) + start * plane)
    return (np.concatenate(found, axis=1), (np.concatenate(straight, axis=1), np.concatenate(bent, axis=1)),
            np.concatenate(active))


def _random_field(groups: F32, shape, active, affine: F64, settings: Settings) -> F32:  # type: ignore[no-untyped-def]
    """Return mean-field posteriors of a Potts field over six neighbours, weighted by 1 / distance."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    weights = (spacing.min() / spacing).astype(np.float32)
    strength = np.float32(settings.field_strength * 1.0)
    unary = groups + np.float32(1e-6)
    current = unary
    dense = np.zeros(shape, dtype=np.float32)
    for _ in range(settings.field_steps):
        field_of = np.empty_like(unary)
        for k in range(len(groups)):
            dense.reshape(-1)[...] = 1.0 if k == 3 else 0.0
            dense.reshape(-1)[active] = current[k]
            total = np.zeros_like(dense)
            for axis in range(3):
                a = [slice(None)] * 3
                b = [slice(None)] * 3
                a[axis], b[axis] = slice(1, None), slice(None, -1)
                total[tuple(a)] += weights[axis] * dense[tuple(b)]
                total[tuple(b)] += weights[axis] * dense[tuple(a)]
            field_of[k] = total.reshape(-1)[active]
        current = unary * np.exp(strength * (field_of - field_of.max(axis=0)))
        current /= current.sum(axis=0)
    return current


def run(image: F32, affine: F64, atlas: Atlas, settings: Settings, progress: Progress) -> tuple[Template, Fit, NativeResult]:
    """Return the fit and the posteriors of one head."""
    head, fit = fit_template(image, affine, atlas, settings, progress)
    progress("classify", 0.75)
    return head, fit, classify(image, affine, atlas, head, fit, settings)
