"""How well scores and grades tell cases apart: figures on the predictions of one model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import LabelError

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a ROC or precision-recall curve, thresholds falling; the first is above every score."""

    x: F64
    y: F64
    thresholds: F64


@dataclass(frozen=True)
class Point:
    """What a threshold gives: positive is score >= threshold."""

    threshold: float
    sensitivity: float
    specificity: float
    ppv: float
    npv: float


def binary(truth: ArrayLike, scores: ArrayLike) -> tuple[Bools, F64]:
    """Return truth as booleans and scores as float64, checked.

    Raises:
        LabelError: lengths differ, a score is NaN, or one class is missing.
    """
    ill, values = np.asarray(truth).astype(bool).reshape(-1), np.asarray(scores, dtype=np.float64).reshape(-1)
    if ill.shape != values.shape:
        raise LabelError("truth and scores differ in number", found=f"{len(ill)} and {len(values)}")
    if np.isnan(values).any():
        raise LabelError("a score is NaN", found=f"{int(np.isnan(values).sum())} of {len(values)}")
    if not ill.any() or ill.all():
        raise LabelError(
            "only one class is there, so that nothing can be told apart",
            found=f"{int(ill.sum())} positive of {len(ill)}",
            expected="cases of both classes",
        )
    return ill, values


def roc_curve(truth: ArrayLike, scores: ArrayLike) -> Curve:
    """Return (1 - specificity, sensitivity) at every threshold that changes something."""
    ill, values = binary(truth, scores)
    thresholds, hits, alarms = _counts(ill, values)
    x, y = alarms / (~ill).sum(), hits / ill.sum()
    return Curve(np.concatenate([[0.0], x]), np.concatenate([[0.0], y]), np.concatenate([[np.inf], thresholds]))


def precision_recall_curve(truth: ArrayLike, scores: ArrayLike) -> Curve:
    """Return (recall, precision) at every threshold; precision is 1 where nothing is called positive."""
    ill, values = binary(truth, scores)
    thresholds, hits, alarms = _counts(ill, values)
    recall, precision = hits / ill.sum(), hits / (hits + alarms)
    return Curve(
        np.concatenate([[0.0], recall]), np.concatenate([[1.0], precision]), np.concatenate([[np.inf], thresholds])
    )


def _counts(ill: Bools, values: F64) -> tuple[F64, F64, F64]:
    order = np.argsort(-values, kind="stable")
    falling, truth = values[order], ill[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    hits = np.cumsum(truth)[last].astype(np.float64)
    return falling[last], hits, last + 1.0 - hits


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a positive case scores above a negative one, ties half.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    from scipy.stats import rankdata

    ill, values = binary(truth, scores)
    ranks = rankdata(values)
    positive, negative = int(ill.sum()), int((~ill).sum())
    return float((ranks[ill].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean of precision over the steps of recall, without interpolation."""
    curve = precision_recall_curve(truth, scores)
    return float(np.sum(np.diff(curve.x) * curve.y[1:]))


def at_threshold(truth: ArrayLike, scores: ArrayLike, threshold: float) -> Point:
    """Return sensitivity, specificity and predictive values; a predictive value of no case is NaN."""
    ill, values = binary(truth, scores)
    called = values >= threshold
    hit, alarm = float((called & ill).sum()), float((called & ~ill).sum())
    miss, quiet = float((~called & ill).sum()), float((~called & ~ill).sum())
    ppv = hit / (hit + alarm) if hit + alarm else float("nan")
    npv = quiet / (quiet + miss) if quiet + miss else float("nan")
    return Point(float(threshold), hit / (hit + miss), quiet / (quiet + alarm), ppv, npv)


def threshold_for(
    truth: ArrayLike, scores: ArrayLike, *, sensitivity: float | None = None, specificity: float | None = None
) -> float:
    """Return the highest threshold with at least this sensitivity, or the lowest with at least this specificity.

    With neither: the threshold of the largest sum of both (Youden 1950).
    """
    curve = roc_curve(truth, scores)
    if sensitivity is not None:
        return float(curve.thresholds[np.flatnonzero(curve.y >= sensitivity)[0]])
    if specificity is not None:
        return float(curve.thresholds[np.flatnonzero(1 - curve.x >= specificity)[-1]])
    return float(curve.thresholds[int(np.argmax(curve.y - curve.x))])


def confusion(truth: ArrayLike, predicted: ArrayLike, labels: int) -> NDArray[np.int64]:
    """Return counts [true label, predicted label] of label numbers 0..labels-1."""
    table = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(table, (np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)
    return table


def balanced_accuracy(table: NDArray[np.int64]) -> float:
    """Return the mean of the recalls of the labels that occur, from a confusion table."""
    occurs = table.sum(axis=1) > 0
    return float((np.diag(table)[occurs] / table.sum(axis=1)[occurs]).mean())


def accuracy(table: NDArray[np.int64]) -> float:
    """Return the share of right answers, from a confusion table."""
    return float(np.trace(table) / table.sum())


def f1(table: NDArray[np.int64]) -> float:
    """Return the mean over labels of 2 TP / (2 TP + FP + FN), labels that neither occur nor are predicted left out."""
    hits = np.diag(table).astype(np.float64)
    total = table.sum(axis=0) + table.sum(axis=1)
    return float((2 * hits[total > 0] / total[total > 0]).mean())


def matthews(table: NDArray[np.int64]) -> float:
    """Return the correlation of truth and prediction, 0 when either is constant.

    Source: Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006.
    """
    counts = table.astype(np.float64)
    total, hits, rows, columns = counts.sum(), np.trace(counts), counts.sum(axis=1), counts.sum(axis=0)
    below = np.sqrt((total**2 - (rows**2).sum()) * (total**2 - (columns**2).sum()))
    return float((hits * total - rows @ columns) / below) if below > 0 else 0.0


def kappa(table: NDArray[np.int64], *, weights: str = "quadratic") -> float:
    """Return Cohen's kappa with "quadratic", "linear" or "none" weights; 1 when there is nothing to disagree on.

    Source: Cohen 1968, doi:10.1037/h0026256.
    """
    counts = table.astype(np.float64)
    grades = np.arange(len(counts))
    apart = np.abs(grades[:, None] - grades[None, :]).astype(np.float64)
    cost = {"quadratic": apart**2, "linear": apart, "none": (apart > 0).astype(np.float64)}[weights]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    below = float((cost * expected).sum())
    return 1 - float((cost * counts).sum()) / below if below > 0 else 1.0


def macro_auc(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean over labels of each label's AUC against all others; labels that do not occur are left out.

    Args:
        truth: label numbers [n].
        probabilities: [n, labels]; with two labels the second column alone counts.
    """
    numbers, p = np.asarray(truth, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if p.shape[1] == 2:
        return auc(numbers == 1, p[:, 1])
    occurring = [k for k in range(p.shape[1]) if 0 < (numbers == k).sum() < len(numbers)]
    if not occurring:
        raise LabelError("only one class is there", found=f"{len(numbers)} cases", expected="two labels or more")
    return float(np.mean([auc(numbers == k, p[:, k]) for k in occurring]))
