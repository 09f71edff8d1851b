"""Where a face is cut, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from face_objects import face, head, pixels, slice_of
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from scipy.ndimage import binary_dilation

from vesalius.core.volume import Volume
from vesalius.privacy import deface as room
from vesalius.privacy import deface_files
from vesalius.privacy.deface import FaceDoubtError, deface, locate
from vesalius.privacy.deface_files import blank_face, nifti_blanker
from vesalius.privacy.nifti_text import cleaned_nifti
from vesalius.segment.tissue.atlas import load_atlas

LEVEL = 40
"""A slice at the height of the eyes: z = -18 mm."""


def with_meta(data: Dataset) -> Dataset:
    """Return the data set as a cleaner takes it."""
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


@pytest.fixture(scope="module")
def painted() -> Volume:
    return head()


@pytest.mark.parametrize("place", [(0, -112, -45), (32, -88, -22), (-32, -88, -22), (0, -100, -80), (80, 10, -40)])
def test_nose_eyes_mouth_and_ears_go(place: tuple[int, int, int]) -> None:
    grid = np.eye(4)
    grid[:3, :3], grid[:3, 3] = np.eye(3)[::-1], place
    assert face().removed(grid, (1, 1, 1)).all()


def test_what_lies_near_the_brain_stays() -> None:
    atlas = load_atlas()
    gone = face().removed(np.asarray(atlas.affine), atlas.shape)
    brain = binary_dilation(atlas.brain > 0.5, iterations=4)
    assert gone.any()
    assert not (gone & brain).any()


def test_any_grid_loses_the_same_places(painted: Volume) -> None:
    gone = face().removed(np.asarray(painted.affine), painted.shape)
    other = painted.reorient("LPS")
    again = face().removed(np.asarray(other.affine), other.shape)
    back = other.with_array(again.astype(np.uint8), "mask").reorient(painted.orientation)
    assert np.array_equal(back.array.astype(bool), gone)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_voxels_outside_the_face_keep_every_bit(painted: Volume, dtype: type) -> None:
    volume = painted.with_array(np.minimum(painted.array, 255).astype(dtype), "typed")
    before = volume.array.copy()
    result = deface(volume, face=face(3.0))
    gone = result.removed.array > 0
    assert result.volume.array.dtype == dtype
    assert np.array_equal(result.volume.array[~gone], before[~gone])
    assert (result.volume.array[gone] == 3).all()
    assert np.array_equal(volume.array, before)


def test_fourth_axis_is_cut_alike(painted: Volume) -> None:
    from vesalius.core.axis import Axis, AxisKind

    array = np.stack([painted.array, painted.array + 1], axis=-1)
    volume = Volume(array, painted.affine, modality="MR", axis=Axis(AxisKind.TIME, (0.0, 1.0), "s"))
    result = deface(volume, face=face())
    gone = result.removed.array > 0
    assert not result.volume.array[gone].any()
    assert np.array_equal(result.volume.array[~gone], array[~gone])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_object_keeps_every_other_pixel_native_or_compressed(painted: Volume, syntax: str) -> None:
    data = with_meta(slice_of(painted, LEVEL))
    before = pixels(data).copy()
    if syntax == RLELossless:
        data.compress(RLELossless)
    count = blank_face(data, face())
    gone = face().removed(np.asarray(painted.affine), painted.shape)[LEVEL]
    assert data.file_meta.TransferSyntaxUID == syntax
    assert count == np.count_nonzero(gone) > 100
    assert np.array_equal(pixels(data)[~gone], before[~gone])
    assert not pixels(data)[gone].any()


def test_background_is_air_in_stored_units(painted: Volume) -> None:
    data = with_meta(slice_of(painted, LEVEL, RescaleSlope="2", RescaleIntercept="-1024"))
    blank_face(data, face(-1000.0))
    gone = face().removed(np.asarray(painted.affine), painted.shape)[LEVEL]
    assert (pixels(data)[gone] == 12).all()


def test_background_stays_in_the_stored_bits(painted: Volume) -> None:
    data = with_meta(slice_of(painted, LEVEL))
    blank_face(data, face(-1000.0))
    assert pixels(data).min() == 0
    assert pixels(data).max() < 4096


def test_overlay_bits_above_the_stored_ones_are_cleared(painted: Volume) -> None:
    data = with_meta(slice_of(painted, LEVEL))
    data.PixelData = (np.frombuffer(data.PixelData, "<u2") | 0x8000).tobytes()
    blank_face(data, face())
    assert np.frombuffer(data.PixelData, "<u2").max() < 4096


def test_each_frame_of_an_enhanced_object_is_cut_at_its_own_place(painted: Volume) -> None:
    frames = [slice_of(painted, index) for index in (LEVEL, 90)]
    data = with_meta(slice_of(painted, LEVEL))
    data.NumberOfFrames, data.PixelData = 2, b"".join(frame.PixelData for frame in frames)
    items = []
    for frame in frames:
        plane, turn, measures, item = Dataset(), Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient = frame.ImagePositionPatient
        turn.ImageOrientationPatient, measures.PixelSpacing = frame.ImageOrientationPatient, frame.PixelSpacing
        item.PlanePositionSequence, item.PlaneOrientationSequence = Sequence([plane]), Sequence([turn])
        item.PixelMeasuresSequence = Sequence([measures])
        items.append(item)
    data.PerFrameFunctionalGroupsSequence = Sequence(items)
    before = pixels(data).copy()
    blank_face(data, face())
    assert (pixels(data)[0] != before[0]).any()
    assert np.array_equal(pixels(data)[1], before[1])


@pytest.mark.parametrize(
    "told",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesDescription": "3-plane scout"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
        {"ImagePositionPatient": None},
    ],
)
def test_object_that_cannot_be_cut_is_in_doubt(painted: Volume, told: dict[str, object]) -> None:
    data = with_meta(slice_of(painted, LEVEL, **told))
    before = data.PixelData
    with pytest.raises(FaceDoubtError):
        blank_face(data, face())
    assert data.PixelData == before


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
def test_nifti_keeps_type_geometry_and_every_other_voxel(
    painted: Volume, tmp_path: Path, name: str, repeats: int
) -> None:
    array = np.moveaxis(np.asarray(painted.array), (0, 1, 2), (2, 1, 0))
    array = np.stack([array] * repeats, axis=-1) if repeats > 1 else array
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ painted.affine[:, [2, 1, 0, 3]]
    stored = nibabel.Nifti1Image(array, affine)
    stored.header.set_slope_inter(2.0, -10.0)
    nibabel.save(stored, tmp_path / name)
    blank = nifti_blanker(tmp_path / name, face(-10.0))
    (tmp_path / f"out-{name}").write_bytes(b"".join(cleaned_nifti(tmp_path / name, blank)))
    before, after = (nibabel.load(tmp_path / one) for one in (name, f"out-{name}"))
    gone = np.transpose(face().removed(np.asarray(painted.affine), painted.shape), (2, 1, 0))
    raw, new = before.dataobj.get_unscaled(), after.dataobj.get_unscaled()
    assert new.dtype == raw.dtype
    assert np.array_equal(after.affine, before.affine)
    assert np.array_equal(new[~gone], raw[~gone])
    assert not np.asarray(new[gone]).any()
    pieces = [blank(at, raw.tobytes("F")[at : at + 1001]) for at in (0, 1001)]
    assert b"".join(pieces) == new.tobytes("F")[:2002]


@pytest.mark.parametrize("shape", [(4, 64, 64), (64, 64, 4)])
def test_too_few_slices_are_in_doubt(shape: tuple[int, int, int]) -> None:
    volume = Volume(np.random.default_rng(1).integers(0, 200, shape, np.uint8), np.diag([3.0, 3.0, 3.0, 1.0]))
    with pytest.raises(FaceDoubtError, match="too few slices"):
        locate(volume)


def test_image_without_contrast_is_in_doubt() -> None:
    with pytest.raises(FaceDoubtError, match="no contrast"):
        locate(Volume(np.zeros((40, 64, 64), np.int16), np.diag([4.0, 4.0, 4.0, 1.0])))


def test_series_that_shows_too_little_takes_the_face_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(paths: tuple[Path, ...]) -> object:
        return face() if paths == (Path("t1"),) else FaceDoubtError("too few slices")

    monkeypatch.setattr(deface_files, "_of_series", known)
    deface_files.face_of.cache_clear()
    both = deface_files.Sources((Path("flair"),), ((Path("t1"),),))
    assert isinstance(deface_files.face_of(both), room.Face)
    assert isinstance(deface_files.face_of(deface_files.Sources((Path("flair"),))), FaceDoubtError)
    deface_files.face_of.cache_clear()


@pytest.mark.slow
def test_face_is_found_moved_and_not_found_again(painted: Volume) -> None:
    result = deface(painted)
    assert set(result.face.moved_mm) >= {"nose", "left_eye", "right_eye"}
    assert min(result.face.moved_mm.values()) > 10
    assert room.shows_face(painted)
    assert not room.shows_face(result.volume)
    with pytest.raises(FaceDoubtError, match="no face"):
        deface(result.volume)


@pytest.mark.slow
def test_stripped_head_and_other_images_show_no_face(painted: Volume) -> None:
    atlas = load_atlas()
    stripped = painted.with_array(np.where(atlas.brain > 0.5, painted.array, 0).astype(np.int16), "strip")
    assert not room.shows_face(stripped)
    noise = np.random.default_rng(2).integers(0, 400, painted.shape).astype(np.int16)
    with pytest.raises(FaceDoubtError, match="no head"):
        locate(painted.with_array(noise, "noise"))


@pytest.mark.slow
def test_real_head_loses_its_face_and_keeps_its_brain(data_root: Path) -> None:
    from vesalius.io import load, scan
    from vesalius.segment.tissue import segment_tissue

    with scan(data_root / "brain_mprage_dicom") as found:
        volume = load(found.studies[0].series[0])
    result = deface(volume)
    assert min(result.face.moved_mm[name] for name in ("nose", "left_eye", "right_eye")) > 10
    before = segment_tissue(volume)
    brain = binary_dilation(before.brain.array > 0, iterations=3)
    assert np.array_equal(result.volume.array[brain], volume.array[brain])
    after = segment_tissue(result.volume)
    for name in ("gray_matter", "white_matter"):
        change = after.probabilities[name].array.sum() / before.probabilities[name].array.sum() - 1
        assert abs(change) < 0.01
