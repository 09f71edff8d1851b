"""What held-out predictions say: calibration without the fold being judged, figures with intervals, who won."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError, UsageError
from vesalius.evaluate.calibration import (
    CalibrationMap,
    best_map,
    brier,
    ece,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from vesalius.evaluate.discrimination import (
    at_threshold,
    average_precision,
    balanced_accuracy,
    confusion,
    kappa,
    macro_auc,
    threshold_for,
)
from vesalius.evaluate.intervals import Statistic, bootstrap, paired_bootstrap
from vesalius.evaluate.survival import harrell_c, horizon, uno_c
from vesalius.models.card import Metric, OperatingPoint
from vesalius.models.graph import Step
from vesalius.models.operations import probability
from vesalius.train.learner import CLASSES, Target
from vesalius.train.run_cohort import RunCases
from vesalius.train.task import Task

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
LESS: Final = ("mean absolute error",)
"""Main figures of which less is better: their difference is turned round, so that above zero the first is better."""
LEAST_CASES: Final = 20
"""A calibration map is fitted to so many cases at least."""
_FITS: Final[Mapping[str, Callable[[Any, Any], CalibrationMap]]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions on cases that the model did not see, of all folds and repeats together.

    Args:
        rows: cases. scores: [n, labels] or [n], as the model gave them.
        final: calibrated probabilities within folds, by maps fitted without them; else the scores.
    """

    rows: Ints
    repeat: Ints
    fold: Ints
    scores: F64
    final: F64


@dataclass(frozen=True)
class Correction:
    """What follows the scores of a model in its package.

    Args:
        map: from scores to probabilities; its operation is "" when there is none.
        prior: parameters of calibrate.prior, empty when the population's shares are the training data's.
    """

    map: CalibrationMap
    prior: Mapping[str, list[float]]

    def __call__(self, scores: F64) -> F64:
        """Return corrected probabilities."""
        found = self.map(scores)
        if not self.prior:
            return found
        return np.concatenate([probability.prior(row[None], **self.prior) for row in found])

    def steps(self, before: str) -> tuple[Step, ...]:
        """Return the steps of the package, the last of which gives the answer; none when nothing follows."""
        found: list[Step] = []
        if self.map.operation:
            found.append(Step(id="calibrated", op=self.map.operation, inputs=(before,), parameters=self.map.parameters))
        if self.prior:
            before = found[-1].id if found else before
            found.append(Step(id="for_prior", op="calibrate.prior", inputs=(before,), parameters=dict(self.prior)))
        return tuple(found)


def correction(task: Task, target: Target, scores: F64, groups: Ints, *, balanced: bool) -> Correction:
    """Return what corrects scores, fitted on these cases.

    Args:
        target: of these cases.
        balanced: the model was trained as if every label were equally frequent.
    """
    if target.kind not in CLASSES:
        return Correction(CalibrationMap("", {}), {})
    wish, counts = task.calibrate, np.bincount(target.values.astype(np.int64), minlength=len(target.labels))
    enough = len(scores) >= LEAST_CASES and counts.min() > 0
    if wish == "none" or not enough:
        found = CalibrationMap("", {})
    elif wish == "auto":
        found = best_map(target.values, scores, groups, seed=task.seed)
    else:
        found = _FITS[wish](target.values, scores)
    if not task.prior:
        return Correction(found, {})
    # without a map, a model that was balanced in training still thinks that every label is equally frequent
    plain = balanced and (wish == "none" or not enough)
    trained = np.full(len(counts), 1 / len(counts)) if plain else counts / counts.sum()
    wanted = [task.prior[label] for label in target.labels]
    return Correction(found, {"trained": [float(one) for one in trained], "target": wanted})


def check_prior(task: Task, labels: tuple[str, ...]) -> None:
    """Refuse a prior of other labels.

    Raises:
        UsageError: a label that does not exist, or one that is missing.
    """
    if task.prior and set(task.prior) != set(labels):
        raise UsageError("prior names other labels", found=", ".join(task.prior), expected=", ".join(labels))


