"""The parts of the annex of an evaluation: tables of figures, comparisons, points, subgroups, shifts, checklists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vesalius.evaluate.evaluation import Evaluation, Part
from vesalius.evaluate.predictions import Figure
from vesalius.report.evaluation_words import candidate, interval, is_point, named, point, title, where
from vesalius.report.figures import Picture
from vesalius.report.page import Section, Table
from vesalius.report.phrases import Phrases


def _headers(phrases: Phrases, *names: str) -> tuple[str, ...]:
    return tuple(phrases.text(f"evaluation.column.{name}") for name in names)


def _note(figure: Figure, phrases: Phrases) -> str:
    return phrases.text(f"evaluation.note.{figure.note}") if figure.note else ""


def contests(found: Evaluation, phrases: Phrases) -> list[Section]:
    """Return the table of comparisons."""
    if not found.contests:
        return []
    rows = []
    for one in found.contests:
        apart = Figure(one.figure, one.difference, one.low, one.high)
        delong = f"{one.delong_p:.2g}" if math.isfinite(one.delong_p) else ""
        won = named(one.winner, phrases) if one.winner else phrases.text("evaluation.none")
        pair = f"{named(one.first, phrases)} − {named(one.second, phrases)}"
        rows.append((phrases.text(f"evaluation.data.{one.data}"), pair, phrases.text(f"evaluation.figure.{one.figure}"),
                     interval(apart, phrases), f"{one.corrected:.2g}", delong, won))  # fmt: skip
    headers = _headers(phrases, "data", "models", "figure", "difference", "p", "delong", "better")
    about = phrases.text("evaluation.section.contests_about", level=found.options.level)
    heading = phrases.text("evaluation.section.contests")
    return [Section("contests", heading, (about,), tables=(Table(headers, tuple(rows), (3, 4, 5)),))]


def of_part(found: Evaluation, part: Part, phrases: Phrases, drawn: Sequence[Picture]) -> list[Section]:
    """Return figures, operating points and subgroups of one candidate on its data, with their pictures."""
    told = {"model": candidate(part, phrases), "data": where(part, phrases)}
    plain = [f for f in part.figures if not is_point(f)]
    rows = tuple((title(f, phrases), interval(f, phrases), str(f.groups), _note(f, phrases)) for f in plain)
    headers = _headers(phrases, "figure", "value", "patients", "note")
    first = tuple(one for one in drawn if not one.name.startswith("subgroups_"))
    made = []
    if rows:
        heading = phrases.text("evaluation.section.figures", **told)
        made.append(Section("figures", heading, tables=(Table(headers, rows, (1, 2)),), pictures=first))
    made += _points(part, phrases, told)
    if part.subgroups:
        forest = tuple(one for one in drawn if one.name.startswith("subgroups_"))
        heading = phrases.text("evaluation.section.subgroups", **told)
        about = phrases.text("evaluation.section.subgroups_about")
        made.append(Section("subgroups", heading, (about,), tables=(_groups(part, phrases),), pictures=forest))
    return made


def _points(part: Part, phrases: Phrases, told: dict[str, str]) -> list[Section]:
    rows = []
    for one in part.points:
        shown = [f for name in ("sensitivity", "specificity", "ppv", "npv") if (f := part.figure(name, one.name))]
        low, high = float(one.thresholds.min()), float(one.thresholds.max())
        limit = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} – {high:.2f}"
        rows.append((point(one.name, phrases), limit, phrases.text(f"evaluation.chosen.{one.chosen_on}"),
                     *(interval(f, phrases) for f in shown)))  # fmt: skip
    if not rows:
        return []
    headers = _headers(phrases, "point", "threshold", "chosen", "sensitivity", "specificity", "ppv", "npv")
    heading = phrases.text("evaluation.section.points", **told)
    return [Section("points", heading, tables=(Table(headers, tuple(rows), (1, 3, 4, 5, 6)),))]


def _groups(part: Part, phrases: Phrases) -> Table:
    rows = []
    for table in part.subgroups:
        for one in table.levels:
            apart = interval(one.apart, phrases) if one.apart is not None else ""
            note = phrases.text("evaluation.small") if one.small else ""
            first = interval(one.figures[0], phrases) if one.figures else ""
            ill = "" if part.predictions.kind == "regression" else str(one.positives)
            rows.append((table.column, one.name, str(one.patients), ill, first, apart, note))
        if table.gap is not None:
            rows.append((table.column, phrases.text("evaluation.gap"), "", "", interval(table.gap, phrases), "", ""))
    name = part.subgroups[0].levels[0].figures[0].name if part.subgroups[0].levels else "auc"
    headers = (*_headers(phrases, "data", "group", "patients", "positives"),
               phrases.text(f"evaluation.figure.{name}"), *_headers(phrases, "difference", "note"))  # fmt: skip
    return Table(headers, tuple(rows), (2, 3, 4, 5))


def shift(found: Evaluation, phrases: Phrases, drawn: Picture | None) -> list[Section]:
    """Return what simulated images from elsewhere do."""
    if drawn is None:
        return []
    rows = tuple(
        (phrases.text(f"evaluation.shift.{one.kind}"), f"{one.strength:g}", interval(one.figure, phrases),
         interval(Figure(one.figure.name, one.drop.value, one.drop.low, one.drop.high), phrases),
         f"{one.changed:.0%}" if math.isfinite(one.changed) else "", str(one.refused))
        for one in found.shift
    )  # fmt: skip
    figure = phrases.text(f"evaluation.figure.{found.shift[0].figure.name}")
    first, last = _headers(phrases, "shift", "strength"), _headers(phrases, "drop", "changed", "refused")
    heading = phrases.text("evaluation.section.shift", model=named(found.shifted, phrases))
    about = phrases.text("evaluation.section.shift_about")
    table = Table((*first, figure, *last), rows, (1, 2, 3, 4, 5))
    return [Section("shift", heading, (about,), tables=(table,), pictures=(drawn,))]


def checklists(content: dict[str, Any], phrases: Phrases) -> list[Section]:
    """Return the drafts of CLAIM 2024 and TRIPOD+AI."""
    made = []
    for name, items in content["checklists"].items():
        rows = []
        for one in items:
            told = [f"{value} ({pointer})" for pointer, value in one["pointers"].items()]
            answer = "; ".join(told) or phrases.text("evaluation.open")
            rows.append((one["item"], phrases.text(f"evaluation.{name}.{one['item']}"), answer))
        filled = sum(one["state"] == "filled" for one in items)
        about = phrases.text("evaluation.section.checklist_about", filled=filled, all=len(items))
        headers = _headers(phrases, "item", "text", "answer")
        heading = phrases.text(f"evaluation.section.{name}")
        made.append(Section(name, heading, (about,), tables=(Table(headers, tuple(rows)),)))
    return made
