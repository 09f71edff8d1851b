"""Operating points know nothing of the cases they are judged on; the decision curve equals its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_classification import predicted

from vesalius.core.errors import UsageError
from vesalius.evaluate import classification, comparison
from vesalius.evaluate.calibration import net_benefit
from vesalius.evaluate.decision import GRID, Wish, decision_curve, points, useful
from vesalius.evaluate.discrimination import at_threshold, threshold_for
from vesalius.evaluate.predictions import Predictions
from vesalius.evaluate.resampling import resamples


def folded() -> Predictions:
    one = predicted(cases=200, patients=200)
    return replace(one, groups=np.arange(200), folds=np.arange(200) % 4)


def test_thresholds_come_from_the_other_folds() -> None:
    one = folded()
    ill, scores = one.numbers() == 1, one.scores[:, 1]
    point = next(p for p in points(one, 1, (Wish("sensitivity", 0.9),)))
    for fold in range(4):
        others = one.folds != fold
        expected = threshold_for(ill[others], scores[others], sensitivity=0.9)
        assert set(point.thresholds[one.folds == fold]) == {expected}
    assert point.chosen_on == "other_folds"


def test_a_case_never_moves_its_own_threshold() -> None:
    one = folded()
    scores = one.scores.copy()
    scores[7] = [0.999, 0.001] if one.truth[7] == 1 else [0.001, 0.999]
    before, after = (points(p, 1, (Wish(),))[0].thresholds[7] for p in (one, replace(one, scores=scores)))
    assert before == after


def test_figures_at_a_point_equal_the_plain_ones() -> None:
    one, other = predicted(seed=1), predicted(seed=2)
    chosen = points(one, 1, (Wish("specificity", 0.8), Wish("threshold", 0.5)), chosen_on=other, fixed={"card 1": 0.3})
    found = {(f.name, f.of): f.value for f in classification.figures(one, None, 1, chosen)}
    limit = threshold_for(other.numbers() == 1, other.scores[:, 1], specificity=0.8)
    for name, threshold in (("specificity 0.8", limit), ("threshold 0.5", 0.5), ("card 1", 0.3)):
        plain = at_threshold(one.numbers() == 1, one.scores[:, 1], threshold)
        told = [found[kind, name] for kind in ("sensitivity", "specificity", "ppv", "npv")]
        assert told == pytest.approx([plain.sensitivity, plain.specificity, plain.ppv, plain.npv])
    assert {p.chosen_on for p in chosen} == {"cross_validation", "beforehand", "card"}


def test_without_other_cases_no_point_is_chosen() -> None:
    assert points(predicted(), 1) == ()


def test_a_goal_that_is_not_understood() -> None:
    with pytest.raises(UsageError, match="operating point"):
        Wish("recall", 0.9)
    with pytest.raises(UsageError, match="operating point"):
        Wish("sensitivity", 90)


def test_the_decision_curve_equals_its_definition() -> None:
    one = predicted(cases=300)
    ill, scores = one.numbers() == 1, one.scores[:, 1]
    curve = decision_curve(ill, scores, resamples(one.groups, draws=200))
    model, everyone = net_benefit(ill, scores, GRID)
    assert curve.model.y == pytest.approx(model)
    assert curve.everyone == pytest.approx(everyone)
    ranges = useful(curve)
    assert ranges
    assert all(0 < low <= high < 1 for low, high in ranges)


def test_the_better_model_wins_and_equal_ones_do_not() -> None:
    good = predicted(cases=200, patients=100)
    drawn = resamples(good.groups, draws=300)
    noise = np.random.default_rng(9).dirichlet([1, 1], 200)
    bad = replace(good, scores=noise, predicted=noise.argmax(axis=1), raw=None)
    won = comparison.compare(("a", good), ("b", bad), drawn, 1, permutations=200)
    assert {one.winner for one in won} == {"a"}
    turned = comparison.compare(("b", bad), ("a", good), drawn, 1, permutations=200)
    assert {one.winner for one in turned} == {"a"}
    assert next(one for one in turned if one.figure == "brier").difference > 0
    same = comparison.compare(("a", good), ("c", good), drawn, 1, permutations=100)
    assert {one.winner for one in same} == {""}
    assert all(one.p_value == 1 for one in same)
    corrected = comparison.corrected(won)
    assert all(one.corrected >= one.p_value for one in corrected)


def test_permutation_and_delong_agree_on_single_cases() -> None:
    one = replace(predicted(cases=150), groups=np.arange(150))
    rng = np.random.default_rng(3)
    other = one.scores[:, 1] + rng.normal(0, 0.35, 150)
    p = np.clip(np.stack([1 - other, other], axis=1), 0.001, 0.999)
    two = replace(one, scores=p / p.sum(axis=1, keepdims=True), raw=None)
    found = comparison.compare(("a", one), ("b", two), resamples(one.groups, draws=400), 1, permutations=600)[0]
    assert found.figure == "auc"
    assert found.delong_p == pytest.approx(found.p_value, abs=0.06)
