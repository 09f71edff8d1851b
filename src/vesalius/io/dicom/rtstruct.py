"""RT structure sets to masks: one mask per region of interest, on the grid of the image they were drawn on.

Nothing is invented: slices without an outline stay empty and are named, outlines on other slices than those of the grid
are refused. The way back is in `rtstruct_write`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from vesalius.core.code import Code
from vesalius.core.errors import (
    ContradictionError,
    GeometryError,
    ImageContentError,
    LabelError,
    LimitError,
    ReadError,
    UnsupportedError,
)
from vesalius.core.grid import Affine, Frame, Gridded, Spacing
from vesalius.core.mask import TISSUE, Mask, Segment
from vesalius.core.study import Series
from vesalius.io.dicom import compose, limits
from vesalius.io.dicom.contours import F64, Inside, filled
from vesalius.io.dicom.values import PARSE_ERRORS, first, items, quiet, text, texts, value, whole

MAX_POINTS = 10_000_000
"""Points of all outlines of a file; a body outlined on 2,000 slices has about a million."""
PLANAR = 0.1
"""Slices; how far the points of an outline may leave its slice."""
ON_SLICE = 0.25
"""Slices; how far an outline may be from the nearest slice."""
_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_LABEL = re.compile(r"label (\d+)")
_CONTOUR_DATA = Tag("ContourData")
_PAIRS = 400
"""How many outlines of one region on one slice are looked at for crossing each other."""


@dataclass(frozen=True, slots=True)
class RoiHeader:
    """What a file tells of a region of interest: its number, name, and how many contours of each geometric type."""

    number: int
    name: str
    contours: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StructureSet:
    """What is in a file.

    Args:
        label: of the structure set.
        frames_of_reference: UIDs.
        series: UIDs of the series it refers to.
    """

    label: str
    frames_of_reference: tuple[str, ...]
    series: tuple[str, ...]
    rois: tuple[RoiHeader, ...]


@dataclass(frozen=True, eq=False)
class Roi:
    """A region of interest as a mask of one segment, and what should be known about it.

    Args:
        outlines: how many areas were drawn.
        missing_slices: without an outline, between the first and the last that has one; left empty.
        crossing_slices: where outlines of the region cross each other, so that even-odd filling may not be what was
            meant.
        repeated: outlines that stand twice; counted once.
        without_voxel: outlines so small that no voxel centre lies in them.
        left_out: contours that are no areas, by geometric type (POINT, OPEN_PLANAR ...).
        off_slice_mm: largest distance of a point from the slice it was put on.
        clipped: an outline goes beyond the edge of the slices.
    """

    number: int
    mask: Mask
    outlines: int
    missing_slices: tuple[int, ...] = ()
    crossing_slices: tuple[int, ...] = ()
    repeated: int = 0
    without_voxel: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    off_slice_mm: float = 0.0
    clipped: bool = False

    @property
    def name(self) -> str:
        """Return its name."""
        return next(iter(self.mask.segments.values())).name


def describe(path: Path | str) -> StructureSet:
    """Return what a structure set holds, without making masks.

    Raises:
        ReadError: damaged. UnsupportedError: another kind of object. LimitError: too much in it.
    """
    dataset = _opened(Path(path))
    rois = tuple(RoiHeader(number, _name(item, number), kinds) for number, item, kinds in _headers(dataset))
    frames = [text(item, "FrameOfReferenceUID") for item in items(dataset, "ReferencedFrameOfReferenceSequence")]
    return StructureSet(text(dataset, "StructureSetLabel"), tuple(filter(None, frames)), _series(dataset), rois)


def read(path: Path | str, grid: Gridded | Series, *, rois: Sequence[str | int] | None = None) -> tuple[Roi, ...]:
    """Return regions of interest as masks on a grid, in the order of the file.

    Outlines of a region on one slice are filled by the even-odd rule: an outline within another is a hole. Regions may
    overlap: each is a mask of its own (`combined` makes one of those that do not).

    Args:
        grid: the volume, or the descriptor of the series, that the regions were drawn on. Its slices may be any of
            its array axes, oblique or sheared.
        rois: names or numbers; all by default.

    Raises:
        GeometryError: outlines that do not lie on slices of the grid, or another frame of reference.
        UnknownSpacingError: the grid is not calibrated.
        LabelError: no such region.
        ReadError: damaged. UnsupportedError: another kind of object. LimitError: too much in it.
    """
    plane = _Grid.of(grid)
    dataset = _opened(Path(path))
    if isinstance(grid, Series):
        _check_frame(dataset, grid)
    wanted = _wanted(dataset, rois)
    contours = {whole(item, "ReferencedROINumber"): item for item in items(dataset, "ROIContourSequence")}
    codes = _codes(dataset)
    result = []
    with quiet():
        for number, header in wanted:
            item = contours.get(number)
            label = _label(dataset, header, number)
            segment = Segment(_name(header, number), codes.get(number, TISSUE), _colour(item))
            result.append(_roi(number, (label, segment), item, plane))
    return tuple(result)


def combined(rois: Sequence[Roi]) -> Mask:
    """Return one mask of regions that do not overlap, each under its own label.

    Raises:
        ImageContentError: two regions share a voxel. LabelError: two have one label, or there is none.
    """
    if not rois:
        raise LabelError("no region to combine", fix="read(path, grid) gives them")
    segments: dict[int, Segment] = {}
    kind = np.result_type(*[roi.mask.array.dtype for roi in rois])
    array = np.zeros(rois[0].mask.shape, kind)
    for roi in rois:
        ((label, segment),) = roi.mask.segments.items()
        if label in segments:
            raise LabelError("two regions have one label", found=str(label), fix="keep their masks apart")
        inside = roi.mask.array > 0
        if (array[inside] > 0).any():
            raise ImageContentError(
                "regions overlap, and a mask has one label per voxel", found=segment.name, fix="keep their masks apart"
            )
        array[inside] = label
        segments[label] = segment
    return Mask(array, rois[0].mask.affine, segments=segments)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where the voxels are."""

    shape: tuple[int, int, int]
    affine: Affine

    @classmethod
    def of(cls, grid: Gridded | Series) -> _Grid:
        if isinstance(grid, Series):
            if not grid.geometry.usable:
                raise GeometryError(
                    "the slices of the series do not form a grid",
                    found=grid.geometry.verdict.value,
                    fix="regrid the series and give the volume",
                )
            place = grid.geometry
            grid = Gridded(np.zeros((1, 1, 1), np.uint8), place.affine, place.frame, place.spacing)
            shape = place.shape
        else:
            shape = grid.shape
        grid.require_spacing()
        if grid.frame is not Frame.PATIENT or grid.spacing is not Spacing.CALIBRATED:
            raise GeometryError(
                "contours are in patient coordinates, and this image has none",
                found=f"frame {grid.frame.value}, spacing {grid.spacing.value}",
                fix="give the series that the contours were drawn on",
            )
        return cls(shape, grid.affine)


