"""What `vesalius info` prints: one entry per series or object, with its size, spacing and geometry verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vesalius.core import Frame, Message, Series, Spacing, Verdict
from vesalius.core.errors import NothingFoundError, VesaliusError
from vesalius.io.scan import Failure, Scan, scan

_COUNTED = "NumberOfFrames"


@dataclass(frozen=True)
class Entry:
    """One series, or one object that is no image.

    Args:
        kind: "image", "segmentation", "directory" or "object".
        class_name: name of the SOP class for an object that is no image.
        files: number of files; `frames` of stored frames, of all files together.
        shape: slices, rows, columns of the volume that loading gives; the stored slices when they form no grid.
        axis: kind of the fourth axis, "" without one, and `components`, its length.
        spacing_mm: between slices, rows and columns; None where it is not told (the slice distance of a flat picture).
        orientation: axis code such as "SPL", "" for a flat picture.
        facts: further facts, such as the number of segments.
    """

    study: str
    key: str
    format: str
    kind: str
    modality: str
    description: str
    number: int | None
    class_name: str
    files: int
    frames: int
    shape: tuple[int, int, int]
    axis: str
    components: int
    dtype: str
    spacing_mm: tuple[float | None, float | None, float | None]
    spacing: str
    frame: str
    orientation: str
    verdict: str
    transfer_syntax: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    reasons: tuple[Message, ...] = ()
    problems: tuple[Message, ...] = ()

    def messages(self) -> tuple[Message, ...]:
        """Return the entry as sentences: what it is, its spacing, its verdict, why, and what is odd."""
        if self.kind != "image":
            return (self._object(), *self.problems)
        return (self._size(), self._spacing(), self._verdict(), *self.reasons, *self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry for JSON."""
        found = asdict(self)
        found["facts"] = dict(self.facts)
        for name in ("reasons", "problems"):
            found[name] = [{"id": one.id, "parameters": dict(one.parameters)} for one in getattr(self, name)]
        return found

    def _title(self) -> str:
        name = self.modality or "?"
        return f"{name} '{self.description}'" if self.description else name

    def _size(self) -> Message:
        slices, rows, columns = self.shape
        parameters: dict[str, str | int | float] = {"title": self._title(), "rows": rows, "columns": columns}
        if self.frame == Frame.IMAGE and slices == 1:
            kind = "picture"
        elif slices == 1:
            kind = "slice"
        else:
            kind, parameters["slices"] = "volume", slices
        if self.axis:
            parameters |= {"axis": f"@axis.{self.axis}", "components": self.components}
            kind += "_with_axis" if self.axis != "rgb" else "_rgb"
        return Message(f"io.info.{kind}", parameters)

    def _spacing(self) -> Message:
        slices, rows, columns = self.spacing_mm
        if rows is None or columns is None:
            return Message("io.info.spacing_unknown")
        parameters: dict[str, str | int | float] = {"rows": _short(rows), "columns": _short(columns)}
        if slices is None:
            at = "detector" if self.spacing == Spacing.DETECTOR else "pixel"
            return Message(f"io.info.spacing_{at}", parameters)
        parameters["slices"] = _short(slices)
        return Message("io.info.spacing" if self.shape[0] > 1 else "io.info.thickness", parameters)

    def _verdict(self) -> Message:
        if self.frame == Frame.IMAGE:
            return Message("io.info.flat")
        if self.shape[0] == 1 and self.verdict == Verdict.REGULAR:
            return Message("io.info.single_slice", {"orientation": self.orientation})
        return Message(f"io.info.verdict.{self.verdict}", {"orientation": self.orientation})

    def _object(self) -> Message:
        if self.kind == "segmentation":
            return Message(
                "io.info.segmentation",
                {
                    "title": self._title(),
                    "segments": self.facts.get("segments", 0),
                    "frames": self.frames,
                    "rows": self.shape[1],
                    "columns": self.shape[2],
                },
            )
        if self.kind == "directory":
            return Message("io.info.directory")
        name = self.class_name or self.modality or "DICOM"
        return Message("io.info.no_pixels" if "Image Storage" in name else "io.info.object", {"kind": name})


