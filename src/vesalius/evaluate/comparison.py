"""Which of two models is better on the same cases, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError
from vesalius.evaluate import classification, regression, timetoevent, weighted
from vesalius.evaluate.intervals import delong, holm
from vesalius.evaluate.predictions import Predictions
from vesalius.evaluate.resampling import F64, Resamples, Weighted, difference, whole

SMALLER = frozenset({"brier", "ece", "mae", "rmse", "integrated_brier", "grade_error"})
"""Figures that are better when they are smaller."""
PRIMARY = {"classification": ("auc", "balanced_accuracy"), "ordinal": ("kappa", "auc"), "regression": ("mae", "r2"),
           "survival": ("uno_c", "harrell_c")}  # fmt: skip
"""Figures that decide, the first one before all."""
PERMUTATIONS = 2000


@dataclass(frozen=True)
class Contest:
    """A difference of two models in one figure.

    Args:
        figure: name of the figure; `difference` is first - second as measured.
        better: -1 for figures that are better when smaller.
        data: on which cases.
        p_value: by permutation of the two models' predictions between patients; `corrected` by Holm over all contests.
        delong_p: of the AUC of two labels, where every patient has one case; else NaN.
        winner: name of the model whose 95 % interval of the difference lies beyond zero on its side, "" when none.
    """

    first: str
    second: str
    figure: str
    difference: float
    low: float
    high: float
    p_value: float
    corrected: float
    delong_p: float
    winner: str
    better: int = 1
    data: str = ""


def compare(
    first: tuple[str, Predictions], second: tuple[str, Predictions], drawn: Resamples, positive: int, *,
    permutations: int = PERMUTATIONS, seed: int = 0,
) -> tuple[Contest, ...]:  # fmt: skip
    """Return the contest of two models in each figure; call `corrected` on all contests of a report.

    Args:
        first, second: name and predictions, of the same cases in the same order.
        drawn: resamples of the patients of these cases.

    Raises:
        LabelError: the two did not predict the same cases.
    """
    (one_name, one), (two_name, two) = first, second
    if not np.array_equal(one.rows, two.rows) or not np.array_equal(one.truth, two.truth):
        raise LabelError("two models are compared on different cases", found=f"{one_name} and {two_name}",
                         expected="predictions of the same cases in the same order")  # fmt: skip
    makers = _makers(one, positive)
    found = difference(_joined(makers, one), _joined(makers, two), drawn)
    swapped = _permuted(makers, one, two, permutations, seed)
    contests = []
    for (name, _), apart, p_value in zip(makers, found, swapped, strict=True):
        better = -1 if name in SMALLER else 1
        won = one_name if apart.low > 0 else two_name if apart.high < 0 else ""
        won = {one_name: two_name, two_name: one_name, "": ""}[won] if better < 0 else won
        contests.append(Contest(one_name, two_name, name, apart.difference, apart.low, apart.high, p_value, p_value,
                                _delong(name, one, two, positive), won, better))  # fmt: skip
    return tuple(contests)


def corrected(contests: Sequence[Contest]) -> tuple[Contest, ...]:
    """Return the contests with their p-values corrected by Holm over all of them."""
    fixed = holm([one.p_value for one in contests])
    return tuple(replace(one, corrected=p) for one, p in zip(contests, fixed, strict=True))


Maker = Callable[[Predictions], Weighted]


def _makers(predictions: Predictions, positive: int) -> list[tuple[str, Maker]]:
    if predictions.categorical:
        made: list[tuple[str, Maker]] = [("auc", lambda p: classification.area(p, positive))]
        for place, name in enumerate(weighted.CONFUSION):
            if name in ("balanced_accuracy", "accuracy") or (name == "kappa" and predictions.kind == "ordinal"):
                made.append((name, _column(place)))
        made.append(("brier", lambda p: classification.probability_specs(p, p.scores, positive, "")[0].figure))
        return made
    if predictions.kind == "survival":
        return [("uno_c", lambda p: timetoevent.concordance(p, uno=True)),
                ("harrell_c", lambda p: timetoevent.concordance(p, uno=False))]  # fmt: skip
    if predictions.kind == "regression":
        return [(name, _error(regression.NAMES.index(name))) for name in ("r2", "mae", "rmse")]
    return []


def _column(place: int) -> Maker:
    def maker(p: Predictions) -> Weighted:
        every = weighted.agreement(p.numbers(), p.predicted, len(p.labels))
        return lambda weights: every(weights)[:, place]

    return maker


def _error(place: int) -> Maker:
    def maker(p: Predictions) -> Weighted:
        every = regression.errors(p.truth, p.scores)
        return lambda weights: every(weights)[:, place]

    return maker


def _joined(makers: Sequence[tuple[str, Maker]], predictions: Predictions) -> Weighted:
    parts = [maker(predictions) for _, maker in makers]

    def together(weights: F64) -> F64:
        return np.stack([part(weights) for part in parts], axis=1)

    return together


def _permuted(
    makers: Sequence[tuple[str, Maker]], one: Predictions, two: Predictions, draws: int, seed: int
) -> list[float]:
    """Return the two-sided p-value of each figure that the two models' predictions could be exchanged."""

    def apart(first: Predictions, second: Predictions) -> NDArray[np.float64]:
        return np.abs(whole(_joined(makers, first), len(first)) - whole(_joined(makers, second), len(second)))

    observed, reached = apart(one, two), np.zeros(len(makers))
    rng = np.random.default_rng(seed)
    count = int(one.groups.max()) + 1
    for _ in range(draws):
        flip = (rng.random(count) < 0.5)[one.groups]
        reached += apart(_mixed(one, two, flip), _mixed(two, one, flip)) >= observed - 1e-12
    return [float(p) for p in (reached + 1) / (draws + 1)]


def _mixed(one: Predictions, two: Predictions, flip: NDArray[np.bool_]) -> Predictions:
    wide = flip[:, None] if one.scores.ndim == 2 else flip
    return replace(one, scores=np.where(wide, two.scores, one.scores), raw=None,
                   predicted=np.where(flip, two.predicted, one.predicted))  # fmt: skip


def _delong(name: str, one: Predictions, two: Predictions, positive: int) -> float:
    """Return DeLong's p-value, NaN where patients have several cases, which it takes for independent."""
    if name != "auc" or len(one.labels) != 2 or one.patients < len(one):
        return math.nan
    return delong(one.numbers() == positive, one.scores[:, positive], two.scores[:, positive]).p_value
