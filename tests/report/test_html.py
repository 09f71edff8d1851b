from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from vesalius.core import Message, Result
from vesalius.report import Words, render


class Outline(HTMLParser):
    """Collects images, headings, links and unclosed elements."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "col"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(values)
        self.addresses += [str(values[name]) for name in ("src", "href") if name in values]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def pages(completed: Result, using: Words) -> dict[str, str]:
    files = render(completed, formats=("html",), using=using)
    return {name: data.decode() for name, data in files.items() if name.endswith(".html")}


def test_the_page_is_well_formed_and_needs_nothing_from_outside(pages: dict[str, str]) -> None:
    for text in pages.values():
        outline = Outline(text)
        assert outline.open == []
        assert all(address.startswith("data:image/png;base64,") for address in outline.addresses)
        assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))


def test_every_picture_has_an_alternative_text(pages: dict[str, str]) -> None:
    for text in pages.values():
        outline = Outline(text)
        assert len(outline.images) == 6
        assert all(image["alt"] for image in outline.images)


def test_page_one_keeps_its_order(pages: dict[str, str]) -> None:
    text = pages["report.en.html"]
    marks = ("For research use only.", "Preliminary, unsigned", ">Answer<", "data:image", ">Measurements<")
    marks += (">How far to trust it<", ">Annex<", ">Methods<", ">Quality of the input<", ">Evidence<", ">Parameters<")
    marks += (">Provenance<", ">Series not read<", ">Licences<", ">Glossary<")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_both_languages_say_the_lines_that_every_output_carries(pages: dict[str, str]) -> None:
    for line in ("For research use only. Not a medical device.", "must be reviewed by a qualified physician"):
        assert line in pages["report.en.html"]
    for line in ("仅供科研使用，非医疗器械", "由软件生成，须经具备资质的医师审核", "初步结果，未签署", "未使用参考值"):
        assert line in pages["report.zh.html"]
    assert "No reference values used" in pages["report.en.html"]
    assert 'lang="zh-Hans"' in pages["report.zh.html"]


def test_text_from_headers_is_escaped(completed: Result, using: Words) -> None:
    evil = "</style><script>alert(1)</script>\"'&"
    source = replace(completed.report.sources[0], description=evil)
    left = replace(completed.report.left_out[0], description=evil, reason=Message(evil))
    report = replace(completed.report, sources=(source,), left_out=(left,), study_key=evil, signed_by=evil)
    text = render(replace(completed, report=report), language="en", formats=("html",), using=using)["report.en.html"]
    assert b"<script>alert" not in text
    assert text.count(b"<script>") == text.count(b"</style>") == 1


def test_a_draft_model_is_marked(completed: Result, using: Words) -> None:
    draft = replace(completed, report=replace(completed.report, draft=True))
    text = render(draft, language="en", formats=("html",), using=using)["report.en.html"].decode()
    assert text.count("DRAFT MODEL") == 2


def test_a_refusal_stands_where_the_answer_stands(refused: Result, using: Words) -> None:
    text = render(refused, language="en", formats=("html",), using=using)["report.en.html"].decode()
    places = [text.index(m) for m in ('class="answer refused"', ">What would help<", "data:image", ">How far")]
    assert places == sorted(places)
    assert ">Measurements<" not in text
