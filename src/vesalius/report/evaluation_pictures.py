"""The pictures of an evaluation, in one language."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import VesaliusError
from vesalius.core.volume import Volume
from vesalius.evaluate.evaluation import Evaluation, Part
from vesalius.evaluate.fairness import Subgroups
from vesalius.evaluate.predictions import Figure
from vesalius.report import evaluation_charts as charts
from vesalius.report.evaluation_words import candidate, interval, where
from vesalius.report.figures import Pen, Picture

SIDE = 220
MOST_WORST = 12
MOST_TWIGS = 40


def curves(found: Evaluation, parts: list[Part], pen: Pen) -> Picture | None:
    """Return ROC and precision-recall curves of every candidate, or of every label where there are several."""
    words, first = pen.phrases, parts[0]
    if first.curves is None:
        return None
    if len(found.labels) == 2:
        named = {f"{candidate(p, words)} {_area(p, '')}": p.curves for p in parts if p.curves is not None}
        roc = {name: next(iter(one.roc.values())) for name, one in named.items()}
        recall = {name: next(iter(one.recall.values())) for name, one in named.items()}
        prevalence = float((first.predictions.numbers() == found.labels.index(found.positive)).mean())
    else:
        roc = {f"{name} {_area(first, name)}": band for name, band in first.curves.roc.items()}
        recall, prevalence = dict(first.curves.recall), None
    caption = words.text("evaluation.picture.curves", data=where(first, words), level=found.options.level)
    models = words.joined([candidate(p, words) for p in parts])
    alt = words.text("evaluation.picture.curves_alt", models=models, values=words.joined(list(roc)))
    name = f"curves_{first.data.replace('-', '_')}"
    return charts.picture(name, 68, charts.curves(roc, recall, prevalence), pen, (caption, alt))


def _area(part: Part, of: str) -> str:
    figure = part.figure("auc", of)
    return f"AUC {figure.value:.2f}" if figure is not None and math.isfinite(figure.value) else ""


def of_part(found: Evaluation, part: Part, pen: Pen) -> list[Picture]:
    """Return reliability and decision, confusion, agreement, subgroups, errors of one candidate on its data."""
    words = pen.phrases
    told = {"model": candidate(part, words), "data": where(part, words)}
    stem = f"{part.candidate}_{part.data}".replace("-", "_")
    made: list[Picture] = []
    if part.curves is not None:
        ece = part.figure("ece")
        kind = "trust" if part.curves.decision is not None else "reliability"
        shown = interval(ece, words) if ece is not None else ""
        alt = words.text("evaluation.picture.trust_alt", model=told["model"], ece=shown)
        draw = charts.belief(part.curves.reliability, part.curves.decision)
        text = (words.text(f"evaluation.picture.{kind}", **told), alt)
        made.append(charts.picture(f"belief_{stem}", 86, draw, pen, text))
        caption = words.text("evaluation.picture.confusion", **told)
        height = min(16.0 * len(found.labels), 92.0) + 17
        rows = words.joined([f"{a}: {list(map(int, row))}" for a, row in
                             zip(found.labels, part.curves.confusion, strict=True)])  # fmt: skip
        draw = charts.confusion(part.curves.confusion, found.labels)
        made.append(charts.picture(f"confusion_{stem}", height, draw, pen, (caption, f"{caption} {rows}")))
    if part.predictions.kind == "regression":
        made.append(_agreement(part, pen, stem, told))
    forest = _forest(found, part, pen, stem)
    return made + ([forest] if forest is not None else [])


def _agreement(part: Part, pen: Pen, stem: str, told: dict[str, str]) -> Picture:
    caption = pen.phrases.text("evaluation.picture.agreement", **told)
    limits = [f for name in ("bias", "limit_low", "limit_high") if (f := part.figure(name)) is not None]
    draw = charts.agreement(part.predictions.truth, part.predictions.scores, limits)
    listed = pen.phrases.joined([interval(f, pen.phrases) for f in limits])
    return charts.picture(f"agreement_{stem}", 80, draw, pen, (caption, f"{caption} {listed}"))


def _forest(found: Evaluation, part: Part, pen: Pen, stem: str) -> Picture | None:
    words, twigs = pen.phrases, []
    for table in part.subgroups:
        twigs += _twigs(table, pen)
    if not twigs:
        return None
    first = next(one.figures[0] for table in part.subgroups for one in table.levels if one.figures)
    title = words.text(f"evaluation.figure.{first.name}")
    caption = words.text("evaluation.picture.forest", figure=title, level=found.options.level,
                         model=candidate(part, words), data=where(part, words))  # fmt: skip
    alt = f"{caption} " + words.joined([f"{t.text}: {t.told}" for t in twigs if t.figure is not None])
    draw = charts.forest(twigs[:MOST_TWIGS], part.figure(first.name), title)
    return charts.picture(f"subgroups_{stem}", 5.6 * len(twigs[:MOST_TWIGS]) + 16, draw, pen, (caption, alt))


def _twigs(table: Subgroups, pen: Pen) -> list[charts.Twig]:
    words = pen.phrases
    made = [charts.Twig(table.column)]
    for one in table.levels:
        if one.figures:
            mark = f" ({words.text('evaluation.small')})" if one.small else ""
            told = f"{interval(one.figures[0], words)}  n = {one.patients}"
            made.append(charts.Twig(f"{one.name}{mark}"[:34], one.figures[0], one.small, told))
    return made


def shift(found: Evaluation, pen: Pen) -> Picture | None:
    """Return the shift curves."""
    if not found.shift:
        return None
    words, table = pen.phrases, dict[str, list[tuple[float, Figure]]]()
    for one in found.shift:
        table.setdefault(one.kind, []).append((one.strength, one.figure))
    first = found.shift[0]
    better = -1 if first.figure.name in ("mae", "brier") else 1
    plain = first.figure.value + better * first.drop.value
    title = words.text(f"evaluation.figure.{first.figure.name}")
    model = words.optional(f"evaluation.candidate.{found.shifted}", found.shifted)
    caption = words.text("evaluation.picture.shift", figure=title, level=found.options.level, model=model)
    listed = [f"{words.text('evaluation.shift.' + one.kind)} {one.strength:g}: {interval(one.figure, words)}"
              for one in found.shift]  # fmt: skip
    draw = charts.shifts(table, plain, title)
    return charts.picture("shift", 62, draw, pen, (caption, f"{caption} {words.joined(listed)}"))


def worst(found: Evaluation, part: Part, pen: Pen) -> Picture | None:
    """Return the surest errors as pictures, None where the cases have none."""
    from vesalius.io.cohort import load_case

    cohort, words, p = found.cohorts[part.data], pen.phrases, part.predictions
    shots, names = [], []
    for place in part.worst[:MOST_WORST] if cohort.has("path") else ():
        row = int(p.rows[place])
        try:
            pixels = preview(load_case(cohort, row))
        except VesaliusError:
            continue
        shots.append((pixels, f"{_short(cohort.case_name(row))}\n{_verdict(part, place)}"))
        names.append(cohort.case_name(row))
    if not shots:
        return None
    told = {"model": candidate(part, words), "data": where(part, words)}
    caption = words.text("evaluation.picture.worst", **told)
    alt = words.text("evaluation.picture.worst_alt", count=len(shots), names=words.joined(names))
    stem = f"{part.candidate}_{part.data}".replace("-", "_")
    height = charts.montage_height(len(shots))
    return charts.plate(f"worst_{stem}", height, charts.montage(shots), pen, (caption, alt))


def _verdict(part: Part, place: int) -> str:
    p = part.predictions
    if p.categorical:
        number = int(p.predicted[place])
        true, said = p.labels[int(p.truth[place])], p.labels[number]
        return f"{_short(true, 18)}\n→ {_short(said, 13)} {p.scores[place, number]:.0%}"
    return f"{p.truth[place]:.3g}\n→ {p.scores[place]:.3g}"


def _short(name: str, most: int = 19) -> str:
    return name if len(name) <= most else "…" + name[-(most - 1) :]


def preview(volume: Volume) -> NDArray[np.uint8]:
    """Return the middle slice as 8-bit values, no side longer than SIDE pixels."""
    plane = np.nan_to_num(volume.array[volume.shape[0] // 2].astype(np.float64))
    plane = plane if plane.ndim == 2 or plane.shape[-1] == 3 else plane[..., 0]
    step = max(1, -(-max(plane.shape[:2]) // SIDE))
    plane = plane[::step, ::step]
    low, high = (0.0, 255.0) if volume.array.dtype == np.uint8 else np.percentile(plane, (0.5, 99.5))
    scaled = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    found: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return found
