"""One candidate of a run: its folds, its final model, its predictions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.io.atomic import output_errors, write_text
from vesalius.train import classical
from vesalius.train.cases import as_values, contracts, prepare
from vesalius.train.classical_options import ClassicalOptions
from vesalius.train.learner import EnergyGuard, Fitted, Job, Learner, Prepared
from vesalius.train.recipe import Look, Recipe, classical_recipe, default_baseline, feature_names, look, network_recipe
from vesalius.train.run_cohort import RunCases
from vesalius.train.run_judge import HeldOut, correction, held_out, part_of, table
from vesalius.train.run_log import RunLog
from vesalius.train.run_package import Trained
from vesalius.train.run_state import BASELINE, CLASSICAL, NETWORK
from vesalius.train.split import assign
from vesalius.train.task import Task

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Watch = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""
DONE = "done"


@dataclass(frozen=True, eq=False)
class Plan:
    """A model to be trained.

    Args:
        balanced: it is trained as if every label were equally frequent.
        stops: it keeps cases aside for early stopping.
    """

    name: str
    recipe: Recipe
    make: Callable[[Prepared], Learner]
    balanced: bool
    stops: bool


@dataclass(frozen=True, eq=False)
class Place:
    """Where and how the fits of a run work."""

    out: Path
    task: Task
    cases: RunCases
    threads: int
    resume: bool
    energy: EnergyGuard | None = None
    watch: Watch | None = None

    def told(self, what: str) -> Callable[[int, int], None] | None:
        """Return what reports how far one piece of work is."""
        watch = self.watch
        return None if watch is None else lambda done, count: watch(what, done, count)


def plans(task: Task, cases: RunCases) -> tuple[Plan, ...]:
    """Return the models of a task: its own, and beside a network the classical one.

    Raises:
        ConfigError: the model does not fit the data.
    """
    seen = look(task, cases.cohort)
    options, network = task.model.classical, task.model.network
    if options is not None:
        found = [_classical(CLASSICAL, task, options, seen, cases)]
        if task.baseline is not None:
            found.append(_classical(BASELINE, task, task.baseline, seen, cases))
        return tuple(found)
    from vesalius.train.network import learner

    if network is None:
        raise ValueError("a task holds a network or a classical model")
    own = Plan(NETWORK, network_recipe(task, seen), lambda prepared: learner(network, prepared.target),
               network.balance != "none", task.split.early_stopping > 0)  # fmt: skip
    beside = task.baseline or default_baseline(task, seen)
    return own, _classical(BASELINE, task, beside, seen, cases)


def _classical(name: str, task: Task, options: ClassicalOptions, seen: Look, cases: RunCases) -> Plan:
    recipe = classical_recipe(task, options, seen, cases.cohort)
    balanced = options.balance and task.kind == "classification" and options.learner != "knn"
    return Plan(name, recipe, lambda prepared: classical.learner(options, prepared.target), balanced, False)


def prepared(place: Place, plan: Plan) -> Prepared:
    """Return the cases as a candidate takes them in."""
    values, seen = prepare(
        place.cases.cohort, plan.recipe, place.out / "cache", progress=place.told(f"{plan.name}: preparing"),
        threads=place.threads,
    )  # fmt: skip
    asked = contracts(place.task, plan.recipe, place.cases.cohort, seen)
    target, groups = place.cases.target, place.cases.groups
    return Prepared(as_values(plan.recipe, values), target, groups, plan.recipe.steps, asked)


def judged_folds(place: Place, plan: Plan, given: Prepared) -> tuple[HeldOut, list[dict[str, Any]]]:
    """Return the held-out predictions of every fold, and what each fit told; a finished fold is not fitted again.

    Raises:
        BudgetSpent: the energy budget is spent; finished folds stay.
        OutputError: the disk is full; finished folds stay.
    """
    parts = place.cases.parts()
    scores: dict[tuple[int, int], F64] = {}
    told = []
    for number, (repeat, fold, train, rows) in enumerate(parts):
        folder = place.out / plan.name / "folds" / f"{repeat}-{fold}"
        if not (place.resume and (folder / DONE).is_file()):
            what = f"{plan.name}: fold {number + 1} of {len(parts)}"
            fitted = _fit(place, plan, given, (folder / "fit", f"{repeat}-{fold}", what), train)
            _keep(folder, place.cases, rows, fitted.scores(given, rows))
            write_text(folder / DONE, json.dumps(dict(fitted.told()), default=_plain) + "\n")
        scores[repeat, fold] = _kept(folder, len(rows), place.cases)
        told.append({"repeat": repeat, "fold": fold, **json.loads((folder / DONE).read_text(encoding="utf-8"))})
    held = held_out(place.task, place.cases, scores, balanced=plan.balanced)
    write_text(place.out / plan.name / "predictions.csv", table(place.cases, held))
    return held, told


def final(place: Place, plan: Plan, given: Prepared, held: HeldOut | None) -> tuple[Trained, dict[str, Any]]:
    """Return the model fitted on all cases outside the test set, corrected by the held-out predictions.

    Raises:
        BudgetSpent: the energy budget is spent.
    """
    rows = place.cases.training
    where = (place.out / plan.name / "final_fit", "final", f"{plan.name}: final model")
    fitted = _fit(place, plan, given, where, rows)
    after = _correction(place, plan, held)
    test = place.cases.test
    if len(test):
        raw = fitted.scores(given, test)
        corrected = after(raw) if place.cases.target.labels else raw
        nothing = np.full(len(test), -1)
        text = table(place.cases, HeldOut(test, nothing * 0, nothing, raw, corrected))
        write_text(place.out / plan.name / "test.csv", text)
    told = json.loads(json.dumps(dict(fitted.told()), default=_plain))
    return Trained(plan.recipe, given, fitted, after), _named(plan, given, told)


def _named(plan: Plan, given: Prepared, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a fit told with the names of its features beside its coefficients."""
    values = given.values[plan.recipe.output]
    names = feature_names(plan.recipe, int(values.shape[1])) if values.ndim == 2 else ()
    rows = told.get("per_standard_deviation", [])
    if names and len(rows) == len(names):
        told["per_standard_deviation"] = [{"name": name, **row} for name, row in zip(names, rows, strict=True)]
    return told


