from __future__ import annotations

from dataclasses import replace

import pytest

from vesalius.core import Finding, Identity, Mark, Message, Outcome, QualityCheck, Result, Status
from vesalius.core.code import Code
from vesalius.report import page
from vesalius.report.phrases import Phrases


def test_without_identity_the_head_shows_the_study_key(completed: Result, english: Phrases) -> None:
    lines = page.head_lines(completed.report, english, None)
    assert [line.label for line in lines] == ["Study", "Series read (T1-weighted)", "Why this one", "Software"]
    assert lines[0].text == "3fa27c91b04e, 2023-11-07"


def test_identity_is_in_the_head_and_nowhere_else(completed: Result, english: Phrases) -> None:
    identity = Identity("PAT-7", "Doe^Jane", "19700203", "ACC-9", "1.2.3")
    built = page.build(completed.report, english, (), identity)
    assert built.head[0].text == "Doe Jane, ID PAT-7, born 1970-02-03"
    rest = repr(replace(built, head=()))
    assert not any(secret in rest for secret in ("PAT-7", "Doe", "Jane", "1970", "ACC-9"))


def test_at_most_twelve_rows_and_the_others_follow(completed: Result, english: Phrases) -> None:
    first = completed.report.measurements[0]
    many = tuple(replace(first, name=f"volume.part_{i}", headline=i != 2) for i in range(15))
    built = page.build(replace(completed.report, measurements=many), english, ())
    assert len(built.rows) == page.MOST_ROWS
    assert built.table_notes[-1] == "3 more in the annex and in measurements.csv."
    annexed = next(section for section in built.annex if section.key == "measurements")
    assert [row.title for row in annexed.rows] == ["volume: part 2", "volume: part 13", "volume: part 14"]


def test_the_parts_of_the_annex_keep_their_order(completed: Result, english: Phrases) -> None:
    built = page.build(completed.report, english, ())
    keys = [section.key for section in built.annex]
    assert keys == ["methods", "quality", "parameters", "provenance", "left_out", "licences", "glossary"]


def test_a_refusal_answers_with_reason_and_help(refused: Result, english: Phrases) -> None:
    answer = page.answer(refused.report, english)
    assert (answer.kind, answer.heading) == ("refused", "Refused")
    assert answer.sentences == ("Grey matter is brighter than white matter (1.31 to 1): not a T1-weighted image.",)
    assert answer.helps[0].startswith("A T1-weighted series")


def test_an_abstention_without_reason_is_never_blank(refused: Result, english: Phrases) -> None:
    answer = page.answer(replace(refused.report, outcome=Outcome.ABSTAINED, reasons=()), english)
    assert (answer.heading, answer.sentences) == ("Abstained", ("No reason was recorded.",))


def test_no_finding_is_said(completed: Result, english: Phrases) -> None:
    answer = page.answer(replace(completed.report, findings=()), english)
    assert answer.sentences == ("No finding of this application above its operating point.",)


def test_probability_follows_the_sentence(completed: Result, english: Phrases) -> None:
    finding = Finding(Code("1", "SCT", "x"), Message("limit.skull"), probability=0.834)
    answer = page.answer(replace(completed.report, findings=(finding,)), english)
    assert answer.sentences == ("Anything outside the brain. (probability 83 %)",)


def test_trust_names_the_worst_mark_and_what_was_not_assessed(completed: Result, english: Phrases) -> None:
    quality, domain, agreement, limits = page.trust_lines(completed.report, english)
    assert (quality.mark, quality.word) == ("caution", "Use with caution")
    assert quality.sentences[-1] == "2 of 3 checks passed."
    assert (domain.mark, agreement.sentences) == ("good", ("Not assessed.",))
    assert len(limits.sentences) == 2
    poor = QualityCheck("snr", Mark.POOR, Message("snr.good", {"snr": 2.0}))
    assert page.trust_lines(replace(completed.report, quality=(poor,)), english)[0].word == "Poor image quality"


def test_a_signed_report_names_who_signed(completed: Result, english: Phrases) -> None:
    signed = replace(completed.report, status=Status.FINAL, signed_by="Dr. A. Example")
    assert page.build(signed, english, ()).badge == "Final, signed by Dr. A. Example"


def test_what_was_not_measurable_says_so(completed: Result, english: Phrases) -> None:
    row = next(r for r in page.build(completed.report, english, ()).rows if r.title == "Intracranial volume")
    assert (row.value, row.mark, row.low) == ("not measurable", "", "")
    assert row.note.startswith("The skull")


def test_quantities_do_not_break_over_lines() -> None:
    assert page.unbroken("Volume 612 mL [598, 626].") == "Volume 612\u00a0mL\u00a0[598,\u00a0626]."


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2024-03-02T09:14:29+00:00", "2024-03-02 09:14 UTC"),
        ("2024-03-02T09:14:29Z", "2024-03-02 09:14 UTC"),
        ("2024-03-02T09:14:29", "2024-03-02 09:14"),
        ("", ""),
    ],
)
def test_moments_are_iso_to_the_minute(iso: str, text: str) -> None:
    assert page.moment(iso) == text
