"""Masks as DICOM Segmentation (BINARY), and back (BINARY and FRACTIONAL).

Every slice of the stack is written for every segment, empty ones too: the grid of the source can be read from the
segmentation alone, in any viewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import format_number_as_ds

from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, IrregularGeometryError, ReadError, UnsupportedError, UsageError
from vesalius.core.grid import Affine
from vesalius.core.mask import Mask, Segment
from vesalius.io.dicom import compose, limits, placing
from vesalius.io.dicom.compose import ObjectLabel, Origin, SeriesLabel
from vesalius.io.dicom.placing import Placement
from vesalius.io.dicom.values import PARSE_ERRORS, first, items, quiet, text, whole

if TYPE_CHECKING:
    import highdicom

SERIES_NUMBER = 910
_FAMILY = Code("123110", "DCM", "Artificial Intelligence")
_LABEL = re.compile(r"label (\d+)")
_NEAR = 0.1
_NEAR_ALONG = 0.03
"""A mask slice and a source frame are one when they are nearer than a tenth of a pixel or three hundredths of the
slice distance: scanners round positions, and a regular stack may be off its grid by two (geometry.PLACE_TOLERANCE)."""
_PARALLEL = 1e-3


def from_mask(mask: Mask, headers: Sequence[Dataset], *, name: str, origin: Origin) -> Dataset:
    """Return a segmentation object of a mask that lies on the grid of its source images.

    Patient, study and frame of reference are those of the source; every source instance is referenced, frame by
    frame where the planes are the same. The mask may be turned or flipped against the stack, and the stack sheared.

    Args:
        headers: data sets of the source series, pixels not needed, in any order.
        name: stable name of the mask, for UIDs and content label.

    Raises:
        GeometryError: the slices of the mask are not those of the source.
        UnsupportedError: the source is of a kind that a segmentation cannot refer to.
    """
    headers = _in_order(headers)
    turned, matched = on_source(mask, headers)
    labels = list(mask.segments)
    series = SeriesLabel("SEG", SERIES_NUMBER, f"{origin.application}: {name}", f"seg {name}")
    label = ObjectLabel(SegmentationStorage, f"seg {name}", series)
    try:
        dataset = _segmentation(_numbered(turned.array, labels), matched, headers, mask, (label, origin))
    except KeyError as error:
        kind = text(headers[0], "SOPClassUID")
        raise UnsupportedError("no segmentation of this kind of image", found=f"SOP class {kind}") from error
    _finish(dataset, headers, label, origin)
    for item, number in zip(dataset.SegmentSequence, labels, strict=True):
        item.SegmentDescription = f"label {number} of mask {name}"
    return dataset


def fits(mask: Mask, headers: Sequence[Dataset]) -> bool:
    """Return whether the slices of a mask are those of the source images, turned or not."""
    try:
        on_source(mask, headers)
    except GeometryError:
        return False
    return True


def _in_order(headers: Sequence[Dataset]) -> list[Dataset]:
    """Return the headers along the normal of the stack, so that the object does not depend on their order."""
    found = [(header, next(iter(placing.of_frames(header)), None)) for header in headers]
    normal = next((place.normal for _, place in found if place is not None), np.zeros(3))

    def key(pair: tuple[Dataset, Placement | None]) -> tuple[float, str]:
        height = float(normal @ pair[1].position_mm) if pair[1] is not None else 0.0
        return height, text(pair[0], "SOPInstanceUID")

    return [header for header, _ in sorted(found, key=key)]


def on_source(mask: Mask, headers: Sequence[Dataset]) -> tuple[Mask, list[Placement]]:
    """Return the mask turned so that its rows and columns are those of the source, and the place of each slice.

    Raises:
        GeometryError: the slices of the mask are not those of the source.
    """
    if not headers:
        raise GeometryError("a segmentation needs the headers of its source images", found="none")
    places = [place for header in headers for place in placing.of_frames(header)]
    if not places:
        raise _mismatch("the source images do not tell where they lie")
    turned = _turned(mask, places[0])
    size = (whole(headers[0], "Rows"), whole(headers[0], "Columns"))
    if turned.shape[1:] != size:
        raise _mismatch(f"mask slices of {turned.shape[1:]}, source images of {size} rows and columns")
    positions = np.array([place.position_mm for place in places])
    near = _near(places[0], turned.affine[:3, 0])
    matched = []
    for index in range(turned.shape[0]):
        away = np.linalg.norm(positions - turned.index_to_world((index, 0, 0)), axis=1)
        if away.min() > near:
            raise _mismatch(f"slice {index} lies {away.min():.3g} mm from the nearest source image")
        matched.append(places[int(away.argmin())])
    return turned, matched


def _near(place: Placement, step_mm: NDArray[np.float64]) -> float:
    """Return the largest distance in mm at which two slices still are one."""
    return max(_NEAR * float(place.spacing_mm.min()), _NEAR_ALONG * float(np.linalg.norm(step_mm)))


def _mismatch(found: str) -> GeometryError:
    return GeometryError(
        "the mask is not on the grid of its source images",
        found=found,
        expected="the same slices, rows and columns, in any order",
        fix="call imaging.spatial.resample_like(mask, volume), or write a derived series and refer to that",
    )


def _turned(mask: Mask, place: Placement) -> Mask:
    """Return the mask with axis 1 down the columns and axis 2 along the rows of the source."""
    wanted = np.stack([place.normal, place.orientation[3:], place.orientation[:3]])
    cosines = wanted @ (mask.affine[:3, :3] / np.linalg.norm(mask.affine[:3, :3], axis=0))
    down, across = (int(np.abs(cosines[k]).argmax()) for k in (1, 2))
    if down == across or any(abs(abs(cosines[k, axis]) - 1) > _PARALLEL for k, axis in ((1, down), (2, across))):
        raise _mismatch("rows and columns of other directions")
    turned = mask.transpose((3 - down - across, down, across))
    for axis, cosine in ((1, cosines[1, down]), (2, cosines[2, across])):
        if cosine < 0:
            turned = turned.flip(axis)
    spacing = np.linalg.norm(turned.affine[:3, 1:3], axis=0)
    if np.abs(spacing / place.spacing_mm - 1).max() * max(turned.shape) > _NEAR:
        raise _mismatch(f"pixels of {spacing.round(5)} mm, source {place.spacing_mm.round(5)} mm")
    return turned


def _numbered(array: NDArray[Any], labels: Sequence[int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return segment numbers 1..n instead of labels."""
    kind = np.uint8 if len(labels) < 256 else np.uint16
    result = np.zeros(array.shape, dtype=kind)
    for number, label in enumerate(labels, start=1):
        result[array == label] = number
    return result


