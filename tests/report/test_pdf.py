from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample

from vesalius.core import Outcome, Result
from vesalius.report import Words, fonts, page, pdf, render
from vesalius.report.fonts import FontSet
from vesalius.report.phrases import Phrases

Tool = Callable[[str], str]


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8")


@pytest.fixture(scope="module")
def written(
    completed: Result, using: Words, system_fonts: FontSet, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pdf")
    files = render(completed, formats=("pdf",), using=using)
    paths = {}
    for language in ("en", "zh"):
        paths[language] = folder / f"report.{language}.pdf"
        paths[language].write_bytes(files[f"report.{language}.pdf"])
    return paths


def test_every_page_is_a4_and_its_footer_names_page_study_and_version(written: dict[str, Path], tool: Tool) -> None:
    info = output(tool("pdfinfo"), str(written["en"]))
    assert "(A4)" in info
    pages = int(re.findall(r"Pages:\s+(\d+)", info)[0])
    for number in range(1, pages + 1):
        text = output(tool("pdftotext"), "-f", str(number), "-l", str(number), str(written["en"]), "-")
        assert f"Page {number} of {pages}" in text
        assert "Study 3fa27c91b04e, sample-brain 1.0.0, Vesalius 0.1.0." in text
        assert "For research use only. Not a medical device." in text


def test_page_one_holds_answer_measurements_and_trust_in_order(written: dict[str, Path], tool: Tool) -> None:
    text = output(tool("pdftotext"), "-f", "1", "-l", "1", "-layout", str(written["en"]), "-")
    marks = (
        "For research use only",
        "Preliminary, unsigned",
        "ANSWER",
        "MEASUREMENTS",
        "HOW FAR TO TRUST IT",
        "Page 1",
    )
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_fonts_are_embedded_and_no_chinese_glyph_is_missing(
    written: dict[str, Path], tool: Tool, completed: Result, system_fonts: FontSet
) -> None:
    listed = output(tool("pdffonts"), str(written["zh"])).splitlines()[2:]
    assert listed
    assert all(line.split()[-5:-2] == ["yes", "yes", "yes"] for line in listed)
    text = output(tool("pdftotext"), str(written["zh"]), "-")
    assert "\ufffd" not in text
    shown = set(re.sub(r"\s", "", text))
    built = page.build(completed.report, Phrases("zh", sample.CATALOGUE), ())
    spoken = "".join((built.title, built.badge, built.research, *built.answer.sentences, *built.table_notes))
    assert set(re.sub(r"\s", "", spoken)) <= shown


def test_every_character_of_the_page_is_in_the_font(completed: Result, refused: Result, system_fonts: FontSet) -> None:
    """Typst draws a box and says nothing when a glyph is missing, so the faces themselves are asked."""
    from matplotlib.ft2font import FT2Font

    for language in ("en", "zh"):
        covered: set[int] = set()
        for face in (*system_fonts.latin, *system_fonts.cjk):
            covered |= set(FT2Font(face.path, face_index=face.index).get_charmap())
        for result in (completed, refused):
            built = page.build(result.report, Phrases(language, sample.CATALOGUE), ())
            text = str(pdf.model(built))
            assert {c for c in text if ord(c) not in covered and not c.isspace()} == set()


def test_the_same_page_gives_the_same_bytes(completed: Result, english: Phrases) -> None:
    built = page.build(completed.report, english, ())
    latin = fonts.find([])
    assert pdf.pdf(built, latin) == pdf.pdf(built, latin)
    assert b"CreationDate" not in pdf.pdf(built, latin)


def test_text_is_never_read_as_markup(completed: Result, english: Phrases, tool: Tool, tmp_path: Path) -> None:
    source = replace(completed.report.sources[0], description='#read("/etc/passwd") *bold* $x$ <tag> \\')
    built = page.build(replace(completed.report, sources=(source,)), english, ())
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf.pdf(built, fonts.find([])))
    assert '#read("/etc/passwd") *bold* $x$ <tag> \\' in output(tool("pdftotext"), "-layout", str(path), "-")


def test_a_full_page_one_still_ends_on_page_one(completed: Result, using: Words, tool: Tool, tmp_path: Path) -> None:
    first = completed.report.measurements[0]
    many = tuple(replace(first, name=f"volume.part_{i}") for i in range(14))
    result = replace(completed, report=replace(completed.report, measurements=many, draft=True))
    path = tmp_path / "report.pdf"
    path.write_bytes(render(result, language="en", formats=("pdf",), using=using)["report.en.pdf"])
    text = output(tool("pdftotext"), "-f", "1", "-l", "1", str(path), "-")
    assert "What this application cannot see" in text
    assert "Anything outside the brain." in text
    assert "DRAFT MODEL" in text


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.ABSTAINED])
def test_refusals_have_a_page_one_of_their_own(refused: Result, using: Words, outcome: Outcome, tool: Tool) -> None:
    result = replace(refused, report=replace(refused.report, outcome=outcome))
    data = render(result, language="en", formats=("pdf",), using=using)["report.en.pdf"]
    done = subprocess.run([tool("pdftotext"), "-l", "1", "-", "-"], input=data, capture_output=True, check=True)
    text = done.stdout.decode()
    assert text.index(str(outcome).upper()) < text.index("What would help")
    assert "A T1-weighted series of the same visit" in text


def test_page_one_is_a_picture_for_the_secondary_capture(completed: Result, english: Phrases) -> None:
    picture = pdf.page_one_rgb(page.build(completed.report, english, ()), fonts.find([]))
    assert picture.dtype == np.uint8
    assert picture.shape == (1754, 1240, 3)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert (picture < 128).any()
