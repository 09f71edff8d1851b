"""What a corpus knows about itself: where each identifier was planted, and who each object belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.privacy.corpus.people import Person


class Leak(StrEnum):
    """Where an identifier may hide, in the order of reports."""

    ATTRIBUTE = "attribute"
    NESTED = "nested"
    FREE_TEXT = "free text"
    MISPLACED = "misplaced"
    DATE = "date"
    AGE = "age"
    UID = "uid"
    PRIVATE = "private"
    UNKNOWN = "unknown element"
    ENCODING = "encoding"
    META = "file meta"
    PREAMBLE = "preamble"
    TRAILING = "trailing bytes"
    OVERLAY = "overlay"
    HIGH_BITS = "high bits"
    CURVE = "curve"
    ICON = "icon"
    PIXELS = "pixels"
    GRAPHICS = "graphics"
    STRUCTURED = "structured report"
    DOCUMENT = "encapsulated document"
    DIRECTORY = "directory"
    FILE_NAME = "file name"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Plant:
    """One planted identifier.

    Args:
        instance: number of the object, unique in the corpus; 0 for the directory of all of them.
        place: path of the element ("00400275[0].00080050"), or a word such as "preamble".
        tokens: any of these at the place is a leak.
        codes: made-up words that stand nowhere else; any of them anywhere in the output is a leak.
        exact: the value as a whole must differ, for dates and numbers that may occur by chance in longer ones.
    """

    leak: Leak
    instance: int
    place: str
    tokens: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    exact: bool = False


@dataclass
class Item:
    """One object of the corpus.

    Args:
        instance: InstanceNumber, unique in the corpus: this is how an output is told to be this object.
        glyphs: (rows, columns), pixels covered by burned-in text; None without any.
    """

    instance: int
    kind: str
    path: str
    person: int
    visit: int
    glyphs: NDArray[np.bool_] | None = None
    window: float = 0.0


@dataclass
class Corpus:
    """A folder of planted objects and everything known about it."""

    folder: Path
    seed: int
    people: tuple[Person, ...]
    visits: tuple[tuple[date, ...], ...]
    items: list[Item] = field(default_factory=list)
    plants: list[Plant] = field(default_factory=list)

    def counts(self) -> dict[Leak, int]:
        """Return how many identifiers are planted in each class."""
        found = dict.fromkeys(Leak, 0)
        for plant in self.plants:
            found[plant.leak] += 1
        return {leak: count for leak, count in found.items() if count}


def path_of(*parts: Any) -> str:
    """Return the path of an element: tags and item numbers by turns, then a tag."""
    text = ""
    for part in parts:
        text += f"[{part}]." if isinstance(part, int) and not hasattr(part, "group") else f"{int(part):08x}"
    return text
