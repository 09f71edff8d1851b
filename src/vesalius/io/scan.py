"""Finding studies in a folder, a zip or a file, grouped by patient and study; one bad study never spoils the rest."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from vesalius.core import Message, Series, Study
from vesalius.core.errors import NothingFoundError, ReadError, VesaliusError
from vesalius.io import archive
from vesalius.io.dicom.headers import Header, read_header
from vesalius.io.dicom.limits import looks_like_dicom
from vesalius.io.dicom.pixels import named
from vesalius.io.dicom.studies import Found, studies_of
from vesalius.io.single import file_key

FORMATS: Final = {
    **dict.fromkeys((".nii", ".nii.gz", ".hdr"), "nifti"),
    **dict.fromkeys((".nrrd", ".nhdr"), "nrrd"),
    **dict.fromkeys((".mha", ".mhd"), "metaimage"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff"), "raster"),
}
"""Suffix -> module of `vesalius.io` that reads it."""

KINDS: Final = "DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF"

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_DATA_SUFFIXES = (".raw", ".zraw", ".img", ".gz")
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Failure:
    """A study that could not be read: key of its output folder, path relative to the source, and why."""

    key: str
    source: str
    error: VesaliusError


@dataclass(frozen=True, eq=False)
class Scan:
    """What a path holds; a context manager, because a zip is unpacked into a private folder until `close`.

    Args:
        studies: what can be read, sorted by key.
        failed: studies that cannot.
        objects: (study key, descriptor with verdict NO_IMAGE) of DICOM objects that are no images.
        damaged: (study key, descriptor) of the series of a failed study whose headers can be read.
    """

    source: Path
    studies: tuple[Study, ...]
    failed: tuple[Failure, ...] = ()
    objects: tuple[tuple[str, Series], ...] = ()
    damaged: tuple[tuple[str, Series], ...] = ()
    _unpacked: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def close(self) -> None:
        """Remove what was unpacked; the studies can no longer be loaded then."""
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was unpacked."""
        self.close()


def scan(path: Path | str) -> Scan:
    """Return the studies that a path holds: a DICOM folder or file, a zip of one, NIfTI, NRRD, MetaImage or pictures.

    Raises:
        NothingFoundError: there is nothing at the path, or no image and nothing that claims to be one.
        LimitError, ReadError, UnsupportedError: a zip that cannot be unpacked.
    """
    source = Path(path)
    if not source.exists():
        raise NothingFoundError("there is no such file or folder", found=str(path), fix="check the path")
    unpacked, root = _unpacked(source)
    try:
        found = _Search(source, root).result(unpacked)
    except BaseException:
        if unpacked is not None:
            unpacked.cleanup()
        raise
    return found


def file_format(path: Path) -> str:
    """Return the module of `vesalius.io` that reads a file by its suffix, "" for DICOM and everything else."""
    name = path.name.lower()
    return next((module for suffix, module in FORMATS.items() if name.endswith(suffix) and name != suffix), "")


def _unpacked(source: Path) -> tuple[tempfile.TemporaryDirectory[str] | None, Path]:
    if source.is_file() and not file_format(source):
        if archive.is_zip(source):
            folder = archive.unpack_zip(source)
            return folder, Path(folder.name)
        if archive.is_gzip(source):
            folder = archive.unpack_gzip(source)
            return folder, Path(folder.name)
    return None, source


