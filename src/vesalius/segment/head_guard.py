"""Is this a T1-weighted image of a human head, upright as its header says, and covered by the field of view?

Two steps. `array_objections` looks at the header and the voxels alone, in a fraction of a second. `measure_head` lays
the head atlas on the image affinely and measures how well it explains the brightness (class likelihoods, no contrast
assumed), whether another orientation explains it better, and what the atlas then says about the contrast: the
brightness of grey matter, white matter and fluid by a mixture with the atlas as prior. `head_objections` compares the
measurements with limits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from vesalius.core.finding import Message
from vesalius.core.grid import Frame, Spacing
from vesalius.core.volume import Volume
from vesalius.segment.tissue import alignment
from vesalius.segment.tissue.atlas import Atlas, load_atlas

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class GridLimits:
    """What a grid must be to hold a head that can be measured, in mm.

    Args:
        finest: smallest distance of voxels.
        in_plane: largest of the two smaller distances; beyond it cortex and fluid merge.
        slices: largest distance of slices; the 5 mm slices with 1.5 mm gaps of clinical routine are the thickest.
        extent: smallest edge of the field of view; an adult brain is about 140 x 170 x 120 mm.
    """

    finest: float = 0.3
    in_plane: float = 3.2
    slices: float = 7.0
    extent: float = 100.0


@dataclass(frozen=True)
class HeadLimits:
    """What a head must look like. Fixed on simulations of six heads, see `benchmarks/guard.py`.

    Args:
        fit: least mean log-likelihood ratio, nats per point inside the image.
        coverage: least share of the brain inside the field of view.
        zoom: allowed size of the head relative to the atlas, as an edge ratio.
        stretch: largest ratio of the zooms along two directions.
        turn_deg: largest turn of the head against the axes of the header.
        turned_gain: a turned pose must explain the image better by this much before the header is doubted.
        white_grey: least separation of white above grey matter, in standard deviations.
        grey_fluid: least separation of grey matter above fluid.
        grey_level: least brightness of grey matter as a share of white matter's, both above the background; a map of
            white matter has none.
    """

    fit: float = 0.45
    coverage: float = 0.90
    zoom: tuple[float, float] = (0.78, 1.30)
    stretch: float = 1.45
    turn_deg: float = 45.0
    turned_gain: float = 0.02
    white_grey: float = 1.3
    grey_fluid: float = 0.8
    grey_level: float = 0.42


@dataclass(frozen=True, eq=False)
class HeadEvidence:
    """What the atlas says about an image.

    Args:
        pose: 4x4, template LPS mm to patient LPS mm.
        fit: mean log-likelihood ratio of the classes, nats per point inside the image.
        coverage: share of the atlas brain inside the field of view, 0..1.
        zoom: edge of the head over that of the atlas.
        stretch: largest over smallest zoom along a direction.
        turn_deg: turn of the head against the axes of the header.
        turned_gain: by how much the best pose turned by more than 45 degrees explains the image better (negative when
            it does worse), in the unit of `fit`.
        brightness: mean brightness of grey matter, white matter and fluid after removal of a smooth field, above the
            background (1st percentile of the image).
        white_grey: difference of the means of white and grey matter over their root mean square spread.
        grey_fluid: the same for grey matter and fluid.
    """

    pose: F64
    fit: float
    coverage: float
    zoom: float
    stretch: float
    turn_deg: float
    turned_gain: float
    brightness: tuple[float, float, float]
    white_grey: float
    grey_fluid: float


def array_objections(volume: Volume, limits: GridLimits | None = None) -> tuple[Message, ...]:
    """Return why the image cannot be a head scan by its header and voxels alone; empty when nothing speaks against."""
    allowed = limits or GridLimits()
    found = _kind_objections(volume)
    if not found:
        found = _grid_objections(volume, allowed) or _voxel_objections(volume)
    return tuple(found)


def _kind_objections(volume: Volume) -> list[Message]:
    if volume.axis is not None:
        kind, count = str(volume.axis.kind), len(volume.axis)
        return [Message("guard.four_dimensional", {"kind": kind, "count": count})]
    if volume.modality not in ("", "MR"):
        return [Message("guard.modality", {"modality": volume.modality})]
    if volume.frame is not Frame.PATIENT or volume.spacing is not Spacing.CALIBRATED:
        return [Message("guard.spacing_unknown")]
    return []


def _grid_objections(volume: Volume, limits: GridLimits) -> list[Message]:
    spacing = sorted(volume.spacing_mm)
    extent = [s * n for s, n in zip(volume.spacing_mm, volume.shape, strict=True)]
    found = []
    if min(extent) < limits.extent:
        size = " x ".join(f"{e:.4g}" for e in extent)
        found.append(Message("guard.field_of_view", {"size": size, "least": round(limits.extent)}))
    if spacing[0] < limits.finest or spacing[1] > limits.in_plane or spacing[2] > limits.slices:
        size = " x ".join(f"{s:.4g}" for s in volume.spacing_mm)
        found.append(Message("guard.spacing", {"size": size, "in_plane": limits.in_plane, "slices": limits.slices}))
    return found


FEWEST_VALUES = 24
"""An image with fewer distinct values is a label map or a drawing."""

SAMPLED_SLICES = 24

MOST_EQUAL = 0.6
"""Share of neighbours off the background with exactly the same value: 0.04-0.13 in real heads, 0.9 in label maps."""

LEAST_CORRELATION = 0.3
"""Neighbouring voxels of an image correlate above 0.7, those of noise not at all."""

HOUNSFIELD_AIR = -400.0
"""MR brightness is not negative but for filters' ringing; CT air is -1000."""


