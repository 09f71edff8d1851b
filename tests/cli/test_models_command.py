"""`vesalius models`, `package` and `predict`: names, exit codes, one JSON object, nothing half-written."""

from __future__ import annotations

import csv
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calling import Called
from in_process import own_home, run
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from small_package import CARD, WEIGHTS, Maker, linear_onnx

from vesalius import keys
from vesalius.models import engines, store
from vesalius.models.card import Runtime
from vesalius.models.package import open_package, write_package

__all__ = ["own_home", "run"]
Run = Callable[..., Called]


@pytest.fixture(autouse=True)
def nothing_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nothing")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_package(tmp_path / "m.vesalius", Maker(tmp_path).parts())
    return tmp_path / "m.vesalius"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "film.png")
    return tmp_path / "film.png"


def test_import_list_info_export(model: Path, tmp_path: Path, run: Run) -> None:
    assert run("models", "list", "--json").answer["data"]["packages"] == []
    answer = run("models", "import", model, "--json").answer["data"]
    assert (answer["name"], answer["version"], answer["status"]) == ("two-labels", "0.1.0", "draft")
    (listed,) = run("models", "list", "--json").answer["data"]["packages"]
    assert listed == answer
    shown = run("models", "list").out
    assert all(word in shown for word in ("two-labels@0.1.0", "draft", "none", "open"))
    told = run("models", "info", "two-labels", "--json").answer["data"]
    assert told["card"]["title"] == CARD.title
    assert "intended_use" in told["missing"]
    assert (
        "image: image (dimensions 2, channels 1, values 0 to 255, size 4 to 64)"
        in run("models", "info", "two-labels").out
    )
    assert run("models", "export", "two-labels@0.1.0", tmp_path / "out.vesalius").code == 0
    assert (tmp_path / "out.vesalius").read_bytes() == model.read_bytes()
    assert run("models", "export", "two-labels", tmp_path / "out.vesalius", "--json").code == 2


def test_verify(model: Path, run: Run) -> None:
    answer = run("models", "verify", model, "--json").answer["data"]
    assert answer["files"] == "intact"
    assert answer["golden"]["largest_error"] <= answer["golden"]["tolerance"]
    assert "every hash holds" in run("models", "verify", model).out


def test_verify_finds_another_result(tmp_path: Path, run: Run) -> None:
    parts = Maker(tmp_path).parts()
    wrong = replace(parts.golden[0], output=parts.golden[0].output[:, ::-1])
    write_package(tmp_path / "p", replace(parts, golden=[wrong]))
    called = run("models", "verify", tmp_path / "p", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "tampered")


