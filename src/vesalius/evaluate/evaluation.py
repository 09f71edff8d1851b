"""Everything that an evaluation found, for reports and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vesalius.core.cohort import Cohort
from vesalius.core.errors import LabelError, UsageError
from vesalius.core.finding import Message
from vesalius.evaluate import classification, comparison, decision, fairness, regression, timetoevent
from vesalius.evaluate.classification import Curves
from vesalius.evaluate.comparison import PERMUTATIONS, Contest
from vesalius.evaluate.decision import WISHES, Point, Wish
from vesalius.evaluate.fairness import Subgroups
from vesalius.evaluate.predictions import Figure, Predictions, positive_label
from vesalius.evaluate.resampling import DRAWS, Resamples, resamples
from vesalius.evaluate.shift import Shifted


@dataclass(frozen=True)
class Options:
    """How predictions are judged.

    Args:
        draws: resamples of patients; `level` of the intervals.
        subgroups: columns to divide by beside sex, age, site and scanner.
        positive: label that counts as positive; found by its name by default.
        wishes: operating points.
    """

    draws: int = DRAWS
    permutations: int = PERMUTATIONS
    level: float = 0.95
    seed: int = 0
    subgroups: tuple[str, ...] = ()
    positive: str = ""
    wishes: tuple[Wish, ...] = WISHES

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: too few draws.
        """
        if self.draws < 200 or self.permutations < 100:
            raise UsageError("too few draws for an interval", found=f"{self.draws} and {self.permutations}",
                             expected="200 resamples and 100 permutations or more")  # fmt: skip

    def positive_of(self, labels: tuple[str, ...]) -> int:
        """Return the number of the positive label.

        Raises:
            UsageError: no such label.
        """
        if self.positive and self.positive not in labels:
            raise UsageError("no such label", found=self.positive, expected=", ".join(labels))
        return labels.index(self.positive) if self.positive else positive_label(labels) if labels else 0


@dataclass(frozen=True, eq=False)
class Part:
    """One model on one set of cases.

    Args:
        candidate: "network", "classical", "baseline", or the name of a package.
        data: "cross-validation", "test" (held out by the split) or "external".
        points: operating points; their figures are in `figures` under the name of the point.
        worst: places in `predictions` of the surest errors.
    """

    candidate: str
    data: str
    predictions: Predictions
    figures: tuple[Figure, ...] = ()
    points: tuple[Point, ...] = ()
    curves: Curves | None = None
    subgroups: tuple[Subgroups, ...] = ()
    worst: tuple[int, ...] = ()

    def figure(self, name: str, of: str = "") -> Figure | None:
        """Return a figure, None when it was not made."""
        return next((one for one in self.figures if (one.name, one.of) == (name, of)), None)


