"""Identifying values for every attribute of the table, and for the places outside it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from vesalius.privacy.attributes import table
from vesalius.privacy.corpus.people import Person
from vesalius.privacy.corpus.truth import Leak, Plant, path_of
from vesalius.privacy.profile import DEFAULT, Action, actions

ROOT: Final = "1.2.826.0.1.3680043.10.9999."
"""Every UID of a corpus starts with it, so that one left over is seen anywhere in a file."""
_LETTERS: Final = "BCDFGHJKMNPRTVWX"
_TEXT: Final = ("LO", "ST", "LT", "UT", "UC")
_NUMBERS: Final = ("US", "SS", "UL", "SL", "FL", "FD")
_BYTES: Final = ("OB", "OW", "UN", "OB or OW")
_SKIPPED: Final = frozenset(("TM", "AS", "AT"))
"""A time of day alone tells nobody; ages and pointers have places of their own."""
_OWN: Final = frozenset(
    (
        *("00080018", "0020000d", "0020000e", "00080016", "00020003", "00041511", "00100010", "00100020"),
        *("00100030", "00100040", "00081140", "00082112", "0040a730", "00700001", "00420011", "fffcfffc"),
        *("00200052", "00080201", "00080014", "30060010", "30060024", "fffafffa", "04000561", "00880200"),
    )
)
"""Attributes that the objects carry themselves, or whose planting would break an object."""
_MISPLACED: Final = (
    "ConvolutionKernel",
    "SequenceName",
    "SoftwareVersions",
    "FilterType",
    "EthnicGroup",
    "ManufacturerModelName",
)


@dataclass
class Codes:
    """Made-up words and UIDs that stand nowhere else."""

    rng: random.Random
    used: set[str] = field(default_factory=set)
    uids: int = 0

    def word(self) -> str:
        """Return ten capital letters that begin with Q and end with Z."""
        while True:
            word = "Q" + "".join(self.rng.choice(_LETTERS) for _ in range(8)) + "Z"
            if word not in self.used:
                self.used.add(word)
                return word

    def uid(self) -> str:
        """Return a UID that no other object or attribute has."""
        self.uids += 1
        return f"{ROOT}{self.rng.randrange(10**6, 10**7)}.{100_000 + self.uids}"

    def number(self) -> int:
        """Return a number of five digits."""
        return self.rng.randrange(10_001, 65_000)


@dataclass(frozen=True)
class Hand:
    """What planting needs to know about one object."""

    person: Person
    visit: date
    instance: int
    codes: Codes

    @property
    def rng(self) -> random.Random:
        """Return the corpus's own source of chance."""
        return self.codes.rng


def rows() -> list[tuple[int, str, Action]]:
    """Return (tag, VR, action by default) of each attribute of the table that can be planted in an object."""
    asked = actions(DEFAULT)
    found = []
    for tag in sorted(table()):
        if f"{tag:08x}" in _OWN or tag >> 16 in (0, 2, 4) or not dictionary_has_tag(tag):
            continue
        vr = dictionary_VR(tag)
        if vr not in _SKIPPED and asked[tag] is not Action.KEEP:
            found.append((tag, vr, asked[tag]))
    return found


def plant_row(dataset: Dataset, row: tuple[int, str, Action], hand: Hand, above: Sequence[Any] = ()) -> Plant | None:
    """Put an identifying value of one attribute into a data set; None when it stands there already.

    Args:
        above: path of the data set inside the object: tag, item number, and so on.
    """
    tag, vr, action = row
    if tag in dataset:
        return None
    leak = Leak.NESTED if above else Leak.ATTRIBUTE
    if vr == "SQ":
        return _plant_sequence(dataset, tag, action, hand, above)
    if action is Action.CLEAN and vr not in _BYTES:
        text, tokens = free_text(hand, most=16 if vr == "SH" else 64)
        dataset.add(DataElement(tag, vr, text))
        return Plant(Leak.FREE_TEXT, hand.instance, path_of(*above, Tag(tag)), tokens)
    value, tokens, codes = identifying(vr, hand)
    dataset.add(DataElement(tag, "OB" if vr == "OB or OW" else vr, value))
    leak = {"DA": Leak.DATE, "DT": Leak.DATE, "UI": Leak.UID}.get(vr, leak)
    return Plant(leak, hand.instance, path_of(*above, Tag(tag)), tokens, codes, exact=not codes)


