"""Judging risks of an event in time: concordance and, once risks are calibrated on other folds, survival curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError
from vesalius.evaluate import weighted
from vesalius.evaluate.figures import Spec, made, spec
from vesalius.evaluate.predictions import Bools, Figure, Predictions
from vesalius.evaluate.resampling import F64, Resamples, Weighted
from vesalius.evaluate.survival import Steps, horizon, kaplan_meier, outcome, staying

MOST = 4000
"""Cases whose pairs are compared; of more, a sample of patients by seed 0."""
MOMENTS = 50


def concordance(predictions: Predictions, *, uno: bool) -> Weighted:
    """Return Harrell's C, or Uno's with the censoring of all cases as it was observed.

    Raises:
        LabelError: no event, or nobody is followed beyond one.
    """
    times, events = _outcome(predictions)
    counted = events & (times < horizon(times, events)) if uno else events
    pair = np.ones(len(times))
    if uno:
        left = staying(times, events).at(times)
        pair = np.where(counted, np.divide(1.0, left, out=np.zeros_like(left), where=left > 0) ** 2, 0)
    later = (times[None] > times[:, None]) | ((times[None] == times[:, None]) & ~events[None])
    comparable = later * np.where(counted, pair, 0.0)[:, None]
    risk = predictions.scores
    ahead = (risk[None] < risk[:, None]) + 0.5 * (risk[None] == risk[:, None])
    return weighted.concordance(comparable, comparable * ahead)


def _outcome(predictions: Predictions) -> tuple[F64, Bools]:
    if predictions.event is None:
        raise LabelError("the predictions hold no event", expected="the columns time and event")
    return outcome(predictions.truth, predictions.event)


def figures(predictions: Predictions, drawn: Resamples | None) -> tuple[Figure, ...]:
    """Return Uno's and Harrell's C and, in a cross-validation, the integrated Brier score beside that of no model.

    Raises:
        LabelError: no event occurs.
    """
    if len(predictions) > MOST:
        chosen = np.sort(np.random.default_rng(0).permutation(len(predictions))[:MOST])
        predictions = predictions.take(chosen)
        drawn = None if drawn is None else drawn.take(chosen, predictions.groups)
    specs: list[Spec] = [
        spec("uno_c", concordance(predictions, uno=True)), spec("harrell_c", concordance(predictions, uno=False)),
    ]  # fmt: skip
    if len(np.unique(predictions.folds)) > 1:
        curves = survival_curves(predictions)
        specs += [spec("integrated_brier", _integrated(predictions, curves.model, curves.moments)),
                  spec("integrated_brier_null", _integrated(predictions, curves.null, curves.moments))]  # fmt: skip
    return made(specs, predictions, drawn)


@dataclass(frozen=True, eq=False)
class SurvivalCurves:
    """Chance to be free of the event: [cases, moments], by the model and by Kaplan and Meier's curve of others."""

    moments: F64
    model: F64
    null: F64


def survival_curves(predictions: Predictions) -> SurvivalCurves:
    """Return survival curves of each case: slope and baseline hazard of the risks come from the other folds."""
    times, events = _outcome(predictions)
    first = float(np.quantile(times[events], 0.1))
    moments = np.linspace(first, 0.999 * horizon(times, events), MOMENTS)
    model, null = np.ones((len(times), MOMENTS)), np.ones((len(times), MOMENTS))
    for repeat in np.unique(predictions.repeats):
        own = predictions.repeats == repeat
        for fold in np.unique(predictions.folds[own]):
            inside, others = own & (predictions.folds == fold), own & (predictions.folds != fold)
            if not events[others].any():
                raise LabelError("the other folds hold no event", found=f"fold {fold}", fix="fewer folds")
            slope, middle, hazard = proportional(times[others], events[others], predictions.scores[others])
            relative = np.exp(np.clip(slope * (predictions.scores[inside] - middle), -20, 20))
            model[inside] = np.exp(-relative[:, None] * hazard.at(moments)[None])
            null[inside] = kaplan_meier(times[others], events[others]).at(moments)[None]
    return SurvivalCurves(moments, model, null)


def proportional(times: F64, events: Bools, risk: F64) -> tuple[float, float, Steps]:
    """Return the slope of a Cox model of one risk, the mean risk, and Breslow's cumulative baseline hazard.

    Source: Breslow 1974, doi:10.2307/2529620.
    """
    middle, scale = float(risk.mean()), float(risk.std()) or 1.0
    x = (risk - middle) / scale
    order = np.argsort(-times, kind="stable")
    moments = np.unique(times[events])
    place = np.searchsorted(-times[order], -moments, side="right") - 1
    counts = np.array([(events & (times == t)).sum() for t in moments], dtype=np.float64)
    sums = np.array([x[events & (times == t)].sum() for t in moments])
    slope = 0.0
    for _ in range(30):
        e = np.exp(np.clip(slope * x[order], -30, 30))
        zero, one, two = (np.cumsum(e * x[order] ** k)[place] for k in (0, 1, 2))
        first = float((sums - counts * one / zero).sum()) - 1e-3 * slope
        second = float((counts * (two / zero - (one / zero) ** 2)).sum()) + 1e-3
        step = float(np.clip(first / second, -1, 1))
        slope += step
        if abs(step) < 1e-8:
            break
    zero = np.cumsum(np.exp(np.clip(slope * x[order], -30, 30)))[place]
    return slope / scale, middle, _Hazard(moments, np.cumsum(counts / zero))


class _Hazard(Steps):
    """A step function that begins at 0."""

    def at(self, times: object) -> F64:
        """Return the value at these times."""
        place = np.searchsorted(self.times, np.asarray(times, dtype=np.float64), side="right")
        found: F64 = np.concatenate([[0.0], self.values])[place]
        return found


def _integrated(predictions: Predictions, curves: F64, moments: F64) -> Weighted:
    """Return the integrated Brier score as a mean over cases, the censoring as it was observed in all."""
    times, events = _outcome(predictions)
    followed = staying(times, events)
    own, here = followed.at(times), followed.at(moments)
    died = (times[:, None] <= moments[None]) & events[:, None]
    alive = times[:, None] > moments[None]
    weight = np.where(died, 1 / np.maximum(own, 1e-12)[:, None], np.where(alive, 1 / np.maximum(here, 1e-12)[None], 0))
    squared = np.where(died, curves**2, np.where(alive, (1 - curves) ** 2, 0)) * weight
    each = np.trapezoid(squared, moments, axis=1) / (moments[-1] - moments[0])
    return weighted.mean(each)


def wrongest(predictions: Predictions, count: int = 12) -> NDArray[np.int64]:
    """Return the cases with an event whose risk was ranked lowest for their time."""
    ill = np.flatnonzero(_outcome(predictions)[1])
    rank = np.argsort(np.argsort(predictions.scores[ill])) - np.argsort(np.argsort(-predictions.truth[ill]))
    found: NDArray[np.int64] = ill[np.argsort(rank, kind="stable")][:count]
    return found
