"""The marks that say an object was de-identified, how, and with which key (never the key)."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vesalius import __version__
from vesalius.privacy.profile import CODES, Option, Profile

_LONGEST: Final = 64


def codes_of(profile: Profile, *, pixels_clean: bool, features_clean: bool) -> tuple[tuple[str, str], ...]:
    """Return the codes of what was really done: an option whose work was not done is not claimed."""
    options = set(profile.options)
    if not pixels_clean:
        options.discard(Option.CLEAN_PIXELS)
    if features_clean:
        options.add(Option.CLEAN_FEATURES)
    else:
        options.discard(Option.CLEAN_FEATURES)
    return Profile(profile.name, frozenset(options)).codes


def mark(data: Dataset, profile: Profile, key_id: str, codes: tuple[tuple[str, str], ...], note: str = "") -> None:
    """Add the marks of PS3.15 E.1.1 and the equipment that contributed.

    Args:
        note: one more line of the method, for instance why a head needed no defacing.
    """
    data.PatientIdentityRemoved = "YES"
    lines = [f"Vesalius {__version__}, profile {profile.name}", f"key {key_id}", *([note] if note else [])]
    data.DeidentificationMethod = [line[:_LONGEST] for line in lines]
    data.DeidentificationMethodCodeSequence = Sequence([_code(value, meaning) for value, meaning in codes])
    data.LongitudinalTemporalInformationModified = _dates(profile)
    data.ContributingEquipmentSequence = Sequence([_equipment()])
    values = {value for value, _ in codes}
    if CODES[Option.CLEAN_PIXELS][0] in values and "Rows" in data:
        data.BurnedInAnnotation = "NO"
    if CODES[Option.CLEAN_FEATURES][0] in values:
        data.RecognizableVisualFeatures = "NO"


def _dates(profile: Profile) -> str:
    if profile.has(Option.FULL_DATES):
        return "UNMODIFIED"
    return "MODIFIED" if profile.has(Option.MODIFIED_DATES) else "REMOVED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning[:_LONGEST]
    return item


def _equipment() -> Dataset:
    item = Dataset()
    item.Manufacturer = "Vesalius"
    item.ManufacturerModelName = "Vesalius"
    item.SoftwareVersions = __version__
    # no time: the same input gives the same output, byte for byte
    item.PurposeOfReferenceCodeSequence = Sequence([_code("109104", "De-identifying Equipment")])
    return item
