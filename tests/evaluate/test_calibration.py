"""Calibration maps find the distortion that was planted, figures agree with scikit-learn and with hand counts."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core.errors import LabelError
from vesalius.evaluate import calibration as c

metrics = pytest.importorskip("sklearn.metrics")


def distorted(factor: float, shift: float = 0.0, cases: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.5, cases)
    truth = (rng.random(cases) < 1 / (1 + np.exp(-logit))).astype(int)
    p = 1 / (1 + np.exp(-(factor * logit + shift)))
    return truth, np.stack([1 - p, p], axis=1)


def test_temperature_finds_the_factor() -> None:
    truth, p = distorted(3.0)
    found = c.fit_temperature(truth, p)
    assert found.parameters["value"] == pytest.approx(3.0, rel=0.08)
    assert c.ece(truth, found(p)) < 0.3 * c.ece(truth, p)


def test_platt_finds_factor_and_shift() -> None:
    truth, p = distorted(2.0, 1.0)
    found = c.fit_platt(truth, p)
    assert found.parameters["slope"][0] == pytest.approx(0.5, rel=0.08)
    assert found.parameters["intercept"][0] == pytest.approx(-0.5, abs=0.1)
    slope, intercept = c.slope_and_intercept(truth, found(p)[:, 1])
    assert (slope, intercept) == (pytest.approx(1, abs=0.03), pytest.approx(0, abs=0.03))


def test_isotonic_is_scikit_learns() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    truth, p = distorted(2.0, 1.0, 300)
    theirs = isotonic.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[:, 1], truth)
    grid = np.linspace(0, 1, 50)
    ours = c.fit_isotonic(truth, p)(np.stack([1 - grid, grid], axis=1))[:, 1]
    np.testing.assert_allclose(ours, theirs.predict(grid), atol=1e-9)


def test_several_labels_sum_to_one() -> None:
    rng = np.random.default_rng(2)
    truth, p = rng.integers(0, 3, 200), rng.dirichlet([1, 1, 1], 200)
    for fit in (c.fit_temperature, c.fit_platt, c.fit_isotonic):
        np.testing.assert_allclose(fit(truth, p)(p).sum(axis=1), 1)


def test_the_best_map_is_none_for_what_is_calibrated() -> None:
    truth, p = distorted(1.0)
    assert c.best_map(truth, p, np.arange(len(p))).operation == ""
    truth, p = distorted(3.0)
    assert c.best_map(truth, p, np.arange(len(p))).operation == "calibrate.temperature"


def test_figures() -> None:
    truth, p = distorted(2.0, 0.5, 500)
    assert c.brier(truth, p) == pytest.approx(metrics.brier_score_loss(truth, p[:, 1]))
    assert c.log_loss(truth, p) == pytest.approx(metrics.log_loss(truth, p))
    # two bins by hand: 0.1 with one of two ill, 0.9 with two of two
    hand = np.array([0.1, 0.1, 0.9, 0.9])
    assert c.ece([0, 1, 1, 1], np.stack([1 - hand, hand], axis=1), bins=2) == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)
    found = c.reliability([0, 1, 1, 1], hand, bins=2)
    np.testing.assert_allclose(found.observed, [0.5, 1])
    assert found.cases.sum() == 4


def test_net_benefit_by_hand() -> None:
    model, everyone = c.net_benefit([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], [0.5])
    assert model[0] == pytest.approx(1 / 4 - 1 / 4)
    assert everyone[0] == pytest.approx(0.5 - 0.5)


def test_refusals() -> None:
    with pytest.raises(LabelError, match="sum to one"):
        c.brier([0, 1], [[0.5, 0.6], [0.5, 0.5]])
    with pytest.raises(LabelError, match="cases, labels"):
        c.ece([0, 1], [0.5, 0.5])
