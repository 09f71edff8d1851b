"""The DICOM objects of a result, from DICOM and other sources, as a PACS would receive them."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset

from vesalius import io
from vesalius.core import (
    Axis,
    AxisKind,
    Code,
    Frame,
    Interval,
    Mask,
    Measurement,
    Message,
    Outcome,
    Report,
    Result,
    Run,
    Segment,
    Series,
    Source,
    Volume,
)
from vesalius.core.grid import all_orientations
from vesalius.imaging import spatial
from vesalius.io.dicom import compose, derive, seg
from vesalius.phantoms.geometry import grid_affine, marker_phantom
from vesalius.report import dicom

Tool = Callable[[str], str]
ALL = ("seg", "sr", "dicom-pdf", "sc")
RUN = Run(id=str(uuid.UUID(int=77)), started="2026-01-02T03:04:05+00:00", finished="2026-01-02T03:05:06+00:00")
SEGMENTS = {1: Segment("body", Code("123037004", "SCT", "Body structure"), (230, 159, 0))}
PDFS = {"en": b"%PDF-1.7 en\n%%EOF\n", "zh": b"%PDF-1.7 zh.\n%%EOF\n"}
CAPTURES = {"en": np.zeros((30, 20, 3), np.uint8), "zh": np.full((30, 20, 3), 255, np.uint8)}
VOLUME = Code("118565006", "SCT", "Volume")


def result_of(volume: Volume, series: Series | None = None, **report: object) -> Result:
    """Return what a small application would say of a volume: everything above its mean is body."""
    values = np.nan_to_num(volume.array, posinf=0, neginf=0)
    labels = (values > values.mean()).astype(np.uint8)
    mask = Mask(labels, volume.affine, segments=SEGMENTS)
    measured = Measurement(
        "volume.body", mask.volume_ml("body"), "mL", VOLUME, mask="body", segment="body", interval=Interval(1.0, 2.0)
    )
    told = {"application": "trivial", "version": "0.1.0", "study_key": "key", "outcome": Outcome.COMPLETED, "run": RUN}
    whole = Report(**{**told, "measurements": (measured,), **report})  # type: ignore[arg-type]
    return Result(whole, {"t1": volume}, {"body": mask}, series={"t1": series} if series is not None else {})


def files_of(result: Result, formats: tuple[str, ...] = ALL, **how: object) -> dict[str, bytes]:
    files = dicom.dicom_files(result, pdfs=PDFS, captures=CAPTURES, formats=formats, **how)  # type: ignore[arg-type]
    return dict(files)


def parsed(files: Mapping[str, bytes]) -> dict[str, Dataset]:
    return {name: pydicom.dcmread(BytesIO(data)) for name, data in files.items()}


def assert_valid(files: Mapping[str, bytes], folder: Path, tool: Tool) -> None:
    """Let dciodvfy and DCMTK judge one file of each kind."""
    kinds = {Path(name).parent / Path(name).name[:4]: name for name in files}
    for name in kinds.values():
        path = folder / Path(name).name
        path.write_bytes(files[name])
        said = subprocess.run([tool("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
        assert not [line for line in said.stderr.splitlines() if line.startswith("Error")], name
        assert subprocess.run([tool("dcmdump"), str(path)], capture_output=True, check=False).returncode == 0


def phantom(code: str = "SPL", tilt_deg: float = 0.0) -> Volume:
    shape = (9, 12, 10)
    affine = grid_affine(shape, orientation=code, spacing_mm=(2.0, 1.0, 1.2), tilt_deg=tilt_deg)
    return marker_phantom(shape, affine)


def stored(volume: Volume, folder: Path) -> Series:
    """Write a volume as a scanner's series with an identity, and return its descriptor."""
    slices = derive.to_dicom(
        volume, uid=lambda name: f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}", headers=None, description="scan"
    )
    for name, data in slices:
        data.PatientName, data.PatientID, data.StudyDate = "王^小東", "PAT1", "20251224"
        (folder / name).write_bytes(compose.to_bytes(data))
    return described(folder)


def described(path: Path) -> Series:
    with io.scan(path) as scan:
        return scan.studies[0].series[0]