def _opened(path: Path) -> Dataset:
    import pydicom

    with limits.opened(path), quiet():
        try:
            # Its structure has been walked: a missing preamble does no harm.
            dataset = pydicom.dcmread(path, force=True)
        except (*PARSE_ERRORS, OSError, pydicom.errors.InvalidDicomError) as error:
            raise ReadError("the structure set cannot be read", found=type(error).__name__) from error
    if text(dataset, "SOPClassUID") != RTStructureSetStorage:
        raise UnsupportedError(
            "not an RT structure set",
            found=f"SOP class {text(dataset, 'SOPClassUID') or 'not told'}",
            expected="RT Structure Set Storage",
        )
    return dataset


def _headers(dataset: Dataset) -> Iterator[tuple[int, Dataset, dict[str, int]]]:
    kinds: dict[int | None, Counter[str]] = defaultdict(Counter)
    for item in items(dataset, "ROIContourSequence"):
        for contour in items(item, "ContourSequence"):
            kinds[whole(item, "ReferencedROINumber")][text(contour, "ContourGeometricType")] += 1
    for item in items(dataset, "StructureSetROISequence"):
        number = whole(item, "ROINumber")
        if number is not None:
            yield number, item, dict(kinds[number])


def _name(item: Dataset, number: int) -> str:
    return text(item, "ROIName") or f"ROI {number}"


