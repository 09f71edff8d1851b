"""How well a model does in parts of the people: sex, age, site, scanner, or any column."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import LabelError, VesaliusError
from vesalius.core.registry import unknown
from vesalius.evaluate import classification, timetoevent
from vesalius.evaluate.figures import Spec, made, scarce, spec
from vesalius.evaluate.predictions import Figure, Predictions
from vesalius.evaluate.resampling import F64, Resamples, Weighted, estimates, whole
from vesalius.evaluate.weighted import mean

SEX = re.compile(r"sex|gender|m/?f", re.IGNORECASE)
AGE = re.compile(r"age|age_?(years|at.*)|patient_?age", re.IGNORECASE)
SCANNER = re.compile(r".*(scanner|manufactur|vendor|device|machine|field_?strength|tesla).*", re.IGNORECASE)
BANDS = (18.0, 40.0, 60.0, 80.0)
"""Ages in years at which a new band begins."""

SMALL_PATIENTS, SMALL_LABEL = 20, 5
"""A group is small below so many patients, or below so many of a label (or of the event)."""

MOST_LEVELS = 12


@dataclass(frozen=True)
class Level:
    """One group of people.

    Args:
        figures: as `judged` names them, each with its interval.
        apart: the first figure here minus that of everyone else, with its interval.
        small: too few to judge; it takes no part in the gap.
    """

    name: str
    cases: int
    patients: int
    positives: int
    figures: tuple[Figure, ...]
    apart: Figure | None
    small: bool


@dataclass(frozen=True)
class Subgroups:
    """The groups of one column.

    Args:
        gap: largest minus smallest value of the first figure over groups that are not small; None with fewer than two.
    """

    column: str
    levels: tuple[Level, ...]
    gap: Figure | None


def columns(cohort: Cohort, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns by which a cohort is divided: those asked for, then sex, age, site and scanner.

    Raises:
        UnknownNameError: a column that was asked for is not there.
    """
    for name in wanted:
        if name not in cohort.names:
            raise unknown("column", name, cohort.names)
    usual = [name for name in cohort.clinical if SEX.fullmatch(name) or AGE.fullmatch(name) or SCANNER.fullmatch(name)]
    usual += ["site"] if cohort.has("site") else []
    several = [name for name in usual if len(set(cohort.text(name).tolist()) - {""}) > 1]
    return tuple(dict.fromkeys([*wanted, *several]))


def levels_of(cohort: Cohort, column: str) -> NDArray[np.str_]:
    """Return the group of each case: bands of age, quarters of other numbers, text as it is; "" where unknown."""
    found = cohort.text(column)
    try:
        numbers = cohort.numbers(column)
    except LabelError:
        return found
    if AGE.fullmatch(column):
        return _banded(numbers, np.array(BANDS))
    if len(set(found.tolist()) - {""}) <= MOST_LEVELS:
        return found
    return _banded(numbers, np.unique(np.nanquantile(numbers, (0.25, 0.5, 0.75))))


def _banded(numbers: F64, edges: F64) -> NDArray[np.str_]:
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    names = [f"< {ends[1]}", *(f"{a} – < {b}" for a, b in pairwise(ends[1:-1])), f"≥ {ends[-2]}"]
    place = np.searchsorted(edges, np.nan_to_num(numbers), side="right")
    return np.where(np.isnan(numbers), "", np.array(names)[place])


def judged(
    predictions: Predictions, groups: NDArray[np.str_], column: str, drawn: Resamples | None, positive: int
) -> Subgroups:
    """Return the table of one column.

    Args:
        groups: group of each prediction, "" where unknown.
    """
    count = {name: int((groups == name).sum()) for name in dict.fromkeys(groups.tolist())}
    names = sorted(sorted(count, key=lambda one: -count[one])[:MOST_LEVELS], key=_in_order)
    levels = tuple(_level(predictions, groups == name, name, drawn, positive) for name in names if name)
    return Subgroups(column, levels, _gap(predictions, groups, levels, drawn, positive))