def part_of(target: Target, rows: Ints) -> Target:
    """Return the target of some cases."""
    event = None if target.event is None else target.event[rows]
    return Target(target.kind, target.labels, target.values[rows], event)


def held_out(
    task: Task, cases: RunCases, scores: Mapping[tuple[int, int], F64], *, balanced: bool
) -> HeldOut:  # fmt: skip
    """Return all held-out predictions; a fold is calibrated by a map of the other folds of its repeat."""
    found: list[tuple[Ints, Ints, Ints, F64, F64]] = []
    parts = {(repeat, fold): rows for repeat, fold, _, rows in cases.parts()}
    for (repeat, fold), rows in parts.items():
        own = scores[repeat, fold]
        others = [key for key in parts if key[0] == repeat and key[1] != fold]
        final = own
        if others and cases.target.kind in CLASSES:
            known = np.concatenate([parts[key] for key in others])
            map_of = correction(task, part_of(cases.target, known), np.concatenate([scores[key] for key in others]),
                                cases.groups[known], balanced=balanced)  # fmt: skip
            final = map_of(own)
        count = np.ones(len(rows), dtype=np.int64)
        found.append((rows, count * repeat, count * fold, own, final))
    rows, repeats, folds, raw, final = (np.concatenate(column) for column in zip(*found, strict=True))
    return HeldOut(rows, repeats, folds, raw, final)


def table(cases: RunCases, held: HeldOut) -> str:
    """Return held-out predictions as CSV."""
    target, cohort = cases.target, cases.cohort
    written = io.StringIO()
    out = csv.writer(written, lineterminator="\n")
    common = ["row", "path", "patient_id", "fold", "repeat"]
    labels = target.labels
    own = {
        "classification": ["label", "predicted", *(f"p_{one}" for one in labels), *(f"s_{one}" for one in labels)],
        "ordinal": ["label", "predicted", *(f"p_{one}" for one in labels), *(f"s_{one}" for one in labels)],
        "regression": ["value", "predicted"],
        "survival": ["time", "event", "risk"],
        "clustering": ["cluster"],
    }[target.kind]
    out.writerow([*common, *own])
    paths, patients = cohort.text("path"), cohort.text("patient_id")
    for k, row in enumerate(held.rows.tolist()):
        fold = "" if held.fold[k] < 0 else int(held.fold[k])
        out.writerow([row, paths[row], patients[row], fold, int(held.repeat[k]), *_cells(target, held, k, row)])
    return written.getvalue()


def _cells(target: Target, held: HeldOut, k: int, row: int) -> list[Any]:
    if target.labels:
        p, s = held.final[k].tolist(), held.scores[k].tolist()
        return [target.labels[int(target.values[row])], target.labels[int(np.argmax(p))], *p, *s]
    if target.kind == "regression":
        return [float(target.values[row]), float(held.final[k])]
    if target.kind == "survival" and target.event is not None:
        return [float(target.values[row]), int(target.event[row]), float(held.final[k])]
    return [int(np.argmax(held.final[k]))]


def statistics(target: Target, rows: Ints, final: F64) -> dict[str, Statistic]:
    """Return the figures of predictions by name, the main one first."""
    truth = target.values[rows]
    if target.kind in CLASSES:
        return _of_classes(target, truth.astype(np.int64), final)
    if target.kind == "regression":
        error = final - truth
        return {
            "mean absolute error": lambda c: float(np.abs(error[c]).mean()),
            "root mean squared error": lambda c: float(np.sqrt((error[c] ** 2).mean())),
            "R2": lambda c: _r2(truth[c], error[c]),
        }
    if target.event is not None:
        event = target.event[rows]
        until = horizon(truth, event)
        return {
            "Harrell's C": lambda c: harrell_c(truth[c], event[c], final[c]),
            "Uno's C": lambda c: uno_c(truth[c], event[c], final[c], train=(truth, event), until=until),
        }
    return {}


