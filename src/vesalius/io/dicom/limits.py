"""What is checked before pydicom touches a file: kind, encoding, nesting, lengths and the inflated size.

`opened` gives a `Source` whose structure has been walked; everything else in this room starts from one.
"""

from __future__ import annotations

import io
import mmap
import struct
import zlib
from array import array
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from vesalius.core.errors import LimitError, ReadError, UnsupportedError
from vesalius.io.dicom.walk import Encoding, PixelElement, Walk

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

DIRECTORY_CLASS: Final = "1.2.840.10008.1.3.10"
MAX_HEADER_BYTES: Final = 256 << 20
"""Everything before the pixel data, when all of it is read."""

INFLATED_FLOOR: Final = 64 << 20
INFLATED_RATIO: Final = 50
"""A deflated data set may grow to the larger of 64 MB and 50 times its size (CONTRACTS)."""

FRAME_FLOOR: Final = 64 << 20
FRAME_RATIO: Final = 200
"""A compressed frame may declare the larger of 64 MB and 200 times its bytes, all frames together 512 MB or 200 times
the pixel data: an empty 512 x 512 slice compresses about 2,000-fold but stays far below the floor."""
FILE_FLOOR: Final = 512 << 20

_SMALL = 1 << 16
_META_LIMIT = 1 << 20
_DEFLATE_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A DICOM stream whose structure was walked.

    Args:
        data: the whole file, or the inflated data set.
        start: first byte of the data set in `data`.
        declared: transfer syntax as the file meta information tells, "" without one.
        transfer_syntax: the one that the pixel data follow.
        file_bytes: size of the file.
        elements: number of elements before the pixel data.
    """

    path: Path
    data: bytes | mmap.mmap
    start: int
    encoding: Encoding
    declared: str
    transfer_syntax: str
    file_bytes: int
    elements: int
    nested_bytes: int
    pixels: PixelElement | None
    meta_class: str = ""

    def stream(self) -> BinaryIO:
        """Return a file-like view at the first element."""
        stream = io.BytesIO(self.data) if isinstance(self.data, bytes) else cast(BinaryIO, self.data)
        stream.seek(self.start)
        return stream

    def value(self, offset: int, length: int) -> bytes:
        """Return bytes of the walked buffer."""
        return bytes(self.data[offset : offset + length])


def looks_like_dicom(head: bytes) -> bool:
    """Return whether the first 132 bytes or more of a file can begin a DICOM object, with or without preamble."""
    return head[128:132] == b"DICM" or _begins_data_set(head)


def _begins_data_set(head: bytes) -> bool:
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack_from(order + "HHL", head)
        if group not in (0x0002, 0x0004, 0x0008):
            continue
        vr = head[4:6]
        if b"AA" <= vr <= b"ZZ" and vr.isalpha() and vr.isupper():
            return True
        if order == "<" and element <= 0x2200 and length <= 1024:
            return True
    return False


@contextmanager
def opened(path: Path, wanted: Container[int] = frozenset()) -> Iterator[Source]:
    """Give the walked source of a DICOM file; it is valid inside the block.

    Args:
        wanted: tags whose values will be read.

    Raises:
        LimitError: nesting, elements, value lengths or the inflated size.
        ReadError: not a DICOM file, empty, or cut short before the pixel data.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if size <= _SMALL:
                yield _examined(path, file.read(), wanted)
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield _examined(path, data, wanted)
    except OSError as problem:
        if isinstance(problem, ReadError):
            raise
        raise ReadError(f"cannot open {path.name}", found=problem.strerror or type(problem).__name__) from None


def _examined(path: Path, data: bytes | mmap.mmap, wanted: Container[int]) -> Source:
    size = len(data)
    if size == 0:
        raise ReadError("the file is empty", found="0 bytes", expected="a DICOM file")
    head = bytes(data[:140])
    start = 132 if head[128:132] == b"DICM" else 0
    if start == 0 and not _begins_data_set(head):
        raise ReadError(
            "not a DICOM file",
            found=_kind_of(head),
            expected="DICM at byte 128, or an element of group 0002 or 0008 at the start",
            fix="export it again from the archive or scanner, or take it out of the folder",
        )
    start, meta = _meta(data, start)
    declared = meta.get(0x00020010, "")
    body: bytes | mmap.mmap = data
    if declared == DEFLATED:
        body, start = _inflated(data, start), 0
    encoding = _encoding(bytes(body[start : start + 8]), declared)
    # Nobody reads the records of a DICOMDIR, and their offsets and lengths are often wrong.
    is_directory = meta.get(0x00020002) == DIRECTORY_CLASS
    walk = Walk(cast(bytes, body), start, start if is_directory else len(body), encoding, wanted)
    walk.run()
    if walk.elements == 0 and not is_directory and walk.pixels is None:
        raise ReadError("the DICOM file holds no data set", found=f"{size} bytes")
    syntax = EXPLICIT if declared == DEFLATED else declared or _syntax(encoding)
    return Source(
        path=path,
        data=body,
        start=start,
        encoding=encoding,
        declared=declared,
        transfer_syntax=syntax,
        file_bytes=size,
        elements=walk.elements,
        nested_bytes=walk.nested_bytes,
        pixels=walk.pixels,
        meta_class=meta.get(0x00020002, ""),
    )