def _in_order(name: str) -> tuple[float, str]:
    first = re.search(r"-?\d+\.?\d*", name)
    below = name.startswith("<")
    return (float(first[0]) - (0.5 if below else 0) if first else math.inf, name)


def _level(
    predictions: Predictions, inside: NDArray[np.bool_], name: str, drawn: Resamples | None, positive: int
) -> Level:
    own = predictions.take(inside)
    small, positives = _small(own, positive)
    draws = drawn.take(inside, own.groups) if drawn is not None and own.patients > 2 else None
    figures = made(_specs(own, positive), own, draws)
    apart = None if small or drawn is None else _apart(predictions, inside, drawn, positive)
    return Level(name, own.cases, own.patients, positives, figures, apart, small)


def _small(own: Predictions, positive: int) -> tuple[bool, int]:
    if own.categorical:
        numbers = own.numbers()
        found = [len(np.unique(own.groups[numbers == k])) for k in range(len(own.labels))]
        ill = numbers == positive if len(own.labels) == 2 else np.ones(len(own), bool)
        least = min(found) if len(own.labels) == 2 else SMALL_LABEL
        return own.patients < SMALL_PATIENTS or least < SMALL_LABEL, len(np.unique(own.rows[ill]))
    events = len(np.unique(own.groups[own.event])) if own.event is not None else own.patients
    return own.patients < SMALL_PATIENTS or events < SMALL_LABEL, events


def _specs(own: Predictions, positive: int) -> list[Spec]:
    """Return what makes the figures of a group, the one that decides first."""
    if own.categorical:
        every = classification.agreement_spec(own)
        found = [spec("auc", _safe(lambda: classification.area(own, positive))), every]
        return [*found, *classification.probability_specs(own, own.scores, positive, "")[:2]]
    if own.kind == "survival":
        return [spec("uno_c", _safe(lambda: timetoevent.concordance(own, uno=True)))]
    if own.kind == "regression":
        return [spec("mae", mean(np.abs(own.scores - own.truth))), spec("bias", mean(own.scores - own.truth))]
    return []


def _safe(make: Callable[[], Weighted]) -> Weighted:
    """Return a figure that is NaN where a group has one class only, or no event."""
    try:
        return make()
    except VesaliusError:
        return lambda weights: np.full(len(weights), np.nan)


def _first(own: Predictions, positive: int) -> Weighted:
    return _specs(own, positive)[0].figure


def _apart(predictions: Predictions, inside: NDArray[np.bool_], drawn: Resamples, positive: int) -> Figure | None:
    others = predictions.take(~inside)
    if not len(others) or _small(others, positive)[0]:
        return None
    one, two = _first(predictions.take(inside), positive), _first(others, positive)

    def apart(weights: F64) -> F64:
        return one(weights[:, inside]) - two(weights[:, ~inside])

    found = estimates(apart, drawn)[0]
    return Figure("difference", found.value, found.low, found.high, "", predictions.cases, predictions.patients)


def _gap(
    predictions: Predictions, groups: NDArray[np.str_], levels: Sequence[Level], drawn: Resamples | None, positive: int
) -> Figure | None:
    kept = [one.name for one in levels if not one.small]
    if len(kept) < 2:
        return None
    parts = [(groups == name, _first(predictions.take(groups == name), positive)) for name in kept]

    def gap(weights: F64) -> F64:
        found = np.stack([figure(weights[:, inside]) for inside, figure in parts], axis=1)
        return np.asarray(found.max(axis=1) - found.min(axis=1))

    if drawn is None:
        return Figure("gap", float(whole(gap, len(predictions))[0]))
    found = estimates(gap, drawn)[0]
    return Figure("gap", found.value, found.low, found.high, "", predictions.cases, predictions.patients,
                  "BCa bootstrap by patient", "few" if scarce(predictions) else "")  # fmt: skip
