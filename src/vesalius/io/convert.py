"""From one format to another: every voxel keeps its place, and nothing half-written is left behind."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesalius.core import Mask, Message, Series, Verdict, Volume
from vesalius.core.errors import NothingFoundError, OutputExistsError, UnknownNameError, UsageError, VesaliusError
from vesalius.io.atomic import folder_beside, output_errors, sync_folder
from vesalius.io.single import stem_of

SUFFIX_OF = {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}
TARGETS = (*SUFFIX_OF, "dicom")
DICOM_MODALITIES = ("CT", "MR", "PT")
_FORMAT_OF = {".nii.gz": "nifti", ".nii": "nifti", ".nrrd": "nrrd", ".mha": "mha"}
_NOT_WRITTEN = (".mhd", ".nhdr", ".hdr", ".img", ".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gz", ".zip")
_OUR_SLICE = re.compile(r"(.*_)?(ct|mr|pt)_\d{4,}\.dcm")
_NAMESPACE = uuid.UUID("6c0f2b5e-3d0c-5a7e-9d5b-2f7f3f0d9a11")

Progress = Callable[[str, float], None]
Loader = Callable[[Series], Volume]


@dataclass(frozen=True)
class Wish:
    """What is asked for: format, modality (of a DICOM target), one series by UID or key, replacing what is there.

    `purpose` is the description of a derived DICOM series; another one gives other UIDs.
    """

    to: str | None = None
    modality: str | None = None
    series: str | None = None
    force: bool = False
    purpose: str = "converted"


class Conversion(list[Path]):
    """The files that were written, and what a person should know about them."""

    def __init__(self, paths: Iterable[Path] = (), warnings: Iterable[Message] = ()) -> None:
        """Keep both."""
        super().__init__(paths)
        self.warnings = tuple(warnings)


@dataclass
class _Work:
    """One conversion under way."""

    target: str
    wish: Wish
    loader: Loader
    progress: Progress
    warnings: list[Message] = field(default_factory=list)


def save(image: Volume | Mask, path: str | Path) -> None:
    """Write one image in the format that the suffix names: .nii.gz, .nii, .nrrd or .mha.

    Raises:
        UsageError: a suffix that no writer knows.
        GeometryError: the format cannot tell this geometry, and what can.
        UnsupportedError: the format cannot hold these voxels, and what can.
        OutputError: the file cannot be written; nothing is left behind.
    """
    format_name = _format_of(Path(path))
    if format_name is None:
        raise UsageError(
            f"cannot tell the format from the name {Path(path).name}",
            expected="a name in .nii.gz, .nii, .nrrd or .mha",
            fix="choose one of these suffixes",
        )
    if format_name == "nifti":
        from vesalius.io import nifti as writer
    elif format_name == "nrrd":
        from vesalius.io import nrrd as writer  # type: ignore[no-redef]
    else:
        from vesalius.io import metaimage as writer  # type: ignore[no-redef]
    writer.write(image, path)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: str | None = None,
    modality: str | None = None,
    series: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Return the files written; `convert_as` with the wish spelled out."""
    return convert_as(source, out, Wish(to, modality, series, force), progress=progress)


