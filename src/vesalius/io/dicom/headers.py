"""One stored object as a header without pixels: what it is, how large, and where each of its frames lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from vesalius.core import Message, Spacing
from vesalius.core.errors import LimitError, ReadError, VesaliusError
from vesalius.io.dicom import codecs, mosaic, planes, suv, tags
from vesalius.io.dicom.limits import DIRECTORY_CLASS, Source, check_declared_size, opened
from vesalius.io.dicom.planes import Plane
from vesalius.io.dicom.values import PARSE_ERRORS, first, items, moment, number, quiet, text, value, whole

SEGMENTATION_CLASSES: Final = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
WHOLE_SLIDE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
MAX_FRAMES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Pixels:
    """The image pixel module, per stored frame."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int
    kind: str = "integer"

    @property
    def bytes_declared(self) -> int:
        """Return the size of all frames uncompressed, in bytes."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated * self.frames
        if self.photometric == "YBR_FULL_422":
            bits = bits * 2 // 3
        return (bits + 7) // 8

    @property
    def is_colour(self) -> bool:
        """Return whether a frame becomes red, green and blue."""
        return self.samples >= 3 or self.photometric == "PALETTE COLOR"


@dataclass(frozen=True, eq=False, slots=True)
class Header:
    """A stored object.

    Args:
        patient: digest of PatientID, "" without one.
        name_and_birth: digests of those two, both "" unless both are told.
        kind: "image", "segmentation", "directory" or "object" (no pixels).
        planes: one per image plane; a mosaic has one per tile.
        damage: why the pixels cannot be read although the header can.
        uptake: what SUV needs, for PET only.
        facts: short facts on an object that is no image (number of segments, of records).
    """

    path: Path
    kind: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    patient: str = ""
    name_and_birth: tuple[str, str] = ("", "")
    study_key: str = ""
    modality: str = ""
    description: str = ""
    body_part: str = ""
    date: str = ""
    number: int | None = None
    instance_number: int | None = None
    transfer_syntax: str = ""
    pixels: Pixels | None = None
    planes: tuple[Plane, ...] = ()
    spacing: Spacing = Spacing.UNKNOWN
    is_flat: bool = False
    mosaic: mosaic.Mosaic | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str | int] = field(default_factory=dict)
    uptake: suv.Facts | None = field(default=None, repr=False)
    problems: tuple[Message, ...] = ()
    damage: VesaliusError | None = None

    @property
    def class_name(self) -> str:
        """Return the name of the SOP class, or its UID when it is private or unknown."""
        return class_name(self.sop_class_uid)


@lru_cache(maxsize=256)
def class_name(uid: str) -> str:
    """Return the registered name of a SOP class or transfer syntax, the UID itself without one, "" for ""."""
    return _NEWER_CLASSES.get(uid) or (str(UID(uid, config.IGNORE).name) if uid else "")


_NEWER_CLASSES = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}
"""Classes of the standard that pydicom does not know yet."""


def read_header(path: Path) -> Header:
    """Return the header of a DICOM file.

    Raises:
        LimitError: nesting, elements, value lengths or the inflated size.
        ReadError: not a DICOM file, cut short before the pixel data, or without a usable header.
    """
    with opened(path, tags.WANTED) as source:
        if source.meta_class == DIRECTORY_CLASS:
            return Header(path, "directory", sop_class_uid=DIRECTORY_CLASS, study_key=study_key("", ""))
        return header_of(source, parsed(source))


def parsed(source: Source, everything: bool = False) -> Dataset:
    """Return the elements before the pixel data as pydicom reads them.

    Args:
        everything: every element instead of those that a descriptor needs.

    Raises:
        ReadError: pydicom cannot read them.
    """
    try:
        with quiet():
            return read_dataset(
                source.stream(),
                source.encoding.implicit,
                source.encoding.little,
                stop_when=lambda tag, vr, length: int(tag) in _PIXEL_TAGS,
                specific_tags=None if everything else _WANTED,
            )
    except PARSE_ERRORS as problem:
        raise ReadError("the DICOM header is damaged", found=type(problem).__name__) from None


_WANTED = sorted(tags.WANTED)
_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PIXEL_KINDS = dict(zip(_PIXEL_TAGS, ("float", "double", "integer"), strict=True))


def header_of(source: Source, data: Dataset) -> Header:
    """Return the header of a parsed source."""
    with quiet():
        common = _common(source, data)
        if source.pixels is None:
            return Header(kind="object", facts=_facts(data), **common)
        pixels, problems = _pixels(source, data)
        damage = _damage(source, pixels)
        rows, columns = whole(data, "TotalPixelMatrixRows"), whole(data, "TotalPixelMatrixColumns")
        if common["sop_class_uid"] == WHOLE_SLIDE_CLASS and rows and columns:
            problems = (*problems, Message("io.dicom.whole_slide", {"rows": rows, "columns": columns}))
        if common["sop_class_uid"] in SEGMENTATION_CLASSES:
            return _segmentation(data, pixels, damage, common)
        place = planes.of(data, common["modality"], common["sop_class_uid"], pixels.frames)
        layout = mosaic.layout(data, pixels.rows, pixels.columns) if pixels.frames == 1 else None
        if layout is not None:
            place = mosaic.planes_of(place, layout, pixels.rows, pixels.columns)
        return Header(
            kind="image",
            pixels=pixels,
            planes=place.planes,
            spacing=place.spacing,
            is_flat=place.is_flat,
            mosaic=layout,
            uptake=suv.facts(data) if common["modality"] == "PT" else None,
            problems=(*problems, *place.problems),
            damage=damage,
            **common,
        )


def _segmentation(data: Dataset, pixels: Pixels, damage: VesaliusError | None, common: dict[str, Any]) -> Header:
    place = planes.of(data, "SEG", common["sop_class_uid"], pixels.frames)
    facts: dict[str, str | int] = {"segments": len(items(data, "SegmentSequence"))}
    if kind := text(data, "SegmentationType"):
        facts["type"] = kind.lower()
    return Header(
        kind="segmentation",
        pixels=pixels,
        planes=place.planes,
        spacing=place.spacing,
        is_flat=place.is_flat,
        facts=facts,
        damage=damage,
        **common,
    )


def _common(source: Source, data: Dataset) -> dict[str, Any]:
    patient, other = _patient(data)
    study = text(data, "StudyInstanceUID")
    day = text(data, "StudyDate")
    return {
        "path": source.path,
        "sop_class_uid": text(data, "SOPClassUID") or source.meta_class,
        "sop_instance_uid": text(data, "SOPInstanceUID"),
        "study_uid": study,
        "series_uid": text(data, "SeriesInstanceUID"),
        "frame_of_reference_uid": text(data, "FrameOfReferenceUID"),
        "patient": patient,
        "name_and_birth": other,
        "study_key": study_key(text(data, "PatientID"), study),
        "modality": text(data, "Modality"),
        "description": text(data, "SeriesDescription"),
        "body_part": text(data, "BodyPartExamined"),
        "date": str(when.date()) if (when := moment(day, "00")) else "",
        "number": whole(data, "SeriesNumber"),
        "instance_number": whole(data, "InstanceNumber"),
        "transfer_syntax": source.transfer_syntax,
        "attributes": _attributes(data),
    }


def study_key(patient_id: str, study_uid: str) -> str:
    """Return the first 12 hex digits of SHA-256 of PatientID, a zero byte and StudyInstanceUID (CONTRACTS)."""
    return hashlib.sha256(patient_id.encode() + b"\0" + study_uid.encode()).hexdigest()[:12]


def _patient(data: Dataset) -> tuple[str, tuple[str, str]]:
    """Return a digest of the patient's id, and those of name and birth date."""
    identifier = text(data, "PatientID")
    name = text(data, "PatientName").rstrip("^").casefold()
    born = text(data, "PatientBirthDate")
    other = (_digest(name), _digest(born)) if name and born else ("", "")
    return (_digest(identifier) if identifier else ""), other


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def _attributes(data: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword in tags.ATTRIBUTES:
        raw = value(data, keyword)
        if raw is not None:
            found[keyword] = _plain(raw)
    return found


def _plain(raw: Any) -> Any:
    try:
        if isinstance(raw, str):
            return str(raw).strip(" \0")[:256]
        if isinstance(raw, int):
            return int(raw)
        if isinstance(raw, float):
            return float(raw)
        if isinstance(raw, bytes):
            return raw[:64].decode("ascii", "replace").strip(" \0")
        return tuple(_plain(part) for part in list(raw)[:64])
    except PARSE_ERRORS:
        return ""


def _facts(data: Dataset) -> dict[str, str | int]:
    kind = text(data, "MIMETypeOfEncapsulatedDocument")
    return {"type": kind} if kind else {}


def _pixels(source: Source, data: Dataset) -> tuple[Pixels, tuple[Message, ...]]:
    rows, columns = whole(data, "Rows"), whole(data, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        raise ReadError(
            "an image without its size", found=f"Rows {rows}, Columns {columns}", expected="both larger than zero"
        )
    assert source.pixels is not None
    kind = _PIXEL_KINDS[source.pixels.tag]
    allocated = {"float": 32, "double": 64}.get(kind) or whole(data, "BitsAllocated") or 0
    if allocated not in (1, 8, 16, 32, 64):
        raise ReadError("an image whose BitsAllocated is not 1, 8, 16, 32 or 64", found=str(allocated))
    stored = whole(data, "BitsStored") or allocated
    samples = whole(data, "SamplesPerPixel") or 1
    if not 1 <= samples <= 4:
        raise ReadError("an image whose SamplesPerPixel is not 1 to 4", found=str(samples))
    frame = Pixels(
        rows=rows,
        columns=columns,
        frames=1,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored if 1 <= stored <= allocated else allocated,
        signed=whole(data, "PixelRepresentation") == 1,
        photometric=text(data, "PhotometricInterpretation") or ("RGB" if samples == 3 else "MONOCHROME2"),
        planar=whole(data, "PlanarConfiguration") or 0,
        kind=kind,
    )
    frames, problems = _frame_count(source, data, frame)
    return Pixels(**{name: getattr(frame, name) for name in Pixels.__slots__} | {"frames": frames}), problems


def _frame_count(source: Source, data: Dataset, frame: Pixels) -> tuple[int, tuple[Message, ...]]:
    told = text(data, "NumberOfFrames")
    if not told:
        return 1, ()
    count = number(data, "NumberOfFrames")
    if count is not None and count == int(count) and 1 <= count <= MAX_FRAMES:
        return int(count), ()
    if count is not None and count > MAX_FRAMES:
        raise LimitError("too many frames are declared", found=f"{count:.0f}", expected=f"at most {MAX_FRAMES}")
    assert source.pixels is not None
    follows = 1
    if source.pixels.fragments is None and frame.bytes_declared:
        follows = max(1, min(MAX_FRAMES, source.pixels.length // frame.bytes_declared))
    return follows, (Message("io.dicom.frame_count", {"told": told[:16], "frames": follows}),)


def _damage(source: Source, pixels: Pixels) -> VesaliusError | None:
    try:
        check_declared_size(pixels.bytes_declared, source, pixels.frames)
        codecs.check_frames(source, pixels.rows, pixels.columns, pixels.samples, pixels.bits_allocated)
    except ReadError as problem:
        return problem
    return None


def region_name(data: Dataset) -> str:
    """Return the meaning of the coded anatomic region, "" when absent."""
    region = first(data, "AnatomicRegionSequence")
    return text(region, "CodeMeaning") if region is not None else ""
