"""Numbers as people read them: significant digits follow the interval, always a unit, a true minus sign."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vesalius.core.finding import Measurement

MAX_DECIMALS = 6
_SYMBOLS = {"1": "", "%": "%", "[hnsf'U]": "HU", "Cel": "°C", "deg": "°", "mm2": "mm²", "cm2": "cm²", "mm3": "mm³"}
"""UCUM codes whose print symbol differs; all others are printed as they are."""


def symbol(unit: str) -> str:
    """Return how a UCUM unit is printed; "" for a ratio."""
    return _SYMBOLS.get(unit, unit)


def decimals_for(value: float, low: float | None = None, high: float | None = None) -> int:
    """Return the number of decimals that an interval, or else three significant digits, justify.

    The half width of the interval keeps two digits when it starts below 5, else one: 14 and 4.2, but 0.7 and 60.
    """
    half = abs(high - low) / 2 if low is not None and high is not None else 0.0
    if half <= 0 or not math.isfinite(half):
        decimals = 2 - _exponent(value)
    else:
        leading = half / 10.0 ** _exponent(half)
        decimals = (1 if leading < 4.95 else 0) - _exponent(half)
        if leading >= 9.5:
            decimals = 0 - _exponent(half)
    return max(0, min(MAX_DECIMALS, decimals))


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0


def fixed(value: float, decimals: int) -> str:
    """Return the number with a decimal point and a true minus sign; never "-0"."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Figures:
    """Value and interval as text with the same number of decimals; "" where there is none."""

    value: str
    low: str
    high: str
    unit: str


def figures(measurement: Measurement) -> Figures:
    """Return the printed numbers of a measurement; all empty when it could not be measured."""
    unit, interval = symbol(measurement.unit), measurement.interval
    if measurement.value is None:
        return Figures("", "", "", unit)
    if interval is None:
        return Figures(fixed(measurement.value, decimals_for(measurement.value)), "", "", unit)
    decimals = decimals_for(measurement.value, interval.low, interval.high)
    low, high = fixed(interval.low, decimals), fixed(interval.high, decimals)
    return Figures(fixed(measurement.value, decimals), low, high, unit)


def quantity(measurement: Measurement) -> str:
    """Return "612 mL [598, 626]", the same digits as in the table; "" when it could not be measured.

    Without a language, so that it serves as a parameter of a message.
    """
    shown = figures(measurement)
    if not shown.value:
        return ""
    space = "" if shown.unit in ("", "°") else " "
    spread = f" [{shown.low}, {shown.high}]" if shown.low else ""
    return f"{shown.value}{space}{shown.unit}{spread}"


def padding(texts: list[str]) -> list[str]:
    """Return what each number lacks to the right so that decimal points align when right-aligned."""
    fractions = [text.partition(".")[2] for text in texts]
    longest = max((len(fraction) for fraction in fractions), default=0)
    pads = []
    for text, fraction in zip(texts, fractions, strict=True):
        missing = longest - len(fraction)
        point = "." if missing and "." not in text and longest else ""
        pads.append(point + "0" * missing if text else "")
    return pads


def percent(probability: float) -> str:
    """Return a probability in percent without decimals and without the sign; never 0 or 100."""
    whole = round(100 * probability)
    if whole <= 0:
        return "<1"
    return ">99" if whole >= 100 else str(whole)
