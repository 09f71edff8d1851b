"""Figures on predictions agree with scikit-learn and with counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core.errors import LabelError
from vesalius.evaluate import discrimination as d

metrics = pytest.importorskip("sklearn.metrics")


def sample(seed: int, cases: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(cases) < 0.4
    truth[:2] = True, False
    return truth, np.round(rng.normal(size=cases) + truth, 1)  # with ties


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_binary_figures_are_scikit_learns(seed: int) -> None:
    truth, scores = sample(seed)
    assert d.auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    assert d.average_precision(truth, scores) == pytest.approx(
        metrics.average_precision_score(truth, scores), abs=1e-12
    )
    curve = d.roc_curve(truth, scores)
    x, y, thresholds = metrics.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, x)
    np.testing.assert_allclose(curve.y, y)
    np.testing.assert_allclose(curve.thresholds, thresholds)


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_tables_are_scikit_learns(seed: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, labels, 50), rng.integers(0, labels, 50)
    table = d.confusion(truth, predicted, labels)
    np.testing.assert_array_equal(table, metrics.confusion_matrix(truth, predicted, labels=range(labels)))
    assert d.accuracy(table) == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert d.matthews(table) == pytest.approx(metrics.matthews_corrcoef(truth, predicted))
    for weights, name in (("quadratic", "quadratic"), ("linear", "linear"), ("none", None)):
        expected = metrics.cohen_kappa_score(truth, predicted, weights=name, labels=range(labels))
        assert d.kappa(table, weights=weights) == pytest.approx(expected)
    recalls = metrics.recall_score(truth, predicted, average=None, labels=sorted(set(truth.tolist())), zero_division=0)
    assert d.balanced_accuracy(table) == pytest.approx(recalls.mean())
    seen = sorted({*truth.tolist(), *predicted.tolist()})
    assert d.f1(table) == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro", labels=seen, zero_division=0)
    )


def test_several_labels() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 90)
    p = rng.dirichlet([1, 1, 1], 90)
    assert d.macro_auc(truth, p) == pytest.approx(metrics.roc_auc_score(truth, p, multi_class="ovr", average="macro"))
    assert d.macro_auc(truth % 2, p[:, :2]) == pytest.approx(metrics.roc_auc_score(truth % 2, p[:, 1]))


def test_operating_points_by_hand() -> None:
    truth = [1, 1, 1, 1, 0, 0, 0, 0]
    scores = [0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1]
    point = d.at_threshold(truth, scores, 0.6)
    assert (point.sensitivity, point.specificity) == (0.75, 0.75)
    assert (point.ppv, point.npv) == (0.75, 0.75)
    assert d.threshold_for(truth, scores, sensitivity=0.75) == 0.6
    assert d.threshold_for(truth, scores, specificity=1.0) == 0.8
    assert d.at_threshold(truth, scores, d.threshold_for(truth, scores, sensitivity=1.0)).sensitivity == 1
    assert d.threshold_for(truth, scores) in (0.6, 0.8)
    assert np.isnan(d.at_threshold(truth, scores, 2.0).ppv)


@pytest.mark.parametrize(
    ("truth", "scores", "text"),
    [([1, 1], [0.1, 0.2], "only one class"), ([1, 0], [0.1], "differ in number"), ([1, 0], [0.1, np.nan], "NaN")],
)
def test_refusals(truth: list[int], scores: list[float], text: str) -> None:
    with pytest.raises(LabelError, match=text):
        d.auc(truth, scores)
