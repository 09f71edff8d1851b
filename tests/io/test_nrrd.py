"""NRRD: against pynrrd and SimpleITK on real files, and every way a header can tell space."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import nrrd as pynrrd
import numpy as np
import pytest
import SimpleITK
from file_damage import survives

from vesalius.core import Axis, AxisKind, Code, Frame, Mask, Segment, Spacing, Verdict, Volume
from vesalius.core.errors import LimitError, ReadError, UnsupportedError
from vesalius.io import nrrd
from vesalius.phantoms.geometry import grid_affine

ARRAY = np.arange(4 * 5 * 6, dtype="<i2").reshape(4, 5, 6)
DIRECTIONS = "space directions: (0.5,0,0) (0,1,0) (0,0,3)"


def make(path: Path, *lines: str, data: bytes | None = None, sizes: str = "6 5 4", encoding: str = "raw") -> Path:
    """Write a file line by line."""
    head = ["NRRD0005", "type: short", f"dimension: {len(sizes.split())}", f"sizes: {sizes}", "endian: little"]
    text = "\n".join([*head, f"encoding: {encoding}", *lines]) + "\n\n"
    path.write_bytes(text.encode() + (ARRAY.tobytes() if data is None else data))
    return path


def ids(path: Path) -> list[str]:
    return [problem.id for problem in nrrd.describe_file(path).problems]


@pytest.mark.parametrize("name", ["brain1_image", "brain1_label", "breast1_image", "breast1_label", "lung1_label"])
def test_real_files(name: str, data_root: Path, tmp_path: Path) -> None:
    path = data_root / "pyradiomics_refs" / f"{name}.nrrd"
    series, volume = nrrd.describe_file(path), nrrd.read(path)
    array, _ = pynrrd.read(str(path), index_order="C")
    image = SimpleITK.ReadImage(str(path))
    assert np.array_equal(volume.array, array)
    assert (series.problems, series.geometry.verdict, series.dtype) == ((), Verdict.REGULAR, array.dtype.name)
    far = [n - 1 for n in image.GetSize()]
    assert np.allclose(volume.index_to_world(far[::-1]), image.TransformIndexToPhysicalPoint(far), atol=1e-6)
    nrrd.write(volume, tmp_path / "x.nrrd")
    assert nrrd.read(tmp_path / "x.nrrd").sha256 == volume.sha256
    assert np.array_equal(pynrrd.read(str(tmp_path / "x.nrrd"), index_order="C")[0], array)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_every_anatomical_space_becomes_lps(space: str, signs: tuple[int, int, int], tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", f"space: {space}", DIRECTIONS, "space origin: (7,8,9)")
    volume = nrrd.read(path)
    assert np.allclose(volume.index_to_world((3, 2, 4)), np.array((9, 10, 18)) * signs)
    assert (volume.frame, nrrd.describe_file(path).problems) == (Frame.PATIENT, ())
    image = SimpleITK.ReadImage(str(path))
    assert np.allclose(image.TransformIndexToPhysicalPoint((4, 2, 3)), volume.index_to_world((3, 2, 4)))


@pytest.mark.parametrize("line", ["space: scanner-xyz", "space dimension: 3", "space: 3D-right-handed"])
def test_a_space_that_is_no_patients_leaves_orientation_unknown(line: str, tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", line, DIRECTIONS)
    series = nrrd.describe_file(path)
    assert (series.geometry.verdict, series.geometry.frame) == (Verdict.UNKNOWN, Frame.IMAGE)
    assert series.geometry.spacing_mm == (3, 1, 0.5)
    assert ids(path) == ["file.orientation_unknown"]


def test_spacings_without_space_and_nothing_at_all(tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", "spacings: 0.5 1 3")
    assert nrrd.read(path).spacing_mm == (3, 1, 0.5)
    assert ids(path) == ["file.orientation_unknown"]
    path = make(tmp_path / "y.nrrd")
    assert nrrd.read(path).spacing is Spacing.UNKNOWN
    assert ids(path) == ["file.nothing_told"]


def test_units_of_space(tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", "space: LPS", DIRECTIONS, "space origin: (0,0,0)", 'space units: "um" "um" "um"')
    assert nrrd.read(path).spacing_mm == pytest.approx((0.003, 0.001, 0.0005))
    assert "file.units_converted" in ids(path)
    path = make(tmp_path / "y.nrrd", "space: LPS", DIRECTIONS, "space origin: (0,0,0)", 'space units: "ft" "ft" "ft"')
    assert ids(path) == ["file.units_unknown"]


def test_a_missing_origin_is_said(tmp_path: Path) -> None:
    assert ids(make(tmp_path / "x.nrrd", "space: LPS", DIRECTIONS)) == ["nrrd.origin_unknown"]


def test_a_sheared_affine_is_exact(tmp_path: Path) -> None:
    affine = grid_affine((4, 5, 6), spacing_mm=(3, 1, 0.5), rotation_deg=(3, 4, 5), tilt_deg=15)
    nrrd.write(Volume(ARRAY, affine), tmp_path / "x.nrrd")
    assert np.allclose(nrrd.read(tmp_path / "x.nrrd").affine, affine, atol=1e-12)
    assert nrrd.describe_file(tmp_path / "x.nrrd").geometry.verdict is Verdict.SHEARED


def test_parallel_directions_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", "space: LPS", "space directions: (1,0,0) (2,0,0) (0,0,3)")
    with pytest.raises(ReadError, match="space directions is no usable geometry"):
        nrrd.describe_file(path)


@pytest.mark.parametrize(("encoding", "pack"), [("raw", bytes), ("gzip", gzip.compress), ("bzip2", bz2.compress)])
@pytest.mark.parametrize("detached", [False, True])
def test_encodings_attached_and_detached(encoding: str, pack: object, detached: bool, tmp_path: Path) -> None:
    data = pack(ARRAY.tobytes())  # type: ignore[operator]
    lines = ("space: LPS", DIRECTIONS, "space origin: (0,0,0)")
    if detached:
        (tmp_path / "x.data").write_bytes(data)
        path = make(tmp_path / "x.nhdr", *lines, "data file: x.data", data=b"", encoding=encoding)
    else:
        path = make(tmp_path / "x.nrrd", *lines, data=data, encoding=encoding)
    assert np.array_equal(nrrd.read(path).array, ARRAY)
    assert len(nrrd.describe_file(path).instances) == 1 + detached


def test_a_header_may_not_point_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(ARRAY.tobytes())
    (tmp_path / "in").mkdir()
    for name in ("../secret", str(tmp_path / "secret"), "missing.raw"):
        path = make(tmp_path / "in" / "x.nhdr", f"data file: {name}", data=b"")
        with pytest.raises(ReadError, match="is not there"):
            nrrd.describe_file(path)


def test_voxels_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", "byte skip: -1", data=b"junk" + ARRAY.tobytes())
    assert np.array_equal(nrrd.read(path).array, ARRAY)


def test_a_list_axis_first_or_last(tmp_path: Path) -> None:
    four = np.arange(3 * 4 * 5 * 6, dtype="<i2")
    none_first = "space directions: none (0.5,0,0) (0,1,0) (0,0,3)"
    none_last = "space directions: (0.5,0,0) (0,1,0) (0,0,3) none"
    common = ("space: LPS", "space origin: (0,0,0)")
    for name, sizes, line in (("a.nrrd", "3 6 5 4", none_first), ("b.nrrd", "6 5 4 3", none_last)):
        path = make(tmp_path / name, *common, line, sizes=sizes, data=four.tobytes())
        volume, (array, _) = nrrd.read(path), pynrrd.read(str(path))
        expected = array.transpose(3, 2, 1, 0) if name == "a.nrrd" else array.transpose(2, 1, 0, 3)
        assert np.array_equal(volume.array, expected)
        assert volume.axis == Axis(AxisKind.FEATURE, ("1", "2", "3"))
        assert volume.spacing_mm == (3, 1, 0.5)
        assert ids(path) == ["file.axis_unknown"]


def test_colour_and_time_survive_and_simpleitk_reads_them(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    colour, time = Axis(AxisKind.RGB, ("red", "green", "blue")), Axis(AxisKind.TIME, (1.0, 3.0, 5.0), "s")
    for axis in (colour, time):
        nrrd.write(Volume(array, grid_affine((4, 5, 6)), axis=axis), tmp_path / "x.nrrd")
        back = nrrd.read(tmp_path / "x.nrrd")
        assert back.axis == axis
        assert np.array_equal(back.array, array)
        assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "x.nrrd"))), array)


def test_two_axes_in_space_are_one_slice_without_a_patient(tmp_path: Path) -> None:
    path = make(tmp_path / "x.nrrd", "spacings: 1 1", sizes="6 20")
    volume = nrrd.read(path)
    assert (volume.shape, volume.frame, volume.spacing) == ((1, 20, 6), Frame.IMAGE, Spacing.UNKNOWN)


def test_masks_pictures_and_repeatable_bytes(tmp_path: Path) -> None:
    segment = Segment("left", Code("1", "99VESALIUS", "left"), (255, 0, 0))
    mask = Mask((ARRAY % 2).astype(np.int64), grid_affine((4, 5, 6)), segments={1: segment})
    assert nrrd.to_bytes(mask) == nrrd.to_bytes(mask)
    nrrd.write(mask, tmp_path / "m.nrrd")
    assert nrrd.read(tmp_path / "m.nrrd").array.dtype == np.uint8
    flat = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    picture = Volume(ARRAY[:1], flat, Frame.IMAGE, Spacing.UNKNOWN)
    nrrd.write(picture, tmp_path / "p.nrrd")
    back = nrrd.read(tmp_path / "p.nrrd")
    assert (back.frame, back.spacing, back.sha256) == (Frame.IMAGE, Spacing.UNKNOWN, picture.sha256)


@pytest.mark.parametrize("sizes", ["0 5 6", "-1 5 6", "60000 60000 60000", "600 500 400"])
def test_sizes_that_cannot_be(sizes: str, tmp_path: Path) -> None:
    with pytest.raises((ReadError, LimitError), match=r"without voxels|more voxels|truncated"):
        nrrd.describe_file(make(tmp_path / "x.nrrd", sizes=sizes))


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="encoding"):
        nrrd.describe_file(make(tmp_path / "x.nrrd", encoding="hex"))
    kinds = "kinds: complex domain domain domain"
    with pytest.raises(UnsupportedError, match="complex"):
        nrrd.describe_file(make(tmp_path / "x.nrrd", kinds, sizes="2 5 4 3"))
    with pytest.raises(UnsupportedError, match="number of axes"):
        nrrd.describe_file(make(tmp_path / "x.nrrd", "kinds: list list domain domain", sizes="2 2 5 6"))


@pytest.mark.parametrize("content", [b"", b"NRRD0005\n", b"some text\n\n", b"NRRD0005\n" + b"x" * 2**20])
def test_something_else_under_the_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.nrrd").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.nrrd"):
        nrrd.describe_file(tmp_path / "x.nrrd")


def test_truncated_and_corrupt_gzip(tmp_path: Path) -> None:
    data = gzip.compress(np.random.default_rng(0).integers(0, 9999, 4 * 5 * 6).astype("<i2").tobytes())
    path = make(tmp_path / "x.nrrd", data=data[:-30], encoding="gzip")
    with pytest.raises(ReadError, match="truncated"):
        nrrd.read(path)
    broken = data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]
    with pytest.raises(ReadError, match="checksum"):
        nrrd.read(make(tmp_path / "x.nrrd", data=broken, encoding="gzip"))


def test_damaged_files_only_ever_give_our_errors(tmp_path: Path) -> None:
    data = nrrd.to_bytes(Volume(ARRAY, grid_affine((4, 5, 6))))
    assert survives(nrrd.read, tmp_path / "x.nrrd", data, 400) > 100
