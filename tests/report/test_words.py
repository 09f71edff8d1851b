from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

import vesalius
from vesalius.core import Message, registry
from vesalius.core.errors import ConfigError
from vesalius.report import say, words

SOURCE = Path(vesalius.__file__).parent
OWN = {"en": {"a.b": "{n:.1f} of {what}", "x": "ex"}, "zh": {"a.b": "{what}的 {n:.1f}", "x": "某"}}


def parameters(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def catalogues() -> dict[str, words.Catalogue]:
    found = {"shared": words.shared()}
    for name in registry.names("applications"):
        found[name] = words.of_application(name)
    return found


def literal_ids() -> dict[str, str]:
    """Return every id given to Message(...) as a literal in the source, with its file."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Message":
                first = next((k.value for k in node.keywords if k.arg == "id"), node.args[0] if node.args else None)
                if isinstance(first, ast.Constant):
                    found[str(first.value)] = path.name
    return found


def test_every_id_has_both_languages_with_the_same_parameters() -> None:
    for name, catalogue in catalogues().items():
        assert set(catalogue.get("en", {})) == set(catalogue.get("zh", {})), name
        for message_id, template in catalogue.get("en", {}).items():
            assert parameters(template) == parameters(catalogue["zh"][message_id]), message_id


def test_every_literal_message_of_the_source_has_words() -> None:
    known = {message_id for catalogue in catalogues().values() for message_id in catalogue.get("en", {})}
    missing = {message_id: file for message_id, file in literal_ids().items() if message_id not in known}
    assert not missing


def test_chinese_texts_hold_chinese_and_english_texts_do_not() -> None:
    symbols = {"report.column.sha256", "report.provenance.energy", "report.head.made"}
    for name, catalogue in catalogues().items():
        for message_id, template in catalogue.get("zh", {}).items():
            has_words = any(c.isalpha() for c in "".join(t for t, *_ in string.Formatter().parse(template)))
            chinese = any("一" <= c <= "鿿" for c in template)
            assert chinese or not has_words or message_id in symbols, f"{name}: {message_id}"
        assert not [i for i, t in catalogue.get("en", {}).items() if any("一" <= c <= "鿿" for c in t)]


def test_say_translates_and_formats() -> None:
    message = Message("a.b", {"n": 2.25, "what": "@x"})
    assert say(message, "en", OWN) == "2.2 of ex"
    assert say(message, "zh", OWN) == "某的 2.2"


def test_unknown_id_and_missing_parameter_come_out_legibly() -> None:
    assert say(Message("refused.not_t1", {"ratio": 1.3}), "en") == "refused: not t1 (ratio = 1.3)"
    assert say(Message("a.b", {"n": 1}), "en", OWN) == "a: b (n = 1)"
    assert say(Message("a.b", {"n": "text", "what": ""}), "zh", OWN).startswith("a: b")


def test_a_language_without_the_id_falls_back_to_english() -> None:
    assert say(Message("only", {}), "zh", {"en": {"only": "English"}, "zh": {}}) == "English"


def test_unknown_application_has_an_empty_catalogue() -> None:
    assert words.of_application("no-such-application") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "not a catalogue"), ("a: {en: x}", "lacks a language"), ("a: x", "lacks a language")],
)
def test_broken_catalogues_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        words.parse("broken.yaml", text)
