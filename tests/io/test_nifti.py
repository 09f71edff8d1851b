"""NIfTI: against nibabel and SimpleITK on real files, and everything a header can get wrong."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from file_damage import survives

from vesalius.core import Axis, AxisKind, Code, Frame, Mask, Segment, Spacing, Verdict, Volume
from vesalius.core.errors import LimitError, ReadError, UnsupportedError
from vesalius.io import nifti
from vesalius.io.single import content_problems
from vesalius.phantoms.geometry import grid_affine

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIBABEL_DATA = Path(nib.__file__).parent / "tests" / "data"


def save(path: Path, array: np.ndarray, change: Callable[[Any], None] | None = None, affine: Any = None) -> Path:
    """Write a file by nibabel; `change` edits the header afterwards, byte for byte."""
    image = nib.Nifti1Image(array, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    if change is not None:
        edit(path, change)
    return path


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change header fields in place; nibabel's own save would repair them."""
    packed = path.name.endswith(".gz")
    data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    header = nib.Nifti1Header(data[:348], check=False)
    change(header)
    data = header.binaryblock + data[348:]
    path.write_bytes(gzip.compress(data) if packed else data)


def ids(path: Path) -> list[str]:
    return [problem.id for problem in nifti.describe_file(path).problems]


def ramp(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


# --- real files ---------------------------------------------------------------------------------------------------


def agree_with_nibabel(path: Path) -> Volume:
    """Check voxels and world coordinates against nibabel and return the volume."""
    volume, image = nifti.read(path), nib.load(path)
    expected = np.asarray(image.dataobj)
    found = volume.array.transpose(2, 1, 0, *range(3, volume.array.ndim)).reshape(expected.shape)
    assert np.allclose(found, expected, rtol=1e-6, equal_nan=True)
    if nifti.describe_file(path).attributes["nifti_transform"] != "none":
        assert np.allclose(TO_RAS @ volume.affine[:, [2, 1, 0, 3]], image.affine, atol=1e-5)
    series = nifti.describe_file(path)
    assert series.geometry.shape == volume.shape
    assert (series.components, series.axis) == (len(volume.axis) if volume.axis else 1, volume.axis)
    return volume


REAL = "niivue_images totalseg_ct ibsi_1_digital_phantom ibsi_2_digital_phantom ibsi_sts_petctmr dicom_qa_ts/Ref"


@pytest.mark.parametrize("folder", REAL.split())
def test_real_files(folder: str, data_root: Path) -> None:
    files = sorted((data_root / folder).rglob("*.nii*"))
    assert files
    for path in files:
        assert agree_with_nibabel(path).frame is Frame.PATIENT


def test_hippocampus_crops_keep_their_types(data_root: Path) -> None:
    kinds = {agree_with_nibabel(p).array.dtype.name for p in sorted((data_root / "msd_hippocampus").rglob("*.nii.gz"))}
    assert kinds == {"uint8", "float32"}


def test_simpleitk_reads_the_same_places(data_root: Path) -> None:
    for name in ("niivue_images/chris_t1.nii.gz", "totalseg_ct/example_ct_sm.nii.gz", "dicom_qa_ts/Ref/1.nii"):
        volume, image = nifti.read(data_root / name), SimpleITK.ReadImage(str(data_root / name))
        assert np.array_equal(volume.array, SimpleITK.GetArrayViewFromImage(image))
        far = [n - 1 for n in image.GetSize()]
        there = image.TransformIndexToPhysicalPoint(far)
        assert np.allclose(volume.index_to_world(far[::-1]), there, atol=0.01)


@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz"])
def test_nibabels_own_files(name: str) -> None:
    volume = agree_with_nibabel(NIBABEL_DATA / name)
    assert (volume.axis is None) == (name == "anatomical.nii")
    if volume.axis is not None:
        assert (volume.axis.kind, volume.axis.unit) == (AxisKind.TIME, "s")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("analyze.hdr", "left from right"),
        ("row_major.dconn.nii", "more than four dimensions"),
        ("nifti1.hdr", "voxels are missing"),
        ("nifti2.hdr", "voxels are missing"),
    ],
)
def test_nibabels_files_that_are_no_images(name: str, words: str) -> None:
    with pytest.raises(ReadError, match=words):
        nifti.describe_file(NIBABEL_DATA / name)


