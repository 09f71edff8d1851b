"""One DICOM object: in as it was stored, out de-identified, with a report that holds no value of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from vesalius.core.errors import ContradictionError, DeidentificationError, UnsupportedError
from vesalius.io.dicom.headers import parsed
from vesalius.io.dicom.limits import DIRECTORY_CLASS, Source, opened
from vesalius.io.dicom.values import quiet, text
from vesalius.privacy import heads, marks, writing
from vesalius.privacy.dates import zone_offset
from vesalius.privacy.known import Known, collect
from vesalius.privacy.outcome import FaceAnswer, PixelCleaner, Report, Settings, Subject
from vesalius.privacy.profile import Option, Profile
from vesalius.privacy.rules import Cleaner
from vesalius.privacy.sweep import Needles, needles
from vesalius.privacy.values import Values

ENCAPSULATED: Final = "1.2.840.10008.5.1.4.1.1.104."
"""Encapsulated PDF, CDA, STL, OBJ and MTL: documents that are dropped whole."""
VOICE: Final = "1.2.840.10008.5.1.4.1.1.9.4."
"""Basic voice and general audio: a voice tells who speaks, and what it says cannot be cleaned."""
NAMELESS: Final = "\0"
"""What the identity of an object without a PatientID begins with."""
TEXT_PRONE: Final = frozenset(
    ("US", "IVUS", "SC", "OT", "ES", "XC", "GM", "OP", "SM", "DOC", "XA", "RF", "CR", "DX", "MG")
)
"""Modalities whose pictures often carry burned-in text."""


@dataclass
class Cleaned:
    """A de-identified object, ready to be written.

    Args:
        data: everything but the pixel data.
        uid: its new SOP Instance UID.
        quarantine: why a person must look at it, "" when none must.
    """

    data: Dataset
    uid: str
    report: Report
    quarantine: str = ""
    previews: tuple[bytes, ...] = field(default=(), repr=False)
    pixels: Dataset | None = None
    findings: Needles | None = field(default=None, repr=False)


def is_document(sop_class: str) -> bool:
    """Return whether objects of a class are documents of free text and layout or speech, which are dropped."""
    return sop_class.startswith((ENCAPSULATED, VOICE))


def identity_of(data: Dataset) -> str:
    """Return what a patient's pseudonym and dates follow from.

    PatientID; without one, name and birth date; without them the study, so that at least its objects stay together.
    """
    identifier = text(data, "PatientID")
    if identifier:
        return identifier
    other = f"{text(data, 'PatientName')}\0{text(data, 'PatientBirthDate')}"
    return NAMELESS + (other if other.strip("\0") else f"{NAMELESS}{text(data, 'StudyInstanceUID')}")


def subject_of(data: Dataset) -> Subject:
    """Return whose object a data set is, as far as it tells itself."""
    return Subject(identity_of(data), collect(data))


def relevant(known: Known, profile: Profile) -> Known:
    """Return the known values that must be found nowhere: what an option retains may stand."""
    dates = frozenset[str]() if profile.has(Option.FULL_DATES) else known.dates
    if profile.has(Option.DEVICE) or profile.has(Option.INSTITUTION):
        return Known(known.names, frozenset(), dates, frozenset(), known.phones, known.persons)
    return Known(known.names, known.ids, dates, known.addresses, known.phones, known.persons)


def clean_header(data: Dataset, settings: Settings, subject: Subject) -> tuple[Cleaned, Needles]:
    """Return the de-identified elements of a data set, pixel data and marks not among them."""
    looked_for = needles(relevant(subject.known, settings.profile))
    values = Values(
        settings.profile,
        settings.pseudonyms,
        looked_for,
        settings.pseudonyms.days(subject.identity),
        zone_offset(text(data, "TimezoneOffsetFromUTC")),
    )
    cleaner = Cleaner(values, settings.pseudonyms.patient(subject.identity))
    result = cleaner.cleaned(data)
    report = Report(actions=cleaner.log.done)
    return Cleaned(result, text(result, "SOPInstanceUID"), report), looked_for


def deidentified(
    source: Source,
    settings: Settings,
    subject: Subject | None = None,
    cleaner: PixelCleaner | None = None,
    face: FaceAnswer | None = None,
) -> Cleaned:
    """Return the de-identified object of a walked source.

    Args:
        subject: what all objects of the patient tell; by default what this one tells.
        cleaner: looks for burned-in text; without one, pictures prone to it go to a person.
        face: what is known of the face in the object's series; where `settings` ask to deface, heads need it.

    Raises:
        UnsupportedError: a directory or a document.
        DeidentificationError: a head in slices, neither defaced nor said to have no face.
        ReadError: the object is damaged.
    """
    if source.meta_class == DIRECTORY_CLASS:
        raise UnsupportedError("a directory of other files (DICOMDIR)", fix="it is dropped: its records hold identity")
    with quiet():
        data = parsed(source, everything=True)
        if is_document(text(data, "SOPClassUID") or source.meta_class):
            raise UnsupportedError("an encapsulated document or speech", fix="it is dropped: it cannot be cleaned")
        _require_uids(data)
        whose = subject or subject_of(data)
        is_head = heads.shows_head(data) or (whose.head_study and heads.is_slice(data) and not heads.tells_region(data))
        asked = face is not None and settings.deface
        if is_head and not (settings.no_face or asked):
            raise _face()
        result, looked_for = clean_header(data, settings, whose)
        result.findings = looked_for
        defaced = _without_face(source, data, result, face, settings)
        _look_at_pixels(source, data, result, settings, cleaner)
        if heads.is_capture(data) and whose.head_study and not settings.no_face:
            result.quarantine = "a picture made of a head study may show the face"
        _mark(result, settings, is_head, defaced=defaced, checked=face is not None and face.checked)
    return result


def _require_uids(data: Dataset) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not text(data, keyword):
            raise ContradictionError("the object lacks a UID that every object has", found=f"no {keyword}")


def _without_face(source: Source, data: Dataset, result: Cleaned, face: FaceAnswer | None, settings: Settings) -> bool:
    """Remove the face from the pixels where that is asked for, and return whether it was done."""
    if face is None or source.pixels is None or not heads.is_slice(data):
        return False
    if face.doubt:
        result.quarantine = face.doubt
    if face.remove is None or not settings.deface:
        return False
    writing.check_pixels(source, data)
    picture = writing.with_pixels(source, data)
    try:
        face.remove(picture)
    except DeidentificationError as problem:
        result.quarantine = problem.message
        return False
    result.pixels = picture
    return True


def _face() -> DeidentificationError:
    return DeidentificationError(
        "slices of a head show a face",
        found="a CT or MR image of the head or the whole body",
        expected="--deface, or --no-face REASON for a skull-stripped or faceless head",
        fix="give --deface, or --no-face REASON when the head shows no face",
    )


def _look_at_pixels(
    source: Source, data: Dataset, result: Cleaned, settings: Settings, cleaner: PixelCleaner | None
) -> None:
    if source.pixels is None:
        return
    writing.check_pixels(source, data)
    if heads.is_slice(data) and not heads.tells_region(data) and result.pixels is None:
        result.report.risks.add("region_unknown")
    if not settings.profile.has(Option.CLEAN_PIXELS):
        result.report.risks.add("pixels_not_searched")
        return
    if cleaner is None:
        result.report.risks.add("pixels_not_searched")
        if text(data, "BurnedInAnnotation") == "YES" or text(data, "Modality") in TEXT_PRONE:
            result.quarantine = "burned-in text is likely and nothing looked for it"
        return
    picture = writing.with_pixels(source, data) if result.pixels is None else result.pixels
    outcome = cleaner(picture)
    result.report.boxes = len(outcome.boxes)
    result.previews = tuple(outcome.previews)
    if outcome.changed:
        result.pixels = picture
    if outcome.doubtful:
        result.quarantine = result.quarantine or "burned-in text may remain"


def _mark(result: Cleaned, settings: Settings, is_head: bool, *, defaced: bool, checked: bool) -> None:
    searched = not {"pixels_not_searched"} & result.report.risks
    codes = marks.codes_of(settings.profile, pixels_clean=searched, features_clean=defaced)
    note = f"no face: {settings.no_face}" if is_head and settings.no_face else ""
    if defaced:
        note = "face and ears removed"
        result.report.risks.add("defaced")
    elif is_head and settings.no_face:
        result.report.risks.add("no_face_checked" if checked else "no_face_stated")
    marks.mark(result.data, settings.profile, settings.pseudonyms.key_id, codes, note)
    result.report.codes = tuple(value for value, _ in codes)


def pieces(source: Source, cleaned: Cleaned) -> Iterator[bytes]:
    """Yield the bytes of a new file: empty preamble, own meta information, data set, pixel data.

    Raises:
        DeidentificationError: a known value of the patient is still among the bytes.
    """
    yield from writing.file_pieces(source, cleaned.data, cleaned.pixels, cleaned.findings)


def deidentify_file(
    path: Path, settings: Settings, subject: Subject | None = None, cleaner: PixelCleaner | None = None
) -> tuple[bytes, Report]:
    """Return the bytes of the de-identified file of one DICOM file, and the report.

    Raises:
        VesaliusError: as `deidentified`; also when a person must look at the pixels.
    """
    with opened(path) as source:
        cleaned = deidentified(source, settings, subject, cleaner)
        if cleaned.quarantine:
            raise DeidentificationError("a person must look at the object", found=cleaned.quarantine)
        try:
            return b"".join(pieces(source, cleaned)), cleaned.report
        except struct.error as problem:
            raise DeidentificationError("the object cannot be written", found=type(problem).__name__) from None
