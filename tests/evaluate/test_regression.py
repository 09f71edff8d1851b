"""Errors of numbers and of risks against SciPy and the plain figures."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core.errors import LabelError
from vesalius.evaluate import regression, survival, timetoevent
from vesalius.evaluate.predictions import Predictions
from vesalius.evaluate.resampling import resamples, whole


def numbers(seed: int = 0, cases: int = 80) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.normal(10, 3, cases)
    return Predictions("regression", (), np.arange(cases), truth, truth + rng.normal(0.5, 1, cases), np.arange(cases))


def test_errors_equal_their_definitions() -> None:
    one = numbers()
    apart = one.scores - one.truth
    found = {f.name: f for f in regression.figures(one, resamples(one.groups, draws=300))}
    assert found["mae"].value == pytest.approx(np.abs(apart).mean())
    assert found["rmse"].value == pytest.approx(np.sqrt((apart**2).mean()))
    assert found["r2"].value == pytest.approx(1 - (apart**2).sum() / ((one.truth - one.truth.mean()) ** 2).sum())
    assert found["limit_high"].value == pytest.approx(apart.mean() + 1.96 * apart.std(ddof=1), abs=1e-4)
    assert found["correlation"].value == pytest.approx(np.corrcoef(one.truth, one.scores)[0, 1])
    assert found["concordance"].value < found["correlation"].value
    assert found["bias"].low < 0.5 < found["bias"].high
    assert regression.wrongest(one)[0] == np.abs(apart).argmax()


def test_values_that_are_all_the_same_are_refused() -> None:
    one = Predictions("regression", (), np.arange(9), np.ones(9), np.arange(9.0), np.arange(9))
    with pytest.raises(LabelError, match="every value is the same"):
        regression.figures(one, None)


def risks(seed: int = 0, cases: int = 90, slope: float = 1.0) -> Predictions:
    rng = np.random.default_rng(seed)
    risk = rng.normal(0, 1, cases)
    time, left = rng.exponential(np.exp(-slope * risk)), rng.exponential(2.0, cases)
    observed = np.round(np.minimum(time, left), 2) + 0.01
    return Predictions("survival", (), np.arange(cases), observed, risk, np.arange(cases), event=time <= left,
                       folds=np.arange(cases) % 5)  # fmt: skip


def test_concordance_equals_the_plain_ones() -> None:
    one = risks()
    assert one.event is not None
    harrell = survival.harrell_c(one.truth, one.event, one.scores)
    assert whole(timetoevent.concordance(one, uno=False), len(one))[0] == pytest.approx(harrell)
    until = survival.horizon(one.truth, one.event)
    uno = survival.uno_c(one.truth, one.event, one.scores, until=until)
    assert whole(timetoevent.concordance(one, uno=True), len(one))[0] == pytest.approx(uno)


def test_survival_curves_from_other_folds_beat_no_model() -> None:
    one = risks(cases=300)
    found = {f.name: f for f in timetoevent.figures(one, resamples(one.groups, draws=200))}
    assert found["integrated_brier"].high < found["integrated_brier_null"].value
    curves = timetoevent.survival_curves(one)
    mean = float(survival.integrated_brier(one.truth, one.event, curves.model, curves.moments))
    assert found["integrated_brier"].value == pytest.approx(mean)
    assert (np.diff(curves.model, axis=1) <= 1e-12).all()


def test_the_slope_of_risks_is_found_again() -> None:
    one = risks(cases=1500, slope=0.7)
    assert one.event is not None
    slope, _, hazard = timetoevent.proportional(one.truth, one.event, one.scores)
    assert slope == pytest.approx(0.7, abs=0.1)
    # times were exponential with rate 1 at risk 0
    assert float(hazard.at(np.array([0.5]))[0]) == pytest.approx(0.5, abs=0.08)


def test_no_event_is_refused() -> None:
    one = risks()
    none = Predictions("survival", (), one.rows, one.truth, one.scores, one.groups, event=np.zeros(90, bool))
    with pytest.raises(LabelError, match="no event"):
        timetoevent.figures(none, None)
