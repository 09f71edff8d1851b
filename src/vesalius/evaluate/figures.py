"""Figures with intervals out of weighted functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.evaluate.intervals import Estimate
from vesalius.evaluate.predictions import Figure, Predictions
from vesalius.evaluate.resampling import Resamples, Weighted, estimates, joined, whole

BCA = "BCa bootstrap by patient"
EXACT = "Clopper-Pearson by patient"
FEW = 10
"""With fewer patients of a label than this, an interval by resampling is not to be relied on."""


@dataclass(frozen=True, eq=False)
class Spec:
    """One figure to be made.

    Args:
        figure: gives one value per row of weights, or several when `names` holds several.
        names: (name, of) of each value.
        among: the cases that a share is taken of; None when the figure is no share.
    """

    names: tuple[tuple[str, str], ...]
    figure: Weighted
    among: NDArray[np.bool_] | None = None


def spec(name: str, figure: Weighted, of: str = "", among: NDArray[np.bool_] | None = None) -> Spec:
    """Return what makes one figure."""
    return Spec(((name, of),), figure, among)


def made(specs: Sequence[Spec], predictions: Predictions, drawn: Resamples | None) -> tuple[Figure, ...]:
    """Return the figures; without resamples they have no interval."""
    together = joined([one.figure for one in specs])
    if drawn is None:
        found = [Estimate(float(v), math.nan, math.nan) for v in whole(together, len(predictions))]
    else:
        found = estimates(together, drawn)
    named = [(name, of, one.among) for one in specs for name, of in one.names]
    few = scarce(predictions)
    return tuple(_figure(name, of, among, one, predictions, few)
                 for (name, of, among), one in zip(named, found, strict=True))  # fmt: skip


def scarce(predictions: Predictions) -> bool:
    """Return whether a label (or the event) has too few patients for intervals by resampling."""
    if predictions.categorical:
        numbers = predictions.numbers()
        counts = [len(np.unique(predictions.groups[numbers == k])) for k in np.unique(numbers)]
        return min(counts) < FEW
    if predictions.event is not None:
        return len(np.unique(predictions.groups[predictions.event])) < FEW
    return predictions.patients < FEW


def _figure(
    name: str, of: str, among: NDArray[np.bool_] | None, found: Estimate, predictions: Predictions, few: bool
) -> Figure:
    cases, patients = predictions.cases, predictions.patients
    if among is not None:
        cases, patients = len(np.unique(predictions.rows[among])), len(np.unique(predictions.groups[among]))
    if not math.isfinite(found.value):
        return Figure(name, math.nan, of=of, cases=cases, groups=patients, note="undefined")
    if not math.isfinite(found.low):
        return Figure(name, found.value, of=of, cases=cases, groups=patients, note="few")
    if found.low == found.high and among is not None and found.value in (0.0, 1.0):
        low, high = exact(found.value, patients, found.level)
        return Figure(name, found.value, low, high, of, cases, patients, EXACT, "few" if few else "")
    note = "no_spread" if found.low == found.high else "few" if few else ""
    return Figure(name, found.value, found.low, found.high, of, cases, patients, BCA, note)


def exact(value: float, patients: int, level: float = 0.95) -> tuple[float, float]:
    """Return Clopper and Pearson's limits of a share of none or of all of these patients.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    if patients < 1:
        return 0.0, 1.0
    end = ((1 - level) / 2) ** (1 / patients)
    return (end, 1.0) if value == 1.0 else (0.0, 1 - end)
