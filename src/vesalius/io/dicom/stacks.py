"""The frames of a series, sorted into consistent stacks by geometry and by what the header says they are.

A position that occurs more than once needs a fourth axis (echo, b-value, time) or separate stacks; when neither
explains it the verdict is duplicate slices. Never by file name, never by instance number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Geometry, Message, Verdict
from vesalius.io.dicom import geometry
from vesalius.io.dicom.headers import Header, Pixels
from vesalius.io.dicom.planes import Plane

SAME_DIRECTION: Final = 1e-4
"""Largest difference of a direction cosine between slices of one stack: 0.03 mm at the edge of a 500 mm field."""
TOMOGRAPHIC: Final = frozenset(("CT", "MR", "PT", "RTDOSE"))

_EXACT = (
    ("echo", AxisKind.ECHO, "ms"),
    ("b-value", AxisKind.B_VALUE, "s/mm2"),
    ("temporal", AxisKind.TIME, "1"),
    ("temporal_s", AxisKind.TIME, "s"),
    ("trigger", AxisKind.TIME, "ms"),
    ("acquisition", AxisKind.TIME, "1"),
)
_RANKED = (("trigger", "ms"), ("acquired", "s"), ("content", "s"))


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One frame of one object."""

    header: Header
    plane: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames in the order [slice, element of the fourth axis]."""

    slots: tuple[Slot, ...]
    geometry: Geometry
    axis: Axis | None = None
    problems: tuple[Message, ...] = ()


Levels = list[list[Slot]]


def stacks_of(headers: Sequence[Header], root: Path) -> list[Stack]:
    """Return the consistent stacks of one series, largest first.

    Args:
        headers: images of one series.
        root: folder that the file names in messages are relative to.
    """
    found: list[Stack] = []
    placed: dict[Hashable, list[Slot]] = defaultdict(list)
    unplaced: dict[Hashable, list[Slot]] = defaultdict(list)
    for header in headers:
        if header.is_flat and (header.modality not in TOMOGRAPHIC or header.mosaic is not None):
            found.append(_flat_stack(header))
            continue
        group = unplaced if header.is_flat else placed
        for plane in header.planes:
            group[_kind(header, plane)].append(Slot(header, plane))
    for slots in unplaced.values():
        found.append(_unplaced_stack(slots))
    sorter = _Sorter(root)
    for slots in placed.values():
        for part, notes in _frames_of_reference(slots):
            stacks = _of_one_kind(part, sorter)
            found += [replace(stack, problems=(*stack.problems, *notes)) for stack in stacks]
    return sorted(found, key=lambda stack: (-len(stack.slots), stack.slots[0].header.sop_instance_uid))


def _kind(header: Header, plane: Plane) -> Hashable:
    """Return what frames of one stack have in common."""
    pixels = header.pixels
    assert pixels is not None
    spacing = tuple(round(size, 5) for size in plane.spacing_mm or ())
    size = (pixels.rows, pixels.columns, pixels.is_colour, pixels.kind)
    return (header.modality, size, spacing, plane.split, bool(header.mosaic))


def _frames_of_reference(slots: list[Slot]) -> list[tuple[list[Slot], tuple[Message, ...]]]:
    """Return the slots by frame of reference; one that differs from file to file says nothing (bad anonymisers)."""
    groups: dict[str, list[Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot.header.frame_of_reference_uid].append(slot)
    if "" in groups and len(groups) == 2:
        return [(slots, ())]
    files = len({id(slot.header) for slot in slots})
    if len(groups) > 1 and 2 * len(groups) > files and files > 2:
        return [(slots, (Message("io.dicom.frame_of_reference_varies", {"count": len(groups), "files": files}),))]
    return [(groups[key], ()) for key in sorted(groups)]


def _of_one_kind(slots: list[Slot], sorter: _Sorter) -> list[Stack]:
    """Return the stacks of frames of one kind, apart by orientation."""
    groups = _directions(slots)
    if groups is None:
        return [_mixed(slots, sorter)]
    return [stack for group in groups for stack in sorter.stacks(group)]


def _flat_stack(header: Header) -> Stack:
    """Return the stack of one picture: grey frames on a fourth axis, colour frames one behind the other."""
    pixels, spacing = header.pixels, header.planes[0].spacing_mm
    assert pixels is not None
    slots = tuple(Slot(header, plane) for plane in header.planes)
    stacked = pixels.is_colour and pixels.frames > 1
    place = geometry.flat(pixels.rows, pixels.columns, spacing, header.spacing, pixels.frames if stacked else 1)
    axis = None if pixels.is_colour or pixels.frames == 1 else _frame_axis(header, pixels)
    problems = (Message("io.dicom.frames_as_slices", {"frames": pixels.frames}),) if stacked else ()
    return Stack(slots, place, axis, problems)


def _frame_axis(header: Header, pixels: Pixels) -> Axis:
    every = header.attributes.get("FrameTime")
    if isinstance(every, float | int) and every > 0:
        return Axis(AxisKind.TIME, tuple(round(i * float(every), 6) for i in range(pixels.frames)), "ms")
    return Axis(AxisKind.FEATURE, tuple(f"frame {i + 1}" for i in range(pixels.frames)))


def _unplaced_stack(slots: list[Slot]) -> Stack:
    """Return tomographic slices whose place is not told: one is a picture, several cannot be ordered."""
    header, plane = slots[0].header, slots[0].plane
    pixels = header.pixels
    assert pixels is not None
    slots = sorted(slots, key=_identity)
    place = geometry.flat(pixels.rows, pixels.columns, plane.spacing_mm, header.spacing, len(slots))
    reason = Message("io.dicom.no_position", {"count": len(slots)})
    if len(slots) > 1:
        return Stack(tuple(slots), replace(place, verdict=Verdict.UNKNOWN, reasons=(reason,)))
    return Stack(tuple(slots), place, None, (reason,))


def _identity(slot: Slot) -> tuple[str, str, int]:
    return slot.header.sop_instance_uid, slot.header.path.name, slot.plane.frame


def _by_direction(slots: list[Slot]) -> list[list[Slot]]:
    groups: list[list[Slot]] = []
    anchors: list[NDArray[np.float64]] = []
    for slot in sorted(slots, key=_identity):
        direction = np.array((*(slot.plane.row or ()), *(slot.plane.column or ())))
        near = next((i for i, a in enumerate(anchors) if np.abs(a - direction).max() <= SAME_DIRECTION), None)
        if near is None:
            anchors.append(direction)
            groups.append([slot])
        else:
            groups[near].append(slot)
    return groups


def _directions(slots: list[Slot]) -> list[list[Slot]] | None:
    """Return the slots by orientation, None when a few strays spoil a larger stack."""
    groups = _by_direction(slots)
    sizes = sorted(map(len, groups))
    is_localizer = slots[0].plane.split[0] == "LOCALIZER"
    return groups if len(groups) == 1 or is_localizer or (sizes[0] > 1 and 4 * sizes[0] >= sizes[-1]) else None


def _mixed(slots: list[Slot], sorter: _Sorter) -> Stack:
    """Return one stack of mixed orientation: the largest group along its normal, then the strays."""
    groups = sorted(_by_direction(slots), key=len, reverse=True)
    pixels = groups[0][0].header.pixels
    assert pixels is not None
    normal = geometry.normal_of(groups[0][0].plane)
    main = sorted(groups[0], key=lambda slot: geometry.along_normal(slot.plane, normal))
    strays = [slot for group in groups[1:] for slot in group]
    named = "; ".join(sorter.name(slot) for slot in strays[: geometry.NAMED_SLICES])
    if len(strays) > geometry.NAMED_SLICES:
        named += " ..."
    parameters: dict[str, str | int | float] = {
        "orientations": len(groups),
        "count": len(strays),
        "total": len(slots),
        "slices": named,
    }
    place = geometry.of_stack(
        [main[0].plane], (pixels.rows, pixels.columns), main[0].header.spacing, lambda i: sorter.name(main[i])
    )
    place = replace(
        place,
        shape=(len(slots), pixels.rows, pixels.columns),
        verdict=Verdict.MIXED_ORIENTATION,
        reasons=(Message("io.dicom.mixed_orientation", parameters),),
    )
    return Stack((*main, *strays), place)


@dataclass(frozen=True, slots=True)
class _Sorter:
    """Turns frames of one orientation into stacks."""

    root: Path

    def name(self, slot: Slot) -> str:
        """Return a slice's name for people: file, frame, instance number, position along the normal."""
        header, plane = slot.header, slot.plane
        path = header.path
        label = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else path.name
        if header.pixels is not None and len(header.planes) > 1:
            label += f" frame {plane.frame + 1}"
        if header.instance_number is not None:
            label += f" (instance {header.instance_number})"
        if plane.is_placed:
            label += f" at {geometry.along_normal(plane, geometry.normal_of(plane)):.3f} mm"
        return label

    def stacks(self, slots: list[Slot]) -> list[Stack]:
        """Return the stacks of frames that share orientation, size and frame of reference."""
        levels = _levels(slots)
        most = max(map(len, levels))
        if most == 1:
            return self._single(levels)
        for name, kind, unit in _EXACT:
            if (ordered := _exact(levels, name)) is not None:
                return [self._stack(*_with_axis(ordered, name, kind, unit))]
        for parts in (_by_kind(slots), _by_mark(slots, "echo")):
            if len(parts) > 1 and all(max(map(len, _levels(part))) < most for part in parts):
                return [stack for part in parts for stack in self.stacks(part)]
        for name, unit in _RANKED:
            if (ordered := _ranked(levels, name)) is not None:
                return [self._stack(*_with_axis(ordered, name, AxisKind.TIME, unit))]
        return self._unexplained(slots, levels, most)

    def _single(self, levels: Levels) -> list[Stack]:
        """Return one stack, or several where image type or acquisition turns an irregular one into regular ones."""
        stack = self._stack(levels, None)
        if stack.geometry.usable:
            return [stack]
        slots = [level[0] for level in levels]
        for parts in (_by_kind(slots), _by_mark(slots, "acquisition")):
            if len(parts) > 1 and all(len(part) > 1 for part in parts):
                stacks = [self._stack(_levels(part), None) for part in parts]
                if all(found.geometry.usable for found in stacks):
                    return stacks
        return [stack]

    def _unexplained(self, slots: list[Slot], levels: Levels, most: int) -> list[Stack]:
        for name in ("b-value", "acquisition"):
            parts = _by_mark(slots, name)
            if 1 < len(parts) < len(slots) and all(max(map(len, _levels(part))) < most for part in parts):
                return [stack for part in parts for stack in self.stacks(part)]
        counts = sorted({len(level) for level in levels})
        if len(counts) > 1 and counts[0] > 1:
            return [
                stack
                for count in counts
                for stack in self.stacks([slot for level in levels if len(level) == count for slot in level])
            ]
        return [self._duplicates(levels)]

    def _duplicates(self, levels: Levels) -> Stack:
        stack = self._stack([level[:1] for level in levels], None)
        doubled = [level for level in levels if len(level) > 1]
        named = "; ".join(" = ".join(self.name(slot) for slot in level[:4]) for level in doubled[:4])
        if len(doubled) > 4:
            named += " ..."
        reason = Message("io.dicom.duplicate_slices", {"count": len(doubled), "slices": named})
        place = replace(stack.geometry, verdict=Verdict.DUPLICATE_SLICES, reasons=(reason, *stack.geometry.reasons))
        return Stack(tuple(slot for level in levels for slot in level), place)

    def _stack(self, levels: Levels, axis: Axis | None) -> Stack:
        slots = tuple(slot for level in levels for slot in level)
        header = slots[0].header
        assert header.pixels is not None
        rows, columns = header.pixels.rows, header.pixels.columns
        if header.mosaic is not None:
            rows, columns = rows // header.mosaic.per_row, columns // header.mosaic.per_row
        place = geometry.of_stack(
            [level[0].plane for level in levels], (rows, columns), header.spacing, lambda i: self.name(levels[i][0])
        )
        if len(levels) == 1 and place.reasons:
            return Stack(slots, replace(place, reasons=()), axis, place.reasons)
        return Stack(slots, place, axis)


