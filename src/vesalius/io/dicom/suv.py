"""Standardised uptake values by body weight, only when the header tells everything they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydicom.dataset import Dataset

from vesalius.core import Message
from vesalius.io.dicom.values import first, moment, number, text, texts

UNIT_SUV: Final = "g/mL"
UNIT_ACTIVITY: Final = "Bq/mL"
_LONGEST_DECAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Uptake:
    """Factor from the rescaled values to `unit`; `problem` says why it is not SUVbw."""

    factor: float
    unit: str
    problem: Message | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What one PET header tells; times as moments, weight in kg, dose in Bq, half-life in s."""

    units: str
    suv_type: str
    corrected: tuple[str, ...]
    decay: str
    weight_kg: float
    has_dose: bool
    dose_bq: float
    half_life_s: float
    injected_at: datetime | None
    injected_time: str
    series_at: datetime | None
    acquired_at: datetime | None


def facts(data: Dataset) -> Facts:
    """Return the facts of one header."""
    item = first(data, "RadiopharmaceuticalInformationSequence")
    dose = item if item is not None else Dataset()
    told = text(dose, "RadiopharmaceuticalStartDateTime")
    day = text(data, "AcquisitionDate") or text(data, "SeriesDate")
    return Facts(
        units=text(data, "Units").upper(),
        suv_type=text(data, "SUVType").upper(),
        corrected=tuple(part.upper() for part in texts(data, "CorrectedImage")),
        decay=text(data, "DecayCorrection").upper(),
        weight_kg=number(data, "PatientWeight") or 0.0,
        has_dose=item is not None,
        dose_bq=number(dose, "RadionuclideTotalDose") or 0.0,
        half_life_s=number(dose, "RadionuclideHalfLife") or 0.0,
        injected_at=moment(told[:8], told[8:].split("+")[0].split("-")[0]) if told else None,
        injected_time=text(dose, "RadiopharmaceuticalStartTime"),
        series_at=moment(text(data, "SeriesDate"), text(data, "SeriesTime")),
        acquired_at=moment(day, text(data, "AcquisitionTime")),
    )


def uptake(told: Sequence[Facts]) -> Uptake:
    """Return what turns the rescaled values of a PET series into SUVbw.

    Needs units BQML, attenuation and decay correction, decay corrected to the start of the scan or to administration,
    the weight, the injected dose, its half-life, and its time when corrected to the start.

    Source: QIBA SUV pseudo-code, "SUV bw calculation, vendor-neutral"; DICOM PS3.3 C.8.9.1.
    """
    if not told:
        return Uptake(1.0, "")
    one = told[0]
    if one.units == "GML":
        other = one.suv_type not in ("", "BW")
        return Uptake(1.0, UNIT_SUV, Message("io.dicom.suv_type", {"type": one.suv_type}) if other else None)
    unit = UNIT_ACTIVITY if one.units == "BQML" else ""
    if missing := _missing(one):
        return Uptake(1.0, unit, Message("io.dicom.suv_missing", {"missing": ", ".join(missing)}))
    activity = one.dose_bq
    if one.decay == "START":
        delay = _delay(told)
        if delay is None:
            return Uptake(1.0, unit, Message("io.dicom.suv_time"))
        activity *= math.exp2(-delay.total_seconds() / one.half_life_s)
    return Uptake(one.weight_kg * 1000 / activity, UNIT_SUV)


def _missing(one: Facts) -> list[str]:
    """Return the names of the elements that forbid SUVbw, as they must read."""
    at_start = one.decay == "START"
    needs = {
        "Units BQML": one.units == "BQML",
        "CorrectedImage ATTN": "ATTN" in one.corrected,
        "CorrectedImage DECY": "DECY" in one.corrected,
        "DecayCorrection START or ADMIN": one.decay in ("START", "ADMIN"),
        "PatientWeight": one.weight_kg > 0,
        "RadiopharmaceuticalInformationSequence": one.has_dose,
        "RadionuclideTotalDose": one.dose_bq > 0 or not one.has_dose,
        "RadionuclideHalfLife": one.half_life_s > 0 or not at_start or not one.has_dose,
        "RadiopharmaceuticalStartTime": bool(one.injected_at or one.injected_time) or not at_start or not one.has_dose,
    }
    return [name for name, given in needs.items() if not given]


def _delay(told: Sequence[Facts]) -> timedelta | None:
    """Return the time from injection to the start of the scan, None when it cannot be trusted."""
    start = _scan_start(told)
    if start is None:
        return None
    injected = told[0].injected_at
    if injected is None:
        injected = moment(start.strftime("%Y%m%d"), told[0].injected_time)
        if injected is not None and injected > start:
            # The time alone is told: an injection "after" the scan was before midnight.
            injected -= timedelta(days=1)
    if injected is None or not timedelta(0) <= start - injected <= _LONGEST_DECAY:
        return None
    return start - injected


def _scan_start(told: Sequence[Facts]) -> datetime | None:
    """Return the moment that decay is corrected to: the series time unless it is later than the first acquisition."""
    earliest = min((one.acquired_at for one in told if one.acquired_at is not None), default=None)
    series = told[0].series_at
    if series is None or earliest is None:
        return series or earliest
    return min(series, earliest)
