"""The same voxels at the same places as SimpleITK (GDCM), nibabel, DCMTK and pydicom read from real files."""

from __future__ import annotations

import gzip
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from make_dicom import along_z, enhanced, stack, write
from pydicom.data import get_testdata_file

from vesalius.core import Volume
from vesalius.core.errors import VesaliusError
from vesalius.io import load, scan

PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
NIBABEL = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"
WORLD_MM = 0.01


def read(path: Path | str) -> Volume:
    with scan(path) as found:
        return load(found.studies[0].series[0])


def corners(volume: Volume) -> np.ndarray:
    s, r, c = (size - 1 for size in volume.shape)
    return np.array([(0, 0, 0), (s, 0, 0), (0, r, 0), (0, 0, c), (s, r, c), (s // 2, r // 3, c // 4)])


def assert_same_places(volume: Volume, image: sitk.Image) -> None:
    points = [image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]]) for index in corners(volume)]
    assert np.abs(volume.index_to_world(corners(volume)) - np.array(points)).max() < WORLD_MM


@pytest.mark.parametrize(
    "folder",
    [
        "brain_mprage_dicom",
        "lidc_0001_ct",
        "brain_mri_dicom_udacity/Study3/11-T1post-18670",
        "brain_mri_dicom_udacity/Study3/36468-FLAIRreg-58706",
        "brain_mri_dicom_udacity/Study3/11_HCropVolume",
    ],
)
def test_series_equal_simpleitk(data_root: Path, folder: str) -> None:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(data_root / folder)))
    image = reader.Execute()
    volume = read(data_root / folder)
    assert np.array_equal(volume.array, sitk.GetArrayViewFromImage(image))
    assert_same_places(volume, image)


def test_nine_transfer_syntaxes_give_the_same_voxels(data_root: Path) -> None:
    """A mosaic in nine encodings against the NIfTI files that dcm2niix made of it."""
    hashes = set()
    for number in range(1, 10):
        volume = read(data_root / f"dicom_qa_ts/In/{number}.dcm")
        hashes.add(volume.sha256)
        reference = nibabel.load(data_root / f"dicom_qa_ts/Ref/{number}.nii")
        to_lps = np.diag([-1, -1, 1, 1]) @ reference.affine
        indices = np.indices(volume.shape).reshape(3, -1).T
        places = volume.index_to_world(indices)
        found = (places - to_lps[:3, 3]) @ np.linalg.inv(to_lps[:3, :3]).T
        nearest = np.rint(found).astype(int)
        assert np.abs((found - nearest) @ to_lps[:3, :3].T).max() < WORLD_MM
        assert np.array_equal(np.asanyarray(reference.dataobj)[tuple(nearest.T)], volume.array.ravel())
    assert len(hashes) == 1


def comparable() -> list[str]:
    """Return pydicom's files that SimpleITK reads with the same meaning.

    Left out: RT dose (SimpleITK ignores the dose grid scaling), colour RLE of 16 and 32 bits (GDCM mixes up its bytes:
    pydicom and the known colour bars say otherwise), broken files, and 12-bit JPEG (compared with DCMTK).
    """
    skipped = ("rtdose", "badVR", "rle_16bit", "rle_32bit", "truncated", "embedded", "JPGExtended", "JPEG-lossy")
    names = []
    for path in sorted(PYDICOM.rglob("*")):
        name = path.relative_to(PYDICOM).as_posix()
        if path.is_file() and path.suffix not in (".gz", ".dump") and not any(word in name for word in skipped):
            names.append(name)
    return names


def test_every_image_of_pydicom_equals_simpleitk() -> None:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    compared = 0
    for name in comparable():
        try:
            found = scan(PYDICOM / name)
        except VesaliusError:
            continue
        if not found.studies:
            continue
        volume = load(found.studies[0].series[0])
        image = sitk.ReadImage(str(PYDICOM / name))
        theirs = sitk.GetArrayViewFromImage(image).astype(np.float64).reshape(volume.array.shape)
        difference = np.abs(theirs - volume.array)
        if "padding" in [step.operation for step in volume.history]:
            # What the header calls padding is air here, and -3024 HU there.
            difference[(theirs == -3024) & (volume.array == -1024)] = 0
        assert difference.max() <= 1e-6 * np.abs(theirs).max(), name
        if volume.frame == "patient":
            assert_same_places(volume, image)
        compared += 1
    assert compared > 70