def _series(dataset: Dataset) -> tuple[str, ...]:
    found = [
        text(series, "SeriesInstanceUID")
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence")
        for study in items(frame, "RTReferencedStudySequence")
        for series in items(study, "RTReferencedSeriesSequence")
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def _check_frame(dataset: Dataset, series: Series) -> None:
    """Refuse contours of another frame of reference; a reference to the series itself is enough."""
    told = [text(item, "FrameOfReferenceUID") for item in items(dataset, "ReferencedFrameOfReferenceSequence")]
    told += [text(item, "ReferencedFrameOfReferenceUID") for item in items(dataset, "StructureSetROISequence")]
    known = set(filter(None, told))
    if series.uid in _series(dataset) or not known or not series.frame_of_reference_uid:
        return
    if series.frame_of_reference_uid not in known:
        raise GeometryError(
            "the structure set was drawn in another frame of reference than this series",
            fix="give the series that it refers to, or register the two and give the volume",
        )


def _wanted(dataset: Dataset, rois: Sequence[str | int] | None) -> list[tuple[int, Dataset]]:
    known = [(number, item) for number, item, _ in _headers(dataset)]
    if len({number for number, _ in known}) != len(known):
        raise ContradictionError("two regions of interest have one number", expected="each number once")
    if rois is None:
        return known
    result = []
    for asked in rois:
        found = [(n, item) for n, item in known if asked in (n, _name(item, n))]
        if not found:
            names = ", ".join(f"{n} {_name(item, n)}" for n, item in known)
            raise LabelError("no such region of interest", found=str(asked), expected=names or "the file holds none")
        result += found
    return result


def _codes(dataset: Dataset) -> dict[int, Code]:
    """Return the coded type of each region that has one."""
    result = {}
    for item in items(dataset, "RTROIObservationsSequence"):
        number, code = whole(item, "ReferencedROINumber"), first(item, "RTROIIdentificationCodeSequence")
        if number is not None and code is not None:
            name = text(code, "CodeValue") or text(code, "LongCodeValue")
            result[number] = Code(name, text(code, "CodingSchemeDesignator"), text(code, "CodeMeaning"))
    return result


def _label(dataset: Dataset, header: Dataset, number: int) -> int:
    """Return our own label where we wrote the file, else the number of the region, else 1."""
    told = (
        _LABEL.match(text(header, "ROIDescription")) if text(dataset, "Manufacturer") == compose.MANUFACTURER else None
    )
    label = int(told.group(1)) if told else number
    return label if 0 < label < 1 << 16 else 1


def _colour(item: Dataset | None) -> tuple[int, int, int]:
    told = texts(item, "ROIDisplayColor") if item is not None else ()
    try:
        red, green, blue = (min(max(int(float(part)), 0), 255) for part in told)
    except ValueError:
        return 128, 128, 128
    return red, green, blue


def _roi(number: int, what: tuple[int, Segment], item: Dataset | None, grid: _Grid) -> Roi:
    label, segment = what
    areas, left_out = _contours(item)
    array = np.zeros(grid.shape, np.uint8 if label < 256 else np.uint16)
    inverse = np.linalg.inv(grid.affine[:3, :3]).T
    index = [(points - grid.affine[:3, 3]) @ inverse for points in areas]
    axis = _slice_axis(index, segment.name)
    placed, repeated = _by_slice(index, axis, grid, segment.name)
    turned = np.moveaxis(array, axis, 0)
    crossing, empty = [], 0
    for slice_index, polygons in sorted(placed.items()):
        region, crosses, lost = _even_odd(polygons, (turned.shape[1], turned.shape[2]))
        turned[slice_index][region] = label
        empty += lost
        if crosses:
            crossing.append(slice_index)
    missing = sorted(set(range(min(placed), max(placed))) - set(placed)) if placed else []
    off = [float(np.abs(points[:, axis] - np.rint(points[:, axis].mean())).max()) for points in index]
    height = _slice_distance(grid, axis)
    others = [other for other in range(3) if other != axis]
    size = np.array(grid.shape)[others]
    beyond = any((p[:, others] < -0.51).any() or (p[:, others] > size - 0.49).any() for p in index)
    mask = Mask(array, grid.affine, segments={label: segment})
    notes = (tuple(missing), tuple(crossing), repeated, empty, left_out)
    return Roi(number, mask, len(areas), *notes, off_slice_mm=max(off, default=0.0) * height, clipped=beyond)


def _slice_distance(grid: _Grid, axis: int) -> float:
    """Return the distance in mm between the planes across an axis."""
    return float(1 / np.linalg.norm(np.linalg.inv(grid.affine[:3, :3])[axis]))


def _contours(item: Dataset | None) -> tuple[list[F64], dict[str, int]]:
    """Return the points (LPS mm) of each area, and how many contours are none."""
    areas: list[F64] = []
    left_out: Counter[str] = Counter()
    total = 0
    for contour in items(item, "ContourSequence"):
        kind = text(contour, "ContourGeometricType")
        if kind not in _AREAS:
            left_out[kind or "not told"] += 1
            continue
        points = _points(contour)
        total += len(points)
        if total > MAX_POINTS:
            raise LimitError(
                "too many contour points", found=f"more than {MAX_POINTS}", expected="an outline per slice"
            )
        # One or two points are how a program that draws through pixel centres outlines one or two pixels.
        if len(points):
            areas.append(points)
    return areas, dict(left_out)


def _points(contour: Dataset) -> F64:
    """Return the points of a contour from the stored text: an element per number would cost too much."""
    element = contour.get_item(_CONTOUR_DATA)
    try:
        if isinstance(element, RawDataElement):
            numbers = np.array((element.value or b"").strip(b" \0").split(b"\\")).astype(np.float64)
        else:
            numbers = np.array(value(contour, "ContourData"), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ReadError("a contour holds something that is not a number") from error
    told = whole(contour, "NumberOfContourPoints")
    if numbers.size % 3 or not np.isfinite(numbers).all() or told not in (None, numbers.size // 3):
        raise ReadError(
            "a contour is damaged",
            found=f"{numbers.size} numbers for {told} points",
            expected="three finite numbers per point",
            fix="export the structure set again",
        )
    return np.asarray(numbers.reshape(-1, 3))


def _slice_axis(index: Sequence[F64], name: str) -> int:
    """Return the array axis across which every outline is flat."""
    if not index:
        return 0
    spread = np.array([np.ptp(points, axis=0) for points in index])
    flat = np.flatnonzero((spread <= PLANAR).all(axis=0))
    if not len(flat):
        raise GeometryError(
            "the outlines do not lie in slices of this image",
            found=f"region {name}: up to {spread.max(axis=0).min():.2f} slices from one to another within an outline",
            expected="the image that they were drawn on",
            fix="read them on that image, then imaging.spatial.resample_like(mask, volume)",
        )
    return int(flat[0])


def _by_slice(index: Sequence[F64], axis: int, grid: _Grid, name: str) -> tuple[dict[int, list[F64]], int]:
    """Return the outlines of each slice in (row, column), repeated ones once, and how many were repeated."""
    result: dict[int, list[F64]] = defaultdict(list)
    seen: set[tuple[int, bytes]] = set()
    others = [other for other in range(3) if other != axis]
    for points in index:
        height = float(points[:, axis].mean())
        nearest = round(height)
        if abs(height - nearest) > ON_SLICE or not 0 <= nearest < grid.shape[axis]:
            where = "between two slices" if abs(height - nearest) > ON_SLICE else "beyond the image"
            raise GeometryError(
                f"an outline lies {where}",
                found=f"region {name}: at {height:.2f} of slices 0 to {grid.shape[axis] - 1}",
                expected="the image that the outlines were drawn on, whole",
                fix="read them on that image, then imaging.spatial.resample_like(mask, volume)",
            )
        flat = points[:, others]
        key = nearest, np.round(flat, 4).tobytes()
        if key not in seen:
            seen.add(key)
            result[nearest].append(flat)
    return dict(result), len(index) - len(seen)


def _even_odd(polygons: Sequence[F64], shape: tuple[int, int]) -> tuple[Inside, bool, int]:
    """Return the region between outlines of one slice, whether they cross, and how many hold no voxel centre."""
    region, edges = np.zeros(shape, bool), np.zeros(shape, bool)
    parts = []
    lost = 0
    for polygon in polygons:
        inside, on_edge = filled(polygon, shape)
        lost += not (inside.any() or on_edge.any())
        region ^= inside
        edges |= on_edge
        if len(polygons) > 1:
            parts.append(inside)
    crosses = len(parts) * (len(parts) - 1) <= 2 * _PAIRS and _cross(parts)
    return region | edges, crosses, lost


def _cross(parts: Sequence[NDArray[np.bool_]]) -> bool:
    """Return whether two areas overlap and neither lies in the other."""
    for number, one in enumerate(parts):
        for other in parts[:number]:
            both = np.count_nonzero(one & other)
            if both and both < min(np.count_nonzero(one), np.count_nonzero(other)):
                return True
    return False
