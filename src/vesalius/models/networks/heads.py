"""Heads: how many numbers the last layer gives for a kind of task, their loss, and what follows them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

KINDS = ("classification", "ordinal", "regression", "survival")


def outputs(kind: str, labels: int) -> int:
    """Return how many numbers the last layer gives: one per label, one per threshold between grades, or one."""
    return {"classification": labels, "ordinal": labels - 1}.get(kind, 1)


@dataclass(frozen=True)
class Goal:
    """What a batch should have given.

    Args:
        values: [cases] class, grade, (scaled) value or time.
        event: [cases] survival: 1 where the event was seen.
        other, share: mixup: values of the other image of each pair, and the share of the first one.
    """

    values: Tensor
    event: Tensor | None = None
    other: Tensor | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Loss:
    """The loss of a kind.

    Args:
        name: cross_entropy, focal, cumulative, squared, huber or cox.
        weights: [labels] of classes or grades, None for equal ones.
    """

    name: str
    weights: Tensor | None = None
    gamma: float = 2.0
    smoothing: float = 0.0

    def __call__(self, scores: Tensor, goal: Goal) -> Tensor:
        """Return the mean loss of a batch."""
        if self.name == "cox":
            return cox_loss(scores[:, 0], goal)
        first = self._of(scores, goal.values)
        if goal.other is None:
            return first
        return goal.share * first + (1 - goal.share) * self._of(scores, goal.other)

    def _of(self, scores: Tensor, values: Tensor) -> Tensor:
        if self.name == "cross_entropy":
            return functional.cross_entropy(scores, values.long(), self.weights, label_smoothing=self.smoothing)
        if self.name == "focal":
            return focal_loss(scores, values.long(), self.weights, self.gamma)
        if self.name == "cumulative":
            return cumulative_loss(scores, values.long(), self.weights)
        if self.name == "huber":
            return functional.huber_loss(scores[:, 0], values)
        return functional.mse_loss(scores[:, 0], values)


def focal_loss(scores: Tensor, classes: Tensor, weights: Tensor | None, gamma: float) -> Tensor:
    """Return the focal loss: cross-entropy times (1 - p)^gamma of the true class.

    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    logs = functional.log_softmax(scores, dim=1).gather(1, classes[:, None])[:, 0]
    each = -((1 - logs.exp()) ** gamma) * logs
    if weights is None:
        return each.mean()
    return (each * weights[classes]).sum() / weights[classes].sum()


def cumulative_loss(scores: Tensor, grades: Tensor, weights: Tensor | None) -> Tensor:
    """Return the cross-entropy of "above grade k" over all thresholds.

    Source: Frank and Hall 2001, doi:10.1007/3-540-44795-4_13.
    """
    above = (grades[:, None] > torch.arange(scores.shape[1], device=scores.device)[None]).to(scores.dtype)
    each = functional.binary_cross_entropy_with_logits(scores, above, reduction="none").mean(dim=1)
    if weights is None:
        return each.mean()
    return (each * weights[grades]).sum() / weights[grades].sum()


def cox_loss(risks: Tensor, goal: Goal) -> Tensor:
    """Return the negative log partial likelihood of a batch per event, ties after Breslow; 0 without an event.

    Source: Cox 1972; Breslow 1974, doi:10.2307/2529620.
    """
    if goal.event is None:
        raise ValueError("survival needs the events")
    times, event = goal.values, goal.event.to(risks.dtype)
    at_risk = times[None, :] >= times[:, None]
    total = torch.logsumexp(risks[None, :].masked_fill(~at_risk, -torch.inf), dim=1)
    return ((total - risks) * event).sum() / event.sum().clamp(min=1)