def _of_classes(target: Target, truth: Ints, p: F64) -> dict[str, Statistic]:
    count = len(target.labels)
    called = p.argmax(axis=1)

    def table_of(c: Ints) -> NDArray[np.int64]:
        return confusion(truth[c], called[c], count)

    found: dict[str, Statistic] = {
        "AUC": lambda c: macro_auc(truth[c], p[c]),
        "balanced accuracy": lambda c: balanced_accuracy(table_of(c)),
        "accuracy": lambda c: float((truth[c] == called[c]).mean()),
        "Brier score": lambda c: brier(truth[c], p[c]),
        "expected calibration error": lambda c: ece(truth[c], p[c]),
    }
    if count == 2:
        found["average precision"] = lambda c: average_precision(truth[c] == 1, p[c, 1])
    if target.kind == "ordinal":
        grades = p @ np.arange(count)
        weighted: dict[str, Statistic] = {
            "quadratic kappa": lambda c: kappa(table_of(c)),
            "mean absolute error of the grade": lambda c: float(np.abs(grades[c] - truth[c]).mean()),
        }
        return {**weighted, **found}
    return found


def _r2(truth: F64, error: F64) -> float:
    below = float(((truth - truth.mean()) ** 2).sum())
    if below == 0:
        raise LabelError("the values are constant", expected="values that differ")
    return 1 - float((error**2).sum()) / below


def figures(task: Task, cases: RunCases, held: HeldOut, data: str) -> tuple[Metric, ...]:
    """Return the figures with their BCa intervals by patient."""
    found, groups = [], cases.groups[held.rows]
    how = "BCa bootstrap by patient" if cases.cohort.groups() is not None else "BCa bootstrap by case: no patient ids"
    for name, statistic in statistics(cases.target, held.rows, held.final).items():
        try:
            one = bootstrap(statistic, groups, draws=task.draws, seed=task.seed)
        except (LabelError, UsageError):
            continue
        found.append(
            Metric(name=name, value=one.value, low=one.low, high=one.high, data=data, cases=len(held.rows), how=how)
        )
    return tuple(found)


def points(target: Target, held: HeldOut) -> tuple[OperatingPoint, ...]:
    """Return operating points of the calibrated probabilities for each label: Youden's, and a high sensitivity."""
    if target.kind != "classification":
        return ()
    truth = target.values[held.rows].astype(np.int64)
    found = []
    for k, label in enumerate(target.labels):
        if len(target.labels) == 2 and k == 0:
            continue
        wishes = {"largest sum of sensitivity and specificity": {}, "sensitivity 0.95": {"sensitivity": 0.95}}
        for purpose, wish in wishes.items():
            threshold = threshold_for(truth == k, held.final[:, k], **wish)
            if not np.isfinite(threshold):
                continue
            point = at_threshold(truth == k, held.final[:, k], threshold)
            found.append(
                OperatingPoint(label=label, threshold=min(max(threshold, 0.0), 1.0), purpose=purpose,
                               sensitivity=point.sensitivity, specificity=point.specificity)
            )  # fmt: skip
    return tuple(found)


def winner(task: Task, cases: RunCases, first: tuple[str, HeldOut], second: tuple[str, HeldOut]) -> dict[str, Any]:
    """Return who is better on the same held-out cases, by the main figure: a name, or "no difference"."""
    (name, one), (other, two) = first, second
    target = cases.target
    ours, theirs = statistics(target, one.rows, one.final), statistics(target, two.rows, two.final)
    main = next(iter(ours))
    if main in LESS:
        ours, theirs = theirs, ours
    try:
        found = paired_bootstrap(ours[main], theirs[main], cases.groups[one.rows], draws=task.draws, seed=task.seed)
    except (LabelError, UsageError) as error:
        return {"winner": "no difference", "figure": main, "why": str(error)}
    better = name if found.low > 0 else other if found.high < 0 else "no difference"
    return {
        "winner": better, "figure": main, "first": name, "second": other, "difference": found.difference,
        "low": found.low, "high": found.high, "p_value": found.p_value, "method": found.method,
    }  # fmt: skip