def _segmentation(
    array: NDArray[Any],
    matched: Sequence[Placement],
    headers: Sequence[Dataset],
    mask: Mask,
    what: tuple[ObjectLabel, Origin],
) -> highdicom.seg.Segmentation:
    """Return highdicom's object; it is given no identity, which its warnings would quote."""
    import highdicom

    label, origin = what
    frame_uid = compose.frame_of_reference(headers, origin.uid)
    study_uid = compose.study_uid(headers, origin.uid)
    sources = [_bare(header, matched[0], frame_uid, study_uid) for header in headers]
    # A multi-frame source stands alone in highdicom; further ones are referenced without frames.
    several = len(sources) > 1 and all("NumberOfFrames" in source for source in sources)
    position = highdicom.PlanePositionSequence
    patient = highdicom.CoordinateSystemNames.PATIENT
    measures = sources[0].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return highdicom.seg.Segmentation(
        source_images=sources[:1] if several else sources,
        further_source_images=sources[1:] if several else None,
        pixel_array=array,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=list(_descriptions(mask, label.name, origin)),
        series_instance_uid=origin.uid(f"series {label.series.name}"),
        series_number=label.series.number,
        sop_instance_uid=origin.uid(f"instance {label.name}"),
        instance_number=1,
        manufacturer=compose.MANUFACTURER,
        manufacturer_model_name=origin.application[:64],
        software_versions=origin.version,
        device_serial_number="none",
        content_label=_content_label(label.name),
        omit_empty_frames=False,
        plane_positions=[position(patient, _ds(place.position_mm)) for place in matched],
        plane_orientation=highdicom.PlaneOrientationSequence(patient, _ds(matched[0].orientation)),
        pixel_measures=highdicom.PixelMeasuresSequence(measures.PixelSpacing, measures.SliceThickness),
        specific_character_set="ISO_IR 192",
    )


