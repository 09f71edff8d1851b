"""How far probabilities may be believed: figures, reliability, and the maps that make them better.

A map is fitted here and applied by the operations `calibrate.*` of a model package, which the figures below use too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import LabelError
from vesalius.models.operations import probability

F64 = NDArray[np.float64]
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal numbers of cases: mean probability, share of positives, cases."""

    predicted: F64
    observed: F64
    cases: NDArray[np.int64]


@dataclass(frozen=True)
class CalibrationMap:
    """A step of a package's graph: operation and parameters.

    Args:
        operation: "calibrate.temperature", "calibrate.platt", "calibrate.isotonic", or "" for none.
    """

    operation: str
    parameters: dict[str, Any]

    def __call__(self, probabilities: ArrayLike) -> F64:
        """Return the calibrated probabilities [n, labels]."""
        p = _checked(probabilities)
        if not self.operation:
            return p
        function = getattr(probability, self.operation.removeprefix("calibrate."))
        return np.concatenate([function(row[None], **self.parameters) for row in p])


def _checked(probabilities: ArrayLike) -> F64:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise LabelError("probabilities are [cases, labels]", found=str(p.shape))
    if not np.isfinite(p).all() or (p < -1e-9).any() or (np.abs(p.sum(axis=1) - 1) > 1e-4).any():
        raise LabelError("probabilities are between 0 and 1 and sum to one", found="rows that do not")
    return p


