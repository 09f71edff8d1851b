"""An evaluation as plain data: `evaluation.json` and `figures.csv`, the same in every language."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from vesalius.evaluate.checklist import answers
from vesalius.evaluate.evaluation import Evaluation, Part
from vesalius.evaluate.fairness import Subgroups
from vesalius.evaluate.predictions import Figure
from vesalius.report.phrases import Phrases

SCHEMA = "vesalius.evaluation/1"
COLUMNS = ("candidate", "data", "subgroup", "group", "figure", "of", "value", "low", "high", "level", "cases",
           "patients", "method", "note")  # fmt: skip


def data(found: Evaluation) -> dict[str, Any]:
    """Return everything that was found; numbers that are not defined are None."""
    phrases = Phrases("en")
    parts = [_part(one) for one in found.parts]
    internal = [p for p in parts if p["data"] != "external"]
    content: dict[str, Any] = {
        "schema": SCHEMA, "version": version(), "name": found.name, "source": found.source, "kind": found.kind,
        "labels": list(found.labels), "positive": found.positive, "draft": found.draft, "control_run": found.is_control,
        "warnings": [phrases.say(one) for one in found.warnings],
        "headline": {name: _numbers(figure) for name in found.primary if (figure := found.parts[0].figure(name))},
        "internal": [f"{p['candidate']}, {p['data']}" for p in internal],
        "external": [p["candidate"] for p in parts if p["data"] == "external"],
        "parts": parts,
        "contests": [{k: _plain(v) for k, v in asdict(one).items()} for one in found.contests],
        "shift": [{"kind": one.kind, "strength": one.strength, "figure": _numbers(one.figure), "drop":
                   _numbers(one.drop), "refused": one.refused, "changed": _plain(one.changed)} for one in found.shift],
        "shifted": found.shifted,
        "control": None if found.control is None else {**_numbers(found.control.figure), "runs": found.control.runs,
                                                       "leak": found.control.leak},
        "options": {"method": "BCa bootstrap by patient", "draws": found.options.draws, "level": found.options.level,
                    "permutations": found.options.permutations, "seed": found.options.seed},
    }  # fmt: skip
    told = answers({**found.documents, "evaluation": content})
    content["checklists"] = {
        name: [{"item": one.number, "text": phrases.text(f"evaluation.{name}.{one.number}"),
                "state": "filled" if one.filled else "open", "narrative": one.narrative,
                "pointers": dict(one.pointers)} for one in told if one.checklist == name]
        for name in ("claim", "tripod")
    }  # fmt: skip
    return content


def version() -> str:
    """Return the version of Vesalius, "" when it is not installed."""
    try:
        return metadata.version("vesalius")
    except metadata.PackageNotFoundError:
        return ""


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return data as JSON."""
    return (json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8", "replace")


def csv_bytes(found: Evaluation) -> bytes:
    """Return every figure, also of the subgroups, as a table."""
    stream = io.StringIO()
    out = csv.writer(stream, lineterminator="\n")
    out.writerow(COLUMNS)
    for part, subgroup, group, figure in _every(found):
        told = ["" if v is None else f"{v:.6g}" for v in map(_plain, (figure.value, figure.low, figure.high))]
        out.writerow([part.candidate, part.data, subgroup, group, figure.name, figure.of, *told,
                      found.options.level if told[1] else "", figure.cases, figure.groups, figure.method,
                      figure.note])  # fmt: skip
    return stream.getvalue().encode("utf-8", "replace")


def _every(found: Evaluation) -> Iterator[tuple[Part, str, str, Figure]]:
    for part in found.parts:
        for figure in part.figures:
            yield part, "", "", figure
        for table in part.subgroups:
            for level in table.levels:
                for figure in level.figures:
                    yield part, table.column, level.name, figure
                if level.apart is not None:
                    yield part, table.column, level.name, level.apart
            if table.gap is not None:
                yield part, table.column, "", table.gap


def _part(one: Part) -> dict[str, Any]:
    p, curves = one.predictions, one.curves
    made: dict[str, Any] = {
        "candidate": one.candidate, "data": one.data, "cases": p.cases, "patients": p.patients,
        "predictions": len(p), "folds": len(np.unique(p.folds[p.folds >= 0])), "repeats": len(np.unique(p.repeats)),
        "level": "patient" if p.patients < p.cases else "case", "outcomes": dict(p.outcomes), "balance": _balance(one),
        "figures": [{"name": f.name, "of": f.of, **_numbers(f)} for f in one.figures],
        "points": [{"name": q.name, "label": q.label, "chosen_on": q.chosen_on,
                    "threshold": float(np.median(q.thresholds)), "lowest": float(q.thresholds.min()),
                    "highest": float(q.thresholds.max())} for q in one.points],
        "subgroups": [_subgroups(table) for table in one.subgroups],
        "worst": [p.paths[k] if p.paths and p.paths[k] else f"row {int(p.rows[k]) + 1}" for k in one.worst],
    }  # fmt: skip
    if curves is not None:
        made["confusion"] = curves.confusion.tolist()
        made["roc"] = {name: _curve(band) for name, band in curves.roc.items()}
        made["precision_recall"] = {name: _curve(band) for name, band in curves.recall.items()}
        made["reliability"] = {name: {"predicted": _list(r.predicted), "observed": _list(r.observed),
                                      "cases": r.cases.tolist()} for name, r in curves.reliability.items()}  # fmt: skip
        if curves.decision is not None:
            made["decision"] = {**_curve(curves.decision.model), "everyone": _list(curves.decision.everyone)}
    return made


def _balance(one: Part) -> dict[str, int]:
    p = one.predictions
    if p.categorical:
        return {name: len(np.unique(p.rows[p.numbers() == k])) for k, name in enumerate(p.labels)}
    return {"events": len(np.unique(p.rows[p.event]))} if p.event is not None else {}


def _subgroups(table: Subgroups) -> dict[str, Any]:
    return {
        "column": table.column,
        "gap": None if table.gap is None else _numbers(table.gap),
        "groups": [{"name": one.name, "cases": one.cases, "patients": one.patients, "positives": one.positives,
                    "small": one.small, "figures": [{"name": f.name, "of": f.of, **_numbers(f)} for f in one.figures],
                    "apart": None if one.apart is None else _numbers(one.apart)} for one in table.levels],
    }  # fmt: skip


def _curve(band: Any) -> dict[str, list[float | None]]:
    return {name: _list(getattr(band, name)) for name in ("x", "y", "low", "high")}


def _list(values: Any) -> list[float | None]:
    return [_plain(round(float(v), 6)) for v in values]


def _numbers(figure: Figure) -> dict[str, Any]:
    return {"value": _plain(figure.value), "low": _plain(figure.low), "high": _plain(figure.high),
            "cases": figure.cases, "patients": figure.groups, "method": figure.method, "note": figure.note}  # fmt: skip


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
