"""Proportional hazards: Cox's regression with Efron's ties and a ridge, and Breslow's baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError

F64 = NDArray[np.float64]
STEPS = 50
MOST_TIMES = 200
"""Points of the baseline that a package keeps."""


@dataclass(frozen=True, eq=False)
class Cox:
    """A fitted model.

    Args:
        coefficients: log hazard ratio per unit of each covariate.
        errors: standard error of each, from the observed information.
        centre: covariates of the baseline.
        times: times of the baseline. hazard: cumulative hazard at these times.
    """

    coefficients: F64
    errors: F64
    centre: F64
    times: F64
    hazard: F64


def fit_cox(x: F64, time: F64, event: NDArray[np.bool_], *, penalty: float = 0.0) -> Cox:
    """Return the model that maximises the partial likelihood minus penalty / 2 times the squared coefficients.

    Args:
        x: covariates [patients, k], on one scale when there is a penalty.

    Raises:
        ImageContentError: the steps do not converge, as when a covariate separates the events.

    Source: Cox 1972; Efron 1977, doi:10.1080/01621459.1977.10480613.
    """
    centre = x.mean(axis=0)
    order = np.lexsort((~event, time))
    data = (x[order] - centre, time[order], event[order])
    beta = np.zeros(x.shape[1])
    value, slope, bend = _likelihood(beta, *data, penalty)
    for _ in range(STEPS):
        step = np.linalg.solve(bend, slope)
        length = 1.0
        while True:
            tried = _likelihood(beta + length * step, *data, penalty)
            if tried[0] >= value - 1e-9 or length < 1e-4:
                break
            length /= 2
        beta, gain = beta + length * step, tried[0] - value
        value, slope, bend = tried
        if abs(gain) < 1e-9 * (abs(value) + 1):
            times, hazard = _baseline(beta, *data)
            return Cox(beta, np.sqrt(np.diag(np.linalg.inv(bend))), centre, times, hazard)
    raise ImageContentError("Cox's regression does not converge", found=f"{STEPS} steps",
                            fix="a larger penalty, or fewer covariates")  # fmt: skip


def _likelihood(
    beta: F64, x: F64, time: F64, event: NDArray[np.bool_], penalty: float
) -> tuple[float, F64, F64]:  # fmt: skip
    """Return log partial likelihood, its gradient and its negative second derivative (Efron); rows sorted by time."""
    eta = np.clip(x @ beta, -500, 500)
    risk = np.exp(eta)
    weighted = x * risk[:, None]
    value = float(eta[event].sum()) - 0.5 * penalty * float(beta @ beta)
    slope = x[event].sum(axis=0) - penalty * beta
    bend = penalty * np.eye(len(beta)) + 1e-10 * np.eye(len(beta))
    s0, s1, s2 = 0.0, np.zeros_like(beta), np.zeros_like(bend)
    end = len(time)
    for moment in np.unique(time[event])[::-1]:
        first = int(np.searchsorted(time, moment))
        # whoever is followed up to this moment joins those at risk
        s0 = s0 + risk[first:end].sum()
        s1 = s1 + weighted[first:end].sum(axis=0)
        s2 = s2 + weighted[first:end].T @ x[first:end]
        end = first
        rows = np.flatnonzero(event & (time == moment))
        t0, t1, t2 = risk[rows].sum(), weighted[rows].sum(axis=0), weighted[rows].T @ x[rows]
        for share in np.arange(len(rows)) / len(rows):
            at0, at1, at2 = s0 - share * t0, s1 - share * t1, s2 - share * t2
            mean = at1 / at0
            value -= float(np.log(at0))
            slope = slope - mean
            bend = bend + at2 / at0 - np.outer(mean, mean)
    return value, slope, bend


def _baseline(beta: F64, x: F64, time: F64, event: NDArray[np.bool_]) -> tuple[F64, F64]:
    """Return event times and Breslow's cumulative hazard at the centre, thinned to MOST_TIMES."""
    risk = np.exp(np.clip(x @ beta, -500, 500))
    left = np.cumsum(risk[::-1])[::-1]
    moments, counts = np.unique(time[event], return_counts=True)
    hazard = np.cumsum(counts / left[np.searchsorted(time, moments)])
    if len(moments) > MOST_TIMES:
        kept = np.unique(np.linspace(0, len(moments) - 1, MOST_TIMES).astype(int))
        moments, hazard = moments[kept], hazard[kept]
    return moments, hazard
