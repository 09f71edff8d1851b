"""Folders of results: written beside, then renamed; done, incomplete or of other content; one run at a time.

`OUT/<study>/<application>` only ever holds a whole report. Work goes on in `OUT/<study>/.<application>.partial`, whose
`.run.json` is written first and keeps the run's id, so that a run that was killed keeps the UIDs it gave.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from vesalius.core.errors import OutputBusyError, OutputError, OutputExistsError
from vesalius.io.atomic import output_errors, sync_folder, write_bytes

DONE = ".done.json"
RUN = ".run.json"
LOCK = ".vesalius.lock"
SCHEMA = "vesalius.done/1"


class State(StrEnum):
    """What stands where a report would go."""

    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    DONE = "done"
    OTHER = "other"


@dataclass(frozen=True)
class Row:
    """One line of the summary.

    Args:
        numbers: "name [unit]" -> value of the main measurements.
        message: English sentence; for a failure, what was wrong and what to do.
        report: path of the folder relative to OUT, "" when there is no report.
        warnings: what was not written and other things to know, in English.
    """

    key: str
    source: str
    application: str
    outcome: str
    seconds: float | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    message: str = ""
    report: str = ""
    peak_memory_bytes: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Marker:
    """Content of `.done.json`, written last.

    Args:
        hash: over inputs, parameters and versions.
        files: relative name -> size in bytes of every file of the report.
    """

    hash: str
    run_id: str
    row: Row
    files: Mapping[str, int]
    schema: str = SCHEMA


def folder_of(out: Path, key: str, application: str) -> Path:
    """Return the folder of a report."""
    return out / key / application


def read_marker(folder: Path) -> Marker | None:
    """Return the marker of a whole report; None when it is absent, unreadable, or a file is gone or cut short."""
    try:
        data = json.loads((folder / DONE).read_text())
        row = {**data["row"], "warnings": tuple(data["row"].get("warnings", ()))}
        marker = Marker(**{**data, "row": Row(**row)})
        whole = marker.schema == SCHEMA and all((folder / n).stat().st_size == s for n, s in marker.files.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return marker if whole else None


def state_of(folder: Path, content_hash: str) -> State:
    """Return whether a report with this hash stands in a folder, another one, or none.

    An interrupted report, or one with a file missing, is incomplete; a folder without our marks is of other content.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return State.ABSENT
    marker = read_marker(folder)
    if marker is not None:
        return State.DONE if marker.hash == content_hash else State.OTHER
    return State.INCOMPLETE if (folder / RUN).is_file() else State.OTHER


def exists_error(folders: list[Path]) -> OutputExistsError:
    """Return the error for folders that hold other content."""
    shown = ", ".join(str(folder) for folder in folders[:5]) + (", ..." if len(folders) > 5 else "")
    return OutputExistsError(
        "the output exists with other content; nothing was started",
        found=shown,
        expected="a new folder, or results of the same input, parameters and versions",
        fix="choose another --out, or --force to replace them",
    )


@dataclass(frozen=True)
class Staging:
    """A report in the making: its folder, final place, run id and hash."""

    path: Path
    target: Path
    run_id: str
    hash: str

    def write(self, name: str, data: bytes) -> None:
        """Write one file of the report.

        Raises:
            OutputError: it cannot be written, or its name leaves the folder.
        """
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise OutputError("a file name of a report leaves its folder", found=name)
        write_bytes(self.path / name, data)


@contextlib.contextmanager
def staging(target: Path, content_hash: str) -> Iterator[Staging]:
    """Give a place to write a report; when the block fails, nothing is left.

    Raises:
        OutputError: the place cannot be made.
    """
    work = target.parent / f".{target.name}.partial"
    run_id = _run_id(work, content_hash) or _run_id(target, content_hash) or str(uuid.uuid4())
    try:
        with output_errors(work):
            if work.exists():
                shutil.rmtree(work)
            work.mkdir(parents=True)
        write_bytes(work / RUN, json.dumps({"hash": content_hash, "run_id": run_id}).encode())
        yield Staging(work, target, run_id, content_hash)
    except BaseException:
        discard(target)
        raise


def discard(target: Path) -> None:
    """Remove what an interrupted run left beside a report's place."""
    for name in (f".{target.name}.partial", f".{target.name}.old"):
        _remove(target.parent / name)
    with contextlib.suppress(OSError):
        target.parent.rmdir()


def commit(place: Staging, row: Row) -> Marker:
    """Write the marker last and put the report in its place; an old one is replaced, never mixed.

    Raises:
        OutputError: writing or renaming failed.
    """
    names = sorted(str(p.relative_to(place.path)) for p in place.path.rglob("*") if p.is_file())
    files = {name: (place.path / name).stat().st_size for name in names}
    marker = Marker(place.hash, place.run_id, row, files)
    write_bytes(place.path / DONE, json.dumps(asdict(marker), indent=1, ensure_ascii=False).encode())
    old = place.target.parent / f".{place.target.name}.old"
    with output_errors(place.target):
        _remove(old)
        if place.target.exists():
            os.replace(place.target, old)
        os.replace(place.path, place.target)
        sync_folder(place.target.parent)
        _remove(old)
    return marker


def _remove(path: Path) -> None:
    """Remove a folder, or a file in a folder's place; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _run_id(folder: Path, content_hash: str) -> str:
    try:
        data = json.loads((folder / RUN).read_text())
        return str(uuid.UUID(data["run_id"])) if data["hash"] == content_hash else ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""


def standing(out: Path) -> list[Row]:
    """Return the rows of every whole report under OUT, in order of key and application."""
    markers = [read_marker(path.parent) for path in sorted(out.glob(f"*/*/{DONE}")) if not _hidden(path.parent)]
    return [marker.row for marker in markers if marker is not None]


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make OUT ours alone for the block; the lock ends with the process, however it ends.

    Raises:
        OutputBusyError: another run holds it.
        OutputError: OUT cannot be made or written to.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, out)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (out / LOCK).unlink()
    finally:
        os.close(handle)


def _take(handle: int, out: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl: two runs are then not told apart
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the last owner may have removed the file between our opening and locking it
        if os.fstat(handle).st_ino != (out / LOCK).stat().st_ino:
            raise BlockingIOError
    except OSError:
        raise OutputBusyError(
            "another run is writing into the same output", found=str(out), fix="wait for it or choose another --out"
        ) from None
