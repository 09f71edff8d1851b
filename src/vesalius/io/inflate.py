"""Voxel bytes out of raw, gzip, bzip2 and zlib files, never more than the header declares.

Declared sizes are judged against the file's size before anything is allocated.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LimitError, MemoryLimitError, ReadError, VesaliusError

FREE_BYTES = 512 * 2**20
"""A compressed file may always inflate to this much; above it `LARGEST_RATIO` holds."""
LARGEST_RATIO = 250
"""Largest inflated : compressed size above `FREE_BYTES`. Sparse label maps reach some hundreds."""
POSSIBLE_RATIO = {"gzip": 1040, "zlib": 1040}
"""No deflate stream inflates more than 1032 times: a header that declares more contradicts its file."""
TRAILING_BYTES = 64 * 2**20
"""Most bytes after the declared voxels that are read through to reach the checksum."""
MAPPED_BYTES = 256 * 2**20
"""Raw voxels from this size on are memory-mapped instead of read."""
_CHUNK = 2**22

FOREIGN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    SyntaxError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What libraries raise on damaged files."""


class Packing(StrEnum):
    """How voxel bytes are compressed."""

    RAW = "raw"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    ZLIB = "zlib"


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise on damaged files into a `ReadError`; their text is not kept, it may quote headers.

    Raises:
        ReadError: the block raised anything but a `VesaliusError`.
        MemoryLimitError: there is not enough memory.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except VesaliusError:
        raise
    except FileNotFoundError as problem:
        raise ReadError(f"{path.name} does not exist", fix="check the path") from problem
    except PermissionError as problem:
        raise ReadError(f"{path.name} may not be read", fix="check its permissions") from problem
    except EOFError as problem:
        raise truncated(path, what, "data without their end", f"a whole {what} file") from problem
    except MemoryError as problem:
        raise MemoryLimitError(
            f"{path.name} does not fit into memory", fix="use a machine with more memory"
        ) from problem
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise ReadError(
            f"{path.name} is damaged: its compressed data fail their checksum",
            found="bytes that changed since they were compressed",
            expected=f"an intact {what} file",
            fix="copy it again from where it came",
        ) from problem
    except FOREIGN as problem:
        raise ReadError(
            f"{path.name} could not be read as {what}",
            found=type(problem).__name__,
            expected=f"an intact {what} file",
            fix="check that the file is complete and is what its name says",
        ) from problem


def truncated(path: Path, what: str, found: str = "", expected: str = "") -> ReadError:
    """Return the error for a file that ends too early."""
    return ReadError(
        f"{path.name} is truncated: it ends before the {what} data do",
        found=found,
        expected=expected,
        fix="copy it again from where it came",
    )


def check_declared(place: Place, declared: int) -> None:
    """Judge the bytes a header declares against those stored, before anything is allocated.

    Raises:
        ReadError: the file cannot hold what its header declares.
        LimitError: it would inflate beyond the limit.
    """
    stored, packing = max(place.stored_bytes, 0), place.packing
    possible = stored * POSSIBLE_RATIO.get(packing, 2**40 if packing is Packing.BZIP2 else 1)
    sizes = {"found": f"{stored} bytes stored", "expected": f"{declared} bytes of voxels declared by the header"}
    if declared > possible:
        raise truncated(place.path, "image", **sizes)
    limit = max(FREE_BYTES, LARGEST_RATIO * stored)
    if packing is not Packing.RAW and declared > limit:
        raise LimitError(
            f"{place.path.name} would inflate beyond the limit",
            found=f"{declared} bytes declared, {stored} stored",
            expected=f"at most {limit} bytes (the larger of {FREE_BYTES // 2**20} MiB and {LARGEST_RATIO} x stored)",
            fix="if you trust the file, decompress it first",
        )


@dataclass(frozen=True)
class Place:
    """Where voxels are stored: file, first byte of (compressed) data, packing, bytes to skip after inflating."""

    path: Path
    offset: int = 0
    packing: Packing = Packing.RAW
    skipped: int = 0

    @property
    def stored_bytes(self) -> int:
        """Return the size of the data as stored."""
        return self.path.stat().st_size - self.offset


