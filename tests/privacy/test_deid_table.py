"""The attribute table against the standard's own dictionary and against another transcription of it."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_keyword

from vesalius.privacy import Option, choose
from vesalius.privacy.attributes import EDITION, groups, table
from vesalius.privacy.profile import BASIC, CODES, DEFAULT, Action, actions

PACKAGE = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
SETS = {
    **{"D": "D", "Z": "Z", "X": "X", "U": "U", "Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D"},
    **{"X_Z_D": "X/Z/D", "X_Z_U_STAR": "X/Z/U*"},
}
DIFFERENCES: dict[int, tuple[str, str]] = {}
"""Tag -> (our action, theirs). Empty: the two agree, and the test keeps it so. Tags and basic actions of ours were read
from theirs, so that this guards against slips and is no second reading of the standard."""


def test_every_tag_is_in_the_dictionary_under_its_keyword() -> None:
    known = {tag: row for tag, row in table().items() if dictionary_has_tag(tag)}
    assert len(known) > 600
    assert {row.keyword for tag, row in known.items() if row.keyword != dictionary_keyword(tag)} == set()


def test_table_holds_one_row_per_tag_and_names_its_edition() -> None:
    text = resources.files("vesalius.privacy").joinpath("data/attributes.csv").read_text()
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))[1:]
    assert len({row[0] for row in rows}) == len(rows) == len(table()) + len(groups())
    assert f"Edition {EDITION}" in text
    assert Path("part15.html").name in text
    assert set(groups()) == {"50xxxxxx", "60xx3000", "60xx4000", "ggggeeee"}


def test_table_agrees_with_the_package_that_carries_the_same_edition() -> None:
    fields = pytest.importorskip(PACKAGE)
    theirs = {
        tag[0] << 16 | tag[1]: action
        for name, action in SETS.items()
        for tag in getattr(fields, f"{name}_TAGS")
        if len(tag) == 2
    }
    found = {
        tag: (table()[tag].basic if tag in table() else "", theirs.get(tag, ""))
        for tag in set(theirs) | set(table())
        if tag not in table() or table()[tag].basic != theirs.get(tag)
    }
    assert found == DIFFERENCES


def test_no_option_makes_an_attribute_stricter_than_the_basic_profile_asks() -> None:
    basic = actions(BASIC)
    for option in Option:
        looser = {Action.KEEP, Action.CLEAN, Action.SHIFT}
        chosen = actions(choose("basic", [option]))
        assert all(chosen[tag] == basic[tag] or chosen[tag] in looser for tag in basic)


def test_codes_name_the_profile_and_each_option() -> None:
    assert [code for code, _ in BASIC.codes] == ["113100"]
    assert [code for code, _ in DEFAULT.codes] == ["113100", "113101", "113103", "113104", "113105", "113107", "113108"]
    assert len({code for code, _ in CODES.values()}) == 13


def test_codes_agree_with_the_dictionary_of_the_standard() -> None:
    from pydicom.sr._concepts_dict import concepts

    published = {code: meaning for entries in concepts["DCM"].values() for code, (meaning, *_) in entries.items()}
    assert {code: published[code] for code, _ in CODES.values()} == dict(CODES.values())


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        (0x00100010, Action.EMPTY),
        (0x00081030, Action.CLEAN),
        (0x00080020, Action.SHIFT),
        (0x00100030, Action.EMPTY),
        (0x0020000D, Action.NEW_UID),
        (0x00101010, Action.KEEP),
        (0x00080080, Action.DUMMY),
    ],
)
def test_default_profile(tag: int, action: Action) -> None:
    assert actions(DEFAULT)[tag] is action
