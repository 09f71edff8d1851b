"""Invented patients in nine scripts and languages, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import yaml

from vesalius.core import registry
from vesalius.core.errors import UsageError

LANGUAGES: Final = ("en", "de", "fr", "es", "zh", "ja", "ko", "ru", "ar")
_FAKER: Final = {
    **{"en": "en_US", "de": "de_DE", "fr": "fr_FR", "es": "es_ES", "zh": "zh_CN"},
    **{"ja": "ja_JP", "ko": "ko_KR", "ru": "ru_RU", "ar": "ar_SA"},
}
_ID_FORMS: Final = (
    *("{0:08d}", "PAT-{0:06d}", "{1:02d}.{0:05d}/{1:02d}", "{2}{0:07d}"),
    *("MRN {0:07d}", "{0:05d}-{1:02d}^{2}"),
)


@dataclass(frozen=True)
class Name:
    """A name as it is written, in Latin letters, and by its sound where the language has that."""

    family: str
    given: str
    latin_family: str = ""
    latin_given: str = ""
    phonetic: str = ""

    @property
    def person_name(self) -> str:
        """Return the DICOM value of VR PN, with its ideographic and phonetic groups."""
        native = f"{self.family}^{self.given}"
        if not self.latin_family:
            return native
        groups = [f"{self.latin_family}^{self.latin_given}", native, self.phonetic]
        return "=".join(groups).rstrip("=")

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the family and given names in every writing."""
        every = (self.family, self.given, self.latin_family, self.latin_given, *self.phonetic.split("^"))
        return tuple(part for part in every if part)

    @property
    def plain(self) -> str:
        """Return the name in Latin letters when there is one: what a console burns into an image."""
        return f"{self.latin_family or self.family} {self.latin_given or self.given}"


@dataclass(frozen=True)
class Person:
    """An invented patient with everything that tells who it is."""

    language: str
    charset: tuple[str, ...]
    name: Name
    physician: Name
    sex: str
    birth: date
    patient_id: str
    street: str
    city: str
    phone: str
    hospital: str
    date_format: str

    @property
    def known(self) -> tuple[str, ...]:
        """Return the values that stand in the header and must be nowhere in the output."""
        return (*self.name.parts, self.patient_id, f"{self.birth:%Y%m%d}", self.street, self.phone, self.hospital)

    def written(self, day: date) -> str:
        """Return a day as people of the language write it."""
        return day.strftime(self.date_format)


@lru_cache(maxsize=1)
def _lists() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files(__package__).joinpath("names.yaml").read_text(encoding="utf-8")
    lists: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return lists


def people(seed: int, count: int, *, languages: Sequence[str] = LANGUAGES, faker: bool = False) -> tuple[Person, ...]:
    """Return invented patients, the languages by turns.

    Args:
        faker: take names and places from the Faker package (extra `corpus`) instead of the short lists of our own.

    Raises:
        UnknownNameError: no such language.
        UsageError: Faker is asked for and not installed.
    """
    for language in languages:
        if language not in LANGUAGES:
            raise registry.unknown("language", language, LANGUAGES)
    rng = random.Random(f"people {seed}")
    found: list[Person] = []
    for index in range(count):
        language = languages[(index + seed) % len(languages)]
        person = _invented(language, rng)
        found.append(_with_faker(person, rng.randrange(1 << 30)) if faker else person)
    return tuple(found)


def _invented(language: str, rng: random.Random) -> Person:
    lists = _lists()[language]
    number, two = rng.randrange(10_000, 99_999), rng.randrange(10, 99)
    form = rng.choice(_ID_FORMS)
    return Person(
        language=language,
        charset=tuple(rng.choice(lists["charsets"])),
        name=_name(rng.choice(lists["families"]), rng.choice(lists["given"])),
        physician=_name(rng.choice(lists["families"]), rng.choice(lists["given"])),
        sex=rng.choice("FM"),
        birth=date(1928, 1, 1) + timedelta(days=rng.randrange(27_000)),
        patient_id=form.format(number, two, rng.choice("XQZ")),
        street=f"{rng.choice(lists['streets'])} {rng.randrange(100, 999)}",
        city=rng.choice(lists["cities"]),
        phone=f"+{two} {rng.randrange(100, 999)} {rng.randrange(100_000, 999_999)}",
        hospital=rng.choice(lists["hospitals"]),
        date_format=lists["date"],
    )


def _name(family: str, given: str) -> Name:
    families, givens = family.split("|"), given.split("|")
    if len(families) == 1:
        return Name(family, given)
    phonetic = f"{families[2]}^{givens[2]}" if len(families) > 2 else ""
    return Name(families[0], givens[0], families[1], givens[1], phonetic)


def _with_faker(person: Person, seed: int) -> Person:
    try:
        from faker import Faker
    except ImportError:
        raise UsageError(
            "names from Faker need the package Faker",
            fix="pip install 'vesalius[corpus]', or leave faker out for the lists of our own",
        ) from None
    fake = Faker(_FAKER[person.language])
    fake.seed_instance(seed)
    # Charsets of one script cannot write what Faker may bring, such as typographic apostrophes.
    return Person(
        language=person.language,
        charset=("ISO_IR 192",),
        name=Name(fake.last_name(), fake.first_name()),
        physician=Name(fake.last_name(), fake.first_name()),
        sex=person.sex,
        birth=person.birth,
        patient_id=person.patient_id,
        street=_short(fake.street_address(), 60),
        city=_short(fake.city(), 60),
        phone=_short(fake.phone_number(), 16),
        hospital=_short(fake.company(), 60),
        date_format=person.date_format,
    )


def _short(text: str, most: int) -> str:
    return " ".join(text.replace("\\", " ").split())[:most]
