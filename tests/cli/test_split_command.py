"""`vesalius split`: columns of the table, copies together, refusals."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from in_process import Run, own_home, run
from PIL import Image

__all__ = ["own_home", "run"]


def table(folder: Path, *, patients: bool = True) -> Path:
    """Write 24 cases of 12 patients at 3 sites; pictures 0 and 23 are one."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,Group,patient_id,site"]
    for row in range(24):
        array = np.random.default_rng(row % 23).integers(0, 255, (6, 6), np.uint8)
        Image.fromarray(np.kron(array, np.ones((5, 5), np.uint8))).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{'ab'[row // 2 % 2]},{f'p{row // 2}' if patients else ''},s{row // 2 % 3}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_patients_stay_whole_and_counts_are_told(tmp_path: Path, run: Run) -> None:
    source, out = table(tmp_path / "data"), tmp_path / "divided.csv"
    called = run("split", source, "--out", out, "--columns", "label=Group", "--folds", 3, "--test", 0.25, "--json")
    assert called.code == 0
    data = called.answer["data"]
    assert data["groups"] == 12
    assert sum(one["cases"] for one in data["counts"]) == 24
    assert any("copies" in warning for warning in called.answer["warnings"])
    made = rows(out)
    assert set(made[0]) == {"path", "label", "patient_id", "site", "split", "fold"}
    assert made[5]["path"] == "data/5.png"
    for patient in {one["patient_id"] for one in made}:
        assert len({(one["split"], one["fold"]) for one in made if one["patient_id"] == patient}) == 1
    assert run("split", source, "--out", out, "--columns", "label=Group").code == 2
    shown = run("split", source, "--out", out, "--columns", "label=Group", "--force", "--folds", 3)
    assert "patients" in shown.out


def test_copies_are_kept_together_found_anew_or_told_by_a_check(tmp_path: Path, run: Run) -> None:
    source = table(tmp_path / "data")
    common = ("--columns", "label=Group", "--folds", 3)
    run("check", source, "--columns", "label=Group", "--out", tmp_path / "check")
    for name, told in (("a", "auto"), ("b", tmp_path / "check" / "check.json")):
        out = tmp_path / f"{name}.csv"
        called = run("split", source, "--out", out, *common, "--duplicates", told, "--json")
        assert called.code == 0
        assert called.answer["data"]["copies"] == 1
        assert called.answer["data"]["groups"] == 11
        made = rows(out)
        assert made[0]["fold"] == made[23]["fold"]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_one_site_out(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "sites.csv"
    called = run("split", table(tmp_path / "data"), "--out", out, "--leave-one-out", "site", "--duplicates", "none")
    assert called.code == 0
    assert len({(one["site"], one["fold"]) for one in rows(out)}) == 3


def test_train_val_test_nested_and_repeated(tmp_path: Path, run: Run) -> None:
    source = table(tmp_path / "data")
    parts = tmp_path / "parts.csv"
    assert run("split", source, "--out", parts, "--val", 0.25, "--test", 0.25, "--duplicates", "none").code == 0
    assert {one["split"] for one in rows(parts)} == {"train", "val", "test"}
    nested = tmp_path / "nested.csv"
    given = ("--folds", 3, "--inner-folds", 2, "--repeats", 2, "--stratify", "Group", "--duplicates", "none")
    assert run("split", source, "--out", nested, *given).code == 0
    assert {"fold", "inner_fold", "repeat"} <= set(rows(nested)[0])
    assert len(rows(nested)) == 48


def test_without_patient_ids_it_refuses_or_warns(tmp_path: Path, run: Run) -> None:
    source, out = table(tmp_path / "data", patients=False), tmp_path / "divided.csv"
    refused = run("split", source, "--out", out, "--json")
    assert refused.code == 2
    assert "--no-patient-ids" in refused.answer["error"]["fix"]
    assert not out.exists()
    called = run("split", source, "--out", out, "--no-patient-ids", "--duplicates", "none", "--json")
    assert called.code == 0
    assert any("no patient id" in warning for warning in called.answer["warnings"])


def test_refusals(tmp_path: Path, run: Run) -> None:
    source, out = table(tmp_path / "data"), tmp_path / "divided.csv"
    for given in (
        ("--folds", 1),
        ("--test", 1.5),
        ("--stratify", "grup"),
        ("--folds", 20),
        ("--leave-one-out", "centre"),
    ):
        assert run("split", source, "--out", out, *given).code == 2
    assert run("split", source, "--out", tmp_path / "x.parquet").code == 2
    assert run("split", source, "--out", out, "--duplicates", source).code == 1
    assert not out.exists()
