"""Survival figures are those of scikit-survival 0.28 on the same tables, and follow from pairs counted by hand.

scikit-survival is under the GPL and not a dependency; its figures were computed once and stand here as numbers.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vesalius.core.errors import LabelError
from vesalius.evaluate import survival as s


@pytest.fixture(scope="module")
def gbsg2(data_root: Path) -> dict[str, np.ndarray]:
    with (data_root / "survival_tables" / "lifelines" / "gbsg2.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in ("time", "cens", "pnodes", "tgrade")}


def test_breast_cancer_table(gbsg2: dict[str, np.ndarray]) -> None:
    time, event, risk = (gbsg2[name].astype(float) for name in ("time", "cens", "pnodes"))
    assert s.harrell_c(time, event, risk) == pytest.approx(0.6452446795719611, abs=1e-9)
    assert s.uno_c(time, event, risk, until=2000) == pytest.approx(0.6342796438502359, abs=1e-9)
    assert s.uno_c(time, event, risk, until=1000) == pytest.approx(0.6647145105799247, abs=1e-9)
    moments = np.array([400.0, 800, 1200, 1600])
    curves = np.exp(-np.outer(1 + risk / 20, moments / 4000))
    found = [s.brier(time, event, curves[:, k], at) for k, at in enumerate(moments)]
    np.testing.assert_allclose(
        found, [0.09039077831032269, 0.19874502106205194, 0.23004061349613003, 0.24068827230294335], atol=1e-9
    )
    assert s.integrated_brier(time, event, curves, moments) == pytest.approx(0.19810838662160496, abs=1e-9)
    assert s.log_rank(time, event, gbsg2["tgrade"]) == pytest.approx(2.626647113880354e-05, rel=1e-6)


def test_larynx_table_with_ties(data_root: Path) -> None:
    with (data_root / "survival_tables" / "lifelines" / "larynx.csv").open(encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    time, event = np.array([r["time"] for r in rows]), np.array([r["death"] for r in rows])
    risk = np.array([r["Stage_II"] + 2 * r["Stage_III"] + 3 * r["Stage_IV"] for r in rows])
    assert s.harrell_c(time, event, risk) == pytest.approx(0.6676066267183645, abs=1e-9)
    assert s.uno_c(time, event, risk, until=7.0) == pytest.approx(0.6406622415095582, abs=1e-9)


def test_pairs_by_hand() -> None:
    # events at 1 and 2, one patient left at 3: pairs (1,2) (1,3) (2,3); the first is right, the third a tie
    assert s.harrell_c([1, 2, 3], [1, 1, 0], [5, 4, 4]) == pytest.approx((1 + 1 + 0.5) / 3)
    assert s.uno_c([1, 2, 3], [1, 1, 0], [5, 4, 4]) == pytest.approx((1 + 1 + 0.5) / 3)


def test_kaplan_meier_by_hand() -> None:
    curve = s.kaplan_meier([1, 2, 2, 4], [1, 1, 0, 1])
    np.testing.assert_allclose(curve.at([0.5, 1, 2, 3.9, 4]), [1, 0.75, 0.5, 0.5, 0])


def test_uno_does_not_depend_on_who_leaves() -> None:
    rng = np.random.default_rng(0)
    risk = rng.normal(size=3000)
    death = rng.exponential(np.exp(-risk))
    complete = s.uno_c(death, np.ones(3000), risk, until=1.5)
    left = rng.exponential(1.0, 3000)
    time, event = np.minimum(death, left), death <= left
    assert s.uno_c(time, event, risk, until=1.5) == pytest.approx(complete, abs=0.015)


@pytest.mark.parametrize(
    ("time", "event", "text"),
    [
        ([1, 2], [1], "differ in number"),
        ([1, -2], [1, 0], "negative"),
        ([1, np.nan], [1, 0], "missing"),
        ([1, 2], [1, 2], "neither 0 nor 1"),
        ([1, 2], [0, 0], "no event"),
    ],
)
def test_refusals(time: list[float], event: list[float], text: str) -> None:
    with pytest.raises(LabelError, match=text):
        s.harrell_c(time, event, [0.0] * len(time))


def test_an_event_when_all_others_have_left() -> None:
    with pytest.raises(LabelError, match="give `until`"):
        s.uno_c([1, 2, 3], [1, 0, 1], [3, 2, 1], train=([1, 2], [1, 0]))
