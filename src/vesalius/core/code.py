"""Coded concepts: SNOMED CT, DICOM (DCM), RadLex, UCUM, else our own declared scheme."""

from __future__ import annotations

from dataclasses import dataclass

OWN_SCHEME = "99VESALIUS"
"""Coding scheme designator of concepts that no public scheme holds (DICOM PS3.3, 8.2: prefix 99)."""


@dataclass(frozen=True, slots=True)
class Code:
    """A concept: `value` in `scheme`, with its English `meaning`."""

    value: str
    scheme: str
    meaning: str
