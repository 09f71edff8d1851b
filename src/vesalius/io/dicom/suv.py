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


def uptake(headers: Sequence[Dataset]) -> Uptake:
    """Return what turns the rescaled values of a PET series into SUVbw.

    Needs units BQML, attenuation and decay correction, decay corrected to the start of the scan or to administration,
    the weight, the injected dose, its half-life, and its time when corrected to the start.

    Source: QIBA SUV pseudo-code, "SUV bw calculation, vendor-neutral"; DICOM PS3.3 C.8.9.1.
    """
    data = headers[0]
    units = text(data, "Units").upper()
    if units == "GML":
        kind = text(data, "SUVType").upper()
        return Uptake(1.0, UNIT_SUV, None if kind in ("", "BW") else Message("io.dicom.suv_type", {"type": kind}))
    unit = UNIT_ACTIVITY if units == "BQML" else ""
    missing = _missing(data, units)
    if missing:
        return Uptake(1.0, unit, Message("io.dicom.suv_missing", {"missing": ", ".join(missing)}))
    dose = first(data, "RadiopharmaceuticalInformationSequence")
    assert dose is not None
    weight_g = (number(data, "PatientWeight") or 0) * 1000
    activity = number(dose, "RadionuclideTotalDose") or 0
    if text(data, "DecayCorrection").upper() == "START":
        delay = _delay(headers, dose)
        if delay is None:
            return Uptake(1.0, unit, Message("io.dicom.suv_time"))
        activity *= math.exp2(-delay.total_seconds() / (number(dose, "RadionuclideHalfLife") or 1))
    return Uptake(weight_g / activity, UNIT_SUV)


def _missing(data: Dataset, units: str) -> list[str]:
    """Return the names of the elements that forbid SUVbw, as they must read."""
    wrong = []
    if units != "BQML":
        wrong.append("Units BQML")
    corrected = [part.upper() for part in texts(data, "CorrectedImage")]
    wrong += [f"CorrectedImage {word}" for word in ("ATTN", "DECY") if word not in corrected]
    decay = text(data, "DecayCorrection").upper()
    if decay not in ("START", "ADMIN"):
        wrong.append("DecayCorrection START or ADMIN")
    if not (number(data, "PatientWeight") or 0) > 0:
        wrong.append("PatientWeight")
    dose = first(data, "RadiopharmaceuticalInformationSequence")
    if dose is None:
        return [*wrong, "RadiopharmaceuticalInformationSequence"]
    wrong += [
        word
        for word in ("RadionuclideTotalDose", "RadionuclideHalfLife")
        if not (number(dose, word) or 0) > 0 and (word != "RadionuclideHalfLife" or decay == "START")
    ]
    timed = text(dose, "RadiopharmaceuticalStartTime") or text(dose, "RadiopharmaceuticalStartDateTime")
    if decay == "START" and not timed:
        wrong.append("RadiopharmaceuticalStartTime")
    return wrong


def _delay(headers: Sequence[Dataset], dose: Dataset) -> timedelta | None:
    """Return the time from injection to the start of the scan, None when it cannot be trusted."""
    start = _scan_start(headers)
    if start is None:
        return None
    told = text(dose, "RadiopharmaceuticalStartDateTime")
    injected = moment(told[:8], told[8:].split("+")[0].split("-")[0]) if told else None
    if injected is None:
        injected = moment(start.strftime("%Y%m%d"), text(dose, "RadiopharmaceuticalStartTime"))
        if injected is not None and injected > start:
            # The time alone is told: an injection "after" the scan was before midnight.
            injected -= timedelta(days=1)
    if injected is None or not timedelta(0) <= start - injected <= _LONGEST_DECAY:
        return None
    return start - injected


def _scan_start(headers: Sequence[Dataset]) -> datetime | None:
    """Return the moment that decay is corrected to: the series time unless it is later than the first acquisition."""
    acquired = [
        when
        for data in headers
        if (when := moment(text(data, "AcquisitionDate") or text(data, "SeriesDate"), text(data, "AcquisitionTime")))
    ]
    series = moment(text(headers[0], "SeriesDate"), text(headers[0], "SeriesTime"))
    earliest = min(acquired, default=None)
    if series is None or earliest is None:
        return series or earliest
    return series if series <= earliest else earliest
