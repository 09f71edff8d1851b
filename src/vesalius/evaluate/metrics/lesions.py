"""Lesions found and missed: matching of connected parts, lesion-wise F1 and panoptic quality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vesalius.core.errors import UsageError
from vesalius.core.mask import Mask
from vesalius.evaluate.metrics.pair import Pair
from vesalius.features.spatial.lattice import Box, box_around, check_same_grid, components

Rule = Literal["iou", "overlap"]


@dataclass(frozen=True, slots=True)
class Matching:
    """When a lesion counts as found.

    Args:
        rule: "iou": one prediction for one lesion, their IoU above the threshold, paired so that most are matched
            and then the sum of IoU is largest. "overlap": predictions together cover more than the threshold of
            the lesion; a prediction is right when more than the threshold of it lies in lesions.
        threshold: 0..1, exceeded strictly; 0 with "overlap" is any common voxel.
        connectivity: 6, 18 or 26 neighbours make one lesion.
        smallest_ml: smaller lesions and predictions are left out.
    """

    rule: Rule = "iou"
    threshold: float = 0.1
    connectivity: int = 26
    smallest_ml: float = 0.0

    def __post_init__(self) -> None:
        """Check rule and threshold."""
        if self.rule not in ("iou", "overlap"):
            raise UsageError("no such rule of matching", found=repr(self.rule), expected="iou, overlap")
        if not 0 <= self.threshold < 1:
            raise UsageError("a threshold is at least 0 and below 1", found=str(self.threshold))


@dataclass(frozen=True, slots=True)
class LesionMatch:
    """One lesion with the prediction it was matched to, numbers from 1, 0 for none; volumes in mL if calibrated."""

    reference: int
    prediction: int
    iou: float
    reference_ml: float
    prediction_ml: float


@dataclass(frozen=True)
class Detection:
    """Lesions found, missed and made up.

    Args:
        found: lesions of the reference that are found.
        missed: those that are not.
        right: predictions that are right; with the rule "iou" as many as found.
        wrong: predictions that are not.
        matches: one row per lesion and per wrong prediction.
    """

    found: int
    missed: int
    right: int
    wrong: int
    matches: tuple[LesionMatch, ...] = ()

    @property
    def sensitivity(self) -> float:
        """Return the share of lesions found; NaN without lesions."""
        return _share(self.found, self.missed)

    @property
    def precision(self) -> float:
        """Return the share of predictions that are right; NaN without predictions."""
        return _share(self.right, self.wrong)

    @property
    def f1(self) -> float:
        """Return the harmonic mean of both, 0 when one kind is missing altogether, NaN without any lesion."""
        total = self.found + self.missed + self.right + self.wrong
        if not total:
            return float("nan")
        if not self.found or not self.right:
            return 0.0
        return 2 * self.sensitivity * self.precision / (self.sensitivity + self.precision)


@dataclass(frozen=True)
class Panoptic:
    """Panoptic quality and what it is made of; pool cases with `pooled`.

    Args:
        ious: IoU of each matched pair, all above 0.5.
        missed: lesions without a match.
        wrong: predictions without one.

    Source: Kirillov 2019, doi:10.1109/CVPR.2019.00963
    """

    ious: tuple[float, ...] = field(default=(), repr=False)
    missed: int = 0
    wrong: int = 0

    @property
    def segmentation_quality(self) -> float:
        """Return the mean IoU of the matched; NaN without a match."""
        return float(np.mean(self.ious)) if self.ious else float("nan")

    @property
    def recognition_quality(self) -> float:
        """Return F1 of detection; NaN without any instance."""
        total = len(self.ious) + (self.missed + self.wrong) / 2
        return len(self.ious) / total if total else float("nan")

    @property
    def quality(self) -> float:
        """Return segmentation x recognition quality; 0 without a match, NaN without any instance."""
        total = len(self.ious) + (self.missed + self.wrong) / 2
        return float(sum(self.ious)) / total if total else float("nan")


def pooled(cases: Iterable[Panoptic]) -> Panoptic:
    """Return the panoptic quality over the instances of several cases together."""
    every = list(cases)
    ious = tuple(value for case in every for value in case.ious)
    return Panoptic(ious, sum(case.missed for case in every), sum(case.wrong for case in every))


def detect_lesions(
    prediction: Mask, reference: Mask, segment: str | int | None = None, *, matching: Matching | None = None
) -> Detection:
    """Return which lesions, the connected parts of a segment, were found.

    Raises:
        GeometryError: the masks are not on one grid, or another connectivity than 6, 18, 26.
        LabelError: one of them does not know the segment.
        UnknownSpacingError: `smallest_ml` is given and the pixel size is not known.
    """
    matching = matching or Matching()
    pair = Pair.of(prediction, reference, segment)
    parts = [_parts(inside, matching, reference) for inside in (pair.prediction, pair.reference)]
    table = _Overlaps.of(*parts)
    if matching.rule == "overlap":
        return table.by_overlap(matching.threshold, reference)
    return table.by_iou(matching.threshold, reference)


def panoptic_quality(
    prediction: Mask,
    reference: Mask,
    segment: str | int | None = None,
    *,
    instances: Literal["components", "labels"] = "components",
    connectivity: int = 26,
) -> Panoptic:
    """Return panoptic quality: instances matched at IoU > 0.5, which can be one pair only.

    Args:
        segment: whose connected parts are the instances; not used with labels.
        instances: "labels": each label of the masks is one instance, whatever its number.
    """
    if instances == "labels":
        check_same_grid(prediction, reference)
        box = box_around(prediction.array != 0, reference.array != 0)
        parts = [_renumbered(mask, box) for mask in (prediction, reference)]
    elif instances == "components":
        pair = Pair.of(prediction, reference, segment)
        matching = Matching(connectivity=connectivity)
        parts = [_parts(inside, matching, reference) for inside in (pair.prediction, pair.reference)]
    else:
        raise UsageError("no such kind of instances", found=repr(instances), expected="components, labels")
    table = _Overlaps.of(*parts)
    ious = table.iou[table.iou > 0.5]
    return Panoptic(
        tuple(ious.tolist()), len(table.reference_sizes) - len(ious), len(table.prediction_sizes) - len(ious)
    )


def _renumbered(mask: Mask, box: Box | None) -> NDArray[np.int32]:
    part = mask.array[box] if box is not None else np.zeros((1, 1, 1), np.uint8)
    found, numbers = np.unique(part, return_inverse=True)
    shift = 0 if len(found) and found[0] == 0 else 1
    return np.asarray(numbers.reshape(part.shape) + shift, dtype=np.int32)


def _parts(inside: NDArray[np.bool_], matching: Matching, grid: Mask) -> NDArray[np.int32]:
    """Return connected parts numbered from 1, small ones left out."""
    solid = inside if inside.ndim == 3 else inside[np.newaxis]
    labels, count = components(solid, matching.connectivity)
    if matching.smallest_ml > 0:
        sizes_ml = np.bincount(labels.reshape(-1), minlength=count + 1) * grid.voxel_volume_mm3 / 1000
        keep = sizes_ml >= matching.smallest_ml
        keep[0] = False
        labels = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
    return labels


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """Which prediction and which lesion (numbers from 0) share how many voxels, and how large each is."""

    predictions: NDArray[np.int64]
    lesions: NDArray[np.int64]
    shared: NDArray[np.int64]
    prediction_sizes: NDArray[np.int64]
    reference_sizes: NDArray[np.int64]

    @classmethod
    def of(cls, prediction: NDArray[np.int32], reference: NDArray[np.int32]) -> _Overlaps:
        base = int(reference.max(initial=0)) + 1
        both = (prediction > 0) & (reference > 0)
        code, counts = np.unique(prediction[both].astype(np.int64) * base + reference[both], return_counts=True)
        sizes = [np.bincount(labels.reshape(-1))[1:] for labels in (prediction, reference)]
        return cls(code // base - 1, code % base - 1, counts.astype(np.int64), sizes[0], sizes[1])

    @property
    def iou(self) -> NDArray[np.float64]:
        sizes = self.prediction_sizes[self.predictions] + self.reference_sizes[self.lesions]
        return np.asarray(self.shared / np.maximum(sizes - self.shared, 1))

    def by_iou(self, threshold: float, grid: Mask) -> Detection:
        iou = self.iou
        near = np.flatnonzero(iou > threshold)
        pairs: dict[int, tuple[int, float]] = {}
        for block in _blocks(self.predictions[near], self.lesions[near]):
            own = near[block]
            rows, row = np.unique(self.predictions[own], return_inverse=True)
            columns, column = np.unique(self.lesions[own], return_inverse=True)
            gain = np.zeros((len(rows), len(columns)))
            # Adding more than any sum of IoU can differ by makes the number of pairs go first.
            gain[row, column] = iou[own] + min(gain.shape)
            for r, c in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if gain[r, c] > 0:
                    pairs[int(columns[c])] = int(rows[r]), float(gain[r, c]) - min(gain.shape)
        return self._detection(pairs, {row for row, _ in pairs.values()}, grid)

    def by_overlap(self, threshold: float, grid: Mask) -> Detection:
        covered = np.bincount(self.lesions, self.shared, len(self.reference_sizes)) / self.reference_sizes
        inside = np.bincount(self.predictions, self.shared, len(self.prediction_sizes)) / self.prediction_sizes
        # The last one written wins: sorted by voxels shared, that is the prediction with most of the lesion.
        order, iou = np.argsort(self.shared, kind="stable"), self.iou
        most = {int(self.lesions[k]): (int(self.predictions[k]), float(iou[k])) for k in order}
        pairs = {int(lesion): most[int(lesion)] for lesion in np.flatnonzero(covered > threshold)}
        return self._detection(pairs, {int(one) for one in np.flatnonzero(inside > threshold)}, grid)

    def _detection(self, pairs: dict[int, tuple[int, float]], right: set[int], grid: Mask) -> Detection:
        """Return the counts and rows; `pairs` has the prediction and the IoU of each lesion found."""
        ml = _ml_per_voxel(grid)
        rows = []
        for lesion, size in enumerate(self.reference_sizes.tolist()):
            partner, iou = pairs.get(lesion, (-1, 0.0))
            predicted = int(self.prediction_sizes[partner]) if partner >= 0 else 0
            rows.append(LesionMatch(lesion + 1, partner + 1, iou, size * ml, predicted * ml))
        for number, size in enumerate(self.prediction_sizes.tolist()):
            if number not in right:
                rows.append(LesionMatch(0, number + 1, 0.0, 0.0, size * ml))
        missed, wrong = len(self.reference_sizes) - len(pairs), len(self.prediction_sizes) - len(right)
        return Detection(len(pairs), missed, len(right), wrong, tuple(rows))


def _blocks(predictions: NDArray[np.int64], lesions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the pairs that compete with each other, as positions in the list of pairs."""
    if not len(predictions):
        return []
    first = int(predictions.max()) + 1
    size = first + int(lesions.max()) + 1
    graph = coo_array((np.ones(len(predictions)), (predictions, lesions + first)), (size, size))
    group = connected_components(graph, directed=False)[1][predictions]
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _ml_per_voxel(grid: Mask) -> float:
    """Return the volume of a voxel, NaN when the pixel size is not known."""
    return float("nan") if grid.spacing == "unknown" else grid.voxel_volume_mm3 / 1000


def _share(yes: int, no: int) -> float:
    return yes / (yes + no) if yes + no else float("nan")
