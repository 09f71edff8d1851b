"""How large a pixel is, and how far that can be trusted: at the patient, at the detector, or not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from vesalius.core import Message, Spacing
from vesalius.io.dicom.values import items, number, numbers, text, whole

PROJECTION: Final = frozenset(("CR", "DX", "MG", "XA", "RF", "IO", "PX", "RG"))
"""Modalities whose rays diverge: a pixel at the detector is larger than what it shows."""

_CENTIMETRES = 3
_TISSUE = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """Distance between rows and between columns in mm, its status, and whether a told value was refused."""

    spacing_mm: tuple[float, float] | None
    status: Spacing
    problems: tuple[Message, ...] = ()
    refused: bool = False


def pixel_spacing(data: Dataset, modality: str) -> Measured:
    """Return the pixel size of an object from its plain elements.

    Source: DICOM PS3.3 10.7.1.3 (Pixel Spacing Value Order and Calibration), C.8.5.5 (US Region Calibration).
    """
    if modality == "US" or items(data, "SequenceOfUltrasoundRegions"):
        return _ultrasound(data)
    patient, patient_problems = _pair(data, "PixelSpacing")
    if modality in PROJECTION:
        return _projection(data, patient, patient_problems)
    if patient is not None:
        return Measured(patient, Spacing.CALIBRATED, patient_problems)
    nominal, _ = _pair(data, "NominalScannedPixelSpacing")
    if nominal is not None:
        return Measured(nominal, Spacing.DETECTOR, patient_problems)
    return Measured(None, Spacing.UNKNOWN, patient_problems)


def _pair(data: Dataset, keyword: str) -> tuple[tuple[float, float] | None, tuple[Message, ...]]:
    found = numbers(data, keyword)
    if len(found) == 2 and min(found) > 0:
        return (found[0], found[1]), ()
    if text(data, keyword):
        return None, (Message("io.dicom.bad_spacing", {"element": keyword}),)
    return None, ()


def _projection(data: Dataset, patient: tuple[float, float] | None, problems: tuple[Message, ...]) -> Measured:
    detector, more = _pair(data, "ImagerPixelSpacing")
    nominal, _ = _pair(data, "NominalScannedPixelSpacing")
    problems = (*problems, *more)
    if patient is not None and text(data, "PixelSpacingCalibrationType").upper() in ("GEOMETRY", "FIDUCIAL"):
        return Measured(patient, Spacing.CALIBRATED, problems)
    if patient is not None and detector is not None and not _close(patient, detector):
        return Measured(patient, Spacing.CALIBRATED, (*problems, Message("io.dicom.calibration_unnamed")))
    at_detector = detector or nominal or patient
    return Measured(at_detector, Spacing.DETECTOR if at_detector else Spacing.UNKNOWN, problems)


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 1e-3 * b for a, b in zip(one, other, strict=True))


def _ultrasound(data: Dataset) -> Measured:
    regions = [item for item in items(data, "SequenceOfUltrasoundRegions") if whole(item, "RegionSpatialFormat") == 1]
    found: set[tuple[float, float]] = set()
    for item in regions:
        across, down = number(item, "PhysicalDeltaX"), number(item, "PhysicalDeltaY")
        units = whole(item, "PhysicalUnitsXDirection"), whole(item, "PhysicalUnitsYDirection")
        if units != (_CENTIMETRES, _CENTIMETRES) or not across or not down:
            return _uncalibrated_ultrasound(data)
        found.add((round(abs(down) * 10, 9), round(abs(across) * 10, 9)))
    if len(found) == 1:
        return Measured(found.pop(), Spacing.CALIBRATED, (Message("io.dicom.region_spacing"),))
    if len(found) > 1:
        return Measured(None, Spacing.UNKNOWN, (Message("io.dicom.regions_differ", {"count": len(found)}),), True)
    return _uncalibrated_ultrasound(data)


def _uncalibrated_ultrasound(data: Dataset) -> Measured:
    patient, problems = _pair(data, "PixelSpacing")
    status = Spacing.CALIBRATED if patient is not None else Spacing.UNKNOWN
    return Measured(patient, status, problems)