def _plant_sequence(dataset: Dataset, tag: int, action: Action, hand: Hand, above: Sequence[Any]) -> Plant:
    item, word = Dataset(), hand.codes.word()
    item.CodeValue, item.CodingSchemeDesignator = "1", "99VES"
    place = path_of(*above, Tag(tag), 0, Tag(0x00080104))
    if action is Action.CLEAN:
        item.CodeMeaning, tokens = free_text(hand, most=64)
        plant = Plant(Leak.FREE_TEXT, hand.instance, place, tokens)
    else:
        item.CodeMeaning = f"{word} {hand.person.name.family}"[:64]
        plant = Plant(Leak.NESTED, hand.instance, place, codes=(word,))
    dataset.add(DataElement(tag, "SQ", [item]))
    return plant


def identifying(vr: str, hand: Hand) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Return (value, tokens, codes) of one representation."""
    word, day = hand.codes.word(), hand.visit - timedelta(days=hand.rng.randrange(0, 400))
    if vr == "PN":
        return f"{hand.person.physician.family}^{word}", (), (word,)
    if vr in _TEXT:
        return f"{word} {hand.person.name.family}"[:64], (), (word,)
    if vr == "UR":
        return f"urn:{word}", (), (word,)
    if vr in ("SH", "CS", "AE"):
        return word, (), (word,)
    if vr == "UI":
        unique = hand.codes.uid()
        return unique, (), (unique,)
    if vr in ("DA", "DT"):
        text = f"{day:%Y%m%d}" if vr == "DA" else f"{day:%Y%m%d}{hand.rng.randrange(10, 23)}1507"
        return text, (text,), ()
    if vr in _BYTES:
        return word.encode(), (), (word,)
    number = hand.codes.number()
    value: Any = str(number) if vr in ("IS", "DS") else number % 32_000 if vr == "SS" else number
    return value, (str(value),), ()


def free_text(hand: Hand, *, most: int) -> tuple[str, tuple[str, ...]]:
    """Return a description that names the patient in one of the ways people write, and what of it must go."""
    person, visit = hand.person, hand.visit
    family, given = person.name.family, person.name.given
    latin = person.name.latin_family or family
    ways = [
        (f"{family}, {given[0]}.", (family,)),
        (f"MR {family.upper()}", (family,)),
        (f"Pat. {given} {family}", (family, given)),
        (f"fu {latin}", (latin,)),
        (person.patient_id, (person.patient_id,)),
        (f"{family} {person.written(person.birth)}", (family, person.written(person.birth))),
        (f"Dr. {person.physician.family}", (person.physician.family,)),
        (f"*{person.birth:%d.%m.%y} {given[0]}{family[0]}", (f"{person.birth:%d.%m.%y}",)),
        (f"Abd {family}^{given} {visit:%d/%m/%Y}", (family, f"{visit:%d/%m/%Y}")),
        (f"comp. with exam of {visit:%Y-%m-%d}, {latin}", (latin, f"{visit:%Y-%m-%d}")),
        (f"tel {person.phone}", (person.phone,)),
    ]
    short = [way for way in ways if len(way[0]) <= most]
    return hand.rng.choice(short or [(family[:most], (family[:most],))])


def misplaced(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Put the patient's own name or id where no rule expects it, and yield what was planted."""
    keyword = hand.rng.choice(_MISPLACED)
    name = hand.person.name
    value = hand.rng.choice((name.family, hand.person.patient_id, f"Recon {name.latin_family or name.family}"))[:16]
    token = next(
        (part for part in (name.family, name.latin_family, hand.person.patient_id) if part and part in value), value
    )
    setattr(dataset, keyword, value)
    yield Plant(Leak.MISPLACED, hand.instance, path_of(dataset[keyword].tag), (token,))
