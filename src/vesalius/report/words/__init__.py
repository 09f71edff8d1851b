"""Words for people: message ids with parameters become English or Chinese sentences.

The catalogue is every `*.yaml` beside this file (`id: {en: "... {parameter}", zh: "..."}`) and, on top of it, the
catalogue of the application that speaks. A template is `str.format` text. A string parameter that starts with "@"
is itself a message id and is translated first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

from vesalius.core import registry
from vesalius.core.errors import ConfigError, UnknownNameError
from vesalius.core.finding import Message

LANGUAGES = ("en", "zh")
"""Languages that every message has."""

Catalogue = Mapping[str, Mapping[str, str]]
"""language -> message id -> template."""


def say(message: Message, language: str, catalogue: Catalogue | None = None) -> str:
    """Return the sentence in a language.

    An id without a template, or a template whose parameters are missing, comes out legibly instead of failing: a
    report is never lost for want of a word.

    Args:
        message: id and parameters.
        language: "en" or "zh"; a missing translation falls back to English.
        catalogue: templates that go before ours, usually an application's.
    """
    template = find(message.id, language, catalogue)
    if template is None:
        return _legible(message)
    values = {key: _translated(value, language, catalogue) for key, value in message.parameters.items()}
    try:
        return template.format(**values)
    except (KeyError, IndexError, ValueError, TypeError):
        return _legible(message)


def find(message_id: str, language: str, catalogue: Catalogue | None = None) -> str | None:
    """Return the template of an id, in English when the language lacks it, None when nobody knows the id."""
    for wanted in dict.fromkeys((language, "en")):
        for words in (catalogue or {}, shared()):
            template = words.get(wanted, {}).get(message_id)
            if template is not None:
                return template
    return None


def of_application(name: str) -> Catalogue:
    """Return the catalogue of an installed application; empty when it is not installed or cannot be imported."""
    try:
        application = registry.get("applications", name)
    except (UnknownNameError, ImportError, AttributeError):
        return {}
    catalogue: Catalogue = application.catalogue
    return catalogue


@lru_cache(maxsize=1)
def shared() -> Catalogue:
    """Return the merged catalogue of every `report/words/*.yaml`.

    Raises:
        ConfigError: a file is not a catalogue, or two files define one id.
    """
    merged: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    for file in files:
        if file.name.endswith(".yaml"):
            _merge(file.name, file.read_text(encoding="utf-8"), merged)
    return MappingProxyType({language: MappingProxyType(words) for language, words in merged.items()})


def parse(name: str, text: str) -> dict[str, dict[str, str]]:
    """Return language -> id -> template of one catalogue file, for applications that keep theirs as YAML too.

    Raises:
        ConfigError: the text is not `id: {en: ..., zh: ...}`.
    """
    merged: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    _merge(name, text, merged)
    return merged


def _merge(name: str, text: str, merged: dict[str, dict[str, str]]) -> None:
    import yaml

    entries = yaml.safe_load(text) or {}
    if not isinstance(entries, dict):
        raise ConfigError(f"{name} is not a catalogue", found=type(entries).__name__, expected="id: {en: ..., zh: ...}")
    for message_id, templates in entries.items():
        if not isinstance(templates, dict) or not all(isinstance(templates.get(lang), str) for lang in LANGUAGES):
            raise ConfigError(f"{name}: an entry lacks a language", found=str(message_id), expected="en and zh")
        if message_id in merged["en"]:
            raise ConfigError(f"{name}: an id is defined twice", found=str(message_id), fix="remove one of the two")
        for language in LANGUAGES:
            merged[language][str(message_id)] = templates[language]


def _translated(value: str | int | float, language: str, catalogue: Catalogue | None) -> str | int | float:
    if isinstance(value, str) and value.startswith("@"):
        return find(value[1:], language, catalogue) or legible_name(value[1:])
    return value


def legible_name(identifier: str) -> str:
    """Return an identifier as words: "volume.gray_matter" gives "volume: gray matter"."""
    return identifier.replace("_", " ").replace(".", ": ", 1).replace(".", " ")


def _legible(message: Message) -> str:
    parameters = ", ".join(f"{key} = {value}" for key, value in message.parameters.items())
    return legible_name(message.id) + (f" ({parameters})" if parameters else "")
