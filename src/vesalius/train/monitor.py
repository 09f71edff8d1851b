"""Figures on the validation part that choose an epoch, a start, or nothing at all: they are never results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vesalius.core.errors import VesaliusError

if TYPE_CHECKING:
    from torch import Tensor

    from vesalius.models.networks.heads import Goal, Loss


def loss_of(loss: Loss, scores: Tensor, goal: Goal) -> float:
    """Return the loss over all cases at once."""
    return float(loss(scores, goal))


def rank(loss: str, scores: Tensor, goal: Goal) -> float:
    """Return how well the scores order the cases, 0 to 1 (Spearman: -1 to 1); NaN when nothing can be ordered.

    Mean one-against-the-rest AUC of classes, Harrell's C of survival, Spearman's correlation otherwise.
    """
    values, found = goal.values.numpy().astype(np.float64), scores.numpy().astype(np.float64)
    try:
        if loss in ("cross_entropy", "focal"):
            return _auc(values, found)
        if loss == "cox":
            from vesalius.evaluate.survival import harrell_c

            return harrell_c(values, goal.event.numpy() > 0, found[:, 0]) if goal.event is not None else float("nan")
        return _spearman(values, _grade(found) if loss == "cumulative" else found[:, 0])
    except VesaliusError:
        return float("nan")


def _auc(values: Any, scores: Any) -> float:
    from vesalius.evaluate.discrimination import auc

    # the difference of two logits orders two classes; softmax does so for several
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = powers / powers.sum(axis=1, keepdims=True)
    if p.shape[1] == 2:
        return auc(values == 1, scores[:, 1] - scores[:, 0])
    present = [label for label in range(p.shape[1]) if 0 < (values == label).sum() < len(values)]
    return float(np.mean([auc(values == label, p[:, label]) for label in present])) if present else float("nan")


def _grade(scores: Any) -> Any:
    return (1 / (1 + np.exp(-scores))).sum(axis=1)


def _spearman(values: Any, scores: Any) -> float:
    from scipy.stats import spearmanr

    if np.ptp(values) == 0 or np.ptp(scores) == 0:
        return float("nan")
    return float(spearmanr(values, scores).statistic)
