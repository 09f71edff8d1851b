"""Masks as DICOM SEG: every reader gets the same voxels on the grid of the source."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from written import (
    SEGMENTS,
    Tool,
    dciodvfy_errors,
    oblique,
    origin,
    parsed_by_dcmtk,
    real_series,
    save,
    source,
    uid,
    volume,
)

from vesalius.core import Code, Mask, Segment
from vesalius.core.errors import (
    GeometryError,
    IrregularGeometryError,
    LimitError,
    ReadError,
    UnsupportedError,
    UsageError,
)
from vesalius.io.dicom import placing, seg


def mask_on(affine: np.ndarray, shape=(5, 14, 11)) -> Mask:
    labels = np.random.default_rng(5).choice([0, 2, 41], size=shape).astype(np.uint8)
    labels[0] = 0
    return Mask(labels, affine, segments=SEGMENTS)


def written(mask: Mask, headers: list[Dataset], folder: Path) -> Path:
    return save(seg.from_mask(mask, headers, name="tissue", origin=origin()), folder, "tissue_seg.dcm")


def grid_of(headers: list[Dataset]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the affine and shape of the stack that headers tell, of the first two slices when it is irregular."""
    places = [place for header in headers for place in placing.of_frames(header)]
    normal = places[0].normal
    places.sort(key=lambda place: float(normal @ place.position_mm))
    gaps = np.diff([float(normal @ place.position_mm) for place in places])
    if len(places) > 1 and np.ptp(gaps) > 0.01:
        places = places[:2]
    step = (places[-1].position_mm - places[0].position_mm) / max(len(places) - 1, 1)
    affine = places[0].affine(step if len(places) > 1 else normal * 2)
    return affine, (len(places), headers[0].Rows, headers[0].Columns)


