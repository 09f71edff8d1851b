"""An evaluation for people (HTML, PDF) and for programs (JSON, CSV)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vesalius.core.errors import UsageError
from vesalius.evaluate.evaluation import Evaluation, Part
from vesalius.evaluate.predictions import Figure
from vesalius.report import evaluation_pictures as pictures
from vesalius.report import evaluation_sections as sections
from vesalius.report import fonts
from vesalius.report.evaluation_data import csv_bytes, data, json_bytes, version
from vesalius.report.evaluation_words import candidate, ends, interval, named, title, value, where
from vesalius.report.figures import Pen, Picture
from vesalius.report.html import html
from vesalius.report.page import LABELS, Answer, Line, Page, Row, Section, Trust
from vesalius.report.pdf import pdf
from vesalius.report.phrases import Phrases

FORMATS = ("html", "pdf", "csv", "json")
HEAD = {
    "classification": ("auc", "average_precision", "balanced_accuracy", "accuracy", "sensitivity",
                       "specificity", "brier", "ece"),
    "ordinal": ("kappa", "auc", "balanced_accuracy", "accuracy", "grade_error", "brier", "ece"),
    "regression": ("mae", "rmse", "r2", "bias", "limit_low", "limit_high", "concordance"),
    "survival": ("uno_c", "harrell_c", "integrated_brier", "integrated_brier_null"),
    "clustering": (),
}  # fmt: skip
"""Figures of page one, in this order."""
ENOUGH = 100


def files(
    found: Evaluation, *, languages: Sequence[str] = ("en",), formats: Sequence[str] = FORMATS
) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of every file of an evaluation; `evaluation.json` comes last.

    Raises:
        UsageError: a format that is not known.
    """
    strange = sorted(set(formats) - set(FORMATS))
    if strange:
        raise UsageError("a format that is not known", found=", ".join(strange), expected=", ".join(FORMATS))
    for language in languages if {"html", "pdf"} & set(formats) else ():
        page = build(found, language)
        if "html" in formats:
            yield f"evaluation.{language}.html", html(page)
        if "pdf" in formats:
            yield f"evaluation.{language}.pdf", pdf(page, fonts.find())
    if "csv" in formats:
        yield "figures.csv", csv_bytes(found)
    if "json" in formats:
        yield "evaluation.json", json_bytes(data(found))


def build(found: Evaluation, language: str = "en") -> Page:
    """Return the report in one language."""
    phrases, fontset = Phrases(language), fonts.find()
    drawing = "zh" if language == "zh" and fontset.chinese else "en"
    draft = phrases.text("report.draft") if found.draft else ""
    pen = Pen(Phrases(drawing), fontset.faces(drawing), Phrases(drawing).text("report.draft") if found.draft else "")
    first = _together(found, found.parts[0].data)
    shown = pictures.curves(found, first, pen)
    status = "control" if found.is_control else "draft" if found.draft else "released"
    return Page(
        language=language, title=phrases.text("evaluation.title", name=found.name), study_key=found.name,
        badge=where(first[0], phrases) if status == "draft" else phrases.text(f"evaluation.badge.{status}"),
        status="final" if status == "released" else "preliminary",
        research=phrases.text("report.research_only"), reviewed=phrases.text("evaluation.reviewed"), draft=draft,
        head=_head(found, phrases), answer=_answer(found, phrases), pictures=(shown,) if shown is not None else (),
        rows=_rows(found, phrases),
        interval_heading=phrases.text("evaluation.label.interval", level=found.options.level),
        table_notes=(phrases.text("evaluation.rows_note", model=candidate(first[0], phrases),
                                  data=where(first[0], phrases)),),
        trust=_trust(found, phrases), annex=_annex(found, phrases, pen),
        footer=phrases.text("evaluation.footer", name=found.name, version=version()),
        labels={name: phrases.text(f"evaluation.label.{name}") for name in LABELS},
    )  # fmt: skip


def _together(found: Evaluation, data: str) -> list[Part]:
    return [one for one in found.parts if one.data == data]


