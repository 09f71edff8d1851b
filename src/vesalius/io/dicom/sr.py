"""The measurements of a report as a DICOM structured report, TID 1500 "Measurement Report"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from vesalius.core.code import Code
from vesalius.core.errors import ImageContentError, UnsupportedError
from vesalius.core.finding import Measurement
from vesalius.io.dicom import compose
from vesalius.io.dicom.compose import ObjectLabel, Origin, SeriesLabel
from vesalius.io.dicom.values import items, text, whole

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        FindingSite,
        MeasurementProperties,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

SERIES_NUMBER = 920
_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_BODY = Code("123037004", "SCT", "Body structure")
_SIDES = {"L": Code("7771000", "SCT", "Left"), "R": Code("24028007", "SCT", "Right")}
_UNITS = {
    "1": "no units",
    "%": "percent",
    "mL": "milliliter",
    "mm": "millimeter",
    "mm2": "square millimeter",
    "mm3": "cubic millimeter",
    "cm": "centimeter",
    "g/mL": "gram per milliliter",
    "[hnsf'U]": "Hounsfield unit",
    "ms": "millisecond",
    "s": "second",
    "deg": "degree",
}


@dataclass(frozen=True)
class Evidence:
    """What measurements were made on.

    Args:
        sources: headers of the images.
        masks: mask name -> segmentation object written of it.
    """

    sources: Sequence[Dataset]
    masks: Mapping[str, Dataset] = field(default_factory=dict)


def measurement_report(measurements: Sequence[Measurement], evidence: Evidence, *, origin: Origin) -> Dataset:
    """Return a TID 1500 report of every measurement that has a value; preliminary and unverified.

    Measurements on one segment form one group that references the segment; others reference the source images. An
    interval becomes the range of lower and upper measurement uncertainty (TID 310), in the unit of the value.

    Raises:
        ImageContentError: no measurement has a value.
        UnsupportedError: the source is of a kind that a structured report cannot refer to.
    """
    from highdicom.sr import Comprehensive3DSR

    measured = [one for one in measurements if one.value is not None]
    if not measured:
        raise ImageContentError("a structured report of measurements needs at least one with a value")
    series = SeriesLabel("SR", SERIES_NUMBER, f"{origin.application}: measurements", "measurements")
    label = ObjectLabel(Comprehensive3DSRStorage, "measurements", series)
    bare = [_bare(header, evidence.sources, origin) for header in (*evidence.sources, *evidence.masks.values())]
    try:
        dataset = Comprehensive3DSR(
            evidence=bare,
            content=_content(measured, evidence, origin)[0],
            series_instance_uid=origin.uid(f"series {series.name}"),
            series_number=series.number,
            sop_instance_uid=origin.uid(f"instance {label.name}"),
            instance_number=label.number,
            manufacturer=compose.MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
            specific_character_set="ISO_IR 192",
        )
    except KeyError as error:
        kind = text(evidence.sources[0], "SOPClassUID")
        raise UnsupportedError("no structured report on this kind of image", found=f"SOP class {kind}") from error
    compose.patient_and_study(dataset, evidence.sources, origin.uid)
    compose.equipment(dataset, origin)
    compose.stamp(dataset, origin)
    compose.without_clock(dataset)
    dataset.SeriesDescription = series.description[:64]
    dataset.CompletionFlagDescription = origin.short_notice
    return dataset


def _bare(header: Dataset, sources: Sequence[Dataset], origin: Origin) -> Dataset:
    """Return a header with nothing but what a reference to it needs: no identity, which warnings would quote."""
    bare = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        setattr(bare, keyword, "")
    bare.StudyDate = bare.StudyTime = None
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        compose.put(bare, keyword, text(header, keyword))
    compose.put(bare, "StudyInstanceUID", compose.study_uid(sources, origin.uid))
    return bare


def _content(measured: Sequence[Measurement], evidence: Evidence, origin: Origin) -> MeasurementReport:
    from highdicom.sr import MeasurementReport

    return MeasurementReport(
        observation_context=_observer(origin),
        procedure_reported=_concept(_PROCEDURE),
        imaging_measurements=list(_groups(measured, evidence, origin)),
    )


def _concept(code: Code) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning[:64])


def _unit(unit: str) -> CodedConcept:
    return _concept(Code(unit, "UCUM", _UNITS.get(unit, unit)))


def _observer(origin: Origin) -> ObservationContext:
    """Return the context: the software is the observer, no person is."""
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=origin.uid("device"),
        name=origin.application[:64],
        manufacturer_name=compose.MANUFACTURER,
        model_name=f"{origin.application} {origin.version}"[:64],
        serial_number="none",
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _groups(
    measured: Sequence[Measurement], evidence: Evidence, origin: Origin
) -> Iterator[VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations]:
    """Yield measurement groups: one per segment that was written, one for each kind of place else."""
    grouped: dict[tuple[str, str], list[Measurement]] = {}
    for one in measured:
        number = _segment_number(evidence.masks.get(one.mask), one.segment)
        grouped.setdefault((one.mask, one.segment) if number else ("", ""), []).append(one)
    for (mask, _), group in grouped.items():
        yield _on_segment(group, evidence, origin) if mask else _on_images(group, evidence, origin)


def _segment_number(segmentation: Dataset | None, segment: str) -> int:
    """Return the number of a segment by its label, 0 when there is none."""
    for item in items(segmentation, "SegmentSequence"):
        if text(item, "SegmentLabel") == segment[:64] and segment:
            return whole(item, "SegmentNumber") or 0
    return 0


def _on_segment(
    group: Sequence[Measurement], evidence: Evidence, origin: Origin
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    mask, segment = group[0].mask, group[0].segment
    segmentation = evidence.masks[mask]
    number = _segment_number(segmentation, segment)
    item = items(segmentation, "SegmentSequence")[number - 1]
    kind = items(item, "SegmentedPropertyTypeCodeSequence")[0]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(text(item, "TrackingUID"), text(item, "TrackingID")),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(_source_series(segmentation)),
        ),
        finding_type=_concept(
            Code(
                text(kind, "CodeValue") or text(kind, "LongCodeValue"),
                text(kind, "CodingSchemeDesignator"),
                text(kind, "CodeMeaning"),
            )
        ),
        algorithm_id=_algorithm(origin),
        measurements=[_measurement(one, origin) for one in group],
    )


def _source_series(segmentation: Dataset) -> str:
    """Return the series that a segmentation was made on."""
    return text(items(segmentation, "ReferencedSeriesSequence")[0], "SeriesInstanceUID")


def _on_images(
    group: Sequence[Measurement], evidence: Evidence, origin: Origin
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    images = [
        SourceImageForMeasurementGroup(text(header, "SOPClassUID"), text(header, "SOPInstanceUID"))
        for header in evidence.sources
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(origin.uid("measurements on images"), "images"),
        algorithm_id=_algorithm(origin),
        measurements=[_measurement(one, origin) for one in group],
        source_images=images,
    )


def _algorithm(origin: Origin) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(name=origin.application, version=origin.version, manufacturer=compose.MANUFACTURER)


def _measurement(one: Measurement, origin: Origin) -> Dataset:
    from highdicom.sr import Measurement as Content
    from highdicom.sr import TrackingIdentifier

    unit = _unit(one.unit)
    return Content(
        name=_concept(one.code),
        value=float(one.value or 0.0),
        unit=unit,
        tracking_identifier=TrackingIdentifier(origin.uid(f"measurement {one.name}"), one.name),
        finding_sites=_sites(one),
        properties=_uncertainty(one, unit),
    )


def _sites(one: Measurement) -> list[FindingSite] | None:
    from highdicom.sr import FindingSite

    side = _SIDES.get(one.laterality)
    if one.site is None and side is None:
        return None
    site = FindingSite(_concept(one.site or _BODY), laterality=_concept(side) if side is not None else None)
    return [site]


def _uncertainty(one: Measurement, unit: CodedConcept) -> MeasurementProperties | None:
    """Return how far below and above the value its interval reaches."""
    from highdicom.sr import MeasurementProperties

    if one.interval is None or one.value is None:
        return None
    properties = MeasurementProperties(
        upper_measurement_uncertainty=float(one.interval.high - one.value),
        lower_measurement_uncertainty=float(one.value - one.interval.low),
    )
    for item in properties:
        # highdicom writes "no units" where the template takes the unit of the measurement.
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [unit]
    return properties
