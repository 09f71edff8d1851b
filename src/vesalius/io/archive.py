"""Unpacking a zip or a gzip into a private folder, with limits checked before and while inflating."""

from __future__ import annotations

import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

from vesalius.core.errors import LimitError, ReadError, UnsupportedError

FLOOR: Final = 64 << 20
RATIO: Final = 50
"""A zip may inflate to the larger of 64 MB and 50 times its size, each file in it likewise (CONTRACTS)."""
MAX_FILES: Final = 200_000
MAX_DIRECTORY_BYTES: Final = 64 << 20
SHOWN: Final = 100
"""Most characters of a path that an error quotes."""

_STEP = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError)
_END = struct.Struct("<4s4H2LH")
_SUFFIXES = (".zip",)


def is_zip(path: Path) -> bool:
    """Return whether a file begins like a zip or is named like one."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6") or path.suffix.lower() in _SUFFIXES
    except OSError:
        return False


def unpack_zip(path: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a private folder (mode 700) with the content of a zip; it vanishes with `cleanup`.

    Raises:
        LimitError: too many files, too large, a path that leaves the folder, or a link.
        ReadError: not a zip, or damaged.
        UnsupportedError: encrypted, or another compression than deflate.
    """
    _check_directory(path)
    folder = tempfile.TemporaryDirectory(prefix="vesalius-")
    try:
        with zipfile.ZipFile(path) as archive:
            _unpack(archive, Path(folder.name), path)
    except _DAMAGED as problem:
        folder.cleanup()
        if isinstance(problem, ReadError):
            raise
        raise ReadError(
            f"{path.name} cannot be unpacked",
            found=str(problem)[:200] or type(problem).__name__,
            expected="an intact zip",
            fix="copy the file again from its source",
        ) from None
    except BaseException:
        folder.cleanup()
        raise
    return folder


def _check_directory(path: Path) -> None:
    """Refuse a zip whose table of contents alone would fill the memory."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 65557))
            tail = file.read()
    except OSError as problem:
        raise ReadError(
            f"cannot open {path.name}", found=problem.strerror or "", fix="check that you may read it"
        ) from None
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise ReadError(
            f"{path.name} is not a zip, or is cut short",
            found=f"{size} bytes without a table of contents at the end",
            expected="a whole zip",
            fix="copy the file again from its source",
        )
    _, _, _, _, count, length, _, _ = _END.unpack_from(tail, at)
    wide = tail.rfind(b"PK\6\6", 0, at)
    if wide >= 0 and wide + 56 <= len(tail):
        count, length = struct.unpack_from("<2Q", tail, wide + 32)
    if count > MAX_FILES or length > MAX_DIRECTORY_BYTES:
        raise _too_many(path, count)


def _unpack(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MAX_FILES:
        raise _too_many(path, len(entries))
    targets = [_target(entry, path) for entry in entries]
    if len(set(targets)) != len(targets):
        raise ReadError(
            f"{path.name} holds two files of one name",
            found=f"{len(targets)} files, {len(set(targets))} names",
            expected="each name once",
            fix="zip the folder again",
        )
    cap = max(FLOOR, RATIO * path.stat().st_size)
    total = 0
    for entry, target in zip(entries, targets, strict=True):
        if total + entry.file_size > cap:
            raise _too_large(path, cap)
        where = folder / target
        where.parent.mkdir(parents=True, exist_ok=True)
        own_cap = min(cap - total, max(FLOOR, RATIO * entry.compress_size))
        with archive.open(entry) as packed, where.open("xb") as file:
            total += _copy(packed, file, own_cap, path)


def _target(entry: zipfile.ZipInfo, path: Path) -> PurePosixPath:
    """Return where an entry goes, relative to the folder.

    Raises:
        LimitError: an absolute path, `..`, a drive or a link.
    """
    name = entry.filename
    target = PurePosixPath(name)
    mode = entry.external_attr >> 16
    if target.is_absolute() or ".." in target.parts or "\\" in name or ":" in name or not target.parts:
        raise LimitError(
            f"{path.name} holds a path that leaves its folder; nothing of it was unpacked",
            found=_shown(name),
            expected="relative paths without '..', drive or backslash",
            fix="if you trust its source, unpack it yourself and give the folder",
        )
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise LimitError(
            f"{path.name} holds a link or a special file; nothing of it was unpacked",
            found=_shown(name),
            expected="plain files only",
            fix="zip the files themselves, or give the folder",
        )
    if entry.flag_bits & 1:
        raise UnsupportedError(f"{path.name} is encrypted", fix="unpack it yourself and give the folder")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedError(
            f"{path.name} uses another compression than deflate",
            found=f"method {entry.compress_type}",
            expected="stored or deflated files",
            fix="unpack it yourself and give the folder",
        )
    return target


def _shown(name: str) -> str:
    """Return a path of a stranger's archive as printable text of bounded length."""
    return ascii(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


def _too_many(path: Path, count: int) -> LimitError:
    return LimitError(
        f"{path.name} holds too many files",
        found=str(count),
        expected=f"at most {MAX_FILES}",
        fix="unpack it yourself and give the folder, or one study of it",
    )


def _copy(packed: IO[bytes], file: BinaryIO, cap: int, path: Path) -> int:
    total = 0
    while part := packed.read(_STEP):
        total += len(part)
        if total > cap:
            raise _too_large(path, cap)
        file.write(part)
    return total


def _too_large(path: Path, cap: int) -> LimitError:
    return LimitError(
        f"{path.name} inflates beyond the limit",
        found=f"{path.stat().st_size} bytes that give more than {cap}",
        expected=f"at most {cap} bytes (the larger of {FLOOR >> 20} MiB and {RATIO} x stored)",
        fix="if you trust its source, unpack it yourself and give the folder or file",
    )


def is_gzip(path: Path) -> bool:
    """Return whether a file begins like a gzip."""
    try:
        with path.open("rb") as file:
            return file.read(3) == b"\x1f\x8b\x08"
    except OSError:
        return False


def unpack_gzip(path: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a private folder with the one file of a gzip, named without its `.gz`.

    Raises:
        LimitError: it inflates beyond the limit.
        ReadError: damaged or cut short.
    """
    folder = tempfile.TemporaryDirectory(prefix="vesalius-")
    cap = max(FLOOR, RATIO * path.stat().st_size)
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    try:
        with path.open("rb") as packed, (Path(folder.name) / (name or "file")).open("xb") as file:
            total = 0
            while not engine.eof and (pending := engine.unconsumed_tail or packed.read(_STEP)):
                part = engine.decompress(pending, _STEP)
                total += len(part)
                if total > cap:
                    raise _too_large(path, cap)
                file.write(part)
        if not engine.eof:
            raise ReadError(
                f"{path.name} is cut short",
                found="compressed data without their end",
                expected="a whole gzip",
                fix="copy the file again from its source",
            )
    except (OSError, zlib.error) as problem:
        folder.cleanup()
        raise ReadError(
            f"{path.name} cannot be unpacked",
            found=str(problem)[:200],
            expected="an intact gzip",
            fix="copy the file again from its source",
        ) from None
    except BaseException:
        folder.cleanup()
        raise
    return folder
