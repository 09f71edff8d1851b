"""Operating points that are chosen on other cases than those they are judged on, and the decision curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import UsageError
from vesalius.evaluate.discrimination import threshold_for
from vesalius.evaluate.figures import Spec, spec
from vesalius.evaluate.predictions import Bools, Predictions
from vesalius.evaluate.resampling import F64, Resamples, band, whole
from vesalius.evaluate.weighted import net_benefit, share

GOALS = ("youden", "sensitivity", "specificity", "threshold")
GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)
"""Threshold probabilities of a decision curve."""


@dataclass(frozen=True)
class Wish:
    """What an operating point shall give.

    Args:
        goal: "youden" (largest sum of sensitivity and specificity), "sensitivity" or "specificity" (at least `value`),
            or "threshold" (a probability, chosen beforehand).
    """

    goal: str = "youden"
    value: float = 0.0

    def __post_init__(self) -> None:
        """Check the goal.

        Raises:
            UsageError: an unknown goal, or a value outside 0..1.
        """
        if self.goal not in GOALS or not 0 <= self.value <= 1:
            raise UsageError("an operating point that is not understood", found=f"{self.goal}={self.value:g}",
                             expected="youden, sensitivity=0.95, specificity=0.95 or threshold=0.5")  # fmt: skip

    @property
    def name(self) -> str:
        """Return how the point is called, as "sensitivity 0.9"."""
        return self.goal if self.goal == "youden" else f"{self.goal} {self.value:g}"

    def threshold(self, ill: Bools, scores: F64) -> float:
        """Return the threshold on these cases.

        Raises:
            LabelError: one class only.
        """
        if self.goal == "threshold":
            return self.value
        if self.goal == "youden":
            return threshold_for(ill, scores)
        return threshold_for(ill, scores, **{self.goal: self.value})


WISHES = (Wish(), Wish("sensitivity", 0.9), Wish("specificity", 0.9))


@dataclass(frozen=True, eq=False)
class Point:
    """An operating point on given cases.

    Args:
        label: the label whose probability is compared with the threshold.
        thresholds: [n] the threshold of each case, from cases other than itself.
        chosen_on: "other_folds", "cross_validation", "card" or "beforehand".
    """

    name: str
    label: str
    thresholds: F64
    chosen_on: str


@dataclass(frozen=True, eq=False)
class Band:
    """A curve with percentile limits at every point."""

    x: F64
    y: F64
    low: F64
    high: F64


def points(
    judged: Predictions, positive: int, wishes: Sequence[Wish] = WISHES, *, chosen_on: Predictions | None = None,
    fixed: Mapping[str, float] | None = None,
) -> tuple[Point, ...]:  # fmt: skip
    """Return the operating points of a prediction of labels.

    Args:
        positive: number of the label.
        chosen_on: predictions of the same model on other cases; without them, folds of `judged` serve each other.
        fixed: thresholds that were set before, name -> probability, as on a card.
    """
    label, scores, ill = judged.labels[positive], judged.scores[:, positive], judged.numbers() == positive
    found = [Point(name, label, np.full(len(judged), value), "card") for name, value in (fixed or {}).items()]
    for wish in wishes:
        if wish.goal == "threshold":
            found.append(Point(wish.name, label, np.full(len(judged), wish.value), "beforehand"))
        elif chosen_on is not None:
            value = wish.threshold(chosen_on.numbers() == positive, chosen_on.scores[:, positive])
            found.append(Point(wish.name, label, np.full(len(judged), value), "cross_validation"))
        elif (judged.folds >= 0).all() and len(np.unique(judged.folds)) > 1:
            found.append(Point(wish.name, label, _elsewhere(wish, ill, scores, judged), "other_folds"))
    return tuple(found)


def _elsewhere(wish: Wish, ill: Bools, scores: F64, judged: Predictions) -> F64:
    """Return for each case the threshold that the other folds of its repeat give."""
    found = np.full(len(judged), np.nan)
    for repeat in np.unique(judged.repeats):
        own = judged.repeats == repeat
        for fold in np.unique(judged.folds[own]):
            inside, others = own & (judged.folds == fold), own & (judged.folds != fold)
            found[inside] = wish.threshold(ill[others], scores[others])
    return found


def point_specs(judged: Predictions, positive: int, chosen: Sequence[Point]) -> list[Spec]:
    """Return what makes sensitivity, specificity and predictive values of each point."""
    ill, scores = judged.numbers() == positive, judged.scores[:, positive]
    made = []
    for point in chosen:
        called = scores >= point.thresholds
        made += [
            spec("sensitivity", share(called, ill), point.name, ill),
            spec("specificity", share(~called, ~ill), point.name, ~ill),
            spec("ppv", share(ill, called), point.name, called),
            spec("npv", share(~ill, ~called), point.name, ~called),
        ]
    return made


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit of acting on the model, with limits, and of acting on everyone; acting on nobody is 0."""

    model: Band
    everyone: F64


def decision_curve(ill: Bools, scores: F64, drawn: Resamples | None) -> DecisionCurve:
    """Return the decision curve at probabilities of 1 to 99 %.

    Source: Vickers and Elkin 2006, doi:10.1177/0272989X06295361.
    """
    figure = net_benefit(ill, scores, GRID)
    y, low, high = band(figure, drawn) if drawn is not None else (whole(figure, len(ill)),) * 3
    odds = GRID / (1 - GRID)
    return DecisionCurve(Band(GRID, y, low, high), ill.mean() - (~ill).mean() * odds)


def useful(curve: DecisionCurve) -> tuple[NDArray[np.float64], ...]:
    """Return the threshold probabilities at which the model's lower limit is above acting on everyone and on nobody."""
    better = curve.model.low > np.maximum(curve.everyone, 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], better.astype(int), [0]])))
    return tuple(GRID[[a, b - 1]] for a, b in zip(edges[::2], edges[1::2], strict=True))
