"""A table of cases: columns with a meaning, missing values, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius.core.cohort import Cohort
from vesalius.core.errors import LabelError, UnknownNameError, UsageError


def cohort(**columns: object) -> Cohort:
    given = {"path": ["a.png", "b.png", "c.png#2"], "label": ["10", "2", ""], **columns}
    return Cohort({name: np.asarray(values) for name, values in given.items()}, Path("root"))


def test_labels_that_are_numbers_stand_in_their_order() -> None:
    assert cohort().labels == ("2", "10")
    assert cohort(label=[1.0, 0.0, np.nan]).labels == ("0", "1")


def test_missing_values() -> None:
    one = cohort(age=[50, np.nan, 60], site=["", "", ""], time=["3.5", "", "7"])
    assert one.has("age")
    assert not one.has("site")
    assert not one.has("mask")
    assert one.text("site").tolist() == ["", "", ""]
    np.testing.assert_array_equal(one.numbers("time"), [3.5, np.nan, 7])
    assert one.clinical == ("age",)


def test_patients_are_groups_only_when_every_case_has_one() -> None:
    assert cohort().groups() is None
    assert cohort(patient_id=["p", "p", ""]).groups() is None
    groups = cohort(patient_id=["p", "p", "q"]).groups()
    assert groups is not None
    assert groups.tolist() == ["p", "p", "q"]


def test_cases_are_chosen_by_number_and_by_mask() -> None:
    one = cohort(age=[1, 2, 3])
    assert one.take([2, 0]).numbers("age").tolist() == [3, 1]
    assert len(one.take(np.array([True, False, False]))) == 1
    assert len(one.take([])) == 0


def test_a_file_and_an_image_inside_one() -> None:
    assert cohort().file(0) == (Path("root/a.png"), None)
    archive = cohort(path=["x.npz#17", "y", ""])
    assert archive.file(0) == (Path("root/x.npz"), 17)
    with pytest.raises(LabelError, match="case 3 has no path"):
        archive.file(2)


def test_columns_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        cohort(age=[1.0, 2, 3]).columns["age"][0] = 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("columns", "error", "text"),
    [
        ({"split": ["train", "tain", ""]}, UnknownNameError, "did you mean 'train'"),
        ({"licence": ["open", "free", ""]}, UnknownNameError, "research"),
        ({"basis": ["registry:", "", ""]}, UsageError, "waiver:<reference>"),
        ({"basis": ["licence:CC0", "yes", ""]}, UsageError, "found: yes"),
        ({"age": [1, 2]}, UsageError, "differ in length"),
        ({"age": [[1, 2, 3]]}, UsageError, "dimensions"),
        ({"fold": ["0", "x", "1"]}, UsageError, "no number"),
    ],
)
def test_refusals(columns: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        cohort(**columns)


def test_an_unknown_column_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'age'"):
        cohort(age=[1, 2, 3]).numbers("aeg")
    with pytest.raises(LabelError, match="holds text"):
        cohort(sex=["F", "M", "F"]).numbers("sex")
