"""RT structure sets: masks come back as they were, and what others draw is read as they meant it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage
from skimage.draw import polygon2mask
from written import SEGMENTS, Tool, dciodvfy_errors, oblique, origin, parsed_by_dcmtk, real_series, source, volume

from vesalius import io
from vesalius.core import Code, Mask, Segment, Volume
from vesalius.core.errors import (
    GeometryError,
    ImageContentError,
    LabelError,
    LimitError,
    ReadError,
    UnknownSpacingError,
    UnsupportedError,
)
from vesalius.core.grid import Spacing
from vesalius.io.dicom import contours, placing, rtstruct, rtstruct_write
from vesalius.phantoms import grid_affine

ONE = {1: Segment("target", Code("86049000", "SCT", "Neoplasm, primary"), (255, 0, 0))}
SHAPE = (5, 14, 11)


def body(shape=SHAPE, seed: int = 5) -> np.ndarray:
    """Return two labels with holes, islands in holes, parts touching at corners, and an empty slice."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    labels[random.random(shape) < 0.5] = 2
    labels[random.random(shape) < 0.3] = 41
    middle = tuple(slice(n // 4, n - n // 4) for n in shape[1:])
    labels[1][middle] = 2
    labels[1, shape[1] // 2, shape[2] // 2] = 0
    labels[0] = 0
    return labels


def written(masks, headers: list[Dataset], folder: Path, name: str = "plan") -> Path:
    dataset = rtstruct_write.from_masks(masks, headers, name=name, origin=origin())
    path = folder / f"{name}.dcm"
    path.write_bytes(rtstruct_write.to_bytes(dataset))
    return path


@pytest.mark.parametrize("tilt", [0.0, 15.0])
@pytest.mark.parametrize("spacing", [(3.0, 0.8, 1.1), (1.0, 1.0, 1.0), (0.3, 2.5, 0.6)])
def test_written_and_read_back_it_is_the_same_mask(tilt, spacing, tmp_path, tool: Tool):
    image = volume(affine=oblique(spacing, tilt_deg=tilt))
    mask = Mask(body(), image.affine, segments=SEGMENTS)
    path = written(mask, source(image), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    assert parsed_by_dcmtk(tool, path)
    found = rtstruct.read(path, image)
    back = rtstruct.combined(found)
    np.testing.assert_array_equal(back.array, mask.array)
    assert back.same_grid(mask)
    assert dict(back.segments) == SEGMENTS
    assert all(roi.off_slice_mm < 0.01 and not roi.clipped and not roi.crossing_slices for roi in found)
    assert not any(roi.without_voxel or roi.repeated for roi in found)


@pytest.mark.parametrize("orientation", ["SPL", "ASL", "LSP", "IAR", "PIR"])
def test_every_plane_of_the_body(orientation, tmp_path):
    affine = grid_affine(SHAPE, orientation=orientation, spacing_mm=(2.5, 0.7, 0.9), rotation_deg=(4, -3, 8))
    image = volume(affine=affine)
    mask = Mask(body(), affine, segments=SEGMENTS)
    path = written(mask, source(image), tmp_path)
    np.testing.assert_array_equal(rtstruct.combined(rtstruct.read(path, image)).array, mask.array)


@pytest.mark.parametrize("code", ["RAS", "SRA", "IPL", "ALS"])
def test_a_turned_mask_or_grid_gives_the_same_region(code, tmp_path):
    """Slices may be any array axis: NIfTI order, for instance."""
    image = volume(affine=grid_affine(SHAPE, spacing_mm=(2.5, 0.7, 0.9)))
    mask = Mask(body(), image.affine, segments=SEGMENTS)
    path = written(mask, source(image), tmp_path)
    assert written(mask.reorient(code), source(image)[::-1], tmp_path, "other").stat().st_size > 0
    turned = rtstruct.combined(rtstruct.read(path, image.reorient(code)))
    np.testing.assert_array_equal(turned.array, mask.reorient(code).array)
    again = rtstruct.combined(rtstruct.read(tmp_path / "other.dcm", image))
    np.testing.assert_array_equal(again.array, mask.array)


def test_real_sources(tmp_path, data_root: Path, tool: Tool):
    for name, headers in real_series(data_root).items():
        places = sorted(
            (p for h in headers for p in placing.of_frames(h)), key=lambda p: float(p.normal @ p.position_mm)
        )
        # The series on disk may have gaps; the mask lies on its first two slices then.
        places = places[:2]
        step = places[-1].position_mm - places[0].position_mm if len(places) > 1 else places[0].normal
        shape = (len(places), headers[0].Rows, headers[0].Columns)
        solid = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(shape), (0, 9, 9)) > 0
        mask = Mask(solid.astype(np.uint8), places[0].affine(step), segments=ONE)
        path = written(mask, headers, tmp_path, f"real {len(headers)}")
        assert dciodvfy_errors(tool, path) == [], name
        (roi,) = rtstruct.read(path, mask)
        np.testing.assert_array_equal(roi.mask.array, mask.array)
        data = pydicom.dcmread(path)
        study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        named = {i.ReferencedSOPInstanceUID for i in study.RTReferencedSeriesSequence[0].ContourImageSequence}
        assert named == {str(header.SOPInstanceUID) for header in headers}


def test_a_real_ct_as_scanned(tmp_path, data_root: Path):
    """Bone of the LIDC slices, on the grid that `io.scan` finds for them."""
    with io.scan(data_root / "lidc_0001_ct") as scan:
        series = scan.studies[0].series[0]
        headers = io.source_headers(series)
        slices = io.load_slices(series)
    image = slices[0]
    mask = Mask((image.array > 150).astype(np.uint8), image.affine, segments=ONE)
    path = written(mask, headers, tmp_path)
    (roi,) = rtstruct.read(path, image)
    np.testing.assert_array_equal(roi.mask.array, mask.array)
    assert rtstruct.describe(path).series == (series.uid,)


def test_the_descriptor_of_a_series_is_a_grid(tmp_path):
    image = volume(affine=oblique())
    headers = source(image)
    for number, header in enumerate(headers):
        header.save_as(tmp_path / f"{number}.dcm")
    mask = Mask(body(), image.affine, segments=SEGMENTS)
    path = written(mask, headers, tmp_path.parent / tmp_path.name, "set")
    with io.scan(tmp_path) as scan:
        series = next(s for study in scan.studies for s in study.series if s.modality == "MR")
        back = rtstruct.combined(rtstruct.read(path, series))
        np.testing.assert_array_equal(back.array, rtstruct.combined(rtstruct.read(path, io.load(series))).array)
        assert back.array.any()
        stranger = replace(series, frame_of_reference_uid="1.2.3", uid="1.2.4")
        with pytest.raises(GeometryError, match="frame of reference"):
            rtstruct.read(path, stranger)


def test_overlapping_segments_of_several_masks(tmp_path):
    image = volume(affine=oblique())
    one, two = np.zeros((2, *SHAPE), np.uint8)
    one[1:4, 2:9, 2:8] = 1
    two[2:5, 4:12, 5:10] = 1
    other = {1: Segment("organ", Code("113343008", "SCT", "Organ"), (0, 255, 0))}
    masks = [Mask(one, image.affine, segments=ONE), Mask(two, image.affine, segments=other)]
    path = written(masks, source(image), tmp_path)
    found = rtstruct.read(path, image)
    assert [roi.name for roi in found] == ["target", "organ"]
    for roi, mask in zip(found, masks, strict=True):
        np.testing.assert_array_equal(roi.mask.array, mask.array)
    (only,) = rtstruct.read(path, image, rois=["organ"])
    assert only.number == 2
    with pytest.raises(LabelError, match="one label"):
        rtstruct.combined(found)
    with pytest.raises(ImageContentError, match="overlap"):
        rtstruct.combined(
            [found[0], replace(found[1], mask=replace(found[1].mask, array=two * 2, segments={2: ONE[1]}))]
        )


def test_an_empty_segment_is_kept(tmp_path, tool: Tool):
    image = volume(affine=oblique())
    mask = Mask(np.zeros(SHAPE, np.uint8), image.affine, segments=SEGMENTS)
    path = written(mask, source(image), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    found = rtstruct.read(path, image)
    assert [roi.outlines for roi in found] == [0, 0]
    assert list(rtstruct.combined(found).segments) == [2, 41]
    assert rtstruct.describe(path).rois[1].contours == {}


def test_identity_source_and_references(tmp_path):
    image = volume(affine=oblique())
    headers = source(image)
    data = pydicom.dcmread(written(Mask(body(), image.affine, segments=SEGMENTS), headers, tmp_path))
    assert data.PatientID == headers[0].PatientID
    assert data.StudyInstanceUID == headers[0].StudyInstanceUID
    assert data.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert data.ApprovalStatus == "UNAPPROVED"
    assert "research use" in data.StructureSetDescription
    places = {h.SOPInstanceUID: np.array(h.ImagePositionPatient, float) for h in headers}
    normal = np.cross(*np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3))
    for roi in data.ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            at = places[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.abs((points - at) @ normal).max() < 0.01
            assert contour.NumberOfContourPoints == len(points)
    again = rtstruct_write.from_masks(
        Mask(body(), image.affine, segments=SEGMENTS), headers, name="plan", origin=origin()
    )
    assert rtstruct_write.to_bytes(again) == (tmp_path / "plan.dcm").read_bytes()


def test_the_area_drawn_is_the_area_of_the_voxels():
    for seed in range(4):
        inside = ndimage.binary_dilation(np.random.default_rng(seed).random((40, 50)) < 0.05, iterations=2)
        area = 0.0
        for points in contours.outlines(inside):
            after = np.roll(points, -1, axis=0)
            area += float((points[:, 1] * after[:, 0] - after[:, 1] * points[:, 0]).sum() / 2)
        assert area == pytest.approx(inside.sum())
        assert len(contours.outlines(inside)) == ndimage.label(inside)[1]


def test_noise_keeps_every_pixel():
    random = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        inside = random.random((31, 27)) < share
        back = np.zeros_like(inside)
        for points in contours.outlines(inside):
            region, on_edge = contours.filled(points, inside.shape)
            assert not on_edge.any()
            back ^= region
        np.testing.assert_array_equal(back, inside)


# What other programs write.

GRID = Volume(np.zeros((8, 40, 50), np.int16), grid_affine((8, 40, 50), spacing_mm=(3.0, 0.8, 1.2)), modality="CT")


def foreign(shapes: dict[str, list], folder: Path, grid: Volume = GRID, **changes) -> Path:
    """Write a structure set as another program might: contours as (slice, [(row, column) ...]) in voxels."""
    data = rtstruct_write.from_masks(
        Mask(np.zeros(grid.shape, np.uint8), grid.affine, segments={n: ONE[1] for n in range(1, len(shapes) + 1)}),
        source(Volume(np.zeros(grid.shape, np.int16), grid.affine, modality="MR")),
        name="foreign",
        origin=origin(),
    )
    data.Manufacturer = "Someone"
    for header, item, (name, given) in zip(
        data.StructureSetROISequence, data.ROIContourSequence, shapes.items(), strict=True
    ):
        header.ROIName = name
        item.ContourSequence = []
        for place, points, *kind in given:
            index = np.column_stack([np.full(len(points), place), np.asarray(points, float)])
            contour = Dataset()
            contour.ContourGeometricType = kind[0] if kind else "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{v:.3f}" for v in grid.index_to_world(index).reshape(-1)]
            for keyword, value in changes.items():
                setattr(contour, keyword, value)
            item.ContourSequence.append(contour)
    path = folder / "foreign.dcm"
    path.write_bytes(rtstruct_write.to_bytes(data))
    return path


def circle(radius: float, centre=(20.3, 24.6), count: int = 180) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([centre[0] + radius * np.sin(turn), centre[1] + radius * np.cos(turn)])


def test_a_circle_is_filled_as_scikit_image_does(tmp_path):
    (roi,) = rtstruct.read(foreign({"disc": [(3, circle(9.3))]}, tmp_path), GRID)
    np.testing.assert_array_equal(roi.mask.array[3] > 0, polygon2mask((40, 50), circle(9.3)))
    assert roi.mask.array.sum() == roi.mask.array[3].sum()
    assert roi.mask.volume_ml("disc") == pytest.approx(np.pi * 9.3**2 * 3 * 0.8 * 1.2 / 1000, rel=0.02)


def test_holes_by_a_second_outline_and_by_a_keyhole(tmp_path):
    ring = polygon2mask((40, 50), circle(12)) & ~polygon2mask((40, 50), circle(5.2))
    keyhole = np.concatenate([circle(12), circle(12)[:1], circle(5.2)[:1], circle(5.2)[::-1]])
    island = [(2, circle(12)), (2, circle(5.2)), (2, circle(2.1))]
    shapes = {
        "two": [(2, circle(12)), (2, circle(5.2))],
        "xor": [(2, circle(12), "CLOSEDPLANAR_XOR"), (2, circle(5.2), "CLOSEDPLANAR_XOR")],
        "keyhole": [(2, keyhole)],
        "island": island,
    }
    found = {roi.name: roi for roi in rtstruct.read(foreign(shapes, tmp_path), GRID)}
    for name in ("two", "xor", "keyhole"):
        np.testing.assert_array_equal(found[name].mask.array[2] > 0, ring, name)
        assert not found[name].crossing_slices
    np.testing.assert_array_equal(found["island"].mask.array[2] > 0, ring | polygon2mask((40, 50), circle(2.1)))


def test_outlines_through_pixel_centres_keep_their_pixels(tmp_path):
    """OpenCV and others outline along the centres of boundary pixels: these belong to the region."""
    box = [(10, 12), (10, 30), (25, 30), (25, 12)]
    one, two = [(33, 40)], [(35, 40), (35, 41)]
    (roi,) = rtstruct.read(foreign({"box": [(4, box), (4, one), (4, two)]}, tmp_path), GRID)
    expected = np.zeros((40, 50), bool)
    expected[10:26, 12:31] = expected[33, 40] = expected[35, 40:42] = True
    np.testing.assert_array_equal(roi.mask.array[4] > 0, expected)


def test_gaps_crossings_repeats_and_other_things_are_told(tmp_path):
    other = circle(6, (20, 30))
    shapes = {
        "gap": [(1, circle(8)), (2, circle(8)), (5, circle(8))],
        "crossing": [(3, circle(8, (20, 24))), (3, other)],
        "apart": [(3, circle(4, (10, 10))), (3, circle(4, (30, 40)))],
        "repeated": [(3, circle(8)), (3, circle(8))],
        "tiny": [(3, circle(0.1, (20.5, 24.5))), (3, circle(8))],
        "points": [(3, [(5, 5)], "POINT"), (3, [(1, 1), (2, 2), (3, 1)], "OPEN_PLANAR")],
        "beyond": [(3, circle(15, (20.3, 45.2)))],
    }
    found = {roi.name: roi for roi in rtstruct.read(foreign(shapes, tmp_path), GRID)}
    assert found["gap"].missing_slices == (3, 4)
    assert not found["gap"].mask.array[3:5].any()
    assert found["crossing"].crossing_slices == (3,)
    assert found["apart"].crossing_slices == ()
    assert found["repeated"].repeated == 1
    np.testing.assert_array_equal(found["repeated"].mask.array[3] > 0, found["gap"].mask.array[1] > 0)
    assert found["tiny"].without_voxel == 1
    assert found["points"].left_out == {"POINT": 1, "OPEN_PLANAR": 1}
    assert found["points"].mask.array.sum() == 0
    assert found["beyond"].clipped
    assert not found["gap"].clipped
    np.testing.assert_array_equal(found["beyond"].mask.array[3] > 0, polygon2mask((40, 50), circle(15, (20.3, 45.2))))
    told = rtstruct.describe(tmp_path / "foreign.dcm")
    assert told.rois[0].name == "gap"
    assert told.rois[5].contours == {"POINT": 1, "OPEN_PLANAR": 1}


@pytest.mark.parametrize(("place", "words"), [(3.5, "between two slices"), (-1.0, "beyond the image"), (9.0, "beyond")])
def test_outlines_on_other_slices_are_refused(place, words, tmp_path):
    with pytest.raises(GeometryError, match=words):
        rtstruct.read(foreign({"disc": [(place, circle(8))]}, tmp_path), GRID)


def test_outlines_across_the_slices_are_refused(tmp_path):
    other = replace(GRID, affine=grid_affine(GRID.shape, spacing_mm=(3.0, 0.8, 1.2), rotation_deg=(12, 0, 0)))
    with pytest.raises(GeometryError, match="resample_like"):
        rtstruct.read(foreign({"disc": [(3, circle(8))]}, tmp_path), other)


def test_bad_input_names_the_fix(tmp_path):
    path = foreign({"disc": [(3, circle(8))]}, tmp_path)
    with pytest.raises(LabelError, match="1 disc"):
        rtstruct.read(path, GRID, rois=["liver"])
    with pytest.raises(UnknownSpacingError):
        rtstruct.read(path, replace(GRID, spacing=Spacing.UNKNOWN))
    with pytest.raises(LabelError, match="no region"):
        rtstruct.combined([])
    image = volume(affine=oblique())
    mask = Mask(body(), image.affine, segments=SEGMENTS)
    with pytest.raises(GeometryError, match="resample_like"):
        rtstruct_write.from_masks(
            replace(mask, affine=oblique((3.0, 0.9, 1.1))), source(image), name="x", origin=origin()
        )
    with pytest.raises(GeometryError, match="headers"):
        rtstruct_write.from_masks(mask, [], name="x", origin=origin())
    with pytest.raises(LabelError, match="segments"):
        rtstruct_write.from_masks([], source(image), name="x", origin=origin())


def test_damaged_and_other_files(tmp_path, data_root: Path):
    whole = foreign({"disc": [(3, circle(8))]}, tmp_path).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.dcm").write_text("not DICOM" * 50)
    for name in ("cut.dcm", "text.dcm"):
        with pytest.raises(ReadError):
            rtstruct.read(tmp_path / name, GRID)
    with pytest.raises(UnsupportedError, match="SOP class"):
        rtstruct.read(data_root / "dicom_highdicom" / "ct_image.dcm", GRID)
    for change in ({"NumberOfContourPoints": 7}, {"ContourData": ["1", "2"]}):
        with pytest.raises(ReadError, match="damaged"):
            rtstruct.read(foreign({"disc": [(3, circle(8))]}, tmp_path, **change), GRID)
    wild = whole.replace(b"\\0\\", b"\\x\\").replace(b"\\1", b"\\?")
    (tmp_path / "wild.dcm").write_bytes(wild)
    with pytest.raises(ReadError, match="not a number"):
        rtstruct.read(tmp_path / "wild.dcm", GRID)


def test_a_file_without_preamble_is_described():
    told = rtstruct.describe(pydicom.data.get_testdata_file("rtstruct.dcm", download=False))
    assert told.rois
    assert all(roi.name for roi in told.rois)


def test_hostile_sizes_are_refused(tmp_path, monkeypatch):
    path = foreign({"disc": [(3, circle(8))]}, tmp_path)
    monkeypatch.setattr(rtstruct, "MAX_POINTS", 100)
    with pytest.raises(LimitError, match="too many"):
        rtstruct.read(path, GRID)
    monkeypatch.undo()
    monkeypatch.setattr(contours, "MAX_CROSSINGS", 30)
    with pytest.raises(LimitError, match="winds"):
        rtstruct.read(path, GRID)


def test_long_edges_are_worked_on_in_parts(monkeypatch):
    expected = contours.filled(circle(15), (40, 50))[0]
    monkeypatch.setattr(contours, "_CHUNK", 7)
    np.testing.assert_array_equal(contours.filled(circle(15), (40, 50))[0], expected)


def test_an_outline_of_more_than_64_kilobytes(tmp_path, tool: Tool):
    """A comb: thousands of corners in one outline, more than explicit value lengths can tell."""
    affine = grid_affine((1, 240, 240), spacing_mm=(2.0, 0.7, 0.7))
    comb = np.zeros((1, 240, 240), np.uint8)
    comb[0, 4, 2:238] = 1
    comb[0, 4:230, 2:238:2] = 1
    comb[0, 60:120:2, 3:237:4] = 1
    image = Volume(np.zeros(comb.shape, np.int16), affine, modality="MR")
    path = written(Mask(comb, affine, segments=ONE), source(image), tmp_path)
    data = pydicom.dcmread(path)
    assert len(data.ROIContourSequence[0].ContourSequence[0].get_item("ContourData").value) > 1 << 16
    assert dciodvfy_errors(tool, path) == []
    (roi,) = rtstruct.read(path, image)
    np.testing.assert_array_equal(roi.mask.array, comb)
