"""The last look: no string and no run of bytes of the output holds a value that the headers tell of this patient."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vesalius.privacy.known import Known

ENCODINGS: Final = ("utf-8", "latin-1", "gb18030", "shift_jis", "iso2022_jp", "utf-16-le", "utf-16-be")
"""UTF-8, Latin-1, GB18030, Shift-JIS and ISO 2022, and UTF-16 in both orders."""
LEAST_NAME: Final = 2
LEAST_ID: Final = 4
LEAST_ADDRESS: Final = 5
LEAST_PHONE_DIGITS: Final = 6
LEAST_BYTES: Final = 4
"""Shortest run of bytes that is looked for; shorter ones occur by chance in any file."""
LEAST_PIXEL_BYTES: Final = 8
_MOST_PARTS: Final = 4
_MOST_SEEN: Final = 65536
_LEAST_NUMBER: Final = 6
"""Digits inside an id that are looked for alone."""
_LEAST_LOGIN: Final = 4
"""Letters of a family name that is looked for with an initial before or behind it."""
_LONG_PHRASE: Final = 6
_LONG_RUN: Final = 10
_FULL: Final = frozenset((16, 64))
"""Most characters of SH, CS and AE, and of LO."""
_CUT: Final = 3
_TELLING: Final = 4
"""Different bytes that a run needs to be looked for in pixel data."""
_IDEOGRAPHS: Final = "\u2e80"
_ESCAPE: Final = b"\x1b"
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES: Final = dict.fromkeys(map(ord, "'`\u00b4\u2018\u2019\u02bc\u02b9\uff07"))
"""O'Sullivan is one word, also where the sign was left out."""
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_IGNORED: Final = frozenset(
    (
        *("anonymous", "anonymized", "anonymised", "unknown", "none", "removed", "test", "null", "patient", "name"),
        *("basic", "application", "confidentiality", "profile", "clean", "pixel", "data", "recognizable", "visual"),
        *("features", "graphics", "structured", "content", "descriptors", "retain", "longitudinal", "temporal"),
        *("information", "full", "dates", "modified", "characteristics", "device", "identity", "uids", "safe"),
        *("private", "institution", "option", "identifying", "equipment", "vesalius", "method", "key", "subject"),
    )
)
"""What stands in names that are none, and the words of our own marks."""
_LINKS: Final = frozenset(
    (
        "von",
        "van",
        "de",
        "del",
        "der",
        "den",
        "di",
        "da",
        "la",
        "le",
        "al",
        "el",
        "bin",
        "bint",
        "ter",
        "mr",
        "mrs",
        "dr",
    )
)


