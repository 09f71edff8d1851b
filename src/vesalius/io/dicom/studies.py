"""Headers sorted into studies and series; contradictions found on the way."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesalius.core import AxisKind, Geometry, Instance, Message, Series, Verdict
from vesalius.core.errors import ContradictionError, NothingFoundError, VesaliusError
from vesalius.io.dicom import geometry, pixels, rescale, suv, tags
from vesalius.io.dicom.headers import Header, header_of, parsed
from vesalius.io.dicom.limits import opened
from vesalius.io.dicom.read import RGB
from vesalius.io.dicom.stacks import Slot, Stack, stacks_of

_MOST_PROBLEMS = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One DICOM study: images and objects without one, or why it cannot be read."""

    key: str
    date: str
    series: tuple[Series, ...]
    objects: tuple[Series, ...]
    files: tuple[Path, ...]
    error: VesaliusError | None = None


def studies_of(headers: Iterable[Header], root: Path) -> list[Found]:
    """Return the studies of DICOM headers, sorted by key.

    Args:
        headers: of every DICOM file found.
        root: folder that names in messages are relative to.
    """
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.study_uid or f"folder:{_relative(header.path.parent, root)}"].append(header)
    found = [_study(uid, sorted(group, key=lambda header: header.path), root) for uid, group in groups.items()]
    return sorted(found, key=lambda study: study.key)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _study(uid: str, headers: list[Header], root: Path) -> Found:
    key = min((header.study_key for header in headers if header.patient or len(headers) == 1), default="")
    key = key or headers[0].study_key
    if uid.startswith("folder:"):
        key = hashlib.sha256(f"{headers[0].study_key}\0{uid}".encode()).hexdigest()[:12]
    date = next((header.date for header in headers if header.date), "")
    files = tuple(header.path for header in headers)
    try:
        _check_patient(headers)
        headers, doubled = _without_copies(headers)
    except VesaliusError as problem:
        return Found(key, date, (), (), files, problem)
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.series_uid or f"folder:{_relative(header.path.parent, root)}"].append(header)
    series: list[Series] = []
    objects: list[Series] = []
    for series_uid, group in groups.items():
        images = [header for header in group if header.kind == "image"]
        copies = sum(doubled.get(header.sop_instance_uid, 0) for header in group)
        notes = (Message("io.dicom.stored_twice", {"count": copies}),) if copies else ()
        series += _image_series(series_uid, images, root, notes)
        objects += [_object(header, root) for header in group if header.kind != "image"]
    series.sort(key=lambda one: (one.number if one.number is not None else 1 << 40, one.key))
    return Found(key, date, tuple(series), tuple(objects), files, _unreadable(headers, series))


def _unreadable(headers: list[Header], series: list[Series]) -> VesaliusError | None:
    """Return why a study as a whole cannot be read: it holds no image, or every image is damaged."""
    images = [header for header in headers if header.kind == "image"]
    if not series:
        kinds = sorted({header.class_name or header.modality or "DICOM object" for header in headers})
        return NothingFoundError("the study holds no image", found=", ".join(kinds[:5]), expected="an image")
    if all(header.damage is not None for header in images):
        return images[0].damage
    return None


def _check_patient(headers: list[Header]) -> None:
    patients = {header.patient for header in headers} - {""}
    people = {header.name_and_birth for header in headers} - {("", "")}
    apart = any(one[0] != other[0] and one[1] != other[1] for one in people for other in people)
    if len(patients) > 1 or apart:
        count = max(len(patients), len(people))
        raise ContradictionError(
            "two patients under one StudyInstanceUID",
            found=f"{count} patients in {len(headers)} files of one study: {_one_of_each(headers)}",
            expected="one patient per study",
            fix="separate the files by patient, or correct PatientID (0010,0020) at the source",
        )


def _one_of_each(headers: list[Header]) -> str:
    """Return the name of one file of each patient, the first three."""
    known = {(header.patient, header.name_and_birth): header.path.name for header in reversed(headers)}
    names = list(reversed(known.values()))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _without_copies(headers: list[Header]) -> tuple[list[Header], dict[str, int]]:
    """Return the headers with each SOP instance once, and how many copies of each were dropped.

    Raises:
        ContradictionError: one SOP instance UID stands for different images.
    """
    kept: dict[str, Header] = {}
    copies: dict[str, int] = defaultdict(int)
    result: list[Header] = []
    for header in headers:
        uid = header.sop_instance_uid
        other = kept.get(uid) if uid else None
        if other is None:
            kept[uid] = header
            result.append(header)
        elif _same_bytes(header.path, other.path) or _same_image(header, other):
            copies[uid] += 1
        elif header.kind == "image" and other.kind == "image":
            raise ContradictionError(
                "two different images under one SOPInstanceUID",
                found=f"{header.path.name} and {other.path.name}",
                expected="every stored object with its own UID",
                fix="remove the one that does not belong to the study",
            )
        else:
            result.append(header)
    return result, copies