def _head(found: Evaluation, phrases: Phrases) -> tuple[Line, ...]:
    labels = phrases.joined(list(found.labels))
    if found.positive:
        labels = phrases.text("evaluation.head.positive", labels=labels, positive=found.positive)
    counts = []
    for one in {part.data: part for part in found.parts}.values():
        p = one.predictions
        kind = "counts" if p.patients < p.cases or _named_patients(found, one) else "counts_cases"
        counts.append(phrases.text(f"evaluation.head.{kind}", data=where(one, phrases), cases=p.cases,
                                   patients=p.patients))  # fmt: skip
    told = {
        "source": found.source, "kind": phrases.text(f"evaluation.kind.{found.kind}"), "labels": labels,
        "cases": "; ".join(counts),
        "interval": phrases.text("evaluation.head.interval_text", level=found.options.level, draws=found.options.draws),
    }  # fmt: skip
    return tuple(Line(phrases.text(f"evaluation.head.{name}"), text) for name, text in told.items() if text)


def _named_patients(found: Evaluation, part: Part) -> bool:
    return found.cohorts[part.data].groups() is not None


def _answer(found: Evaluation, phrases: Phrases) -> Answer:
    """Return warnings first, in the place and size of an answer, and the result below them."""
    result = (*(_sentence(one, phrases) for one in found.parts), *_verdicts(found, phrases))
    heading = phrases.text("evaluation.heading.result")
    if not found.warnings:
        return Answer("completed", heading, result)
    grave = found.is_control or (found.control is not None and found.control.leak)
    told = tuple(phrases.say(one) for one in found.warnings)
    kind = "refused" if grave else "abstained"
    return Answer(kind, phrases.text("evaluation.heading.warnings"), told, heading, result)


def _sentence(part: Part, phrases: Phrases) -> str:
    wanted = {"classification": ("two", {"auc": "auc", "balanced": "balanced_accuracy"}),
              "ordinal": ("ordinal", {"kappa": "kappa", "auc": "auc"}),
              "regression": ("regression", {"mae": "mae", "r2": "r2"}),
              "survival": ("survival", {"uno": "uno_c", "harrell": "harrell_c"})}  # fmt: skip
    told = {"model": candidate(part, phrases), "data": where(part, phrases)}
    told["model"] = told["model"][:1].upper() + told["model"][1:]
    if part.predictions.kind not in wanted:
        p = part.predictions
        return phrases.text("evaluation.say.clustering", count=len(np.unique(p.scores)), cases=p.cases, **told)
    key, names = wanted[part.predictions.kind]
    shown = {k: interval(f, phrases) if (f := part.figure(name)) is not None else "-" for k, name in names.items()}
    return phrases.text(f"evaluation.say.{key}", **told, **shown)


def _verdicts(found: Evaluation, phrases: Phrases) -> list[str]:
    """Return who won, in the figures that decide, and what the control says."""
    made = []
    first = found.parts[0].data
    for one in found.contests:
        # of further data one figure will do on page one; the table in the annex has them all
        if one.figure not in (found.primary if one.data == first else found.primary[:1]):
            continue
        names = {"first": named(one.first, phrases), "second": named(one.second, phrases)}
        data = phrases.text(f"evaluation.data.{one.data}")
        told = {"data": data[:1].upper() + data[1:], "figure": phrases.text(f"evaluation.figure.{one.figure}")}
        flip = -1 if one.winner and (one.difference < 0) else 1
        low, high = sorted((flip * one.low, flip * one.high))
        told["difference"] = interval(Figure(one.figure, flip * one.difference, low, high), phrases)
        if one.winner:
            loser = one.second if one.winner == one.first else one.first
            made.append(phrases.text("evaluation.say.won", winner=named(one.winner, phrases),
                                     loser=named(loser, phrases), **told))  # fmt: skip
        else:
            made.append(phrases.text("evaluation.say.even", **names, **told))
    if found.control is not None and not found.control.leak:
        made.append(phrases.text("evaluation.say.control_good", value=interval(found.control.figure, phrases)))
    return made


def _rows(found: Evaluation, phrases: Phrases) -> tuple[Row, ...]:
    """Return the figures of page one, of the first candidate on its first data."""
    part = found.parts[0]
    made = []
    for name in HEAD[found.kind]:
        own = [f for f in part.figures if f.name == name and f.of in ("", "youden")]
        made += [row(figure, phrases) for figure in own]
    return tuple(made[:12])


def row(figure: Figure, phrases: Phrases) -> Row:
    """Return a figure as a row of a table of measurements."""
    shown, (low, high) = value(figure), ends(figure)
    if not shown:
        return Row(
            title(figure, phrases), phrases.text("evaluation.note.undefined"), "", "", "", "", "", "", "", "", ""
        )
    mark = "caution" if figure.note else "good"
    word = phrases.text(f"evaluation.brief.{figure.note or 'good'}")
    return Row(title(figure, phrases), shown, "", "", low, "", high, "", mark, word, "")


