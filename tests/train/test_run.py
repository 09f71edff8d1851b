"""A run from end to end: what it writes, refuses, leaves out, takes up again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import table, task

from vesalius.core.errors import LabelError, OutputError, OutputExistsError, UsageError
from vesalius.governance.consent import Consent, Purpose, Registry
from vesalius.models.package import open_package
from vesalius.models.runtime import Runner
from vesalius.train import energy, run_fit
from vesalius.train.learner import BudgetSpent
from vesalius.train.run import Run, RunOptions, read_run, train

Trainer = Callable[..., Run]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Return `train` in a home of its own, without an energy meter."""
    monkeypatch.setattr(energy, "_tracker", lambda country: None)

    def run(wish: Any, name: str = "run", **given: Any) -> Run:
        options = RunOptions(threads=1, home=tmp_path / "home", **given.pop("options", {}))
        return train(wish, tmp_path / name, options=options, **given)

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_run_writes_what_the_reference_page_lists(tmp_path: Path, trained: Trainer) -> None:
    run = trained(task(table(tmp_path)))
    assert run.status == "complete"
    assert {one.name for one in run.folder.iterdir()} == {"task.yaml", "run.json", "cohort.csv", "classical"}
    held = rows(run.folder / "classical" / "predictions.csv")
    assert sorted(int(one["row"]) for one in held) == list(range(80))
    cohort = rows(run.folder / "cohort.csv")
    assert all(cohort[int(one["row"])]["label"] == one["label"] for one in held)
    assert all(cohort[int(one["row"])]["fold"] == one["fold"] for one in held)
    assert all(abs(float(one["p_ill"]) + float(one["p_well"]) - 1) < 1e-6 for one in held)
    names = {one["name"]: one for one in run.info["results"]["classical"]["metrics"]}
    assert names["AUC"]["low"] < names["AUC"]["value"] < names["AUC"]["high"]
    assert names["AUC"]["value"] > 0.75


def test_no_patient_stands_on_two_sides(tmp_path: Path, trained: Trainer) -> None:
    run = trained(task(table(tmp_path)), options={"folds_only": True})
    folds: dict[str, set[str]] = {}
    for one in rows(run.folder / "cohort.csv"):
        folds.setdefault(one["patient_id"], set()).add(one["fold"])
    assert all(len(found) == 1 for found in folds.values())
    groups = {(one["patient_id"], one["group"]) for one in rows(run.folder / "cohort.csv")}
    assert len(groups) == 40
    assert not run.package().exists()


