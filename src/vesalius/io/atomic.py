"""Files that are written whole or not at all: a temporary file beside the target, then a rename."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vesalius.core.errors import OutputError, VesaliusError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another place"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another place"),
    errno.EACCES: ("writing there is not permitted", "choose a folder you may write to"),
    errno.EPERM: ("writing there is not permitted", "choose a folder you may write to"),
    errno.EROFS: ("the file system is read-only", "choose a folder you may write to"),
    errno.EFBIG: ("the file is larger than the file system allows", "choose another file system"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter name"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another path"),
    errno.EISDIR: ("the target is a folder, not a file", "give the path of a file"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "choose another path"),
}


@contextlib.contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any `OSError` of the block into an `OutputError` that names `path` and says what to do.

    Raises:
        OutputError: the block raised an `OSError`; its `errno` is kept.
    """
    try:
        yield
    except VesaliusError:
        raise
    except OSError as problem:
        why, fix = _REASONS.get(problem.errno or 0, (problem.strerror or type(problem).__name__, ""))
        error = OutputError(f"cannot write {os.fspath(path)}: {why}", fix=fix)
        error.errno = problem.errno
        raise error from problem


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary stream; when the block ends well, its content becomes the file `path`, else nothing changes.

    Missing parent folders are made. A symbolic link is followed, so that the link stays.

    Raises:
        OutputError: the file cannot be written (disk full, read-only, no permission).
    """
    target = Path(os.path.realpath(path))
    with output_errors(path):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            with open(temporary, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a whole file; a crash leaves the old file or the new one.

    Raises:
        OutputError: the file cannot be written (disk full, read-only, no permission).
    """
    with writing(path) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text file as UTF-8 with line feeds as they are.

    Raises:
        OutputError: the file cannot be written (disk full, read-only, no permission).
    """
    write_bytes(path, text.encode())


@contextlib.contextmanager
def folder_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary folder on the file system of `path`; it is removed at the end, whatever happens.

    What shall stay is renamed out of it. Missing parents of `path` are made.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    parent = Path(os.path.realpath(path)).parent
    with output_errors(path):
        parent.mkdir(parents=True, exist_ok=True)
        temporary = parent / f".{secrets.token_hex(8)}.part"
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can; never fails."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
