"""The check of a data set as HTML for people and as JSON for programs; both self-contained and without identity."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.report.html import style
from vesalius.report.phrases import Phrases

if TYPE_CHECKING:
    from vesalius.core.cohort import Cohort
    from vesalius.evaluate.duplicates import Pair
    from vesalius.train.check import CheckReport, Finding

SCHEMA = "vesalius.check/1"
SHORTCUTS = "shortcut-check.json"
MOST_NAMES, MOST_PAIRS, MOST_CASES, MOST_LINES = 8, 12, 6, 40
MARKS = {"error": "poor", "warning": "caution", "note": "good"}


@dataclass(frozen=True)
class Shot:
    """A small picture with its caption."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Told:
    """One finding in one language."""

    mark: str
    word: str
    text: str
    cases: str
    pictures: tuple[Shot, ...]


@dataclass(frozen=True)
class Grid:
    """A table with its heading; `aligned` names the columns that hold numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: str = ""
    aligned: tuple[int, ...] = ()


@dataclass(frozen=True)
class Couple:
    """Two images that show the same."""

    pictures: tuple[Shot, ...]
    text: str


def check_files(
    report: CheckReport, *, source: str, languages: tuple[str, ...] = ("en",)
) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of every file of a check; `check.json` comes last.

    Args:
        source: what the data set is called: the path as the user gave it.
    """
    for language in languages:
        yield f"check.{language}.html", check_html(report, source=source, language=language)
    yield SHORTCUTS, shortcut_json(report)
    yield "check.json", check_json(report, source=source)


def check_json(report: CheckReport, *, source: str) -> bytes:
    """Return everything that was found as JSON; sentences in English, cases by name."""
    content = {"schema": SCHEMA, "source": source, **check_data(report)}
    return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=False, allow_nan=False) + "\n").encode(
        "utf-8", "replace"
    )


def shortcut_json(report: CheckReport) -> bytes:
    """Return the shortcut tests as the evidence file that the gate before a release reads.

    `files` is empty until `vesalius package` binds it to the weights of a model trained on these cases; `cases` tells
    by the hashes of file names which they were.
    """
    tests = [
        {"name": f"{one.mechanism}: {one.column}", "passed": not one.found, "corrected_p": one.corrected,
         "accuracy": round(one.accuracy, 4), "chance": round(one.chance, 4)}
        for one in report.tests
    ]  # fmt: skip
    about = {"schema": 1, "tests": tests, "files": {}, "count": len(report.cohort), "cases": case_marks(report.cohort)}
    return (json.dumps(about, indent=1, allow_nan=False) + "\n").encode()


def case_marks(cohort: Cohort) -> list[str]:
    """Return the first 8 hexadecimal digits of the SHA-256 of each file name, sorted."""
    names = {PurePath(one).name for one in cohort.text("path").tolist() if one}
    return sorted(hashlib.sha256(one.encode("utf-8", "surrogateescape")).hexdigest()[:8] for one in names)


def check_data(report: CheckReport) -> dict[str, Any]:
    """Return a check as plain data."""
    cohort, phrases = report.cohort, Phrases("en")

    def names(cases: tuple[int, ...]) -> list[str]:
        return [cohort.case_name(row) for row in cases]

    return {
        "version": _version(),
        "layout": cohort.layout,
        "cases": len(cohort),
        "errors": len(report.of("error")),
        "warnings": len(report.of("warning")),
        "findings": [
            {"level": f.level, "kind": f.kind, "text": phrases.say(f.message), "mechanism": f.mechanism,
             "column": f.column, "rule": f.rule, "p_value": f.p_value, "count": len(f.cases), "cases": names(f.cases)}
            for f in report.findings
        ],
        "tests": [
            {"mechanism": t.mechanism, "column": t.column, "rule": str(t.rules[0]), "accuracy": round(t.accuracy, 4),
             "chance": round(t.chance, 4), "p_value": t.p_value, "corrected": t.corrected, "found": t.found}
            for t in report.tests
        ],
        "duplicates": [
            {"first": cohort.case_name(p.first), "second": cohort.case_name(p.second), "exact": p.exact,
             "likeness": round(p.likeness, 4), "turned": p.turned}
            for p in report.pairs
        ],
        "unreadable": [{"case": cohort.case_name(row), "why": why} for row, why in sorted(report.unreadable.items())],
        "balance": [{"split": part, "label": label, "cases": cases, "patients": patients}
                    for (part, label), (cases, patients) in report.counts.items()],
        "geometry": {name: dict(values) for name, values in report.mixed.items()},
        "basis": _basis(report),
        "permutations": {"draws": report.options.draws, "seed": report.options.seed},
    }  # fmt: skip


