"""What becomes of single values, by their representation: the part of the rules that knows no sequence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.uid import UID_dictionary

from vesalius.privacy import dates, descriptors
from vesalius.privacy.profile import Action, Option, Profile
from vesalius.privacy.pseudonym import Pseudonyms
from vesalius.privacy.sweep import Needles, overwritten
from vesalius.privacy.vocabulary import CLASS_UIDS, INSTANCE_UIDS, LABELS, LINKS, NEVER_SWEPT, TECHNICAL

SHORT_TEXT: Final = frozenset(("LO", "SH"))
LONG_TEXT: Final = frozenset(("LT", "ST", "UT", "UC"))
TEXT: Final = SHORT_TEXT | LONG_TEXT
CODE_KEYWORDS: Final = frozenset(
    ("CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning", "CodingSchemeDesignator")
)
"""Cleaned together, by what they say of each other."""

BYTES: Final = frozenset(("OB", "OW", "OF", "OD", "OL", "OV"))
NUMBERS: Final = frozenset(("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV", "AT"))
DATES: Final = frozenset(("DA", "DT", "TM"))
REMOVED_TEXT: Final = "REMOVED"

_CODE_STRING = re.compile(r"[A-Z0-9_ .\-+/]{0,16}$", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
_UID = re.compile(r"[0-9.]{1,64}$")
_SUSPICIOUS = re.compile(
    r"\d{8,}|[^\W\d]\^[^\W\d]|@|\b\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d\b|\b(?:19|20)\d\d[./-]\d\d[./-]\d\d\b"
)
_KINDS: Final = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8", "UV": "u8", "SV": "i8"}
_LEAST_DISGUISE: Final = 8
"""Bytes from which binary numbers are looked at as text."""
_LONGEST_TECHNICAL: Final = 128
_LONGEST_NUMBER: Final = 64
_STANDARD_ROOT: Final = "1.2.840.10008."

DUMMIES: Final = {
    **dict.fromkeys((*TEXT, "PN", "AE", "CS", "UR"), REMOVED_TEXT),
    **{"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y", "DS": "0", "IS": "0"},
    **dict.fromkeys(BYTES | {"UN"}, b"\0\0"),
    **dict.fromkeys(NUMBERS, 0),
}
"""What stands where a value must not be empty."""


@dataclass
class Values:
    """The value rules of one data set.

    Args:
        days: by which dates move.
        local: the data set's offset from UTC, when it tells one.
    """

    profile: Profile
    pseudonyms: Pseudonyms
    needles: Needles = field(repr=False)
    days: int = field(repr=False)
    local: timedelta | None = None

    def shifted(self, element: DataElement) -> Any:
        """Return the moved date, date-time, or the time of day as it is; None when nothing valid is left."""
        vr = str(element.VR)
        if vr == "DA":
            return self._each(element, lambda value: dates.shift_date(value, self.days))
        if vr == "DT":
            return self._each(element, lambda value: dates.shift_datetime(value, self.days, self.local))
        if vr == "TM":
            return self._each(element, lambda value: value if dates.is_time(value) else "")
        return None

    def kept_date(self, element: DataElement) -> Any:
        """Return a date or time as it is when it is valid, else None."""
        if str(element.VR) == "TM":
            return self.shifted(element)
        check = dates.shift_date if str(element.VR) == "DA" else dates.shift_datetime
        return self._each(element, lambda value: value.strip(" \0") if check(value, 0) else "")

    def unlisted_date(self, element: DataElement) -> Any:
        """Return what becomes of a date that the table does not list: as the profile treats the listed ones."""
        if self.profile.has(Option.FULL_DATES):
            return self.kept_date(element)
        if self.profile.has(Option.MODIFIED_DATES):
            return self.shifted(element)
        return DUMMIES[str(element.VR)]

    def uid(self, element: DataElement) -> Any:
        """Return the UIDs that stand for those of an element."""
        keyword = element.keyword
        if self.profile.has(Option.UIDS) and keyword not in ("UID", "DigitalSignatureUID"):
            return self._each(element, lambda value: value if _UID.match(value) else self.pseudonyms.uid(value))
        return self._each(element, lambda value: self._new_uid(keyword, value))

    def _new_uid(self, keyword: str, value: str) -> str:
        if keyword in CLASS_UIDS and _UID.match(value):
            return value
        if keyword not in INSTANCE_UIDS and value.startswith(_STANDARD_ROOT) and value in UID_dictionary:
            return value
        return self.pseudonyms.uid(value) if value else ""

    def age(self, element: DataElement) -> Any:
        """Return an age, capped."""
        return self._each(element, dates.cap_age)

    def description(self, element: DataElement) -> Any:
        """Return a short description without unknown words, or a long one when every word of it may stay."""
        if str(element.VR) in LONG_TEXT:
            return self._each(element, lambda v: v if descriptors.is_clean(v) and not self.needles.in_text(v) else "")
        return self._each(element, self._described)

    def _described(self, value: str) -> str:
        kept = descriptors.clean(value)
        if kept and self.needles.in_text(kept):
            words = re.split(r"([\W_]+)", kept)
            kept = "".join("" if self.needles.in_text(word) else word for word in words).strip(" _-,;/")
        return "" if kept and self.needles.in_text(kept) else kept

    def technical(self, element: DataElement) -> Any:
        """Return technical text as it is, unless it holds a known value or looks like a person's."""
        return self._each(element, self._technical)

    def _technical(self, value: str) -> str:
        # programs write ASCII of themselves; anything else is a person's words, perhaps in an undeclared encoding
        foreign = not value.isascii() or not value.strip(" \0").isprintable() or len(value) > _LONGEST_TECHNICAL
        return "" if foreign or _SUSPICIOUS.search(value) is not None or self.needles.in_text(value) else value

    def code_string(self, element: DataElement) -> Any:
        """Return coded strings as they are; what is no code string or a known value goes."""
        keyword = element.keyword
        if keyword in LABELS:
            return self.label(element)

        def one(value: str) -> str:
            if _CODE_STRING.match(value) is None:
                return self._described(value).upper()[:16]
            swept = keyword not in NEVER_SWEPT and self.needles.in_text(value) and not descriptors.is_clean(value)
            return "" if swept or (value.replace(" ", "").isdigit() and len(value) > 5) else value

        return self._each(element, one)

    def label(self, element: DataElement) -> Any:
        """Return coded strings that people type, as far as their words are harmless."""
        keyword = element.keyword
        return self._each(element, lambda value: self._label(keyword, value))

    def _label(self, keyword: str, value: str) -> str:
        """Return a label that people type as far as its words are harmless; a link between items stays one."""
        if descriptors.is_clean(value) and not self.needles.in_text(value):
            return value
        if keyword in LINKS:
            return "L" + self.pseudonyms.token("label", value, 12).upper()
        return self._described(value).upper()[:16].strip()

    def number(self, element: DataElement) -> Any:
        """Return numbers written as text; what is none, or is a known number of the patient, goes."""
        values = _strings(element)
        good = all(len(v) <= _LONGEST_NUMBER and (not v.strip() or _NUMBER.match(v)) for v in values)
        known = any(len(v.strip()) >= 6 and v.strip().isdigit() and self.needles.is_value(v) for v in values)
        return element.value if good and not known else None

    def run(self, element: DataElement) -> Any:
        """Return bytes with every known value in them set to zero."""
        data = bytes(element.value or b"")
        places = list(self.needles.places(data))
        return overwritten(data, places) if places else data

    def by_representation(self, element: DataElement) -> Any:
        """Return what becomes of an attribute that the table does not list, None when it goes."""
        vr = str(element.VR)
        if element.keyword in CODE_KEYWORDS:
            return element.value
        if vr in NUMBERS or vr == "US or SS":
            return None if self._hides_text(element.value, vr) else element.value
        if " or " in vr:
            return self.run(element) if isinstance(element.value, bytes) else element.value
        rules: dict[str, Callable[[DataElement], Any]] = {
            **dict.fromkeys(("DS", "IS"), self.number),
            **dict.fromkeys(DATES, self.unlisted_date),
            **dict.fromkeys(BYTES, self.run),
            **dict.fromkeys(TEXT, self.technical if element.keyword in TECHNICAL else self.description),
            **{"CS": self.code_string, "UI": self.uid, "AS": self.age},
        }
        rule = rules.get(vr)
        return rule(element) if rule is not None else None

    def _hides_text(self, value: Any, vr: str) -> bool:
        """Return whether binary numbers are the bytes of a known value in disguise."""
        kind = _KINDS.get(vr)
        several = value if isinstance(value, list | MultiValue) else (value,)
        if kind is None or len(several) * np.dtype(kind).itemsize < _LEAST_DISGUISE:
            return False
        numbers = np.asarray(several)
        return any(True for order in "<>" for _ in self.needles.places(numbers.astype(order + kind).tobytes()))

    def _each(self, element: DataElement, change: Callable[[str], str]) -> Any:
        """Return changed values; a single one as such, "" when all are empty."""
        values = [change(value) if value else "" for value in _strings(element)]
        if not any(values):
            return ""
        return values[0] if len(values) == 1 else values


def _strings(element: DataElement) -> list[str]:
    value = element.value
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [_plain(value)]
    return [_plain(part) for part in value]


def _plain(value: object) -> str:
    written = getattr(value, "original_string", None)
    return str(written if isinstance(written, str) else value)


def dummy(vr: str) -> Any:
    """Return the dummy of a value representation, "" when it has none."""
    return DUMMIES.get(vr, "")


def is_empty(value: Any) -> bool:
    """Return whether nothing is left of a value."""
    return value is None or (isinstance(value, str | bytes | list) and len(value) == 0)


__all__ = ["DATES", "TEXT", "Action", "Values", "dummy", "is_empty"]
