"""What an enhancement does to an image and to the task that follows it, against a reference.

Fidelity (PSNR, SSIM), noise and edge sharpness are measured at the same places before and after. A nicer picture is
no reason to use an enhancement: one that lowers the Dice or the AUC of the task is flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.volume import Volume

Array = NDArray[Any]

TOLERANCE = 0.01
"""A loss of Dice or AUC beyond this is flagged."""
RESAMPLES = 2000
"""Of the bootstrap over cases."""
FEWEST_CASES = 5
"""Below this there is no interval: too few cases to draw from."""
FLAT_SHARE = 0.1
"""Part of the image, the most even blocks of the reference, in which noise is measured."""
BLOCK = 8
"""Edge length of these blocks in voxels."""
EDGE_POINTS = 3000
"""Places along edges whose profiles are averaged."""
EDGE_REACH = 8.0
"""Half length of a profile in voxels of the coarsest in-plane direction."""
EDGE_BINS_PER_VOXEL = 4
EDGE_STRONG = 0.25
"""An edge is used when its step is at least this part of the reference's range (1st to 99th percentile)."""
PLATEAU = 0.15
"""Largest spread at either end of a profile, as a part of its step: other structures lie too near otherwise."""


@dataclass(frozen=True)
class Noise:
    """Noise in even areas.

    Args:
        power: variance after the mean of each block is taken away, squared image units.
        mean_frequency_per_mm: of the noise power spectrum; it falls when an enhancement makes noise blotchy.
    """

    power: float
    mean_frequency_per_mm: float


@dataclass(frozen=True)
class Sharpness:
    """The edge spread function over the reference's strongest edges, and what follows from it.

    Args:
        width_mm: full width at half maximum of the line spread function.
        rise_mm: distance from 10 % to 90 % of the edge.
        mtf50_per_mm: frequency at which the modulation transfer has fallen to one half.
        overshoot: highest value beyond the plateau as a part of the step; halos of sharpening.
        points: places along edges that were averaged.
    """

    width_mm: float
    rise_mm: float
    mtf50_per_mm: float
    overshoot: float
    points: int


@dataclass(frozen=True)
class Quality:
    """One image against the reference; a part is None when it cannot be measured.

    Args:
        psnr_db: infinite for equal images.
        ssim: structural similarity, 1 for equal images.
    """

    psnr_db: float
    ssim: float
    noise: Noise | None
    sharpness: Sharpness | None


