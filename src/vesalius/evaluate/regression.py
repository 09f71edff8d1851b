"""Judging predictions of numbers: explained variance, errors, agreement in the manner of Bland and Altman."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError
from vesalius.evaluate.figures import Spec, made
from vesalius.evaluate.predictions import Figure, Predictions
from vesalius.evaluate.resampling import F64, Resamples, Weighted

NAMES = ("r2", "mae", "rmse", "bias", "limit_low", "limit_high", "correlation", "concordance")
REACH = 1.959963984540054
"""Limits of agreement are the bias and so many standard deviations of the differences."""


def errors(truth: F64, predicted: F64) -> Weighted:
    """Return the figures named in NAMES.

    Sources: Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8; concordance: Lin 1989, doi:10.2307/2532051.
    """
    apart = predicted - truth
    columns = np.stack([truth, predicted, truth**2, predicted**2, truth * predicted, np.abs(apart)], axis=1)

    def figure(weights: F64) -> F64:
        total = weights.sum(axis=1)
        x, y, xx, yy, xy, absolute = ((weights @ columns) / total[:, None]).T
        bias, square = y - x, xx + yy - 2 * xy
        vx, vy, both = xx - x**2, yy - y**2, xy - x * y
        spread = np.sqrt(np.maximum(square - bias**2, 0) * total / (total - 1))
        r2 = np.where(vx > 0, 1 - square / vx, np.nan)
        limits = (bias - REACH * spread, bias + REACH * spread)
        alike = (both / np.sqrt(vx * vy), 2 * both / (vx + vy + bias**2))
        return np.stack([r2, absolute, np.sqrt(np.maximum(square, 0)), bias, *limits, *alike], axis=1)

    return figure


def figures(predictions: Predictions, drawn: Resamples | None) -> tuple[Figure, ...]:
    """Return R2, errors, bias with limits of agreement, correlation and concordance.

    Raises:
        LabelError: every value is the same.
    """
    if np.ptp(predictions.truth) == 0:
        found = f"{predictions.truth[0]:g} in {len(predictions)} cases"
        raise LabelError("every value is the same, so that nothing can be explained", found=found, expected="others")
    every = Spec(tuple((name, "") for name in NAMES), errors(predictions.truth, predictions.scores))
    return made([every], predictions, drawn)


def wrongest(predictions: Predictions, count: int = 12) -> NDArray[np.int64]:
    """Return the predictions that are farthest off, the farthest first; a case once."""
    ordered = np.argsort(-np.abs(predictions.scores - predictions.truth), kind="stable")
    _, first = np.unique(predictions.rows[ordered], return_index=True)
    found: NDArray[np.int64] = ordered[np.sort(first)][:count]
    return found
