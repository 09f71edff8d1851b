"""Subgroups: a planted gap is seen, small groups are marked, columns are found by their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_classification import predicted

from vesalius.core.cohort import Cohort
from vesalius.core.errors import UnknownNameError
from vesalius.evaluate import fairness
from vesalius.evaluate.discrimination import auc
from vesalius.evaluate.predictions import Predictions
from vesalius.evaluate.resampling import resamples

COUNT = 240


def people() -> tuple[Predictions, np.ndarray]:
    """Return predictions that know nothing in group b."""
    one = replace(predicted(cases=COUNT), groups=np.arange(COUNT))
    groups = np.where(np.arange(COUNT) % 2 == 0, "a", "b")
    scores = one.scores.copy()
    scores[groups == "b"] = np.random.default_rng(1).dirichlet([1, 1], COUNT // 2)
    return replace(one, scores=scores, predicted=scores.argmax(axis=1), raw=None), groups


def test_a_gap_is_seen_with_its_interval() -> None:
    one, groups = people()
    table = fairness.judged(one, groups, "sex", resamples(one.groups, draws=400), 1)
    first, second = table.levels
    inside = groups == "a"
    assert first.figures[0].value == pytest.approx(auc(one.numbers()[inside] == 1, one.scores[inside, 1]))
    assert table.gap is not None
    assert table.gap.value == pytest.approx(first.figures[0].value - second.figures[0].value)
    assert first.apart is not None
    assert first.apart.low > 0
    assert second.apart is not None
    assert second.apart.high < 0


def test_a_small_group_is_marked_and_takes_no_part() -> None:
    one, groups = people()
    groups = groups.astype("U4")
    groups[:6] = "rare"
    table = fairness.judged(one, groups, "site", resamples(one.groups, draws=200), 1)
    rare = next(level for level in table.levels if level.name == "rare")
    assert rare.small
    assert rare.apart is None
    assert table.gap is not None
    assert table.gap.value == pytest.approx(abs(table.levels[0].figures[0].value - table.levels[1].figures[0].value))


def test_a_group_of_one_class_is_no_error() -> None:
    one, groups = people()
    groups = np.where(one.numbers() == 1, "ill", "well")
    table = fairness.judged(one, groups, "site", resamples(one.groups, draws=200), 1)
    assert {level.figures[0].note for level in table.levels} == {"undefined"}
    assert table.gap is None


def test_columns_are_found_by_their_names() -> None:
    rows = np.arange(12)
    cohort = Cohort({"label": rows % 2, "M/F": np.where(rows % 2, "M", "F"), "Age": 20.0 + 5 * rows,
                     "scanner_model": np.where(rows % 3, "A", "B"), "site": np.full(12, "one"), "weight": 50.0 + rows,
                     "image_id": rows.astype(str)})  # fmt: skip
    assert fairness.columns(cohort) == ("M/F", "Age", "scanner_model")
    assert fairness.columns(cohort, ("weight",))[0] == "weight"
    with pytest.raises(UnknownNameError, match="weigth"):
        fairness.columns(cohort, ("weigth",))


def test_ages_fall_into_bands_and_other_numbers_into_quarters() -> None:
    cohort = Cohort({"age": np.array([5, 18, 39, 40, 79, 80, np.nan]), "weight": np.arange(7.0)})
    names = fairness.levels_of(cohort, "age").tolist()
    assert names == ["< 18", "18 – < 40", "18 – < 40", "40 – < 60", "60 – < 80", "≥ 80", ""]
    many = Cohort({"weight": np.arange(100.0)})
    assert np.unique(fairness.levels_of(many, "weight"), return_counts=True)[1].tolist() == [25, 25, 25, 25]
