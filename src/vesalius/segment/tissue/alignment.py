"""Affine alignment of a head with the atlas by class log-likelihood.

The criterion is the mean log ratio between the likelihood of an intensity under the classes that the atlas expects at
a place and its overall frequency, over the brain and a wide margin (scalp and air included). The class intensity
distributions are histograms, estimated again for every pose, so the criterion needs no contrast and no skull model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, map_coordinates
from scipy.spatial.transform import Rotation

from vesalius.segment.tissue.atlas import Atlas

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MARGIN_MM = 28.0
"""Width of scalp and air around the brain that the criterion looks at; narrow margins are fooled."""

ZOOM_SPREAD = 0.10
SHEAR_SPREAD = 0.04
EFFECTIVE_MM3 = 4000.0
"""Volume of tissue that counts as one independent observation against the prior on zoom and shear."""

BINS = 64

MERGED = ((0, 1), (2, 3), (4,), (5, 6), (7,), (8,))
"""Channels of the atlas that the affine stage treats as one."""


@dataclass(frozen=True, eq=False)
class Points:
    """Template points at which the criterion is evaluated.

    Args:
        position_mm: [n, 3] template LPS mm.
        prior: [n, k] probabilities of the merged classes.
    """

    position_mm: F64
    prior: F32


def atlas_points(atlas: Atlas, step_mm: float) -> Points:
    """Return a regular set of points over brain and margin, about `step_mm` apart."""
    stride = max(1, round(step_mm / atlas.spacing_mm))
    outside = atlas.brain < 0.5
    near = distance_transform_edt(outside, sampling=atlas.spacing_mm) <= MARGIN_MM
    chosen = np.zeros(atlas.shape, dtype=bool)
    chosen[stride // 2 :: stride, stride // 2 :: stride, stride // 2 :: stride] = True
    index = np.argwhere(chosen & near & atlas.known)
    columns = [_shrunk(_merged(atlas, group), stride)[tuple(index.T)] for group in MERGED]
    prior: F32 = np.stack(columns, axis=1)
    position = index @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    return Points(position, np.ascontiguousarray(prior, dtype=np.float32) + np.float32(1e-3))


def _merged(atlas: Atlas, group: tuple[int, ...]) -> F32:
    total: F32 = atlas.probabilities[group[0]].copy()
    for k in group[1:]:
        total += atlas.probabilities[k]
    return total


def _shrunk(part: F32, stride: int) -> F32:
    smooth: F32 = gaussian_filter(part, 0.4 * stride) if stride > 1 else part
    return smooth


class Evidence(Protocol):
    """What an image says about the classes at patient positions."""

    def likelihood(self, position_mm: F64, prior: F32, *, renew: bool) -> tuple[F32, F32, NDArray[np.bool_]]:
        """Return likelihood ratios [n, k], their gradient [n, k, 3] per mm, and which points lie inside the image."""
        ...


class ImageEvidence:
    """Evidence from intensities, by class histograms that are estimated again on request."""

    def __init__(self, image: F32, affine: F64) -> None:
        """Keep a coarse image (about 4 mm) and its affine, array index to patient LPS mm."""
        low, high = np.percentile(image, (0.1, 99.7))
        scale = (BINS - 1) / max(float(high - low), 1e-6)
        self._scaled: F32 = np.clip((image - low) * scale, 0, BINS - 1).astype(np.float32)
        self._gradient = [np.ascontiguousarray(g) for g in np.gradient(self._scaled)]
        self._inverse: F64 = np.asarray(np.linalg.inv(affine), dtype=np.float64)
        self._ratio: F32 | None = None

    def likelihood(self, position_mm: F64, prior: F32, *, renew: bool) -> tuple[F32, F32, NDArray[np.bool_]]:
        """Return likelihood ratios [n, k], their gradient [n, k, 3] per mm, and which points lie inside the image."""
        index = _moved(position_mm, self._inverse).T
        limits = np.array(self._scaled.shape)[:, None] - 0.5
        inside = np.all((index > -0.5) & (index < limits), axis=0)
        value = map_coordinates(self._scaled, index, order=1, mode="nearest", prefilter=False)
        if renew or self._ratio is None:
            self._ratio = class_ratios(value[inside], prior[inside], self._ratio)
        lower = np.minimum(value.astype(np.int32), BINS - 2)
        fraction = (value - lower)[:, None]
        low, high = self._ratio[lower], self._ratio[lower + 1]
        ratio = low + fraction * (high - low)
        slope = np.stack(
            [map_coordinates(g, index, order=1, mode="nearest", prefilter=False) for g in self._gradient], axis=1
        )
        slope = np.einsum("nc,cd->nd", slope, self._inverse[:3, :3].astype(np.float32))
        return ratio, (high - low)[:, :, None] * slope[:, None, :], inside


class LabelEvidence:
    """Evidence from known class fractions, used when the atlas is built from label maps."""

    def __init__(self, fractions: F32, affine: F64) -> None:
        """Keep class fractions [k, slice, row, column] on a coarse grid and its affine."""
        mean = fractions.reshape(len(fractions), -1).mean(axis=1)
        self._parts = [(f + np.float32(0.02)) / np.float32(m + 0.02) for f, m in zip(fractions, mean, strict=True)]
        self._gradients = [np.gradient(p) for p in self._parts]
        self._inverse: F64 = np.asarray(np.linalg.inv(affine), dtype=np.float64)

    def likelihood(self, position_mm: F64, prior: F32, *, renew: bool) -> tuple[F32, F32, NDArray[np.bool_]]:
        """Return likelihood ratios [n, k], their gradient [n, k, 3] per mm, and which points lie inside the image."""
        index = _moved(position_mm, self._inverse).T
        limits = np.array(self._parts[0].shape)[:, None] - 0.5
        inside = np.all((index > -0.5) & (index < limits), axis=0)
        ratio = np.stack([_sample(p, index) for p in self._parts], axis=1)
        slope = np.stack([np.stack([_sample(g, index) for g in gradient], axis=1) for gradient in self._gradients], 1)
        slope = np.einsum("nkc,cd->nkd", slope, self._inverse[:3, :3].astype(np.float32))
        return ratio, slope, inside


def _moved(position_mm: F64, matrix: F64) -> F64:
    # Written out, because a threaded matrix product may round differently from run to run.
    x, y, z = position_mm[:, 0], position_mm[:, 1], position_mm[:, 2]
    return np.stack([r[0] * x + r[1] * y + r[2] * z + r[3] for r in matrix[:3]], axis=1)


def _sample(array: F32, index: F64) -> F32:
    values: F32 = map_coordinates(array, index, order=1, mode="nearest", prefilter=False)
    return values


def class_ratios(value: F32, prior: F32, start: F32 | None, rounds: int = 4) -> F32:
    """Return p(bin | class) / p(bin) as a table [bin, class], by expectation maximisation over histograms."""
    bins = np.clip(np.round(value).astype(np.int64), 0, BINS - 1)
    overall = gaussian_filter1d(np.bincount(bins, minlength=BINS).astype(np.float64), 1.0) + 1e-3 * len(bins) / BINS
    overall /= overall.sum()
    table = np.ones((BINS, prior.shape[1])) if start is None else start.astype(np.float64)
    for _ in range(rounds):
        weight = prior * table[bins]
        weight /= weight.sum(axis=1, keepdims=True)
        table = np.stack([np.bincount(bins, weights=w, minlength=BINS) for w in weight.T], axis=1)
        table = gaussian_filter1d(table, 1.0, axis=0) + 1e-3 * len(bins) / BINS * overall[:, None]
        table /= table.sum(axis=0)
        table /= overall[:, None]
    return table.astype(np.float32)


def _shape_penalty(matrix: F64) -> float:
    strain = matrix[:3, :3].T @ matrix[:3, :3]
    scale, vectors = np.linalg.eigh(strain)
    log_strain = vectors @ np.diag(0.5 * np.log(np.maximum(scale, 1e-6))) @ vectors.T
    zoom = np.trace(log_strain) / 3
    rest = log_strain - zoom * np.eye(3)
    return float(0.5 * (zoom / ZOOM_SPREAD) ** 2 + 0.5 * (rest**2).sum() / SHEAR_SPREAD**2)


def _penalty_slope(matrix: F64) -> tuple[F64, F64]:
    """Return gradient [12] and a diagonal curvature [12] of the shape prior by differences."""
    step = 1e-4
    base = _shape_penalty(matrix)
    slope, curve = np.zeros(12), np.zeros(12)
    for row, column in product(range(3), range(3)):
        values = []
        for sign in (1, -1):
            moved = matrix.copy()
            moved[row, column] += sign * step
            values.append(_shape_penalty(moved))
        slope[row * 4 + column] = (values[0] - values[1]) / (2 * step)
        curve[row * 4 + column] = max((values[0] + values[1] - 2 * base) / step**2, 0.0)
    return slope, curve


@dataclass(frozen=True, eq=False)
class Pose:
    """A result of the affine stage.

    Args:
        matrix: 4x4, template LPS mm to patient LPS mm.
        log_likelihood: mean log ratio in nats per point over brain and margin; points outside the image count 0.
        inside: fraction of the points that lie inside the image.
    """

    matrix: F64
    log_likelihood: float
    inside: float


def _score(evidence: Evidence, points: Points, matrix: F64, *, renew: bool) -> tuple[float, F32, NDArray[np.bool_]]:
    position = _moved(points.position_mm, matrix)
    ratio, slope, inside = evidence.likelihood(position, points.prior, renew=renew)
    total = np.einsum("nk,nk->n", points.prior, ratio)
    gradient = np.einsum("nk,nkc->nc", points.prior, slope) / total[:, None]
    gradient[~inside] = 0
    logs = np.where(inside, np.log(np.maximum(total, 1e-6)), 0).astype(np.float32)
    return float(logs.mean()), gradient, inside


def _objective(score: float, matrix: F64, observations: float) -> float:
    return score - _shape_penalty(matrix) / observations


def climb(evidence: Evidence, points: Points, matrix: F64, iterations: int, tolerance: float = 1e-4) -> Pose:
    """Return the pose after damped Gauss-Newton ascent of the criterion.

    Args:
        matrix: start, template LPS mm to patient LPS mm.
        tolerance: stop when the criterion gains less than this (nats).
    """
    count = len(points.position_mm)
    observations = max(count * (_volume_per_point(points)) / EFFECTIVE_MM3, 1.0)
    homogeneous = np.concatenate([points.position_mm, np.ones((count, 1))], axis=1)
    damping, quiet = 1e-2, 0
    score, gradient, inside = _score(evidence, points, matrix, renew=True)
    for _ in range(iterations):
        slope, curve = _penalty_slope(matrix)
        right = np.einsum("nc,nh->ch", gradient, homogeneous).ravel() / count - slope / observations
        outer = np.einsum("na,nb->nab", gradient, gradient).reshape(count, 9)
        pairs = np.einsum("ng,nh->ngh", homogeneous, homogeneous).reshape(count, 16)
        left = np.einsum("na,nb->ab", outer, pairs).reshape(3, 3, 4, 4).transpose(0, 2, 1, 3).reshape(12, 12) / count
        left[np.diag_indices(12)] += curve / observations
        left[np.diag_indices(12)] *= 1 + damping
        left[np.diag_indices(12)] += 1e-9
        moved = matrix.copy()
        moved[:3] += np.linalg.solve(left, right).reshape(3, 4)
        trial = _score(evidence, points, moved, renew=True)
        gain = _objective(trial[0], moved, observations) - _objective(score, matrix, observations)
        if gain > 0:
            matrix, (score, gradient, inside) = moved, trial
            damping = max(damping * 0.3, 1e-4)
        else:
            damping = min(damping * 8 + 1e-3, 1e4)
            _score(evidence, points, matrix, renew=True)
        quiet = quiet + 1 if gain < tolerance else 0
        if quiet >= 3:
            break
    return Pose(matrix, score, float(np.mean(inside)))


def _volume_per_point(points: Points) -> float:
    spans = [np.diff(np.unique(points.position_mm[:, i])).min() for i in range(3)]
    return float(np.prod(spans))


def coarse_image(image: F32, affine: F64, target_mm: float) -> tuple[F32, F64]:
    """Return the image averaged over blocks of about `target_mm`, and its affine."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    factors = np.maximum(1, np.round(target_mm / spacing)).astype(int)
    factors = np.minimum(factors, image.shape)
    sizes = np.array(image.shape) // factors
    cut = image[tuple(slice(0, n * f) for n, f in zip(sizes, factors, strict=True))]
    blocks = cut.reshape(sizes[0], factors[0], sizes[1], factors[1], sizes[2], factors[2])
    reduced = affine.copy()
    reduced[:3, :3] = affine[:3, :3] * factors
    reduced[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((factors - 1) / 2)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32), reduced


