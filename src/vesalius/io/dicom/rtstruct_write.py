"""Masks as an RT structure set that gives back the same masks.

Outlines run along pixel edges and holes are joined by keyholes, so that every reader that asks where a voxel's centre
lies gets the same voxels, and the area drawn is the area of the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from vesalius.core.errors import GeometryError, LabelError
from vesalius.core.mask import Mask, Segment
from vesalius.io.dicom import compose, placing, seg
from vesalius.io.dicom.compose import ObjectLabel, Origin, SeriesLabel
from vesalius.io.dicom.contours import F64, outlines
from vesalius.io.dicom.placing import Placement

SERIES_NUMBER = 950
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired; what RT Referenced Study has to name (PS3.3 C.8.8.5)."""
_CONTOUR_DATA = Tag("ContourData")
_FINEST = 1e-3
"""Of a pixel: how exactly a coordinate is written."""


@dataclass(frozen=True, eq=False)
class _Region:
    """One segment of one mask, turned onto the rows and columns of its source."""

    number: int
    name: str
    label: int
    segment: Segment
    mask: Mask
    places: Sequence[Placement]


def from_masks(masks: Mask | Sequence[Mask], headers: Sequence[Dataset], *, name: str, origin: Origin) -> Dataset:
    """Return a structure set with one region of interest per segment; write it with `to_bytes`.

    Patient, study and frame of reference are those of the source; every source instance is referenced, and the slice of
    each outline. Segments of several masks may overlap. The masks may be turned or flipped against the stack, and the
    stack oblique or sheared.

    Args:
        headers: data sets of the source series, pixels not needed, in any order.
        name: stable name of the structure set, for UIDs and label.

    Raises:
        GeometryError: the slices of a mask are not those of the source.
        LabelError: no segment to write.
    """
    every = [masks] if isinstance(masks, Mask) else list(masks)
    regions = _regions(every, name, headers)
    series = SeriesLabel("RTSTRUCT", SERIES_NUMBER, f"{origin.application}: {name}", f"rtstruct {name}")
    dataset = Dataset()
    compose.begin(dataset, ObjectLabel(RTStructureSetStorage, f"rtstruct {name}", series), headers, origin)
    del dataset.Laterality
    dataset.OperatorsName = ""
    frame = compose.frame_of_reference(headers, origin.uid)
    compose.put(dataset, "FrameOfReferenceUID", frame)
    dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = name[:16]
    dataset.StructureSetName = name[:64]
    dataset.StructureSetDescription = origin.notice
    for part in ("Date", "Time"):
        compose.put(dataset, f"StructureSet{part}", dataset.get(f"Content{part}", ""))
    dataset.ReferencedFrameOfReferenceSequence = [_reference(headers, frame, dataset.StudyInstanceUID)]
    dataset.StructureSetROISequence = [_header(region, frame, name) for region in regions]
    pictures = _pictures(headers)
    dataset.ROIContourSequence = [_contours(region, pictures) for region in regions]
    dataset.RTROIObservationsSequence = [_observation(region) for region in regions]
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """Return the file; implicit little endian, because the points of one outline may need more than 64 kB."""
    return compose.to_bytes(dataset, implicit=True)


def _regions(masks: Sequence[Mask], name: str, headers: Sequence[Dataset]) -> list[_Region]:
    result: list[_Region] = []
    for mask in masks:
        turned, places = seg.on_source(mask, headers)
        for label, segment in mask.segments.items():
            result.append(_Region(len(result) + 1, name, label, segment, turned, places))
    if not result:
        raise LabelError("no segment to write", fix="give the mask its `segments`")
    return result


def _reference(headers: Sequence[Dataset], frame: str, study_uid: str) -> Dataset:
    """Return the item that names every source instance."""
    item, study = Dataset(), Dataset()
    compose.put(item, "FrameOfReferenceUID", frame)
    study.ReferencedSOPClassUID = _STUDY_CLASS
    compose.put(study, "ReferencedSOPInstanceUID", study_uid)
    study.RTReferencedSeriesSequence = []
    for series in compose.referenced_series(headers):
        series.ContourImageSequence = series.ReferencedInstanceSequence
        del series.ReferencedInstanceSequence
        study.RTReferencedSeriesSequence.append(series)
    item.RTReferencedStudySequence = [study]
    return item


def _header(region: _Region, frame: str, name: str) -> Dataset:
    item = Dataset()
    item.ROINumber = region.number
    compose.put(item, "ReferencedFrameOfReferenceUID", frame)
    item.ROIName = region.segment.name[:64]
    item.ROIDescription = f"label {region.label} of mask {name}"
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _observation(region: _Region) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = region.number
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    item.RTROIIdentificationCodeSequence = [compose.code_item(region.segment.code)]
    return item


def _pictures(headers: Sequence[Dataset]) -> list[tuple[Placement, Dataset]]:
    """Return where each source frame lies, and the reference to it."""
    result = []
    for header in headers:
        for place in placing.of_frames(header):
            item = compose.instance_reference(header)
            if place.frame is not None:
                item.ReferencedFrameNumber = place.frame
            result.append((place, item))
    return result


def _contours(region: _Region, pictures: Sequence[tuple[Placement, Dataset]]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = region.number
    item.ROIDisplayColor = list(region.segment.colour)
    positions = np.array([place.position_mm for place, _ in pictures])
    contours = []
    for plane, place in zip(region.mask.array, region.places, strict=True):
        inside = plane == region.label
        if not inside.any():
            continue
        picture = pictures[int(np.linalg.norm(positions - place.position_mm, axis=1).argmin())][1]
        contours += [_contour(_to_patient(points, place), picture) for points in outlines(inside)]
    for number, contour in enumerate(contours, start=1):
        contour.ContourNumber = number
    if contours:
        item.ContourSequence = contours
    return item


def _to_patient(points: F64, place: Placement) -> bytes:
    """Return points (row, column) of a slice as text in LPS mm."""
    down, across = (place.spacing_mm[:, None] * place.orientation.reshape(2, 3)[::-1]).reshape(2, 3)
    numbers = place.position_mm + points[:, :1] * down + points[:, 1:] * across
    digits = min(max(int(np.ceil(-np.log10(_FINEST * float(place.spacing_mm.min())))), 2), 9)
    numbers = np.round(numbers, digits) + 0.0
    if np.abs(numbers).max() >= 10 ** (14 - digits):
        raise GeometryError(
            "a place is too far from the origin for a DICOM number", found=f"{np.abs(numbers).max()} mm"
        )
    told = "\\".join(f"{number:.{digits}f}".rstrip("0").rstrip(".") for number in numbers.reshape(-1).tolist())
    return told.encode("ascii") + b" " * (len(told) % 2)


def _contour(points: bytes, picture: Dataset) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = [picture]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = (points.count(b"\\") + 1) // 3
    # Stored as it is: an object per number would take most of the time.
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(points), points, 0, True, True)
    return item
