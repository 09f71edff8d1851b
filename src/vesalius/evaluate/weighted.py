"""Figures of weighted cases, for resampling: each function returns what takes weights [m, cases].

With weights of one they equal those of `discrimination`, `calibration` and `survival`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.evaluate.resampling import F64, Weighted, one_hot

TINY = 1e-12
STEPS = 30
"""Newton's steps of the calibration line."""


def auc(ill: ArrayLike, scores: ArrayLike) -> Weighted:
    """Return the area under the ROC curve, ties half."""
    yes, order, starts = _ordered(ill, scores)

    def figure(weights: F64) -> F64:
        hit, miss = _steps(weights[:, order], yes, starts)
        below = np.cumsum(miss, axis=1) - miss / 2
        found: F64 = (hit * below).sum(axis=1) / (hit.sum(axis=1) * miss.sum(axis=1))
        return found

    return figure


def average_precision(ill: ArrayLike, scores: ArrayLike) -> Weighted:
    """Return the mean of precision over the steps of recall."""
    yes, order, starts = _ordered(ill, -np.asarray(scores, dtype=np.float64))

    def figure(weights: F64) -> F64:
        hit, miss = _steps(weights[:, order], yes, starts)
        called = np.cumsum(hit + miss, axis=1)
        precision = np.divide(np.cumsum(hit, axis=1), called, out=np.zeros_like(called), where=called > 0)
        total = hit.sum(axis=1)
        found: F64 = np.where(miss.sum(axis=1) > 0, (hit * precision).sum(axis=1) / total, np.nan)
        return found

    return figure


def _ordered(ill: ArrayLike, scores: ArrayLike) -> tuple[F64, NDArray[np.int64], NDArray[np.int64]]:
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(values, kind="stable").astype(np.int64)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0])).astype(np.int64)
    return np.asarray(ill).astype(np.float64)[order], order, starts


def _steps(ordered: F64, yes: F64, starts: NDArray[np.int64]) -> tuple[F64, F64]:
    """Return weights of positives and negatives at each different score, [m, scores]."""
    hit = np.add.reduceat(ordered * yes, starts, axis=1)
    return hit, np.add.reduceat(ordered * (1 - yes), starts, axis=1)


def roc(ill: ArrayLike, scores: ArrayLike, grid: F64) -> Weighted:
    """Return the sensitivity at each of these values of 1 - specificity."""
    yes, order, starts = _ordered(ill, -np.asarray(scores, dtype=np.float64))

    def figure(weights: F64) -> F64:
        hit, miss = (np.cumsum(one, axis=1) for one in _steps(weights[:, order], yes, starts))
        x, y = miss / miss[:, -1:], hit / hit[:, -1:]
        zero = np.zeros(1)
        return np.stack([np.interp(grid, np.r_[zero, a], np.r_[zero, b]) for a, b in zip(x, y, strict=True)])

    return figure


def precision_recall(ill: ArrayLike, scores: ArrayLike, grid: F64) -> Weighted:
    """Return the precision at each of these values of recall, by steps."""
    yes, order, starts = _ordered(ill, -np.asarray(scores, dtype=np.float64))

    def figure(weights: F64) -> F64:
        hit, miss = (np.cumsum(one, axis=1) for one in _steps(weights[:, order], yes, starts))
        called = hit + miss
        precision = np.divide(hit, called, out=np.ones_like(hit), where=called > 0)
        recall = hit / hit[:, -1:]
        place = [np.minimum(np.searchsorted(row, grid - TINY), len(row) - 1) for row in recall]
        return np.stack([row[k] for row, k in zip(precision, place, strict=True)])

    return figure


def macro(one: list[Weighted]) -> Weighted:
    """Return the mean of figures, those that are not defined left out."""

    def figure(weights: F64) -> F64:
        found = np.stack([part(weights) for part in one], axis=1)
        known = np.isfinite(found)
        mean: F64 = np.where(known, found, 0).sum(axis=1) / known.sum(axis=1)
        return mean

    return figure


CONFUSION = ("balanced_accuracy", "accuracy", "f1", "mcc", "kappa")
"""Figures of a confusion table, in the order in which `agreement` gives them."""


def agreement(truth: ArrayLike, predicted: ArrayLike, labels: int) -> Weighted:
    """Return the figures named in CONFUSION, then the recall of each label."""
    cells = one_hot(np.asarray(truth, dtype=np.int64) * labels + np.asarray(predicted, dtype=np.int64), labels**2)

    def figure(weights: F64) -> F64:
        table = (weights @ cells).reshape(-1, labels, labels)
        rows, columns, total = table.sum(axis=2), table.sum(axis=1), table.sum(axis=(1, 2))
        hits = np.diagonal(table, axis1=1, axis2=2)
        recalls = np.where(rows > 0, hits / rows, np.nan)
        occurs = rows > 0
        balanced = np.where(occurs, recalls, 0).sum(axis=1) / occurs.sum(axis=1)
        shown = rows + columns
        f1 = np.where(shown > 0, 2 * hits / shown, 0).sum(axis=1) / (shown > 0).sum(axis=1)
        several = occurs.sum(axis=1) > 1
        first = np.stack([balanced, hits.sum(axis=1) / total, f1, _matthews(rows, columns, hits, total),
                          _kappa(table, rows, columns, total)], axis=1)  # fmt: skip
        first[~several, 0] = np.nan
        return np.concatenate([first, recalls], axis=1)

    return figure