def _trust(found: Evaluation, phrases: Phrases) -> tuple[Trust, ...]:
    lines = [_patients(found, phrases), _calibration(found, phrases), _groups(found, phrases), _control(found, phrases)]
    blind = Trust(phrases.text("evaluation.trust.blind"), "", "", (phrases.text("evaluation.trust.blind_text"),))
    return (*(one for one in lines if one is not None), blind)


def _line(name: str, mark: str, text: str, phrases: Phrases) -> Trust:
    word = phrases.text(f"evaluation.mark.{mark}") if mark else ""
    return Trust(phrases.text(f"evaluation.trust.{name}"), mark, word, (text,))


def _patients(found: Evaluation, phrases: Phrases) -> Trust:
    p = found.parts[0].predictions
    mark = "good" if p.patients >= ENOUGH else "caution" if p.patients >= ENOUGH // 2 else "poor"
    if not p.categorical:
        return _line("patients", mark, phrases.text("evaluation.trust.patients_all", count=p.patients), phrases)
    least = min(len(np.unique(p.groups[p.numbers() == k])) for k in np.unique(p.numbers()))
    mark = mark if least >= 20 else "caution" if least >= 10 else "poor"
    text = phrases.text("evaluation.trust.patients_text", count=p.patients, least=least)
    return _line("patients", mark, text, phrases)


def _calibration(found: Evaluation, phrases: Phrases) -> Trust | None:
    part = found.parts[0]
    error, slope = part.figure("ece"), part.figure("slope")
    if error is None or not math.isfinite(error.value):
        return None
    mark = "good" if error.value <= 0.05 else "caution" if error.value <= 0.1 else "poor"
    shown = {"ece": interval(error, phrases)}
    if slope is None:
        return _line("calibration", mark, phrases.text("evaluation.trust.calibration_ece", **shown), phrases)
    text = phrases.text("evaluation.trust.calibration_text", slope=interval(slope, phrases), **shown)
    return _line("calibration", mark, text, phrases)


def _groups(found: Evaluation, phrases: Phrases) -> Trust:
    gaps = [(t.gap, t) for t in found.parts[0].subgroups if t.gap is not None and math.isfinite(t.gap.value)]
    if not gaps:
        return _line("groups", "caution", phrases.text("evaluation.trust.groups_none"), phrases)
    gap, table = max(gaps, key=lambda one: one[0].value)
    apart = [level.apart for level in table.levels if level.apart is not None]
    sure = any(math.isfinite(one.low) and (one.low > 0 or one.high < 0) for one in apart)
    name = phrases.text(f"evaluation.figure.{table.levels[0].figures[0].name}")
    text = phrases.text("evaluation.trust.groups_text", figure=name, gap=interval(gap, phrases), column=table.column)
    return _line("groups", "caution" if sure else "good", text, phrases)


def _control(found: Evaluation, phrases: Phrases) -> Trust:
    if found.control is None:
        return _line("control", "", phrases.text("evaluation.trust.control_none"), phrases)
    mark = "poor" if found.control.leak else "good"
    return _line("control", mark, interval(found.control.figure, phrases), phrases)


def _annex(found: Evaluation, phrases: Phrases, pen: Pen) -> tuple[Section, ...]:
    made: list[Section] = []
    datas = list(dict.fromkeys(one.data for one in found.parts))
    others = [p for name in datas[1:] if (p := pictures.curves(found, _together(found, name), pen)) is not None]
    if others:
        made.append(Section("curves", phrases.text("evaluation.section.curves"), pictures=tuple(others)))
    made += sections.contests(found, phrases)
    for part in found.parts:
        main = part.candidate == found.parts[0].candidate
        drawn: list[Picture] = pictures.of_part(found, part, pen) if main else []
        made += sections.of_part(found, part, phrases, drawn)
        worst = pictures.worst(found, part, pen) if main else None
        if worst is not None:
            heading = phrases.text(
                "evaluation.section.worst", model=candidate(part, phrases), data=where(part, phrases)
            )
            made.append(Section("worst", heading, pictures=(worst,)))
    made += sections.shift(found, phrases, pictures.shift(found, pen))
    made += sections.checklists(data(found), phrases)
    return tuple(made)
