"""Perturbations, intraclass correlation and correlation with volume."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from _radiomics_data import ball, pair

from vesalius.core.errors import UsageError
from vesalius.features.radiomics import (
    Family,
    Perturbations,
    RadiomicsCase,
    Settings,
    cohort_csv,
    cohort_features,
    perturbed,
)
from vesalius.features.radiomics.stability import intraclass_correlation

FAST = Settings(families=(Family.STATISTICS, Family.MORPHOLOGY))


def cases(number: int = 4) -> list[RadiomicsCase]:
    found = []
    for index in range(number):
        inside = ball(5 + index, (1, 1, 1), margin=14)
        random = np.random.default_rng(index)
        image = random.normal(100 + 40 * ((index * 7) % 5), 5, inside.shape)
        found.append(RadiomicsCase(f"case {index}", *pair(image, inside)))
    return found


def test_icc_of_shrout_and_fleiss() -> None:
    # Table 2 of the paper: six subjects, four judges; ICC(1,1) = 0.17.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    icc, low, high = intraclass_correlation(ratings)
    assert icc == pytest.approx(0.166, abs=0.001)
    assert (low, high) == (pytest.approx(-0.133, abs=0.001), pytest.approx(0.723, abs=0.001))


def test_icc_where_it_is_not_defined() -> None:
    assert all(math.isnan(v) for v in intraclass_correlation(np.ones((1, 5))))
    assert all(math.isnan(v) for v in intraclass_correlation(np.ones((4, 5))))
    assert intraclass_correlation(np.repeat([[1.0], [2.0]], 3, axis=1)) == (1, 1, 1)
    spoiled = np.array([[np.nan, 1.0], [1.0, 1.1], [5.0, 5.2], [9.0, 9.1]])
    assert intraclass_correlation(spoiled)[0] > 0.99


def test_a_cohort_has_stability_and_correlation_with_volume_by_default() -> None:
    table = cohort_features(cases(), settings=FAST)
    by_tag = {row.tag: row for row in table.stability}
    assert by_tag["morph_volume"].volume_correlation == pytest.approx(1)
    assert by_tag["stat_mean"].icc > 0.99
    assert by_tag["stat_mean"].low <= by_tag["stat_mean"].icc <= by_tag["stat_mean"].high
    # The maximum of noise changes from drawing to drawing more than the mean.
    assert by_tag["stat_max"].spread > by_tag["stat_mean"].spread
    assert table.values.shape == (4, len(table.tags))
    again = cohort_features(cases(), settings=FAST)
    assert repr(again.stability) == repr(table.stability)


def test_stability_can_be_switched_off() -> None:
    table = cohort_features(cases(3), settings=FAST, perturbations=None)
    assert all(math.isnan(row.icc) for row in table.stability)
    assert {row.tag: row for row in table.stability}["morph_volume"].volume_correlation == pytest.approx(1)
    with pytest.raises(UsageError, match="at least one case"):
        cohort_features([], settings=FAST)


def test_one_case_has_a_spread_but_no_icc() -> None:
    table = cohort_features(cases(1), settings=FAST)
    assert math.isnan(table.stability[0].icc)
    assert table.stability[0].spread > 0


def test_perturbations_are_small_and_can_be_switched_off_one_by_one() -> None:
    case = cases(1)[0]
    still = Perturbations(count=1, rotation_deg=0, translation_voxels=0, contour_voxels=0, noise=0)
    ((volume, mask),) = perturbed(case.volume, case.mask, perturbations=still)
    inside = case.mask.array > 0
    assert mask.array.sum() == inside.sum()
    assert np.sort(volume.array[mask.array > 0]) == pytest.approx(np.sort(case.volume.array[inside]))
    for change in ("rotation_deg", "translation_voxels", "contour_voxels", "noise"):
        moved = Perturbations(count=2, **({**dict.fromkeys(names(), 0), change: 1.0}))
        for volume, mask in perturbed(case.volume, case.mask, perturbations=moved):
            assert 0.6 < mask.array.sum() / inside.sum() < 1.6
            assert volume.array[mask.array > 0].mean() == pytest.approx(case.volume.array[inside].mean(), abs=3)


def names() -> tuple[str, ...]:
    return ("rotation_deg", "translation_voxels", "contour_voxels", "noise")


def test_bad_perturbations() -> None:
    with pytest.raises(UsageError, match="counted from 1"):
        Perturbations(count=0)


def test_cohort_csv() -> None:
    table = cohort_features(cases(3), settings=FAST)
    rows = list(csv.DictReader(io.StringIO(cohort_csv(table))))
    assert [row["tag"] for row in rows] == list(table.tags)
    assert float(rows[0]["case 1"]) == table.values[1, 0]
    assert float(rows[0]["icc"]) == table.stability[0].icc
