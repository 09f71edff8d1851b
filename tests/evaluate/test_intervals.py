"""Intervals hold the truth as often as they say; tests reject as rarely as they say."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core.errors import LabelError, UsageError
from vesalius.evaluate import discrimination as d
from vesalius.evaluate import intervals as i


def mean_of(values: np.ndarray) -> i.Statistic:
    return lambda cases: float(values[cases].mean())


def test_bca_is_scipys_when_every_case_is_a_patient() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).lognormal(size=40)
    ours = i.bootstrap(mean_of(values), np.arange(40), draws=8000, seed=1)
    theirs = bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=np.random.default_rng(1))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.03)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.03)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for trial in range(120):
        patients = np.repeat(np.arange(25), 4)
        values = rng.normal(size=25)[patients] + 0.1 * rng.normal(size=100)
        found = i.bootstrap(mean_of(values), patients, draws=400, seed=trial)
        held += found.low <= 0 <= found.high
    assert 0.87 <= held / 120 <= 1.0


def test_cases_of_a_patient_are_no_further_evidence() -> None:
    values = np.random.default_rng(5).normal(size=30)
    once = i.bootstrap(mean_of(values), np.arange(30), draws=1000)
    copied = i.bootstrap(mean_of(np.repeat(values, 10)), np.repeat(np.arange(30), 10), draws=1000)
    naive = i.bootstrap(mean_of(np.repeat(values, 10)), np.arange(300), draws=1000)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


def test_a_constant_figure_has_an_interval_of_no_width() -> None:
    found = i.bootstrap(lambda cases: 1.0, np.arange(10), draws=50)
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="more patients"):
        i.bootstrap(mean_of(np.zeros(4)), [1, 1, 2, 2])

    def rarely(cases: np.ndarray) -> float:
        if len(set(cases.tolist())) < 10:
            raise LabelError("undefined")
        return 0.0

    with pytest.raises(LabelError, match="too few resamples"):
        i.bootstrap(rarely, np.arange(10), draws=100)


def scores(rng: np.random.Generator, cases: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = np.arange(cases) % 3 == 0
    common = rng.normal(size=cases)
    return truth, truth + common, gain * truth + common + 0.8 * rng.normal(size=cases)


def test_delong_agrees_with_the_bootstrap() -> None:
    truth, one, two = scores(np.random.default_rng(2), 240, 0.6)
    found = i.delong(truth, one, two)
    boot = i.paired_bootstrap(
        lambda c: d.auc(truth[c], one[c]), lambda c: d.auc(truth[c], two[c]), np.arange(240), draws=1500
    )
    assert found.difference == pytest.approx(boot.difference)
    assert found.low == pytest.approx(boot.low, abs=0.015)
    assert found.high == pytest.approx(boot.high, abs=0.015)


def test_delong_by_hand() -> None:
    # 2 positives, 2 negatives: placements 1, 1/2 and 1/2, 1; variance (1/8)/2 + (1/8)/2 = 1/8
    found = i.delong_interval([1, 1, 0, 0], [3, 1, 2, 0])
    area, spread = 0.75, np.sqrt(0.125)
    assert found.value == area
    z = 1.959964 * spread / (area * (1 - area))
    assert found.low == pytest.approx(1 / (1 + np.exp(-(np.log(3) - z))), rel=1e-5)


def test_delong_rejects_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(8)
    p = []
    for _ in range(300):
        truth = rng.random(80) < 0.5
        p.append(i.delong(truth, truth + rng.normal(size=80), truth + rng.normal(size=80)).p_value)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_permutation_sees_a_difference_and_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(4)
    truth, good, _ = scores(rng, 120, 0.0)
    noise = rng.normal(size=120)

    def figure(values: np.ndarray) -> float:
        return d.auc(truth, values)

    assert i.permutation(figure, 2 * truth + 0.5 * rng.normal(size=120), noise, np.arange(120), draws=400) < 0.01
    assert i.permutation(figure, good, good, np.arange(120), draws=100) == 1


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(i.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert i.holm([0.5, 0.9]) == (1.0, 1.0)
