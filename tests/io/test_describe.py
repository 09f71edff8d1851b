"""`vesalius info` on every file of pydicom's test folder and of the DICOM sets: a golden table and independent truth.

After a deliberate change, rewrite the table with `WRITE_GOLDEN=1 pytest tests/io/test_describe.py` and read the diff.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from vesalius.core.errors import VesaliusError
from vesalius.io import Description, describe

GOLDEN = Path(__file__).with_name("golden_info.json")
PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
FILES = ("dicom_qa_ts/In", "dicom_highdicom", "dicom_presidio_phi")
FOLDERS = ("brain_mprage_dicom", "lidc_0001_ct", "sunnybrook_cardiac", "brain_mri_dicom_udacity")
NAMES = ("kind", "modality", "files", "frames", "shape", "axis", "components", "dtype")
PLACES = ("spacing_mm", "spacing", "frame", "orientation", "verdict")


def inputs(data_root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name in the table, path)."""
    for path in sorted(PYDICOM.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"pydicom/{path.relative_to(PYDICOM).as_posix()}", path
    yield "pydicom/dicomdirtests", PYDICOM / "dicomdirtests"
    for name in FILES:
        for path in sorted((data_root / name).rglob("*")):
            if path.is_file():
                yield f"{name}/{path.relative_to(data_root / name).as_posix()}", path
    for name in FOLDERS:
        yield name, data_root / name


def row(path: Path) -> dict[str, Any] | list[dict[str, Any]]:
    """Return what the table holds for a path."""
    try:
        found = describe(path)
    except VesaliusError as problem:
        assert "\n" not in str(problem)  # noqa: PT017
        return {"error": problem.code}
    assert found.failed == ()
    rows: list[dict[str, Any]] = []
    for entry in found.entries:
        told = entry.as_dict()
        line = {name: told[name] for name in (NAMES if entry.kind == "image" else NAMES[:5])}
        if entry.kind == "image":
            line |= {name: told[name] for name in PLACES}
        line |= {name: told["facts"][name] for name in told["facts"]}
        line["problems"] = [problem["id"] for problem in (*told["reasons"], *told["problems"])]
        rows.append(json.loads(json.dumps(line)))
    return rows


def test_golden_table(data_root: Path) -> None:
    table = {name: row(path) for name, path in inputs(data_root)}
    if os.environ.get("WRITE_GOLDEN"):
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in table.items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) > 220
    assert table == golden


def tags(path: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True, stop_before_pixels=False)


def single_files(data_root: Path) -> Iterator[tuple[str, Path, Description]]:
    for name, path in inputs(data_root):
        if path.is_file():
            try:
                yield name, path, describe(path)
            except VesaliusError:
                continue


def stated_spacing(data: pydicom.Dataset) -> list[float] | None:
    """Return the pixel spacing from wherever the standard puts it, straight from the tags."""
    shared = data.get("SharedFunctionalGroupsSequence")
    if shared and "PixelMeasuresSequence" in shared[0]:
        return [float(x) for x in shared[0].PixelMeasuresSequence[0].PixelSpacing]
    if data.get("Modality") == "US" and "SequenceOfUltrasoundRegions" in data:
        region = data.SequenceOfUltrasoundRegions[0]
        if region.PhysicalUnitsXDirection == 3:
            return [abs(region.PhysicalDeltaY) * 10, abs(region.PhysicalDeltaX) * 10]
        return None
    found = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    return [float(x) for x in found] if found else None


def test_every_answer_agrees_with_the_tags(data_root: Path) -> None:
    """Modality, size, frames and pixel size against pydicom's own reading of the elements."""
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path, found in single_files(data_root):
            (entry,) = found.entries
            if entry.format != "dicom" or entry.kind == "directory" or path.suffix == ".gz":
                continue
            data = tags(path)
            assert entry.modality == data.get("Modality", ""), name
            if entry.kind == "object":
                assert "Rows" not in data or "PixelData" not in data, name
                continue
            compared += 1
            told = str(data.get_item("NumberOfFrames").value.decode() if "NumberOfFrames" in data else "1").strip()
            assert entry.frames == (int(told) if told.isdigit() else 15), name
            tiles = 6 if "MOSAIC" in data.get("ImageType", ()) else 1
            assert entry.shape[1:] == (data.Rows // tiles, data.Columns // tiles), name
            spacing = stated_spacing(data)
            assert (entry.spacing_mm[1] is None) == (spacing is None), name
            if spacing is not None:
                assert entry.spacing_mm[1:] == pytest.approx(spacing, rel=1e-4), name
            assert (entry.frame == "patient") == (
                entry.kind == "image" and "ImageOrientationPatient" in data and entry.modality != "SM"
            ), name
    assert compared > 120


def test_orientation_agrees_with_simpleitk(data_root: Path) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    compared = 0
    for name, path, found in single_files(data_root):
        entry = found.entries[0]
        if entry.kind != "image" or entry.frame != "patient" or path.suffix == ".gz":
            continue
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            continue
        code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(reader.GetDirection())
        assert entry.orientation == code[::-1], name
        compared += 1
    assert compared > 50


def test_every_sentence_has_words(data_root: Path) -> None:
    from vesalius.report.words import say

    for _, _, found in single_files(data_root):
        for message in found.entries[0].messages():
            for language in ("en", "zh"):
                sentence = say(message, language)
                assert message.id not in sentence
                assert "{" not in sentence


def test_a_description_is_json_without_identity(data_root: Path) -> None:
    found = describe(data_root / "lidc_0001_ct")
    text = json.dumps(found.as_dict())
    header = tags(next((data_root / "lidc_0001_ct").glob("*.dcm")))
    assert str(header.PatientID) not in text
    assert found.entries[0].study in text