def test_the_package_gives_the_predictions_of_the_run(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    cells = source.read_text().splitlines()
    cells = [cells[0] + ",split"] + [line + (",test" if row < 16 else ",train") for row, line in enumerate(cells[1:])]
    source.write_text("\n".join(cells) + "\n")
    run = trained(task(source, prior={"ill": 0.2, "well": 0.8}))
    assert (run.info["training"], run.info["test"]) == (64, 16)
    with open_package(run.package()) as package:
        assert package.status == "draft"
        card, runner = package.card, Runner(package)
        assert card.training_data[0].basis == {"licence:CC0": 64}
        assert (card.licence, card.training_data[0].patients) == ("open", 32)
        assert card.operating_points
        cohort = rows(run.folder / "cohort.csv")
        for one in rows(run.folder / "classical" / "test.csv"):
            case = cohort[int(one["row"])]
            answer = runner.predict(
                {"marker": float(case["marker"]), "noise": float(case["noise"]), "sex": case["sex"]}
            )
            assert answer.values[answer.labels.index("ill")] == pytest.approx(float(one["p_ill"]), abs=1e-6)


def test_the_same_run_twice_has_the_same_weights(tmp_path: Path, trained: Trainer) -> None:
    wish = task(table(tmp_path))
    digests = [trained(wish, name).info["results"]["classical"]["weights_sha256"] for name in ("a", "b")]
    assert digests[0] == digests[1]


KINDS: list[dict[str, Any]] = [
    {"kind": "ordinal", "data": {"label": "grade"}},
    {"kind": "regression", "data": {"label": "value"}, "model": {"classical": {"learner": "ridge"}}},
    {"kind": "survival", "model": {"classical": {"learner": "cox", "parameters": {"penalty": 1.0}}}},
]


@pytest.mark.parametrize("changes", KINDS, ids=lambda one: one["kind"])
def test_every_kind_ends_in_a_package_that_passes_its_golden_cases(
    changes: dict[str, Any], tmp_path: Path, trained: Trainer
) -> None:
    data = {"clinical": ["marker", "noise", "sex"], **changes.get("data", {})}
    run = trained(task(table(tmp_path), **{**changes, "data": data}))
    main = run.info["results"]["classical"]["metrics"][0]
    assert main["low"] <= main["value"] <= main["high"]
    with open_package(run.package()) as package:
        assert Runner(package).check_golden() <= 1e-6


def test_cox_tells_the_hazard_ratio_of_each_column(tmp_path: Path, trained: Trainer) -> None:
    run = trained(task(table(tmp_path, patients=120), kind="survival", model=KINDS[2]["model"]))
    told = {one["name"]: one for one in run.info["results"]["classical"]["final"]["per_standard_deviation"]}
    assert list(told) == ["marker", "noise", "sex = F", "sex = M"]
    assert told["marker"]["low"] > 1.5
    assert told["noise"]["low"] < 1 < told["noise"]["high"]


def test_clusters_are_packaged_with_their_stability(tmp_path: Path, trained: Trainer) -> None:
    found = {"classical": {"learner": "kmeans", "parameters": {"clusters": 2}}}
    run = trained(task(table(tmp_path), kind="clustering", model=found))
    assert {one["cluster"] for one in rows(run.folder / "classical" / "predictions.csv")} == {"0", "1"}
    with open_package(run.package()) as package:
        (figure,) = package.card.metrics
    assert figure.name == "adjusted Rand index"


def test_the_control_learns_nothing_and_says_so(tmp_path: Path, trained: Trainer) -> None:
    wish = task(table(tmp_path, patients=80, shift=3.0), draws=500)
    real = trained(wish, "real", options={"folds_only": True})
    control = trained(wish, "control", options={"folds_only": True, "random_labels": True})
    assert control.info["control"] is True
    assert any("exchanged" in one for one in control.warnings)
    auc = [one.info["results"]["classical"]["metrics"][0] for one in (real, control)]
    assert auc[0]["low"] > 0.9
    assert auc[1]["low"] < 0.5 < auc[1]["high"]


def test_two_models_are_compared_on_the_same_cases(tmp_path: Path, trained: Trainer) -> None:
    blind = {"learner": "knn", "features": ["clinical"], "search": {}}
    wish = task(table(tmp_path, shift=4.0), baseline=blind, data={"clinical": ["marker"]})
    run = trained(wish)
    assert run.candidates == ("classical", "baseline")
    told = run.info["comparison"]
    assert told["low"] <= told["difference"] <= told["high"]
    assert run.info["winner"] in (*run.candidates, "no difference")


def test_nothing_trains_without_a_basis(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    source.write_text(source.read_text().replace("licence:CC0", ""))
    with pytest.raises(UsageError, match="nothing trains"):
        trained(task(source))
    assert not (tmp_path / "run").exists()


def test_who_did_not_consent_or_withdrew_is_left_out_and_counted(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    lines = source.read_text().splitlines()
    source.write_text("\n".join([lines[0], *(one.replace("licence:CC0", "registry:form-1") for one in lines[1:61]),
                                 *lines[61:]]) + "\n")  # fmt: skip
    with Registry(tmp_path / "home" / "consent.sqlite") as registry:
        day = date(2020, 1, 1)
        registry.add([Consent(f"p{k}", Purpose.TRAINING, day, label="form-1") for k in range(29)])
        registry.withdraw("p3")
        registry.withdraw("p39")
    run = trained(task(source))
    assert run.info["left_out"] == {"consent_withdrawn": 4, "no_consent": 2}
    kept = {one["patient_id"] for one in rows(run.folder / "cohort.csv")}
    assert kept == {f"p{k}" for k in range(40)} - {"p3", "p29", "p39"}
    with Registry(tmp_path / "home" / "consent.sqlite") as registry:
        assert {str(one.kind) for one in registry.containing("p5")} == {"run", "package"}
        assert not registry.containing("p3")


def test_cases_of_a_registry_that_is_not_there_are_left_out(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    source.write_text(source.read_text().replace("licence:CC0", "registry:form-1"))
    with pytest.raises(UsageError, match="no case may be used"):
        trained(task(source))


REFUSED: list[tuple[Callable[[str], str], dict[str, Any], type[Exception], str]] = [
    (lambda text: text, {"data": {"label": "diagnosis"}}, UsageError, "unknown label column"),
    (lambda text: text.replace(",ill,", ",well,"), {}, LabelError, "holds one label"),
    (lambda text: text, {"data": {"labels": ["ill", "wel"]}}, LabelError, "did you mean 'well'"),
    (lambda text: text, {"data": {"labels": ["ill"]}}, LabelError, "holds one label"),
    (lambda text: text.replace("p1,", ","), {}, UsageError, "have no patient_id"),
    (lambda text: text, {"split": {"folds": 0}}, UsageError, "nothing is held out"),
    (lambda text: text, {"prior": {"ill": 0.5, "healthy": 0.5}}, UsageError, "prior names other labels"),
    (lambda text: text, {"kind": "regression", "model": {"classical": {"learner": "ridge"}}}, LabelError, "text"),
]


@pytest.mark.parametrize(("edit", "changes", "kind", "said"), REFUSED)
def test_what_cannot_be_trained_is_refused_with_its_reason(
    edit: Callable[[str], str], changes: dict[str, Any], kind: type[Exception], said: str, tmp_path: Path,
    trained: Trainer,
) -> None:  # fmt: skip
    source = table(tmp_path)
    source.write_text(edit(source.read_text()))
    with pytest.raises(kind, match=said):
        trained(task(source, **changes))
    assert not (tmp_path / "run").exists()


def test_a_patient_in_two_parts_by_hand_is_refused(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    lines = source.read_text().splitlines()
    for column, values, said in (("split", ("train", "test"), "train"), ("fold", ("0", "1"), "two folds")):
        divided = [f"{line},{values[row % 2]}" for row, line in enumerate(lines[1:])]
        other = tmp_path / f"{column}.csv"
        other.write_text("\n".join([f"{lines[0]},{column}", *divided]) + "\n")
        with pytest.raises(UsageError, match=said):
            trained(task(other))
        assert trained(task(other, split={"folds": 2, "ignore_table": True}), column).status == "complete"


def test_a_warning_stays_with_everything_when_there_are_no_patients(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    lines = [line.partition(",")[2] for line in source.read_text().splitlines()]
    source.write_text("\n".join(lines) + "\n")
    run = trained(task(source, split={"folds": 2, "no_patient_ids": True}))
    assert "one patient may stand on both sides" in run.warnings[0]
    with open_package(run.package()) as package:
        assert package.card.warnings == run.warnings


def test_a_budget_takes_whole_patients(tmp_path: Path, trained: Trainer) -> None:
    wish = task(table(tmp_path), budget={"small": {"cases": 40}})
    run = trained(wish, budget="small", options={"folds_only": True})
    kept = [one["patient_id"] for one in rows(run.folder / "cohort.csv")]
    assert 20 <= len(kept) <= 40
    assert all(kept.count(one) == 2 for one in kept)


def test_a_folder_is_never_overwritten_unasked(tmp_path: Path, trained: Trainer) -> None:
    source = table(tmp_path)
    trained(task(source), options={"folds_only": True})
    with pytest.raises(OutputExistsError, match="a run stands in"):
        trained(task(source))
    with pytest.raises(UsageError, match="another task_sha256"):
        trained(task(source, seed=5), resume=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="holds no run"):
        trained(task(source), "other", options={"force": True})
    assert trained(task(source, seed=5), options={"force": True}).status == "complete"


def test_a_full_disk_fails_cleanly_and_the_run_goes_on_later(
    tmp_path: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = task(table(tmp_path))
    true, calls = run_fit._keep, []

    def full(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OutputError("cannot write predictions.csv: the disk is full")
        true(*given)

    monkeypatch.setattr(run_fit, "_keep", full)
    with pytest.raises(OutputError, match="the disk is full"):
        trained(wish)
    assert read_run(tmp_path / "run").status == "failed"
    run = trained(wish, resume=True)
    assert run.status == "complete"
    assert "error" not in run.info
    assert len(calls) == 3, "the finished fold was not fitted again"


def test_an_energy_limit_stops_the_run_with_a_mark(
    tmp_path: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = task(table(tmp_path), energy={"limit_kwh": 1.0})
    true = energy.Meter.check
    asked: list[int] = []

    def spent(meter: energy.Meter) -> None:
        asked.append(1)
        if len(asked) == 2:
            raise BudgetSpent("1.2 kWh used, 1 allowed")

    monkeypatch.setattr(energy.Meter, "check", spent)
    run = trained(wish)
    assert run.status == "stopped"
    assert "1.2 kWh used" in run.info["stopped"]
    monkeypatch.setattr(energy.Meter, "check", true)
    more = trained(task(table(tmp_path), energy={"limit_kwh": 5.0}), resume=True)
    assert more.status == "complete"
    assert more.info["energy"]["seconds"] > 0


def test_a_withdrawal_between_two_parts_of_a_run_is_noticed(tmp_path: Path, trained: Trainer) -> None:
    wish = task(table(tmp_path))
    trained(wish, options={"folds_only": True})
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**info, "status": "running"}))
    with Registry(tmp_path / "home" / "consent.sqlite") as registry:
        registry.withdraw("p3")
    with pytest.raises(UsageError, match="not those with which the run began"):
        trained(wish, resume=True)


def test_repeats_and_a_leave_one_site_out_table_are_kept_as_given(tmp_path: Path, trained: Trainer) -> None:
    wish = task(table(tmp_path), split={"folds": 2, "repeats": 2})
    run = trained(wish, options={"folds_only": True})
    held = rows(run.folder / "classical" / "predictions.csv")
    assert len(held) == 160
    cohort = rows(run.folder / "cohort.csv")
    assert {"fold", "fold_1"} <= set(cohort[0])
    again = trained(task(run.folder / "cohort.csv", split={"folds": 5}), "given", options={"folds_only": True})
    assert [one["fold"] for one in rows(again.folder / "cohort.csv")] == [one["fold"] for one in cohort]


def test_real_ultrasound_is_judged_and_packaged(data_root: Path, trained: Trainer) -> None:
    source = data_root / "busi_breast_us"
    wish = task(
        source, data={"clinical": [], "basis": "licence:CC BY 4.0", "labels": ["benign", "malignant"]},
        split={"folds": 2, "no_patient_ids": True, "duplicates": "none"},
        features=["intensity", {"op": "lbp", "grid": 2}],
        prepare=[{"op": "imaging.grey"}, {"op": "imaging.resize", "rows": 48, "columns": 48}],
        budget={"small": {"cases": 60}},
    )  # fmt: skip
    run = trained(wish, budget="small")
    assert run.info["left_out"]["label_not_listed"] > 0
    with open_package(run.package()) as package:
        assert package.card.inputs[0].dimensions == 2
        assert Runner(package).check_golden() <= 1e-6


SCRIPT = """
import os, sys, time
from pathlib import Path
from vesalius.io import atomic
from vesalius.train import energy
from vesalius.train.run import RunOptions, train
energy._tracker = lambda country: None
wait, seen, true = os.environ.get("HOLD", ""), [0], os.replace

def held(source, target):
    # the new file is written whole and not yet in its place
    if wait and Path(target).match(wait):
        Path("holding").touch()
        time.sleep(600)
    true(source, target)

atomic.os.replace = held
train(sys.argv[1], sys.argv[2], resume=True, options=RunOptions(threads=1, home=Path(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True], ids=["classical", "network"])
def test_killed_at_any_moment_a_run_ends_with_the_same_weights(network: bool, tmp_path: Path, data_root: Path) -> None:
    """kill -9 while cases are prepared, between two folds, and while a model is being saved."""
    from vesalius.train.task import task_text

    model: dict[str, Any] = {"classical": {"learner": "forest", "parameters": {"n_estimators": 60}}}
    if network:
        model = {"network": {"name": "plain", "widths": [4, 8], "epochs": 4, "batch": 8, "save_seconds": 0}}
    wish = task(
        data_root / "busi_breast_us", data={"clinical": [], "basis": "licence:CC BY 4.0"}, model=model,
        split={"folds": 2, "no_patient_ids": True, "duplicates": "none"}, features=["intensity"],
        prepare=[{"op": "imaging.grey"}, {"op": "imaging.resize", "rows": 24, "columns": 24}],
    )  # fmt: skip
    (tmp_path / "task.yaml").write_text(task_text(wish))
    whole = _ended(tmp_path, "whole")
    saved = "fit/*/*/*.safetensors" if network else "fit/model.onnx"
    assert _killed(tmp_path, lambda run: (run / "cache").is_dir())
    assert _killed(tmp_path, lambda run: any(run.glob("*/folds/*/done")))
    assert _killed(tmp_path, lambda run: (tmp_path / "holding").exists(), hold=saved)
    assert _ended(tmp_path, "killed") == whole


def _call(folder: Path, name: str, hold: str = "") -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", SCRIPT, "task.yaml", name, "home"]
    environment = {**os.environ, "HOLD": hold}
    return subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )  # fmt: skip


def _ended(folder: Path, name: str) -> dict[str, str]:
    process = _call(folder, name)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told.decode()
    return {one: found["weights_sha256"] for one, found in read_run(folder / name).info["results"].items()}


def _killed(folder: Path, moment: Callable[[Path], bool], hold: str = "") -> bool:
    """Return whether a run was killed at a moment, before its end."""
    process = _call(folder, "killed", hold)
    until = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < until and not moment(folder / "killed"):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_numbers_of_a_fold_come_back_as_they_went(tmp_path: Path) -> None:
    from vesalius.train.learner import Target
    from vesalius.train.run_cohort import RunCases

    scores = np.random.default_rng(0).random((7, 3))
    target = Target("classification", ("a", "b", "c"), np.zeros(7))
    none: Any = None
    cases = RunCases(none, target, np.arange(7), np.zeros((1, 7), dtype=np.int64))
    run_fit._keep(tmp_path, cases, np.arange(7), scores)
    assert np.array_equal(run_fit._kept(tmp_path, 7, cases), scores)