def _ds(numbers: NDArray[np.float64]) -> list[float]:
    return [float(format_number_as_ds(float(number))) for number in numbers]


def _bare(header: Dataset, place: Placement, frame_uid: str, study_uid: str) -> Dataset:
    """Return a source header with nothing but what a segmentation takes from it, positions of frames included."""
    bare = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        setattr(bare, keyword, "")
    bare.StudyDate = bare.StudyTime = None
    bare.Modality = text(header, "Modality") or "OT"
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        compose.put(bare, keyword, text(header, keyword))
    compose.put(bare, "StudyInstanceUID", study_uid)
    compose.put(bare, "FrameOfReferenceUID", frame_uid)
    bare.Rows, bare.Columns = whole(header, "Rows"), whole(header, "Columns")
    compose.take(bare, header, compose.LOSSY)
    frames = placing.of_frames(header)
    bare.ImageOrientationPatient = _ds(place.orientation)
    bare.ImagePositionPatient = _ds(frames[0].position_mm)
    bare.PixelSpacing = _ds(place.spacing_mm)
    bare.SliceThickness = place.thickness_mm or 1.0
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = bare.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = bare.PixelSpacing, bare.SliceThickness
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    bare.SharedFunctionalGroupsSequence = [shared]
    if frames[0].frame is not None:
        bare.NumberOfFrames = len(frames)
        bare.PerFrameFunctionalGroupsSequence = [_frame_group(frame) for frame in frames]
    return bare


def _frame_group(frame: Placement) -> Dataset:
    position, group = Dataset(), Dataset()
    position.ImagePositionPatient = _ds(frame.position_mm)
    group.PlanePositionSequence = [position]
    return group


def _content_label(name: str) -> str:
    return re.sub(r"[^A-Z0-9_ ]", "_", name.upper())[:16]


def _descriptions(mask: Mask, name: str, origin: Origin) -> Iterator[Dataset]:
    import highdicom
    from highdicom.sr import CodedConcept

    def concept(code: Code) -> CodedConcept:
        return CodedConcept(code.value, code.scheme, code.meaning[:64])

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=origin.application[:64], family=concept(_FAMILY), version=origin.version, source=compose.MANUFACTURER
    )
    for number, segment in enumerate(mask.segments.values(), start=1):
        yield highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.name[:64],
            segmented_property_category=concept(segment.category),
            segmented_property_type=concept(segment.code),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=origin.uid(f"{name} segment {segment.name}"),
            tracking_id=segment.name[:64],
            display_color=highdicom.color.CIELabColor.from_rgb(*segment.colour),
        )


def _finish(dataset: Dataset, headers: Sequence[Dataset], label: ObjectLabel, origin: Origin) -> None:
    """Replace what highdicom made up or was not told: patient and study, equipment, dates, dimension UID."""
    compose.patient_and_study(dataset, headers, origin.uid)
    compose.equipment(dataset, origin)
    compose.stamp(dataset, origin)
    compose.without_clock(dataset)
    dataset.SeriesDescription = label.series.description[:64]
    dataset.ContentDescription = origin.short_notice
    dataset.ImageComments = origin.notice
    organization = origin.uid(f"dimensions {label.name}")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def read(path: Path | str, *, threshold: float | None = None) -> Mask:
    """Return a segmentation as a mask on the grid of its frames, LPS mm.

    Args:
        threshold: 0..1, from which a FRACTIONAL segmentation counts as inside; needed for these, unused for BINARY.

    Raises:
        UnsupportedError: another kind of object, FRACTIONAL without a threshold, or segments that overlap.
        IrregularGeometryError: the frames do not lie on one grid.
        LimitError: declared sizes do not fit the file.
        ReadError: the file is damaged.
    """
    frames, affine, (segments, labels) = _opened(path, threshold)
    kind = np.uint8 if max(segments, default=0) < 256 else np.uint16
    result = np.zeros(frames.shape, dtype=kind)
    for number, (index, segment, inside) in enumerate(frames, start=1):
        if result[index][inside].any():
            raise UnsupportedError(
                "segments overlap; a mask has one label per voxel", found=f"frame {number}", fix="use seg.read_apart"
            )
        result[index][inside] = labels[segment]
    return Mask(result, affine, segments=segments)


