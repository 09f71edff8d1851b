"""Limits before work: hostile files are refused by name, in bounded time and memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pydicom
import pytest
from make_dicom import element, encapsulated, image_elements, raw_file
from pydicom.data import get_testdata_file

from vesalius.core.errors import LimitError, ReadError, UnsupportedError, VesaliusError
from vesalius.io import describe, load, scan
from vesalius.io.dicom import tags
from vesalius.io.dicom.limits import opened
from vesalius.io.dicom.walk import MAX_NESTING

UNDEFINED = 0xFFFFFFFF
DEFLATED = b"1.2.840.10008.1.2.1.99"


def examine(path: Path) -> None:
    with opened(path, tags.WANTED):
        pass


def nested(levels: int, implicit: bool, vr: bytes = b"SQ", undefined: bool = True, tag: int = 0x00081140) -> bytes:
    """Return `levels` sequences, one inside the other."""
    value = b""
    for _ in range(levels):
        length = UNDEFINED if undefined else len(value)
        item = b"\xfe\xff\x00\xe0" + struct.pack("<L", length) + value
        if undefined:
            item += b"\xfe\xff\x0d\xe0" + bytes(4)
        size = UNDEFINED if undefined else len(item)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + (b"" if implicit else vr + b"\0\0")
        value = head + struct.pack("<L", size) + item
        if undefined:
            value += b"\xfe\xff\xdd\xe0" + bytes(4)
    return value


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize(
    ("implicit", "vr", "tag"),
    [(False, b"SQ", 0x00081140), (True, b"", 0x00081140), (False, b"UN", 0x00081140), (True, b"", 0x00091001)],
)
def test_deep_nesting_is_refused(tmp_path: Path, implicit: bool, vr: bytes, tag: int, undefined: bool) -> None:
    syntax = b"1.2.840.10008.1.2" if implicit else b"1.2.840.10008.1.2.1"
    path = tmp_path / "deep.dcm"
    path.write_bytes(raw_file(nested(3000, implicit, vr, undefined, tag), syntax))
    start = time.process_time()
    with pytest.raises(LimitError, match="nested too deep"):
        examine(path)
    assert time.process_time() - start < 5
    assert scan(path).failed[0].error.code == "limit"


def test_the_limit_of_nesting_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "deep.dcm"
    path.write_bytes(raw_file(nested(MAX_NESTING, False)))
    examine(path)
    path.write_bytes(raw_file(nested(MAX_NESTING + 1, False)))
    with pytest.raises(LimitError):
        examine(path)


def test_a_value_that_only_looks_like_a_sequence_is_no_error(tmp_path: Path) -> None:
    blob = b"\xfe\xff\x00\xe0" + os.urandom(200)
    path = tmp_path / "blob.dcm"
    body = element(0x00091001, b"UN", blob) + element(0x00100020, b"LO", b"AB")
    path.write_bytes(raw_file(body))
    with opened(path) as source:
        assert source.pixels is None
    assert describe(path).entries[0].verdict == "no_image"


def test_too_many_elements_are_refused(tmp_path: Path) -> None:
    item = b"\xfe\xff\x00\xe0" + bytes(4)
    path = tmp_path / "many.dcm"
    path.write_bytes(raw_file(element(0x00081140, b"SQ", item * 1_000_000)))
    start = time.process_time()
    with pytest.raises(LimitError, match="too many elements"):
        examine(path)
    assert time.process_time() - start < 10


def test_a_long_value_that_would_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.dcm"
    path.write_bytes(raw_file(element(0x00080008, b"UT", b" " * (17 << 20)), b"1.2.840.10008.1.2.1"))
    with pytest.raises(LimitError, match="too long"):
        examine(path)


def test_a_length_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "beyond.dcm"
    path.write_bytes(raw_file(element(0x00104000, b"UT", b"short", length=0xFFFFFF00)))
    with pytest.raises(ReadError, match="cut short or damaged"):
        examine(path)


def deflated_bomb(path: Path, inflated: int) -> Path:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = engine.compress(image_elements(8, 8) + struct.pack("<HH", 0x7FE0, 0x10) + b"OW\0\0")
    packed += engine.compress(struct.pack("<L", inflated))
    for _ in range(inflated >> 20):
        packed += engine.compress(bytes(1 << 20))
    path.write_bytes(raw_file(packed + engine.flush(), DEFLATED))
    return path


def test_a_deflated_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = deflated_bomb(tmp_path / "bomb.dcm", 300 << 20)
    assert path.stat().st_size < 1 << 20
    code = (
        "import sys, time; start = time.process_time(); from vesalius.io import scan\n"
        "failure = scan(sys.argv[1]).failed[0]\n"
        "status = open('/proc/self/status').read()\n"
        "peak = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
        "print(failure.error.code, round(peak), time.process_time() - start)"
    )
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    kind, peak_mb, seconds = result.stdout.split()
    assert kind == "limit"
    assert float(peak_mb) < 400
    assert float(seconds) < 10


def test_a_deflated_set_within_the_limit_is_read(tmp_path: Path) -> None:
    assert load(scan(get_testdata_file("image_dfl.dcm")).studies[0].series[0]).shape == (1, 512, 512)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(Path(get_testdata_file("image_dfl.dcm")).read_bytes()[:-600])
    with pytest.raises(ReadError, match="cut short"):
        describe(cut)


def compressed(tmp_path: Path, syntax: bytes, *fragments: bytes, size: tuple[int, int, int]) -> VesaliusError:
    path = tmp_path / "frames.dcm"
    path.write_bytes(raw_file(image_elements(size[1], size[2], size[0]) + encapsulated(*fragments), syntax))
    return scan(path).failed[0].error


def test_a_native_image_larger_than_its_pixel_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "giant.dcm"
    path.write_bytes(raw_file(image_elements(65535, 65535, 1000) + element(0x7FE00010, b"OW", bytes(1000))))
    error = scan(path).failed[0].error
    assert isinstance(error, LimitError)
    assert "1000 bytes of pixel data" in error.found
    assert str(65535 * 65535 * 2 * 1000) in error.expected


J2K = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">8LH", 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1)
JPEG = b"\xff\xd8\xff\xe0\x00\x04AB\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 60000, 60000) + b"\x01\x01\x11\x00"
JPEG_LS = JPEG.replace(b"\xff\xc0", b"\xff\xf7")


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (b"1.2.840.10008.1.2.4.90", J2K + bytes(100)),
        (b"1.2.840.10008.1.2.4.90", bytes(4) + b"jP  " + bytes(40) + J2K + bytes(100)),
        (b"1.2.840.10008.1.2.4.50", JPEG + bytes(100)),
        (b"1.2.840.10008.1.2.4.80", JPEG_LS + bytes(100)),
    ],
)
def test_a_frame_that_declares_another_size_is_refused_before_decoding(
    tmp_path: Path, syntax: bytes, frame: bytes
) -> None:
    error = compressed(tmp_path, syntax, frame, size=(1, 64, 64))
    assert isinstance(error, LimitError)
    assert "60000 rows" in error.found
    assert "64 rows" in error.expected


def test_compressed_frames_of_giant_size_are_refused(tmp_path: Path) -> None:
    error = compressed(tmp_path, b"1.2.840.10008.1.2.4.90", J2K, size=(1, 60000, 60000))
    assert isinstance(error, LimitError)
    assert "too large an image" in error.message
    many = compressed(tmp_path, b"1.2.840.10008.1.2.4.90", *[J2K] * 3, size=(10_000, 512, 512))
    assert "fewer" in many.message or "more frames" in many.message


def test_rle_frames_that_cannot_hold_their_size_are_refused(tmp_path: Path) -> None:
    frame = struct.pack("<16L", 2, 64, 80, *[0] * 13) + bytes(40)
    error = compressed(tmp_path, b"1.2.840.10008.1.2.5", frame, size=(1, 5000, 5000))
    assert isinstance(error, LimitError)
    assert "RLE" in error.message


def test_a_jpeg2000_frame_of_too_many_tiles_is_refused(tmp_path: Path) -> None:
    tiles = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">8LH", 2000, 2000, 0, 0, 1, 1, 0, 0, 1) + bytes(100)
    error = compressed(tmp_path, b"1.2.840.10008.1.2.4.90", tiles, size=(1, 2000, 2000))
    assert isinstance(error, LimitError)
    assert "tiles" in error.message


def zipped(path: Path, entries: dict[str, bytes], **kind: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = kind.get("method", zipfile.ZIP_DEFLATED)
            entry.external_attr = kind.get("mode", 0o100644) << 16
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize("name", ["../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "C:\\evil.dcm", "a\\..\\b.dcm"])
def test_a_zip_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "evil.zip", {name: b"x"})
    with pytest.raises(LimitError, match=r"^evil.zip holds a path that leaves its folder") as caught:
        scan(path)
    assert ascii(name) == caught.value.found
    assert caught.value.expected
    assert caught.value.fix
    assert not (tmp_path.parent / "evil.dcm").exists()


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "link.zip", {"a.dcm": b"/etc/passwd"}, mode=0o120777)
    with pytest.raises(LimitError, match="link"):
        scan(path)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {f"{i}.dcm": bytes(40 << 20) for i in range(3)})
    with pytest.raises(LimitError, match=r"^bomb.zip inflates beyond") as caught:
        scan(path)
    assert "64 MiB" in caught.value.expected
    assert caught.value.fix


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lie.zip", {"a.dcm": bytes(100 << 20)})
    content = path.read_bytes().replace(struct.pack("<L", 100 << 20), struct.pack("<L", 1000))
    path.write_bytes(content)
    with pytest.raises(ReadError):
        scan(path)


def test_other_compression_and_encryption_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="deflate"):
        scan(zipped(tmp_path / "lzma.zip", {"a.dcm": b"x" * 100}, method=zipfile.ZIP_LZMA))


def test_a_zip_of_too_many_files_is_refused_from_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 1 << 31, 0, 0))
    with pytest.raises(LimitError, match="too many files"):
        scan(path)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    engine = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(200):
        buffer.write(engine.compress(bytes(1 << 20)))
    buffer.write(engine.flush())
    path = tmp_path / "bomb.dcm.gz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(LimitError, match="inflates beyond"):
        scan(path)


def test_the_walk_sees_what_pydicom_sees() -> None:
    """Every stored element before the pixel data, counted by both."""
    for name in ("CT_small.dcm", "rtplan.dcm", "reportsi.dcm", "MR_small_bigendian.dcm", "liver_1frame.dcm"):
        path = Path(get_testdata_file(name))
        data = pydicom.dcmread(path)
        ours = sum(1 for element in data.iterall() if element.tag != 0x7FE00010 and element.tag.group != 0x0002)
        items = sum(len(element.value) for element in data.iterall() if element.VR == "SQ")
        with opened(path) as source:
            assert source.elements in (ours + items, ours + items + 1), name
