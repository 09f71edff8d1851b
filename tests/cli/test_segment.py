"""`vesalius segment` as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from calling import call
from in_process import Run, own_home, run, saved

from vesalius.features.masks import read_mask_file
from vesalius.segment.methods import METHODS

__all__ = ["own_home", "run"]

Tool = Callable[[str], str]


def picture(path: Path) -> Path:
    """Write a bright box of 8 x 20 x 20 with noise, 1.5 x 1 x 1 mm."""
    array = np.random.default_rng(0).normal(100, 10, (14, 40, 36))
    array[3:11, 10:30, 8:28] += 300
    return saved(path, array.astype(np.int16), (1.5, 1.0, 1.0))


def truth() -> np.ndarray:
    """Return where the box is."""
    inside = np.zeros((14, 40, 36), bool)
    inside[3:11, 10:30, 8:28] = True
    return inside


def test_a_label_file_with_its_table(own_home: Mapping[str, str], tmp_path: Path) -> None:
    source, out = picture(tmp_path / "i.nii.gz"), tmp_path / "m.nii.gz"
    called = call(own_home, "segment", "otsu", source, out, "--json")
    data = called.answer["data"]
    assert data["files"] == [str(out), str(tmp_path / "m.labels.json")]
    (segment,) = data["segments"]
    assert segment["voxels"] == truth().sum()
    assert segment["volume_ml"] == pytest.approx(truth().sum() * 1.5 / 1000)
    mask = read_mask_file(out).masks[0]
    assert np.array_equal(mask.array > 0, truth())
    assert mask.segments[1].name == segment["name"]


def test_nothing_is_overwritten_and_the_same_call_repeats(run: Run, tmp_path: Path) -> None:
    source, out = picture(tmp_path / "i.nii.gz"), tmp_path / "m.nrrd"
    assert run("segment", "otsu", source, out).code == 0
    before = out.read_bytes()
    assert run("segment", "otsu", source, out).code == 0
    called = run("segment", "range", source, out, "--low", 380, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "output_exists")
    assert out.read_bytes() == before
    assert run("segment", "range", source, out, "--low", 380, "--force").code == 0
    assert out.read_bytes() != before
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_dicom_in_gives_dicom_objects_that_others_accept(run: Run, tmp_path: Path, tool: Tool) -> None:
    import subprocess

    source = picture(tmp_path / "i.nii.gz")
    assert run("convert", source, tmp_path / "ct", "--to", "dicom", "--modality", "CT").code == 0
    assert run("segment", "otsu", tmp_path / "ct", tmp_path / "out").code == 0
    assert run("segment", "otsu", tmp_path / "ct", tmp_path / "out", "--to", "rtstruct").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["otsu_rtstruct.dcm", "otsu_seg.dcm"]
    for path in (tmp_path / "out").iterdir():
        told = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in told.stderr + told.stdout
    mask = read_mask_file(tmp_path / "out" / "otsu_seg.dcm").masks[0]
    assert np.count_nonzero(mask.array) == truth().sum()
    called = run("segment", "otsu", source, tmp_path / "no", "--to", "seg", "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")
    assert "convert IN first" in called.err


def test_masks_and_places_as_parameters(run: Run, tmp_path: Path) -> None:
    source = picture(tmp_path / "i.nii.gz")
    half = np.zeros((14, 40, 36), np.uint8)
    half[:, :20] = 1
    within = saved(tmp_path / "w.nii.gz", half, (1.5, 1.0, 1.0))
    out = tmp_path / "m.nii.gz"
    assert run("segment", "range", source, out, "--low", 250, "--within", within).code == 0
    assert np.array_equal(read_mask_file(out).masks[0].array > 0, truth() & (half > 0))
    seeds = ("--seeds", "index:5,20,20", "--low", 250)
    called = run("segment", "connected", source, out, *seeds, "--force")
    assert called.code == 0, called.err
    assert np.array_equal(read_mask_file(out).masks[0].array > 0, truth())
    called = run("segment", "connected", source, tmp_path / "n.nii.gz", "--seeds", "500,0,0", "--low", 250, "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "geometry")
    assert "LPS mm" in called.err
    cleaned = run("segment", "erode", out, tmp_path / "e.nii.gz", "--radius-mm", 1.6, "--json")
    assert cleaned.code == 0, cleaned.err
    assert 0 < cleaned.answer["data"]["segments"][0]["voxels"] < truth().sum()


def test_a_picture_without_pixel_size(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    grey = np.full((40, 50), 40, np.uint8)
    grey[10:30, 15:35] = 200
    Image.fromarray(grey).save(tmp_path / "i.png")
    called = run("segment", "otsu", tmp_path / "i.png", tmp_path / "m.nrrd", "--json")
    assert called.code == 0, called.err
    assert called.answer["data"]["segments"][0] | {"volume_ml": None} == called.answer["data"]["segments"][0]
    assert called.answer["data"]["segments"][0]["voxels"] == 400
    called = run("segment", "niblack", tmp_path / "i.png", tmp_path / "n.nrrd", "--window-mm", 5, "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "unknown_spacing")
    spaced = ("--window-mm", 5, "--spacing-mm", 0.5)
    assert run("segment", "niblack", tmp_path / "i.png", tmp_path / "n.nrrd", *spaced).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code", "word"),
    [
        (("otsuu", "i.nii.gz", "m.nii.gz"), "unknown_name", 2, "otsu"),
        (("otsu", "none.nii.gz", "m.nii.gz"), "usage", 2, "none.nii.gz"),
        (("otsu", "i.nii.gz", "m.png"), "usage", 2, ".nii.gz"),
        (("otsu", "i.nii.gz", "m.nii.gz", "--side", "beside"), "unknown_name", 2, "below"),
        (("otsu", "i.nii.gz", "m.nii.gz", "--to", "gif"), "unknown_name", 2, "rtstruct"),
        (("otsu", "i.nii.gz", "m.nii.gz", "--geometry", "bend"), "unknown_name", 2, "regrid"),
        (("otsu", "i.nii.gz", "m.nii.gz", "--within", "empty.nii.gz"), "label", 1, "empty"),
        (("otsu", "nan.nii.gz", "m.nii.gz"), "image_content", 1, "fix"),
        (("hysteresis", "i.nii.gz", "m.nii.gz"), "usage", 2, "--low"),
        (("erode", "nan.nii.gz", "m.nii.gz", "--radius-mm", "2"), "image_content", 1, "whole numbers"),
    ],
)
def test_bad_input_names_what_to_do(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: str, exit_code: int, word: str
) -> None:
    picture(tmp_path / "i.nii.gz")
    saved(tmp_path / "empty.nii.gz", np.zeros((14, 40, 36), np.uint8), (1.5, 1.0, 1.0))
    broken = np.ones((14, 40, 36), np.float32)
    broken[2, 2, 2] = np.nan
    saved(tmp_path / "nan.nii.gz", broken)
    placed = [tmp_path / one if "." in one else one for one in arguments]
    called = run("segment", *placed, "--json")
    assert (called.code, called.answer["error"]["code"]) == (exit_code, code), called.out
    assert word in called.err
    assert not list(tmp_path.glob("m.*"))


def test_the_list_is_the_table_and_every_method_has_help(run: Run) -> None:
    listed = run("segment", "list", "--json").answer["data"]["methods"]
    assert [one["name"] for one in listed] == list(METHODS)
    assert json.dumps(listed)
    shown = run("segment", "--help").out
    for name, method in METHODS.items():
        assert name in shown
        told = run("segment", name, "--help")
        assert told.code == 0
        assert all(parameter.option in told.out for parameter in method.parameters), name
