"""Measurements as CSV: one line each, numbers in full, English titles; no identity."""

from __future__ import annotations

import csv
import io

from vesalius.core.finding import Measurement
from vesalius.core.report import Report
from vesalius.report.phrases import Phrases

COLUMNS = (
    "name",
    "title_en",
    "value",
    "unit",
    "low",
    "high",
    "level",
    "interval_method",
    "method",
    "mark",
    "reason",
    "mask",
    "segment",
    "laterality",
    "code",
    "code_scheme",
    "code_meaning",
)


def measurements_csv(report: Report, english: Phrases) -> bytes:
    """Return the table as UTF-8 CSV (RFC 4180); units are UCUM codes, empty cells were not measurable."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(_row(measurement, english) for measurement in report.measurements)
    return stream.getvalue().encode("utf-8")


def _row(m: Measurement, english: Phrases) -> dict[str, str]:
    interval = m.interval if m.value is not None else None
    return {
        "name": m.name,
        "title_en": english.title(m),
        "value": _number(m.value),
        "unit": m.unit,
        "low": _number(interval.low if interval else None),
        "high": _number(interval.high if interval else None),
        "level": _number(interval.level if interval else None),
        "interval_method": interval.method if interval else "",
        "method": m.method,
        "mark": str(m.mark) if m.value is not None else "",
        "reason": english.say(m.reason) if m.reason is not None else "",
        "mask": m.mask,
        "segment": m.segment,
        "laterality": m.laterality,
        "code": m.code.value,
        "code_scheme": m.code.scheme,
        "code_meaning": m.code.meaning,
    }


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))
