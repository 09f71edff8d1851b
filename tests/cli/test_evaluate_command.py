"""`vesalius evaluate` as people and programs call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import Run, own_home, run

from run_folders import LABELS, drawn, patient_folds, small_package, written

__all__ = ["own_home", "run"]

QUICK = ("--draws", "200", "--formats", "csv,json")


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    cohort, good, worse = drawn(60)
    scores = {"network": good, "baseline": worse}
    return written(tmp_path / "run", cohort, LABELS, scores, fold=patient_folds(cohort))


def told(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_run_is_judged_and_written(run: Run, trained: Path, tmp_path: Path) -> None:
    called = run("evaluate", trained, "--out", tmp_path / "out", *QUICK, "--json")
    assert called.code == 0
    data = told(called.out)["data"]
    assert {Path(one).name for one in data["files"]} == {"figures.csv", "evaluation.json"}
    assert [part["candidate"] for part in data["parts"]] == ["network", "baseline"]
    whole = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert whole["parts"][0]["figures"] == data["parts"][0]["figures"]
    again = run("evaluate", trained, "--out", tmp_path / "out", *QUICK, "--json")
    assert again.code == 0


def test_people_see_figures_and_who_won(run: Run, trained: Path, tmp_path: Path) -> None:
    called = run("evaluate", trained, "--out", tmp_path / "out", *QUICK, "--point", "threshold=0.4")
    assert called.code == 0
    assert "Balanced accuracy" in called.out
    assert "better: network" in called.out
    assert "threshold 0.4" in (tmp_path / "out" / "figures.csv").read_text(encoding="utf-8")


def test_other_content_needs_force(run: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("evaluate", trained, "--out", out, *QUICK).code == 0
    other = run("evaluate", trained, "--out", out, *QUICK, "--seed", "1")
    assert other.code == 2
    assert run("evaluate", trained, "--out", out, *QUICK, "--seed", "1", "--force").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to evaluate"),
        (("RUN", "--subgroup", "scaner"), 2, "scaner"),
        (("RUN", "--point", "recall=0.9"), 2, "operating point"),
        (("RUN", "--point", "sensitivity=often"), 2, "operating point"),
        (("RUN", "--positive", "sick"), 2, "no such label"),
        (("RUN", "--draws", "10"), 2, "too few draws"),
        (("RUN", "--data", "table.csv"), 2, "--data is for packages"),
        (("RUN", "--formats", "docx"), 2, "docx"),
        (("RUN", "--control", "RUN"), 2, "random labels"),
        (("nowhere",), 2, "nowhere"),
    ],
)
def test_wrong_usage(run: Run, trained: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    given = [str(trained) if one == "RUN" else one for one in words]
    called = run("evaluate", *given, "--out", tmp_path / "out")
    assert called.code == code
    assert said in called.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_stopped(run: Run, trained: Path, tmp_path: Path) -> None:
    path = trained / "run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"complete"', '"stopped"'), encoding="utf-8")
    called = run("evaluate", trained, "--out", tmp_path / "out", "--json")
    assert called.code == 1
    assert told(called.out)["error"]["found"] == "stopped"


def pictures(folder: Path, label: str = "label") -> Path:
    from PIL import Image

    folder.mkdir()
    lines = [f"path,{label},patient_id"]
    for row in range(24):
        array = np.random.default_rng(row).integers(0, 90, (6, 8)) + 120 * (row % 2)
        Image.fromarray(array.astype(np.uint8)).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{('dark', 'bright')[row % 2]},p{row}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "table.csv"


def test_a_package_on_a_table(run: Run, tmp_path: Path) -> None:
    package, table = small_package(tmp_path / "pack"), pictures(tmp_path / "images", "kind")
    wrong = run("evaluate", package, "--data", table, "--out", tmp_path / "out", *QUICK)
    assert wrong.code == 1
    assert "no column label" in wrong.err
    called = run("evaluate", package, "--data", table, "--columns", "label=kind", "--out", tmp_path / "out", *QUICK,
                 "--no-shift", "--json")  # fmt: skip
    assert called.code == 0
    data = told(called.out)["data"]
    assert data["parts"][0]["data"] == "external"
    assert data["parts"][0]["outcomes"]["completed"] == 24
    assert data["shift"] == []
    assert run("evaluate", package, "--out", tmp_path / "other").code == 2


def test_a_tampered_package(run: Run, tmp_path: Path) -> None:
    package, table = small_package(tmp_path / "pack"), pictures(tmp_path / "images")
    with (package / "card.yaml").open("a", encoding="utf-8") as stream:
        stream.write("summary: better\n")
    called = run("evaluate", package, "--data", table, "--out", tmp_path / "out", "--json")
    assert called.code == 1
    assert not (tmp_path / "out").exists()


def test_a_self_test_needs_images(run: Run, tmp_path: Path) -> None:
    table = pictures(tmp_path / "images")
    called = run("evaluate", "--self-test", table, "--out", tmp_path / "out")
    assert called.code == 2
    assert "too few images" in called.err


@pytest.mark.slow
def test_the_self_test_catches_everything(run: Run, data_root: Path, tmp_path: Path) -> None:
    source = data_root / "busi_breast_us"
    if not source.is_dir():
        pytest.skip("busi_breast_us is not there")
    called = run("evaluate", "--self-test", source, "--out", tmp_path / "out", "--language", "en,zh", "--json")
    assert called.code == 0
    data = told(called.out)["data"]
    assert data["caught"] == data["planted"] >= 10
    assert data["false_alarms"] == 0
    assert (tmp_path / "out" / "self_test.zh.html").is_file()