def _same_bytes(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        return _digest(one) == _digest(other)
    except OSError:
        return False


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _same_image(one: Header, other: Header) -> bool:
    """Return whether two objects are one image in two encodings: same place, same stored values."""
    if one.pixels is None or other.pixels is None or one.damage or other.damage:
        return False
    if one.pixels != other.pixels or _places(one) != _places(other):
        return False
    try:
        return all(np.array_equal(a, b) for a, b in zip(_stored(one), _stored(other), strict=True))
    except VesaliusError:
        return False


def _places(header: Header) -> list[tuple[object, ...]]:
    return [(p.position, p.row, p.column, p.spacing_mm, p.slope, p.intercept) for p in header.planes]


def _stored(header: Header) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    assert header.pixels is not None
    with opened(header.path, tags.WANTED) as source:
        data = parsed(source)
        return list(pixels.frames(source, header_of(source, data), data, range(header.pixels.frames)))


def _image_series(uid: str, headers: list[Header], root: Path, notes: tuple[Message, ...]) -> list[Series]:
    if not headers:
        return []
    stacks = stacks_of(headers, root)
    return [
        _series(uid if index == 0 else f"{uid}#{index + 1}", uid, stack, len(stacks), root, notes)
        for index, stack in enumerate(stacks)
    ]


def _series(key: str, uid: str, stack: Stack, parts: int, root: Path, notes: tuple[Message, ...]) -> Series:
    header = stack.slots[0].header
    assert header.pixels is not None
    axis = RGB if header.pixels.is_colour and stack.axis is None else stack.axis
    attributes = {**header.attributes, **_counts(stack)}
    if parts > 1:
        notes = (*notes, Message("io.dicom.split", {"parts": parts}))
    return Series(
        uid=header.series_uid or uid,
        key=key,
        format="dicom",
        instances=_instances(stack.slots),
        geometry=stack.geometry,
        study_uid=header.study_uid,
        modality=header.modality,
        description=header.description,
        number=header.number,
        body_part=header.body_part,
        frame_of_reference_uid=header.frame_of_reference_uid,
        attributes=attributes,
        dtype=rescale.voxel_type((slot.header, slot.plane) for slot in stack.slots).name,
        components=len(axis) if axis is not None else 1,
        problems=_problems(stack, root, notes),
        axis=axis,
    )


def _counts(stack: Stack) -> dict[str, int | str]:
    headers = {id(slot.header): slot.header for slot in stack.slots}
    header = stack.slots[0].header
    stored = len(headers) if header.mosaic is not None else len(stack.slots)
    return {"NumberOfFrames": stored, "TransferSyntaxUID": header.transfer_syntax}


def _problems(stack: Stack, root: Path, notes: tuple[Message, ...]) -> tuple[Message, ...]:
    found: dict[tuple[str, str], Message] = {}
    headers = {id(slot.header): slot.header for slot in stack.slots}.values()
    first = stack.slots[0].header
    if first.mosaic is not None and first.mosaic.count:
        notes = (*notes, Message("io.dicom.mosaic", {"tiles": first.mosaic.count}))
    if first.pixels is not None and first.pixels.photometric == "MONOCHROME1" and first.modality in rescale.PHYSICAL:
        notes = (*notes, Message("io.dicom.monochrome1_kept", {"modality": first.modality}))
    if first.modality == "CT" and (first.planes[0].slope is None or first.planes[0].intercept is None):
        notes = (*notes, Message("io.dicom.no_rescale"))
    activity = suv.uptake([header.uptake for header in headers if header.uptake is not None])
    if activity.problem is not None and first.modality == "PT":
        notes = (*notes, activity.problem)
    damaged = tuple(
        Message("io.dicom.damaged", {"file": _relative(header.path, root), "error": str(header.damage)})
        for header in headers
        if header.damage is not None
    )
    everything = (*notes, *stack.problems, *damaged, *(problem for header in headers for problem in header.problems))
    for problem in everything:
        found.setdefault((problem.id, str(sorted(problem.parameters.items()))), problem)
    return tuple(found.values())[:_MOST_PROBLEMS]


def _instances(slots: Sequence[Slot]) -> tuple[Instance, ...]:
    """Return the instances in stack order; frames of one file that follow each other become one entry."""
    runs: list[tuple[Header, list[int]]] = []
    for slot in slots:
        if runs and runs[-1][0] is slot.header:
            runs[-1][1].append(slot.plane.frame)
        else:
            runs.append((slot.header, [slot.plane.frame]))
    return tuple(
        Instance(
            path=header.path,
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            frames=() if frames == list(range(len(header.planes))) and _may_omit(header, runs) else tuple(frames),
        )
        for header, frames in runs
    )


def _may_omit(header: Header, runs: list[tuple[Header, list[int]]]) -> bool:
    return len(header.planes) == 1 or len(runs) == 1


def _object(header: Header, root: Path) -> Series:
    """Return the descriptor of an object that is no image, with what is known about it in `attributes`."""
    place = Geometry((1, 1, 1), np.eye(4), Verdict.NO_IMAGE)
    frames = 0
    if header.pixels is not None:
        frames = header.pixels.frames
        flat = geometry.flat(
            header.pixels.rows, header.pixels.columns, header.planes[0].spacing_mm, header.spacing, frames
        )
        place = Geometry(flat.shape, flat.affine, Verdict.NO_IMAGE, flat.frame, flat.spacing)
    damage = (
        (Message("io.dicom.damaged", {"file": _relative(header.path, root), "error": str(header.damage)}),)
        if header.damage
        else ()
    )
    return Series(
        uid=header.series_uid,
        key=header.series_uid or _relative(header.path, root),
        format="dicom",
        instances=(Instance(header.path, header.sop_instance_uid, header.sop_class_uid),),
        geometry=place,
        study_uid=header.study_uid,
        modality=header.modality,
        description=header.description,
        number=header.number,
        attributes={
            **header.attributes,
            **{f"object.{name}": fact for name, fact in header.facts.items()},
            "object.class": header.class_name,
            "object.kind": header.kind,
            "NumberOfFrames": frames,
        },
        problems=damage,
    )


def is_stacked(series: Series) -> bool:
    """Return whether the frames of a colour series stand on the slice axis."""
    return series.axis is not None and series.axis.kind is AxisKind.RGB and series.geometry.shape[0] > 1
