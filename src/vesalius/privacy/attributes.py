"""What PS3.15 Table E.1-1 asks for each attribute, read from `data/attributes.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Final

EDITION: Final = "2026c"
SOURCE: Final = "DICOM PS3.15, Annex E, Table E.1-1"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table.

    Args:
        basic: action of the Basic Profile: X, Z, D, U, or several of them by the type in the object's definition.
        options: name of an option -> K (keep) or C (clean).
    """

    tag: int
    keyword: str
    basic: str
    options: Mapping[str, str]


@lru_cache(maxsize=1)
def table() -> Mapping[int, Attribute]:
    """Return the rows of single attributes by tag; repeating groups and private attributes are rules of their own."""
    rows = (_attribute(row) for row in _rows())
    return MappingProxyType({row.tag: row for row in rows if row is not None})


@lru_cache(maxsize=1)
def groups() -> Mapping[str, str]:
    """Return the action of the Basic Profile for the rows of repeating groups and private attributes."""
    return MappingProxyType({row["tag"]: row["basic"] for row in _rows() if _tag(row["tag"]) is None})


def _rows() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("data/attributes.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _tag(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _attribute(row: Mapping[str, str]) -> Attribute | None:
    tag = _tag(row["tag"])
    if tag is None:
        return None
    options = dict(part.split("=", 1) for part in row["options"].split())
    return Attribute(tag, row["keyword"], row["basic"], MappingProxyType(options))
