"""Cases as arrays: once, whole, named when one cannot be prepared; and the recipe that a task makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohorts import body, saved
from tasks import table, task

from vesalius.core.cohort import Cohort
from vesalius.core.errors import ConfigError, ImageContentError, OutputError, ReadError, UsageError
from vesalius.io.cohort import read_cohort
from vesalius.models import operations
from vesalius.train import cases
from vesalius.train.recipe import Look, classical_recipe, default_baseline, input_name, look, network_recipe


def pictures(folder: Path, count: int = 4, **other: object) -> Cohort:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [saved(body(row, (40 + row, 44)), folder / f"{row}.png") for row in range(count)]
    return Cohort({"path": np.array(paths), "label": np.array(["a", "b"] * (count // 2))}, folder)


def plain(source: Path, **changes: object) -> object:
    return task(source, data={"clinical": []}, **changes)


RESIZE = [{"op": "imaging.resize", "rows": 16, "columns": 16}]


def test_a_network_gets_tensors_and_the_graph_gives_the_same(tmp_path: Path) -> None:
    cohort = pictures(tmp_path / "data")
    wish = plain(tmp_path, prepare=RESIZE, model={"network": {"name": "plain"}})
    recipe = network_recipe(wish, look(wish, cohort))  # type: ignore[arg-type]
    values, seen = cases.prepare(cohort, recipe, tmp_path)
    assert values.shape == (4, 1, 16, 16)
    assert seen.edges == [40, 44]
    inputs = cases.case_inputs(cohort, 2, recipe)
    one = operations.run_steps(recipe.graph, inputs, operations.Files(lambda name: b"", {}))
    assert np.array_equal(one["tensor"], values[2:3])


def test_cases_are_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = pictures(tmp_path / "data")
    wish = plain(tmp_path, prepare=RESIZE, features=["intensity"])
    recipe = classical_recipe(wish, wish.model.classical, look(wish, cohort), cohort)  # type: ignore
    first, _ = cases.prepare(cohort, recipe, tmp_path)
    monkeypatch.setattr(operations, "run_steps", lambda *given: pytest.fail("prepared again"))
    again, _ = cases.prepare(cohort, recipe, tmp_path)
    assert np.array_equal(first, again)


def test_cases_of_different_shape_are_named(tmp_path: Path) -> None:
    cohort = pictures(tmp_path / "data")
    wish = plain(tmp_path, prepare=[{"op": "imaging.zscore"}], model={"network": {"name": "plain"}})
    recipe = network_recipe(wish, look(wish, cohort))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"1\.png is prepared to another shape than 0\.png"):
        cases.prepare(cohort, recipe, tmp_path)
    assert not list(tmp_path.glob("*.npy")), "nothing half-written"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    cohort = pictures(tmp_path / "data", 20)
    (tmp_path / "data" / "7.png").write_bytes(b"no picture")
    wish = plain(tmp_path, prepare=RESIZE, features=["intensity"])
    recipe = classical_recipe(wish, wish.model.classical, Look(2, False, 40), cohort)  # type: ignore
    with pytest.raises(ReadError, match=r"7\.png cannot be prepared"):
        cases.prepare(cohort, recipe, tmp_path)


def test_a_feature_that_is_nan_is_named_and_a_clinical_one_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = pictures(tmp_path / "data").with_columns(age=np.array([60.0, np.nan, 50, 40]))
    wish = task(tmp_path, data={"clinical": ["age"]}, prepare=RESIZE, features=["intensity", "clinical"])
    recipe = classical_recipe(wish, wish.model.classical, Look(2, False, 40), cohort)  # type: ignore
    values, _ = cases.prepare(cohort, recipe, tmp_path)
    assert np.isnan(values).sum() == 1
    true = operations.run_steps

    def holed(*given: object) -> dict[str, object]:
        found = true(*given)  # type: ignore[arg-type]
        return {**found, "f0_intensity": found["f0_intensity"] * np.nan}

    monkeypatch.setattr(operations, "run_steps", holed)
    with pytest.raises(ImageContentError, match=r"0\.png: the value f0_intensity holds NaN"):
        cases.prepare(cohort, recipe, tmp_path / "again")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = pictures(tmp_path / "data")
    wish = plain(tmp_path, prepare=RESIZE, features=["intensity"])
    recipe = classical_recipe(wish, wish.model.classical, Look(2, False, 40), cohort)  # type: ignore

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        cases.prepare(cohort, recipe, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_words_become_inputs_with_their_own_contract(tmp_path: Path) -> None:
    cohort = read_cohort(table(tmp_path))
    wish = task(tmp_path, data={"clinical": ["marker", "sex"]})
    recipe = classical_recipe(wish, wish.model.classical, Look(0), cohort)  # type: ignore[arg-type]
    values, seen = cases.prepare(cohort, recipe, tmp_path)
    assert values.shape == (80, 3)
    asked = {one.name: one for one in cases.contracts(wish, recipe, cohort, seen)}
    assert asked["sex"].categories == ("F", "M")
    assert asked["marker"].values is not None


@pytest.mark.parametrize(("column", "name"), [("M/F", "m_f"), ("Age (years)", "age_years"), ("3rd", "c_3rd")])
def test_a_column_becomes_an_input_by_plain_rules(column: str, name: str) -> None:
    assert input_name(column) == name


def test_a_column_without_letters_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be an input"):
        input_name("年龄")


@pytest.mark.parametrize(
    ("kind", "seen", "learner", "features"),
    [
        ("classification", Look(2, True, 400), "svm", ["features.hog"]),
        ("classification", Look(3), "logistic", ["features.intensity", "features.radiomics"]),
        ("regression", Look(3), "ridge", ["features.intensity", "features.radiomics"]),
    ],
)
def test_every_network_has_a_classical_model_beside_it(
    tmp_path: Path, kind: str, seen: Look, learner: str, features: list[str]
) -> None:
    wish = task(tmp_path, kind=kind, model={"network": {"name": "plain"}})
    found = default_baseline(wish, seen)
    assert (found.learner, [one.op for one in found.features]) == (learner, features)