def head_box(image: F32, affine: F64) -> tuple[F64, float]:
    """Return a guess of the brain centre in patient LPS mm and the threshold between air and head.

    The guess is the foreground's middle over the 160 mm below its top, 85 mm below the top.
    """
    threshold = otsu(image)
    index = np.argwhere(image > threshold)
    position = index @ affine[:3, :3].T + affine[:3, 3]
    top = np.percentile(position[:, 2], 99.8)
    upper = position[position[:, 2] > top - 160]
    centre = (np.percentile(upper, 4, axis=0) + np.percentile(upper, 96, axis=0)) / 2
    return np.array([centre[0], centre[1], top - 85.0]), threshold


def otsu(image: F32) -> float:
    """Return the threshold that separates air from head, by Otsu's criterion on the square root of the image."""
    values = np.sqrt(np.clip(image - image.min(), 0, np.percentile(image, 99.5) - image.min()).ravel())
    counts, edges = np.histogram(values, bins=128)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = float(middle[int(np.nanargmax(between))])
    return best**2 + float(image.min())


def starts(centre_mm: F64) -> list[F64]:
    """Return rigid poses to start from: turned by up to 25 degrees, shifted along the head and front to back."""
    turns = [(0, 0, 0), (25, 0, 0), (-25, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 25), (0, 0, -25)]
    found = []
    for turn, up, forward in product(turns, (-30.0, 0.0, 25.0), (-20.0, 0.0, 20.0)):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
        matrix[:3, 3] = centre_mm + np.array([0.0, forward, up])
        found.append(matrix)
    return found