@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_a_dicom_source_is_referenced_and_not_written_again(tilt, tmp_path, tool: Tool):
    series = stored(phantom(tilt_deg=tilt), tmp_path)
    result = result_of(io.load(series), series)
    files = files_of(result)
    assert list(files) == [
        "dicom/body_seg.dcm",
        "dicom/measurements_sr.dcm",
        "dicom/report_pdf.en.dcm",
        "dicom/report_pdf.zh.dcm",
        "dicom/capture_sc.en.dcm",
        "dicom/capture_sc.zh.dcm",
    ]
    assert_valid(files, tmp_path, tool)
    sources = io.source_headers(series)
    for data in parsed(files).values():
        assert str(data.PatientName) == "王^小東"
        for keyword in ("PatientID", "StudyInstanceUID", "StudyDate"):
            assert data[keyword].value == sources[0][keyword].value
        assert data.Manufacturer == "Vesalius"
        assert "trivial 0.1.0" in data.SoftwareVersions
        assert data.ContentDate == "20260102"
        named = {str(e.value) for e in data.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        assert named >= {header.SOPInstanceUID for header in sources}
    (tmp_path / "seg.dcm").write_bytes(files["dicom/body_seg.dcm"])
    back = seg.read(tmp_path / "seg.dcm")
    assert back.same_grid(result.masks["body"], 0.01)
    np.testing.assert_array_equal(back.array, result.masks["body"].array)


def test_the_report_refers_to_the_segment_that_was_written(tmp_path):
    series = stored(phantom(), tmp_path)
    result = result_of(io.load(series), series)
    files = files_of(result)
    report = highdicom.sr.srread(BytesIO(files["dicom/measurements_sr.dcm"]))
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    segment = parsed(files)["dicom/body_seg.dcm"].SOPInstanceUID
    assert group.referenced_segment[0].referenced_sop_instance_uid == segment
    assert group.get_measurements()[0].value == result.report.measurements[0].value
    alone = files_of(result, ("sr",))
    assert list(alone) == ["dicom/measurements_sr.dcm"]
    assert segment.encode() not in alone["dicom/measurements_sr.dcm"]


@pytest.mark.parametrize("code", all_orientations()[::9])
def test_another_source_gets_a_derived_series_that_simpleitk_reads(code, tmp_path, tool: Tool):
    volume = replace(phantom(code), modality="", array=phantom(code).array.astype(np.float32) / 3)
    files = files_of(result_of(volume))
    derived = [name for name in files if name.startswith("dicom/derived/")]
    assert len(derived) == 9
    assert_valid(files, tmp_path, tool)
    data = parsed(files)
    assert {d.StudyInstanceUID for d in data.values()} == {dicom.uid_source(result_of(volume).report)("study")}
    assert {str(d.PatientName) + str(d.PatientID) for d in data.values()} == {""}
    images = {data[name].SOPInstanceUID for name in derived}
    for name in ("dicom/body_seg.dcm", "dicom/measurements_sr.dcm", "dicom/report_pdf.en.dcm"):
        named = {str(e.value) for e in data[name].iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        assert named >= images
    for name in derived:
        (tmp_path / Path(name).name).write_bytes(files[name])
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(tmp_path / Path(name).name) for name in derived])
    image = reader.Execute()
    step = derive.stored_form(volume).largest_error
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(image), volume.array, atol=step * 1.001)
    place = image.TransformIndexToPhysicalPoint((7, 3, 2))
    np.testing.assert_allclose(place, volume.index_to_world((2, 3, 7)), atol=0.01)


def test_a_regridded_source_keeps_its_patient_and_is_written_as_derived(tmp_path, tool: Tool):
    stored(phantom(), tmp_path)
    (tmp_path / "ct_0004.dcm").unlink()
    series = described(tmp_path)
    volume = spatial.regrid(io.load_slices(series))
    files = files_of(result_of(volume, series))
    assert sum(name.startswith("dicom/derived/") for name in files) == 9
    assert_valid(files, tmp_path, tool)
    headers = io.source_headers(series)
    data = parsed(files)
    for one in data.values():
        assert str(one.PatientName) == "王^小東"
        assert one.StudyInstanceUID == headers[0].StudyInstanceUID
    derived = [d for name, d in data.items() if "derived" in name]
    assert {d.FrameOfReferenceUID for d in derived} == {headers[0].FrameOfReferenceUID}
    named = {item.ReferencedSOPInstanceUID for d in derived for item in d.SourceImageSequence}
    assert named == {header.SOPInstanceUID for header in headers}


def test_a_resumed_run_keeps_uids_and_bytes():
    result = result_of(phantom())
    assert files_of(result) == files_of(result)
    other = replace(result, report=replace(result.report, run=replace(RUN, id=str(uuid.UUID(int=78)))))
    first, second = parsed(files_of(result)), parsed(files_of(other))
    assert all(first[name].SOPInstanceUID != second[name].SOPInstanceUID for name in first)


