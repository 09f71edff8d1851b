"""Volumes as derived DICOM series: what other programs read, whose they are, what they say of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from written import Tool, dciodvfy_errors, oblique, parsed_by_dcmtk, real_series, save, source, uid, volume

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownSpacingError, UnsupportedError
from vesalius.io.dicom import compose, derive


def written(image: Volume, folder: Path, **how: object) -> list[Path]:
    how = {"headers": None, "description": "derived", **how}
    return [save(data, folder, name) for name, data in derive.to_dicom(image, uid=uid, **how)]  # type: ignore[arg-type]


def read_by_simpleitk(paths: list[Path]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    return reader.Execute()


@pytest.mark.parametrize("modality", ["MR", "CT", "PT", ""])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_the_validator_finds_no_error(modality, dtype, tmp_path, tool: Tool):
    for path in written(volume(dtype, modality=modality), tmp_path)[::4]:
        assert dciodvfy_errors(tool, path) == []
        assert parsed_by_dcmtk(tool, path)


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
@pytest.mark.parametrize("dtype", [bool, np.int16, np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_simpleitk_reads_the_same_voxels_at_the_same_places(modality, dtype, tmp_path):
    image = volume(dtype, modality=modality)
    theirs = read_by_simpleitk(written(image, tmp_path))
    room = derive.stored_form(image, modality).largest_error
    np.testing.assert_allclose(sitk.GetArrayFromImage(theirs), image.array, atol=room * 1.0001 + 1e-9)
    assert room <= (0.06 if np.dtype(dtype).kind == "f" else 0)
    for index in [(0, 0, 0), (4, 13, 10), (2, 3, 7)]:
        place = theirs.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
        np.testing.assert_allclose(place, image.index_to_world(index), atol=0.01)


@pytest.mark.parametrize("tilt", [0.0, 15.0, -22.0])
def test_position_and_orientation_of_every_slice_are_exact(tilt, tmp_path):
    image = volume(affine=oblique(tilt_deg=tilt))
    for index, path in enumerate(written(image, tmp_path)):
        data = pydicom.dcmread(path)
        row, column = np.array(data.ImageOrientationPatient).reshape(2, 3)
        down, across = map(float, data.PixelSpacing)
        place = np.array(data.ImagePositionPatient) + 9 * down * column + 4 * across * row
        np.testing.assert_allclose(place, image.index_to_world((index, 9, 4)), atol=1e-6)
        np.testing.assert_array_equal(data.pixel_array, image.array[index])


def test_without_headers_there_is_no_identity_and_a_study_of_its_own(tmp_path):
    data = [pydicom.dcmread(path) for path in written(volume(), tmp_path)]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"):
        assert {str(d[keyword].value or "") for d in data} == {""}
    assert {d.StudyInstanceUID for d in data} == {uid("study")}
    assert len({d.SOPInstanceUID for d in data}) == len(data)
    assert len({(d.SeriesInstanceUID, d.FrameOfReferenceUID) for d in data}) == 1
    assert list(data[0].ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert data[0].Manufacturer == "Vesalius"
    assert "research use" in data[0].ImageComments
    assert [int(d.InstanceNumber) for d in data] == [1, 2, 3, 4, 5]


def test_with_headers_patient_study_and_frame_stay_and_every_source_is_referenced(tmp_path, tool: Tool):
    image = volume()
    headers = source(image)
    finer = volume(shape=(13, 14, 11), affine=oblique((1.0, 0.8, 1.1)))
    paths = written(finer, tmp_path, headers=headers[::-1])
    data = [pydicom.dcmread(path) for path in paths]
    assert {str(d.PatientName) for d in data} == {"王^小東=Müller^Jörg"}
    for keyword in ("PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert {d[keyword].value for d in data} == {headers[0][keyword].value}
    assert {d.SeriesInstanceUID for d in data}.isdisjoint({headers[0].SeriesInstanceUID})
    referenced = {item.ReferencedSOPInstanceUID for d in data for item in d.SourceImageSequence}
    assert referenced == {header.SOPInstanceUID for header in headers}
    assert not [element for d in data for element in d if element.tag.is_private]
    assert dciodvfy_errors(tool, paths[0]) == []


def test_odd_values_of_real_headers_do_not_spoil_the_object(tmp_path, tool: Tool):
    image = volume()
    headers = source(image)
    for header in headers:
        for keyword, value in {
            "PatientBirthDate": "31.01.1970x",
            "StudyDate": "2025.12.24",
            "StudyTime": "10:11:12",
            "PatientSex": "female",
            "PatientID": "x" * 80,
            "PatientAge": "55",
        }.items():
            compose.put(header, keyword, value)
        header[0x00180081] = RawDataElement(Tag(0x00180081), "DS", 4, b"n/a ", 0, False, True)
        del header.FrameOfReferenceUID
        del header.AccessionNumber
    data = pydicom.dcmread(written(image, tmp_path, headers=headers)[0])
    assert data.PatientBirthDate == ""
    assert data.StudyDate == "20251224"
    assert data.StudyTime == "101112"
    assert not data.PatientSex
    assert data.get_item("PatientID").value == b"x" * 80
    assert "PatientAge" not in data
    assert data.EchoTime is None
    assert data.AccessionNumber == ""
    assert data.FrameOfReferenceUID == uid("frame of reference")
    assert [e for e in dciodvfy_errors(tool, tmp_path / "mr_0001.dcm") if "PatientID" not in e] == []


def test_real_headers_of_several_scanners(tmp_path, data_root: Path, tool: Tool):
    for headers in real_series(data_root).values():
        modality = headers[0].Modality
        path = written(volume(modality=modality), tmp_path, headers=headers)[0]
        assert dciodvfy_errors(tool, path) == []
        assert pydicom.dcmread(path).StudyInstanceUID == headers[0].StudyInstanceUID


def test_the_bytes_depend_on_the_image_and_the_uids_only(tmp_path):
    first = [path.read_bytes() for path in written(volume(), tmp_path)]
    assert [path.read_bytes() for path in written(volume(), tmp_path)] == first


def test_scaling_is_stated_and_within_half_a_step(tmp_path):
    image = Volume(np.linspace(-3.5, 812.25, 5 * 14 * 11, dtype=np.float32).reshape(5, 14, 11), oblique())
    form = derive.stored_form(image)
    assert form.largest_error == form.slope / 2
    data = pydicom.dcmread(written(image, tmp_path)[0])
    assert f"error at most {form.largest_error:.3g}" in data.DerivationDescription
    whole = replace(image, array=np.rint(image.array))
    assert derive.stored_form(whole).is_exact
    constant = replace(image, array=np.full(image.shape, 0.1, np.float32))
    path = written(constant, tmp_path)[0]
    assert pydicom.pixels.apply_rescale(pydicom.dcmread(path).pixel_array, pydicom.dcmread(path)).flat[0] == (
        pytest.approx(0.1)
    )


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (replace(volume(), array=np.zeros((5, 14, 11, 2), np.int16), axis=Axis(AxisKind.TIME, (0.0, 1.0))),
         UnsupportedError, "fourth axis"),
        (replace(volume(np.uint8), array=np.zeros((5, 14, 11, 3), np.uint8), axis=Axis(AxisKind.RGB, ("r", "g", "b"))),
         UnsupportedError, "rgb"),
        (replace(volume(), frame=Frame.IMAGE), UnsupportedError, "flat picture"),
        (replace(volume(), modality="US"), UnsupportedError, "--modality"),
        (replace(volume(), spacing=Spacing.UNKNOWN), UnknownSpacingError, "pixel size"),
        (replace(volume(np.float32), array=np.full((5, 14, 11), np.nan)), ImageContentError, "NaN"),
        (replace(volume(), affine=np.array([[1, 0, 0, 0], [0, 1, 0.01, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])),
         GeometryError, "to_orthogonal"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_advice(image, error, words, tmp_path):
    with pytest.raises(error, match=words):
        written(image, tmp_path)
    assert list(tmp_path.iterdir()) == []