def read_apart(path: Path | str, *, threshold: float | None = None) -> tuple[Mask, ...]:
    """Return a mask of one segment for each segment, which may overlap; arguments and errors as in `read`."""
    frames, affine, (segments, labels) = _opened(path, threshold)
    arrays = {label: np.zeros(frames.shape, np.uint8 if label < 256 else np.uint16) for label in segments}
    for index, segment, inside in frames:
        arrays[labels[segment]][index][inside] = labels[segment]
    return tuple(Mask(arrays[label], affine, segments={label: segments[label]}) for label in segments)


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of a segmentation: slice index, segment number and where it is inside."""

    dataset: Dataset
    indices: NDArray[np.int64]
    threshold: float | None

    @property
    def shape(self) -> tuple[int, int, int]:
        return int(self.indices.max()) + 1, int(self.dataset.Rows), int(self.dataset.Columns)

    def __iter__(self) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        planes = _planes(self.dataset, len(self.indices), self.threshold)
        yield from zip(self.indices.tolist(), _numbers(self.dataset), planes, strict=True)


def _opened(
    path: Path | str, threshold: float | None
) -> tuple[_Frames, Affine, tuple[dict[int, Segment], dict[int, int]]]:
    import pydicom

    place = Path(path)
    with limits.opened(place) as source, quiet():
        try:
            dataset = pydicom.dcmread(place)
            frames = whole(dataset, "NumberOfFrames") or 1
            rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
        except (OSError, ValueError, AttributeError, pydicom.errors.InvalidDicomError) as error:
            raise ReadError("the segmentation cannot be read", found=type(error).__name__) from error
        _check_kind(dataset, threshold)
        bits = 1 if text(dataset, "SegmentationType") == "BINARY" else 8
        limits.check_declared_size(-(-frames * rows * columns * bits // 8), source, frames)
        places = placing.of_frames(dataset)
        if len(places) != frames:
            raise IrregularGeometryError("the frames of the segmentation do not tell where they lie")
        affine, indices = _grid(places)
        return _Frames(dataset, indices, threshold), affine, _segments_of(dataset)


def _check_kind(dataset: Dataset, threshold: float | None) -> None:
    kind = text(dataset, "SegmentationType")
    if text(dataset, "SOPClassUID") != SegmentationStorage or kind not in ("BINARY", "FRACTIONAL"):
        raise UnsupportedError(
            "only BINARY and FRACTIONAL segmentations are read",
            found=f"SOP class {text(dataset, 'SOPClassUID')}, type {kind or 'not told'}",
            expected="Segmentation Storage, BINARY or FRACTIONAL",
        )
    if kind == "FRACTIONAL" and threshold is None:
        raise UnsupportedError(
            "a FRACTIONAL segmentation is a mask only above a threshold",
            found=f"type {kind}, {text(dataset, 'SegmentationFractionalType') or 'not told'}",
            fix="name one: threshold=0.5",
        )
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if kind == "BINARY" and syntax is not None and syntax.is_encapsulated:
        raise UnsupportedError(
            "a compressed BINARY segmentation is not read", found=f"transfer syntax {syntax}", fix="decompress it first"
        )
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("a threshold is above 0 and at most 1", found=str(threshold))


def _planes(dataset: Dataset, frames: int, threshold: float | None) -> Iterator[NDArray[np.bool_]]:
    """Yield where each frame is inside: packed bits, or fractions of the largest value."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if text(dataset, "SegmentationType") == "BINARY":
        packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
        for begin in range(0, frames * rows * columns, rows * columns):
            part = np.unpackbits(packed[begin // 8 : -(-(begin + rows * columns) // 8)], bitorder="little")
            yield part[begin % 8 : begin % 8 + rows * columns].reshape(rows, columns).astype(bool)
        return
    try:
        values = np.asarray(dataset.pixel_array).reshape(frames, rows, columns)
    except PARSE_ERRORS as error:
        raise ReadError("the fractions cannot be decoded", found=type(error).__name__) from error
    whole_value = whole(dataset, "MaximumFractionalValue") or 255
    yield from (plane >= (threshold or 1.0) * whole_value - 1e-9 for plane in values)


def _grid(places: Sequence[Placement]) -> tuple[Affine, NDArray[np.int64]]:
    """Return the affine of the stack, ascending along the normal, and the slice index of each frame."""
    positions = np.array([place.position_mm for place in places])
    heights = positions @ places[0].normal
    low, high = positions[heights.argmin()], positions[heights.argmax()]
    gaps = np.diff(np.unique(np.round(heights, 3)))
    if not len(gaps):
        thickness = places[0].thickness_mm or 1.0
        return places[0].affine(places[0].normal * thickness), np.zeros(len(places), dtype=np.int64)
    # Writers may leave out empty slices: a gap is a whole number of steps.
    count = int(np.round(gaps / gaps.min()).sum())
    along = (high - low) / count
    indices = np.rint((heights - heights.min()) / (np.ptp(heights) / count)).astype(np.int64)
    off = np.linalg.norm(positions - low - indices[:, np.newaxis] * along, axis=1).max()
    turned = max(float(np.abs(place.orientation - places[0].orientation).max()) for place in places)
    if off > _near(places[0], along) or turned > _PARALLEL:
        raise IrregularGeometryError(
            "the frames of the segmentation do not form a grid",
            found=f"up to {off:.3g} mm and {turned:.3g} in direction from the nearest one",
        )
    return Placement(low, places[0].orientation, places[0].spacing_mm).affine(along), indices


def _segments_of(dataset: Dataset) -> tuple[dict[int, Segment], dict[int, int]]:
    """Return label -> segment, and segment number -> label: our own labels, else the numbers themselves."""
    found = {}
    labels = {}
    ours = text(dataset, "Manufacturer") == compose.MANUFACTURER
    for item in items(dataset, "SegmentSequence"):
        number = whole(item, "SegmentNumber") or 0
        told = _LABEL.match(text(item, "SegmentDescription")) if ours else None
        labels[number] = int(told.group(1)) if told else number
        found[labels[number]] = Segment(
            text(item, "SegmentLabel"),
            _code(first(item, "SegmentedPropertyTypeCodeSequence")),
            _colour(item),
            _code(first(item, "SegmentedPropertyCategoryCodeSequence")),
        )
    return found, labels


def _code(item: Dataset | None) -> Code:
    if item is None:
        return Code("", "", "")
    value = text(item, "CodeValue") or text(item, "LongCodeValue") or text(item, "URNCodeValue")
    return Code(value, text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))


def _colour(item: Dataset) -> tuple[int, int, int]:
    """Return the recommended colour as RGB, grey when there is none."""
    from highdicom.color import CIELabColor

    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return 128, 128, 128
    red, green, blue = CIELabColor.from_dicom_value([int(v) for v in value]).to_rgb(clip=True)
    return int(red), int(green), int(blue)


def _numbers(dataset: Dataset) -> Iterator[int]:
    """Yield the segment number of each frame."""
    shared = first(first(dataset, "SharedFunctionalGroupsSequence"), "SegmentIdentificationSequence")
    for group in items(dataset, "PerFrameFunctionalGroupsSequence"):
        item = first(group, "SegmentIdentificationSequence") or shared
        yield (whole(item, "ReferencedSegmentNumber") if item is not None else None) or 1
