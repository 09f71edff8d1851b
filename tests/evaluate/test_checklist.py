"""Checklists: every item once, in two languages; answers point to values that are there."""

from __future__ import annotations

import pytest

from vesalius.evaluate.checklist import ITEMS, POINTERS, answers, resolve, short
from vesalius.report import words


def test_every_item_has_words_and_every_pointer_an_item() -> None:
    assert {name: len(items) for name, items in ITEMS.items()} == {"claim": 44, "tripod": 52}
    for name, items in ITEMS.items():
        assert set(POINTERS[name]) <= set(items)
        for number in items:
            for language in words.LANGUAGES:
                assert words.shared()[language][f"evaluation.{name}.{number}"]


def test_answers_point_to_values_and_the_rest_is_open() -> None:
    documents = {"run": {"versions": {"vesalius": "1.2.3"}, "left_out": {}}, "task": {"split": {"folds": 5}}}
    found = {(one.checklist, one.number): one for one in answers(documents)}
    assert found["claim", "23"].pointers == (("run#/versions", "vesalius: 1.2.3"),)
    assert found["claim", "19"].pointers == (("task#/split", "folds: 5"),)
    assert not found["claim", "10"].filled
    assert found["claim", "3"].narrative
    assert not found["claim", "3"].filled
    assert sum(one.filled for one in found.values()) == len(
        [
            1
            for pointers in POINTERS.values()
            for own in pointers.values()
            if {"run#/versions", "task#/split"} & set(own)
        ]
    )


@pytest.mark.parametrize(
    ("pointer", "value"), [("a#/b/1/c", 7), ("a#/b/9", None), ("a#/x", None), ("z#/b", None), ("a#/b/1/c/d", None)]
)
def test_pointers(pointer: str, value: object) -> None:
    assert resolve({"a": {"b": [0, {"c": 7}]}}, pointer) == value


def test_values_in_short() -> None:
    assert short(["a", "b"]) == "a, b"
    assert short([{}, {}]) == "2"
    assert short(False) == "False"
    assert short({}) == short(None) == short("") == ""
    assert short("0" * 64) == "0" * 12 + "…"
    assert len(short("x" * 500)) <= 90