def test_a_refusal_is_a_document_only(tmp_path, tool: Tool):
    series = stored(phantom(), tmp_path)
    report = replace(result_of(phantom()).report, outcome=Outcome.REFUSED, measurements=(), reasons=(Message("no"),))
    for given in (Result(report), Result(report, series={"t1": series})):
        files = files_of(given)
        assert [Path(name).name for name in files] == [
            "report_pdf.en.dcm",
            "report_pdf.zh.dcm",
            "capture_sc.en.dcm",
            "capture_sc.zh.dcm",
        ]
        assert_valid(files, tmp_path, tool)
    assert str(parsed(files)["dicom/report_pdf.zh.dcm"].PatientName) == "王^小東"


def test_drafts_and_drawn_identities_are_marked():
    result = result_of(phantom(), draft=True)
    data = parsed(files_of(result, shows_identity=True))
    assert data["dicom/capture_sc.en.dcm"].BurnedInAnnotation == "YES"
    assert data["dicom/capture_sc.en.dcm"].ImageComments.count("DRAFT") == 1
    assert "DRAFT" in data["dicom/body_seg.dcm"].ContentDescription
    assert "DRAFT" in data["dicom/measurements_sr.dcm"].CompletionFlagDescription
    assert "DRAFT" in data["dicom/report_pdf.en.dcm"].DocumentTitle


def test_what_cannot_be_written_is_told_and_the_rest_is_written():
    volume = phantom()
    result = result_of(volume)
    elsewhere = replace(result.masks["body"], affine=grid_affine(volume.shape))
    told: list[tuple[str, str]] = []

    def on_skip(name: str, reason: Message) -> None:
        told.append((name, reason.id))

    files = files_of(replace(result, masks={"other": elsewhere, **result.masks}), on_skip=on_skip)
    assert told == [("dicom/other_seg.dcm", "dicom.skipped.other_grid")]
    assert "dicom/body_seg.dcm" in files
    told.clear()
    flat = Volume(np.zeros((1, 5, 6, 3), np.uint8), np.eye(4)[[2, 1, 0, 3]], Frame.IMAGE,
                  axis=Axis(AxisKind.RGB, ("r", "g", "b")))  # fmt: skip
    picture = Result(result.report, {"photo": flat})
    assert not [name for name in files_of(picture, on_skip=on_skip) if name.endswith(("_seg.dcm", "_sr.dcm"))]
    assert [name for name, _ in told] == ["dicom/measurements_sr.dcm"]


def test_voxels_that_are_no_numbers_become_zero():
    volume = replace(phantom(), array=phantom().array.astype(np.float32))
    array = volume.array.copy()
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    files = parsed(files_of(result_of(replace(volume, array=array))))
    first = files["dicom/derived/t1_ct_0001.dcm"]
    np.testing.assert_array_equal(pydicom.pixels.apply_rescale(first.pixel_array, first)[0, :3], 0)


REAL = {
    "brain_mprage_dicom": "MR",
    "lidc_0001_ct": "CT",
    "brain_mri_dicom_udacity": "MR",
    "niivue_images/chris_t1.nii.gz": "MR",
}


@pytest.mark.slow
@pytest.mark.parametrize("place", REAL)
def test_real_studies(place, tmp_path, data_root: Path, tool: Tool):
    with io.scan(data_root / place) as scan:
        series = next(s for study in scan.studies for s in study.series if s.geometry.usable)
        volume = io.load(series)
        report = {"sources": (_source_of(series),)}
        result = result_of(volume, series, **report)
        files = files_of(result)
    assert_valid(files, tmp_path, tool)
    (tmp_path / "seg.dcm").write_bytes(files["dicom/body_seg.dcm"])
    back = seg.read(tmp_path / "seg.dcm")
    grid = result.masks["body"]
    back = back if back.same_grid(grid, 0.01) else back.flip(0)
    assert back.same_grid(grid, 0.01)
    np.testing.assert_array_equal(back.array, grid.array)
    expected = volume.shape[0] if series.format == "nifti" else 0
    assert sum(name.startswith("dicom/derived/") for name in files) == expected
    report_back = highdicom.sr.srread(BytesIO(files["dicom/measurements_sr.dcm"]))
    (group,) = report_back.content.get_volumetric_roi_measurement_groups()
    assert group.get_measurements()[0].value == result.report.measurements[0].value


def _source_of(series: Series) -> Source:
    return Source(
        "t1", series.uid, series.format, series.modality, series.description, series.number, series.geometry.shape,
        series.geometry.spacing_mm, series.geometry.orientation, Message("chosen"), len(series.instances),
    )  # fmt: skip
