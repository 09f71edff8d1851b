"""No patient, duplicate or site on two sides; labels in their shares; the same seed, the same division."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core.cohort import Cohort
from vesalius.core.errors import UnknownNameError, UsageError
from vesalius.train.split import SplitOptions, assign, divide


def cohort(patients: int = 30, cases: int = 90, seed: int = 0, **columns: object) -> Cohort:
    rng = np.random.default_rng(seed)
    patient = np.concatenate([np.arange(patients), rng.integers(0, patients, cases - patients)])
    label_of = np.arange(patients) % 3 == 0
    made = {
        "path": np.array([f"{n}.png" for n in range(cases)]),
        "label": np.where(label_of[patient], "ill", "well"),
        "patient_id": np.array([f"p{n}" for n in patient]),
        "site": np.array([f"s{n % 4}" for n in patient]),
        **columns,
    }
    return Cohort({name: np.asarray(values) for name, values in made.items()})


def parts_of(cohort: Cohort, column: str, key: str = "patient_id") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, part in zip(cohort.text(key).tolist(), cohort.text(column).tolist(), strict=True):
        found.setdefault(name, set()).add(part)
    return found


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(12, 40))
@settings(max_examples=25, deadline=None)
def test_no_patient_stands_on_two_sides(seed: int, folds: int, patients: int) -> None:
    made = divide(cohort(patients, 3 * patients, seed), SplitOptions(folds=folds, test=0.2, inner_folds=2, seed=seed))
    for column in ("split", "fold", "inner_fold"):
        assert all(len(parts) == 1 for parts in parts_of(made.cohort, column).values())


def test_labels_come_in_their_shares() -> None:
    made = divide(cohort(300, 900), SplitOptions(folds=5, seed=3)).cohort
    ill = made.text("label") == "ill"
    shares = [ill[made.numbers("fold") == k].mean() for k in range(5)]
    sizes = [(made.numbers("fold") == k).mean() for k in range(5)]
    np.testing.assert_allclose(shares, ill.mean(), atol=0.02)
    np.testing.assert_allclose(sizes, 0.2, atol=0.02)


def test_as_even_as_scikit_learn() -> None:
    model_selection = pytest.importorskip("sklearn.model_selection")
    one = cohort(60, 240, 5)
    groups = np.unique(one.text("patient_id"), return_inverse=True)[1]
    strata = np.unique(one.text("label"), return_inverse=True)[1]
    ours = assign(groups.astype(np.int64), strata.astype(np.int64), 5, 0)
    theirs = np.zeros(len(one), dtype=int)
    for k, (_, test) in enumerate(
        model_selection.StratifiedGroupKFold(5, shuffle=True, random_state=0).split(strata, strata, groups)
    ):
        theirs[test] = k

    def spread(fold: np.ndarray) -> float:
        return float(np.std([strata[fold == k].mean() for k in range(5)]))

    assert spread(ours) <= spread(theirs) + 0.01


def test_duplicates_of_different_patients_stay_together() -> None:
    one = cohort()
    made = divide(one, SplitOptions(folds=4), duplicates=[(0, 1), (1, 2)])
    assert len({made.cohort.text("fold")[row] for row in (0, 1, 2)}) == 1
    assert len(set(made.groups[[0, 1, 2]].tolist())) == 1


def test_the_same_seed_gives_the_same_division() -> None:
    one = cohort()
    first, again, other = (divide(one, SplitOptions(folds=3, seed=s)).cohort.text("fold") for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_site_is_left_out_whole() -> None:
    made = divide(cohort(), SplitOptions(leave_out="site")).cohort
    assert all(len(parts) == 1 for parts in parts_of(made, "fold", "site").values())
    assert len(set(made.text("fold").tolist())) == 4


def test_a_single_division_has_three_parts_of_about_the_size_asked() -> None:
    made = divide(cohort(200, 600), SplitOptions(folds=0, test=0.2, val=0.1)).cohort
    share = {part: (made.text("split") == part).mean() for part in ("train", "val", "test")}
    assert share["test"] == pytest.approx(0.2, abs=0.04)
    assert share["val"] == pytest.approx(0.1, abs=0.04)
    assert all(len(parts) == 1 for parts in parts_of(made, "split").values())


def test_a_test_set_of_the_table_is_kept() -> None:
    one = cohort()
    marked = one.with_columns(split=np.where(one.text("patient_id") == "p3", "test", ""))
    made = divide(marked, SplitOptions(folds=3)).cohort
    assert set(made.text("patient_id")[made.text("split") == "test"].tolist()) == {"p3"}
    assert np.isnan(made.numbers("fold")[made.text("split") == "test"]).all()


def test_repeats_stand_one_below_the_other() -> None:
    made = divide(cohort(), SplitOptions(folds=3, repeats=2)).cohort
    assert len(made) == 180
    first, second = (made.text("fold")[made.numbers("repeat") == r] for r in (0, 1))
    assert (first != second).any()


def test_a_number_is_stratified_by_its_quartiles() -> None:
    ages = np.random.default_rng(0).uniform(20, 90, 300)
    one = cohort(300, 300, label=ages.astype(str), age=ages)
    made = divide(one, SplitOptions(folds=3, stratify=("label",))).cohort
    medians = [np.median(ages[made.numbers("fold") == k]) for k in range(3)]
    assert np.ptp(medians) < 8


def test_without_patient_ids() -> None:
    one = cohort().without("patient_id")
    with pytest.raises(UsageError, match="--no-patient-ids"):
        divide(one)
    made = divide(one, SplitOptions(no_patient_ids=True))
    assert made.warnings == ("90 of 90 cases have no patient id: one patient may stand on both sides",)


def test_one_patient_without_an_id() -> None:
    one = cohort()
    patients = one.text("patient_id").copy()
    patients[4] = ""
    with pytest.raises(UsageError, match="1 of 90 cases"):
        divide(one.with_columns(patient_id=patients))


def test_a_patient_that_the_table_divides() -> None:
    one = cohort()
    split = np.array(["train"] * 90, dtype="U5")
    split[np.flatnonzero(one.text("patient_id") == "p0")[0]] = "test"
    with pytest.raises(UsageError, match=r"between test and train; found: \d+\.png and \d+\.png"):
        divide(one.with_columns(split=split), SplitOptions(folds=0))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"folds": 1}, UsageError, "divides nothing"),
        ({"test": 1.5}, UsageError, "shares"),
        ({"folds": 0, "repeats": 0}, UsageError, "repeats"),
        ({"folds": 31}, UsageError, "fewer patients than folds"),
        ({"stratify": ("labl",)}, UnknownNameError, "'label'"),
        ({"leave_out": "path"}, UsageError, "under two values"),
    ],
)
def test_refusals(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        divide(cohort(), SplitOptions(**options))  # type: ignore[arg-type]


def test_a_label_of_one_patient_cannot_be_divided() -> None:
    one = cohort(label=["rare" if n % 30 == 0 else "common" for n in range(90)])
    rare = one.with_columns(label=np.where(one.text("patient_id") == "p0", "rare", "common"))
    with pytest.raises(UsageError, match="every case of a label"):
        divide(rare, SplitOptions(folds=3))
