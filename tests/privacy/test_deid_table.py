"""The attribute tables against the standard's own dictionary and against other transcriptions of them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import pytest
from pydicom._private_dict import private_dictionaries
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

from vesalius.privacy import Option, choose, private
from vesalius.privacy.attributes import EDITION, Attribute, groups, table
from vesalius.privacy.profile import BASIC, CODES, DEFAULT, Action, actions

PACKAGE = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
SETS = {
    **{"D": "D", "Z": "Z", "X": "X", "U": "U", "Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D"},
    **{"X_Z_D": "X/Z/D", "X_Z_U_STAR": "X/Z/U*"},
}
DIFFERENCES: dict[int, tuple[str, str]] = {0x3004007F: ("X", "")}
"""Tag -> (our action, theirs): the one row that 2026d adds. Tags and basic actions of ours were read from theirs, so
that this guards against slips and is no second reading of the standard."""

STRICTER = {
    **dict.fromkeys(
        (
            *("0014407C", "0014407E", "00181200", "00181201", "00181202", "00181203", "00181204", "00181205"),
            *("0018700C", "0018700E", "300C0127"),
        ),
        "device=K",
    ),
    **dict.fromkeys(("00321033", "00700006", "04000565"), "descriptors=C"),
    "04000310": "full=K modified=C",
}
"""Tag -> options that the standard's table has and ours lacks on purpose. A date of calibration is often that of the
study: kept beside moved dates, it would tell by how many days they moved. Text of graphics, names of services,
signed time stamps and reasons of a modification go whole."""

SECOND_READING = "dc03d5fdcfba1c0b6bb25844a7e6cfc0ad1f24620f6efd8ceb36c6481ed5e668"
SECOND_READING_PRIVATE = "31600b9cc8b4bc74621f29224e4a7b294b2bf61e7f029b85f06ea6f86f882a4a"
"""SHA-256 of the lines that a transcription of edition 2026d made by others gives, of Tables E.1-1 and E.3.10-1."""

NO_SHIFT = {"PatientBirthDate", "PatientBirthTime", "GPSTimeStamp"}
"""Dates and times that no option lets stay."""

REPRESENTATIONS = {(0x2001, 0x55): ("UL", "CS")}
"""Group and element of a private attribute -> (ours and the standard's, pydicom's), where they differ."""


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("vesalius.privacy").joinpath(f"data/{name}.csv").read_text()
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


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


def test_table_is_that_of_a_second_reading_but_for_the_rows_that_are_stricter() -> None:
    lines = []
    for row in _rows("attributes"):
        options = [*row["options"].split(), *STRICTER.get(row["tag"], "").split()]
        lines.append(" ".join([row["tag"], row["basic"], *sorted(options)]))
    assert len(lines) == 657
    assert _digest(lines) == SECOND_READING


def test_rows_that_are_stricter_lack_their_option() -> None:
    options = {row["tag"]: row["options"].split() for row in _rows("attributes")}
    assert not [tag for tag, option in STRICTER.items() if {*option.split()} & {*options[tag]}]


def test_options_follow_the_representation() -> None:
    dates = {"full": "K", "modified": "C"}
    found = {row.keyword for tag, row in _of("DA", "DT", "TM") if dict(row.options) != dates}
    assert found == NO_SHIFT
    assert {row.keyword for _, row in _of("AE") if dict(row.options) != {"device": "C"}} == set()
    assert {row.keyword for _, row in _of("UI") if row.options.get("uids") != "K"} == {"UID", "DigitalSignatureUID"}


def _of(*representations: str) -> list[tuple[int, Attribute]]:
    return [
        (tag, row) for tag, row in table().items() if dictionary_has_tag(tag) and dictionary_VR(tag) in representations
    ]


def test_safe_private_attributes_are_those_of_a_second_reading() -> None:
    rows = _rows("safe_private")
    assert len(rows) == len(private.safe()) == 345
    assert {row["vr"] for row in rows} == {"CS", "DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"}
    lines = [f"{row['creator']} {row['group']} {row['element']} {row['vr']}" for row in rows]
    assert _digest(lines) == SECOND_READING_PRIVATE


def test_safe_private_attributes_have_the_representation_of_the_private_dictionary() -> None:
    compared, found = 0, {}
    for (creator, group, element), row in private.safe().items():
        known = private_dictionaries.get(creator, {}).get(f"{group:04X}xx{element:02X}")
        compared += known is not None
        if known is not None and known[0] != row.vr:
            found[group, element] = (row.vr, known[0])
    assert compared > 150
    assert found == REPRESENTATIONS


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
        (0x00160077, Action.REMOVE),
        (0x00081010, Action.DUMMY),
        (0x00102161, Action.KEEP),
        (0x00700006, Action.DUMMY),
        (0x00321033, Action.REMOVE),
    ],
)
def test_default_profile(tag: int, action: Action) -> None:
    assert actions(DEFAULT)[tag] is action


def test_device_identity_cleans_titles_of_application_entities() -> None:
    chosen = actions(choose("basic", ["retain-device-identity"]))
    assert {chosen[tag] for tag, _ in _of("AE")} == {Action.CLEAN}
    assert chosen[0x00181010] is Action.KEEP


def test_device_identity_lets_no_date_stay_beside_moved_ones() -> None:
    chosen = actions(choose(more=["retain-device-identity"]))
    assert {chosen[int(tag, 16)] for tag, option in STRICTER.items() if option == "device=K"} == {Action.SHIFT}
