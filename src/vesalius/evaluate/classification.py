"""Judging predictions of labels and of ordered grades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError
from vesalius.evaluate import weighted
from vesalius.evaluate.calibration import Reliability, reliability
from vesalius.evaluate.decision import Band, DecisionCurve, Point, decision_curve, point_specs
from vesalius.evaluate.discrimination import confusion
from vesalius.evaluate.figures import Spec, made, spec
from vesalius.evaluate.predictions import Figure, Predictions
from vesalius.evaluate.resampling import F64, Resamples, Weighted, band, whole

FALSE_ALARMS = np.linspace(0, 1, 101)
RECALLS = np.linspace(0.01, 1, 100)
MOST_CURVES = 8
"""Labels of which curves are drawn."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn of predictions of labels.

    Args:
        roc, recall: label -> curve; with two labels the positive one alone.
        reliability: "after" and, where raw probabilities were kept, "before" calibration.
        decision: with two labels.
        confusion: cases [true label, predicted label].
    """

    roc: Mapping[str, Band] = field(default_factory=dict)
    recall: Mapping[str, Band] = field(default_factory=dict)
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    decision: DecisionCurve | None = None
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))


def figures(
    predictions: Predictions, drawn: Resamples | None, positive: int, chosen: tuple[Point, ...] = ()
) -> tuple[Figure, ...]:
    """Return every figure of predictions of labels.

    Args:
        drawn: resamples of the patients; None gives no intervals.
        positive: number of the positive label when there are two.
        chosen: operating points.

    Raises:
        LabelError: one class only.
    """
    classes = np.unique(predictions.numbers())
    if len(classes) < 2:
        only = ", ".join(predictions.labels[k] for k in classes)
        raise LabelError(
            "only one class is there, so that nothing can be told apart", found=only, expected="cases of two labels"
        )
    specs = [*ranking(predictions, positive), agreement_spec(predictions)]
    if predictions.kind == "ordinal":
        apart = np.abs(predictions.numbers() - predictions.predicted)
        specs.append(spec("grade_error", weighted.mean(apart)))
    specs += probability_specs(predictions, predictions.scores, positive, "")
    if predictions.raw is not None:
        specs += probability_specs(predictions, predictions.raw, positive, "_before")
    if len(predictions.labels) == 2:
        specs += point_specs(predictions, positive, chosen)
    nominal = predictions.kind == "classification" and len(predictions.labels) > 2
    # weights by the distance of labels mean nothing where labels have no order
    return tuple(one for one in made(specs, predictions, drawn) if not (nominal and one.name == "kappa"))


def area(predictions: Predictions, positive: int) -> Weighted:
    """Return the AUC, with more than two labels the mean over labels of each against all others."""
    truth, scores = predictions.numbers(), predictions.scores
    if len(predictions.labels) == 2:
        return weighted.auc(truth == positive, scores[:, positive])
    return weighted.macro([weighted.auc(truth == k, scores[:, k]) for k in range(len(predictions.labels))])


def ranking(predictions: Predictions, positive: int) -> list[Spec]:
    """Return what makes AUC and average precision, for all labels and for each."""
    truth, scores, labels = predictions.numbers(), predictions.scores, predictions.labels
    if len(labels) == 2:
        precision = weighted.average_precision(truth == positive, scores[:, positive])
        return [spec("auc", area(predictions, positive)), spec("average_precision", precision)]
    each = [(truth == k, scores[:, k]) for k in range(len(labels))]
    precisions = [weighted.average_precision(*one) for one in each]
    made = [spec("auc", area(predictions, positive)), spec("average_precision", weighted.macro(precisions))]
    made += [spec("auc", weighted.auc(*one), name) for one, name in zip(each, labels, strict=True)]
    return made


def agreement_spec(predictions: Predictions) -> Spec:
    """Return what makes balanced accuracy, accuracy, F1, MCC, kappa and the recall of each label."""
    labels = predictions.labels
    names = tuple((name, "") for name in weighted.CONFUSION) + tuple(("recall", name) for name in labels)
    return Spec(names, weighted.agreement(predictions.numbers(), predictions.predicted, len(labels)))


def probability_specs(predictions: Predictions, p: F64, positive: int, suffix: str) -> list[Spec]:
    """Return what makes Brier score, ECE, and slope and intercept of the calibration line."""
    truth, labels = predictions.numbers(), predictions.labels
    hot = np.eye(len(labels))[truth]
    squared = ((p - hot) ** 2).sum(axis=1) / (2 if len(labels) == 2 else 1)
    found = [spec(f"brier{suffix}", weighted.mean(squared)), spec(f"ece{suffix}", weighted.ece(truth, p))]
    names = ((f"slope{suffix}", ""), (f"intercept{suffix}", ""))
    if len(labels) == 2:
        found.append(Spec(names, weighted.line(truth == positive, p[:, positive])))
    return found


def curves(predictions: Predictions, drawn: Resamples | None, positive: int) -> Curves:
    """Return what is drawn."""
    truth, scores, labels = predictions.numbers(), predictions.scores, predictions.labels
    two = len(labels) == 2
    shown = [positive] if two else [k for k in range(len(labels)) if 0 < (truth == k).sum() < len(truth)][:MOST_CURVES]
    roc = {labels[k]: _band(weighted.roc(truth == k, scores[:, k], FALSE_ALARMS), FALSE_ALARMS, drawn, len(truth))
           for k in shown}  # fmt: skip
    recall = {labels[k]: _band(weighted.precision_recall(truth == k, scores[:, k], RECALLS), RECALLS, drawn, len(truth))
              for k in shown}  # fmt: skip
    told = {"after": _reliability(truth, scores, positive)}
    if predictions.raw is not None:
        told["before"] = _reliability(truth, predictions.raw, positive)
    decision = decision_curve(truth == positive, scores[:, positive], drawn) if two else None
    return Curves(roc, recall, told, decision, confusion(truth, predictions.predicted, len(labels)))


def _band(figure: Weighted, grid: F64, drawn: Resamples | None, cases: int) -> Band:
    y, low, high = band(figure, drawn) if drawn is not None else (whole(figure, cases),) * 3
    return Band(grid, y, low, high)


def _reliability(truth: NDArray[np.int64], p: F64, positive: int) -> Reliability:
    if p.shape[1] == 2:
        return reliability(truth == positive, p[:, positive])
    return reliability(p.argmax(axis=1) == truth, p.max(axis=1))


def wrongest(predictions: Predictions, count: int = 12) -> NDArray[np.int64]:
    """Return the wrong predictions that were surest, the surest first; a case once."""
    numbers = predictions.numbers()
    wrong = np.flatnonzero(numbers != predictions.predicted)
    sure = predictions.scores[wrong, predictions.predicted[wrong]] - predictions.scores[wrong, numbers[wrong]]
    ordered = wrong[np.argsort(-sure, kind="stable")]
    _, first = np.unique(predictions.rows[ordered], return_index=True)
    return ordered[np.sort(first)][:count]
