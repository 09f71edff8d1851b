"""What the headers tell of a patient: the values that must be found nowhere in the output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset

from vesalius.io.dicom.values import PARSE_ERRORS
from vesalius.privacy.attributes import table

_PATIENT_NAMES: Final = frozenset((0x00100010, 0x00101001, 0x00101005, 0x00101060, 0x00102297, 0x00100012))
_DATES: Final = frozenset((0x00100030, 0x00100033, 0x00100034))
_PHONES: Final = re.compile(r"Telephone|Phone|Telecom")
_ADDRESSES: Final = re.compile(
    r"Address|Residence|Location|Institution(?!.*Code)|Department|Organization|Site(?:ID|Name)$"
)
_IDENTIFIERS: Final = re.compile(
    r"IDs?$|Number|Locator|Identifi|Accession|Serial|AETitle|AE$|StationName|Label$|Service|Issuer|Insurance"
)
_NOT_IDENTIFYING: Final = frozenset(
    ("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "InstitutionalDepartmentTypeCodeSequence")
)
_TEXTS: Final = frozenset(("LO", "SH", "LT", "ST", "UT", "UC", "PN", "AE", "DA", "UR"))
_LONGEST: Final = 256
_DEEPEST: Final = 64


@dataclass(frozen=True)
class Known:
    """Values of one patient by kind; equal sets are equal patients to every cache.

    Args:
        names: of the patient, as written: family^given^middle^prefix^suffix, with "=" between scripts.
        persons: names of others: physicians, operators, relatives.
        dates: of birth, as YYYYMMDD.
    """

    names: frozenset[str] = field(default=frozenset(), repr=False)
    ids: frozenset[str] = field(default=frozenset(), repr=False)
    dates: frozenset[str] = field(default=frozenset(), repr=False)
    addresses: frozenset[str] = field(default=frozenset(), repr=False)
    phones: frozenset[str] = field(default=frozenset(), repr=False)
    persons: frozenset[str] = field(default=frozenset(), repr=False)

    def __or__(self, other: Known) -> Known:
        """Return the values of both."""
        return Known(*(getattr(self, name) | getattr(other, name) for name in self.__dataclass_fields__))

    def flat(self) -> str:
        """Return everything in one fixed order, to be hashed."""
        return "\n".join(
            f"{name}\t{value}" for name in self.__dataclass_fields__ for value in sorted(getattr(self, name))
        )


def merged(many: Iterable[Known]) -> Known:
    """Return the values of all."""
    result = Known()
    for one in many:
        result = result | one
    return result


def collect(data: Dataset) -> Known:
    """Return the identifying values of a data set at any depth."""
    found: dict[str, set[str]] = {name: set() for name in Known.__dataclass_fields__}
    for kind, value in _values(data, 0):
        text = value.strip(" \0\t\r\n")
        if text and len(text) <= _LONGEST:
            found[kind].add(text)
    return Known(**{name: frozenset(values) for name, values in found.items()})


def _values(data: Dataset, depth: int) -> Iterator[tuple[str, str]]:
    listed = table()
    for tag in list(data.keys()):
        number = int(tag)
        if number >> 16 & 1 or number >= 0x7FE00000 or number >> 16 == 0x5400:
            continue
        row = listed.get(number)
        raw = data.get_item(tag)
        vr = str(getattr(raw, "VR", None) or "")
        if vr not in _TEXTS and vr not in ("SQ", "UN", ""):
            continue
        if row is None and vr in _TEXTS and vr != "PN":
            continue
        yield from _of_element(data, number, depth)


def _of_element(data: Dataset, tag: int, depth: int) -> Iterator[tuple[str, str]]:
    try:
        element = data[tag]
        if element.VR == "SQ":
            if depth < _DEEPEST:
                for item in element.value:
                    yield from _values(item, depth + 1)
            return
        kind = kind_of(tag, str(element.VR), element.keyword)
        if kind:
            for value in _texts(element.value):
                yield kind, value
    except PARSE_ERRORS:
        return


def kind_of(tag: int, vr: str, keyword: str) -> str:
    """Return which kind of identifying value an attribute of the table holds, "" for none."""
    row = table().get(tag)
    if vr == "PN":
        return "names" if tag in _PATIENT_NAMES else "persons"
    if tag in _DATES:
        return "dates"
    if row is None or vr not in _TEXTS or vr == "DA" or keyword in _NOT_IDENTIFYING or "descriptors" in row.options:
        return ""
    if _PHONES.search(keyword):
        return "phones"
    if _IDENTIFIERS.search(keyword):
        return "ids"
    if _ADDRESSES.search(keyword):
        return "addresses"
    return ""


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [str(value)]
    if hasattr(value, "components"):
        return [str(value)]
    return [str(part) for part in value]
