"""From the descriptor of a DICOM series to voxels, slices and headers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset

from vesalius.core import Axis, AxisKind, Geometry, Identity, Instance, Message, Series, Step, Verdict, Volume
from vesalius.core.errors import (
    GeometryError,
    IrregularGeometryError,
    MemoryLimitError,
    ReadError,
    UnsupportedError,
    VesaliusError,
)
from vesalius.io.dicom import geometry, pixels, rescale, suv, tags
from vesalius.io.dicom.headers import SEGMENTATION_CLASSES, WHOLE_SLIDE_CLASS, Header, header_of, parsed
from vesalius.io.dicom.limits import MAX_HEADER_BYTES, Source, opened
from vesalius.io.dicom.planes import Plane
from vesalius.io.dicom.values import PARSE_ERRORS, quiet, text

RGB = Axis(AxisKind.RGB, ("red", "green", "blue"))


def load(series: Series) -> Volume:
    """Return the volume of a DICOM series, see `vesalius.io.load`."""
    _check_readable(series)
    unordered = any(reason.id == "io.dicom.no_position" for reason in series.geometry.reasons)
    if not series.geometry.usable or (unordered and len(series.instances) > 1):
        raise irregular(series)
    return _Assembly(series).volume()


def load_slices(series: Series) -> tuple[Volume, ...]:
    """Return every frame as a volume one slice thick with its own affine, in stack order."""
    _check_readable(series)
    if series.axis is not None and series.axis.kind is not AxisKind.RGB:
        raise GeometryError(
            "a series with a fourth axis has no single slices",
            found=f"{series.axis.kind} x {len(series.axis)}",
            fix="load it and take one element: volume.element(0)",
        )
    return tuple(_slices(series))


def irregular(series: Series) -> IrregularGeometryError:
    """Return the error that names the slices that spoil the grid."""
    reasons = "; ".join(_plain(reason) for reason in series.geometry.reasons)
    return IrregularGeometryError(
        f"the slices of series {series.number if series.number is not None else '?'} do not form a regular grid",
        found=f"{series.geometry.verdict.replace('_', ' ')}: {reasons}",
        expected="parallel slices at equal distances, each position once",
        fix="--geometry regrid makes one grid of them by interpolation",
    )


def _plain(reason: Message) -> str:
    """Return a reason in plain words for an exception; reports use the catalogue."""
    parts = ", ".join(f"{name} {told}" for name, told in reason.parameters.items())
    return f"{reason.id.rsplit('.', 1)[-1].replace('_', ' ')} ({parts})"


def _check_readable(series: Series) -> None:
    classes = {instance.sop_class_uid for instance in series.instances}
    if series.geometry.verdict is Verdict.NO_IMAGE or classes & SEGMENTATION_CLASSES:
        raise UnsupportedError("this object holds no image", found=series.description or series.modality)
    if WHOLE_SLIDE_CLASS in classes:
        raise UnsupportedError(
            "whole-slide images are not read",
            found="VL Whole Slide Microscopy Image Storage",
            fix="convert one level of it to TIFF",
        )
    if any(problem.id == "io.dicom.mosaic_unknown" for problem in series.problems):
        raise UnsupportedError(
            "a mosaic whose header does not tell its tiles",
            found="ImageType MOSAIC without the Siemens image header",
            expected="NumberOfImagesInMosaic and SliceNormalVector in (0029,1010)",
            fix="take the files as the scanner exported them, with private elements",
        )


@dataclass(frozen=True, slots=True)
class _Frame:
    """One decoded frame: values, where it goes in stack order, and its header."""

    index: int
    values: NDArray[Any]
    header: Header
    plane: Plane
    unit: str
    plan: rescale.Plan


class _Assembly:
    """Decodes the frames of a series into one preallocated array."""

    def __init__(self, series: Series) -> None:
        """Allocate the volume.

        Raises:
            MemoryLimitError: there is not enough memory.
        """
        self.series = series
        self.colour = series.axis is not None and series.axis.kind is AxisKind.RGB
        self.elements = 1 if series.axis is None or self.colour else len(series.axis)
        shape: tuple[int, ...] = series.geometry.shape
        if series.axis is not None:
            shape = (*shape, len(series.axis))
        _check_memory(int(np.prod(shape, dtype=np.int64)) * np.dtype(series.dtype).itemsize)
        try:
            self.array = np.empty(shape, dtype=np.dtype(series.dtype))
        except (MemoryError, ValueError):
            raise MemoryLimitError(
                "the volume does not fit into memory", found=f"{shape} of {series.dtype}", fix="use a machine with more"
            ) from None
        self.notes: dict[str, Step] = {}
        self.unit = ""

    def volume(self) -> Volume:
        """Return the volume of every frame."""
        filled = 0
        factor = _uptake(self.series)
        for frame in _frames(self.series, factor):
            self._put(frame)
            self.unit = frame.unit
            self._note(frame)
            filled += 1
        expected = self.series.geometry.shape[0] * self.elements
        if filled != expected:
            raise ReadError(
                "the files changed since they were scanned", found=f"{filled} frames", expected=str(expected)
            )
        place = self.series.geometry
        if factor is not None:
            self.unit = factor.unit
            if factor.problem is None:
                self.notes["suv"] = Step("suv", {"factor": factor.factor, "unit": factor.unit})
        read = Step("io.dicom.read", {"files": len({instance.path for instance in self.series.instances})})
        return Volume(
            self.array,
            place.affine,
            frame=place.frame,
            spacing=place.spacing,
            history=(read, *self.notes.values()),
            modality=self.series.modality,
            axis=self.series.axis,
            unit=self.unit,
        )

    def _put(self, frame: _Frame) -> None:
        at, element = divmod(frame.index, self.elements)
        values = frame.values
        wanted = self.series.geometry.shape[1:]
        if values.shape[:2] != wanted or (values.ndim == 3) != self.colour:
            raise ReadError(
                f"{frame.header.path.name} changed since it was scanned",
                found=f"a frame of {values.shape}",
                expected=f"{wanted}",
            )
        self._fit(values)
        if self.colour or self.series.axis is None:
            self.array[at] = values
        else:
            self.array[at, :, :, element] = values

    def _fit(self, values: NDArray[Any]) -> None:
        """Turn the array into float32 when an integer value does not fit its type."""
        kind = self.array.dtype
        if kind.kind == "f" or np.can_cast(values.dtype, kind, "safe"):
            return
        limits = np.iinfo(kind)
        if values.dtype.kind == "f" or values.min() < limits.min or values.max() > limits.max:
            self.array = self.array.astype(np.float32)

    def _note(self, frame: _Frame) -> None:
        plan, plane = frame.plan, frame.plane
        if plan.mirror is not None:
            self.notes.setdefault("invert", Step("invert", {"photometric": "MONOCHROME1", "sum": plan.mirror}))
        if plan.padding is not None:
            self.notes.setdefault("padding", Step("padding", {"low": plan.padding[0], "high": plan.padding[1]}))
        if plan.table is not None:
            self.notes.setdefault("lut", Step("modality_lut", {"entries": len(plan.table[1])}))
        elif (plane.slope, plane.intercept) not in ((None, None), (1.0, 0.0)):
            self.notes.setdefault("rescale", Step("rescale", {"slope": plane.slope, "intercept": plane.intercept}))


def _check_memory(needed: int) -> None:
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if needed > 0.9 * there:
        raise MemoryLimitError(
            "the volume does not fit into memory", found=f"{needed >> 20} MB needed", expected=f"{there >> 20} MB there"
        )


def _frames(series: Series, uptake: suv.Uptake | None) -> Iterator[_Frame]:
    """Yield the frames of a series, every file opened once, in the order of the files' first frames."""
    for path, wanted in _by_file(series).items():
        with opened(path, tags.WANTED) as source:
            data = parsed(source)
            header = header_of(source, data)
            plan = rescale.plan_of(header, data, uptake.factor if uptake else 1.0)
            unit = rescale.unit_of(header, data)
            planes = {plane.frame: plane for plane in header.planes}
            order = _order(header, wanted)
            stored = pixels.frames(source, header, data, sorted(order) if header.mosaic is None else (0,))
            for frame, values in _tiles(header, stored, sorted(order)):
                plane = planes.get(frame)
                if plane is None:
                    raise ReadError(f"{path.name} changed since it was scanned", found=f"no frame {frame + 1}")
                if values.ndim == 2:
                    values = rescale.apply(plan, values, plane)
                for index in order[frame]:
                    yield _Frame(index, values, header, plane, unit, plan)


