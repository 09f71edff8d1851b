"""Profiles and options of PS3.15 Annex E, and the action that follows from them for each attribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from vesalius.core import registry
from vesalius.core.errors import UsageError
from vesalius.privacy.attributes import table


class Option(StrEnum):
    """The options of Annex E, in the order of their codes in CID 7050."""

    CLEAN_PIXELS = "clean-pixel-data"
    CLEAN_FEATURES = "clean-visual-features"
    CLEAN_GRAPHICS = "clean-graphics"
    CLEAN_STRUCTURED = "clean-structured-content"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    FULL_DATES = "retain-full-dates"
    MODIFIED_DATES = "retain-modified-dates"
    CHARACTERISTICS = "retain-patient-characteristics"
    DEVICE = "retain-device-identity"
    UIDS = "retain-uids"
    SAFE_PRIVATE = "retain-safe-private"
    INSTITUTION = "retain-institution"


CODES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "basic": ("113100", "Basic Application Confidentiality Profile"),
        Option.CLEAN_PIXELS: ("113101", "Clean Pixel Data Option"),
        Option.CLEAN_FEATURES: ("113102", "Clean Recognizable Visual Features Option"),
        Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
        Option.CLEAN_STRUCTURED: ("113104", "Clean Structured Content Option"),
        Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
        Option.FULL_DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
        Option.MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
        Option.CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
        Option.DEVICE: ("113109", "Retain Device Identity Option"),
        Option.UIDS: ("113110", "Retain UIDs Option"),
        Option.SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
        Option.INSTITUTION: ("113112", "Retain Institution Identity Option"),
    }
)
"""Codes of CID 7050 De-identification Method, PS3.16."""

DEFAULT_OPTIONS: Final = frozenset(
    (
        *(Option.CLEAN_PIXELS, Option.CLEAN_GRAPHICS, Option.CLEAN_STRUCTURED, Option.CLEAN_DESCRIPTORS),
        *(Option.MODIFIED_DATES, Option.CHARACTERISTICS),
    )
)

_COLUMNS: Final = {
    "uids": Option.UIDS,
    "device": Option.DEVICE,
    "institution": Option.INSTITUTION,
    "characteristics": Option.CHARACTERISTICS,
    "full": Option.FULL_DATES,
    "modified": Option.MODIFIED_DATES,
    "descriptors": Option.CLEAN_DESCRIPTORS,
    "structured": Option.CLEAN_STRUCTURED,
    "graphics": Option.CLEAN_GRAPHICS,
}


class Action(StrEnum):
    """What is done with one attribute."""

    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    NEW_UID = "new UID"
    KEEP = "kept"
    SHIFT = "date shifted"
    CLEAN = "cleaned"


@dataclass(frozen=True)
class Profile:
    """A profile by name with its options.

    Args:
        name: "default" or "basic".
    """

    name: str
    options: frozenset[Option]

    def has(self, option: Option) -> bool:
        """Return whether an option is chosen."""
        return option in self.options

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Return (code, meaning) of the profile and its options, in the order of CID 7050."""
        return (CODES["basic"], *(CODES[option] for option in Option if option in self.options))


BASIC: Final = Profile("basic", frozenset())
DEFAULT: Final = Profile("default", DEFAULT_OPTIONS)
PROFILES: Final = {profile.name: profile for profile in (DEFAULT, BASIC)}


def choose(name: str = "default", more: Iterable[str] = (), less: Iterable[str] = ()) -> Profile:
    """Return a profile with options added and left out.

    Raises:
        UnknownNameError: no such profile or option.
        UsageError: an option is both added and left out.
    """
    if name not in PROFILES:
        raise registry.unknown("profile", name, tuple(PROFILES))
    added, left_out = _options(more), _options(less)
    if both := added & left_out:
        raise UsageError("an option is both added and left out", found=", ".join(sorted(both)), fix="give it once")
    options = (PROFILES[name].options | added) - left_out
    if Option.FULL_DATES in added:
        options -= {Option.MODIFIED_DATES}
    return Profile(name, options)


def _options(names: Iterable[str]) -> frozenset[Option]:
    known = [str(option) for option in Option]
    for name in names:
        if name not in known:
            raise registry.unknown("option", name, known)
    return frozenset(Option(name) for name in names)


@lru_cache(maxsize=16)
def actions(profile: Profile) -> Mapping[int, Action]:
    """Return the action for every attribute of the table under a profile."""
    found: dict[int, Action] = {}
    for tag, row in table().items():
        asked = {act for column, act in row.options.items() if _COLUMNS[column] in profile.options}
        if "K" in asked:
            found[tag] = Action.KEEP
        elif "C" in asked:
            shifts = row.options.get("modified") == "C" and Option.MODIFIED_DATES in profile.options
            found[tag] = Action.SHIFT if shifts else Action.CLEAN
        else:
            found[tag] = _BASIC[row.basic]
    return MappingProxyType(found)


_BASIC: Final = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.NEW_UID,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.NEW_UID,
}
"""Of several actions the one that is valid for every type in an object's definition: it is never less strict."""