@pytest.mark.parametrize("name", ["SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_rle_16bit_2frame.dcm"])
def test_wide_colour_rle_equals_pydicom(name: str) -> None:
    data = pydicom.dcmread(get_testdata_file(name))
    volume = read(get_testdata_file(name))
    assert np.array_equal(volume.array, data.pixel_array.reshape(volume.array.shape))
    assert volume.array[0, 5, 50].tolist() == [np.iinfo(volume.array.dtype).max, 0, 0]


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_12_bit_jpeg_equals_dcmtk(tmp_path: Path, tool: Callable[[str], str], name: str) -> None:
    raw = tmp_path / "raw.dcm"
    subprocess.run([tool("dcmdjpeg"), get_testdata_file(name), str(raw)], check=True, capture_output=True)
    theirs = pydicom.dcmread(raw).pixel_array
    assert np.abs(read(get_testdata_file(name)).array[0].astype(int) - theirs).max() <= 1


def wrapper(path: Path) -> Any:
    """Return nibabel's own reader of a DICOM file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_data

        with gzip.open(path) as file:
            return wrapper_from_data(pydicom.dcmread(file))


@pytest.mark.parametrize("name", ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz", "philips_mprage.dcm.gz"])
def test_mosaics_and_enhanced_objects_equal_nibabel(name: str) -> None:
    theirs = wrapper(NIBABEL / name)
    volume = read(NIBABEL / name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unable to find Philips private scale factor")
        data = np.asarray(theirs.get_data())
    indices = corners(volume)
    places = volume.index_to_world(indices)
    # nibabel's DICOM affine maps (row, column, slice) to LPS.
    found = (places - theirs.affine[:3, 3]) @ np.linalg.inv(theirs.affine[:3, :3]).T
    nearest = np.rint(found).astype(int)
    assert np.abs((found - nearest) @ theirs.affine[:3, :3].T).max() < WORLD_MM
    assert np.allclose(data[tuple(nearest.T)], volume.array[tuple(indices.T)])
    assert sorted(data.shape) == sorted(volume.array.shape)
    assert np.isclose(data.sum(dtype=np.float64), volume.array.sum(dtype=np.float64))


def test_a_cine_stack_equals_pydicom_slice_by_slice(data_root: Path) -> None:
    """Heart: ten positions, two phases; truth is position, trigger time and pixels of every file by pydicom."""
    (series,) = scan(data_root / "sunnybrook_cardiac/dicoms/SCD0000301").studies[0].series
    volume = load(series)
    assert volume.array.shape == (10, 256, 256, 2)
    assert volume.axis is not None
    seen = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in (data_root / "sunnybrook_cardiac/dicoms/SCD0000301").glob("*.dcm"):
            data = pydicom.dcmread(path)
            index = volume.world_to_index([float(x) for x in data.ImagePositionPatient])
            at = np.rint(index).astype(int)
            apart = volume.index_to_world(at) - np.array([float(x) for x in data.ImagePositionPatient])
            assert np.linalg.norm(apart) < WORLD_MM
            phase = volume.axis.values.index(float(data.TriggerTime))
            assert np.array_equal(volume.array[at[0], :, :, phase], data.pixel_array)
            seen += 1
    assert seen == 20


@pytest.mark.parametrize("degrees", [-20, 12])
def test_a_tilted_stack_keeps_every_slice_where_pydicom_says(tmp_path: Path, degrees: float) -> None:
    angle = np.radians(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, round(float(np.cos(angle)), 8), round(float(np.sin(angle)), 8))
    paths = stack(tmp_path, along_z([0, 3, 6, 9]), ImageOrientationPatient=orientation)
    volume = read(tmp_path)
    for path in paths:
        data = pydicom.dcmread(path)
        row, column = np.array(data.ImageOrientationPatient[:3]), np.array(data.ImageOrientationPatient[3:])
        for r, c in ((0, 0), (5, 4), (2, 3)):
            truth = np.array(data.ImagePositionPatient, dtype=float) + c * 0.75 * row + r * 0.5 * column
            at = np.rint(volume.world_to_index(truth)).astype(int)
            assert np.linalg.norm(volume.index_to_world(at) - truth) < WORLD_MM
            assert volume.array[tuple(at)] == data.pixel_array[r, c]


def test_an_enhanced_object_equals_highdicom(tmp_path: Path) -> None:
    import highdicom

    array = (np.arange(5)[:, None, None] * 100 + np.arange(30).reshape(1, 6, 5)).astype(np.uint16)
    groups = [{"position": (4.0, -7.0, 3.0 * i)} for i in (2, 0, 1, 4, 3)]
    data = enhanced(array, groups, PatientSex="O", StudyTime="120000", ContentDate="20240101", ContentTime="120000")
    data.DimensionOrganizationSequence = data.DimensionIndexSequence = None
    path = write(data, tmp_path / "enhanced.dcm")
    ours = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = highdicom.imread(path).get_volume()
    places = ours.index_to_world(corners(ours))
    inverse = np.linalg.inv(theirs.affine)
    found = places @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(found).astype(int)
    assert np.abs(found - nearest).max() < 1e-6
    assert np.array_equal(theirs.array[tuple(nearest.T)], ours.array[tuple(corners(ours).T)])