def _kind_of(head: bytes) -> str:
    known = {b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"\x1f\x8b": "a gzip file", b"PK": "a zip"}
    name = next((name for magic, name in known.items() if head.startswith(magic)), "")
    if name:
        return name
    text = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    return "text" if text > 0.95 * len(head) else "other data"


def _meta(data: bytes | mmap.mmap, start: int) -> tuple[int, dict[int, str]]:
    """Return where the data set begins, and the values of group 0002."""
    values: dict[int, str] = {}
    at, limit = start, min(len(data), start + _META_LIMIT)
    while at + 8 <= limit and bytes(data[at : at + 2]) == b"\x02\x00":
        element, vr, short = struct.unpack_from("<H2sH", data, at + 2)
        if vr in (b"OB", b"UN", b"OW", b"SQ", b"UT"):
            length, at = struct.unpack_from("<L", data, at + 8)[0] if at + 12 <= limit else len(data), at + 12
        elif vr.isalpha() and vr.isupper():
            length, at = short, at + 8
        else:
            length, at = struct.unpack_from("<L", data, at + 4)[0], at + 8
        if at + length > limit:
            raise ReadError("the file is cut short or damaged in its meta information", found=f"byte {at}")
        if vr == b"UI":
            values[0x00020000 | element] = _text(data[at : at + length])
        at += length
    return at, values


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")


def _encoding(head: bytes, declared: str) -> Encoding:
    if declared == IMPLICIT:
        return Encoding(implicit=True)
    if declared == BIG_ENDIAN:
        return Encoding(implicit=False, little=False)
    if declared:
        if not declared.replace(".", "").isdigit():
            raise ReadError("the transfer syntax is not a UID", found=repr(declared[:64]))
        return Encoding(implicit=False)
    explicit = len(head) >= 6 and head[4:6].isalpha() and head[4:6].isupper()
    # A big-endian group 0008 read as little endian is 2048.
    big = explicit and struct.unpack_from("<H", head)[0] >= 1024
    return Encoding(implicit=not explicit, little=not big)


def _syntax(encoding: Encoding) -> str:
    if encoding.implicit:
        return IMPLICIT
    return EXPLICIT if encoding.little else BIG_ENDIAN


def _inflated(data: bytes | mmap.mmap, start: int) -> bytes:
    cap = max(INFLATED_FLOOR, INFLATED_RATIO * (len(data) - start))
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    total = 0
    pending = bytes(data[start:])
    try:
        while pending and not engine.eof:
            part = engine.decompress(pending, min(_DEFLATE_STEP, cap + 1 - total))
            pending = engine.unconsumed_tail
            total += len(part)
            parts.append(part)
            if total > cap:
                raise LimitError(
                    "the deflated data set inflates beyond the limit",
                    found=f"{len(data) - start} compressed bytes",
                    expected=f"at most {cap} bytes inflated",
                )
    except zlib.error as problem:
        raise ReadError("the deflated data set is damaged", found=str(problem)) from None
    if not engine.eof:
        raise ReadError("the deflated data set is cut short", fix="copy the file again from its source")
    return b"".join(parts)


def check_declared_size(declared: int, source: Source, frames: int) -> None:
    """Refuse an image whose declared size does not fit its pixel data, before anything is allocated.

    Args:
        declared: frames x rows x columns x samples x bytes, or the same in bits rounded up.

    Raises:
        LimitError: names sizes and the limit.
        ReadError: the file ends inside the pixel data.
    """
    pixels = source.pixels
    if pixels is None:
        raise UnsupportedError("the object holds no pixel data")
    if pixels.is_cut:
        raise ReadError(
            "the file is cut short: the pixel data are incomplete",
            found=f"{pixels.available} bytes",
            expected=f"{declared} bytes" if pixels.fragments is None else "the end of the last frame",
            fix="copy the file again from its source",
        )
    if pixels.fragments is None:
        if pixels.length < declared:
            raise LimitError(
                "frames x rows x columns exceed the pixel data",
                found=f"{pixels.length} bytes of pixel data",
                expected=f"{declared} bytes",
            )
        return
    _check_compressed(declared, pixels, frames)


def _check_compressed(declared: int, pixels: PixelElement, frames: int) -> None:
    sizes = pixels.fragments[3::2] if pixels.fragments is not None else array("Q")
    if len(sizes) < frames:
        raise LimitError(
            "more frames are declared than there are compressed fragments",
            found=f"{frames} frames, {len(sizes)} fragments",
        )
    total = sum(sizes)
    cap = max(FILE_FLOOR, FRAME_RATIO * total)
    frame_cap = max(FRAME_FLOOR, FRAME_RATIO * total)
    if declared > cap or declared > frames * frame_cap:
        raise LimitError(
            "the compressed pixel data declare too large an image",
            found=f"{declared} bytes from {total} compressed bytes",
            expected=f"at most {min(cap, frames * frame_cap)} bytes",
        )