def read_voxels(place: Place, dtype: np.dtype[Any], count: int) -> tuple[NDArray[Any], int]:
    """Return `count` stored values of `dtype`, flat, and the number of bytes that follow them.

    Raises:
        ReadError: truncated or damaged (gzip checksums are verified).
        LimitError: the data would inflate beyond the limit, or much more follows than the header declares.
    """
    check_declared(place, count * dtype.itemsize)
    with reading(place.path, "image"):
        if place.packing is Packing.RAW:
            return _read_raw(place, dtype, count)
        with open(place.path, "rb") as file:
            file.seek(place.offset)
            with unpacked(file, place.packing) as stream:
                skip(stream, place.skipped, place.path)
                values = read_stream(stream, dtype, count, place.path)
                return values, drain(stream, place.path)


def _read_raw(place: Place, dtype: np.dtype[Any], count: int) -> tuple[NDArray[Any], int]:
    nbytes = count * dtype.itemsize
    extra = place.stored_bytes - nbytes
    if nbytes >= MAPPED_BYTES:
        return np.memmap(place.path, dtype, "r", place.offset, (count,)), extra
    with open(place.path, "rb") as file:
        file.seek(place.offset)
        return read_stream(file, dtype, count, place.path), extra


def unpacked(file: BinaryIO, packing: Packing) -> BufferedIOBase:
    """Return a stream of the bytes inside a compressed file, read from its present position."""
    if packing is Packing.GZIP:
        return gzip.GzipFile(fileobj=file)
    if packing is Packing.BZIP2:
        return bz2.BZ2File(file)
    return cast(BufferedIOBase, ZlibStream(file) if packing is Packing.ZLIB else file)


def skip(stream: BufferedIOBase, count: int, path: Path) -> None:
    """Read over `count` bytes.

    Raises:
        ReadError: the stream ends before.
    """
    while count > 0:
        got = len(stream.read(min(count, _CHUNK)))
        if not got:
            raise truncated(path, "image", "an end within the header", "a header and voxels")
        count -= got


def read_stream(stream: BufferedIOBase, dtype: np.dtype[Any], count: int, path: Path) -> NDArray[Any]:
    """Return the next `count` values; memory is touched only as bytes arrive.

    Raises:
        ReadError: the stream ends before.
    """
    values = np.empty(count, dtype)
    view: memoryview[int] = values.view(np.uint8).data
    done = 0
    while done < len(view):
        try:
            got = stream.readinto(view[done : done + _CHUNK])
        except EOFError as problem:
            found = f"{path.stat().st_size} bytes stored, compressed data without their end"
            raise truncated(path, "image", found, f"{len(view)} bytes of voxels declared by the header") from problem
        if not got:
            raise truncated(path, "image", f"{done} bytes of voxels", f"{len(view)} bytes declared by the header")
        done += got
    return values


def drain(stream: BufferedIOBase, path: Path) -> int:
    """Read to the end, so that a checksum there is verified, and return how many bytes there were.

    Raises:
        LimitError: more than `TRAILING_BYTES`.
    """
    extra = 0
    while got := len(stream.read(_CHUNK)):
        extra += got
        if extra > TRAILING_BYTES:
            raise LimitError(
                f"{path.name} holds far more data than its header declares",
                found=f"more than {TRAILING_BYTES} bytes after the voxels",
                expected="the voxels the header declares",
                fix="check that the header belongs to these data",
            )
    return extra


class ZlibStream(RawIOBase):
    """Bytes inside a zlib stream (MetaImage), read from the present position of a file."""

    def __init__(self, file: BinaryIO) -> None:
        """Start at the file's present position."""
        self._file = file
        self._inflater = zlib.decompressobj()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the front of `buffer`; 0 at the end of the stream.

        Raises:
            EOFError: the file ends inside the stream.
        """
        wanted = len(buffer)
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(_CHUNK // 16)
            if not packed:
                raise EOFError
            data = self._inflater.decompress(packed, wanted)
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0
