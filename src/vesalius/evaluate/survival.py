"""Survival: how well risks order patients in time, and how well survival curves fit.

Uno's C is our own: the usual Python implementation is under the GPL; tests compare with it where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.errors import LabelError

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function: 1 before the first time, `values[k]` from `times[k]` on."""

    times: F64
    values: F64

    def at(self, times: ArrayLike) -> F64:
        """Return the value at these times (from the right)."""
        place = np.searchsorted(self.times, np.asarray(times, dtype=np.float64), side="right")
        found: F64 = np.concatenate([[1.0], self.values])[place]
        return found


def outcome(time: ArrayLike, event: ArrayLike) -> tuple[F64, Bools]:
    """Return times and events, checked.

    Raises:
        LabelError: lengths differ, a time is missing or negative, an event is neither 0 nor 1, or none occurs.
    """
    times, raw = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.float64)
    if times.shape != raw.shape or times.ndim != 1:
        raise LabelError("times and events differ in number", found=f"{times.shape} and {raw.shape}")
    if not np.isfinite(times).all() or (times < 0).any():
        raise LabelError("a time is missing or negative", expected="times from zero on, in one unit")
    if not np.isin(raw, (0, 1)).all():
        raise LabelError("an event is neither 0 nor 1", expected="1 where it was seen, 0 where the patient left before")
    if not raw.any():
        raise LabelError("no event occurs", expected="at least one")
    return times, raw.astype(bool)


def kaplan_meier(time: ArrayLike, event: ArrayLike) -> Steps:
    """Return the survival curve.

    Source: Kaplan and Meier 1958, doi:10.2307/2281868.
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event).astype(bool)
    moments = np.unique(times)
    at_risk = len(times) - np.searchsorted(np.sort(times), moments, side="left")
    happened = np.array([(events & (times == t)).sum() for t in moments])
    return Steps(moments, np.asarray(np.cumprod(1 - happened / at_risk), dtype=np.float64))


def staying(time: ArrayLike, event: ArrayLike) -> Steps:
    """Return the chance of still being followed; of an event and a departure at one time, the event comes first."""
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event).astype(bool)
    moments = np.unique(times)
    happened = np.array([(events & (times == t)).sum() for t in moments])
    left = np.array([(~events & (times == t)).sum() for t in moments])
    at_risk = len(times) - np.searchsorted(np.sort(times), moments, side="left") - happened
    kept = np.where(at_risk > 0, 1 - left / np.maximum(at_risk, 1), 1.0)
    return Steps(moments, np.asarray(np.cumprod(kept), dtype=np.float64))


def harrell_c(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> float:
    """Return the share of comparable pairs in which the patient with the earlier event has the higher risk, ties half.

    Source: Harrell et al. 1982, doi:10.1001/jama.1982.03320430047030.
    """
    times, events = outcome(time, event)
    return _concordance(times, events, np.asarray(risk, dtype=np.float64), np.ones(len(times)))


def uno_c(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, *, train: tuple[ArrayLike, ArrayLike] | None = None,
    until: float | None = None,
) -> float:  # fmt: skip
    """Return the concordance that does not depend on who left the study when, up to a time.

    Args:
        risk: higher is worse.
        train: times and events from which the censoring is estimated; the same patients by default.
        until: only events before this time count; all by default.

    Raises:
        LabelError: beyond some event no patient is followed any more, so that its weight is infinite: give `until`.

    Censoring is weighed at the time of the event itself, as survC1 and scikit-survival do.

    Source: Uno et al. 2011, doi:10.1002/sim.4154.
    """
    times, events = outcome(time, event)
    known_times, known_events = (times, events) if train is None else outcome(*train)
    followed = staying(known_times, known_events)
    counted = events & (times < until) if until is not None else events
    left = followed.at(times)
    if (left[counted] <= 0).any():
        raise LabelError("no patient is followed beyond an event", fix="give `until`, a time within the follow-up")
    weights = np.zeros(len(times))
    weights[counted] = left[counted] ** -2.0
    return _concordance(times, counted, np.asarray(risk, dtype=np.float64), weights)


def _concordance(times: F64, events: Bools, risk: F64, weights: F64) -> float:
    if risk.shape != times.shape or not np.isfinite(risk).all():
        raise LabelError("a risk is missing or not finite", found=str(risk.shape), expected=f"{len(times)} numbers")
    above, total = 0.0, 0.0
    for k in np.flatnonzero(events):
        later = (times > times[k]) | ((times == times[k]) & ~events)
        count = float(later.sum())
        total += weights[k] * count
        above += weights[k] * float((risk[later] < risk[k]).sum() + 0.5 * (risk[later] == risk[k]).sum())
    if total == 0:
        raise LabelError("no two patients can be compared", expected="an event before the end of another's follow-up")
    return above / total


def horizon(time: ArrayLike, event: ArrayLike) -> float:
    """Return the time up to which Uno's C is told: nine events in ten lie before it, and somebody is still followed.

    Beyond it few patients are left, and their weights would decide the figure.
    """
    times, events = outcome(time, event)
    alone = staying(times, events).at(times) <= 0
    followed = float(times[alone].min()) if alone.any() else float("inf")
    return min(followed, float(np.quantile(times[events], 0.9)))


def brier(
    time: ArrayLike, event: ArrayLike, survival: ArrayLike, at: float, *,
    train: tuple[ArrayLike, ArrayLike] | None = None,
) -> float:  # fmt: skip
    """Return the squared error of survival probabilities at one time, weighted for those who left before.

    Source: Graf et al. 1999, doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    times, events = outcome(time, event)
    p = np.asarray(survival, dtype=np.float64)
    known_times, known_events = (times, events) if train is None else outcome(*train)
    followed = staying(known_times, known_events)
    died, alive = (times <= at) & events, times > at
    here = float(followed.at(at))
    own = followed.at(times)
    if (alive.any() and here <= 0) or (own[died] <= 0).any():
        raise LabelError("nobody is followed that long", found=f"{at:g}", fix="an earlier time")
    total = (p[died] ** 2 / own[died]).sum() + ((1 - p[alive]) ** 2 / (here if alive.any() else 1)).sum()
    return float(total / len(times))


