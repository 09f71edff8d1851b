"""Runs and packages judged as they lie on disk; what cannot be judged says why; guards find what is planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts import body, labels, made

from run_folders import LABELS, drawn, patient_folds, small_package, written
from vesalius.core.cohort import Cohort
from vesalius.core.errors import IncompleteError, LabelError, ReadError, TamperedError, UnknownNameError, UsageError
from vesalius.evaluate.evaluation import Options
from vesalius.evaluate.predictions import Predictions
from vesalius.io.cohort import read_cohort
from vesalius.models.package import Package, open_package
from vesalius.train.validate import evaluate_package, evaluate_run, read_run
from vesalius.train.validate_control import controlled, is_leak, judged, random_label_control
from vesalius.train.validate_leaks import KINDS, clean, planted_leaks

QUICK = Options(draws=200, permutations=100)


def run_of(folder: Path, **told: Any) -> Path:
    cohort, good, worse = drawn()
    scores = {"network": good, "baseline": worse}
    return written(folder / "run", cohort, LABELS, scores, fold=patient_folds(cohort), **told)


def test_a_run_is_judged_by_patients_and_the_better_model_wins(tmp_path: Path) -> None:
    found = evaluate_run(run_of(tmp_path), QUICK)
    assert [(p.candidate, p.data, p.predictions.patients) for p in found.parts] == [
        ("network", "cross-validation", 120), ("baseline", "cross-validation", 120)
    ]  # fmt: skip
    assert found.positive == "ill"
    assert {c.winner for c in found.contests if c.figure in ("auc", "balanced_accuracy")} == {"network"}
    assert [table.column for table in found.parts[0].subgroups] == ["sex", "age", "scanner", "site"]
    assert not found.warnings
    assert found.draft


def test_the_same_run_gives_the_same_figures(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    first, second = (evaluate_run(run, QUICK) for _ in range(2))
    assert first.parts[0].figures == second.parts[0].figures
    assert first.contests == second.contests


def test_a_test_set_is_judged_at_points_of_the_cross_validation(tmp_path: Path) -> None:
    cohort, good, worse = drawn()
    fold = patient_folds(cohort, 6)
    fold = np.where(fold == 5, -1, fold)
    scores = {"classical": good, "baseline": worse}
    found = evaluate_run(written(tmp_path / "run", cohort, LABELS, scores, fold=fold, test=scores), QUICK)
    held = [p for p in found.parts if p.data == "test"]
    assert len(held) == 2
    assert {point.chosen_on for point in held[0].points} == {"cross_validation"}
    assert {c.data for c in found.contests} == {"cross-validation", "test"}


def test_a_label_may_be_called_none(tmp_path: Path) -> None:
    cohort, good, _ = drawn()
    named = cohort.with_columns(label=np.where(cohort.text("label") == "ill", "mild", "none"))
    run = written(tmp_path / "run", named, ("mild", "none"), {"network": good}, fold=patient_folds(cohort))
    found = evaluate_run(run, QUICK)
    assert found.positive == "mild"
    assert found.parts[0].predictions.cases == 240


def test_repeats_of_a_case_stay_one_case(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for name in ("network", "baseline"):
        path = run / name / "predictions.csv"
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        again = [",".join([*line.split(",")[:4], "1", *line.split(",")[5:]]) for line in lines]
        path.write_text("\n".join([head, *lines, *again]) + "\n", encoding="utf-8")
    one = evaluate_run(run, QUICK).parts[0]
    assert (one.predictions.cases, len(one.predictions)) == (240, 480)
    assert all(figure.groups <= 120 for figure in one.figures)


def test_missing_patients_are_the_first_thing_said(tmp_path: Path) -> None:
    cohort, good, worse = drawn()
    fold = patient_folds(cohort)
    bare = cohort.without("patient_id")
    found = evaluate_run(
        written(tmp_path / "run", bare, LABELS, {"network": good, "baseline": worse}, fold=fold), QUICK
    )
    assert found.warnings[0].id == "evaluation.warning.no_patients"
    assert found.parts[0].predictions.patients == 240


@pytest.mark.parametrize("status", ["running", "stopped", "failed"])
def test_a_run_that_is_not_complete(tmp_path: Path, status: str) -> None:
    with pytest.raises(IncompleteError, match="not complete") as error:
        read_run(run_of(tmp_path, status=status))
    assert "--resume" in str(error.value)


def test_damaged_runs(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no run"):
        read_run(tmp_path)
    run = run_of(tmp_path)
    (run / "network" / "predictions.csv").unlink()
    with pytest.raises(ReadError, match="lacks network"):
        evaluate_run(run, QUICK)
    path = run / "baseline" / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("p_ill", "q_ill", 1), encoding="utf-8")
    (run / "run.json").write_text(json.dumps({**read_run(run).run, "candidates": ["baseline"]}), encoding="utf-8")
    with pytest.raises(LabelError, match="lacks columns"):
        evaluate_run(run, QUICK)
    (run / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReadError, match="no run"):
        read_run(run)


def test_unknown_names(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with pytest.raises(UnknownNameError, match="scaner"):
        evaluate_run(run, replace(QUICK, subgroups=("scaner",)))
    with pytest.raises(UsageError, match="no such label"):
        evaluate_run(run, replace(QUICK, positive="il"))


def test_one_class_only(tmp_path: Path) -> None:
    cohort, good, _ = drawn()
    well = cohort.with_columns(label=np.full(len(cohort), "normal"))
    run = written(tmp_path / "run", well, LABELS, {"network": good}, fold=patient_folds(cohort))
    with pytest.raises(LabelError, match="only one class"):
        evaluate_run(run, QUICK)


def chance(folder: Path, leak: float = 0.0) -> Path:
    """Return a control run whose model knows so much of the exchanged labels."""
    cohort, _, _ = drawn(seed=4)
    rng = np.random.default_rng(8)
    logit = rng.normal(0, 1, len(cohort)) + leak * (cohort.text("label") == "ill")
    p = 1 / (1 + np.exp(-logit))
    scores = {"network": np.stack([p, 1 - p], axis=1)}
    return written(folder / "control", cohort, LABELS, scores, fold=patient_folds(cohort), control=True)


def test_the_control_covers_chance_and_a_leak_is_called_one(tmp_path: Path) -> None:
    good = evaluate_run(run_of(tmp_path), QUICK, control=chance(tmp_path))
    assert good.control is not None
    assert not good.control.leak
    assert not good.warnings
    bad = evaluate_run(run_of(tmp_path), QUICK, control=chance(tmp_path, 1.5))
    assert bad.control is not None
    assert bad.control.leak
    assert bad.warnings[0].id == "evaluation.warning.leak"


def test_a_control_run_says_so_first(tmp_path: Path) -> None:
    found = evaluate_run(chance(tmp_path), QUICK)
    assert found.is_control
    assert found.warnings[0].id == "evaluation.warning.control"
    with pytest.raises(UsageError, match="random labels"):
        evaluate_run(run_of(tmp_path), QUICK, control=run_of(tmp_path))


def test_the_control_of_a_trainer_that_leaks(tmp_path: Path) -> None:
    made_by = {"clean": 0.0, "leaking": 2.0}
    for name, leak in made_by.items():
        out = tmp_path / name

        def train(task: Path, out: Path, leak: float = leak) -> None:
            chance(out, leak).rename(out / "run")

        control = random_label_control(
            tmp_path / "task.yaml", out / "run", QUICK, train=lambda t, o: train(t, o.parent)
        )
        assert control.leak == (name == "leaking")
        assert controlled(read_run(out / "run"), QUICK).figure == control.figure


def test_the_control_of_numbers_is_above_zero_only_with_a_leak() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, 100)
    one = Predictions("regression", (), np.arange(100), truth, rng.normal(0, 1, 100), np.arange(100))
    assert not is_leak(judged(one, QUICK))
    assert is_leak(judged(replace(one, scores=truth + rng.normal(0, 0.3, 100)), QUICK))


@pytest.fixture
def pack(tmp_path: Path) -> Package:
    return open_package(small_package(tmp_path / "pack"))


def bright(folder: Path, count: int = 24, **columns: object) -> Cohort:
    """Return pictures of 6 x 8 pixels, half of them bright."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    names, ill = [], labels(count)
    for row in range(count):
        array = (body(row, (6, 8)) // 4 + (150 if ill[row] else 0)).astype(np.uint8)
        Image.fromarray(array).save(folder / f"{row}.png")
        names.append(f"{row}.png")
    told = {"path": np.array(names), "label": np.where(ill, "bright", "dark"),
            "patient_id": np.array([f"p{k}" for k in range(count)])}  # fmt: skip
    return Cohort({**told, **columns}, folder)  # type: ignore[dict-item]


def test_a_package_is_judged_on_a_table_and_on_changed_images(pack: Package, tmp_path: Path) -> None:
    found = evaluate_package(pack, bright(tmp_path / "images"), QUICK)
    assert [(p.candidate, p.data) for p in found.parts] == [("two-labels", "external")]
    assert found.parts[0].predictions.outcomes == {"completed": 24, "refused": 0, "abstained": 0}
    assert {one.kind for one in found.shift} == {"noise", "blur", "gamma", "resolution"}
    assert len(found.shift) == 16
    auc = found.parts[0].figure("auc")
    assert auc is not None
    for one in found.shift:
        assert one.drop.value == pytest.approx(auc.value - one.figure.value)
    assert "evaluation.warning.few" in {one.id for one in found.warnings}


def test_cases_that_a_package_was_made_from_are_no_test(tmp_path: Path) -> None:
    cohort = bright(tmp_path / "images")
    p = np.full((24, 2), 0.5)
    fold = np.where(np.arange(24) < 20, np.arange(24) % 2, -1)
    run = written(tmp_path / "run", cohort, ("dark", "bright"), {"classical": p}, fold=fold)
    with open_package(small_package(run / "classical" / "final")) as package:
        found = evaluate_package(package, cohort, QUICK, shift=False)
        assert found.warnings[0].id == "evaluation.warning.seen"
        assert found.warnings[0].parameters == {"count": 20, "all": 24}
        fresh = evaluate_package(package, cohort.take(range(20, 24)), QUICK, shift=False)
        assert "evaluation.warning.seen" not in {one.id for one in fresh.warnings}


def test_a_run_with_a_test_set_of_images_is_judged_on_changed_ones(tmp_path: Path) -> None:
    cohort = bright(tmp_path / "images", 40)
    ill = cohort.text("label") == "bright"
    p = np.stack([~ill, ill], axis=1) * 0.6 + 0.2
    fold = np.where(np.arange(40) < 20, np.arange(40) % 2, -1)
    run = written(tmp_path / "run", cohort, ("dark", "bright"), {"classical": p}, fold=fold, test={"classical": p})
    small_package(run / "classical" / "final")
    found = evaluate_run(run, QUICK)
    assert len(found.shift) == 16
    assert found.shifted == "classical"
    assert found.documents["card"]["name"] == "two-labels"
    assert all(one.figure.cases == 20 for one in found.shift)


def test_refused_cases_are_counted_and_left_out(pack: Package, tmp_path: Path) -> None:
    from PIL import Image

    cohort = bright(tmp_path / "images")
    Image.fromarray(body(1, (80, 90))).save(tmp_path / "images" / "0.png")
    found = evaluate_package(pack, cohort, QUICK, shift=False)
    assert found.parts[0].predictions.outcomes["refused"] == 1
    assert found.parts[0].predictions.cases == 23
    told = next(one for one in found.warnings if one.id == "evaluation.warning.outcomes")
    assert told.parameters == {"refused": 1, "all": 24, "abstained": 0}


def test_tables_that_cannot_be_judged(pack: Package, tmp_path: Path) -> None:
    cohort = bright(tmp_path / "images")
    with pytest.raises(LabelError, match="no column label"):
        evaluate_package(pack, cohort.without("label"), QUICK)
    with pytest.raises(LabelError, match="does not know"):
        evaluate_package(pack, cohort.with_columns(label=["other"] * 24), QUICK)
    with pytest.raises(LabelError, match="only one class"):
        evaluate_package(pack, cohort.with_columns(label=["dark"] * 24), QUICK)


def test_a_tampered_package_is_not_judged(pack: Package, tmp_path: Path) -> None:
    path = pack.folder / "card.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "summary: better\n", encoding="utf-8")
    with pytest.raises(TamperedError):
        open_package(pack.folder)


def test_a_table_without_images_has_no_place_for_leaks() -> None:
    with pytest.raises(UsageError, match="images"):
        planted_leaks(Cohort({"label": np.array(["a", "b"])}))


def test_the_base_of_the_self_test_holds_no_copies(tmp_path: Path) -> None:
    from vesalius.evaluate.duplicates import find_duplicates, thumbnail

    one = made(tmp_path, np.zeros(60, bool), labels(60))
    twice = one.take([*range(60), 0, 1])
    base = clean(twice.with_columns(patient_id=[str(k) for k in range(62)]), 0)
    assert len(base.images) == 60
    assert not find_duplicates([thumbnail(image) for image in base.images], [str(k) for k in range(60)])
    with pytest.raises(UsageError, match="too few images"):
        clean(one.take(range(20)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["busi_breast_us", "gallbladder_us_ba", "head_ct_hemorrhage"])
def test_every_planted_leak_is_caught_and_clean_twins_are_silent(data_root: Path, name: str) -> None:
    source = data_root / name
    if not source.is_dir():
        pytest.skip(f"{name} is not there")
    found = planted_leaks(read_cohort(source))
    assert len(found) == len(KINDS) >= 10
    assert [one.kind for one in found if not one.caught] == []
    assert [(one.kind, one.false_alarms) for one in found if one.false_alarms] == []
