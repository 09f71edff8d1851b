"""`vesalius train`: what it prints, its exit codes, what `split` leaves out."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from in_process import Run, own_home, run

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

from tasks import table, task

__all__ = ["own_home", "run"]


@pytest.fixture(autouse=True)
def no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's energy meter out of the tests."""
    from vesalius.train import energy

    monkeypatch.setattr(energy, "_tracker", lambda country: None)


def task_file(folder: Path, **changes: object) -> Path:
    from vesalius.train.task import task_text

    path = folder / "task.yaml"
    path.write_text(task_text(task(table(folder), **changes)))
    return path


def test_a_run_is_told_as_one_object(tmp_path: Path, run: Run) -> None:
    called = run("train", task_file(tmp_path), "--out", tmp_path / "run", "--threads", 1, "--json")
    assert called.code == 0
    data = called.answer["data"]
    assert data["status"] == "complete"
    assert data["winner"] == "classical"
    assert data["energy"]["method"] == "estimated"
    assert "fold 1 of 2" in called.err


def test_people_see_figures_with_intervals_and_the_package(tmp_path: Path, run: Run) -> None:
    called = run("train", task_file(tmp_path), "--out", tmp_path / "run", "-q")
    assert called.code == 0
    assert "balanced accuracy" in called.out
    assert " to " in called.out
    assert str(tmp_path / "run" / "classical" / "final") in called.out
    assert called.err == ""


def test_a_second_run_needs_a_word(tmp_path: Path, run: Run) -> None:
    path = task_file(tmp_path)
    assert run("train", path, "--out", tmp_path / "run", "--folds-only").code == 0
    refused = run("train", path, "--out", tmp_path / "run", "--json")
    assert (refused.code, refused.answer["error"]["code"]) == (2, "output_exists")
    assert "--resume" in refused.answer["error"]["fix"]
    assert run("train", path, "--out", tmp_path / "run", "--resume", "-q").code == 0
    assert (tmp_path / "run" / "classical" / "final" / "card.yaml").is_file()


def test_data_replaces_the_table_of_the_task(tmp_path: Path, run: Run) -> None:
    path = task_file(tmp_path)
    other = table(tmp_path / "other", patients=24)
    called = run("train", path, "--data", other, "--out", tmp_path / "run", "--folds-only", "--json")
    assert called.answer["data"]["cases"] == 48


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--budget", "tiny"), 2, "no budget 'tiny'"),
        (("--data", "nowhere.csv"), 2, "no such cohort"),
    ],
)
def test_wrong_usage_is_exit_two(tmp_path: Path, run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    called = run("train", task_file(tmp_path), "--out", tmp_path / "run", *arguments)
    assert called.code == code
    assert said in called.err
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_the_task_names_its_line(tmp_path: Path, run: Run) -> None:
    path = task_file(tmp_path)
    path.write_text(path.read_text() + "sede: 3\n")
    called = run("train", path, "--out", tmp_path / "run", "--json")
    assert called.code == 2
    assert "line" in called.answer["error"]["message"]
    assert called.answer["error"]["fix"] == "did you mean 'seed'?"


def test_an_energy_limit_ends_with_exit_one(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.train import energy

    monkeypatch.setattr(energy.Meter, "used", lambda meter: energy.Used(2.0, None, "estimated", 1.0))
    path = task_file(tmp_path, energy={"limit_kwh": 1.0})
    called = run("train", path, "--out", tmp_path / "run", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "incomplete")
    assert called.answer["data"]["status"] == "stopped"


def test_split_leaves_out_who_may_not_be_trained_on(tmp_path: Path, run: Run) -> None:
    source = table(tmp_path)
    lines = source.read_text().splitlines()
    source.write_text("\n".join([lines[0], lines[1].replace("licence:CC0", ""), *lines[2:]]) + "\n")
    out = tmp_path / "divided.csv"
    called = run("split", source, "--out", out, "--folds", 2, "--duplicates", "none", "--json")
    assert called.answer["data"]["left_out"] == {"no_basis": 1}
    with out.open() as stream:
        assert len(list(csv.DictReader(stream))) == 79


def test_split_says_when_training_will_refuse(tmp_path: Path, run: Run) -> None:
    source = table(tmp_path)
    source.write_text(source.read_text().replace("licence:CC0", ""))
    out = tmp_path / "divided.csv"
    called = run("split", source, "--out", out, "--folds", 2, "--duplicates", "none", "--json")
    assert called.code == 0
    assert any("train will refuse" in warning for warning in called.answer["warnings"])
