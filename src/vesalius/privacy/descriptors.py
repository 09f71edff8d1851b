"""Descriptions that keep what was imaged and how: words of a list stay, everything else goes.

A list of what is allowed holds for names, places and devices that nobody has seen before; a list of what is forbidden
does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

_TOKEN = re.compile(r"\d+(?:\.\d{1,3}(?![\d.]))?(?![^\W_])|[^\W_]+")
_SEGMENT = re.compile(r"\d+|[^\d\W]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^A-Za-z\d]+")
_HONORIFIC = re.compile(r"\b(?:dr|doctor|prof(?:essor)?|mrs|herrn?|frau|dott|dra|drs|sra|mme)\b\.?", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d]\^[^\W\d]|@|://")
_MOST_DIGITS: Final = 5
"""Digits in a row of numbers; six and more make a date, a telephone number or an id."""
_NUMBERED: Final = frozenset(("b", "te", "tr", "ti", "td", "bval", "bvalue", "venc", "etl"))
_LEAST_PART: Final = 4
_LONGEST: Final = 1024


@lru_cache(maxsize=1)
def words() -> frozenset[str]:
    """Return the words that may stay, in normal form."""
    text = resources.files(__package__).joinpath("data/words.txt").read_text(encoding="utf-8")
    lines = (line.removeprefix("?") for line in text.splitlines() if not line.startswith("#"))
    return frozenset(normal(word) for line in lines for word in line.split())


@lru_cache(maxsize=1)
def also_names() -> frozenset[str]:
    """Return the words that may stay but are names of people, too; they stay only where nothing else had to go."""
    text = resources.files(__package__).joinpath("data/words.txt").read_text(encoding="utf-8")
    lines = (line[1:] for line in text.splitlines() if line.startswith("?"))
    return frozenset(normal(word) for line in lines for word in line.split())


def normal(word: str) -> str:
    """Return a word in lower case without accents."""
    flat = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in flat if not unicodedata.combining(c) or ord(c) > 0x3000))


@lru_cache(maxsize=32768)
def clean(text: str) -> str:
    """Return a description without the words that are not known to be harmless; itself when all are.

    Numbers stay while they are short: "T1 MPRAGE SAG 1.0 mm" is kept whole, dates, telephone numbers and ids go.
    """
    if not text or len(text) > _LONGEST or _NAME.search(text) is not None:
        return ""
    tokens = list(_TOKEN.finditer(text))
    dropped = _dropped(text, tokens)
    if not dropped:
        return text if _is_plain(text) else _joined(text, tokens, dropped)
    return _joined(text, tokens, dropped)


def is_clean(text: str) -> bool:
    """Return whether every word of a description may stay."""
    return bool(text) and clean(text) == text


def _is_plain(text: str) -> bool:
    """Return whether nothing but tokens, spaces and common signs is in a text."""
    return all(c.isalnum() or c in " _-+/.,()[]:=*&%#<>|\\'\"°^;!?~\u00d7\u00b2\u00b3" for c in text)


def _joined(text: str, tokens: list[re.Match[str]], dropped: set[int]) -> str:
    parts: list[str] = []
    end_of_last: int | None = None
    for index, token in enumerate(tokens):
        if index in dropped:
            end_of_last = None if not parts else -1
            continue
        if parts:
            between = text[end_of_last : token.start()] if end_of_last not in (None, -1) else " "
            parts.append(between if _is_plain(between) else " ")
        parts.append(token[0])
        end_of_last = token.end()
    return "".join(parts)


def _dropped(text: str, tokens: list[re.Match[str]]) -> set[int]:
    dropped = {index for index, token in enumerate(tokens) if not _may_stay(token[0])}
    dropped |= _long_numbers(text, tokens)
    for title in _HONORIFIC.finditer(text):
        followers = [i for i, token in enumerate(tokens) if token.start() >= title.start()]
        dropped.update(followers[:3])
    doubtful = {index for index, token in enumerate(tokens) if normal(token[0]) in also_names()}
    sure = [i for i, token in enumerate(tokens) if i not in doubtful | dropped and len(token[0]) > 1]
    if dropped or not sure:
        dropped |= doubtful
    return dropped


def _long_numbers(text: str, tokens: list[re.Match[str]]) -> set[int]:
    """Return the tokens of rows of numbers that are too long, or that read like a date or a year."""
    dropped: set[int] = set()
    for run in _runs(text, tokens):
        digits = [tokens[i][0] for i in run]
        joined = "".join(c for word in digits for c in word if c.isdigit())
        signs = text[tokens[run[0]].start() : tokens[run[-1]].end()]
        before = normal(tokens[run[0] - 1][0]) if run[0] else ""
        is_date = len(re.findall(r"\d+", signs)) >= 3 and re.search(r"\d[/.\-]\d+[/.\-]\d", signs) is not None
        is_year = any(re.fullmatch(r"(?:19|20)\d\d", word) for word in digits) and before not in _NUMBERED
        if len(joined) > _MOST_DIGITS or is_date or is_year:
            dropped.update(run)
    return dropped


def _runs(text: str, tokens: list[re.Match[str]]) -> Iterator[list[int]]:
    run: list[int] = []
    for index, token in enumerate(tokens):
        if not token[0].replace(".", "").isdigit():
            if run:
                yield run
            run = []
            continue
        if run and not re.fullmatch(r"[\s./:\-]*", text[tokens[run[-1]].end() : token.start()]):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


@lru_cache(maxsize=32768)
def _may_stay(token: str) -> bool:
    token = unicodedata.normalize("NFKC", token)
    if token.replace(".", "").isdigit():
        return token.isascii()
    known, word = words(), normal(token)
    if word in known:
        return True
    if any(c > "\u2e7f" for c in word):
        return _covered(word, known, 1)
    if any(c.isdigit() for c in token):
        return _mixed(token, known)
    if not word.isascii():
        return False
    parts = _CAMEL.findall(token)
    if len(parts) > 1 and all(len(part) > 1 and normal(part) in known for part in parts):
        return True
    return len(word) >= 2 * _LEAST_PART and _covered(word, known, _LEAST_PART)


def _mixed(token: str, known: frozenset[str]) -> bool:
    """Return whether letters and digits together are a setting ("T1w", "b1000", "ep2d", "B70f"), no id."""
    segments = _SEGMENT.findall(token)
    digits = [segment for segment in segments if segment.isdigit()]
    letters = [normal(segment) for segment in segments if not segment.isdigit()]
    if not token.isascii() or len(segments) > 6 or sum(map(len, digits)) > 4 or max(map(len, digits)) > 4:
        return False
    longest = max(map(len, letters))
    if longest == 1 and len(letters) == 1 and sum(map(len, digits)) > 3 and letters[0] != "b":
        return False
    return all(word in known or _camel_known(word, token, known) for word in letters)


def _camel_known(word: str, token: str, known: frozenset[str]) -> bool:
    parts = [normal(part) for part in _CAMEL.findall(token) if not part.isdigit()]
    return "".join(parts) == "".join(c for c in normal(token) if not c.isdigit()) and all(p in known for p in parts)


def _covered(word: str, known: frozenset[str], least: int) -> bool:
    """Return whether a word is nothing but known words of at least `least` letters one after the other."""
    reached = [True] + [False] * len(word)
    for end in range(least, len(word) + 1):
        starts = (s for s in range(0, end - least + 1) if reached[s] and word[s:end] in known)
        reached[end] = next(starts, None) is not None
    return reached[-1]