def brier(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared difference of probabilities and truth, over one label of two, or summed over several.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    p, hot = _checked(probabilities), _hot(truth, probabilities)
    squared = ((p - hot) ** 2).sum(axis=1).mean()
    return float(squared / 2 if p.shape[1] == 2 else squared)


def log_loss(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative log probability of the true label."""
    p = np.clip(_checked(probabilities), TINY, 1)
    return float(-np.log(p[np.arange(len(p)), np.asarray(truth, dtype=np.int64)]).mean())


def reliability(truth: ArrayLike, scores: ArrayLike, *, bins: int = 10) -> Reliability:
    """Return observed shares against predicted probabilities of one label, in bins of equal numbers of cases.

    Cases of one probability stay in one bin.
    """
    ill, p = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)))
    place = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, max(len(edges) - 2, 0))
    used = np.unique(place)
    return Reliability(
        np.array([p[place == k].mean() for k in used]),
        np.array([ill[place == k].mean() for k in used]),
        np.array([(place == k).sum() for k in used], dtype=np.int64),
    )


def ece(truth: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> float:
    """Return the expected calibration error, over bins of equal width, of the largest probability.

    With two labels: of the second label's probability, as clinicians read it.

    Source: Guo et al. 2017, arXiv:1706.04599; Naeini et al. 2015.
    """
    p, numbers = _checked(probabilities), np.asarray(truth, dtype=np.int64)
    if p.shape[1] == 2:
        score, right = p[:, 1], (numbers == 1).astype(np.float64)
    else:
        score, right = p.max(axis=1), (p.argmax(axis=1) == numbers).astype(np.float64)
    place = np.clip(np.ceil(score * bins).astype(int) - 1, 0, bins - 1)
    total = 0.0
    for k in np.unique(place):
        inside = place == k
        total += inside.sum() * abs(score[inside].mean() - right[inside].mean())
    return float(total / len(score))


def slope_and_intercept(truth: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Return the line of the truth's log odds over the predicted log odds: 1 and 0 when calibrated.

    Source: Cox 1958, doi:10.2307/2333203; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7.
    """
    p = np.clip(np.asarray(scores, dtype=np.float64), TINY, 1 - TINY)
    return _line(np.log(p / (1 - p)), np.asarray(truth, dtype=np.float64))


def fit_temperature(truth: ArrayLike, probabilities: ArrayLike) -> CalibrationMap:
    """Return the temperature with the smallest log loss."""
    from scipy.optimize import minimize_scalar

    p, numbers = np.clip(_checked(probabilities), TINY, 1), np.asarray(truth, dtype=np.int64)
    logits = np.log(p)

    def loss(log_value: float) -> float:
        scaled = logits / np.exp(log_value)
        scaled -= scaled.max(axis=1, keepdims=True)
        chosen = scaled[np.arange(len(p)), numbers]
        return float((np.log(np.exp(scaled).sum(axis=1)) - chosen).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-6})
    return CalibrationMap("calibrate.temperature", {"value": float(np.exp(found.x))})


def fit_platt(truth: ArrayLike, probabilities: ArrayLike) -> CalibrationMap:
    """Return a line on the log odds of each label, with Platt's softened targets."""
    p, numbers = np.clip(_checked(probabilities), TINY, 1 - TINY), np.asarray(truth, dtype=np.int64)
    labels = [1] if p.shape[1] == 2 else range(p.shape[1])
    lines = []
    for k in labels:
        positive = (numbers == k).sum()
        high, low = (positive + 1) / (positive + 2), 1 / (len(p) - positive + 2)
        lines.append(_line(np.log(p[:, k] / (1 - p[:, k])), np.where(numbers == k, high, low)))
    slopes, intercepts = [line[0] for line in lines], [line[1] for line in lines]
    return CalibrationMap("calibrate.platt", {"slope": slopes, "intercept": intercepts})


def fit_isotonic(truth: ArrayLike, probabilities: ArrayLike) -> CalibrationMap:
    """Return a rising line of means for each label; between its points it is linear."""
    from scipy.optimize import isotonic_regression

    p, numbers = _checked(probabilities), np.asarray(truth, dtype=np.int64)
    labels = [1] if p.shape[1] == 2 else range(p.shape[1])
    xs, ys = [], []
    for k in labels:
        values, place, counts = np.unique(p[:, k], return_inverse=True, return_counts=True)
        means = np.bincount(place, weights=(numbers == k).astype(np.float64)) / counts
        rising = isotonic_regression(means, weights=counts).x
        keep = np.ones(len(values), dtype=bool)
        keep[1:-1] = (rising[1:-1] != rising[:-2]) | (rising[1:-1] != rising[2:])
        xs.append([float(v) for v in values[keep]])
        ys.append([float(v) for v in rising[keep]])
    return CalibrationMap("calibrate.isotonic", {"x": xs, "y": ys})


def best_map(truth: ArrayLike, probabilities: ArrayLike, groups: ArrayLike, *, seed: int = 0) -> CalibrationMap:
    """Return the map with the smallest log loss on patients that it was not fitted on; none when none helps.

    Args:
        groups: patient of each case.
    """
    p, numbers = _checked(probabilities), np.asarray(truth, dtype=np.int64)
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    fold = np.random.default_rng(seed).permutation(int(inverse.max()) + 1)[inverse] % 5
    fits = {"": None, "temperature": fit_temperature, "platt": fit_platt, "isotonic": fit_isotonic}
    losses = {}
    for name, fit in fits.items():
        out = p.copy()
        for k in np.unique(fold):
            if fit is not None and len(set(numbers[fold != k].tolist())) == p.shape[1]:
                out[fold == k] = fit(numbers[fold != k], p[fold != k])(p[fold == k])
        out = np.clip(out, 1e-4, 1)
        losses[name] = log_loss(numbers, out / out.sum(axis=1, keepdims=True))
    name = min(losses, key=lambda one: losses[one] + (0.0 if one == "" else 1e-4))
    chosen = fits[name]
    return CalibrationMap("", {}) if chosen is None else chosen(numbers, p)


def net_benefit(truth: ArrayLike, scores: ArrayLike, thresholds: ArrayLike) -> tuple[F64, F64]:
    """Return the net benefit of acting on the score, and of acting on everyone, at each threshold probability.

    Source: Vickers and Elkin 2006, doi:10.1177/0272989X06295361.
    """
    ill, p = np.asarray(truth).astype(bool), np.asarray(scores, dtype=np.float64)
    t = np.asarray(thresholds, dtype=np.float64)
    odds = t / (1 - t)
    called = p[None, :] >= t[:, None]
    model = (called & ill).sum(axis=1) / len(p) - (called & ~ill).sum(axis=1) / len(p) * odds
    return model, ill.mean() - (~ill).mean() * odds


def _hot(truth: ArrayLike, probabilities: ArrayLike) -> F64:
    hot = np.zeros_like(np.asarray(probabilities, dtype=np.float64))
    hot[np.arange(len(hot)), np.asarray(truth, dtype=np.int64)] = 1
    return hot


def _line(x: F64, target: F64) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of targets in 0..1 on one variable (Newton's steps)."""
    from scipy.optimize import minimize

    def loss(line: F64) -> tuple[float, F64]:
        z = line[0] * x + line[1]
        error = 1 / (1 + np.exp(-np.clip(z, -500, 500))) - target
        value = np.logaddexp(0, z) - target * z
        return float(value.mean()), np.array([(error * x).mean(), error.mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-8})
    return float(found.x[0]), float(found.x[1])