def integrated_brier(
    time: ArrayLike, event: ArrayLike, survival: ArrayLike, moments: ArrayLike, *,
    train: tuple[ArrayLike, ArrayLike] | None = None,
) -> float:  # fmt: skip
    """Return the mean over time of `brier`; survival is [patients, moments]."""
    t, curves = np.asarray(moments, dtype=np.float64), np.asarray(survival, dtype=np.float64)
    scores = np.array([brier(time, event, curves[:, k], float(at), train=train) for k, at in enumerate(t)])
    return float(np.trapezoid(scores, t) / (t[-1] - t[0]))


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> float:
    """Return the p-value that groups share one survival curve.

    Source: Mantel 1966; Peto and Peto 1972, doi:10.2307/2344317.
    """
    from scipy.stats import chi2

    times, events = outcome(time, event)
    names, place = np.unique(np.asarray(group), return_inverse=True)
    if len(names) < 2:
        raise LabelError("one group only", found=str(names), expected="two or more")
    difference, variance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for moment in np.unique(times[events]):
        at_risk = np.bincount(place[times >= moment], minlength=len(names)).astype(np.float64)
        happened = np.bincount(place[(times == moment) & events], minlength=len(names)).astype(np.float64)
        n, d = at_risk.sum(), happened.sum()
        share = at_risk / n
        difference += happened - d * share
        if n > 1:
            variance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
    part = difference[:-1]
    statistic = float(part @ np.linalg.pinv(variance[:-1, :-1]) @ part)
    return float(chi2.sf(statistic, len(names) - 1))