class Runs:
    """Byte strings of at least `least` bytes, found in one pass over the data whatever their number.

    Two bytes at a time index a table of what any of them holds there; only where every table agrees are they compared.
    """

    def __init__(self, runs: Iterable[bytes], least: int) -> None:
        """Prepare the tables; Latin letters are compared without case."""
        self.least = least
        self.by_head: dict[bytes, list[bytes]] = {}
        for run in {run.lower() for run in runs if len(run) >= least}:
            self.by_head.setdefault(run[:least], []).append(run)
        self._tables = [np.zeros(65536, bool) for _ in range(0, least, 2)]
        for head in self.by_head:
            for step, table in enumerate(self._tables):
                table[head[2 * step] | head[2 * step + 1] << 8] = True

    def places(self, data: bytes | memoryview) -> Iterator[tuple[int, int]]:
        """Yield begin and end of every run that stands alone in the data."""
        if len(data) < self.least or not self.by_head:
            return
        stream = _LOWER[np.frombuffer(data, np.uint8)]
        lowered = stream.tobytes()
        for shift in (0, 1):
            pairs = np.frombuffer(lowered, "<u2", (len(lowered) - shift) // 2, shift)
            for at in (2 * self._candidates(pairs) + shift).tolist():
                for run in self.by_head.get(lowered[at : at + self.least], ()):
                    if lowered.startswith(run, at) and _stands_alone(lowered, at, at + len(run)):
                        yield at, at + len(run)

    def _candidates(self, pairs: NDArray[np.uint16]) -> NDArray[np.intp]:
        last = len(pairs) - len(self._tables) + 1
        if last <= 0:
            return np.empty(0, np.intp)
        found = np.flatnonzero(self._tables[0][pairs[:last]] & self._tables[1][pairs[1 : last + 1]])
        for step, table in enumerate(self._tables[2:], 2):
            found = found[table[pairs[found + step]]]
        return found


_LOWER = np.array(list(bytes(range(256)).lower()), np.uint8)


@dataclass(frozen=True)
class Needles:
    """What is looked for, prepared once per patient.

    Args:
        words: folded single words.
        phrases: folded phrases without the signs between their parts, six letters or more, and Chinese or Japanese.
        runs: known values of four bytes or more in every encoding.
        long_runs: those that are looked for in pixel data as well.
    """

    words: frozenset[str] = field(repr=False)
    phrases: tuple[str, ...] = field(repr=False)
    runs: Runs = field(repr=False)
    long_runs: Runs = field(repr=False)
    _seen: dict[str, bool] = field(default_factory=dict, repr=False)

    def in_text(self, value: str) -> bool:
        """Return whether a string holds a known value, whatever its case, accents and signs between words."""
        known = self._seen.get(value)
        if known is None:
            if len(self._seen) > _MOST_SEEN:
                self._seen.clear()
            known = self._seen[value] = self._is_in(value)
        return known

    def _is_in(self, value: str) -> bool:
        tokens = _WORD.findall(fold(value))
        squashed = "".join(tokens)
        if any(token in self.words for token in tokens) or any(phrase in squashed for phrase in self.phrases):
            return True
        # a value as long as its representation allows may end in a name that was cut off
        last = tokens[-1] if tokens and len(value.rstrip(" \0")) in _FULL else ""
        return len(last) >= _CUT and any(word.startswith(last) for word in (*self.words, *self.phrases))

    def is_value(self, value: str) -> bool:
        """Return whether a string is a known value and nothing else."""
        squashed = "".join(_WORD.findall(fold(value)))
        return squashed in self.words or squashed in self.phrases

    def places(self, data: bytes | memoryview, *, pixels: bool = False) -> Iterator[tuple[int, int]]:
        """Yield begin and end of every run of bytes that is a known value."""
        yield from (self.long_runs if pixels else self.runs).places(data)


def _stands_alone(data: bytes, begin: int, end: int) -> bool:
    """Return whether the bytes around a match of Latin letters or digits are not letters or digits as well."""
    run = data[begin:end]
    if not run.isalnum() or len(run) >= _LONG_RUN:
        return True
    before, after = data[max(0, begin - 1) : begin], data[end : end + 1]
    if run.isdigit():
        return not (before.isdigit() or after.isdigit() or before in (b".", b"-") or after == b".")
    return not (before.isalnum() or after.isalnum())


def fold(text: str) -> str:
    """Return text in lower case, without accents, vowel signs and apostrophes, in compatibility form."""
    if text.isascii():
        return text.lower().translate(_APOSTROPHES)
    flat = unicodedata.normalize("NFKD", text.casefold()).translate(_APOSTROPHES)
    return "".join(c for c in flat if unicodedata.category(c)[0] != "M")


@lru_cache(maxsize=64)
def needles(known: Known) -> Needles:
    """Return what to look for."""
    plain = set(_words(known))
    written = set(_phrases(known))
    words = {fold(word) for word in plain}
    phrases: set[str] = set()
    for phrase in written:
        squashed = "".join(_WORD.findall(fold(phrase)))
        if len(squashed) >= _LONG_PHRASE or squashed[:1] >= _IDEOGRAPHS:
            phrases.add(squashed)
        elif len(squashed) >= LEAST_NAME:
            words.add(squashed)
    phrases |= {word for word in words if word >= _IDEOGRAPHS and len(word) > 1}
    runs = {run for phrase in written | plain for run in _encoded(phrase)}
    telling = (run for run in runs if len(set(run)) >= _TELLING)
    return Needles(frozenset(words), tuple(sorted(phrases)), Runs(runs, LEAST_BYTES), Runs(telling, LEAST_PIXEL_BYTES))


def _words(known: Known) -> Iterator[str]:
    """Yield single words of the patient's names, and of other persons' names when long enough."""
    for name in known.names:
        for part in name_parts(name):
            if len(part) >= LEAST_NAME or part >= _IDEOGRAPHS:
                yield part
                yield from _umlauts(part)
        yield from _logins(name)
    for name in known.persons:
        yield from _logins(name)
        yield from (
            part for part in name_parts(name) if len(part) > LEAST_NAME or (part >= _IDEOGRAPHS and len(part) > 1)
        )


def _logins(name: str) -> Iterator[str]:
    """Yield family name and initial in one word, as the accounts of consoles are called."""
    for script in name.split("="):
        family, given, *_ = [*(part.strip() for part in script.split("^")), "", ""]
        if len(family) >= _LEAST_LOGIN and given and family.isalpha() and family < _IDEOGRAPHS:
            yield from (given[0] + family, family + given[0])


def _umlauts(word: str) -> Iterator[str]:
    pairs = (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("ø", "oe"), ("å", "aa"), ("æ", "ae"))
    changed = word.lower()
    for letter, two in pairs:
        changed = changed.replace(letter, two)
    if changed != word.lower():
        yield changed


def name_parts(name: str) -> list[str]:
    """Return the words of a person name in every script, without particles and titles."""
    words = [word.strip(".,;()\"'") for word in re.split(r"[\^=\s,/\\]+", name)]
    parts = [word for word in words if word and fold(word) not in _LINKS | _IGNORED and not word.isdigit()]
    pieces = [piece for word in parts for piece in _WORD.findall(unicodedata.normalize("NFC", word))]
    return parts + [piece for piece in pieces if len(piece) > LEAST_NAME and piece not in parts]


def _phrases(known: Known) -> Iterator[str]:
    for name in known.names | known.persons:
        yield from _orders(name)
    for value in known.ids:
        yield from _identifiers(value)
    for value in known.dates:
        yield from date_forms(value)
    for value in known.addresses:
        yield from _address_parts(value)
    for value in known.phones:
        yield from _phone_forms(value)


def _orders(name: str) -> Iterator[str]:
    """Yield a name in one run, in each script and each order of up to four parts."""
    for script in name.split("="):
        parts = [part.strip() for part in script.split("^") if part.strip()][:_MOST_PARTS]
        if len(parts) < 2:
            yield from (part for part in parts if len(part) > LEAST_NAME and fold(part) not in _IGNORED)
            continue
        for count in {2, len(parts)}:
            for order in permutations(parts[: max(2, count)], count):
                for sign in ("", " ") if max(order) < _IDEOGRAPHS else ("", " ", "\u3000"):
                    yield sign.join(order)
                yield "^".join(order)


def _identifiers(value: str) -> Iterator[str]:
    if fold(value) in _IGNORED:
        return
    if len(value) >= LEAST_ID and not set(value) <= set("0 .-"):
        yield value
        stripped = value.lstrip("0")
        if stripped != value and len(stripped) >= LEAST_ID:
            yield stripped
        plain = re.sub(r"[\W_]+", "", value)
        if plain != value and len(plain) >= LEAST_ID + 1:
            yield plain
        yield from (run for run in re.findall(r"\d+", value) if len(run) >= _LEAST_NUMBER and run != value)


def date_forms(value: str) -> Iterator[str]:
    """Yield the ways to write a date, YYYYMMDD, that are looked for; two-digit years only with signs."""
    digits = re.sub(r"\D", "", value)
    if len(digits) != 8 or not "0101" <= digits[4:] <= "1231" or not 1 <= int(digits[4:6]) <= 12:
        return
    year, month, day = digits[:4], digits[4:6], digits[6:]
    yield from (year + month + day, day + month + year, month + day + year)
    for sign in "-./ ":
        for parts in ((year, month, day), (day, month, year), (month, day, year), (day, month, year[2:])):
            yield sign.join(parts)
        yield sign.join((str(int(day)), str(int(month)), year))
        yield sign.join((str(int(month)), str(int(day)), year))
        yield sign.join((month, day, year[2:]))
    for names in (_MONTHS, _LONG_MONTHS):
        word = names[int(month) - 1]
        for number in {day, str(int(day))}:
            yield from (f"{number} {word} {year}", f"{word} {number} {year}", f"{word} {number}, {year}")
            yield from (f"{number}-{word}-{year}", f"{number}{word}{year}", f"{year}-{word}-{number}")
    yield f"{year}年{int(month)}月{int(day)}日"
    yield f"{year}年{month}月{day}日"


def _address_parts(value: str) -> Iterator[str]:
    yield value
    for part in re.split(r"[,;\r\n\^\\]+", value):
        words = part.strip()
        if len(words) >= LEAST_ADDRESS or (words >= _IDEOGRAPHS and len(words) > 2):
            yield words
    yield from re.findall(r"\b\d{5,}\b", value)


def _phone_forms(value: str) -> Iterator[str]:
    yield value
    for part in re.split(r"[,;\\\^|]+", value):
        digits = re.sub(r"\D", "", part)
        if len(digits) >= LEAST_PHONE_DIGITS:
            yield part.strip()
            yield digits
            yield digits.lstrip("0")
        elif "@" in part:
            yield part.strip()


def _encoded(phrase: str) -> Iterator[bytes]:
    """Yield a phrase in every encoding that has its letters."""
    for form in {phrase.upper(), phrase.lower()}:
        for encoding in ENCODINGS:
            try:
                run = form.encode(encoding)
            except UnicodeEncodeError:
                continue
            if encoding == "iso2022_jp" and run.startswith(_ESCAPE):
                run = run[3:-3]
            if len(run) >= LEAST_BYTES:
                yield run


def overwritten(data: bytes, places: Iterable[tuple[int, int]]) -> bytes:
    """Return bytes with the given places set to zero."""
    changed = bytearray(data)
    for begin, end in places:
        changed[begin:end] = bytes(end - begin)
    return bytes(changed)
