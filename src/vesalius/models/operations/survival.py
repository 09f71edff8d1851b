"""Survival models as coefficients and a baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def cox(
    vector: NDArray[np.floating], *, coefficients: list[float], centre: list[float],
    times: list[float] | None = None, hazard: list[float] | None = None,
) -> F64:  # fmt: skip
    """Return [1, 1 + n]: the log hazard ratio against the centre, then survival at the n times.

    Args:
        vector: covariates [1, k].
        centre: covariates of the baseline.
        times: times of the baseline, rising, in the unit of the card.
        hazard: cumulative baseline hazard at these times (Breslow).

    Source: Cox 1972; Breslow 1974, doi:10.2307/2529620.
    """
    values = np.asarray(vector, dtype=np.float64).reshape(-1)
    if len(values) != len(coefficients):
        raise ValueError(f"{len(values)} covariates, {len(coefficients)} coefficients")
    risk = float((values - np.array(centre)) @ np.array(coefficients))
    if times is None or hazard is None:
        return np.array([[risk]])
    survival = np.exp(-np.array(hazard, dtype=np.float64) * np.exp(risk))
    return np.concatenate([[risk], survival]).reshape(1, -1)
