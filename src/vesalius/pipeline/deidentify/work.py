"""What a worker does with a portion: each file de-identified and written whole, or a line that says why not."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vesalius.core.errors import DeidentificationError, MissingDependencyError, OutputError, VesaliusError
from vesalius.io.atomic import output_errors, write_bytes, writing
from vesalius.io.dicom.limits import opened
from vesalius.io.dicom.values import text
from vesalius.pipeline.deidentify.plan import File, Portion
from vesalius.pipeline.deidentify.request import Line
from vesalius.pipeline.internal import internal_error
from vesalius.privacy import nifti_text, sidecar
from vesalius.privacy.deidentify import Cleaned, deidentified, pieces
from vesalius.privacy.heads import names_head
from vesalius.privacy.objects import Kind
from vesalius.privacy.outcome import FaceAnswer, PixelCleaner, Report, Result, Subject
from vesalius.privacy.profile import Option

FULL_DISK = frozenset((errno.ENOSPC, errno.EDQUOT))
_STEM = 16


@dataclass(frozen=True)
class Done:
    """Lines of a portion, and the errors that are faults of ours or of the disk."""

    lines: tuple[Line, ...]
    errors: tuple[VesaliusError, ...] = ()


def work(portion: Portion) -> Done:
    """Return how each file of a portion ended.

    Raises:
        OutputError: the disk is full: nothing more can be written.
    """
    cleaner = pixel_cleaner() if portion.settings.profile.has(Option.CLEAN_PIXELS) else None
    lines: list[Line] = []
    errors: list[VesaliusError] = []
    for file in portion.files:
        try:
            lines.append(_one(file, portion, cleaner))
        except VesaliusError as problem:
            if isinstance(problem, OutputError) and problem.errno in FULL_DISK:
                raise
            lines.append(_failed(file, problem))
        except Exception as problem:  # noqa: BLE001 - one file's failure must not end the others
            error = internal_error(problem)
            errors.append(error)
            lines.append(_failed(file, error))
    return Done(tuple(lines), tuple(errors))


def pixel_cleaner() -> PixelCleaner | None:
    """Return what looks for burned-in text, None where the extra `ocr` is not installed."""
    from vesalius.privacy import pixels

    try:
        pixels.versions()
    except MissingDependencyError:
        return None
    return pixels.clean


def _failed(file: File, problem: VesaliusError) -> Line:
    refused = isinstance(problem, DeidentificationError) or (
        file.refusal is problem and problem.code == "contradiction"
    )
    result = Result.REFUSED if refused else Result.FAILED
    return Line(
        file.token, file.place, file.hash, str(file.facts.kind), result, error=problem.code, message=_said(problem)
    )


def _said(problem: VesaliusError) -> str:
    """Return an error without what was found: that may quote a file."""
    return problem.message + (f"; fix: {problem.fix}" if problem.fix else "")


def _one(file: File, portion: Portion, cleaner: PixelCleaner | None) -> Line:
    if file.refusal is not None:
        raise file.refusal
    kind = file.facts.kind
    if kind in _DROPPED:
        return _line(file, Result.DROPPED, message=_DROPPED[kind])
    if file.is_again:
        return _line(file, Result.DUPLICATE, message="the same file was written before")
    if kind is Kind.NIFTI:
        return _nifti(file, portion)
    if kind is Kind.SIDECAR:
        return _written(file, portion, _stem(file, portion) + ".json", [sidecar.cleaned_sidecar(file.path)])
    return _dicom(file, portion, cleaner)


_DROPPED = {
    Kind.DIRECTORY: "a directory of other files: its records hold identity",
    Kind.DOCUMENT: "an encapsulated document: its pages cannot be cleaned",
    Kind.OTHER: "neither DICOM, NIfTI nor a JSON sidecar",
}


def _line(file: File, result: Result, output: str = "", size: int = 0, message: str = "") -> Line:
    return Line(file.token, file.place, file.hash, str(file.facts.kind), result, output, size, message=message)


def _nifti(file: File, portion: Portion) -> Line:
    settings = portion.settings
    is_head = names_head(file.name.replace("_", " "))
    if is_head and not (settings.no_face or settings.deface):
        raise DeidentificationError(
            "an image of a head shows a face",
            expected="--deface, or --no-face REASON for a skull-stripped or faceless head",
        )
    name = file.path.name.lower()
    target = _stem(file, portion) + (".nii.gz" if name.endswith(".gz") else ".nii")
    answer = _face(file, portion) or FaceAnswer()
    risks = {"pixels_not_searched", "defaced" if answer.remove else "region_unknown"}
    if is_head and settings.no_face:
        risks = {"pixels_not_searched", "no_face_checked" if answer.checked else "no_face_stated"}
    parts = nifti_text.cleaned_nifti(file.path, answer.blanker)
    if answer.doubt:
        return _with(_aside(file, portion, target, answer.doubt, parts), Report(risks=risks))
    line = replace(_written(file, portion, target, parts), message=answer.words)
    return _with(line, Report(risks=risks))


def _face(file: File, portion: Portion) -> FaceAnswer | None:
    """Return what is known of the face in the series of a file, None where none is looked for."""
    if file.face is None:
        return None
    from vesalius.privacy.deface_files import Sources, answer

    return answer(Sources(file.face.series, file.face.siblings), portion.settings)


def _stem(file: File, portion: Portion) -> str:
    """Return a name that an image shares with its sidecar."""
    name = file.name
    for suffix in (".nii.gz", ".nii", ".json"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return "image-" + portion.settings.pseudonyms.token("stem", name, _STEM)


def _dicom(file: File, portion: Portion, cleaner: PixelCleaner | None) -> Line:
    subject = Subject(portion.identity, portion.known, file.head_study)
    with opened(file.path) as source:
        face = _face(file, portion)
        cleaned = deidentified(source, portion.settings, subject, cleaner, face)
        name = _name(cleaned, portion) + file.suffix + ".dcm"
        if cleaned.quarantine:
            return _quarantined(file, portion, name, cleaned, pieces(source, cleaned))
        line = _written(file, portion, name, pieces(source, cleaned))
        return _with(replace(line, message=face.words if face is not None else ""), cleaned.report)


def _name(cleaned: Cleaned, portion: Portion) -> str:
    """Return PATIENT/STUDY/SERIES/UID out of replaced values only."""
    token, data = portion.settings.pseudonyms.token, cleaned.data
    patient = text(data, "PatientID") or "unknown"
    study = token("folder", text(data, "StudyInstanceUID"))
    series = token("folder", text(data, "SeriesInstanceUID"))
    return f"{patient}/{study}/{series}/{cleaned.uid}"


def _written(file: File, portion: Portion, name: str, parts: Iterable[bytes]) -> Line:
    size = 0
    if portion.dry_run:
        size = sum(len(part) for part in parts)
    else:
        with writing(portion.out / name) as stream:
            for part in parts:
                size += stream.write(part)
    return _line(file, Result.WRITTEN, name, size)


def _with(line: Line, report: Report) -> Line:
    actions = Counter({f"{path} {keyword}: {act}".strip(): n for (path, keyword, act), n in report.actions.items()})
    return Line(
        **{
            **{name: getattr(line, name) for name in line.__dataclass_fields__},
            "actions": dict(actions),
            "risks": tuple(sorted(report.risks)),
            "boxes": report.boxes,
            "codes": report.codes,
        }
    )


def _quarantined(file: File, portion: Portion, name: str, cleaned: Cleaned, parts: Iterable[bytes]) -> Line:
    line = _aside(file, portion, name, cleaned.quarantine, parts)
    if not portion.dry_run:
        for index, picture in enumerate(cleaned.previews):
            place = portion.quarantine / f"{line.output.removesuffix('.dcm')}-{index}.png"
            _private(place, partial(write_bytes, data=picture))
    return _with(line, cleaned.report)


def _aside(file: File, portion: Portion, name: str, reason: str, parts: Iterable[bytes]) -> Line:
    """Write a file into the quarantine, which only its owner may read."""
    folder = portion.quarantine
    flat = name.rpartition("/")[2]
    if not portion.dry_run:
        with output_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chmod(folder, 0o700)
        _private(folder / flat, lambda path: _write(path, parts))
    return _line(file, Result.QUARANTINED, flat, message=reason)


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with writing(path) as stream:
        for part in parts:
            stream.write(part)


def _private(path: Path, write: Callable[[Path], None]) -> None:
    write(path)
    with output_errors(path):
        os.chmod(path, 0o600)
