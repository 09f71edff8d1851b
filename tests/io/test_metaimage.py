"""MetaImage: against SimpleITK, whose format it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from file_damage import survives

from vesalius.core import Axis, AxisKind, Frame, Spacing, Verdict, Volume
from vesalius.core.errors import GeometryError, LimitError, ReadError, UnsupportedError
from vesalius.io import metaimage
from vesalius.phantoms.geometry import grid_affine

SHAPE = (4, 5, 6)
AFFINE = grid_affine(SHAPE, spacing_mm=(5, 1, 0.5), rotation_deg=(10, 20, -170))


def volume(dtype: str = "int16") -> Volume:
    return Volume(np.arange(120).reshape(SHAPE).astype(dtype), AFFINE, modality="CT")


def make(path: Path, *lines: str, head: str = "NDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT") -> Path:
    text = "\n".join(["ObjectType = Image", head, *lines, "ElementDataFile = LOCAL"]) + "\n"
    path.write_bytes(text.encode() + volume().array.tobytes())
    return path


def ids(path: Path) -> list[str]:
    return [problem.id for problem in metaimage.describe_file(path).problems]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_simpleitk_reads_what_we_write_and_we_what_it_writes(dtype: str, tmp_path: Path) -> None:
    ours = volume(dtype)
    metaimage.write(ours, tmp_path / "x.mha")
    image = SimpleITK.ReadImage(str(tmp_path / "x.mha"))
    assert np.array_equal(SimpleITK.GetArrayViewFromImage(image), ours.array)
    assert np.allclose(image.TransformIndexToPhysicalPoint((5, 4, 3)), ours.index_to_world((3, 4, 5)))
    for name, packed in (("y.mha", True), ("y.mha", False), ("y.mhd", True), ("y.mhd", False)):
        SimpleITK.WriteImage(image, str(tmp_path / name), packed)
        back = metaimage.read(tmp_path / name)
        assert np.allclose(back.affine, AFFINE)
        assert np.array_equal(back.array, ours.array)
        assert len(metaimage.describe_file(tmp_path / name).instances) == 1 + name.endswith("mhd")


def test_modality_survives_and_bytes_repeat(tmp_path: Path) -> None:
    metaimage.write(volume(), tmp_path / "x.mha")
    assert metaimage.read(tmp_path / "x.mha").modality == "CT"
    assert (tmp_path / "x.mha").read_bytes() == metaimage.to_bytes(volume())


def test_a_missing_matrix_leaves_orientation_unknown(tmp_path: Path) -> None:
    path = make(tmp_path / "x.mha", "ElementSpacing = 0.5 1 3", "Offset = 1 2 3")
    series = metaimage.describe_file(path)
    assert (series.geometry.verdict, series.geometry.frame) == (Verdict.UNKNOWN, Frame.IMAGE)
    assert metaimage.read(path).spacing_mm == (3, 1, 0.5)
    assert ids(path) == ["file.orientation_unknown"]
    path = make(tmp_path / "y.mha")
    assert metaimage.read(path).spacing is Spacing.UNKNOWN
    assert ids(path) == ["file.nothing_told"]


def test_matrix_lists_the_axes_in_turn_as_simpleitk_reads_it(tmp_path: Path) -> None:
    lines = ("TransformMatrix = 0 1 0 0 0 1 1 0 0", "ElementSpacing = 0.5 1 3", "Offset = 1 2 3")
    path = make(tmp_path / "x.mha", *lines)
    image = SimpleITK.ReadImage(str(path))
    assert np.allclose(metaimage.read(path).index_to_world((3, 4, 5)), image.TransformIndexToPhysicalPoint((5, 4, 3)))
    assert ids(path) == []


def test_big_endian_and_channels(tmp_path: Path) -> None:
    path = make(tmp_path / "x.mha", "BinaryDataByteOrderMSB = True")
    assert np.array_equal(metaimage.read(path).array, volume().array.byteswap())
    image = SimpleITK.GetImageFromArray(np.arange(480, dtype=np.float32).reshape(4, 5, 6, 4), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "y.mha"))
    back = metaimage.read(tmp_path / "y.mha")
    assert np.array_equal(back.array, SimpleITK.GetArrayFromImage(image))
    assert ids(tmp_path / "y.mha") == ["file.axis_unknown"]


def test_colour_and_four_dimensions(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    for axis in (Axis(AxisKind.RGB, ("red", "green", "blue")), Axis(AxisKind.TIME, (0.0, 2.0, 4.0), "s")):
        metaimage.write(Volume(array, AFFINE, axis=axis), tmp_path / "x.mha")
        back = metaimage.read(tmp_path / "x.mha")
        assert np.array_equal(back.array, array)
        assert np.allclose(back.affine, AFFINE)
        read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "x.mha")))
        assert np.array_equal(read if axis.kind is AxisKind.RGB else np.moveaxis(read, 0, -1), array)


def test_a_sheared_grid_is_refused_and_resample_named(tmp_path: Path) -> None:
    tilted = Volume(volume().array, grid_affine(SHAPE, tilt_deg=15))
    for write in (lambda: metaimage.to_bytes(tilted), lambda: metaimage.write(tilted, tmp_path / "x.mha")):
        with pytest.raises(GeometryError, match="resample"):
            write()
    assert not list(tmp_path.iterdir())


def test_a_detached_name_is_refused_for_writing(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="mha"):
        metaimage.write(volume(), tmp_path / "x.mhd")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("NDims = 3\nDimSize = 0 5 4\nElementType = MET_SHORT", "without voxels"),
        ("NDims = 3\nDimSize = 600 500 400\nElementType = MET_SHORT", "truncated"),
        ("NDims = 3\nDimSize = 99999 99999 99999\nElementType = MET_SHORT", "more voxels"),
        ("NDims = 5\nDimSize = 6 5 4 1 1\nElementType = MET_SHORT", "number of axes"),
        ("NDims = 3\nDimSize = 6 5 4\nElementType = MET_STRING", "not read"),
        ("NDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nBinaryData = False", "not read"),
        ("NDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementSpacing = 1 2", "another number"),
        ("NDims = 3\nDimSize = 6 5 4", "could not be read"),
        ("NDims = 3\nDimSize = a b c\nElementType = MET_SHORT", "could not be read"),
    ],
)
def test_headers_that_cannot_be(head: str, words: str, tmp_path: Path) -> None:
    with pytest.raises((ReadError, LimitError), match=words):
        metaimage.describe_file(make(tmp_path / "x.mha", head=head))


def test_singular_matrix(tmp_path: Path) -> None:
    path = make(tmp_path / "x.mha", "TransformMatrix = 1 0 0 1 0 0 0 0 1", "ElementSpacing = 1 1 1")
    with pytest.raises(ReadError, match="TransformMatrix is no usable geometry"):
        metaimage.describe_file(path)


def test_a_header_may_not_point_out_of_its_folder(tmp_path: Path) -> None:
    head = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\n"
    for name in ("../x.raw", "/etc/hostname", "LIST", "s%03d.raw 1 4 1"):
        (tmp_path / "x.mhd").write_text(f"{head}ElementDataFile = {name}\n")
        with pytest.raises(ReadError, match=r"is not there|list of files"):
            metaimage.describe_file(tmp_path / "x.mhd")


@pytest.mark.parametrize("content", [b"", b"text without an equals sign", b"A = 1\n", b"A = 1\n" * 20000])
def test_something_else_under_the_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mha").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.mha"):
        metaimage.describe_file(tmp_path / "x.mha")


def test_truncated_compressed_data(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 9999, SHAPE).astype(np.int16)
    data = metaimage.to_bytes(Volume(random, AFFINE))
    (tmp_path / "x.mha").write_bytes(data[:-40])
    with pytest.raises(ReadError, match="truncated"):
        metaimage.read(tmp_path / "x.mha")


def test_damaged_files_only_ever_give_our_errors(tmp_path: Path) -> None:
    assert survives(metaimage.read, tmp_path / "x.mha", metaimage.to_bytes(volume()), 400) > 100
