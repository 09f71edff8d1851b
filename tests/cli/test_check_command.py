"""`vesalius check`: exit codes, files whole or not at all, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from in_process import Run, own_home, run
from PIL import Image

__all__ = ["own_home", "run"]


def pictures(folder: Path, count: int = 16, twin: int | None = None) -> Path:
    """Write a table of small pictures, one patient each; `twin` is a copy of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,label,patient,split,basis"]
    for row in range(count):
        array = np.random.default_rng(0 if row == twin else row).integers(0, 255, (6, 6), np.uint8)
        Image.fromarray(np.kron(array, np.ones((5, 5), np.uint8))).save(folder / f"{row:02d}.png")
        side = "train" if row < count // 2 else "test"
        lines.append(f"{row:02d}.png,{'ab'[row % 2]},p{row},{side},licence:CC0")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_errors_exit_1_and_the_report_is_written(tmp_path: Path, run: Run) -> None:
    table, out = pictures(tmp_path / "data", twin=14), tmp_path / "out"
    called = run("check", table, "--out", out, "--language", "en,zh", "--json")
    assert called.code == 1
    answer = called.answer
    assert answer["error"]["code"] == "incomplete"
    assert {one["kind"] for one in answer["data"]["findings"] if one["level"] == "error"} == {"duplicate_split"}
    assert {path.name for path in out.iterdir()} == {
        "check.json", "shortcut-check.json", "check.en.html", "check.zh.html"
    }  # fmt: skip
    told = json.loads((out / "check.json").read_text())
    assert told["schema"] == "vesalius.check/1"
    assert told["duplicates"][0] == {
        "first": "00.png",
        "second": "14.png",
        "exact": True,
        "likeness": 1.0,
        "turned": "",
    }
    english, chinese = ((out / f"check.{one}.html").read_text() for one in ("en", "zh"))
    assert "show the same and stand in different splits" in english
    assert "数据集检查" in chinese
    assert "train.check" not in english + chinese
    assert "http" not in english.replace("http-equiv", "")


def test_warnings_only_exit_0_and_the_same_check_again_is_no_conflict(tmp_path: Path, run: Run) -> None:
    table, out = pictures(tmp_path / "data"), tmp_path / "out"
    assert run("check", table, "--out", out).code == 0
    assert run("check", table, "--out", out).code == 0
    pictures(tmp_path / "data", twin=3)
    before = (out / "check.json").read_bytes()
    assert run("check", table, "--out", out).code == 2
    assert (out / "check.json").read_bytes() == before
    assert run("check", table, "--out", out, "--force").code in (0, 1)
    assert (out / "check.json").read_bytes() != before


def test_refusals(tmp_path: Path, run: Run) -> None:
    table = pictures(tmp_path / "data")
    assert run("check", tmp_path / "nowhere.csv", "--out", tmp_path / "o").code == 2
    wrong = run("check", table, "--out", tmp_path / "o", "--columns", "label=lable", "--json")
    assert wrong.code == 2
    assert "label" in wrong.answer["error"]["fix"] + wrong.answer["error"]["expected"]
    assert run("check", table, "--out", tmp_path / "o", "--columns", "label").code == 2
    assert run("check", table, "--out", tmp_path / "o", "--draws", "5").code == 2
    assert run("check", table, "--out", table).code == 1
    assert not (tmp_path / "o").exists()