def check_html(report: CheckReport, *, source: str, language: str = "en") -> bytes:
    """Return a check as one HTML file that needs no network."""
    phrases = Phrases(language)
    errors, warnings = len(report.of("error")), len(report.of("warning"))
    mark = "error" if errors else "warning" if warnings else "clean"
    page = {
        "language": language,
        "title": phrases.text("train.check.title"),
        "source": source,
        "kind": {"error": "refused", "warning": "abstained", "clean": "completed"}[mark],
        "heading": phrases.text(f"train.check.level.{mark}"),
        "summary": phrases.text("train.check.summary", errors=errors, warnings=warnings, cases=len(report.cohort)),
        "layout": f"{phrases.text('train.report.layout')}: {report.cohort.layout}",
        "findings": [_told(report, finding, phrases) for finding in report.findings],
        "grids": [grid for grid in _grids(report, phrases) if grid.rows],
        "pairs_title": phrases.text("train.report.pairs"),
        "couples": [_couple(report, pair, phrases) for pair in report.pairs[:MOST_PAIRS]],
        "pairs_more": phrases.text("train.report.pairs_more", shown=min(MOST_PAIRS, len(report.pairs)),
                                   count=len(report.pairs)) if len(report.pairs) > MOST_PAIRS else "",
        "theme": phrases.text("train.report.theme"),
        "footer": phrases.text("train.report.footer", version=_version()),
    }  # fmt: skip
    text: str = _template().render(page=page, css=style())
    return "\n".join(line for line in text.splitlines() if line.strip()).encode("utf-8", "replace")


@lru_cache(maxsize=1)
def _template() -> Any:
    import jinja2

    from vesalius.report.html import data_uri

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vesalius.report", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["data_uri"] = data_uri
    return environment.get_template("dataset.html.j2")


def _version() -> str:
    try:
        return metadata.version("vesalius")
    except metadata.PackageNotFoundError:
        return ""


def _told(report: CheckReport, finding: Finding, phrases: Phrases) -> Told:
    word = phrases.text(f"train.check.level.{finding.level}")
    shown = _spread([row for row in finding.cases if row in report.previews]) if finding.pictured else ()
    pictures = tuple(_shot(report, row) for row in shown)
    return Told(
        MARKS[finding.level], word, phrases.say(finding.message), _names(report, finding.cases, phrases), pictures
    )


def _spread(rows: list[int]) -> list[int]:
    if len(rows) <= MOST_CASES:
        return rows
    return [rows[round(k)] for k in np.linspace(0, len(rows) - 1, MOST_CASES)]


def _names(report: CheckReport, cases: tuple[int, ...], phrases: Phrases) -> str:
    if not cases or len(cases) == len(report.cohort):
        return ""
    names = phrases.joined([report.cohort.case_name(row) for row in cases[:MOST_NAMES]])
    if len(cases) > MOST_NAMES:
        names = phrases.text("train.report.and_more", names=names, count=len(cases) - MOST_NAMES)
    return phrases.text("train.report.cases_of", names=names)


def _shot(report: CheckReport, row: int) -> Shot:
    label = str(report.cohort.text("label")[row])
    name = report.cohort.case_name(row)
    return Shot(_png(report.previews[row]), f"{name} · {label}" if label else name)


def _couple(report: CheckReport, pair: Pair, phrases: Phrases) -> Couple:
    if pair.exact:
        how = phrases.text("train.report.exact")
    elif pair.turned:
        turned = phrases.text("train.turned." + pair.turned.replace(" ", "_"))
        how = phrases.text("train.report.turned", how=turned, likeness=pair.likeness)
    else:
        how = phrases.text("train.report.near", likeness=pair.likeness)
    shots = tuple(_shot(report, row) for row in (pair.first, pair.second) if row in report.previews)
    return Couple(shots, phrases.joined([how, *_between(report, pair, phrases)]))


def _between(report: CheckReport, pair: Pair, phrases: Phrases) -> list[str]:
    held = {f.kind for f in report.findings for k in f.pairs if report.pairs[k] == pair}
    return [phrases.text(f"train.across.{kind}") for kind in sorted(held)]


def _grids(report: CheckReport, phrases: Phrases) -> list[Grid]:
    def words(*ids: str) -> tuple[str, ...]:
        return tuple(phrases.text(f"train.report.{one}") for one in ids)

    tests = tuple(
        (phrases.text(f"train.mechanism.{t.mechanism}"), t.column, str(t.rules[0]), f"{t.accuracy:.2f}",
         f"{t.corrected:.2g}" if t.corrected < 1 else "1")
        for t in report.tests
    )  # fmt: skip
    unknown = phrases.text("train.report.unknown")
    balance = tuple((part or "-", label or unknown, str(cases), str(patients) if patients else unknown)
                    for (part, label), (cases, patients) in report.counts.items())  # fmt: skip
    geometry = tuple((phrases.text(f"train.report.{name}"), value, str(count))
                     for name, values in report.mixed.items() for value, count in list(values.items())[:8])  # fmt: skip
    basis = tuple((name or unknown, str(count)) for name, count in _basis(report).items())
    lost = tuple((report.cohort.case_name(row), why) for row, why in sorted(report.unreadable.items())[:MOST_LINES])
    return [
        Grid(words("unreadable")[0], words("file", "why"), lost),
        Grid(words("tests")[0], words("mechanism", "column", "rule", "accuracy", "corrected"), tests,
             words("tests_about")[0], (3, 4)),
        Grid(words("balance")[0], words("part", "label", "cases", "patients"), balance[:MOST_LINES], "", (2, 3)),
        Grid(words("geometry")[0], words("property", "value", "cases"), geometry, "", (2,)),
        Grid(words("basis")[0], words("value", "cases"), basis, "", (1,)),
    ]  # fmt: skip


def _basis(report: CheckReport) -> dict[str, int]:
    values, counts = np.unique(report.cohort.text("basis"), return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
