"""Moving dates by whole days: DA, DT with or without a time zone, and ages that are capped."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Final

OLDEST_YEARS: Final = 89
"""Ages above it are written as it (HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C))."""

_DA = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})$")
_DT = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?$")
_AGE = re.compile(r"(\d{1,4})([DWMY])$")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})$")


def shift_date(value: str, days: int) -> str:
    """Return a DICOM date (YYYYMMDD, or the old YYYY.MM.DD) moved by days, "" when it is none."""
    found = _DA.match(value.strip(" \0"))
    if found is None:
        return ""
    try:
        moved = date(*(int(part) for part in found.groups())) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"


def shift_datetime(value: str, days: int, local: timedelta | None = None) -> str:
    """Return a DICOM date-time moved by days, "" when it is none.

    The zone is dropped, since it tells a place: the clock becomes that of the data set, so that intervals to its dates
    and times stay. Without the zone of the data set, the clock stays as written.

    Args:
        local: offset of the data set from UTC.
    """
    found = _DT.match(value.strip(" \0"))
    if found is None:
        return ""
    year, month, day, *clock, fraction, zone = found.groups()
    if day is None:
        return _shift_month(year, month, days)
    parts = [int(part or 0) for part in clock]
    try:
        moment = datetime(int(year), int(month), int(day), parts[0], parts[1], min(parts[2], 59))
        if zone and local is not None:
            moment += local - (zone_offset(zone) or local)
        moment += timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    written = 4 + 2 * (2 + sum(part is not None for part in clock))
    return moment.strftime("%Y%m%d%H%M%S").zfill(14)[:written] + (fraction or "")


def _shift_month(year: str, month: str | None, days: int) -> str:
    try:
        moved = date(int(year), int(month or 7), 15) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}" if month else f"{moved.year:04d}"


def zone_offset(value: str) -> timedelta | None:
    """Return the offset from UTC that "+0530" says, None when it is none."""
    found = _ZONE.match(value.strip(" \0"))
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(hours=24):
        return None
    return timezone(-offset if sign == "-" else offset).utcoffset(None)


def is_time(value: str) -> bool:
    """Return whether a value is a DICOM time: digits, colons, a point and no more."""
    return re.fullmatch(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?", value.strip(" \0")) is not None


def cap_age(value: str) -> str:
    """Return an age string, "089Y" for older than 89 years, "" when it is none."""
    found = _AGE.match(value.strip(" \0").upper())
    if found is None:
        return ""
    number, unit = int(found[1]), found[2]
    if number / _PER_YEAR[unit] >= OLDEST_YEARS + (0 if unit == "Y" else 1):
        return f"{OLDEST_YEARS:03d}Y"
    return f"{number:03d}{unit}" if number <= 999 else ""