class _Search:
    """One pass over a file or folder."""

    def __init__(self, source: Path, root: Path) -> None:
        self.source = source
        self.root = root
        self.folder = root if root.is_dir() else root.parent
        self.headers: list[Header] = []
        self.studies: list[Study] = []
        self.failed: list[Failure] = []
        self.unreadable: list[tuple[Path, VesaliusError]] = []
        self.strangers: list[tuple[Path, Message]] = []
        self.objects: list[tuple[str, Series]] = []
        self.damaged: list[tuple[str, Series]] = []
        self.imageless: list[tuple[Found, Failure]] = []

    def result(self, unpacked: tempfile.TemporaryDirectory[str] | None) -> Scan:
        """Return what was found."""
        for path in _files(self.root):
            self._take(path)
        left_out: dict[str, list[tuple[str, Message]]] = {}
        places: dict[Path, str] = {}
        for found in studies_of(self.headers, self.folder):
            self._add(found, left_out, places)
        self._place_the_rest(left_out, places)
        studies = [
            Study(one.key, one.source, one.series, one.date, tuple(left_out.get(one.key, ()))) for one in self.studies
        ]
        if not studies and not self.failed and not self.objects:
            raise NothingFoundError(
                f"no image found in {self.source.name or self.source}",
                found=self._found_instead(),
                expected=KINDS,
                fix="give the folder that holds the images themselves, or one image file",
            )
        return Scan(
            self.source,
            tuple(sorted(studies, key=lambda one: one.key)),
            tuple(sorted(self.failed, key=lambda one: (one.key, one.source))),
            tuple(self.objects),
            tuple(self.damaged),
            unpacked,
        )

    def _found_instead(self) -> str:
        if not self.strangers:
            return "an empty folder" if self.source.is_dir() else "no file inside"
        return f"{len(self.strangers)} other file(s), such as {self.strangers[0][0].name}"

    def _take(self, path: Path) -> None:
        module = file_format(path)
        if module:
            self._take_file(path, module)
            return
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except OSError as problem:
            self.unreadable.append((path, ReadError(f"cannot open {path.name}", found=problem.strerror or "")))
            return
        if path == self.root and not looks_like_dicom(head) and path.suffix and not _claims_dicom(path):
            self.unreadable.append((path, _no_image(path)))
            return
        claims = _claims_dicom(path) or path == self.root
        if not claims and not looks_like_dicom(head):
            if not (path.suffix.lower() in _DATA_SUFFIXES and _has_header(path)):
                self.strangers.append((path, Message("io.not_an_image")))
            return
        try:
            self.headers.append(read_header(path))
        except VesaliusError as problem:
            self.unreadable.append((path, named(problem, path)))

    def _take_file(self, path: Path, module: str) -> None:
        relative = path.name if path == self.root else path.relative_to(self.folder).as_posix()
        key = file_key(path, relative)
        try:
            series = _reader(module).describe_file(path)
        except VesaliusError as problem:
            self.failed.append(Failure(key, relative, problem))
            return
        self.studies.append(Study(key, path if self.source == self.root else self.source, (series,)))

    def _add(self, found: Found, left_out: dict[str, list[tuple[str, Message]]], places: dict[Path, str]) -> None:
        folder = _common_folder(found.files)
        relative = folder.relative_to(self.folder).as_posix() if folder.is_relative_to(self.folder) else ""
        if self.root.is_file():
            relative = self.root.name
        self.objects += [(found.key, series) for series in found.objects]
        if isinstance(found.error, NothingFoundError):
            self.imageless.append((found, Failure(found.key, relative, named(found.error, found.files[0]))))
        elif found.error is not None:
            self.failed.append(Failure(found.key, relative, named(found.error, found.files[0])))
            self.damaged += [(found.key, series) for series in found.series]
        else:
            source = self.source if self.source != self.root or self.root.is_file() else folder
            self.studies.append(Study(found.key, source, found.series, found.date))
            left_out[found.key] = [
                (self._relative(series.instances[0].path), _object_message(series)) for series in found.objects
            ]
        if found.error is None:
            for path in found.files:
                places.setdefault(path.parent, found.key)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.name

    def _place_the_rest(self, left_out: dict[str, list[tuple[str, Message]]], places: dict[Path, str]) -> None:
        """Give what is no image to the study it lies beside, or make it a failure where there is no study."""
        for study in self.studies:
            if study.key not in left_out:
                left_out[study.key] = []
                places.setdefault(study.series[0].instances[0].path.parent, study.key)
        known = set(left_out)
        reasons = [
            *((path, Message("io.unreadable", {"error": _unnamed(error, path)})) for path, error in self.unreadable),
            *(
                (series.instances[0].path, _object_message(series))
                for found, _ in self.imageless
                for series in found.objects
            ),
            *self.strangers,
        ]
        if not known:
            self.failed += [failure for _, failure in self.imageless]
            for path, error in self.unreadable:
                relative = self._relative(path)
                self.failed.append(Failure(file_key(path, relative), relative, error))
            return
        fallback = self.studies[0].key
        for path, reason in reasons:
            near = next((places[folder] for folder in path.parents if folder in places), fallback)
            left_out[near if near in known else fallback].append((self._relative(path), reason))


def _claims_dicom(path: Path) -> bool:
    return path.suffix.lower() in _DICOM_SUFFIXES or path.suffix[1:].isdigit()


def _no_image(path: Path) -> ReadError:
    return ReadError(
        f"{path.name} is no image in a format that is read",
        found=f"a file named *{path.suffix}",
        expected=KINDS,
        fix="convert it to one of these, or give the folder it comes from",
    )


def _unnamed(problem: VesaliusError, path: Path) -> str:
    """Return the sentence of an error without the file's name, which stands beside it."""
    return problem.message.removeprefix(f"{path.name}: ")


def _reader(module: str) -> Any:
    import importlib

    return importlib.import_module(f"vesalius.io.{module}")


def _object_message(series: Series) -> Message:
    return Message("io.no_image", {"kind": str(series.attributes.get("object.class") or series.modality or "DICOM")})


def _common_folder(files: tuple[Path, ...]) -> Path:
    return Path(os.path.commonpath([path.parent for path in files]))


def _has_header(path: Path) -> bool:
    return any(path.with_suffix(suffix).exists() for suffix in (".mhd", ".nhdr", ".hdr"))


def _files(root: Path) -> Iterator[Path]:
    """Yield the plain files below a folder in a stable order; hidden ones, links to folders and devices are passed."""
    if root.is_file():
        yield root
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if not name.startswith(".") and stat.S_ISREG(path.stat().st_mode):
                    yield path