def align(image: F32, affine: F64, atlas: Atlas) -> Pose:
    """Return the best affine pose of the atlas in an image, by many starts from coarse to fine."""
    coarse, coarse_affine = coarse_image(image, affine, 8.0)
    few, many = atlas_points(atlas, 12.0), atlas_points(atlas, 8.0)
    centre, _ = head_box(coarse, coarse_affine)
    poses = []
    for start in starts(centre):
        evidence = ImageEvidence(coarse, coarse_affine)
        poses.append(climb(evidence, few, start, 4))
    poses.sort(key=lambda p: -p.log_likelihood)
    poses = [climb(ImageEvidence(coarse, coarse_affine), many, p.matrix, 12) for p in poses[:8]]
    poses.sort(key=lambda p: -p.log_likelihood)
    middle, middle_affine = coarse_image(image, affine, 4.0)
    fine = atlas_points(atlas, 6.0)
    poses = [climb(ImageEvidence(middle, middle_affine), fine, p.matrix, 20) for p in poses[:2]]
    best = max(poses, key=lambda p: p.log_likelihood)
    return climb(ImageEvidence(middle, middle_affine), atlas_points(atlas, 4.0), best.matrix, 25)


def refine(image: F32, affine: F64, atlas: Atlas, matrix: F64) -> Pose:
    """Return the pose after a short ascent at 4 mm from one that is already good, such as the guard's.

    Args:
        image: the input image.
        affine: array index to patient LPS mm.
        atlas: the atlas.
        matrix: 4x4, template LPS mm to patient LPS mm.
    """
    middle, middle_affine = coarse_image(image, affine, 4.0)
    return climb(ImageEvidence(middle, middle_affine), atlas_points(atlas, 4.0), np.array(matrix), 5)