def _voxel_objections(volume: Volume) -> list[Message]:
    steps = tuple(slice(None, None, max(1, n // 96)) for n in volume.shape)
    sample = volume.array[steps]
    finite = np.isfinite(sample)
    if not finite.any():
        return [Message("guard.not_finite")]
    values = np.where(finite, sample, 0).astype(np.float32)
    if float(values.min()) == float(values.max()) and float(np.ptp(np.nan_to_num(volume.array))) == 0:
        return [Message("guard.all_zero" if values.flat[0] == 0 else "guard.constant")]
    if np.percentile(values, 5) < HOUNSFIELD_AIR:
        return [Message("guard.hounsfield", {"value": round(float(np.percentile(values, 5)))})]
    if len(np.unique(values)) < FEWEST_VALUES or _equal_neighbours(volume.array) > MOST_EQUAL:
        return [Message("guard.label_map", {"count": len(np.unique(values))})]
    if neighbour_correlation(volume.array) < LEAST_CORRELATION:
        return [Message("guard.noise")]
    return []


def neighbour_correlation(array: NDArray[Any]) -> float:
    """Return the correlation of in-plane neighbours, -1..1; 0 when the image is constant."""
    best = -1.0
    for first, second in _neighbours(array):
        spread = first.std() * second.std()
        mean = ((first - first.mean()) * (second - second.mean())).mean()
        best = max(best, float(mean / spread) if spread > 0 else 0.0)
    return best


def _equal_neighbours(array: NDArray[Any]) -> float:
    shares = []
    for first, second in _neighbours(array):
        values, counts = np.unique(first, return_counts=True)
        there = first != values[np.argmax(counts)]
        shares.append(float((first == second)[there].mean()) if there.any() else 0.0)
    return max(shares)


def _neighbours(array: NDArray[Any]) -> Iterator[tuple[F64, F64]]:
    """Yield the values of in-plane neighbours in some slices, along each of the two finer axes."""
    thickest = int(np.argmin(array.shape))
    count = array.shape[thickest]
    chosen = np.unique(np.linspace(0.2 * count, 0.8 * count, SAMPLED_SLICES).astype(int).clip(0, count - 1))
    slices = np.nan_to_num(np.take(array, chosen, axis=thickest).astype(np.float64))
    for axis in (a for a in range(3) if a != thickest):
        yield np.delete(slices, -1, axis=axis).ravel(), np.delete(slices, 0, axis=axis).ravel()


def measure_head(volume: Volume, atlas: Atlas | None = None) -> HeadEvidence:
    """Return how the head atlas fits the image and what contrast it then sees; 3-6 s.

    Args:
        volume: 3-D, calibrated, without objections of `array_objections`.
        atlas: default the one shipped.
    """
    template = atlas or load_atlas()
    image = np.nan_to_num(volume.array.astype(np.float32), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    # Brightness below zero comes from a z-score or a filter; a multiplicative field needs a scale that starts at zero.
    image -= np.float32(min(0.0, float(np.percentile(image[::2, ::2, ::2], 0.1))))
    affine = np.array(volume.affine)
    pose = alignment.align(image, affine, template)
    turned = _turned_pose(image, affine, template)
    gain = turned.log_likelihood - pose.log_likelihood
    scales, turn = _decomposed(pose.matrix)
    tissue = _tissue_contrast(image, affine, template, pose.matrix)
    grey, white, fluid = (float(m) for m in tissue.mean[:3] - np.percentile(image[::2, ::2, ::2], 1))
    return HeadEvidence(
        pose=pose.matrix,
        fit=pose.log_likelihood / max(pose.inside, 0.05),
        coverage=tissue.coverage,
        zoom=float(np.prod(scales) ** (1 / 3)),
        stretch=float(scales.max() / scales.min()),
        turn_deg=turn,
        turned_gain=float(gain),
        brightness=(grey, white, fluid),
        white_grey=tissue.separation(1, 0),
        grey_fluid=tissue.separation(0, 2),
    )


def head_objections(evidence: HeadEvidence, limits: HeadLimits | None = None) -> tuple[Message, ...]:
    """Return why this is no T1-weighted head that can be measured; empty when it is one."""
    allowed = limits or HeadLimits()
    fit = {"fit": round(evidence.fit, 2), "least": allowed.fit}
    if evidence.turned_gain > allowed.turned_gain or evidence.turn_deg > allowed.turn_deg:
        return (Message("guard.orientation", {"gain": round(evidence.turned_gain, 2)}),)
    plausible = allowed.zoom[0] <= evidence.zoom <= allowed.zoom[1] and evidence.stretch <= allowed.stretch
    if evidence.fit < allowed.fit or not plausible:
        return (Message("guard.not_a_head", fit),)
    if evidence.coverage < allowed.coverage:
        return (Message("guard.coverage", {"percent": round(100 * evidence.coverage)}),)
    return _contrast_objections(evidence, allowed)


LEAST_REVERSAL = 0.3
"""Separation in the wrong direction from which the order of the tissues is called reversed."""


def _contrast_objections(evidence: HeadEvidence, limits: HeadLimits) -> tuple[Message, ...]:
    grey, white, fluid = evidence.brightness
    parameters = {"grey": round(100 * grey / white) if white > 0 else 0,
                  "fluid": round(100 * fluid / white) if white > 0 else 0}  # fmt: skip
    if evidence.white_grey >= limits.white_grey and evidence.grey_fluid >= limits.grey_fluid:
        return () if grey >= limits.grey_level * white else (Message("guard.tissue_map", parameters),)
    if evidence.white_grey < -LEAST_REVERSAL:
        return (Message("guard.grey_brighter", parameters),)
    if evidence.grey_fluid < -LEAST_REVERSAL:
        return (Message("guard.fluid_brighter", parameters),)
    return (Message("guard.contrast_too_low", parameters),)


def rotations() -> tuple[F64, ...]:
    """Return the 24 turns of a cube, the identity first."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(turn) > 0:
                found.append(turn)
    return tuple(sorted(found, key=lambda t: -float(np.trace(t))))


_points = lru_cache(maxsize=4)(alignment.atlas_points)


def _turned_pose(image: F32, affine: F64, atlas: Atlas) -> alignment.Pose:
    """Return the best pose turned by more than 45 degrees, from the 23 other ways to lay the array in space."""
    coarse, coarse_affine = alignment.coarse_image(image, affine, 8.0)
    middle = (np.array(coarse.shape) - 1) / 2
    centre = coarse_affine[:3, :3] @ middle + coarse_affine[:3, 3]
    poses = [_best_start(coarse, coarse_affine, turn, centre, _points(atlas, 12.0)) for turn in rotations()[1:]]
    poses.sort(key=lambda p: -p.log_likelihood)
    poses = _climbed(poses[:8], coarse, coarse_affine, _points(atlas, 8.0), 8)[:2]
    fine, fine_affine = alignment.coarse_image(image, affine, 4.0)
    refined = _climbed(poses, fine, fine_affine, _points(atlas, 4.0), 12)
    return next(iter(refined), alignment.Pose(np.eye(4), float("-inf"), 1.0))


def _climbed(
    poses: list[alignment.Pose], image: F32, affine: F64, points: alignment.Points, iterations: int
) -> list[alignment.Pose]:
    """Return the poses improved, those turned by more than 45 degrees only, the best first."""
    better = [alignment.climb(alignment.ImageEvidence(image, affine), points, p.matrix, iterations) for p in poses]
    aside = [p for p in better if _decomposed(p.matrix)[1] > HeadLimits.turn_deg]
    return sorted(aside, key=lambda p: -p.log_likelihood)


def _best_start(image: F32, affine: F64, turn: F64, centre: F64, points: alignment.Points) -> alignment.Pose:
    # The image is turned about its centre, the atlas laid on it upright, and the pose turned back.
    there = np.eye(4)
    there[:3, :3], there[:3, 3] = turn, centre - turn @ centre
    guess, _ = alignment.head_box(image, there @ affine)
    back = np.linalg.inv(there)
    poses = []
    for up, forward in itertools.product((-30.0, 0.0, 25.0), (-20.0, 20.0)):
        start = np.eye(4)
        start[:3, 3] = guess + np.array((0.0, forward, up))
        poses.append(alignment.climb(alignment.ImageEvidence(image, affine), points, back @ start, 3))
    return max(poses, key=lambda p: p.log_likelihood)


def _decomposed(matrix: F64) -> tuple[F64, float]:
    """Return zooms along the principal directions and the turn in degrees."""
    left, scales, right = np.linalg.svd(matrix[:3, :3])
    turn = left @ right
    return scales, float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


@dataclass(frozen=True, eq=False)
class _TissueContrast:
    mean: F64
    spread: F64
    coverage: float

    def separation(self, bright: int, dark: int) -> float:
        """Return the difference of two means over the root mean square of the spreads."""
        spread = np.sqrt((self.spread[bright] ** 2 + self.spread[dark] ** 2) / 2)
        return float((self.mean[bright] - self.mean[dark]) / max(float(spread), 1e-9))


ROUNDS = 40
FIELD_EVERY = 4
PRIOR_FLOOR = 1e-3
PURE = ((0,), (2,), (4,), (1,), (3,))
"""Atlas channels of cortex, white matter, fluid, deep grey matter and brain stem."""

MIXED = ((0, 2), (0, 1))
"""Voxels of two tissues: cortex with fluid, cortex with white matter. Without them the mean of the cortex is drawn
towards dark fluid, and a FLAIR looks like a T1."""


def _tissue_contrast(image: F32, affine: F64, atlas: Atlas, pose: F64) -> _TissueContrast:
    """Return brightness of cortex, white matter and fluid by a mixture with the atlas as prior."""
    position, prior = _brain_points(atlas)
    small, small_affine = alignment.coarse_image(image, affine, 2.0)
    inverse = np.linalg.inv(small_affine) @ pose
    index = (position @ inverse[:3, :3].T + inverse[:3, 3]).T
    inside = np.all((index > -0.5) & (index < np.array(small.shape)[:, None] - 0.5), axis=0)
    values = map_coordinates(small, index[:, inside], order=1, mode="nearest", prefilter=False).astype(np.float64)
    mean, spread = _mixture(values, prior[inside], _polynomials(position[inside] / 80.0))
    return _TissueContrast(mean, spread, float(inside.mean()))


def _brain_points(atlas: Atlas) -> tuple[F64, F64]:
    """Return template positions and the prior of the pure classes, the mixed ones and the rest."""
    index = np.argwhere((atlas.brain > 0.5) & atlas.known)
    index = index[index.sum(axis=1) % 2 == 0]
    place = tuple(index.T)
    pure = [atlas.probabilities[list(group)].sum(axis=0)[place] for group in PURE]
    mixed = [0.7 * np.sqrt(pure[first] * pure[second]) for first, second in MIXED]
    rest = atlas.probabilities[len(PURE) :].sum(axis=0)[place]
    prior = np.stack([*pure, *mixed, rest], axis=1).astype(np.float64) + PRIOR_FLOOR
    return index @ atlas.affine[:3, :3].T + atlas.affine[:3, 3], prior / prior.sum(axis=1, keepdims=True)


def _polynomials(place: F64) -> F64:
    powers = [p for p in itertools.product(range(3), repeat=3) if 0 < sum(p) <= 2]
    return np.stack([np.prod(place**p, axis=1) for p in np.array(powers)], axis=1)


def _mixture(values: F64, prior: F64, basis: F64) -> tuple[F64, F64]:
    """Return means and spreads of the pure classes; the last class is uniform, a smooth field is divided out."""
    span = float(np.subtract(*np.percentile(values, (99.5, 0.5)))) + 1e-9
    count = len(PURE)
    weight = prior
    field = np.ones(len(values))
    for step in range(ROUNDS):
        flat = values / field
        total = weight[:, :count].sum(axis=0) + 1e-9
        mean = (weight[:, :count] * flat[:, None]).sum(axis=0) / total
        variance = (weight[:, :count] * (flat[:, None] - mean) ** 2).sum(axis=0) / total + (0.01 * span) ** 2
        centre, width = _with_mixed(mean, variance)
        density = np.exp(-0.5 * (flat[:, None] - centre) ** 2 / width) / np.sqrt(2 * np.pi * width)
        weight = prior * np.column_stack([density, np.full(len(values), 1 / span)])
        weight /= weight.sum(axis=1, keepdims=True)
        if step % FIELD_EVERY == FIELD_EVERY - 1 and step < ROUNDS - FIELD_EVERY:
            field = _field(values, weight[:, :2], mean[:2], basis)
    return mean, np.sqrt(variance)


def _with_mixed(mean: F64, variance: F64) -> tuple[F64, F64]:
    """Return means and variances of the pure classes followed by the mixed ones, halfway between their parts."""
    first, second = (list(part) for part in zip(*MIXED, strict=True))
    middle = (mean[first] + mean[second]) / 2
    width = (variance[first] + variance[second]) / 4 + ((mean[first] - mean[second]) / 4) ** 2
    return np.concatenate([mean, middle]), np.concatenate([variance, width])


def _field(values: F64, weight: F64, mean: F64, basis: F64) -> F64:
    """Return a smooth multiplicative field, mean 1, from the voxels that are grey or white matter."""
    share = weight.sum(axis=1)
    expected = weight @ mean / np.maximum(share, 1e-6)
    chosen = (share > 0.5) & (expected > 0) & (values > np.maximum(0.2 * mean.min(), 1e-9))
    if np.count_nonzero(chosen) < 10 * basis.shape[1]:
        return np.ones(len(values))
    logs = np.log(values[chosen] / expected[chosen])
    design = np.column_stack([np.ones(len(logs)), basis[chosen]]) * share[chosen, None]
    normal = design.T @ design + 0.01 * np.eye(design.shape[1])
    factors = np.linalg.solve(normal, design.T @ (logs * share[chosen]))
    field: F64 = np.exp(np.clip(basis @ factors[1:], -0.7, 0.7))
    field /= field.mean()
    return field