def convert_as(
    source: str | Path,
    out: str | Path,
    wish: Wish,
    *,
    progress: Progress | None = None,
    loader: Loader | None = None,
) -> Conversion:
    """Return the files written, with warnings.

    One series becomes the file OUT, or one file in the folder OUT; several become one file each in the folder OUT.
    DICOM is written as one single-frame file per slice directly in the folder OUT. Files that are there already with
    the same content are left alone.

    Args:
        source: DICOM file, folder or zip, NIfTI, NRRD, MetaImage or picture.
        out: a file, or a folder.
        wish: format, modality, series, force.
        progress: called with a stage and the fraction done.
        loader: how a series is loaded, `io.load` by default; a caller that may resample hands in its own.

    Raises:
        UsageError: unknown format or modality, or several series and OUT is a file; names the series.
        UnknownNameError: no such series.
        OutputExistsError: OUT holds other content and `force` was not asked for.
        VesaliusError: what reading and writing raise; nothing half-written is left.
    """
    from vesalius.io.load import load
    from vesalius.io.scan import scan

    out = Path(out)
    with scan(source) as found:
        everything = [(study.key, series) for study in found.studies for series in study.series]
        chosen = _chosen([s for _, s in everything], wish, [failure.error for failure in found.failed])
        target = _target(out, wish, chosen)
        work = _Work(target, wish, loader or load, progress or (lambda stage, fraction: None))
        work.warnings += [Message("convert.study_left_out", {"source": f.source}) for f in found.failed]
        single_file = target != "dicom" and _format_of(out) is not None and not out.is_dir()
        if single_file and len(chosen) > 1:
            raise _several(out, chosen)
        if target == "dicom" and Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out)):
            raise UsageError("OUT holds the source", found=str(out), fix="choose another folder")
        with folder_beside(out) as folder:
            written = _write_all(work, chosen, folder, out.name if single_file else None)
            paths = _settle(folder, written, out, work)
    return Conversion(paths, work.warnings)


def _chosen(series: list[Series], wish: Wish, errors: list[VesaliusError]) -> list[Series]:
    images = [s for s in series if s.geometry.verdict is not Verdict.NO_IMAGE]
    if wish.series is not None:
        images = [s for s in images if wish.series in (s.uid, s.key)]
        if not images:
            known = ", ".join(s.key for s in series) or "none"
            raise UnknownNameError("no such series", found=wish.series, expected=known)
    if not images:
        if errors:
            raise errors[0]
        raise NothingFoundError("there is no image to convert", expected="DICOM, NIfTI, NRRD, MetaImage or a picture")
    return images


def _several(out: Path, chosen: list[Series]) -> UsageError:
    return UsageError(
        f"{len(chosen)} series cannot become the one file {out.name}",
        found=", ".join(s.key for s in chosen),
        expected="one series, or a folder as OUT",
        fix="choose one with --series UID, or give a folder",
    )


def _format_of(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _FORMAT_OF.items() if name.endswith(suffix)), None)


def _target(out: Path, wish: Wish, chosen: list[Series]) -> str:
    """Return the format to write, from the wish, else from OUT's suffix, else NIfTI for a DICOM source."""
    if wish.to is not None and wish.to not in TARGETS:
        raise UnknownNameError("unknown format", found=wish.to, expected=", ".join(TARGETS))
    if wish.modality is not None and wish.modality not in DICOM_MODALITIES:
        raise UsageError("unknown modality", found=wish.modality, expected=", ".join(DICOM_MODALITIES))
    named = None if out.is_dir() else _format_of(out)
    if named is None and not out.is_dir() and out.name.lower().endswith(_NOT_WRITTEN):
        raise UsageError(
            f"{out.name} is not a name that can be written",
            expected="a file in .nii.gz, .nii, .nrrd or .mha, or a folder (for DICOM always)",
        )
    if wish.to is not None and named not in (None, wish.to):
        fix = "for DICOM, OUT is a folder" if wish.to == "dicom" else "let suffix and --to agree"
        raise UsageError(f"--to {wish.to} and the name {out.name} disagree", fix=fix)
    if out.exists() and not out.is_dir() and named is None:
        raise UsageError(f"OUT must be a folder here, and {out.name} is a file", fix="choose another OUT")
    target = wish.to or named or ("nifti" if all(s.format == "dicom" for s in chosen) else None)
    if target is None:
        raise UsageError("OUT is a folder and does not tell the format", fix="add --to nifti, nrrd, mha or dicom")
    return target


