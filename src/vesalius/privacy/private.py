"""Private attributes that PS3.15 lists as safe: kept by option, looked at again one by one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from vesalius.io.dicom.values import PARSE_ERRORS
from vesalius.privacy.profile import Action

if TYPE_CHECKING:
    from vesalius.privacy.values import Values


@dataclass(frozen=True, slots=True)
class SafePrivate:
    """One safe private attribute: creator, group, element within the block, representation."""

    creator: str
    group: int
    element: int
    vr: str


@lru_cache(maxsize=1)
def safe() -> Mapping[tuple[str, int, int], SafePrivate]:
    """Return the safe private attributes by creator, group and element within the block.

    Source: DICOM PS3.15, E.3.10, Table E.3.10-1; a part of it, numbers and coded strings only.
    """
    text = resources.files(__package__).joinpath("data/safe_private.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    found = (SafePrivate(r["creator"], int(r["group"], 16), int(r["element"], 16), r["vr"]) for r in rows)
    return MappingProxyType({(one.creator, one.group, one.element): one for one in found})


def copy_safe(source: Dataset, result: Dataset, values: Values, note: Callable[[int, Action], None]) -> None:
    """Put the safe private attributes of a data set into the result, each with its creator."""
    for tag in sorted(source.keys()):
        number = int(tag)
        group, block, element = number >> 16, number >> 8 & 0xFF, number & 0xFF
        if not group & 1 or block < 0x10:
            continue
        creator = _creator(source, group, block)
        entry = safe().get((creator, group, element))
        if entry is None:
            continue
        try:
            kept = _checked(source[tag], entry, values)
        except PARSE_ERRORS:
            kept = None
        if kept is not None:
            result.add(DataElement(group << 16 | block, "LO", creator))
            result.add(kept)
            note(number, Action.CLEAN)


def _creator(source: Dataset, group: int, block: int) -> str:
    tag = group << 16 | block
    if tag not in source:
        return ""
    try:
        value = source[tag].value
    except PARSE_ERRORS:
        return ""
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(" \0")


def _checked(element: DataElement, entry: SafePrivate, values: Values) -> DataElement | None:
    """Return the element when its value is what the list says it is and no known value, else None."""
    vr, value = str(element.VR), element.value
    if vr == "UN" and isinstance(value, bytes):
        if entry.vr not in ("DS", "IS", "CS"):
            return None
        value, vr = value.decode("ascii").strip(" \0").split("\\"), entry.vr
        value = value[0] if len(value) == 1 else value
    if vr != entry.vr:
        return None
    again = DataElement(element.tag, vr, value)
    kept = values.by_representation(again)
    # a value that cleaning would have to change is not what the list promises
    return again if kept is not None and kept == again.value else None