@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_written_and_read_back_it_is_the_same_mask(tilt, tmp_path, tool: Tool):
    image = volume(affine=oblique(tilt_deg=tilt))
    mask = mask_on(image.affine)
    path = written(mask, source(image), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    assert parsed_by_dcmtk(tool, path)
    back = seg.read(path)
    assert back.same_grid(mask)
    np.testing.assert_array_equal(back.array, mask.array)
    for label, segment in SEGMENTS.items():
        assert back.segments[label].name == segment.name
        assert back.segments[label].code == segment.code
        assert np.abs(np.subtract(back.segments[label].colour, segment.colour)).max() <= 1


def test_highdicom_reads_the_same_voxels_on_the_source_grid(tmp_path):
    image = volume()
    mask, headers = mask_on(image.affine), source(image)
    theirs = highdicom.seg.segread(written(mask, headers[::-1], tmp_path))
    found = theirs.get_pixels_by_source_instance([h.SOPInstanceUID for h in headers])
    for number, label in enumerate(SEGMENTS):
        np.testing.assert_array_equal(found[..., number], mask.array == label)
    whole = theirs.get_volume(combine_segments=True)
    numbers = sum((n + 1) * (mask.array == label) for n, label in enumerate(SEGMENTS))
    flipped = whole.affine[:3, 0] @ mask.affine[:3, 0] < 0
    np.testing.assert_array_equal(whole.array[::-1] if flipped else whole.array, numbers)
    np.testing.assert_allclose(whole.affine, (mask.flip(0) if flipped else mask).affine, atol=1e-6)


def test_pydicom_finds_every_frame_where_its_slice_lies(tmp_path):
    image = volume(affine=oblique(tilt_deg=15))
    mask = mask_on(image.affine)
    data = pydicom.dcmread(written(mask, source(image), tmp_path))
    pixels = data.pixel_array
    shared = data.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for frame, group in zip(pixels, data.PerFrameFunctionalGroupsSequence, strict=True):
        label = list(SEGMENTS)[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient)
        spots = np.argwhere(frame)
        if not len(spots):
            continue
        places = corner + spots[:, :1] * down * column + spots[:, 1:] * across * row
        index = mask.world_to_index(places)
        assert np.abs(index - np.round(index)).max() < 1e-4
        assert (mask.array[tuple(np.round(index).astype(int).T)] == label).all()


def test_a_turned_mask_gives_the_same_object(tmp_path):
    image = volume(affine=oblique(tilt_deg=9))
    mask, headers = mask_on(image.affine), source(image)
    straight = written(mask, headers, tmp_path).read_bytes()
    for code in ("RAS", "LPI", "SRA", "IAL"):
        assert written(mask.reorient(code), headers[::-1], tmp_path).read_bytes() == straight


def test_identity_study_frame_and_every_source_are_kept(tmp_path):
    image = volume()
    headers = source(image)
    data = pydicom.dcmread(written(mask_on(image.affine), headers, tmp_path))
    assert str(data.PatientName) == "王^小東=Müller^Jörg"
    for keyword in ("PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID", "AccessionNumber"):
        assert data[keyword].value == headers[0][keyword].value
    everyone = {header.SOPInstanceUID for header in headers}
    series = data.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == headers[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == everyone
    by_frame = {
        item.ReferencedSOPInstanceUID
        for group in data.PerFrameFunctionalGroupsSequence
        for item in group.DerivationImageSequence[0].SourceImageSequence
    }
    assert by_frame == everyone


def test_it_says_what_made_it_and_what_it_is_for(tmp_path):
    image = volume()
    data = seg.from_mask(mask_on(image.affine), source(image), name="tissue", origin=origin(draft=True))
    item = data.SegmentSequence[0]
    assert data.SegmentationType == "BINARY"
    assert item.SegmentAlgorithmType == "AUTOMATIC"
    assert item.SegmentAlgorithmName == "brain-mri"
    assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "0.1.0"
    assert item.TrackingUID == uid("seg tissue segment white_matter")
    assert data.ImageComments.startswith("DRAFT")
    assert "unsigned" in data.ContentDescription
    assert (data.ContentDate, data.ContentTime) == ("20260102", "030405")


def test_no_name_reaches_a_log_or_a_warning(tmp_path, caplog, recwarn):
    image = volume()
    headers = source(image)
    for header in headers:
        header.PatientName = "Doe Jane Mary"
    with caplog.at_level(logging.DEBUG):
        written(mask_on(image.affine), headers, tmp_path)
    assert "Doe" not in caplog.text
    assert not recwarn.list


def enhanced(image, headers: list[Dataset]) -> Dataset:
    """Return the slices as one enhanced multi-frame object, frames in shuffled order."""
    result = highdicom.sr.value_types.Dataset()
    result.update({element.tag: element for element in headers[0] if element.keyword not in ("PixelData",)})
    result.SOPClassUID, result.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4.1", uid("enhanced")
    result.NumberOfFrames = len(headers)
    shared = Dataset()
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = headers[0].ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = headers[0].PixelSpacing, headers[0].SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    result.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for index in (3, 0, 4, 1, 2):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = headers[index].ImagePositionPatient
        group.PlanePositionSequence = [position]
        groups.append(group)
    result.PerFrameFunctionalGroupsSequence = groups
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del result[keyword]
    return result


@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_the_frames_of_an_enhanced_source_are_referenced(tilt, tmp_path, tool: Tool):
    image = volume(affine=oblique(tilt_deg=tilt))
    mask = mask_on(image.affine)
    path = written(mask, [enhanced(image, source(image))], tmp_path)
    assert dciodvfy_errors(tool, path) == []
    np.testing.assert_array_equal(seg.read(path).array, mask.array)
    data = pydicom.dcmread(path)
    frames = [
        int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for group in data.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(frames) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_real_sources(tmp_path, data_root: Path, tool: Tool):
    for name, headers in real_series(data_root).items():
        affine, shape = grid_of(headers)
        mask = mask_on(affine, shape)
        path = written(mask, headers, tmp_path)
        assert dciodvfy_errors(tool, path) == [], name
        back = seg.read(path)
        assert back.same_grid(mask, 0.01), name
        np.testing.assert_array_equal(back.array, mask.array)


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "CT_small.dcm", "MR_small_RLE.dcm"])
def test_sources_in_other_encodings(name, tmp_path, tool: Tool):
    header = pydicom.dcmread(pydicom.data.get_testdata_file(name, download=False), stop_before_pixels=True)
    if not placing.of_frames(header):
        pytest.skip("the file tells no position")
    affine, shape = grid_of([header])
    path = written(Mask(np.ones(shape, np.uint8), affine, segments={1: SEGMENTS[2]}), [header], tmp_path)
    assert dciodvfy_errors(tool, path) == []
    assert seg.read(path).array.all()


def test_an_empty_mask_keeps_its_grid_and_segments(tmp_path, tool: Tool):
    image = volume()
    mask = Mask(np.zeros(image.shape, np.uint8), image.affine, segments=SEGMENTS)
    path = written(mask, source(image), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    back = seg.read(path)
    assert back.same_grid(mask)
    assert list(back.segments) == [2, 41]
    assert not back.array.any()


def test_many_segments_need_two_bytes(tmp_path):
    image = volume()
    many = {n: Segment(f"part {n}", Code(str(n), "99VESALIUS", "Part"), (n % 256, 0, 0)) for n in range(1, 301)}
    mask = Mask(np.arange(5 * 14 * 11).reshape(5, 14, 11) % 301, image.affine, segments=many)
    np.testing.assert_array_equal(seg.read(written(mask, source(image), tmp_path)).array, mask.array)


def test_positions_that_a_scanner_rounded_are_kept_as_they_are(tmp_path):
    image = volume(affine=oblique((5.0, 0.3, 0.3)))
    headers = source(image)
    for header in headers:
        header.ImagePositionPatient = [f"{float(v):.1f}" for v in header.ImagePositionPatient]
    mask = mask_on(image.affine)
    path = written(mask, headers, tmp_path)
    told = {tuple(map(float, header.ImagePositionPatient)) for header in headers}
    groups = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    assert {tuple(map(float, g.PlanePositionSequence[0].ImagePositionPatient)) for g in groups} == told
    np.testing.assert_array_equal(seg.read(path).array, mask.array)


def test_a_mask_on_another_grid_is_refused():
    image = volume()
    mask, headers = mask_on(image.affine), source(image)
    assert seg.fits(mask, headers)
    for other in (
        replace(mask, affine=oblique(origin_mm=(-31.0, 12.25, 40.0))),
        replace(mask, affine=oblique((3.0, 0.9, 1.1))),
        replace(mask, affine=oblique(tilt_deg=5)),
        mask.crop((0, 0, 0), (5, 13, 11)),
        mask.pad((1, 0, 0), (0, 0, 0)),
    ):
        assert not seg.fits(other, headers)
        with pytest.raises(GeometryError, match="resample_like"):
            seg.from_mask(other, headers, name="tissue", origin=origin())
    with pytest.raises(GeometryError, match="needs the headers"):
        seg.from_mask(mask, [], name="tissue", origin=origin())


def test_segmentations_of_others(data_root: Path):
    folder = data_root / "dicom_highdicom"
    theirs = highdicom.seg.segread(folder / "seg_image_ct_binary.dcm").get_volume(combine_segments=True)
    ours = seg.read(folder / "seg_image_ct_binary.dcm")
    flipped = theirs.affine[:3, 0] @ ours.affine[:3, 0] < 0
    np.testing.assert_array_equal(theirs.array[::-1] if flipped else theirs.array, ours.array)
    np.testing.assert_allclose(theirs.affine, (ours.flip(0) if flipped else ours).affine, atol=1e-4)
    for name, words in {
        "seg_image_ct_binary_overlap.dcm": "overlap",
        "seg_image_ct_true_fractional.dcm": "FRACTIONAL",
        "seg_image_sm_control_labelmap.dcm": "LABELMAP",
        "ct_image.dcm": "SOP class",
    }.items():
        with pytest.raises(UnsupportedError, match=words):
            seg.read(folder / name)
    with pytest.raises(IrregularGeometryError):
        seg.read(folder / "seg_image_sm_dots.dcm")


def test_overlapping_segments_are_masks_of_their_own(data_root: Path):
    path = data_root / "dicom_highdicom" / "seg_image_ct_binary_overlap.dcm"
    theirs = highdicom.seg.segread(path).get_volume(combine_segments=False)
    masks = seg.read_apart(path)
    flipped = theirs.affine[:3, 0] @ masks[0].affine[:3, 0] < 0
    for number, mask in enumerate(masks):
        expected = theirs.array[..., number]
        np.testing.assert_array_equal(mask.array > 0, (expected[::-1] if flipped else expected) > 0)
    assert ((masks[0].array > 0) & (masks[1].array > 0)).any()
    with pytest.raises(UnsupportedError, match="read_apart"):
        seg.read(path)


@pytest.mark.parametrize("name", ["seg_image_ct_true_fractional", "seg_image_ct_binary_fractional"])
def test_fractions_above_a_named_threshold(name, data_root: Path):
    path = data_root / "dicom_highdicom" / f"{name}.dcm"
    theirs = highdicom.seg.segread(path).get_volume(combine_segments=False, rescale_fractional=True)
    for threshold in (0.3, 0.5, 0.9):
        mask = seg.read(path, threshold=threshold)
        flipped = theirs.affine[:3, 0] @ mask.affine[:3, 0] < 0
        expected = (theirs.array[::-1] if flipped else theirs.array)[..., 0] >= threshold
        np.testing.assert_array_equal(mask.array > 0, expected)
    with pytest.raises(UnsupportedError, match="name one"):
        seg.read(path)
    with pytest.raises(UsageError, match="at most 1"):
        seg.read(path, threshold=1.5)


def test_a_compressed_binary_segmentation_is_refused(tmp_path):
    image = volume()
    path = written(mask_on(image.affine), source(image), tmp_path)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
    data.PixelData = pydicom.encaps.encapsulate([data.PixelData] * int(data.NumberOfFrames))
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "packed.dcm")
    with pytest.raises((UnsupportedError, LimitError), match="compressed"):
        seg.read(tmp_path / "packed.dcm")


def test_damaged_files_are_refused(tmp_path):
    image = volume()
    path = written(mask_on(image.affine), source(image), tmp_path)
    whole = path.read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.dcm").write_text("not DICOM" * 50)
    data = pydicom.dcmread(path)
    data.Rows = 20000
    huge = save(data, tmp_path, "huge.dcm")
    for damaged in (tmp_path / "cut.dcm", tmp_path / "text.dcm"):
        with pytest.raises(ReadError):
            seg.read(damaged)
    with pytest.raises((LimitError, ReadError)):
        seg.read(huge)