def _write_all(work: _Work, chosen: list[Series], folder: Path, file_name: str | None) -> list[str]:
    """Write every series into `folder` and return the file names; one of several that cannot be read is left out."""
    written, failures = list[str](), list[VesaliusError]()
    names = _names(chosen)
    for number, series in enumerate(chosen):
        work.progress(f"reading {number + 1} of {len(chosen)}", number / len(chosen))
        try:
            volume = work.loader(series)
            work.progress(f"writing {number + 1} of {len(chosen)}", (number + 0.5) / len(chosen))
            if work.target == "dicom":
                written += _write_dicom(work, series, volume, folder, f"{names[number]}_" if len(chosen) > 1 else "")
            else:
                name = file_name or f"{names[number]}{SUFFIX_OF[work.target]}"
                save(replace(volume, modality=work.wish.modality or volume.modality), folder / name)
                written.append(name)
        except VesaliusError as problem:
            if len(chosen) == 1:
                raise
            failures.append(problem)
            work.warnings.append(Message("convert.series_left_out", {"series": series.key, "reason": str(problem)}))
    if not written:
        raise failures[0]
    work.progress("done", 1.0)
    return written


def _names(chosen: list[Series]) -> list[str]:
    """Return a file stem per series: the user's own file name, or modality, series number and 8 digits of a hash."""
    names = list[str]()
    for series in chosen:
        if series.format == "dicom":
            digits = hashlib.sha256(series.key.encode()).hexdigest()[:8]
            name = f"{(series.modality or 'image').lower()}_{series.number or 0:03d}_{digits}"
        else:
            name = stem_of(series.instances[0].path)
        if name in names:
            name = f"{name}-{hashlib.sha256(series.key.encode()).hexdigest()[:8]}"
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def _write_dicom(work: _Work, series: Series, volume: Volume, folder: Path, prefix: str) -> list[str]:
    from vesalius.io.dicom import compose, derive
    from vesalius.io.load import input_hash, source_headers

    kind = work.wish.modality or volume.modality
    if not kind:
        kind = "MR"
        work.warnings.append(Message("convert.modality_assumed", {"modality": kind}))
    form = derive.stored_form(volume, kind)
    if not form.is_exact:
        work.warnings.append(Message("convert.scaled", {"slope": form.slope, "error": form.largest_error}))
    root = uuid.uuid5(_NAMESPACE, f"{input_hash(series)} {series.key} {kind}")
    headers = source_headers(series) if series.format == "dicom" else None
    slices = derive.to_dicom(
        volume,
        uid=lambda name: f"2.25.{uuid.uuid5(root, name).int}",
        headers=headers,
        description=work.wish.purpose,
        modality=kind,
    )
    names = list[str]()
    with output_errors(folder.parent):
        for name, dataset in slices:
            (folder / f"{prefix}{name}").write_bytes(compose.to_bytes(dataset))
            names.append(f"{prefix}{name}")
    return names


def _settle(folder: Path, names: list[str], out: Path, work: _Work) -> list[Path]:
    """Rename what was written to where it belongs, after judging every conflict."""
    single_file = len(names) == 1 and names[0] == out.name and not out.is_dir()
    base = Path(os.path.realpath(out))
    targets = {name: base if single_file else base / name for name in names}
    changed = [name for name in names if not _same(folder / name, targets[name])]
    if not work.wish.force:
        _refuse_conflicts(out, [targets[n] for n in changed if targets[n].exists()])
    if work.target == "dicom" and out.is_dir():
        _clear_slices(out, set(names), force=work.wish.force)
    with output_errors(out):
        if not single_file:
            base.mkdir(exist_ok=True)
        for name in changed:
            os.replace(folder / name, targets[name])
        sync_folder(base.parent if single_file else base)
    return [out if single_file else out / name for name in names]


def _same(new: Path, old: Path) -> bool:
    return old.is_file() and filecmp.cmp(new, old, shallow=False)


def _refuse_conflicts(out: Path, existing: list[Path]) -> None:
    if existing:
        raise OutputExistsError(
            f"{out} exists with other content",
            found=", ".join(p.name for p in existing[:5]),
            fix="choose another OUT, or replace it with --force",
        )


def _clear_slices(out: Path, names: set[str], *, force: bool) -> None:
    """Make sure that the slices of two conversions never lie in one folder."""
    others = [p for p in sorted(out.iterdir()) if p.name not in names]
    if not force:
        _refuse_conflicts(out, others)
    with output_errors(out):
        for path in others:
            if path.is_file() and _OUR_SLICE.fullmatch(path.name):
                path.unlink()
