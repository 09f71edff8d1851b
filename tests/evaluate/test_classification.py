"""Weighted figures equal the plain ones, and their intervals those of the plain bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vesalius.core.errors import LabelError
from vesalius.evaluate import calibration, classification, weighted
from vesalius.evaluate import discrimination as plain
from vesalius.evaluate.figures import exact, made, spec
from vesalius.evaluate.intervals import bootstrap
from vesalius.evaluate.predictions import Predictions, positive_label
from vesalius.evaluate.resampling import estimates, resamples, whole


def predicted(labels: int = 2, cases: int = 150, patients: int = 60, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, cases)
    logits = rng.normal(0, 1, (cases, labels)) + 1.2 * np.eye(labels)[truth]
    p = np.exp(np.round(logits, 1))
    p /= p.sum(axis=1, keepdims=True)
    names = tuple(f"l{k}" for k in range(labels))
    groups = np.sort(rng.integers(0, patients, cases)).astype(np.int64)
    raw = p**2 / (p**2).sum(axis=1, keepdims=True)
    return Predictions("classification", names, np.arange(cases), truth.astype(float), p, groups, raw=raw)


@pytest.mark.parametrize("labels", [2, 4])
def test_figures_equal_the_plain_ones(labels: int) -> None:
    one = predicted(labels)
    found = {(f.name, f.of): f.value for f in classification.figures(one, None, 1)}
    table = plain.confusion(one.truth, one.predicted, labels)
    assert found["auc", ""] == pytest.approx(plain.macro_auc(one.numbers(), one.scores))
    assert found["balanced_accuracy", ""] == pytest.approx(plain.balanced_accuracy(table))
    assert found["accuracy", ""] == pytest.approx(plain.accuracy(table))
    assert found["f1", ""] == pytest.approx(plain.f1(table))
    assert found["mcc", ""] == pytest.approx(plain.matthews(table))
    assert found["brier", ""] == pytest.approx(calibration.brier(one.numbers(), one.scores))
    assert found["brier_before", ""] == pytest.approx(calibration.brier(one.numbers(), one.raw))
    assert found["ece", ""] == pytest.approx(calibration.ece(one.numbers(), one.scores))
    each = [plain.average_precision(one.numbers() == k, one.scores[:, k]) for k in range(labels)]
    assert found["average_precision", ""] == pytest.approx(each[1] if labels == 2 else np.mean(each))
    assert ("kappa", "") in found if labels == 2 else ("kappa", "") not in found


def test_the_calibration_line_and_kappa_equal_the_plain_ones() -> None:
    one = predicted()
    slope, intercept = calibration.slope_and_intercept(one.numbers() == 1, one.scores[:, 1])
    assert whole(weighted.line(one.numbers() == 1, one.scores[:, 1]), len(one)) == pytest.approx(
        [slope, intercept], abs=1e-4
    )
    three = replace(predicted(3), kind="ordinal")
    found = {f.name: f.value for f in classification.figures(three, None, 0) if not f.of}
    table = plain.confusion(three.truth, three.predicted, 3)
    assert found["kappa"] == pytest.approx(plain.kappa(table))
    assert found["grade_error"] == pytest.approx(np.abs(three.numbers() - three.predicted).mean())


def test_the_calibration_line_of_predictions_that_are_far_too_sure() -> None:
    rng = np.random.default_rng(0)
    ill = rng.random(300) < 0.4
    p = np.where(rng.random(300) < 0.7, ill, ~ill).astype(float)
    p[:100] = rng.random(100)
    slope, _ = whole(weighted.line(ill, p), 300)
    assert 0 < slope < 0.3


def test_intervals_equal_those_of_the_plain_bootstrap() -> None:
    one = predicted()
    ill, scores = one.numbers() == 1, one.scores[:, 1]
    expected = bootstrap(lambda cases: plain.auc(ill[cases], scores[cases]), one.groups, draws=300, seed=5)
    found = estimates(weighted.auc(ill, scores), resamples(one.groups, draws=300, seed=5))[0]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    from scipy.stats import norm

    truth = float(norm.cdf(1 / np.sqrt(2)))
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        ill = np.arange(120) % 2 == 0
        scores = rng.normal(0, 1, 120) + ill
        found = estimates(weighted.auc(ill, scores), resamples(np.arange(120), draws=400, seed=seed))[0]
        inside += found.low <= truth <= found.high
    assert 88 <= inside <= 99


def test_patients_not_cases_are_drawn() -> None:
    one = predicted(cases=120)
    twice = one.take(np.repeat(np.arange(120), 3))
    assert twice.patients == one.patients
    few = estimates(weighted.auc(one.numbers() == 1, one.scores[:, 1]), resamples(one.groups, draws=400))[0]
    many = estimates(weighted.auc(twice.numbers() == 1, twice.scores[:, 1]), resamples(twice.groups, draws=400))[0]
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


def test_a_perfect_share_gets_an_exact_interval() -> None:
    ill = np.arange(40) % 2 == 0
    one = Predictions("classification", ("a", "b"), np.arange(40), ill.astype(float),
                      np.stack([~ill, ill], axis=1).astype(float), np.arange(40))  # fmt: skip
    figure = made([spec("sensitivity", weighted.share(ill, ill), "", ill)], one, resamples(one.groups, draws=200))[0]
    # the rule of three: about 3 / n
    assert figure.low == pytest.approx(0.025 ** (1 / 20))
    assert exact(0.0, 300)[1] == pytest.approx(3.69 / 300, rel=0.01)


def test_curves_pass_through_the_points_of_the_plain_ones() -> None:
    one = predicted()
    curves = classification.curves(one, resamples(one.groups, draws=200), 1)
    roc, (band,) = plain.roc_curve(one.numbers() == 1, one.scores[:, 1]), curves.roc.values()
    assert band.y == pytest.approx(np.interp(band.x, roc.x, roc.y))
    assert (band.low <= band.y + 1e-9).mean() > 0.95
    assert curves.confusion.sum() == len(one)
    assert set(curves.reliability) == {"before", "after"}


def test_the_surest_errors_come_first_and_once() -> None:
    one = predicted()
    both = one.take(np.concatenate([np.arange(150), np.arange(150)]))
    worst = classification.wrongest(both)
    assert len(set(both.rows[worst].tolist())) == len(worst)
    sure = both.scores[worst, both.predicted[worst]]
    assert (both.predicted[worst] != both.numbers()[worst]).all()
    assert sure[0] == max(sure)


def test_one_class_is_refused() -> None:
    one = predicted()
    with pytest.raises(LabelError, match="only one class"):
        classification.figures(one.take(one.numbers() == 0), None, 1)


@pytest.mark.parametrize(
    ("labels", "positive"),
    [(("normal", "pneumonia"), 1), (("hemorrhage", "normal"), 0), (("no", "yes"), 1), (("abnormal", "normal"), 0),
     (("biliary_atresia", "non_biliary_atresia"), 0), (("0", "1"), 1), (("a", "b"), 1)],
)  # fmt: skip
def test_the_positive_label_is_the_finding(labels: tuple[str, str], positive: int) -> None:
    assert positive_label(labels) == positive