@dataclass(frozen=True)
class Control:
    """The same training on labels exchanged between patients: nothing can be learned, so anything found is a leak."""

    figure: Figure
    runs: int
    leak: bool


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Args:
        name: of the task or the package.
        source: what was evaluated, as the user gave it.
        kind, labels: of the task; `positive` is the label that counts as positive, "" unless there are two.
        draft: whether figures of this model must carry the watermark.
        warnings: what a reader must know before anything else, the gravest first.
        control: the run itself was made on random labels.
        shift: of one candidate, on cases that it was not trained on.
        documents: "run", "task", "card" -> content, for the checklists.
        cohorts: data -> the cases, for names, groups and pictures.
    """

    name: str
    source: str
    kind: str
    labels: tuple[str, ...]
    positive: str
    parts: tuple[Part, ...]
    contests: tuple[Contest, ...] = ()
    shift: tuple[Shifted, ...] = ()
    shifted: str = ""
    control: Control | None = None
    is_control: bool = False
    draft: bool = True
    warnings: tuple[Message, ...] = ()
    options: Options = Options()
    documents: Mapping[str, Any] = field(default_factory=dict)
    cohorts: Mapping[str, Cohort] = field(default_factory=dict)

    @property
    def primary(self) -> tuple[str, ...]:
        """Return the figures that decide."""
        return comparison.PRIMARY.get(self.kind, ())


def part(
    candidate: str, data: str, predictions: Predictions, cohort: Cohort, options: Options, *,
    chosen_on: Predictions | None = None, fixed: Mapping[str, float] | None = None,
) -> Part:  # fmt: skip
    """Return one model judged on one set of cases.

    Args:
        cohort: the cases; `predictions.rows` are its rows.
        chosen_on: predictions of the same model on other cases, for operating points.
        fixed: operating points of the card, name -> threshold.

    Raises:
        LabelError: one class only, no event, or every value the same.
        UnknownNameError: a column for subgroups that is not there.
    """
    wanted = fairness.columns(cohort, options.subgroups)
    drawn = draws_of(predictions, options)
    if predictions.kind == "clustering":
        return Part(candidate, data, predictions)
    positive = options.positive_of(predictions.labels)
    found, points, curves, worst = _figures(predictions, drawn, options, (chosen_on, fixed))
    groups = [(name, fairness.levels_of(cohort, name)[predictions.rows]) for name in wanted]
    tables = tuple(fairness.judged(predictions, own, name, drawn, positive) for name, own in groups)
    return Part(candidate, data, predictions, found, points, curves, tables, worst)


def draws_of(predictions: Predictions, options: Options) -> Resamples | None:
    """Return resamples of the patients, None with fewer than three."""
    if predictions.patients < 3:
        return None
    return resamples(predictions.groups, draws=options.draws, level=options.level, seed=options.seed)


def _figures(
    predictions: Predictions, drawn: Resamples | None, options: Options,
    given: tuple[Predictions | None, Mapping[str, float] | None],
) -> tuple[tuple[Figure, ...], tuple[Point, ...], Curves | None, tuple[int, ...]]:  # fmt: skip
    if predictions.kind == "regression":
        return regression.figures(predictions, drawn), (), None, _places(regression.wrongest(predictions))
    if predictions.kind == "survival":
        return timetoevent.figures(predictions, drawn), (), None, _places(timetoevent.wrongest(predictions))
    positive = options.positive_of(predictions.labels)
    points: tuple[Point, ...] = ()
    if len(np.unique(predictions.numbers())) > 1 and len(predictions.labels) == 2:
        points = decision.points(predictions, positive, options.wishes, chosen_on=given[0], fixed=given[1])
    found = classification.figures(predictions, drawn, positive, points)
    curves = classification.curves(predictions, drawn, positive)
    return found, points, curves, _places(classification.wrongest(predictions))


def _places(found: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[int, ...]:
    return tuple(int(one) for one in found)


def contests(parts: tuple[Part, ...], options: Options) -> tuple[Contest, ...]:
    """Return every two candidates on the same data compared, corrected by Holm over all comparisons."""
    found: list[Contest] = []
    for number, one in enumerate(parts):
        for two in parts[number + 1 :]:
            pair = _aligned(one, two)
            if pair is None:
                continue
            first, second = pair
            drawn = draws_of(first, options)
            if drawn is not None:
                draws = min(options.permutations, 300) if first.kind == "survival" else options.permutations
                positive = options.positive_of(first.labels)
                pair_of = (one.candidate, first), (two.candidate, second)
                made = comparison.compare(*pair_of, drawn, positive, permutations=draws, seed=options.seed)
                found += [replace(contest, data=one.data) for contest in made]
    return comparison.corrected(found) if found else ()


def _aligned(one: Part, two: Part) -> tuple[Predictions, Predictions] | None:
    """Return the predictions of two candidates on the cases that both predicted, in one order."""
    if one.data != two.data or one.candidate == two.candidate or one.predictions.kind == "clustering":
        return None
    keys = [list(zip(p.predictions.repeats.tolist(), p.predictions.rows.tolist(), strict=True)) for p in (one, two)]
    common = sorted(set(keys[0]) & set(keys[1]))
    if not common:
        raise LabelError("two candidates predicted different cases", found=f"{one.candidate} and {two.candidate}")
    places = [{key: place for place, key in enumerate(own)} for own in keys]
    chosen = [np.array([place[key] for key in common], dtype=np.int64) for place in places]
    first, second = one.predictions.take(chosen[0]), two.predictions.take(chosen[1])
    return first, replace(second, groups=first.groups)
