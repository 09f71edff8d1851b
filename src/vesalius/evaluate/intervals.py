"""Intervals and tests: patient-level bootstrap (BCa), DeLong, paired permutation, corrections for many tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import LabelError, UsageError
from vesalius.evaluate.discrimination import auc, binary

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Ints], float]
"""Gives a figure of the cases with these numbers; a LabelError means that it is not defined for them."""

LEAST_GROUPS = 3


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Args:
        groups: patients (or cases, where there are no patients) that were drawn.
        draws: resamples in which the figure was defined.
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    groups: int = 0
    draws: int = 0
    method: str = "BCa bootstrap by patient"


def bootstrap(
    statistic: Statistic, groups: ArrayLike, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Return a figure with its bias-corrected and accelerated interval; whole patients are drawn.

    Args:
        statistic: figure of the cases with these numbers.
        groups: patient of each case, [n].
        draws: number of resamples.

    Raises:
        LabelError: the figure is not defined on all cases.
        UsageError: fewer than three patients.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
    """
    members = _members(groups)
    return _estimate(statistic, members, _resampled(statistic, members, draws, seed), draws, level)


def _estimate(statistic: Statistic, members: Sequence[Ints], found: F64, draws: int, level: float) -> Estimate:
    if len(found) < draws / 2:
        raise LabelError(
            "the figure is defined in too few resamples for an interval",
            found=f"{len(found)} of {draws}",
            fix="more patients of the rarer label",
        )
    value = statistic(np.arange(sum(len(one) for one in members)))
    low, high = bca(value, found, _jackknife(statistic, members), level)
    return Estimate(value, low, high, level, len(members), len(found))


def _resampled(statistic: Statistic, members: Sequence[Ints], draws: int, seed: int) -> F64:
    """Return the figure of each resample of patients in which it is defined."""
    rng = np.random.default_rng(seed)
    sample = [_defined(statistic, members, rng.integers(0, len(members), len(members))) for _ in range(draws)]
    return np.array([one for one in sample if np.isfinite(one)])


def _members(groups: ArrayLike) -> list[Ints]:
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    count = int(inverse.max()) + 1
    if count < LEAST_GROUPS:
        raise UsageError("an interval needs more patients", found=str(count), expected=f"{LEAST_GROUPS} or more")
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)


def _defined(statistic: Statistic, members: Sequence[Ints], chosen: Ints) -> float:
    try:
        return statistic(np.concatenate([members[k] for k in chosen]))
    except LabelError:
        return float("nan")


def _jackknife(statistic: Statistic, members: Sequence[Ints], most: int = 400) -> F64:
    """Return the figure without each patient; of very many patients, without each of `most` blocks of them."""
    blocks = np.array_split(np.arange(len(members)), min(len(members), most))
    everyone = np.arange(len(members))
    found = [_defined(statistic, members, np.delete(everyone, block)) for block in blocks]
    return np.array([one for one in found if np.isfinite(one)])


def bca(value: float, sample: F64, jackknife: F64, level: float) -> tuple[float, float]:
    """Return the bias-corrected and accelerated ends of a figure from its resamples and its jackknife."""
    from scipy.special import ndtr, ndtri

    below = ((sample < value).sum() + 0.5 * (sample == value).sum()) / len(sample)
    if not 0 < below < 1:
        low, high = np.quantile(sample, ((1 - level) / 2, (1 + level) / 2))
        return float(min(low, value)), float(max(high, value))
    bias = float(ndtri(below))
    away = jackknife.mean() - jackknife
    scale = float(((away**2).sum()) ** 1.5)
    pull = float((away**3).sum()) / (6 * scale) if scale > 0 else 0.0
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    z = bias + ndtri(ends)
    low, high = np.quantile(sample, ndtr(bias + z / (1 - pull * z)))
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """A difference of two models on the same cases, with its interval and p-value (two-sided)."""

    difference: float
    low: float
    high: float
    p_value: float
    method: str


def paired_bootstrap(
    first: Statistic, second: Statistic, groups: ArrayLike, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Comparison:
    """Return first - second with its BCa interval, the same patients drawn for both.

    The p-value is twice the smaller share of resamples on either side of zero.
    """
    members = _members(groups)

    def difference(cases: Ints) -> float:
        return first(cases) - second(cases)

    sample = _resampled(difference, members, draws, seed)
    estimate = _estimate(difference, members, sample, draws, level)
    tail = (min((sample <= 0).sum(), (sample >= 0).sum()) + 1) / (len(sample) + 1)
    return Comparison(estimate.value, estimate.low, estimate.high, float(min(1.0, 2 * tail)), "paired bootstrap")


def delong(truth: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Comparison:
    """Return AUC(first) - AUC(second) on the same cases, each case a patient of its own.

    Source: DeLong et al. 1988, doi:10.2307/2531595; Sun and Xu 2014, doi:10.1109/LSP.2014.2337313.
    """
    from scipy.stats import norm

    ill, one = binary(truth, first)
    _, two = binary(truth, second)
    places = np.array([_placements(ill, one), _placements(ill, two)], dtype=object)
    positive = np.cov(np.array([p[0] for p in places], dtype=np.float64))
    negative = np.cov(np.array([p[1] for p in places], dtype=np.float64))
    covariance = positive / ill.sum() + negative / (~ill).sum()
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = auc(ill, one) - auc(ill, two)
    if variance <= 0:
        return Comparison(difference, difference, difference, 1.0 if difference == 0 else 0.0, "DeLong")
    error = float(np.sqrt(variance))
    reach = float(norm.ppf((1 + level) / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error))
    return Comparison(difference, difference - reach, difference + reach, p_value, "DeLong")


def delong_interval(truth: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the AUC with DeLong's interval on the logit scale, each case a patient of its own."""
    from scipy.special import expit, logit
    from scipy.stats import norm

    ill, values = binary(truth, scores)
    positive, negative = _placements(ill, values)
    variance = positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
    area = auc(ill, values)
    if not 0 < area < 1 or variance <= 0:
        return Estimate(area, area, area, level, len(ill), 0, "DeLong")
    reach = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(variance)) / (area * (1 - area))
    low, high = expit(logit(area) - reach), expit(logit(area) + reach)
    return Estimate(area, float(low), float(high), level, len(ill), 0, "DeLong")


def _placements(ill: NDArray[np.bool_], values: F64) -> tuple[F64, F64]:
    from scipy.stats import rankdata

    positive, negative = values[ill], values[~ill]
    ranks = rankdata(values)
    above = (ranks[ill] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[~ill] - rankdata(negative)) / len(positive)
    return np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)


def permutation(
    statistic: Callable[[F64], float], first: ArrayLike, second: ArrayLike, groups: ArrayLike, *,
    draws: int = 5000, seed: int = 0,
) -> float:  # fmt: skip
    """Return the two-sided p-value that two models' predictions could be exchanged, patient by patient.

    Args:
        statistic: figure of predictions [n] or [n, labels].
        groups: patient of each case; the predictions of a patient are exchanged together.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    observed = abs(statistic(one) - statistic(two))
    rng = np.random.default_rng(seed)
    reached = 0
    for _ in range(draws):
        flip = rng.random(int(inverse.max()) + 1) < 0.5
        turned = flip[inverse].reshape(-1, *([1] * (one.ndim - 1)))
        difference = statistic(np.where(turned, two, one)) - statistic(np.where(turned, one, two))
        reached += abs(difference) >= observed - 1e-12
    return (reached + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values of a family of tests, corrected so that one false alarm stays as rare as asked.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    found = np.empty(len(values))
    found[order] = np.minimum(corrected, 1.0)
    return tuple(float(one) for one in found)