def test_infinite_and_missing_values_are_counted() -> None:
    volume = nifti.read(NIBABEL_DATA / "resampled_anat_moved.nii")
    assert volume.history[0].parameters["not_finite"] == 153
    assert [p.id for p in content_problems(volume)] == ["file.not_finite"]


# --- geometry -----------------------------------------------------------------------------------------------------


def test_conflicting_transforms_are_named_and_sform_is_used(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp(4, 5, 6), None)
    image.set_sform(np.diag([1.0, 1, 1, 1]), 1)
    turned = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=np.deg2rad(10)), (3, 0, 0))
    image.set_qform(turned, 1)
    nib.save(image, tmp_path / "x.nii")
    series = nifti.describe_file(tmp_path / "x.nii")
    problem = next(p for p in series.problems if p.id == "nifti.transforms_disagree")
    assert problem.parameters["angle_deg"] == pytest.approx(10, abs=0.01)
    assert 2.5 < float(problem.parameters["distance_mm"]) < 4
    assert series.attributes["nifti_transform"] == "sform"
    assert np.allclose(TO_RAS @ nifti.read(series).affine[:, [2, 1, 0, 3]], np.eye(4))


def test_qform_alone_is_used(tmp_path: Path) -> None:
    affine = grid_affine((6, 5, 4), rotation_deg=(10, 20, 30))
    image = nib.Nifti1Image(ramp(4, 5, 6), None)
    image.set_qform(TO_RAS @ affine[:, [2, 1, 0, 3]], 1)
    nib.save(image, tmp_path / "x.nii")
    series = nifti.describe_file(tmp_path / "x.nii")
    assert series.attributes["nifti_transform"] == "qform"
    assert np.allclose(series.geometry.affine, affine, atol=1e-4)


@pytest.mark.parametrize("qfac", [0.0, np.nan, 7.0, -3.0])
def test_an_odd_qfac_is_read_by_its_sign(qfac: float, tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header.set_qform(header.get_sform(), 1)
        header["sform_code"], header["pixdim"][0] = 0, qfac
        header["pixdim"][1] *= -1

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change, np.diag([2.0, 3.0, -4.0 if qfac < 0 else 4.0, 1.0]))
    assert nifti.read(path).orientation == ("IAR" if qfac < 0 else "SAR")
    assert ids(path) == []


