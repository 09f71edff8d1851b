"""Pseudonyms, dates, descriptions and the sweep, each on its own."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.privacy import Pseudonyms, relink
from vesalius.privacy.dates import cap_age, is_time, shift_date, shift_datetime
from vesalius.privacy.descriptors import clean
from vesalius.privacy.known import Known
from vesalius.privacy.sweep import date_forms, needles

KEY, OTHER = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
PATIENT = Known(
    names=frozenset(("Müller^Jörg", "Yamada^Tarou=山田^太郎=やまだ^たろう")),
    ids=frozenset(("MRN-0012345",)),
    dates=frozenset(("19540312",)),
    phones=frozenset(("+49 89 123456",)),
)


def test_replacements_follow_from_key_and_value_alone() -> None:
    assert KEY.patient("A1") == Pseudonyms(b"a" * 32).patient(" A1 ") != OTHER.patient("A1")
    assert KEY.patient("A1") != KEY.patient("A2")
    assert KEY.patient("") == ""
    assert KEY.uid("1.2.3") != OTHER.uid("1.2.3")
    assert len(KEY.patient("A1")) == 17


def test_new_uids_are_uuids_below_their_root() -> None:
    uid = KEY.uid("1.2.840.1")
    number = int(uid.removeprefix("2.25."))
    assert uid.startswith("2.25.")
    assert len(uid) <= 64
    assert (number >> 76 & 0xF, number >> 62 & 3) == (8, 2)


def test_relink_finds_the_one_candidate() -> None:
    rows = {"2": "A1", "3": "A2"}
    assert relink(KEY.patient("A2"), KEY, rows) == "3"
    assert relink(OTHER.patient("A2"), KEY, rows) is None


def test_secret_is_not_shown() -> None:
    assert "aaaa" not in repr(KEY)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.text(min_size=1))
def test_intervals_are_kept_to_the_day(first: date, second: date, patient: str) -> None:
    days = KEY.days(patient)
    moved = [shift_date(f"{day:%Y%m%d}".zfill(8), days) for day in (first, second)]
    back = [date(int(m[:4]), int(m[4:6]), int(m[6:])) for m in moved]
    assert back[1] - back[0] == second - first
    assert 366 <= -days <= 3653


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20200301101530.25", "20200229101530.25"),
        ("20200301", "20200229"),
        ("202003011015+0100", "202002291015"),
        ("20200301233000-0500", "20200301053000"),
        ("not a date", ""),
        ("20201399", ""),
    ],
)
def test_date_times_move_and_lose_their_zone(value: str, expected: str) -> None:
    assert shift_datetime(value, -1, timedelta(hours=1)) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [("093Y", "089Y"), ("089Y", "089Y"), ("088Y", "088Y"), ("006M", "006M"), ("1200M", "089Y"), ("old", "")],
)
def test_ages_are_capped(age: str, expected: str) -> None:
    assert cap_age(age) == expected


def test_times_hold_digits_only() -> None:
    assert is_time("101530.123456")
    assert not is_time("Quimby")


@pytest.mark.parametrize(
    "text",
    [
        *("T1 MPRAGE SAG", "t2_space_dark-fluid_sag_p2_iso", "ep2d_diff_3scan_trace_p2_ADC", "AX T2 FRFSE FS", "HEAD"),
        *(
            "Thorax Nativ 5.0 I30f 3",
            "AX DWI b=1000",
            "Schädel nativ",
            "IRM cérébrale sans injection",
            "胸部平扫",
            "*tfl3d1_16ns",
        ),
        *("3D_SAG_T1_MPRAGE_ND", "L-SPINE AP", "Recon 2: THIN", "CT Dose Report", "MLO LEFT", "1.25mm Lung", "FOOT"),
    ],
)
def test_clean_descriptions_stay_as_they_are(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("T1 MPRAGE SAG Quimby", "T1 MPRAGE SAG"), ("Knee for Dr. Long", "Knee"), ("CT 12.03.1954", "CT")),
        *(
            ("DOE^JOHN", ""),
            ("tel 030 123 4567", ""),
            ("王小明 胸部平扫", "胸部平扫"),
            ("A1234567", ""),
            ("1954 CT", "CT"),
        ),
        *(("CT HEAD ACC 99887766", "CT HEAD"), ("Ostervik General CT", "CT"), ("mail a@b.no", "")),
    ],
)
def test_everything_else_goes_from_descriptions(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("seen by Jörg", "MUELLER", "muller", "山田太郎様", "TAROU YAMADA", "MRN 0012345", "0012345x MRN0012345"),
        *("12.03.1954", "1954-03-12", "12 Mar 1954", "19540312", "4989123456", "Recon_JORG"),
    ],
)
def test_known_values_are_found_in_any_writing(text: str) -> None:
    assert needles(PATIENT).in_text(text)


@pytest.mark.parametrize("text", ["T1 MPRAGE", "millers", "12.03.1955", "GE MEDICAL SYSTEMS", "B70f"])
def test_other_text_is_left(text: str) -> None:
    assert not needles(PATIENT).in_text(text)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "gb18030", "shift_jis", "iso2022_jp", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("value", ["Müller", "山田太郎", "MRN-0012345"])
def test_known_values_are_found_in_bytes_of_every_encoding(encoding: str, value: str) -> None:
    try:
        run = value.encode(encoding)
    except UnicodeEncodeError:
        return
    data = bytes(range(40)) + run + b"\1\2\3"
    assert list(needles(PATIENT).places(data))


def test_a_name_that_was_cut_off_is_found() -> None:
    known = needles(Known(names=frozenset(("Zabolotnykh^Eva",))))
    assert known.in_text("Recon Zabolotnyk")
    assert not known.in_text("Recon Zab")


def test_dates_are_written_in_many_ways() -> None:
    assert {"12.03.54", "3/12/1954", "march 12, 1954", "1954年3月12日"} <= set(date_forms("19540312"))
    assert list(date_forms("1954")) == []
