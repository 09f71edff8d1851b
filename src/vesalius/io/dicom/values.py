"""Values of header elements, read so that a damaged one is absent instead of an exception."""

from __future__ import annotations

import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag, Tag

PARSE_ERRORS: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error, BytesLengthException, InvalidDicomError),
)
"""What pydicom raises on damaged values; RuntimeError covers RecursionError and NotImplementedError."""

_LONGEST_TEXT = 256


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings and log: what matters is reported as a problem of the series, or as an error."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@lru_cache(maxsize=1024)
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def value(data: Dataset, keyword: str) -> Any:
    """Return the value of an element, or None when it is absent, empty or damaged."""
    tag = _tag(keyword)
    if tag not in data:
        return None
    try:
        found = data[tag].value
    except PARSE_ERRORS:
        return None
    return None if found is None or (isinstance(found, str | bytes) and not found.strip()) else found


def text(data: Dataset, keyword: str) -> str:
    """Return a value as text, "" when absent; several values are joined by backslashes."""
    found = value(data, keyword)
    if found is None:
        return ""
    parts = [found] if isinstance(found, str) or not isinstance(found, Sequence) else list(found)
    return "\\".join(str(part) for part in parts).strip(" \0")[:_LONGEST_TEXT]


def texts(data: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element as text."""
    joined = text(data, keyword)
    return tuple(part.strip() for part in joined.split("\\")) if joined else ()


def number(data: Dataset, keyword: str) -> float | None:
    """Return the first value as a finite number, else None."""
    found = numbers(data, keyword)
    return found[0] if found else None


def numbers(data: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of an element as finite numbers, () when one is not."""
    found = value(data, keyword)
    if found is None:
        return ()
    try:
        parts = [found] if isinstance(found, str | int | float) or not isinstance(found, Sequence) else list(found)
        result = tuple(float(part) for part in parts)
    except PARSE_ERRORS:
        return ()
    return result if all(map(math.isfinite, result)) else ()


def whole(data: Dataset, keyword: str) -> int | None:
    """Return the first value as an integer, else None."""
    found = number(data, keyword)
    return int(found) if found is not None and abs(found) < 2**53 else None


def items(data: Dataset | None, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, [] when absent or damaged."""
    if data is None:
        return []
    found = value(data, keyword)
    try:
        return [item for item in found if isinstance(item, Dataset)] if found is not None else []
    except PARSE_ERRORS:
        return []


def first(data: Dataset | None, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, None when there is none."""
    return next(iter(items(data, keyword)), None)


def triple(data: Dataset, keyword: str) -> tuple[float, float, float] | None:
    """Return three numbers, else None."""
    found = numbers(data, keyword)
    return (found[0], found[1], found[2]) if len(found) == 3 else None


_EPOCH = datetime(1970, 1, 1)


def seconds_since_1970(when: datetime) -> float:
    """Return the seconds of a moment without a time zone since 1970, in its own clock."""
    return (when - _EPOCH).total_seconds()


def moment(day: str, time: str) -> datetime | None:
    """Return the moment of a DICOM date (YYYYMMDD) and time (HHMMSS.FFFFFF), None when one is damaged."""
    clock = seconds_of_day(time)
    if clock is None or len(day) < 8 or not day[:8].isdigit():
        return None
    try:
        midnight = date(int(day[:4]), int(day[4:6]), int(day[6:8]))
    except ValueError:
        return None
    return datetime.combine(midnight, datetime.min.time()) + timedelta(seconds=clock)


def seconds_of_day(time: str) -> float | None:
    """Return the seconds since midnight of a DICOM time (HHMMSS.FFFFFF, or HHMM, or HH), None when damaged."""
    clock = time.strip().replace(":", "")
    digits, _, fraction = clock.partition(".")
    if len(digits) not in (2, 4, 6) or not digits.isdigit() or not (fraction or "0").isdigit():
        return None
    parts = [int(digits[i : i + 2]) for i in range(0, len(digits), 2)] + [0, 0]
    if parts[0] > 23 or parts[1] > 59 or parts[2] > 60:
        return None
    return parts[0] * 3600 + parts[1] * 60 + parts[2] + float("0." + (fraction or "0"))
