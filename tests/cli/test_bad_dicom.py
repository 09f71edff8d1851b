"""DICOM that contradicts itself, lacks slices or is cut short: what `vesalius analyze` makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest
from calling import Called, call
from installation import head

Environment = Mapping[str, str]


@pytest.fixture(scope="module")
def slices(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 26 MR slices."""
    folder = tmp_path_factory.mktemp("slices")
    path = head(folder / "one.nii.gz")
    assert call(environment, "convert", path, folder / "dicom", "--to", "dicom").code == 0
    return folder / "dicom"


@pytest.fixture
def copied(slices: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the slices, each through a change, and returns the folder."""

    def copy(change: Callable[[int, Any], bool | None], name: str = "study") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(sorted(slices.iterdir())):
            data = pydicom.dcmread(path)
            if change(number, data) is not False:
                data.save_as(folder / path.name)
        return folder

    return copy


def analyzed(environment: Environment, study: Path, *arguments: str) -> tuple[Called, dict[str, Any]]:
    out = study.parent / "out"
    called = call(
        environment,
        "analyze",
        study,
        "--out",
        out,
        "--application",
        "trivial",
        "--formats",
        "csv",
        "--json",
        *arguments,
    )
    return called, called.answer


def outcome(answer: dict[str, Any]) -> str:
    return str(answer["data"]["analyses"][0]["outcome"])


def named(number: int, data: Any) -> None:
    data.PatientName, data.PatientID = "Zebedee^Quixotic", f"QX-{number % 2}"


def test_two_patients_under_one_study_fail_without_being_named(
    environment: Environment, copied: Callable[..., Path]
) -> None:
    folder = copied(named)
    called, answer = analyzed(environment, folder)
    assert (called.code, answer["error"]["code"]) == (1, "contradiction")
    assert sum(path.name in answer["error"]["found"] for path in folder.iterdir()) == 2
    assert "patient" in answer["error"]["message"].lower()
    assert "QX-" not in called.out + called.err
    assert "Zebedee" not in called.out + called.err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda number, data: number != 12, "missing"),
        (lambda number, data: _moved(data, 1.3) if number == 12 else None, "slices"),
        (lambda number, data: _turned(data) if number == 12 else None, "slices"),
    ],
    ids=["missing", "unequal", "mixed orientation"],
)
def test_irregular_slices_are_refused_and_named_unless_regridded(
    environment: Environment, copied: Callable[..., Path], change: Any, word: str
) -> None:
    folder = copied(change)
    called, answer = analyzed(environment, folder)
    assert (called.code, outcome(answer)) == (0, "refused")
    assert word in answer["data"]["analyses"][0]["message"]
    report = json.loads((Path(answer["data"]["analyses"][0]["report"]) / "report.json").read_text())
    assert report["sources"] or report["left_out"]


def _moved(data: Any, millimetres: float) -> None:
    x, y, z = data.ImagePositionPatient
    data.ImagePositionPatient = [x, y, float(z) + millimetres]


def _turned(data: Any) -> None:
    data.ImageOrientationPatient = [1, 0, 0, 0, 0.9848, 0.1736]


def test_a_missing_slice_can_be_regridded(environment: Environment, copied: Callable[..., Path]) -> None:
    folder = copied(lambda number, data: number != 12)
    called, answer = analyzed(environment, folder, "--geometry", "regrid")
    assert (called.code, outcome(answer)) == (0, "completed")
    report = json.loads((Path(answer["data"]["analyses"][0]["report"]) / "report.json").read_text())
    assert report["sources"][0]["derived"]
    assert report["sources"][0]["shape"][0] == 26


@pytest.mark.parametrize("count", [1, 2])
def test_a_series_of_one_or_two_slices_never_crashes(
    environment: Environment, copied: Callable[..., Path], count: int
) -> None:
    called, answer = analyzed(environment, copied(lambda number, data: number in (12, 13)[:count]))
    assert called.code == 0
    assert outcome(answer) in ("completed", "refused")


def test_a_truncated_slice_is_a_clear_failure(environment: Environment, copied: Callable[..., Path]) -> None:
    folder = copied(lambda number, data: None)
    path = sorted(folder.iterdir())[12]
    path.write_bytes(path.read_bytes()[:-400])
    called, answer = analyzed(environment, folder)
    assert called.code == 1
    assert path.name in answer["error"]["message"] + answer["error"]["found"]


def test_a_text_file_among_slices_is_left_out_and_told(environment: Environment, copied: Callable[..., Path]) -> None:
    folder = copied(lambda number, data: None)
    (folder / "notes.dcm").write_text("this is no picture")
    called, answer = analyzed(environment, folder)
    assert (called.code, outcome(answer)) == (0, "completed")
    (warning,) = (warning for warning in answer["warnings"] if "notes.dcm" in warning)
    assert warning == "notes.dcm: cannot be read: not a DICOM file"
    report = json.loads((Path(answer["data"]["analyses"][0]["report"]) / "report.json").read_text())
    (check,) = (check for check in report["quality"] if check["name"] == "source")
    assert check["message"]["parameters"] == {"file": "notes.dcm", "error": "not a DICOM file"}


def test_the_key_is_a_hash(environment: Environment, copied: Callable[..., Path]) -> None:
    import hashlib

    folder = copied(lambda number, data: setattr(data, "PatientID", "QX-1"))
    _, answer = analyzed(environment, folder)
    study_uid = pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID
    key = hashlib.sha256(b"QX-1\0" + study_uid.encode()).hexdigest()[:12]
    assert answer["data"]["analyses"][0]["key"] == key


def test_a_forced_series_is_the_one_that_is_read(environment: Environment, data_root: Path, tmp_path: Path) -> None:
    study = data_root / "brain_mri_dicom_udacity"
    entries = call(environment, "info", study, "--json").answer["data"]["entries"]
    flair = next(entry["key"] for entry in entries if "FLAIR" in entry["description"])
    called = call(
        environment, "analyze", study, "--out", tmp_path / "out", "--application", "trivial", "--formats", "csv",
        "--series", flair, "--json",
    )  # fmt: skip
    report = json.loads((Path(called.answer["data"]["analyses"][0]["report"]) / "report.json").read_text())
    assert report["sources"][0]["uid"] == flair
    assert len(report["left_out"]) == 2