def test_bad_packages_are_refused_by_every_command(tmp_path: Path, film: Path, run: Run) -> None:
    write_package(tmp_path / "p", Maker(tmp_path).parts())
    (tmp_path / "p" / "weights.pkl").write_bytes(pickle.dumps(1))
    out = tmp_path / "out"
    for line in (("models", "import", tmp_path / "p"), ("models", "verify", tmp_path / "p"),
                 ("models", "info", tmp_path / "p"), ("predict", tmp_path / "p", film, "--out", out)):  # fmt: skip
        called = run(*line, "--json")
        assert (called.code, called.answer["error"]["code"]) == (1, "unsupported")
        assert "weights.pkl" in called.answer["error"]["found"]
    assert not out.exists()
    (tmp_path / "p" / "weights.pkl").unlink()
    content = (tmp_path / "p" / "linear.onnx").read_bytes()
    (tmp_path / "p" / "linear.onnx").write_bytes(content + b"\0")
    called = run("predict", tmp_path / "p", film, "--out", out, "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "tampered")
    assert not out.exists()


def test_trust_a_key(model: Path, tmp_path: Path, run: Run) -> None:
    key = keys.create("signing", tmp_path / "k")
    write_package(model, Maker(tmp_path).parts(), key=key, force=True)
    assert run("models", "import", model, "--json").answer["data"]["signature"] == "untrusted"
    assert run("models", "trust", tmp_path / "k", "--json").code == 1
    assert run("models", "trust", keys.public_path(tmp_path / "k"), "--json").answer["data"]["id"] == key.id
    assert run("models", "list", "--json").answer["data"]["packages"][0]["signature"] == "trusted"


def test_measure_in_processes_of_their_own(model: Path, run: Run) -> None:
    data = run("models", "measure", model, "--json").answer["data"]
    names = {one["name"] for one in data["runtimes"]}
    assert "onnxruntime" in names
    assert names | set(data["failures"]) == set(engines.installed())
    assert "torch" not in names
    assert all(one["largest_error"] <= data["tolerance"] for one in data["runtimes"])


def test_predict_by_name(model: Path, film: Path, tmp_path: Path, run: Run) -> None:
    run("models", "import", model)
    called = run("predict", "two-labels", film, "--out", tmp_path / "out", "--json")
    data = called.answer["data"]
    assert called.code == 0
    assert called.answer["warnings"] == [data["watermark"]]
    assert data["package"]["status"] == "draft"
    with (tmp_path / "out" / "predictions.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["outcome"] == "completed"
    assert "film.png: completed" in run("predict", "two-labels", film, "--out", tmp_path / "out").out
    called = run("predict", "two-lables", film, "--out", tmp_path / "out", "--json")
    assert (called.code, called.answer["error"]["fix"]) == (2, "did you mean 'two-labels'?")


def test_exit_codes_of_predict(model: Path, film: Path, tmp_path: Path, run: Run) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(large)
    assert run("predict", model, film, large, "--out", tmp_path / "a").code == 0
    called = run("predict", model, film, large, "--out", tmp_path / "a", "--strict", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "incomplete")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    called = run("predict", model, film, bad, "--out", tmp_path / "b", "--json")
    assert (called.code, called.answer["data"]["outcomes"]["failed"]) == (1, 1)
    assert len((tmp_path / "b" / "predictions.csv").read_text().splitlines()) == 3
    assert run("predict", model, film, "--out", tmp_path / "b").code == 2
    assert run("predict", model, film, "--out", tmp_path / "b", "--force").code == 0
    assert run("predict", model, tmp_path / "absent.png", "--out", tmp_path / "c").code == 2
    assert run("predict", model, film, "--columns", "a=b", "--out", tmp_path / "c").code == 2
    assert run("predict", model, film, "--runtime", "tensorflow", "--out", tmp_path / "c").code == 2
    assert run("predict", model, film, "--out", film, "--json").answer["error"]["code"] == "output"
    assert not (tmp_path / "c").exists()


def test_a_licence_is_accepted_by_its_class(film: Path, tmp_path: Path, run: Run) -> None:
    card = CARD.model_copy(update={"licence": "research"})
    write_package(tmp_path / "p", Maker(tmp_path).parts(card))
    line = ("predict", tmp_path / "p", film, "--out", tmp_path / "out", "--json")
    called = run(*line)
    assert (called.code, called.answer["error"]["code"]) == (2, "licence")
    assert run(*line, "--accept-licence", "unclear").code == 2
    assert run(*line, "--accept-licence", "research").code == 0
    assert run("models", "import", tmp_path / "p").code == 0


def finished_run(folder: Path, *, winner: str = "network", status: str = "complete") -> Path:
    """Write what `vesalius train` leaves, with two final packages."""
    for name in ("network", "baseline"):
        card = CARD.model_copy(update={"title": f"The {name}"})
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_package(folder / name / "final", Maker(folder).parts(card), force=True)
    about = {"schema": "vesalius.run/1", "status": status, "candidates": ["network", "baseline"], "winner": winner}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "cohort.csv").write_text("path,label\n../a.png,dark\n../b.png,bright\n")
    return folder


ADDED = """\
version: 1.2.0
intended_use: a second look
not_for: [children]
limits: {auc_gap: 0.05}
"""


def test_package_of_a_run(tmp_path: Path, run: Run) -> None:
    folder = finished_run(tmp_path / "run")
    (tmp_path / "card.yaml").write_text(ADDED)
    key = keys.create("signing", tmp_path / "k")
    out = tmp_path / "m.vesalius"
    data = run("package", folder, "--card", tmp_path / "card.yaml", "--sign", tmp_path / "k", "--out", out,
               "--json").answer["data"]  # fmt: skip
    assert (data["candidate"], data["status"], data["version"], data["signed_by"]) == (
        "network", "draft", "1.2.0", key.id
    )  # fmt: skip
    with open_package(out) as package:
        card = package.card
        assert package.signature.key_id == key.id
        assert package.read("linear.onnx") == linear_onnx(WEIGHTS)
    assert (card.title, card.intended_use, card.not_for) == ("The network", "a second look", ("children",))
    assert card.limits == {"auc_gap": 0.05}
    assert {one.name for one in card.runtimes} >= {"onnxruntime"}
    assert all(isinstance(one, Runtime) for one in card.runtimes)
    assert run("package", folder, "--out", out, "--json").code == 2
    called = run("package", folder, "--candidate", "baseline", "--no-measure", "--force", "--out", out, "--json")
    assert called.answer["data"]["runtimes"] == []
    with open_package(out) as package:
        assert package.card.title == "The baseline"


@pytest.mark.parametrize(("change", "code", "part"), [
    ({"status": "running"}, 1, "not finished"), ({"winner": "nobody"}, 0, ""),
])  # fmt: skip
def test_package_of_a_run_in_another_state(
    tmp_path: Path, run: Run, change: dict[str, str], code: int, part: str
) -> None:
    folder = finished_run(tmp_path / "run", **change)
    called = run("package", folder, "--no-measure", "--out", tmp_path / "m", "--json")
    assert called.code == code
    assert part in str(called.answer["error"])
    assert (tmp_path / "m").exists() == (code == 0)


def test_package_says_what_is_wrong(tmp_path: Path, run: Run) -> None:
    folder, out = finished_run(tmp_path / "run"), tmp_path / "m"
    for content, part in (
        ("status: released\n", "unknown key 'status'"), ("intended_us: x\n", "did you mean 'intended_use'"),
        ("tolerance: 7\n", "tolerance"),
        ("operating_points: [{label: green, threshold: 0.5}]\n", "no label of this model"),
    ):  # fmt: skip
        (tmp_path / "card.yaml").write_text(content)
        called = run("package", folder, "--card", tmp_path / "card.yaml", "--no-measure", "--out", out)
        assert called.code == 2
        assert part in called.err
    assert run("package", tmp_path, "--out", out).code == 1
    assert run("package", folder, "--candidate", "classical", "--out", out).code == 2
    assert not out.exists()


def test_evidence_is_bound_to_the_weights_and_to_the_cases(tmp_path: Path, run: Run) -> None:
    from vesalius.governance.ethics import Evidence, Standing, review

    folder, out = finished_run(tmp_path / "run"), tmp_path / "m"
    for name in ("a", "b"):
        Image.fromarray(np.random.default_rng(ord(name)).integers(0, 255, (9, 9), np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    table = tmp_path / "labels.csv"
    table.write_text("path,label,patient_id,basis\na.png,dark,1,licence:CC0\nb.png,bright,2,licence:CC0\n")
    run("check", table, "--out", tmp_path / "check")
    line = ("package", folder, "--evidence", tmp_path / "check", "--no-measure", "--out", out, "--json")
    assert run(*line).answer["data"]["evidence"] == ["shortcut-check.json"]
    with open_package(out) as package:
        items = {one.id: one for one in review(package, Evidence()).items}
    tests = json.loads((tmp_path / "check" / "shortcut-check.json").read_text())["tests"]
    expected = Standing.MET if tests and all(one["passed"] for one in tests) else Standing.MISSING
    assert items["shortcut_check"].standing is expected
    (folder / "cohort.csv").write_text("path,label\n../a.png,dark\n../other.png,bright\n")
    called = run(*line, "--force")
    assert (called.code, called.answer["error"]["found"]) == (2, "1 of 2 cases not checked")
    called = run("package", folder, "--evidence", tmp_path / "run", "--out", tmp_path / "n", "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")


def test_ethics_takes_names_of_the_store(model: Path, run: Run) -> None:
    run("models", "import", model)
    assert run("ethics", "review", "two-labels", "--json").answer["error"]["code"] == "access_denied"


TASK = """\
name: small-films
title: Small chest films
kind: classification
data: {{table: {table}, labels: {{"0": normal, "1": pneumonia}}, licence: open, basis: "licence:CC BY 4.0"}}
split: {{folds: 3, test: 0.3, no_patient_ids: true, duplicates: none}}
prepare: [{{op: imaging.grey}}]
features: [{{op: features.radiomics, families: [stat, cm]}}]
model: {{classical: {{learner: logistic}}}}
budget: {{small: {{cases: 150}}}}
"""


@pytest.mark.slow
def test_from_a_task_to_predictions_that_are_those_of_the_run(data_root: Path, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("skl2onnx")
    table = data_root / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
    (tmp_path / "task.yaml").write_text(TASK.format(table=table))
    assert run("train", tmp_path / "task.yaml", "--out", tmp_path / "run", "--budget", "small").code == 0
    assert run("package", tmp_path / "run", "--out", tmp_path / "m.vesalius").code == 0
    assert run("models", "import", tmp_path / "m.vesalius").code == 0
    with (tmp_path / "run" / "classical" / "test.csv").open() as file:
        held_out = list(csv.DictReader(file))
    cases = [f"{table}#{row['path'].partition('#')[2]}" for row in held_out]
    assert run("predict", "small-films", *cases, "--out", tmp_path / "out").code == 0
    with (tmp_path / "out" / "predictions.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["predicted"] for row in found] == [row["predicted"] for row in held_out]
    for name in ("p_normal", "p_pneumonia"):
        np.testing.assert_allclose([float(row[name]) for row in found], [float(row[name]) for row in held_out],
                                   atol=1e-5)  # fmt: skip