@dataclass(frozen=True)
class TaskChange:
    """The score of a task before and after, and whether the enhancement hurts it.

    Args:
        name: what was scored, such as "Dice of otsu".
        low: lower end of the 95 % interval of the change over cases, None with too few cases.
        high: upper end.
        cases: how many cases the scores come from.
        hurts: the change is below minus the tolerance.
    """

    name: str
    before: float
    after: float
    low: float | None
    high: float | None
    cases: int
    hurts: bool

    @property
    def change(self) -> float:
        """Return after minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """What an enhancement did."""

    before: Quality | None
    after: Quality | None
    task: TaskChange | None

    @property
    def flagged(self) -> bool:
        """Return whether the enhancement hurts the task."""
        return self.task is not None and self.task.hurts


@dataclass(frozen=True)
class Task:
    """What the image is used for: a score of one image, higher is better.

    Args:
        tolerance: loss that is still accepted.
    """

    name: str
    score: Callable[[Volume], float]
    tolerance: float = TOLERANCE


def compare(before: Volume, after: Volume, *, reference: Volume | None = None, task: Task | None = None) -> Comparison:
    """Return quality before and after an enhancement against a reference, and the change of a task.

    Args:
        reference: the same scene without noise (or with far less), on the same grid.
        task: scored on both images.

    Raises:
        UsageError: neither reference nor task.
        GeometryError: the images lie on different grids or hold several components.
        ImageContentError: voxels that are not finite, or a constant reference.
    """
    if reference is None and task is None:
        raise UsageError("there is nothing to compare by", expected="a reference image, a task, or both")
    qualities: list[Quality | None] = [None, None]
    if reference is not None:
        qualities = [quality(image, reference) for image in (before, after)]
    change = None
    if task is not None:
        change = task_change(task.name, [task.score(before)], [task.score(after)], tolerance=task.tolerance)
    return Comparison(qualities[0], qualities[1], change)


def quality(image: Volume, reference: Volume) -> Quality:
    """Return fidelity, noise and edge sharpness of an image against its reference.

    Raises:
        GeometryError: the images lie on different grids or hold several components.
        ImageContentError: voxels that are not finite, or a constant reference.
    """
    ours, truth = _pair(image, reference)
    spread = float(truth.max() - truth.min())
    error = float(np.mean(np.square(ours - truth)))
    psnr = float(10 * np.log10(spread**2 / error)) if error > 0 else float("inf")
    return Quality(psnr, _similarity(ours, truth, spread), noise(image, reference), sharpness(image, reference))


def _pair(image: Volume, reference: Volume) -> tuple[Array, Array]:
    if image.axis is not None or reference.axis is not None:
        raise GeometryError("images are compared one component at a time", fix="take one: volume.element(0)")
    if image.shape != reference.shape or not image.same_grid(reference):
        raise GeometryError(
            "image and reference lie on different grids",
            found=f"{image} and {reference}",
            fix="resample first: imaging.spatial.resample_like(image, reference)",
        )
    ours, truth = image.array.astype(np.float64), reference.array.astype(np.float64)
    if not (np.isfinite(ours).all() and np.isfinite(truth).all()):
        raise ImageContentError("images with NaN or infinite voxels cannot be compared", fix="replace them first")
    if not truth.max() > truth.min():
        raise ImageContentError("the reference is constant", found=f"every voxel is {truth.flat[0]:g}")
    return ours, truth


def _similarity(ours: Array, truth: Array, spread: float) -> float:
    """Return the mean SSIM with Gaussian windows; slice by slice where there are fewer than 11 slices."""
    from skimage.metrics import structural_similarity

    least = 11
    if min(truth.shape[1:]) < least:
        return float("nan")
    settings: dict[str, Any] = {"data_range": spread, "gaussian_weights": True, "use_sample_covariance": False}
    if truth.shape[0] >= least:
        return float(structural_similarity(truth, ours, **settings))
    return float(np.mean([structural_similarity(a, b, **settings) for a, b in zip(truth, ours, strict=True)]))


def noise(image: Volume, reference: Volume) -> Noise | None:
    """Return the noise in the most even blocks of the reference; None when the image is smaller than a few blocks.

    Blocks lie in slices, so that the spectrum is the in-plane one.

    Source: noise power spectrum by blocks: ICRU Report 87 (2012), chapter 6.
    """
    ours, truth = _pair(image, reference)
    blocks, flatness = _blocks(ours), _blocks(truth).std(axis=(1, 2))
    if len(blocks) < 4:
        return None
    # Blocks of padding or air, where image and reference are one value, hold no noise to measure.
    usable = np.flatnonzero((flatness > 0) | (blocks.std(axis=(1, 2)) > 0))
    if not usable.size:
        return Noise(0.0, 0.0)
    count = max(4, int(FLAT_SHARE * len(blocks)))
    chosen = usable[np.argsort(flatness[usable], kind="stable")[:count]]
    centred = blocks[chosen] - _blocks(truth)[chosen]
    centred -= centred.mean(axis=(1, 2), keepdims=True)
    power = float(np.mean(np.square(centred)))
    spectrum = np.mean(np.abs(np.fft.fft2(centred)) ** 2, axis=0)
    _, row_mm, column_mm = _spacing(image)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(BLOCK, row_mm), np.fft.fftfreq(BLOCK, column_mm), indexing="ij"))
    total = float(spectrum.sum())
    return Noise(power, float((spectrum * frequency).sum() / total) if total > 0 else 0.0)


def _blocks(array: Array) -> Array:
    """Return [block, row, column] of whole blocks."""
    rows, columns = array.shape[1] // BLOCK, array.shape[2] // BLOCK
    cut = array[:, : rows * BLOCK, : columns * BLOCK]
    parts = cut.reshape(array.shape[0], rows, BLOCK, columns, BLOCK).swapaxes(2, 3)
    return np.asarray(parts.reshape(-1, BLOCK, BLOCK))


def _spacing(image: Volume) -> tuple[float, float, float]:
    lengths = np.linalg.norm(image.affine[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def sharpness(image: Volume, reference: Volume) -> Sharpness | None:
    """Return the sharpness of edges whose place is known from the reference; None when it has no clear edge.

    Voxels around the strongest in-plane edges of the reference are sorted by their signed distance (mm; pixels when
    the spacing is unknown) from the edge: oversampled without interpolation, as with a slanted edge.

    Source: ISO 12233 (slanted edge); on CT: Richard 2012, doi:10.1118/1.4725171 (task transfer function).
    """
    ours, truth = _pair(image, reference)
    _, row_mm, column_mm = _spacing(image)
    step, reach = max(row_mm, column_mm), EDGE_REACH * max(row_mm, column_mm)
    places = _edges(truth, (row_mm, column_mm))
    distances, values, points = list[Array](), list[Array](), 0
    for place in places:
        profile = _profile(ours, truth, place, (row_mm, column_mm), reach)
        if profile is not None:
            distances.append(profile[0])
            values.append(profile[1])
            points += 1
    if points < 20:
        return None
    return _read_edge(np.concatenate(distances), np.concatenate(values), step, reach, points)


def _edges(truth: Array, spacing: tuple[float, float]) -> list[tuple[int, int, int, float, float]]:
    """Return (slice, row, column, unit normal along rows and columns) of the strongest edge voxels, evenly drawn."""
    slopes = [np.gradient(truth, spacing[i], axis=1 + i) if truth.shape[1 + i] > 1 else 0 * truth for i in (0, 1)]
    length = np.hypot(*slopes)
    margin = int(np.ceil(EDGE_REACH)) + 1
    length[:, :margin] = length[:, -margin:] = 0
    length[:, :, :margin] = length[:, :, -margin:] = 0
    low, high = np.percentile(truth, (1, 99))
    if not high > low:
        low, high = truth.min(), truth.max()
    strong = np.argwhere(length > EDGE_STRONG * (high - low) / (4 * max(spacing)))
    if len(strong) > EDGE_POINTS:
        strong = strong[np.linspace(0, len(strong) - 1, EDGE_POINTS).astype(int)]
    found = []
    for z, y, x in strong.tolist():
        size = length[z, y, x]
        found.append((z, y, x, slopes[0][z, y, x] / size, slopes[1][z, y, x] / size))
    return found


def _profile(
    ours: Array, truth: Array, place: tuple[int, int, int, float, float], spacing: tuple[float, float], reach: float
) -> tuple[Array, Array] | None:
    """Return signed distances and values scaled to 0..1 of voxels near the normal, None without two plateaus."""
    z, y, x, down, across = place
    reach_voxels = [int(np.ceil(reach / s)) for s in spacing]
    rows, columns = (np.arange(-r, r + 1) for r in reach_voxels)
    if y < reach_voxels[0] or x < reach_voxels[1]:
        return None
    box = (z, slice(y - reach_voxels[0], y + reach_voxels[0] + 1), slice(x - reach_voxels[1], x + reach_voxels[1] + 1))
    known = truth[box]
    if known.shape != (len(rows), len(columns)):
        return None
    mm = np.meshgrid(rows * spacing[0], columns * spacing[1], indexing="ij")
    distance = mm[0] * down + mm[1] * across
    near = (np.abs(mm[1] * down - mm[0] * across) <= max(spacing)) & (np.abs(distance) <= reach)
    ends = [near & (sign * distance > 0.5 * reach) for sign in (-1, 1)]
    if not (ends[0].any() and ends[1].any()):
        return None
    low, high = (float(np.median(known[end])) for end in ends)
    step = high - low
    if step <= 0 or max(float(known[end].max() - known[end].min()) for end in ends) > PLATEAU * step:
        return None
    # Where the reference passes its middle is the edge, to a part of a voxel.
    middle = (low + high) / 2
    shift = _crossing(distance[near], known[near], middle)
    if shift is None:
        return None
    return distance[near] - shift, (ours[box][near] - low) / step


def _crossing(distance: Array, values: Array, middle: float) -> float | None:
    order = np.argsort(distance)
    above = values[order] > middle
    if above.all() or not above.any():
        return None
    # The place that leaves as many bright voxels before it as dark ones after it.
    errors = np.cumsum(above) + (~above).sum() - np.cumsum(~above)
    at = int(np.argmin(errors))
    following = min(at + 1, len(order) - 1)
    return float((distance[order[at]] + distance[order[following]]) / 2)


def _read_edge(distance: Array, values: Array, step: float, reach: float, points: int) -> Sharpness | None:
    from scipy.ndimage import gaussian_filter1d

    width = step / EDGE_BINS_PER_VOXEL
    count = int(2 * reach / width)
    edges = np.linspace(-reach, reach, count + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    weight, _ = np.histogram(distance, edges)
    keep = weight > 0
    if keep.sum() < count / 2:
        return None
    # Voxels lie on a lattice: each bin's mean distance, not its middle, is where its mean value stands.
    places, values = (np.histogram(distance, edges, weights=one)[0][keep] / weight[keep] for one in (distance, values))
    curve = gaussian_filter1d(np.interp(centres, places, values), 1.0, mode="nearest")
    far = np.abs(centres) > 0.75 * reach
    low, high = curve[far & (centres < 0)].mean(), curve[far & (centres > 0)].mean()
    if not high > low:
        return None
    curve = (curve - low) / (high - low)
    rise = _first(centres, curve, 0.9) - _first(centres, curve, 0.1)
    line = np.gradient(curve, centres)
    overshoot = max(float(curve.max()) - 1, -float(curve.min()), 0.0)
    return Sharpness(_full_width(centres, line), rise, _mtf50(line, width), overshoot, points)


def _first(centres: Array, curve: Array, level: float) -> float:
    """Return where the curve last passes a level upwards before it stays above, by linear interpolation."""
    at = int(np.flatnonzero(curve < level)[-1]) if level < 0.5 else int(np.argmax(curve >= level)) - 1
    at = min(max(at, 0), len(curve) - 2)
    rise = curve[at + 1] - curve[at]
    return float(centres[at] + (centres[at + 1] - centres[at]) * ((level - curve[at]) / rise if rise else 0.5))


def _full_width(centres: Array, line: Array) -> float:
    peak = int(np.argmax(line))
    half = line[peak] / 2
    left, right = peak, peak
    while left > 0 and line[left] > half:
        left -= 1
    while right < len(line) - 1 and line[right] > half:
        right += 1
    ends = []
    for outer, inner in ((left, left + 1), (right, right - 1)):
        inner = min(max(inner, 0), len(line) - 1)
        gap = line[inner] - line[outer]
        part = (half - line[outer]) / gap if gap > 0 else 0.0
        ends.append(centres[outer] + part * (centres[inner] - centres[outer]))
    return float(ends[1] - ends[0])


def _mtf50(line: Array, width: float) -> float:
    """Return the frequency at which the transfer passes one half, by linear interpolation."""
    from scipy.signal.windows import tukey

    transfer = np.abs(np.fft.rfft(line * tukey(len(line), 0.3), 8 * len(line)))
    transfer /= transfer[0]
    frequency = np.fft.rfftfreq(8 * len(line), width)
    below = np.flatnonzero(transfer < 0.5)
    if not below.size:
        return float(frequency[-1])
    at = int(below[0])
    part = (transfer[at - 1] - 0.5) / (transfer[at - 1] - transfer[at])
    return float(frequency[at - 1] + part * (frequency[at] - frequency[at - 1]))


def task_change(
    name: str, before: Sequence[float], after: Sequence[float], *, tolerance: float = TOLERANCE, seed: int = 0
) -> TaskChange:
    """Return the mean change of a score over the same cases, with a bootstrap interval, and whether it hurts.

    Args:
        before: score of every case without the enhancement, higher is better.
        after: of the same cases with it.
        tolerance: loss that is still accepted.

    Raises:
        UsageError: not one score before and after per case.
        ImageContentError: a score that is not finite.
    """
    _check_scores(before, after)
    changes = np.subtract(after, before)
    low = high = None
    if len(changes) >= FEWEST_CASES:
        draws = np.random.default_rng(seed).integers(0, len(changes), (RESAMPLES, len(changes)))
        low, high = (float(v) for v in np.percentile(changes[draws].mean(axis=1), (2.5, 97.5)))
    old, new = float(np.mean(before)), float(np.mean(after))
    return TaskChange(name, old, new, low, high, len(changes), new - old < -tolerance)


def auc_change(
    truth: ArrayLike, before: Sequence[float], after: Sequence[float], *, tolerance: float = TOLERANCE, seed: int = 0
) -> TaskChange:
    """Return the change of the area under the ROC curve over the same cases, with a paired bootstrap interval.

    Args:
        truth: one yes or no per case.
        before: the classifier's score of every case without the enhancement.
        after: of the same cases with it.

    Raises:
        UsageError: not one score before and after per case, or one class only.
        ImageContentError: a score that is not finite.
    """
    _check_scores(before, after)
    label = np.asarray(truth, dtype=bool)
    scores = np.array([before, after], dtype=np.float64)
    if label.shape != scores.shape[1:]:
        raise UsageError("there is one truth per case", found=f"{label.size} and {scores.shape[1]}")
    old, new = (auc(label, one) for one in scores)
    generator, changes = np.random.default_rng(seed), list[float]()
    for _ in range(RESAMPLES if len(label) >= 2 * FEWEST_CASES else 0):
        draw = generator.integers(0, len(label), len(label))
        if 0 < label[draw].sum() < len(draw):
            changes.append(auc(label[draw], scores[1, draw]) - auc(label[draw], scores[0, draw]))
    low = high = None
    if changes:
        low, high = (float(v) for v in np.percentile(changes, (2.5, 97.5)))
    return TaskChange("AUC", old, new, low, high, len(label), new - old < -tolerance)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve by ranks, ties counted half.

    Raises:
        UsageError: one class only.
    """
    from scipy.stats import rankdata

    label = np.asarray(truth, dtype=bool).ravel()
    yes, no = int(label.sum()), int((~label).sum())
    if not yes or not no:
        raise UsageError("an AUC needs both classes", found=f"{yes} yes and {no} no")
    ranks = rankdata(np.asarray(score).ravel())
    return float((ranks[label].sum() - yes * (yes + 1) / 2) / (yes * no))


def _check_scores(before: Sequence[float], after: Sequence[float]) -> None:
    if not before or len(before) != len(after):
        raise UsageError("every case has a score before and after", found=f"{len(before)} and {len(after)}")
    if not np.isfinite([*before, *after]).all():
        raise ImageContentError("a score is not a finite number", found=f"{list(before)[:5]}, {list(after)[:5]}")
