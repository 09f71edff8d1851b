"""What is found where: folders, zips, files, and everything that is no image."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zipfile
from pathlib import Path

import pytest
from make_dicom import STUDY, along_z, stack

from vesalius.core.errors import NothingFoundError, ReadError
from vesalius.io import identity, load, scan


def test_the_key_of_a_dicom_study_follows_the_contract(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2]))
    (study,) = scan(tmp_path).studies
    assert study.key == hashlib.sha256(b"PLANTED-ID-77\0" + STUDY.encode()).hexdigest()[:12]
    assert study.date == "2024-02-29"


def test_the_key_of_a_file_follows_the_contract(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), path)
    (study,) = scan(tmp_path).studies
    assert study.key == "head-" + hashlib.sha256(b"sub/head.nii.gz").hexdigest()[:6]
    (alone,) = scan(path).studies
    assert alone.key == "head-" + hashlib.sha256(b"head.nii.gz").hexdigest()[:6]
    assert load(alone.series[0]).shape == (5, 4, 3)
    assert identity(alone).patient_id == ""


def test_a_folder_may_mix_formats(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    stack(tmp_path / "dicom", along_z([0, 2, 4]))
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), tmp_path / "b.nii")
    (tmp_path / "broken.nii").write_bytes(b"nothing")
    (tmp_path / "dicom" / "notes.txt").write_text("a note")
    found = scan(tmp_path)
    assert {series.format for study in found.studies for series in study.series} == {"dicom", "nifti"}
    assert [failure.source for failure in found.failed] == ["broken.nii"]
    dicom = next(study for study in found.studies if study.series[0].format == "dicom")
    assert [(path, reason.id) for path, reason in dicom.left_out] == [("dicom/notes.txt", "io.not_an_image")]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match="empty folder"):
        scan(tmp_path)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(NothingFoundError, match=r"readme\.txt"):
        scan(tmp_path)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match="no such file"):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"this is a letter, not an image\n" * 20, "text"), (b"", "empty"), (os.urandom(500), "other")],
)
def test_a_file_named_dcm_that_is_none(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "letter.dcm"
    path.write_bytes(content)
    (failure,) = scan(path).failed
    assert isinstance(failure.error, ReadError)
    assert "letter.dcm" in str(failure.error)
    assert word in str(failure.error)
    (same,) = scan(tmp_path).failed
    assert same.error.code == failure.error.code


def test_an_unreadable_file_beside_a_study_is_left_out_by_name(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2]))
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    (study,) = scan(tmp_path).studies
    (left,) = study.left_out
    assert left[0] == "bad.dcm"
    assert left[1].id == "io.unreadable"


def test_a_zip_is_unpacked_privately_and_removed(tmp_path: Path) -> None:
    stack(tmp_path / "in", along_z([0, 2, 4]))
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((tmp_path / "in").iterdir()):
            archive.write(file, f"study/series/{file.name}")
    with scan(path) as found:
        (study,) = found.studies
        inside = study.series[0].instances[0].path
        root = inside.parents[2]
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        assert study.source == path
        assert load(study.series[0]).shape == (3, 6, 5)
    assert not root.exists()
    assert study.key == scan(tmp_path / "in").studies[0].key


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(b"PK\3\4" + os.urandom(300))
    with pytest.raises(ReadError, match="not a zip"):
        scan(path)


def test_a_gzipped_dicom_file(tmp_path: Path) -> None:
    (source,) = stack(tmp_path / "in", along_z([0]))
    path = tmp_path / "one.dcm.gz"
    path.write_bytes(gzip.compress(source.read_bytes()))
    with scan(path) as found:
        assert load(found.studies[0].series[0]).shape == (1, 6, 5)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ReadError, match="cut short"):
        scan(path)


@pytest.mark.parametrize("keep_meta", [False, True])
def test_files_without_preamble_or_meta_information(tmp_path: Path, keep_meta: bool) -> None:
    from pydicom.data import get_testdata_file

    for name in ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"):
        content = Path(get_testdata_file(name)).read_bytes()
        length = int.from_bytes(content[140:144], "little")
        path = tmp_path / name
        path.write_bytes(content[132 if keep_meta else 144 + length :])
        bare = load(scan(path).studies[0].series[0])
        assert bare.sha256 == load(scan(get_testdata_file(name)).studies[0].series[0]).sha256


def test_links_and_devices_are_passed(tmp_path: Path) -> None:
    stack(tmp_path / "in", along_z([0, 2]))
    os.mkfifo(tmp_path / "in" / "pipe.dcm")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / ".hidden.dcm").write_bytes(b"x")
    (study,) = scan(tmp_path / "in").studies
    assert study.series[0].geometry.shape[0] == 2
    assert study.left_out == ()


def test_the_result_does_not_depend_on_file_names(tmp_path: Path) -> None:
    paths = stack(tmp_path / "a", along_z([0, 2, 4, 6]))
    (tmp_path / "b").mkdir()
    for index, path in enumerate(reversed(paths)):
        (tmp_path / "b" / f"x{index}").write_bytes(path.read_bytes())
    one = load(scan(tmp_path / "a").studies[0].series[0])
    other = load(scan(tmp_path / "b").studies[0].series[0])
    assert one.sha256 == other.sha256