def _levels(slots: Iterable[Slot]) -> Levels:
    """Return the slots by position along the normal, ascending."""
    pairs = list(slots)
    normal = geometry.normal_of(pairs[0].plane)
    located = sorted(((geometry.along_normal(slot.plane, normal), slot) for slot in pairs), key=_place_then_identity)
    levels: Levels = []
    last = -np.inf
    for along, slot in located:
        if along - last > geometry.SAME_PLACE_MM:
            levels.append([])
            last = along
        levels[-1].append(slot)
    return levels


def _place_then_identity(pair: tuple[float, Slot]) -> tuple[float, tuple[str, str, int]]:
    return round(pair[0], 3), _identity(pair[1])


def _by_kind(slots: Iterable[Slot]) -> list[list[Slot]]:
    groups: dict[tuple[str, int], list[Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot.plane.kind, slot.header.number or 0].append(slot)
    return [groups[key] for key in sorted(groups)]


def _by_mark(slots: Iterable[Slot], name: str) -> list[list[Slot]]:
    groups: dict[tuple[float, ...], list[Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot.plane.marks.get(name, ())[:1]].append(slot)
    return [groups[key] for key in sorted(groups)]


def _exact(levels: Levels, name: str) -> Levels | None:
    """Return the levels sorted by a mark when every level holds the same set of its values, each once."""
    values = [sorted(slot.plane.marks.get(name, ()) for slot in level) for level in levels]
    first = values[0]
    if () in first or len(set(first)) != len(first) or any(other != first for other in values):
        return None
    return [sorted(level, key=lambda slot: slot.plane.marks[name]) for level in levels]


def _ranked(levels: Levels, name: str) -> Levels | None:
    """Return the levels sorted by a mark when all hold equally many and no level repeats a value."""
    for level in levels:
        values = {slot.plane.marks.get(name, ()) for slot in level}
        if () in values or len(values) != len(level) or len(level) != len(levels[0]):
            return None
    return [sorted(level, key=lambda slot: slot.plane.marks[name]) for level in levels]


def _with_axis(levels: Levels, name: str, kind: AxisKind, unit: str) -> tuple[Levels, Axis]:
    """Return the levels and their axis; times are the median over the levels, clock times count from the first."""
    values = np.array([[slot.plane.marks[name][0] for slot in level] for level in levels])
    if name in ("acquired", "content"):
        values = values - values[:, :1]
    middle = np.median(values, axis=0)
    return levels, Axis(kind, tuple(round(float(value), 6) for value in middle), unit)
