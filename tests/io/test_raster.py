"""Pictures: every kind of pixel Pillow, tifffile and SimpleITK write; EXIF; limits; real files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from file_damage import survives
from PIL import Image, ImageOps

from vesalius.core import Frame, Spacing, Verdict
from vesalius.core.errors import LimitError, ReadError, UnsupportedError
from vesalius.io import raster

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 9), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (6, 9), dtype=np.uint16)
RGB = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEEP_RGB = RANDOM.integers(0, 65536, (6, 9, 3), dtype=np.uint16)


def check(path: Path, expected: np.ndarray) -> list[str]:
    """Check descriptor and voxels; return the ids of the problems."""
    series, volume = raster.describe_file(path), raster.read(path)
    assert volume.array.dtype == series.dtype == expected.dtype.name
    assert volume.shape == series.geometry.shape
    assert np.array_equal(volume.array, expected)
    assert (volume.frame, volume.spacing, series.geometry.verdict) == (Frame.IMAGE, Spacing.UNKNOWN, Verdict.UNKNOWN)
    ids = [problem.id for problem in series.problems]
    assert "raster.spacing_unknown" in ids
    return ids


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("array", [GREY, DEEP, RGB], ids=["8", "16", "rgb"])
def test_grey_and_colour(name: str, array: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(array).save(tmp_path / name)
    check(tmp_path / name, array[np.newaxis])


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bit_colour_keeps_its_16_bits(name: str, tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(DEEP_RGB, isVector=True), str(tmp_path / name))
    check(tmp_path / name, DEEP_RGB[np.newaxis])


def test_separate_planes_of_16_bit_colour_are_refused(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(DEEP_RGB.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(UnsupportedError, match="separate planes"):
        raster.read(tmp_path / "x.tif")


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint32, np.int32])
def test_other_numbers_in_tiff(dtype: type, tmp_path: Path) -> None:
    array = (DEEP.astype(np.int64) - (30000 if np.dtype(dtype).kind == "i" else 0)).astype(dtype)
    if dtype is np.uint32:
        array *= 60000
    tifffile.imwrite(tmp_path / "x.tif", array)
    expected = array.astype(np.int32) if dtype is np.int16 else array
    check(tmp_path / "x.tif", expected[np.newaxis])


def test_alpha_is_dropped_and_said(tmp_path: Path) -> None:
    rgba = RANDOM.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    assert "file.alpha_dropped" in check(tmp_path / "x.png", rgba[np.newaxis, ..., :3])
    Image.fromarray(rgba[..., :2].copy(), "LA").save(tmp_path / "y.png")
    assert "file.alpha_dropped" in check(tmp_path / "y.png", rgba[np.newaxis, ..., 0])


def test_palettes(tmp_path: Path) -> None:
    indexed = Image.fromarray(RGB).quantize(16)
    indexed.save(tmp_path / "x.png")
    check(tmp_path / "x.png", np.asarray(indexed.convert("RGB"))[np.newaxis])
    Image.fromarray(GREY).convert("P").save(tmp_path / "y.png")
    check(tmp_path / "y.png", GREY[np.newaxis])


def test_one_bit_and_palettes_in_raw_tiff(tmp_path: Path) -> None:
    wide = np.tile(GREY, (20, 20))
    Image.fromarray(wide > 128).save(tmp_path / "x.tif")
    check(tmp_path / "x.tif", ((wide > 128) * np.uint8(255))[np.newaxis])
    indexed = Image.fromarray(np.tile(RGB, (20, 20, 1))).quantize(16)
    indexed.save(tmp_path / "y.tif")
    check(tmp_path / "y.tif", np.asarray(indexed.convert("RGB"))[np.newaxis])


def test_a_raw_tiff_that_declares_more_than_it_holds(tmp_path: Path) -> None:
    Image.fromarray(np.tile(GREY, (20, 20))).save(tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    lie = data.replace(struct.pack("<HHII", 257, 4, 1, 120), struct.pack("<HHII", 257, 4, 1, 12000))
    assert lie != data
    (tmp_path / "x.tif").write_bytes(lie)
    with pytest.raises(ReadError, match="truncated"):
        raster.describe_file(tmp_path / "x.tif")


def test_one_bit_and_cmyk(tmp_path: Path) -> None:
    Image.fromarray(GREY > 128).save(tmp_path / "x.png")
    check(tmp_path / "x.png", ((GREY > 128) * np.uint8(255))[np.newaxis])
    Image.fromarray(RANDOM.integers(0, 256, (6, 9, 4), dtype=np.uint8), "CMYK").save(tmp_path / "x.jpg")
    expected = np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB"))[np.newaxis]
    assert "raster.colours_converted" in check(tmp_path / "x.jpg", expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_exif_orientation_is_honoured_and_recorded(orientation: int, name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(RGB).save(tmp_path / name, exif=exif)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))[np.newaxis]
    ids = check(tmp_path / name, expected)
    assert ("raster.exif_applied" in ids) == (orientation > 1)
    volume = raster.read(tmp_path / name)
    assert [s.operation for s in volume.history][1:] == (["exif_orientation"] if orientation > 1 else [])


def test_resolution_is_not_spacing(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "x.png", dpi=(300, 300))
    assert "raster.resolution_ignored" in check(tmp_path / "x.png", GREY[np.newaxis])


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    pages = np.stack([DEEP, DEEP // 2, DEEP // 3])
    tifffile.imwrite(tmp_path / "x.tif", pages, photometric="minisblack")
    assert "raster.pages_as_slices" in check(tmp_path / "x.tif", pages)
    tifffile.imwrite(tmp_path / "z.tif", np.stack([DEEP_RGB, DEEP_RGB // 2]), photometric="rgb")
    check(tmp_path / "z.tif", np.stack([DEEP_RGB, DEEP_RGB // 2]))
    with tifffile.TiffWriter(tmp_path / "y.tif") as file:
        file.write(DEEP)
        file.write(GREY[:3])
    assert "raster.pages_left_out" in check(tmp_path / "y.tif", DEEP[np.newaxis])


REAL = """busi_breast_us mias_mammo drive_vessels drishti_glaucoma head_ct_hemorrhage cxr_txrv_samples pd_drawings
 idrid_exudates iqothnccd_lung_ct"""


@pytest.mark.parametrize("folder", REAL.split())
def test_real_pictures(folder: str, data_root: Path) -> None:
    kinds = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
    files = [p for p in sorted((data_root / folder).rglob("*")) if p.suffix.lower() in kinds]
    assert files
    for path in files[:: max(1, len(files) // 12)]:
        series, volume = raster.describe_file(path), raster.read(path)
        with Image.open(path) as image:
            assert (image.height, image.width) == volume.shape[1:] == series.geometry.shape[1:]
            upright = np.asarray(ImageOps.exif_transpose(image).convert("L" if volume.axis is None else "RGB"))
        if volume.array.dtype == np.uint8:
            assert np.array_equal(volume.array[0], upright)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("side", [12_000, 30_000, 200_000])
def test_a_bomb_is_refused_by_its_header(side: int, tmp_path: Path) -> None:
    """291 kB of zeros may claim to be 40 thousand million pixels."""
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(LimitError, match="beyond the limit"):
        raster.describe_file(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif"])
def test_truncated(name: str, tmp_path: Path) -> None:
    Image.fromarray(RANDOM.integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match=r"x\."):
        raster.read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"a text", b"GIF89a" + bytes(100), b"\x89PNG\r\n\x1a\n"])
def test_something_else_under_the_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.png"):
        raster.describe_file(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif"])
def test_damaged_files_only_ever_give_our_errors(name: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / name)
    assert survives(raster.read, tmp_path / name, (tmp_path / name).read_bytes(), 300) > 20
