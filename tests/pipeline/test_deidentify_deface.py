"""Whole runs that remove faces: every series of a head, what is quarantined, resume, and the marks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "privacy"))

from deid_objects import HEADERS, KEYED, image, stored
from face_objects import face, head, series, slice_of

from vesalius.core.errors import UsageError
from vesalius.core.volume import Volume
from vesalius.io import nifti
from vesalius.pipeline.deidentify import Request, Summary, deidentify, work
from vesalius.privacy import deface_files
from vesalius.privacy.deface import FaceDoubtError

SHOWN = range(36, 46)


@pytest.fixture(scope="module")
def painted() -> Volume:
    return head()


@pytest.fixture(autouse=True)
def located(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the face be known where ten slices and more are given; the atlas is laid on heads in other tests."""
    calls: list[int] = []

    def locate(volume: Volume) -> Any:
        calls.append(1)
        if volume.shape[0] < len(SHOWN):
            raise FaceDoubtError("too few slices, or too small, to find a head")
        return face()

    monkeypatch.setattr(deface_files, "locate", locate)
    cached = (deface_files.face_of, deface_files.face_is_there, deface_files._of_series)
    for one in cached:
        one.cache_clear()
    yield calls
    for one in cached:
        one.cache_clear()


def run(root: Path, **more: Any) -> Summary:
    """Run over `root/in` in this process, faces removed."""
    given: dict[str, Any] = {"profile": HEADERS, "workers": 0, "deface": True, **more}
    return deidentify(Request(root / "in", root / "out", KEYED, **given))


def results(summary: Summary) -> list[str]:
    return [str(line.result) for line in summary.lines]


def objects(folder: Path) -> list[pydicom.Dataset]:
    return sorted((pydicom.dcmread(p) for p in folder.rglob("*.dcm")), key=lambda data: int(data.InstanceNumber))


def test_all_slices_of_a_head_lose_the_face_and_nothing_else(
    painted: Volume, tmp_path: Path, located: list[int]
) -> None:
    series(painted, tmp_path / "in", SHOWN)
    summary = run(tmp_path)
    assert results(summary) == ["written"] * len(SHOWN)
    assert len(located) == 1
    gone = face().removed(np.asarray(painted.affine), painted.shape)
    for data in objects(tmp_path / "out"):
        index = int(data.InstanceNumber)
        assert np.array_equal(data.pixel_array, np.where(gone[index], 0, painted.array[index]))
        codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
        assert "113102" in codes
        assert data.RecognizableVisualFeatures == "NO"
    assert all("nose 50" in line.message and "113102" in line.codes for line in summary.lines)


def test_series_in_the_same_frame_of_reference_share_the_face(painted: Volume, tmp_path: Path) -> None:
    series(painted, tmp_path / "in" / "t1", SHOWN)
    series(painted, tmp_path / "in" / "few", range(40, 43), SeriesInstanceUID="1.2.3.7", SeriesDescription="FLAIR")
    assert results(run(tmp_path)) == ["written"] * (len(SHOWN) + 3)


@pytest.mark.parametrize("told", [{"FrameOfReferenceUID": "1.2.3.99"}, {"FrameOfReferenceUID": ""}])
def test_series_that_shows_too_little_is_quarantined(painted: Volume, tmp_path: Path, told: dict[str, str]) -> None:
    series(painted, tmp_path / "in" / "t1", SHOWN)
    series(painted, tmp_path / "in" / "x", range(40, 43), SeriesInstanceUID="1.2.3.7", **told)
    summary = run(tmp_path)
    assert sorted(results(summary)) == ["quarantined"] * 3 + ["written"] * len(SHOWN)
    assert len(objects(tmp_path / "out")) == len(SHOWN)
    assert {line.message for line in summary.lines if line.result == "quarantined"} == {
        "too few slices, or too small, to find a head"
    }


