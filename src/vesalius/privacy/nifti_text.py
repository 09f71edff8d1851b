"""NIfTI without words: text fields and extensions are cleared, geometry and voxels stay bit for bit."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from vesalius.core.errors import ReadError, UnsupportedError
from vesalius.io.inflate import reading

_TEXT: Final = {
    348: ((4, 14), (14, 32), (32, 36), (36, 38), (38, 39), (148, 228), (228, 252), (328, 344)),
    540: ((240, 320), (320, 344), (508, 524), (525, 540)),
}
"""Bytes of a NIfTI-1 and NIfTI-2 header that are text or were never used: data_type, db_name, descrip and others."""
_MAGIC: Final = {348: (344, b"n+1\0"), 540: (4, b"n+2\0")}
_STEP: Final = 1 << 22
_MOST_DIMENSIONS: Final = 7


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie in the inflated stream."""

    order: str
    header_bytes: int
    offset: int
    voxel_bytes: int


def is_nifti(path: Path) -> bool:
    """Return whether a file is named like a NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


Blanker = Callable[[int, bytes], bytes]
"""Takes the offset of a piece of the voxels and its bytes, and returns as many."""


def cleaned_nifti(path: Path, blank: Blanker | None = None) -> Iterator[bytes]:
    """Yield the bytes of a single NIfTI file without text and extensions; compressed like the source.

    Args:
        blank: writes over voxels, such as those of a face.

    Raises:
        ReadError: no NIfTI, or cut short.
        UnsupportedError: header and voxels in two files.
    """
    packed = path.name.lower().endswith(".gz")
    with reading(path, "NIfTI"), path.open("rb") as file:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        plain = _plain(stream, path, blank)
        yield from _compressed(plain) if packed else plain


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as packer:
        for piece in pieces:
            packer.write(piece)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _plain(stream: BinaryIO, path: Path, blank: Blanker | None) -> Iterator[bytes]:
    start = stream.read(4)
    header = start + stream.read(_size(start, path) - 4)
    layout = _layout(header, path)
    cleared = bytearray(header)
    for begin, end in _TEXT[layout.header_bytes]:
        cleared[begin:end] = bytes(end - begin)
    if layout.header_bytes == 348:
        cleared[38:39] = b"r"
        struct.pack_into(layout.order + "f", cleared, 108, 352.0)
    else:
        struct.pack_into(layout.order + "q", cleared, 168, 544)
    yield bytes(cleared) + bytes(4)
    _skip(stream, layout.offset - layout.header_bytes, path)
    left = layout.voxel_bytes
    while left:
        piece = stream.read(min(left, _STEP))
        if not piece:
            raise ReadError(f"{path.suffix} file cut short", found=f"{left} bytes of voxels missing")
        offset = layout.voxel_bytes - left
        left -= len(piece)
        yield piece if blank is None else blank(offset, piece)


def _size(start: bytes, path: Path) -> int:
    for order in "<>":
        size = struct.unpack(order + "i", start)[0] if len(start) == 4 else 0
        if size in _MAGIC:
            return int(size)
    raise ReadError("not a NIfTI file", expected="a header of 348 or 540 bytes")


def _layout(header: bytes, path: Path) -> _Layout:
    order = next((o for o in "<>" if struct.unpack(o + "i", header[:4])[0] in _MAGIC), "<")
    size = struct.unpack(order + "i", header[:4])[0]
    if len(header) != size:
        raise ReadError("the NIfTI header is cut short", found=f"{len(header)} bytes")
    at, magic = _MAGIC[size]
    if header[at : at + 4] != magic:
        raise UnsupportedError(
            "a NIfTI of two files", expected="one .nii or .nii.gz", fix="convert it with vesalius convert"
        )
    if size == 348:
        dims = struct.unpack_from(order + "8h", header, 40)
        bits, offset = struct.unpack_from(order + "h", header, 72)[0], struct.unpack_from(order + "f", header, 108)[0]
    else:
        dims = struct.unpack_from(order + "8q", header, 16)
        bits, offset = struct.unpack_from(order + "h", header, 14)[0], struct.unpack_from(order + "q", header, 168)[0]
    return _Layout(order, size, _checked_offset(float(offset), size), _voxel_bytes(dims, bits))


def _checked_offset(offset: float, size: int) -> int:
    if not size + 4 <= offset <= 1 << 31:
        raise ReadError("the NIfTI header tells a wrong place of the voxels", found=f"byte {offset:g}")
    return int(offset)


def _voxel_bytes(dims: tuple[int, ...], bits: int) -> int:
    if not 1 <= dims[0] <= _MOST_DIMENSIONS or bits <= 0 or any(n <= 0 for n in dims[1 : dims[0] + 1]):
        raise ReadError("the NIfTI header tells an impossible size")
    count = 1
    for n in dims[1 : dims[0] + 1]:
        count *= n
    return (count * bits + 7) // 8


def _skip(stream: BinaryIO, count: int, path: Path) -> None:
    while count > 0:
        got = len(stream.read(min(count, _STEP)))
        if not got:
            raise ReadError("the NIfTI file is cut short before its voxels")
        count -= got