def _matthews(rows: F64, columns: F64, hits: F64, total: F64) -> F64:
    below = np.sqrt((total**2 - (rows**2).sum(axis=1)) * (total**2 - (columns**2).sum(axis=1)))
    above = hits.sum(axis=1) * total - (rows * columns).sum(axis=1)
    found: F64 = np.where(below > 0, above / below, 0.0)
    return found


def _kappa(table: F64, rows: F64, columns: F64, total: F64) -> F64:
    grades = np.arange(table.shape[1])
    cost = (grades[:, None] - grades[None, :]).astype(np.float64) ** 2
    expected = np.einsum("ma,mb,ab->m", rows, columns, cost) / total
    found: F64 = np.where(expected > 0, 1 - (table * cost).sum(axis=(1, 2)) / expected, 1.0)
    return found


def share(called: ArrayLike, among: ArrayLike) -> Weighted:
    """Return the share of cases that are called, among some of them: sensitivity, predictive value."""
    inside = np.asarray(among).astype(np.float64)
    both = np.asarray(called).astype(np.float64) * inside

    def figure(weights: F64) -> F64:
        found: F64 = (weights @ both) / (weights @ inside)
        return found

    return figure


def mean(of: ArrayLike) -> Weighted:
    """Return the weighted mean of a value per case."""
    value = np.asarray(of, dtype=np.float64)

    def figure(weights: F64) -> F64:
        found: F64 = (weights @ value) / weights.sum(axis=1)
        return found

    return figure


def ece(truth: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> Weighted:
    """Return the expected calibration error as `calibration.ece` defines it."""
    p, numbers = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if p.shape[1] == 2:
        score, right = p[:, 1], (numbers == 1).astype(np.float64)
    else:
        score, right = p.max(axis=1), (p.argmax(axis=1) == numbers).astype(np.float64)
    place = one_hot(np.clip(np.ceil(score * bins).astype(int) - 1, 0, bins - 1), bins)
    gap = place * (score - right)[:, None]

    def figure(weights: F64) -> F64:
        found: F64 = np.abs(weights @ gap).sum(axis=1) / weights.sum(axis=1)
        return found

    return figure


def line(ill: ArrayLike, scores: ArrayLike) -> Weighted:
    """Return slope and intercept of the truth's log odds over the predicted log odds, [m, 2]."""
    p = np.clip(np.asarray(scores, dtype=np.float64), 1e-6, 1 - 1e-6)
    x, y = np.log(p / (1 - p)), np.asarray(ill).astype(np.float64)

    def figure(weights: F64) -> F64:
        share = np.clip((weights @ y) / weights.sum(axis=1), 1e-6, 1 - 1e-6)
        # from a flat line Newton's steps do not overshoot, however sure the predictions are
        slope, intercept = np.zeros(len(weights)), np.log(share / (1 - share))
        for _ in range(STEPS):
            q = 1 / (1 + np.exp(-np.clip(slope[:, None] * x + intercept[:, None], -30, 30)))
            w = weights * q * (1 - q)
            first, second = (weights * (y - q)) @ x, (weights * (y - q)).sum(axis=1)
            a, b, c = w @ (x * x), w @ x, w.sum(axis=1)
            below = a * c - b * b
            step = np.stack([(c * first - b * second) / below, (a * second - b * first) / below])
            step = np.clip(step, -2, 2)
            slope, intercept = slope + step[0], intercept + step[1]
            if np.nanmax(np.abs(step)) < 1e-7:
                break
        settled = np.isfinite(slope) & (np.abs(step).max(axis=0) < 1e-3)
        return np.where(settled[:, None], np.stack([slope, intercept], axis=1), np.nan)

    return figure


def net_benefit(ill: ArrayLike, scores: ArrayLike, thresholds: F64) -> Weighted:
    """Return the net benefit of acting on the score at each threshold probability."""
    yes = np.asarray(ill).astype(bool)
    called = np.asarray(scores, dtype=np.float64)[:, None] >= thresholds[None]
    worth = np.where(called, np.where(yes[:, None], 1.0, -(thresholds / (1 - thresholds))[None]), 0.0)

    def figure(weights: F64) -> F64:
        found: F64 = (weights @ worth) / weights.sum(axis=1, keepdims=True)
        return found

    return figure


def concordance(comparable: F64, right: F64) -> Weighted:
    """Return the share of pairs in the right order.

    Args:
        comparable: [cases, cases] weight of each pair.
        right: the same for pairs in the right order, ties half.
    """

    def figure(weights: F64) -> F64:
        found: F64 = ((weights @ right) * weights).sum(axis=1) / ((weights @ comparable) * weights).sum(axis=1)
        return found

    return figure
