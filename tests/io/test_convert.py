"""From any format to any other; what is refused; what is left on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from vesalius.core import Axis, AxisKind, Code, Mask, Segment, Volume
from vesalius.core.errors import (
    GeometryError,
    ImageContentError,
    NothingFoundError,
    OutputError,
    OutputExistsError,
    ReadError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
    VesaliusError,
)
from vesalius.io import convert as module
from vesalius.io import labels, metaimage, nifti, nrrd
from vesalius.io.convert import convert, save
from vesalius.phantoms.geometry import brightest_mm, grid_affine, marker_phantom

SHAPE = (11, 13, 15)
AFFINE = grid_affine(SHAPE, spacing_mm=(3, 1, 0.8), rotation_deg=(8, -12, 5))
PHANTOM = marker_phantom(SHAPE, AFFINE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "head.nii.gz"
    nifti.write(PHANTOM, path)
    return path


def left_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha"])
def test_save_picks_the_format_by_the_suffix(name: str, tmp_path: Path) -> None:
    save(PHANTOM, tmp_path / name)
    image = SimpleITK.ReadImage(str(tmp_path / name))
    assert np.array_equal(SimpleITK.GetArrayViewFromImage(image), PHANTOM.array)
    with pytest.raises(UsageError, match="cannot tell the format"):
        save(PHANTOM, tmp_path / "x.jpg")


@pytest.mark.parametrize(("name", "room"), [("y.nii", nifti), ("y.nrrd", nrrd), ("y.mha", metaimage)])
def test_file_to_file(name: str, room: object, source: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    done = convert(source, tmp_path / name, progress=lambda stage, fraction: stages.append(stage))
    assert list(done) == [tmp_path / name]
    back = room.read(done[0])  # type: ignore[attr-defined]
    assert np.array_equal(back.array, PHANTOM.array)
    assert np.allclose(brightest_mm(back), brightest_mm(PHANTOM), atol=0.01)
    assert stages[-1] == "done"


def test_into_a_folder_the_files_own_name_stays(source: Path, tmp_path: Path) -> None:
    done = convert(source, tmp_path / "out", to="nrrd")
    assert list(done) == [tmp_path / "out" / "head.nrrd"]
    assert left_in(tmp_path) == {"in", "out"}


def test_several_files_go_one_each_into_a_folder_and_never_into_one_file(source: Path, tmp_path: Path) -> None:
    nrrd.write(PHANTOM, source.with_name("second.nrrd"))
    done = convert(source.parent, tmp_path / "out", to="mha")
    assert {p.name for p in done} == {"head.mha", "second.mha"}
    with pytest.raises(UsageError, match="head-") as caught:
        convert(source.parent, tmp_path / "one.nii.gz")
    assert "second-" in caught.value.found
    assert left_in(tmp_path) == {"in", "out"}


def test_one_series_is_chosen_by_its_key(source: Path, tmp_path: Path) -> None:
    nrrd.write(PHANTOM, source.with_name("second.nrrd"))
    with pytest.raises(UnknownNameError, match="head-") as caught:
        convert(source.parent, tmp_path / "x.nii.gz", series="third")
    key = next(k for k in caught.value.expected.split(", ") if k.startswith("second"))
    assert len(convert(source.parent, tmp_path / "x.nii.gz", series=key)) == 1


def test_what_is_there_stays_without_force(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.nrrd"
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        convert(source, out)
    assert out.read_bytes() == b"mine"
    convert(source, out, force=True)
    assert nrrd.read(out).sha256 == nifti.read(source).sha256
    assert list(convert(source, out)) == [out]  # the same content is no conflict
    assert left_in(tmp_path) == {"in", "x.nrrd"}


@pytest.mark.parametrize(
    ("out", "wish", "error"),
    [
        ("x.foo.png", {}, UsageError),
        ("x.nii.gz", {"to": "nrrd"}, UsageError),
        ("x.nii.gz", {"to": "dicom"}, UsageError),
        ("x.nii.gz", {"to": "bmp"}, UnknownNameError),
        ("x", {}, UsageError),
        ("x", {"to": "dicom", "modality": "XX"}, UsageError),
        ("in/head.nii.gz/x.nii", {}, OutputError),
        ("in", {"to": "dicom"}, UsageError),
    ],
)
def test_wrong_usage(out: str, wish: dict[str, str], error: type[VesaliusError], source: Path, tmp_path: Path) -> None:
    with pytest.raises(error):
        convert(source, tmp_path / out, **wish)  # type: ignore[arg-type]
    assert left_in(tmp_path) == {"in"}
    assert left_in(tmp_path / "in") == {"head.nii.gz"}


def test_nothing_to_convert(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingFoundError):
        convert(tmp_path / "empty", tmp_path / "x.nii")
    (tmp_path / "bad.nii.gz").write_text("text")
    with pytest.raises(ReadError, match=r"bad\.nii\.gz"):
        convert(tmp_path / "bad.nii.gz", tmp_path / "x.nii")
    assert left_in(tmp_path) == {"empty", "bad.nii.gz"}


def test_one_bad_file_among_several_is_left_out_and_said(source: Path, tmp_path: Path) -> None:
    source.with_name("bad.nii.gz").write_bytes(source.read_bytes()[:-50])
    done = convert(source.parent, tmp_path / "out", to="nrrd")
    assert [p.name for p in done] == ["head.nrrd"]
    assert any("left_out" in message.id for message in done.warnings)


def test_a_tilted_grid_goes_to_nifti_and_nrrd_and_not_to_metaimage(tmp_path: Path) -> None:
    tilted = marker_phantom(SHAPE, grid_affine(SHAPE, spacing_mm=(3, 1, 1), tilt_deg=15))
    nifti.write(tilted, tmp_path / "t.nii.gz")
    assert np.allclose(nrrd.read(convert(tmp_path / "t.nii.gz", tmp_path / "t.nrrd")[0]).affine, tilted.affine)
    with pytest.raises(GeometryError, match="resample"):
        convert(tmp_path / "t.nii.gz", tmp_path / "t.mha")
    assert left_in(tmp_path) == {"t.nii.gz", "t.nrrd"}


def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(OutputError, match="disk is full"):
        convert(source, tmp_path / "out", to="nrrd")
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".part", ".nrrd")]


# --- DICOM --------------------------------------------------------------------------------------------------------


def test_nifti_to_dicom_is_one_file_per_slice_and_marked_derived(source: Path, tmp_path: Path) -> None:
    done = convert(source, tmp_path / "out", to="dicom")
    assert len(done) == SHAPE[0] == len(left_in(tmp_path / "out"))
    assert [m.id for m in done.warnings] == ["convert.modality_assumed"]
    headers = [pydicom.dcmread(p) for p in done]
    assert {h.SOPClassUID.name for h in headers} == {"MR Image Storage"}
    assert {tuple(h.ImageType[:2]) for h in headers} == {("DERIVED", "SECONDARY")}
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "out"))
    image = SimpleITK.ReadImage(names)
    k, j, i = (int(n) for n in np.argwhere(SimpleITK.GetArrayViewFromImage(image) == PHANTOM.array.max())[0])
    assert np.allclose(image.TransformIndexToPhysicalPoint((i, j, k)), brightest_mm(PHANTOM), atol=0.01)


def test_the_modality_that_is_told_is_written(source: Path, tmp_path: Path) -> None:
    done = convert(source, tmp_path / "out", to="dicom", modality="CT")
    assert pydicom.dcmread(done[0]).SOPClassUID.name == "CT Image Storage"
    assert done.warnings == ()


def test_dicom_back_to_nifti(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out", to="dicom", modality="CT")
    back = nifti.read(convert(tmp_path / "out", tmp_path / "back.nii.gz")[0])
    assert np.allclose(brightest_mm(back), brightest_mm(PHANTOM), atol=0.01)
    assert np.array_equal(back.reorient("SPL").array, PHANTOM.reorient("SPL").array)


def test_float_goes_to_16_bit_within_half_a_step_which_is_told(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(0, 3, SHAPE).astype(np.float32)
    nifti.write(Volume(array, AFFINE), tmp_path / "f.nii.gz")
    done = convert(tmp_path / "f.nii.gz", tmp_path / "out", to="dicom", modality="CT")
    told = next(m.parameters for m in done.warnings if m.id == "convert.scaled")
    stored = [pydicom.dcmread(p) for p in done]
    stored.sort(key=lambda h: h.InstanceNumber)
    true = np.stack([h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in stored])
    step = float(told["slope"])
    assert float(told["error"]) == pytest.approx(step / 2)
    assert min(np.abs(true - array).max(), np.abs(true - array[::-1]).max()) <= step / 2 * 1.001


def test_what_dicom_cannot_hold_is_refused(tmp_path: Path) -> None:
    four = Volume(np.zeros((*SHAPE, 2), np.int16), AFFINE, axis=Axis(AxisKind.TIME, (0.0, 1.0), "s"))
    colour = np.zeros((*SHAPE, 3), np.uint8)
    rgb = Volume(colour, AFFINE, axis=Axis(AxisKind.RGB, ("red", "green", "blue")))
    missing = Volume(np.full(SHAPE, np.nan, np.float32), AFFINE)
    for name, volume, error in (("4", four, UnsupportedError), ("c", rgb, UnsupportedError)):
        nifti.write(volume, tmp_path / f"{name}.nii.gz")
        with pytest.raises(error):
            convert(tmp_path / f"{name}.nii.gz", tmp_path / "out", to="dicom")
    nifti.write(missing, tmp_path / "n.nii.gz")
    with pytest.raises(ImageContentError, match="finite"):
        convert(tmp_path / "n.nii.gz", tmp_path / "out", to="dicom")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(VesaliusError):
        convert(tmp_path / "p.png", tmp_path / "out", to="dicom")
    assert not (tmp_path / "out").exists()


def test_slices_of_two_conversions_never_share_a_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(source, out, to="dicom")
    short = PHANTOM.crop((0, 0, 0), (4, 13, 15))
    nifti.write(short, tmp_path / "short.nii.gz")
    with pytest.raises(OutputExistsError):
        convert(tmp_path / "short.nii.gz", out, to="dicom")
    assert len(left_in(out)) == SHAPE[0]
    (out / "notes.txt").write_text("keep")
    convert(tmp_path / "short.nii.gz", out, to="dicom", force=True)
    assert len(left_in(out)) == 4 + 1
    assert (out / "notes.txt").read_text() == "keep"


@pytest.mark.slow
def test_real_dicom_to_every_format_agrees_with_simpleitk(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "brain_mprage_dicom"
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = SimpleITK.ReadImage(names)
    truth = SimpleITK.GetArrayViewFromImage(image)
    for name in ("x.nii.gz", "x.nrrd", "x.mha"):
        path = convert(folder, tmp_path / name)[0]
        ours = SimpleITK.ReadImage(str(path))
        assert ours.GetSize() == image.GetSize()
        for index in ((0, 0, 0), tuple(n - 1 for n in image.GetSize())):
            point = image.TransformIndexToPhysicalPoint(index)
            there = ours.TransformPhysicalPointToIndex(point)
            back = ours.TransformIndexToPhysicalPoint(there)
            assert np.allclose(back, point, atol=0.01)
        middle = tuple(n // 2 for n in image.GetSize())
        there = ours.TransformPhysicalPointToIndex(image.TransformIndexToPhysicalPoint(middle))
        assert ours.GetPixel(there) == truth[middle[::-1]]


def test_several_dicom_series_become_one_file_each(data_root: Path, tmp_path: Path) -> None:
    done = convert(data_root / "brain_mri_dicom_udacity", tmp_path / "out", to="nifti")
    assert len(done) >= 2
    assert all(nib.load(p).ndim == 3 for p in done)
    with pytest.raises(UsageError, match=r"1\.\d"):
        convert(data_root / "brain_mri_dicom_udacity", tmp_path / "x.nii.gz")


def test_a_caller_may_hand_in_its_own_loader(source: Path, tmp_path: Path) -> None:
    wish = module.Wish(to="nrrd")
    done = module.convert_as(source, tmp_path / "out", wish, loader=lambda series: nifti.read(series).reorient("RAS"))
    assert nrrd.read(done[0]).orientation == "RAS"


def test_source_and_target_may_be_one_file_with_force(source: Path) -> None:
    keep = source.with_name("keep.nii.gz")
    shutil.copy(source, keep)
    convert(source, source, force=True)
    assert nifti.read(source).sha256 == nifti.read(keep).sha256


# --- label tables -------------------------------------------------------------------------------------------------


def test_label_tables() -> None:
    grey = Segment("grey matter", Code("389081007", "SCT", "Grey matter"), (200, 100, 50))
    mask = Mask(np.ones((2, 2, 2), np.uint8), np.eye(4), segments={1: grey, 7: grey})
    assert labels.segments_from_json(labels.labels_json(mask)) == dict(mask.segments)
    table = labels.colour_table(mask).decode().splitlines()
    assert table[2:] == ["0 background 0 0 0 0", "1 grey_matter 200 100 50 255", "7 grey_matter 200 100 50 255"]
    with pytest.raises(ReadError, match="damaged"):
        labels.segments_from_json(b"[]")
    with pytest.raises(ReadError, match="not a table"):
        labels.segments_from_json(b'{"schema": "other"}')
