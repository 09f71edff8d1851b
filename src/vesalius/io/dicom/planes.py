"""Where each frame of an object lies, from plain elements, functional groups or vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from vesalius.core import Message, Spacing
from vesalius.io.dicom import tags
from vesalius.io.dicom.spacing import PROJECTION, pixel_spacing
from vesalius.io.dicom.values import (
    PARSE_ERRORS,
    first,
    items,
    moment,
    number,
    numbers,
    seconds_since_1970,
    text,
    texts,
    triple,
    whole,
)

Triple = tuple[float, float, float]

FUNCTIONAL: Final = "SharedFunctionalGroupsSequence"
PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"


@dataclass(frozen=True, slots=True)
class Plane:
    """One frame: place in LPS mm, pixel size, what tells it from others, and its linear rescale.

    Args:
        row: direction in which the column index grows; `column` in which the row index grows (DICOM's two vectors).
        spacing_mm: between rows, between columns.
        split: values that separate stacks for good (localizer, complex component, stack id).
        kind: the image type beyond its second value; separates stacks where positions repeat.
        marks: values that may count a fourth axis: echo (ms), b-value, trigger (ms), time (s), index, acquisition.
    """

    frame: int
    position: Triple | None = None
    row: Triple | None = None
    column: Triple | None = None
    spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    between_mm: float | None = None
    slope: float | None = None
    intercept: float | None = None
    split: tuple[str, ...] = ()
    kind: str = ""
    marks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def is_placed(self) -> bool:
        """Return whether position, orientation and pixel size are known."""
        return None not in (self.position, self.row, self.spacing_mm)


@dataclass(frozen=True, slots=True)
class Place:
    """The planes of one object, how far their spacing is trusted, and whether they are flat pictures."""

    planes: tuple[Plane, ...]
    spacing: Spacing
    is_flat: bool
    problems: tuple[Message, ...] = ()


def of(data: Dataset, modality: str, sop_class: str, frames: int) -> Place:
    """Return the planes of an object; `frames` is the number that is stored."""
    measured = pixel_spacing(data, modality)
    base = _plane(data, measured.spacing_mm)
    problems = list(measured.problems)
    if items(data, PER_FRAME) or items(data, FUNCTIONAL):
        planes = _from_groups(data, base, frames)
    else:
        planes = _from_vectors(data, base, frames)
    status = measured.status
    if any(plane.spacing_mm for plane in planes) and status is Spacing.UNKNOWN and not measured.refused:
        status = Spacing.DETECTOR if modality in PROJECTION else Spacing.CALIBRATED
    is_flat = not all(plane.is_placed for plane in planes)
    if any(plane.position and not plane.row for plane in planes) and _told_orientation(data):
        problems.append(Message("io.dicom.bad_orientation"))
    return Place(planes, status, is_flat, tuple(problems))


def _told_orientation(data: Dataset) -> bool:
    return bool(text(data, "ImageOrientationPatient"))


def _plane(data: Dataset, spacing: tuple[float, float] | None) -> Plane:
    row, column = _directions(data)
    return Plane(
        frame=0,
        position=triple(data, "ImagePositionPatient"),
        row=row,
        column=column,
        spacing_mm=spacing,
        thickness_mm=_positive(number(data, "SliceThickness")),
        between_mm=_positive(number(data, "SpacingBetweenSlices")),
        slope=number(data, "RescaleSlope"),
        intercept=number(data, "RescaleIntercept"),
        split=_split(texts(data, "ImageType"), text(data, "ComplexImageComponent"), text(data, "StackID")),
        kind=_kind(texts(data, "ImageType")),
        marks=_marks(data),
    )


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _directions(data: Dataset) -> tuple[Triple, Triple] | tuple[None, None]:
    """Return the two direction vectors as written, (None, None) unless they are orthogonal unit vectors."""
    found = numbers(data, "ImageOrientationPatient")
    if len(found) != 6:
        return None, None
    row, column = np.array(found[:3]), np.array(found[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > 0.01 for length in lengths) or abs(row @ column) > 0.01:
        return None, None
    return (found[0], found[1], found[2]), (found[3], found[4], found[5])


_COMPLEX = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}


def _split(image_type: tuple[str, ...], component: str, stack: str) -> tuple[str, ...]:
    """Return what never belongs in one stack: localizers and others, magnitude and phase, two stack ids."""
    parts = [part.upper() for part in image_type]
    component = component.upper() or (_COMPLEX.get(parts[2], "") if len(parts) > 2 else "")
    return "LOCALIZER" if "LOCALIZER" in parts else "", component, stack


def _kind(image_type: tuple[str, ...]) -> str:
    return "\\".join(image_type).upper()


def _marks(data: Dataset) -> dict[str, tuple[float, ...]]:
    marks: dict[str, tuple[float, ...]] = {}
    for name, keyword in _PLAIN_MARKS:
        if (found := number(data, keyword)) is not None:
            marks[name] = (found,)
    b_value = number(data, "DiffusionBValue")
    if b_value is None:
        b_value = _siemens_b_value(data)
    if b_value is not None:
        marks["b-value"] = (b_value, *numbers(data, "DiffusionGradientOrientation")[:3])
    day = text(data, "AcquisitionDate") or text(data, "SeriesDate") or text(data, "StudyDate")
    for name, keyword in (("acquired", "AcquisitionTime"), ("content", "ContentTime")):
        when = moment(day, text(data, keyword))
        if when is not None:
            marks[name] = (seconds_since_1970(when),)
    return marks


_PLAIN_MARKS = (
    ("echo", "EchoTime"),
    ("temporal", "TemporalPositionIdentifier"),
    ("trigger", "TriggerTime"),
    ("acquisition", "AcquisitionNumber"),
)


def _siemens_b_value(data: Dataset) -> float | None:
    if tags.SIEMENS_B_VALUE not in data or "SIEMENS" not in str(data.get(0x00190010, "")):
        return None
    try:
        return float(data[tags.SIEMENS_B_VALUE].value)
    except PARSE_ERRORS:
        return None


def _from_vectors(data: Dataset, base: Plane, frames: int) -> tuple[Plane, ...]:
    """Return the planes of a classic object; only RT dose and reconstructed NM tell where later frames lie."""
    if frames == 1:
        if base.position is None or base.row is None:
            base = _nuclear(data, base)
        return (base,)
    offsets = numbers(data, "GridFrameOffsetVector")
    if len(offsets) == frames and base.is_placed:
        return _along_normal(base, _dose_offsets(offsets))
    nuclear = _nuclear(data, base)
    slices = numbers(data, "SliceVector")
    if nuclear.is_placed and nuclear.between_mm and sorted(slices) == list(range(1, frames + 1)):
        return _along_normal(nuclear, tuple((i - 1) * nuclear.between_mm for i in slices))
    return tuple(replace(base, frame=i, position=None) for i in range(frames))


def _dose_offsets(offsets: tuple[float, ...]) -> tuple[float, ...]:
    """Return offsets relative to the first plane (PS3.3 C.8.8.3.2: they begin with zero, or are positions)."""
    return tuple(offset - offsets[0] for offset in offsets)


def _along_normal(base: Plane, offsets: tuple[float, ...]) -> tuple[Plane, ...]:
    normal = np.cross(base.row or (), base.column or ())
    start = np.array(base.position)
    result = []
    for index, offset in enumerate(offsets):
        x, y, z = start + offset * normal
        result.append(replace(base, frame=index, position=(float(x), float(y), float(z))))
    return tuple(result)


def _nuclear(data: Dataset, base: Plane) -> Plane:
    detector = first(data, "DetectorInformationSequence")
    if detector is None:
        return base
    row, column = _directions(detector)
    position = triple(detector, "ImagePositionPatient")
    if row is None or position is None:
        return base
    return replace(base, position=position, row=row, column=column)


def _from_groups(data: Dataset, base: Plane, frames: int) -> tuple[Plane, ...]:
    """Return the planes of an enhanced object: shared groups first, those of the frame over them."""
    shared = first(data, FUNCTIONAL)
    common = _grouped(base, shared)
    per_frame = items(data, PER_FRAME)
    if len(per_frame) != frames:
        return tuple(replace(common, frame=i) for i in range(frames))
    return tuple(replace(_grouped(common, group), frame=i) for i, group in enumerate(per_frame))


def _grouped(plane: Plane, group: Dataset | None) -> Plane:
    """Return the plane with what one functional group tells."""
    if group is None or not len(group):
        return plane
    changes: dict[str, object] = {}
    if (item := first(group, "PlanePositionSequence")) is not None:
        changes["position"] = triple(item, "ImagePositionPatient")
    if (item := first(group, "PlaneOrientationSequence")) is not None:
        changes["row"], changes["column"] = _directions(item)
    if (item := first(group, "PixelMeasuresSequence")) is not None:
        changes |= _measures(item)
    if (item := first(group, "PixelValueTransformationSequence")) is not None:
        changes["slope"], changes["intercept"] = number(item, "RescaleSlope"), number(item, "RescaleIntercept")
    if (item := next((found for word in _FRAME_TYPES if (found := first(group, word))), None)) is not None:
        frame_type = texts(item, "FrameType")
        changes["kind"] = _kind(frame_type)
        changes["split"] = (*_split(frame_type, text(item, "ComplexImageComponent"), "")[:2], *plane.split[2:])
    if (item := first(group, "FrameContentSequence")) is not None:
        before = changes.get("split", plane.split)
        assert isinstance(before, tuple)
        changes["split"] = (*before[:2], text(item, "StackID"))
    marks = {**plane.marks, **_group_marks(group)}
    result: Plane = replace(plane, marks=marks, **changes)  # type: ignore[arg-type]
    return result


def _measures(item: Dataset) -> dict[str, object]:
    spacing = numbers(item, "PixelSpacing")
    found: dict[str, object] = {
        "thickness_mm": _positive(number(item, "SliceThickness")),
        "between_mm": _positive(number(item, "SpacingBetweenSlices")),
    }
    if len(spacing) == 2 and min(spacing) > 0:
        found["spacing_mm"] = (spacing[0], spacing[1])
    return found


_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


def _group_marks(group: Dataset) -> dict[str, tuple[float, ...]]:
    marks: dict[str, tuple[float, ...]] = {}
    for name, sequence, keyword in _GROUP_MARKS:
        item = first(group, sequence)
        found = number(item, keyword) if item is not None else None
        if found is not None:
            marks[name] = (found,)
    diffusion = first(group, "MRDiffusionSequence")
    if diffusion is not None and (b_value := number(diffusion, "DiffusionBValue")) is not None:
        gradient = first(diffusion, "DiffusionGradientDirectionSequence")
        direction = numbers(gradient, "DiffusionGradientOrientation")[:3] if gradient is not None else ()
        marks["b-value"] = (b_value, *direction)
    content = first(group, "FrameContentSequence")
    if content is not None:
        when = text(content, "FrameAcquisitionDateTime") or text(content, "FrameReferenceDateTime")
        found_at = moment(when[:8], when[8:].split("+")[0].split("-")[0])
        if found_at is not None:
            marks["acquired"] = (seconds_since_1970(found_at),)
        if (acquisition := whole(content, "FrameAcquisitionNumber")) is not None:
            marks["acquisition"] = (float(acquisition),)
    return marks


_GROUP_MARKS = (
    ("echo", "MREchoSequence", "EffectiveEchoTime"),
    ("trigger", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("temporal", "FrameContentSequence", "TemporalPositionIndex"),
    ("temporal_s", "TemporalPositionSequence", "TemporalPositionTimeOffset"),
)
