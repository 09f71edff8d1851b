"""From scores to calibrated probabilities, in float64 NumPy: [1, labels] in the order of the card's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def sigmoid(score: NDArray[np.floating]) -> F64:
    """Return [1 - p, p] of one logit."""
    logit = _one(score)
    high = 1 / (1 + np.exp(-abs(logit)))
    p = high if logit >= 0 else 1 - high
    return np.array([[1 - p, p]])


def softmax(scores: NDArray[np.floating]) -> F64:
    """Return the softmax of logits."""
    logits = np.asarray(scores, dtype=np.float64).reshape(1, -1)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def temperature(probabilities: NDArray[np.floating], *, value: float) -> F64:
    """Return probabilities whose logits are divided by a temperature.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    return softmax(_logs(probabilities) / value)


def platt(probabilities: NDArray[np.floating], *, slope: list[float], intercept: list[float]) -> F64:
    """Return probabilities after a line on each label's log odds, made to sum to one.

    Source: Platt 1999; two labels use the second label's line alone.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64).reshape(-1), 1e-12, 1 - 1e-12)
    if len(slope) == 1 and len(p) == 2:
        return sigmoid(np.array([slope[0] * np.log(p[1] / p[0]) + intercept[0]]))
    lines = np.array(slope) * np.log(p / (1 - p)) + np.array(intercept)
    each = 1 / (1 + np.exp(-lines))
    return np.asarray((each / each.sum()).reshape(1, -1))


def isotonic(probabilities: NDArray[np.floating], *, x: list[list[float]], y: list[list[float]]) -> F64:
    """Return probabilities through a rising step line per label (linear between its points), made to sum to one.

    Two labels with one line: the line is that of the second label.
    """
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1)
    if len(x) == 1 and len(p) == 2:
        second = float(np.interp(p[1], x[0], y[0]))
        return np.array([[1 - second, second]])
    each = np.array([np.interp(value, a, b) for value, a, b in zip(p, x, y, strict=True)])
    total = float(each.sum())
    return np.asarray((each / total if total > 0 else np.full(len(p), 1 / len(p))).reshape(1, -1))


def prior(probabilities: NDArray[np.floating], *, trained: list[float], target: list[float]) -> F64:
    """Return probabilities for a population with other class frequencies than the training set.

    Source: Saerens et al. 2002, doi:10.1162/089976602753284446, equation 2.4.
    """
    p = np.asarray(probabilities, dtype=np.float64).reshape(1, -1) * np.array(target) / np.array(trained)
    return np.asarray(p / p.sum())


def ordinal(scores: NDArray[np.floating]) -> F64:
    """Return the probabilities of grades from the logits of "above grade k", k = 0..n-2.

    Source: Frank and Hall 2001, doi:10.1007/3-540-44795-4_13; the thresholds are made to fall.
    """
    above = 1 / (1 + np.exp(-np.asarray(scores, dtype=np.float64).reshape(-1)))
    falling = np.minimum.accumulate(above)
    return -np.diff(np.concatenate([[1.0], falling, [0.0]])).reshape(1, -1)


def interval(value: NDArray[np.floating], *, half_width: float) -> F64:
    """Return [1, 3]: the value, and the ends of its conformal interval.

    Args:
        half_width: quantile of the absolute error on cases that the model had not seen, unit of the value.

    Source: Lei et al. 2018, doi:10.1080/01621459.2017.1307116 (split conformal).
    """
    if not half_width >= 0:
        raise ValueError(f"half width {half_width}")
    middle = _one(value)
    return np.array([[middle, middle - half_width, middle + half_width]])


def _one(score: NDArray[np.floating]) -> float:
    values = np.asarray(score, dtype=np.float64).reshape(-1)
    if len(values) != 1:
        raise ValueError(f"{len(values)} scores, one expected")
    return float(values[0])


def _logs(probabilities: NDArray[np.floating]) -> F64:
    return np.log(np.clip(np.asarray(probabilities, dtype=np.float64).reshape(1, -1), 1e-12, 1.0))