def _by_file(series: Series) -> dict[Path, list[tuple[int, Instance]]]:
    """Return path -> (index of the first frame in stack order, instance)."""
    found: dict[Path, list[tuple[int, Instance]]] = {}
    index = 0
    for instance in series.instances:
        found.setdefault(instance.path, []).append((index, instance))
        index += len(instance.frames) or _whole_instance(series)
    return found


def _whole_instance(series: Series) -> int:
    """Return how many frames an instance without a frame list stands for."""
    if len(series.instances) > 1:
        return 1
    elements = 1 if series.axis is None or series.axis.kind is AxisKind.RGB else len(series.axis)
    return series.geometry.shape[0] * elements


def _order(header: Header, wanted: list[tuple[int, Instance]]) -> dict[int, list[int]]:
    """Return frame -> indices in stack order."""
    order: dict[int, list[int]] = {}
    for start, instance in wanted:
        for offset, frame in enumerate(instance.frames or range(len(header.planes))):
            order.setdefault(frame, []).append(start + offset)
    return order


def _tiles(header: Header, stored: Iterator[NDArray[Any]], wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    if header.mosaic is None:
        yield from zip(wanted, stored, strict=True)
        return
    picture = next(stored)
    per_row = header.mosaic.per_row
    rows, columns = picture.shape[0] // per_row, picture.shape[1] // per_row
    for tile in wanted:
        down, across = divmod(tile, per_row)
        yield tile, picture[down * rows : (down + 1) * rows, across * columns : (across + 1) * columns]


def _uptake(series: Series) -> suv.Uptake | None:
    if series.modality != "PT":
        return None
    return suv.uptake([suv.facts(data) for data in _parsed_headers(series)])


def _parsed_headers(series: Series) -> Iterator[Dataset]:
    for path in dict.fromkeys(instance.path for instance in series.instances):
        with opened(path, tags.WANTED) as source, quiet():
            yield parsed(source)


def _slices(series: Series) -> Iterator[Volume]:
    uptake = _uptake(series)
    found: list[tuple[int, Volume]] = []
    for frame in _frames(series, uptake):
        place = _slice_geometry(series.geometry, frame)
        values = frame.values.astype(np.dtype(series.dtype)) if _fits(frame.values, series.dtype) else frame.values
        found.append(
            (
                frame.index,
                Volume(
                    values[np.newaxis],
                    place.affine,
                    frame=place.frame,
                    spacing=place.spacing,
                    history=(Step("io.dicom.read", {"files": 1}),),
                    modality=series.modality,
                    axis=series.axis,
                    unit=uptake.unit if uptake else frame.unit,
                ),
            )
        )
    yield from (volume for _, volume in sorted(found, key=lambda pair: pair[0]))


def _fits(values: NDArray[Any], dtype: str) -> bool:
    kind = np.dtype(dtype)
    if kind.kind == "f" or np.can_cast(values.dtype, kind, "safe"):
        return True
    limits = np.iinfo(kind)
    return values.dtype.kind != "f" and bool(values.min() >= limits.min and values.max() <= limits.max)


def _slice_geometry(whole: Geometry, frame: _Frame) -> Geometry:
    shape = frame.values.shape[0], frame.values.shape[1]
    if not frame.plane.is_placed:
        return geometry.flat(*shape, frame.plane.spacing_mm, frame.header.spacing)
    place = geometry.of_stack([frame.plane], shape, frame.header.spacing, lambda _: frame.header.path.name)
    if place.slice_thickness_mm is None and frame.plane.between_mm is None:
        depth = whole.spacing_mm[0]
        affine = geometry.affine_of(frame.plane, geometry.normal_of(frame.plane) * depth)
        return replace(place, affine=affine, spacing=frame.header.spacing)
    return place


def source_headers(series: Series) -> list[Dataset]:
    """Return the headers without pixels in stack order, each object once, with their file meta information."""
    found = []
    for path in dict.fromkeys(instance.path for instance in series.instances):
        with opened(path) as source:
            before_pixels = (source.pixels.offset if source.pixels else len(source.data)) - source.start
            if before_pixels > MAX_HEADER_BYTES:
                raise ReadError(f"the header of {path.name} is too large", found=f"{before_pixels} bytes")
            found.append(_with_meta(_settled(parsed(source, everything=True)), source))
    return found


def _settled(data: Dataset) -> Dataset:
    """Return the data set with every value converted now; those that cannot be are left out."""
    with quiet():
        for tag in list(data.keys()):
            try:
                element = data[tag]
                if element.VR == "SQ":
                    for item in element.value:
                        _settled(item)
            except PARSE_ERRORS:
                del data[tag]
    return data


def _with_meta(data: Dataset, source: Source) -> Dataset:
    meta = FileMetaDataset()
    with quiet():
        meta.TransferSyntaxUID = source.declared or source.transfer_syntax
        meta.MediaStorageSOPClassUID = source.meta_class or text(data, "SOPClassUID")
        meta.MediaStorageSOPInstanceUID = text(data, "SOPInstanceUID")
        data.file_meta = meta
    return data


def identity(series: Series) -> Identity:
    """Return who the patient is, from the first header."""
    with opened(series.instances[0].path, tags.WANTED) as source:
        data = parsed(source, everything=True)
    with quiet():
        return Identity(
            patient_id=text(data, "PatientID"),
            patient_name=text(data, "PatientName"),
            birth_date=text(data, "PatientBirthDate"),
            accession=text(data, "AccessionNumber"),
            study_uid=text(data, "StudyInstanceUID"),
        )


def first_damage(headers: Sequence[Header]) -> VesaliusError | None:
    """Return the first reason why pixels cannot be read."""
    return next((header.damage for header in headers if header.damage is not None), None)