@dataclass(frozen=True)
class Description:
    """What a path holds.

    Args:
        entries: series and objects, by study and series number.
        failed: studies that cannot be read.
        left_out: (path relative to the source, reason) of other files.
    """

    source: Path
    entries: tuple[Entry, ...]
    failed: tuple[Failure, ...] = ()
    left_out: tuple[tuple[str, Message], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the description for JSON."""
        return {
            "source": str(self.source),
            "entries": [entry.as_dict() for entry in self.entries],
            "failed": [{"key": one.key, "source": one.source, "error": one.error.as_dict()} for one in self.failed],
            "left_out": [{"path": path, "reason": reason.id} for path, reason in self.left_out],
        }


def describe(path: Path | str) -> Description:
    """Return what a file or folder holds.

    Raises:
        NothingFoundError: there is nothing at the path, or nothing that Vesalius knows.
        VesaliusError: a single file that cannot be read; in a folder it is an entry of `failed`.
    """
    with scan(path) as found:
        return _description(found)


def _description(found: Scan) -> Description:
    shown = {key for key, _ in (*found.objects, *found.damaged)}
    failed = tuple(
        one
        for one in found.failed
        if not (one.key in shown and (isinstance(one.error, NothingFoundError) or _is_damage(found, one)))
    )
    entries = [
        *(_entry(study.key, series) for study in found.studies for series in study.series),
        *(_entry(key, series) for key, series in found.damaged),
        *(_entry(key, series) for key, series in found.objects),
    ]
    if not entries and len(failed) == 1 and found.source.is_file():
        raise failed[0].error
    left_out = tuple(
        (relative, reason)
        for study in found.studies
        for relative, reason in study.left_out
        if reason.id != "io.no_image"
    )
    return Description(found.source, tuple(sorted(entries, key=_order)), failed, left_out)


def _is_damage(found: Scan, failure: Failure) -> bool:
    return any(key == failure.key for key, _ in found.damaged)


def _order(entry: Entry) -> tuple[str, bool, int, str]:
    return entry.study, entry.kind != "image", entry.number if entry.number is not None else 1 << 40, entry.key


def _entry(study: str, series: Series) -> Entry:
    place = series.geometry
    attributes = series.attributes
    frames = attributes.get(_COUNTED, place.shape[0])
    flat = place.frame is Frame.IMAGE
    return Entry(
        study=study,
        key=series.key,
        format=series.format,
        kind=str(attributes.get("object.kind", "image")) if place.verdict is Verdict.NO_IMAGE else "image",
        modality=series.modality,
        description=series.description,
        number=series.number,
        class_name=str(attributes.get("object.class", "")),
        files=len({instance.path for instance in series.instances}),
        frames=frames if isinstance(frames, int) else 0,
        shape=_stored_shape(series),
        axis=str(series.axis.kind) if series.axis is not None else "",
        components=series.components,
        dtype=series.dtype,
        spacing_mm=_spacing_mm(series),
        spacing=str(place.spacing),
        frame=str(place.frame),
        orientation="" if flat or place.verdict is Verdict.NO_IMAGE else place.orientation,
        verdict=str(place.verdict),
        transfer_syntax=str(attributes.get("TransferSyntaxUID", "")),
        facts=_facts(series),
        reasons=place.reasons,
        problems=series.problems,
    )


def _spacing_mm(series: Series) -> tuple[float | None, float | None, float | None]:
    place = series.geometry
    slices, rows, columns = (round(float(size), 6) for size in place.spacing_mm)
    if place.spacing is Spacing.UNKNOWN:
        # A single DICOM slice without thickness knows its pixel size all the same.
        in_plane = any(problem.id == "io.dicom.thickness_unknown" for problem in series.problems)
        return (None, rows, columns) if in_plane else (None, None, None)
    return (None if place.frame is Frame.IMAGE else slices), rows, columns


def _stored_shape(series: Series) -> tuple[int, int, int]:
    slices, rows, columns = series.geometry.shape
    if not series.geometry.usable and series.geometry.verdict is not Verdict.NO_IMAGE:
        slices = sum(max(1, len(instance.frames)) for instance in series.instances) // series.components
    return slices, rows, columns


def _facts(series: Series) -> dict[str, str | int]:
    prefix = "object."
    return {
        name.removeprefix(prefix): told
        for name, told in series.attributes.items()
        if name.startswith(prefix) and name not in ("object.class", "object.kind")
    }


def _short(size: float) -> str:
    return f"{size:.4g}"


def one_line(error: VesaliusError) -> str:
    """Return an error as one line."""
    return " ".join(str(error).split())
