"""`vesalius info` and `vesalius convert` as a user calls them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from calling import call
from installation import head

Environment = Mapping[str, str]


def test_info_for_people_and_for_programs(environment: Environment, tmp_path: Path) -> None:
    path = head(tmp_path / "one.nii.gz")
    plain = call(environment, "info", path)
    assert plain.code == 0
    assert "26 slices of 28 x 24" in plain.out
    assert "regular grid" in plain.out
    (entry,) = call(environment, "info", path, "--json").answer["data"]["entries"]
    assert (entry["shape"], entry["spacing_mm"], entry["verdict"]) == ([26, 28, 24], [4.0, 4.0, 4.0], "regular")
    assert "regular grid" in " ".join(entry["text"])


def test_info_lists_studies_and_their_series(environment: Environment, data_root: Path) -> None:
    plain = call(environment, "info", data_root / "brain_mri_dicom_udacity")
    assert "T1post" in plain.out
    assert "FLAIR_reg" in plain.out
    entries = call(environment, "info", data_root / "brain_mri_dicom_udacity", "--json").answer["data"]["entries"]
    assert len({entry["study"] for entry in entries}) == 1
    assert [entry["verdict"] for entry in entries] == ["regular"] * 3


@pytest.mark.parametrize(
    ("make", "code", "error"),
    [
        (lambda folder: folder / "absent", 2, "usage"),
        (lambda folder: folder, 1, "nothing_found"),
        (lambda folder: _text(folder / "a.dcm"), 1, "unreadable"),
    ],
)
def test_info_fails_in_one_clear_line(
    environment: Environment, tmp_path: Path, make: object, code: int, error: str
) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    called = call(environment, "info", path, "--json")
    assert (called.code, called.answer["error"]["code"]) == (code, error)
    assert called.answer["error"]["message"]


def test_info_names_an_unreadable_file_once(environment: Environment, tmp_path: Path) -> None:
    _text(tmp_path / "notes.dcm")
    called = call(environment, "info", tmp_path)
    assert called.code == 1
    (line,) = [line for line in called.out.splitlines() if "notes.dcm" in line]
    assert line.count("notes.dcm") == 1
    assert "fix:" in " ".join(called.out.split())


def _text(path: Path) -> Path:
    path.write_text("this is no picture")
    return path


def test_convert_there_and_back(environment: Environment, tmp_path: Path) -> None:
    import nibabel

    path = head(tmp_path / "one.nii.gz")
    called = call(environment, "convert", path, tmp_path / "slices", "--to", "dicom", "--json")
    assert called.code == 0
    assert len(called.answer["data"]["files"]) == 26
    assert called.answer["warnings"]
    back = tmp_path / "back.nii.gz"
    assert call(environment, "convert", tmp_path / "slices", back).code == 0
    before, after = (nibabel.as_closest_canonical(nibabel.load(p)) for p in (path, back))
    assert np.abs(before.affine - after.affine).max() < 1e-3
    assert np.abs(before.get_fdata() - after.get_fdata()).max() < 0.01


def test_convert_does_not_overwrite(environment: Environment, tmp_path: Path) -> None:
    path, out = head(tmp_path / "one.nii.gz"), tmp_path / "out.nrrd"
    out.write_text("mine")
    called = call(environment, "convert", path, out, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "output_exists")
    assert out.read_text() == "mine"
    assert call(environment, "convert", path, out, "--force").code == 0
    assert out.read_bytes().startswith(b"NRRD")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--to", "nifty"), "unknown_name"), (("--geometry", "guess"), "unknown_name"), (("--modality", "US"), "usage")],
)
def test_convert_knows_its_names(
    environment: Environment, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    path = head(tmp_path / "one.nii.gz")
    called = call(environment, "convert", path, tmp_path / "x.nrrd", *arguments, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, code)


def test_convert_regrids_when_told(environment: Environment, tmp_path: Path, data_root: Path) -> None:
    folder = tmp_path / "holes"
    folder.mkdir()
    for number, path in enumerate(sorted((data_root / "brain_mprage_dicom").iterdir())):
        if number != 60:
            (folder / path.name).symlink_to(path)
    refused = call(environment, "convert", folder, tmp_path / "x.nii.gz", "--json")
    assert (refused.code, refused.answer["error"]["code"]) == (1, "irregular_geometry")
    assert "regrid" in refused.answer["error"]["fix"]
    assert call(environment, "convert", folder, tmp_path / "x.nii.gz", "--geometry", "regrid").code == 0