def clusters(place: Place, plan: Plan, given: Prepared, fitted: Fitted) -> None:
    """Write the cluster of every case: there are no labels to hold out."""
    rows = place.cases.training
    raw = fitted.scores(given, rows)
    nothing = np.full(len(rows), -1)
    text = table(place.cases, HeldOut(rows, nothing * 0, nothing, raw, raw))
    write_text(place.out / plan.name / "predictions.csv", text)


def _correction(place: Place, plan: Plan, held: HeldOut | None) -> Any:
    cases = place.cases
    if held is None:
        return correction(place.task, part_of(cases.target, cases.training[:0]), np.zeros((0, 2)),
                          cases.groups[:0], balanced=plan.balanced)  # fmt: skip
    return correction(place.task, part_of(cases.target, held.rows), held.scores, cases.groups[held.rows],
                      balanced=plan.balanced)  # fmt: skip


def _fit(place: Place, plan: Plan, given: Prepared, where: tuple[Path, str, str], rows: Ints) -> Fitted:
    folder, name, what = where
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    train, val = _stopping(place, rows, name) if plan.stops else (rows, rows[:0])
    if place.watch is not None:
        place.watch(what, 0, 1)
    with RunLog(place.out / plan.name / "log", name) as log:
        job = Job(
            folder, place.task.seed + sum(map(ord, name)), place.resume, place.told(what), place.threads, place.energy,
            log.add,
        )  # fmt: skip
        return plan.make(given).fit(given, train, val, job)


def _stopping(place: Place, rows: Ints, name: str) -> tuple[Ints, Ints]:
    """Return training rows and those kept for early stopping: whole patients, labels in their shares."""
    groups, target = place.cases.groups[rows], place.cases.target
    count = max(2, round(1 / place.task.split.early_stopping))
    if len(np.unique(groups)) < count:
        return rows, rows[:0]
    labels = target.values[rows].astype(np.int64) if target.labels else np.zeros(len(rows), dtype=np.int64)
    if target.event is not None:
        labels = target.event[rows].astype(np.int64)
    strata = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    kept = assign(groups, strata, count, place.task.seed + sum(map(ord, name))) == 0
    if set(labels[~kept].tolist()) != set(labels.tolist()):
        return rows, rows[:0]
    return rows[~kept], rows[kept]


def _keep(folder: Path, cases: RunCases, rows: Ints, scores: F64) -> None:
    """Write the scores of a fold as they came out."""
    columns = scores.reshape(len(rows), -1)
    names = [f"s_{one}" for one in cases.target.labels] or [f"s_{k}" for k in range(columns.shape[1])]
    written = io.StringIO()
    out = csv.writer(written, lineterminator="\n")
    out.writerow(["row", *names])
    out.writerows([row, *map(repr, line)] for row, line in zip(rows.tolist(), columns.tolist(), strict=True))
    write_text(folder / "predictions.csv", written.getvalue())


def _kept(folder: Path, count: int, cases: RunCases) -> F64:
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    found = np.array([[float(one) for one in line.split(",")[1:]] for line in lines]).reshape(count, -1)
    return found if cases.target.labels else found[:, 0]


def _plain(value: Any) -> Any:
    """Return a NumPy value as what JSON knows."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
