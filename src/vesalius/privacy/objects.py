"""One file of any kind: what it is, whose it is, and its de-identified bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vesalius.core.errors import ReadError
from vesalius.io.dicom.headers import parsed
from vesalius.io.dicom.limits import DIRECTORY_CLASS, looks_like_dicom, opened
from vesalius.io.dicom.values import quiet, text
from vesalius.privacy.deidentify import identity_of, is_document
from vesalius.privacy.heads import is_localizer, is_slice, shows_head, tells_region
from vesalius.privacy.known import Known, collect
from vesalius.privacy.nifti_text import is_nifti
from vesalius.privacy.sidecar import is_sidecar

_BLOCK = 1 << 20


class Kind(StrEnum):
    """What a file is to de-identification."""

    DICOM = "dicom"
    DIRECTORY = "directory"
    DOCUMENT = "document"
    NIFTI = "nifti"
    SIDECAR = "sidecar"
    OTHER = "other"


@dataclass(frozen=True)
class Facts:
    """What the first look at a file tells; stays in memory, for it holds values of the patient.

    Args:
        digest: SHA-256 of the file.
        problem: message of the error that makes it unreadable, "" without one.
        frame_uid: of the frame of reference.
        is_slice: a CT or MR image in slices; `region_known` when it says which part of the body it shows.
    """

    kind: Kind
    digest: str = field(repr=False)
    identity: str = field(default="", repr=False)
    known: Known = field(default_factory=Known, repr=False)
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    sop_uid: str = field(default="", repr=False)
    problem: ReadError | None = None
    shows_head: bool = False
    frame_uid: str = field(default="", repr=False)
    is_slice: bool = False
    region_known: bool = False


def survey(path: Path) -> Facts:
    """Return the first look at a file; what cannot be read is told, not raised."""
    try:
        with path.open("rb") as file:
            head = file.read(140)
        digest = _digest(path)
    except OSError as problem:
        error = ReadError("the file cannot be opened", found=problem.strerror or type(problem).__name__)
        return Facts(Kind.OTHER, "", problem=error)
    if is_nifti(path):
        return Facts(Kind.NIFTI, digest)
    if looks_like_dicom(head):
        try:
            return _of_dicom(path, digest)
        except ReadError as problem:
            return Facts(Kind.DICOM, digest, problem=problem)
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        return Facts(Kind.DICOM, digest, problem=ReadError("not a DICOM file although it is named like one"))
    return Facts(Kind.SIDECAR if is_sidecar(path) else Kind.OTHER, digest)


def _of_dicom(path: Path, digest: str) -> Facts:
    with opened(path) as source:
        if source.meta_class == DIRECTORY_CLASS:
            return Facts(Kind.DIRECTORY, digest)
        with quiet():
            data = parsed(source, everything=True)
            kind = Kind.DOCUMENT if is_document(text(data, "SOPClassUID") or source.meta_class) else Kind.DICOM
            study, series, sop = (text(data, n) for n in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
            return Facts(
                *(kind, digest, identity_of(data), collect(data), study, series, sop),
                shows_head=shows_head(data),
                frame_uid="" if is_localizer(data) else text(data, "FrameOfReferenceUID"),
                is_slice=is_slice(data),
                region_known=tells_region(data),
            )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