def test_a_qform_without_sizes_is_named_or_refused(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["pixdim"][2] = 0

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    edit(path, lambda header: header.__setitem__("qform_code", 1))
    assert ids(path) == ["nifti.qform_broken"]
    edit(path, lambda header: header.__setitem__("sform_code", 0))
    with pytest.raises(ReadError, match="qform is no usable geometry"):
        nifti.describe_file(path)


def test_neither_transform_means_that_orientation_is_unknown(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["sform_code"] = header["qform_code"] = 0

    series = nifti.describe_file(save(tmp_path / "x.nii", ramp(4, 5, 6), change))
    assert (series.geometry.verdict, series.geometry.frame) == (Verdict.UNKNOWN, Frame.IMAGE)
    assert series.geometry.spacing is Spacing.CALIBRATED
    assert series.geometry.spacing_mm == (4, 3, 2)
    assert [p.id for p in series.problems] == ["nifti.orientation_unknown"]
    volume = nifti.read(series)
    assert (volume.frame, volume.spacing_mm) == (Frame.IMAGE, (4, 3, 2))


def test_a_header_left_at_its_defaults_tells_no_spacing(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ramp(4, 5, 6), None), tmp_path / "x.nii")
    assert ids(tmp_path / "x.nii") == ["nifti.nothing_told"]
    assert nifti.read(tmp_path / "x.nii").spacing is Spacing.UNKNOWN


@pytest.mark.parametrize(
    ("code", "size", "problem"),
    [(1, 2000.0, "nifti.units_converted"), (3, 0.002, "nifti.units_converted"), (0, 2.0, "nifti.units_unknown")],
)
def test_units_are_honoured(code: int, size: float, problem: str, tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["xyzt_units"] = code

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    assert problem in ids(path)
    assert nifti.read(path).spacing_mm[2] == pytest.approx(size)


def test_a_wrong_unit_is_reported_as_implausible(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["xyzt_units"] = 1

    assert "file.implausible_spacing" in ids(save(tmp_path / "x.nii", ramp(4, 5, 6), change))


def test_a_voxel_size_that_contradicts_the_transform_is_named(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["qform_code"] = 0
        header["pixdim"][1:4] = 1

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    assert ids(path) == ["nifti.spacing_disagrees"]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_singular_and_infinite_affines_are_refused(value: float, tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["srow_z"] = value

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    with pytest.raises(ReadError, match="sform is no usable geometry"):
        nifti.describe_file(path)


def test_a_sheared_affine_is_exact(tmp_path: Path) -> None:
    affine = grid_affine((4, 5, 6), spacing_mm=(3, 1, 1), tilt_deg=15)
    nifti.write(Volume(ramp(4, 5, 6), affine), tmp_path / "x.nii.gz")
    series = nifti.describe_file(tmp_path / "x.nii.gz")
    assert (series.geometry.verdict, series.problems) == (Verdict.SHEARED, ())
    assert np.allclose(series.geometry.affine, affine, atol=1e-5)
    assert nib.load(tmp_path / "x.nii.gz").header["qform_code"] == 0


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected"),
    [
        ("int16", 1, -1024, "int16"),
        ("uint8", 1, -1024, "int16"),
        ("uint16", 1, 0, "uint16"),
        ("uint16", 1, 10, "int16"),
        ("int16", 0.5, 0, "float32"),
        ("int16", 0, 7, "int16"),
        ("int32", 1, 0, "int32"),
        ("int64", 1, 0, "int16"),
        ("uint64", 1, 0, "int16"),
        ("float64", 1, 0, "float32"),
        ("float64", 2.5, 1, "float32"),
    ],
)
def test_scaling_gives_the_smallest_honest_type(
    stored: str, slope: float, intercept: float, expected: str, tmp_path: Path
) -> None:
    def change(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = slope, intercept

    array = ramp(4, 5, 6, dtype=stored)
    volume = nifti.read(save(tmp_path / "x.nii.gz", array, change))
    true = array if slope == 0 else array * float(slope) + intercept
    assert volume.array.dtype == expected
    assert np.array_equal(volume.array.transpose(2, 1, 0), true.astype(expected))


def test_large_64_bit_integers_stay(tmp_path: Path) -> None:
    array = ramp(2, 2, 2, dtype=np.int64) + 2**40
    assert np.array_equal(nifti.read(save(tmp_path / "x.nii", array)).array.transpose(2, 1, 0), array)


def test_scaling_that_is_not_finite_is_ignored_and_said(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["scl_slope"] = np.inf

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    assert ids(path) == ["nifti.scaling_ignored"]
    assert nifti.read(path).array.max() == 119


def test_big_endian(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(ramp(4, 5, 6, dtype=">i2"), np.eye(4), header)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "x.nii")
    assert (tmp_path / "x.nii").read_bytes()[:4] == struct.pack(">i", 348)
    assert agree_with_nibabel(tmp_path / "x.nii").array.dtype.isnative


def test_all_missing_values_are_read_and_counted(tmp_path: Path) -> None:
    volume = nifti.read(save(tmp_path / "x.nii.gz", np.full((4, 5, 6), np.nan, np.float32)))
    assert volume.history[0].parameters["not_finite"] == volume.array.size


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_values_are_refused(dtype: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="complex"):
        nifti.describe_file(save(tmp_path / "x.nii", ramp(4, 5, 6, dtype=dtype)))


def test_colour(tmp_path: Path) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    nib.save(nib.Nifti1Image(rgb.copy().view(kind)[..., 0], np.eye(4)), tmp_path / "x.nii")
    volume = nifti.read(tmp_path / "x.nii")
    assert volume.axis is not None
    assert volume.axis.kind is AxisKind.RGB
    assert np.array_equal(volume.array.transpose(2, 1, 0, 3), rgb)
    nifti.write(volume, tmp_path / "y.nii")
    assert nifti.read(tmp_path / "y.nii").sha256 == volume.sha256


# --- dimensions ---------------------------------------------------------------------------------------------------


def test_time_axis_in_milliseconds_and_with_an_offset(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header.set_xyzt_units("mm", "msec")
        header["pixdim"][4], header["toffset"] = 2500, 500

    series = nifti.describe_file(save(tmp_path / "x.nii", ramp(4, 5, 6, 3), change))
    assert series.axis == Axis(AxisKind.TIME, (0.5, 3.0, 5.5), "s")


def test_a_fourth_axis_without_a_unit_is_only_numbered(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header.set_xyzt_units("mm", "unknown")

    path = save(tmp_path / "x.nii", ramp(4, 5, 6, 3), change)
    assert ids(path) == ["nifti.time_unknown"]
    volume = nifti.read(path)
    assert volume.axis == Axis(AxisKind.FEATURE, ("1", "2", "3"))
    assert np.array_equal(volume.array.transpose(2, 1, 0, 3), ramp(4, 5, 6, 3))


def test_vectors_are_refused_by_name(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["intent_code"] = 1007

    with pytest.raises(UnsupportedError, match="intent code 1007"):
        nifti.describe_file(save(tmp_path / "x.nii", ramp(4, 5, 6, 1, 3), change))


def test_one_slice_and_trailing_ones(tmp_path: Path) -> None:
    assert nifti.read(save(tmp_path / "a.nii", ramp(4, 5))).shape == (1, 5, 4)
    assert nifti.read(save(tmp_path / "b.nii", ramp(4, 5, 6, 1, 1))).array.shape == (6, 5, 4)


# --- limits and damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(0, 5, 6), (-4, 5, 6)])
def test_sizes_that_are_not_positive(sizes: tuple[int, int, int], tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["dim"][1:4] = sizes

    with pytest.raises(ReadError, match="without voxels"):
        nifti.describe_file(save(tmp_path / "x.nii", ramp(4, 5, 6), change))


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_header_that_declares_more_than_the_file_holds(name: str, tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["dim"][1:4] = 30000

    with pytest.raises((ReadError, LimitError), match=r"truncated|more voxels"):
        nifti.describe_file(save(tmp_path / name, ramp(4, 5, 6), change))


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((1024, 1024, 1024))
    header.set_data_dtype(np.uint8)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with gzip.open(tmp_path / "x.nii.gz", "wb", compresslevel=9) as file:
        file.write(header.binaryblock + b"\0\0\0\0")
    with open(tmp_path / "x.nii.gz", "ab") as plain:
        plain.write(bytes(3 * 2**20))
    with pytest.raises(LimitError, match="250 x stored"):
        nifti.describe_file(tmp_path / "x.nii.gz")


def test_endless_data_after_the_voxels(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", ramp(4, 5, 6))
    with gzip.open(tmp_path / "x.nii.gz", "wb", compresslevel=1) as file:
        file.write(path.read_bytes() + bytes(65 * 2**20))
    with pytest.raises(LimitError, match="far more data"):
        nifti.read(tmp_path / "x.nii.gz")


def test_surplus_bytes_are_said(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", ramp(4, 5, 6))
    path.write_bytes(path.read_bytes() + b"12345")
    assert ids(path) == ["file.extra_bytes"]
    assert nifti.read(path).history[0].parameters["extra_bytes"] == 5


def test_the_checksum_of_gzip_is_verified(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", ramp(40, 50, 6))
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    nib.load(path).get_fdata()  # nibabel reads it without a word
    with pytest.raises(ReadError, match="checksum"):
        nifti.read(path)


def test_truncated_gzip(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", np.random.default_rng(0).integers(0, 999, (40, 50, 6)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ReadError, match="truncated"):
        nifti.read(path)


@pytest.mark.parametrize("content", [b"", b"hello, this is a text file\n" * 40, b"\x1f\x8b broken"])
def test_something_else_under_the_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.nii\.gz"):
        nifti.describe_file(path)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_damaged_files_only_ever_give_our_errors(tmp_path: Path) -> None:
    random = np.random.default_rng(1).integers(0, 99, (5, 6, 7)).astype(np.int16)
    for name, rounds in (("x.nii", 400), ("x.nii.gz", 200)):
        data = save(tmp_path / name, random).read_bytes()
        assert survives(nifti.read, tmp_path / name, data, rounds) > 10


# --- writing ------------------------------------------------------------------------------------------------------


def test_pairs_are_read_from_either_name(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(ramp(4, 5, 6), np.eye(4)), tmp_path / "x.img")
    series = nifti.describe_file(tmp_path / "x.hdr")
    assert [i.path.name for i in series.instances] == ["x.hdr", "x.img"]
    assert nifti.read(tmp_path / "x.img").sha256 == nifti.read(series).sha256


def test_free_text_is_neither_read_nor_written(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["descrip"], header["aux_file"] = b"Doe^Jane", b"Doe^Jane"
        header["db_name"], header["intent_name"] = b"Doe^Jane", b"Doe^Jane"

    path = save(tmp_path / "x.nii", ramp(4, 5, 6), change)
    series = nifti.describe_file(path)
    assert "Doe" not in f"{series.attributes} {series.problems} {series.description} {nifti.read(path).history}"
    nifti.write(nifti.read(path), tmp_path / "y.nii")
    assert b"Doe" not in (tmp_path / "y.nii").read_bytes()
    assert nib.load(tmp_path / "y.nii").header["descrip"] == b"Vesalius"


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    volume = Volume(ramp(4, 5, 6), grid_affine((4, 5, 6)))
    assert nifti.to_bytes(volume) == nifti.to_bytes(volume)
    nifti.write(volume, tmp_path / "x.nii.gz")
    assert (tmp_path / "x.nii.gz").read_bytes() == nifti.to_bytes(volume)
    assert gzip.decompress(nifti.to_bytes(volume)) == nifti.to_bytes(volume, packed=False)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_types_survive_in_both_other_readers(dtype: str, tmp_path: Path) -> None:
    volume = Volume(ramp(4, 5, 6, dtype=dtype), grid_affine((4, 5, 6), rotation_deg=(5, 6, 7)))
    nifti.write(volume, tmp_path / "x.nii.gz")
    assert nib.load(tmp_path / "x.nii.gz").get_data_dtype() == dtype
    image = SimpleITK.ReadImage(str(tmp_path / "x.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayViewFromImage(image), volume.array)
    header = nib.load(tmp_path / "x.nii.gz").header
    assert (header["qform_code"], header["sform_code"], header.get_xyzt_units()[0]) == (1, 1, "mm")


def test_a_mask_takes_the_smallest_type_and_says_that_it_is_one(tmp_path: Path) -> None:
    segment = Segment("left", Code("1", "99VESALIUS", "left"), (255, 0, 0))
    for label, dtype in ((3, "uint8"), (300, "int16"), (70000, "int32")):
        array = np.zeros((4, 5, 6), np.int64)
        array[1, 2, 3] = label
        nifti.write(Mask(array, grid_affine((4, 5, 6)), segments={label: segment}), tmp_path / "m.nii.gz")
        assert nib.load(tmp_path / "m.nii.gz").get_data_dtype() == dtype
        assert nifti.describe_file(tmp_path / "m.nii.gz").attributes["nifti_intent"] == "label"
        assert nifti.read(tmp_path / "m.nii.gz").array[1, 2, 3] == label


def test_time_survives(tmp_path: Path) -> None:
    axis = Axis(AxisKind.TIME, (1.0, 3.5, 6.0), "s")
    volume = Volume(ramp(4, 5, 6, 3), grid_affine((4, 5, 6)), axis=axis)
    nifti.write(volume, tmp_path / "x.nii.gz")
    back = nifti.read(tmp_path / "x.nii.gz")
    assert back.axis == axis
    assert np.array_equal(back.array, volume.array)
    assert nib.load(tmp_path / "x.nii.gz").shape == (6, 5, 4, 3)


def test_an_axis_longer_than_nifti_1_allows_becomes_nifti_2(tmp_path: Path) -> None:
    volume = Volume(np.zeros((1, 2, 40000), np.uint8), np.eye(4)[:, [2, 1, 0, 3]])
    nifti.write(volume, tmp_path / "x.nii.gz")
    assert isinstance(nib.load(tmp_path / "x.nii.gz"), nib.Nifti2Image)
    assert nifti.read(tmp_path / "x.nii.gz").shape == volume.shape


def test_a_picture_stays_a_picture_without_spacing(tmp_path: Path) -> None:
    flat = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    picture = Volume(ramp(1, 5, 6), flat, Frame.IMAGE, Spacing.UNKNOWN)
    nifti.write(picture, tmp_path / "x.nii.gz")
    back = nifti.read(tmp_path / "x.nii.gz")
    assert (back.frame, back.spacing, back.sha256) == (Frame.IMAGE, Spacing.UNKNOWN, picture.sha256)


def test_memory_of_a_large_float64_file(tmp_path: Path) -> None:
    """Reading float64 peaks below three times the image as float32 (measured by the allocator)."""
    import tracemalloc

    array = np.zeros((128, 128, 128), np.float64)
    path = save(tmp_path / "x.nii.gz", array)
    tracemalloc.start()
    nifti.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.3 * array.size * 4 + 20e6
