"""Whole runs: resume, bad files, quarantine, refusals, and what the reports hold."""

from __future__ import annotations

import errno
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "privacy"))

from deid_objects import HEADERS, KEYED, MR, PDF, image, stored

from vesalius.core.errors import NothingFoundError, OutputError, OutputExistsError, UsageError
from vesalius.pipeline.deidentify import Request, Summary, deidentify, work
from vesalius.privacy import choose

WORDS = ("Quimby", "QUIMBY", "Zelda", "778899", "19340312", "Larkspur", "Ostervik", "Brandvold", "4711777")


def request(root: Path, **more: Any) -> Request:
    """Return a run over `root/in` in this process."""
    given = {"profile": HEADERS, "workers": 0, **more}
    return Request(root / "in", root / "out", KEYED, **given)


def results(summary: Summary) -> list[str]:
    """Return how each file ended, in the order of their names."""
    return [str(line.result) for line in summary.lines]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Return a folder with three slices of one patient in `in/Quimby`."""
    for number in (1, 2, 3):
        stored(image(number), tmp_path / "in" / "Quimby" / f"IM{number}.dcm")
    return tmp_path


def test_no_value_and_no_name_of_a_file_is_written_anywhere(three: Path) -> None:
    summary = deidentify(request(three))
    assert results(summary) == ["written"] * 3
    assert summary.error is None
    for folder in ("out", "out.report"):
        for name, content in tree(three / folder).items():
            assert not [word for word in WORDS if word in name or word.encode() in content], name
    outputs = [pydicom.dcmread(path) for path in (three / "out").rglob("*.dcm")]
    assert len({data.StudyInstanceUID for data in outputs}) == 1
    assert sorted(data.InstanceNumber for data in outputs) == [1, 2, 3]


def test_second_run_does_nothing_and_changes_nothing(three: Path) -> None:
    deidentify(request(three))
    before = tree(three / "out")
    again = deidentify(request(three))
    assert again.done_before == 3
    assert tree(three / "out") == before


def test_run_that_was_killed_goes_on_to_the_same_result(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deidentify(request(three))
    whole, report = tree(three / "out"), (three / "out.report" / "files.csv").read_text()
    other = three / "again"
    os.rename(three / "in", three / "kept")
    (other).mkdir()
    os.rename(three / "kept", other / "in")
    calls: list[int] = []
    original = work._one

    def dying(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(work, "_one", dying)
    with pytest.raises(KeyboardInterrupt):
        deidentify(request(other))
    (other / "out" / ".0123456789abcdef.part").write_bytes(b"half a file of Quimby")
    monkeypatch.setattr(work, "_one", original)
    assert deidentify(request(other)).error is None
    assert tree(other / "out") == whole
    assert (other / "out.report" / "files.csv").read_text() == report


def test_one_bad_file_does_not_stop_the_rest(three: Path) -> None:
    (three / "in" / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\0\x05\0CS\xff\xff")
    (three / "in" / "notes.txt").write_text("about Quimby")
    summary = deidentify(request(three))
    assert sorted(results(summary)) == ["dropped", "failed", *["written"] * 3]
    assert summary.error is not None
    assert "Quimby" not in str(summary.error)


def test_two_patients_under_one_study_uid_are_refused(three: Path) -> None:
    stored(image(4, PatientID="OTHER-1"), three / "in" / "four.dcm")
    stored(image(5, StudyInstanceUID="1.2.3.77", PatientID="OTHER-1"), three / "in" / "five.dcm")
    summary = deidentify(request(three))
    assert sorted(results(summary)) == ["refused"] * 4 + ["written"]
    assert len(list((three / "out").rglob("*.dcm"))) == 1


def test_what_one_object_tells_is_looked_for_in_all_of_the_patient(three: Path) -> None:
    data = image(4, PatientName="", ConvolutionKernel="QUIMBY")
    del data.PatientBirthDate
    stored(data, three / "in" / "four.dcm")
    deidentify(request(three))
    assert not [path for path in (three / "out").rglob("*.dcm") if b"QUIMBY" in path.read_bytes()]


def test_object_without_an_id_belongs_to_the_patient_of_its_study(three: Path) -> None:
    stored(image(4, PatientID=""), three / "in" / "four.dcm")
    assert results(deidentify(request(three))) == ["written"] * 4
    assert len({pydicom.dcmread(path).PatientID for path in (three / "out").rglob("*.dcm")}) == 1


def test_documents_directories_and_repeated_files_are_not_written(three: Path) -> None:
    stored(image(4, SOPClassUID=PDF), three / "in" / "document.dcm")
    stored(image(1), three / "in" / "again.dcm")
    summary = deidentify(request(three))
    assert sorted(results(summary)) == ["dropped", "duplicate", *["written"] * 3]
    assert summary.error is None


def test_two_objects_of_one_uid_are_both_kept(three: Path) -> None:
    stored(image(1, SliceThickness="9"), three / "in" / "other.dcm")
    assert results(deidentify(request(three))) == ["written"] * 4
    assert len(list((three / "out").rglob("*.dcm"))) == 4


def test_objects_in_doubt_lie_in_a_private_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "pixel_cleaner", lambda: None)
    stored(image(1, Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"), tmp_path / "in" / "1.dcm")
    summary = deidentify(request(tmp_path, profile=choose(), workers=0))
    assert results(summary) == ["quarantined"]
    assert summary.error is not None
    assert (tmp_path / "out.quarantine").stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "out").rglob("*.dcm"))
    assert len(list((tmp_path / "out.quarantine").glob("*.dcm"))) == 1


def test_heads_are_refused_with_the_series_of_their_study_that_tell_no_region(tmp_path: Path) -> None:
    told: dict[str, Any] = {"SOPClassUID": MR, "Modality": "MR"}
    stored(image(1, BodyPartExamined="BRAIN", **told), tmp_path / "in" / "1.dcm")
    stored(
        image(2, BodyPartExamined="", SeriesDescription="T1", StudyDescription="", **told), tmp_path / "in" / "2.dcm"
    )
    assert results(deidentify(request(tmp_path))) == ["refused"] * 2
    assert results(deidentify(request(tmp_path, no_face="skull-stripped", force=True))) == ["written"] * 2


def test_dry_run_counts_and_writes_nothing(three: Path) -> None:
    summary = deidentify(request(three, dry_run=True))
    assert summary.attributes["PatientName", "replaced by a dummy"] == 3
    assert sorted(os.listdir(three)) == ["in"]


def test_zip_gives_the_same_as_its_folder(three: Path) -> None:
    with zipfile.ZipFile(three / "in.zip", "w") as archive:
        for path in sorted((three / "in").rglob("*.dcm")):
            archive.write(path, path.relative_to(three / "in"))
    deidentify(request(three))
    deidentify(Request(three / "in.zip", three / "zipped", KEYED, HEADERS, workers=0))
    assert tree(three / "zipped") == tree(three / "out")


@pytest.mark.parametrize("out", ["in/out", ".", "in"])
def test_output_inside_input_is_refused(three: Path, out: str) -> None:
    with pytest.raises(UsageError, match="inside"):
        deidentify(Request(three / "in", three / out, KEYED, HEADERS))


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(NothingFoundError):
        deidentify(request(tmp_path))


def test_other_content_is_never_touched(three: Path) -> None:
    (three / "out").mkdir()
    (three / "out" / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError):
        deidentify(request(three, force=True))
    assert (three / "out" / "mine.txt").read_text() == "keep"


def test_other_parameters_need_force(three: Path) -> None:
    deidentify(request(three))
    with pytest.raises(OutputExistsError):
        deidentify(request(three, profile=choose("basic")))
    assert results(deidentify(request(three, profile=choose("basic"), force=True))) == ["written"] * 3
    assert all("StudyDescription" not in pydicom.dcmread(p) for p in (three / "out").rglob("*.dcm"))


def test_full_disk_stops_the_run_and_leaves_nothing_half_written(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = os.fsync
    monkeypatch.setattr(
        "vesalius.io.atomic.os.fsync", lambda fd: full() if len(list((three / "out").rglob("*"))) else real(fd)
    )
    with pytest.raises(OutputError, match="disk is full"):
        deidentify(request(three))
    assert not [path for path in (three / "out").rglob("*") if path.is_file()]


def test_worker_processes_give_the_same(three: Path) -> None:
    deidentify(request(three))
    deidentify(Request(three / "in", three / "parallel", KEYED, HEADERS, workers=2))
    assert tree(three / "parallel") == tree(three / "out")


def test_state_is_json_lines_without_values(three: Path) -> None:
    deidentify(request(three))
    lines = [json.loads(line) for line in (three / "out.report" / "state.jsonl").read_text().splitlines()]
    assert [line["place"] for line in lines] == [1, 2, 3]
    assert all(line["actions"]["00100010 PatientName: replaced by a dummy"] == 1 for line in lines)
    for language in ("en", "zh"):
        assert (three / "out.report" / f"residual-risk.{language}.md").stat().st_size > 200