def test_localizers_and_captures_of_a_head_are_quarantined(painted: Volume, tmp_path: Path) -> None:
    series(painted, tmp_path / "in" / "t1", SHOWN)
    planning = slice_of(painted, 60, SeriesInstanceUID="1.2.3.8", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    stored(planning, tmp_path / "in" / "localizer.dcm")
    capture = image(90, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT", SeriesInstanceUID="1.2.3.9")
    stored(capture, tmp_path / "in" / "surface.dcm")
    summary = run(tmp_path)
    assert sorted(results(summary)) == ["quarantined"] * 2 + ["written"] * len(SHOWN)
    for data in objects(tmp_path / "out.quarantine"):
        assert "113102" not in [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
        assert "RecognizableVisualFeatures" not in data


def test_slices_that_tell_no_region_are_never_kept_unseen(painted: Volume, tmp_path: Path) -> None:
    silent: dict[str, Any] = {"BodyPartExamined": "", "StudyDescription": "", "SeriesDescription": "AX 3D"}
    series(painted, tmp_path / "in", range(40, 43), **silent)
    assert results(run(tmp_path)) == ["quarantined"] * 3


def test_other_parts_of_the_body_are_written_as_they_are(painted: Volume, tmp_path: Path, located: list[int]) -> None:
    stored(image(1), tmp_path / "in" / "1.dcm")
    assert results(run(tmp_path)) == ["written"]
    assert not located
    assert "RecognizableVisualFeatures" not in objects(tmp_path / "out")[0]


def test_run_that_was_killed_goes_on_to_the_same_result(
    painted: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        series(painted, root / "in", SHOWN)
        series(painted, root / "in" / "b", SHOWN, SeriesInstanceUID="1.2.3.7", SeriesDescription="FLAIR")
    run(one)
    original, calls = work._one, []

    def dying(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == len(SHOWN) + 4:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(work, "_one", dying)
    with pytest.raises(KeyboardInterrupt):
        run(other)
    monkeypatch.setattr(work, "_one", original)
    again = run(other)
    assert again.done_before == len(SHOWN)
    whole, resumed = (
        {str(p.relative_to(root / "out")): p.read_bytes() for p in (root / "out").rglob("*.dcm")}
        for root in (one, other)
    )
    assert whole == resumed


def test_another_slice_in_the_series_does_all_of_it_again(painted: Volume, tmp_path: Path) -> None:
    series(painted, tmp_path / "in", SHOWN)
    run(tmp_path)
    series(painted, tmp_path / "in", range(SHOWN.stop, SHOWN.stop + 1))
    assert run(tmp_path).done_before == 0


def test_nifti_of_a_head_loses_its_face_or_is_quarantined(painted: Volume, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    nifti.write(painted, tmp_path / "in" / "t1.nii.gz")
    nifti.write(painted.crop((40, 0, 0), (44, *painted.shape[1:])), tmp_path / "in" / "brain.nii.gz")
    summary = run(tmp_path)
    assert results(summary) == ["quarantined", "written"]
    after = nifti.read(next((tmp_path / "out").glob("*.nii.gz")))
    gone = face().removed(np.asarray(painted.affine), painted.shape)
    assert np.array_equal(after.reorient(painted.orientation).array, np.where(gone, 0, painted.array))
    assert next((tmp_path / "out.quarantine").glob("*.nii.gz")).stat().st_mode & 0o777 == 0o600


def test_statement_that_there_is_no_face_is_checked(
    painted: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, there, result, risk in (
        ("a", True, "quarantined", "no_face_stated"),
        ("b", False, "written", "no_face_checked"),
    ):
        series(painted, tmp_path / name / "in", SHOWN)
        monkeypatch.setattr(deface_files, "shows_face", lambda volume, there=there: there)
        summary = run(tmp_path / name, deface=False, no_face="skull-stripped")
        assert results(summary) == [result] * len(SHOWN)
        assert ("a face is there" in summary.lines[0].message) is there
        assert all(risk in line.risks for line in summary.lines)


def test_captures_of_a_head_need_a_word_about_the_face(painted: Volume, tmp_path: Path) -> None:
    capture = image(90, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT", StudyDescription="MR brain")
    stored(capture, tmp_path / "in" / "surface.dcm")
    stored(slice_of(painted, 40), tmp_path / "in" / "slice.dcm")
    assert sorted(results(run(tmp_path, deface=False))) == ["quarantined", "refused"]
    assert results(run(tmp_path, deface=False, no_face="stripped", force=True)) == ["written"] * 2


def test_faces_cannot_be_removed_and_be_said_not_to_be_there(painted: Volume, tmp_path: Path) -> None:
    series(painted, tmp_path / "in", range(40, 41))
    with pytest.raises(UsageError, match="removed and said"):
        run(tmp_path, no_face="stripped")


@pytest.mark.slow
def test_real_series_is_defaced(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.privacy import deface

    monkeypatch.setattr(deface_files, "locate", deface.locate)
    source = data_root / "brain_mprage_dicom"
    summary = deidentify(Request(source, tmp_path / "out", KEYED, HEADERS, deface=True, workers=0))
    assert results(summary) == ["written"] * 128
    before = {int(d.InstanceNumber): d.pixel_array for d in (pydicom.dcmread(p) for p in source.iterdir())}
    share = [np.mean(d.pixel_array != before[int(d.InstanceNumber)]) for d in objects(tmp_path / "out")]
    assert 0.02 < float(np.mean(share)) < 0.5
