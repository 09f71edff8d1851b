"""From a task to the cases of a run: read, permitted, labelled, within the budget, divided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vesalius.config.yaml import nearest
from vesalius.core.cohort import Cohort
from vesalius.core.errors import LabelError, UsageError
from vesalius.core.registry import unknown
from vesalius.evaluate.shortcuts import exchange
from vesalius.evaluate.survival import outcome
from vesalius.io.cohort import read_cohort
from vesalius.train.check_pairs import Pairs, found_pairs, told_pairs
from vesalius.train.consent import permitted
from vesalius.train.facts_pool import Progress
from vesalius.train.learner import CLASSES, Target
from vesalius.train.split import SplitOptions, assign, divide, grouped
from vesalius.train.task import BudgetOptions, Task

Ints = NDArray[np.int64]
GROUP: Final = "group"
"""Column of cohort.csv: cases of one patient, and copies of their images, share a number."""
NEVER: Final = -1
TEST: Final = -2


@dataclass(frozen=True, eq=False)
class RunCases:
    """The cases of a run, one row each.

    Args:
        folds: [repeats, cases] fold in which a case is held out; NEVER: always trained on; TEST: in the test set.
        groups: patient (with copies) of each case.
        left_out: why cases of the table are not here -> how many.
    """

    cohort: Cohort
    target: Target
    groups: Ints
    folds: Ints
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def training(self) -> Ints:
        """Return the rows outside the test set."""
        return np.flatnonzero(self.folds[0] != TEST)

    @property
    def test(self) -> Ints:
        """Return the rows of the test set."""
        return np.flatnonzero(self.folds[0] == TEST)

    def parts(self) -> list[tuple[int, int, Ints, Ints]]:
        """Return (repeat, fold, training rows, held-out rows) of every fold."""
        found = []
        for repeat, fold in enumerate(self.folds):
            for k in sorted(set(fold.tolist()) - {NEVER, TEST}):
                train = np.flatnonzero((fold != k) & (fold != TEST))
                found.append((repeat, int(k), train, np.flatnonzero(fold == k)))
        return found

    def digest(self) -> str:
        """Return a SHA-256 of the cases, their labels and their division, wherever they lie."""
        digest = hashlib.sha256()
        for name in sorted(self.cohort.names):
            digest.update(f"{name}\0".encode() + "\0".join(self.cohort.text(name).tolist()).encode() + b"\1")
        digest.update(self.folds.tobytes() + self.groups.tobytes() + self.target.values.tobytes())
        return digest.hexdigest()


def assemble(
    task: Task, budget: BudgetOptions, home: Path, *, control: bool = False, progress: Progress | None = None
) -> RunCases:
    """Return the cases of a run.

    Args:
        home: VESALIUS_HOME, where the consent registry may lie.
        control: exchange the labels between patients: what is then learned is chance.

    Raises:
        UsageError: nothing may be trained on; no patient ids; a patient on two sides; too few patients.
        LabelError: the label is missing, constant or no number.
    """
    data = task.data
    if GROUP in data.clinical:
        raise UsageError("the column group is the run's own", fix="give the clinical column another name")
    cohort = read_cohort(
        data.table, columns=data.columns or None, layout=data.layout, basis=data.basis, licence=data.licence
    )
    if task.split.ignore_table:
        cohort = cohort.without("split", "fold", "inner_fold", "repeat")
    cohort, repeats = _unrepeated(cohort)
    allowed = permitted(cohort, home)
    left_out = dict(allowed.left_out)
    cohort, unlabelled = _labelled(task, cohort.take(allowed.rows))
    left_out.update(unlabelled)
    cohort = _within(task, cohort, budget)
    pairs, lost = _pairs(task, cohort, progress)
    groups, warnings = grouped(cohort, pairs, no_patient_ids=task.split.no_patient_ids)
    target = _target(task, cohort)
    if control:
        target = _exchanged(target, groups, task.seed)
    folds = _folds(task, cohort, target, pairs, repeats)
    if lost:
        warnings = (*warnings, f"{lost} files cannot be read and were not compared with the others")
    divided = _divided(task, cohort, target, folds).with_columns(**{GROUP: groups.astype(np.float64)})
    found = RunCases(divided, target, groups, folds, warnings, left_out)
    _check(found)
    return found


def _unrepeated(cohort: Cohort) -> tuple[Cohort, int]:
    """Return one row per case, the folds of further repeats in columns of their own, and the number of repeats."""
    if not (cohort.has("repeat") and cohort.has("fold")):
        return cohort, 1
    repeat = cohort.numbers("repeat")
    parts = [np.flatnonzero(repeat == number) for number in np.unique(repeat)]
    first = cohort.take(parts[0]).without("repeat")
    for number, rows in enumerate(parts[1:], start=1):
        other = cohort.take(rows)
        if len(rows) != len(parts[0]) or (other.text("path") != first.text("path")).any():
            raise UsageError("the repeats of the table hold different cases", expected="the same rows in each repeat",
                             fix="divide it again with vesalius split --repeats")  # fmt: skip
        first = first.with_columns(**{f"fold_{number}": other.numbers("fold")})
    return first, len(parts)


def _labelled(task: Task, cohort: Cohort) -> tuple[Cohort, dict[str, int]]:
    """Return the cases that have what the kind needs, the label under its own name, and how many have not."""
    data, left_out = task.data, {}
    if task.kind == "survival":
        for standard, own in (("time", data.time), ("event", data.event)):
            if own not in cohort.names:
                raise unknown("column", own, cohort.names)
            cohort = cohort.with_columns(**{standard: cohort.numbers(own)})
        known = np.isfinite(cohort.numbers("time")) & np.isfinite(cohort.numbers("event"))
    elif task.kind == "clustering":
        return cohort, {}
    else:
        if data.label not in cohort.names:
            raise unknown("label column", data.label, cohort.names)
        labels = cohort.text(data.label)
        known = labels != ""
        if data.labels:
            listed = np.isin(labels, list(data.labels))
            left_out["label_not_listed"] = int((known & ~listed).sum())
            _check_listed(data.label, set(labels.tolist()) - {""}, data.labels)
            labels = np.array([data.labels.get(one, "") for one in labels.tolist()])
            known &= listed
        cohort = cohort.with_columns(label=labels)
    left_out["no_label"] = len(cohort) - int(known.sum()) - left_out.get("label_not_listed", 0)
    if not known.any():
        raise LabelError(f"no case has a {data.label}", found=f"{len(known)} cases",
                         expected=", ".join(data.labels) or "a value")  # fmt: skip
    return cohort.take(known), {reason: count for reason, count in left_out.items() if count}


def _check_listed(column: str, present: set[str], listed: Mapping[str, str]) -> None:
    absent = [raw for raw in listed if raw not in present]
    if absent:
        known = sorted(present)
        raise LabelError(
            f"the task lists labels that the column {column} does not hold", found=", ".join(absent),
            expected=", ".join(known[:12]) + (" ..." if len(known) > 12 else ""), fix=nearest(absent[0], known),
        )  # fmt: skip


def _target(task: Task, cohort: Cohort) -> Target:
    if task.kind == "clustering":
        return Target(task.kind, (), np.full(len(cohort), np.nan))
    if task.kind == "survival":
        times, events = outcome(cohort.numbers("time"), cohort.numbers("event"))
        return Target(task.kind, (), times, events)
    if task.kind == "regression":
        values = cohort.numbers("label")
        if np.ptp(values) == 0:
            raise LabelError(f"the column {task.data.label} is constant", found=f"{values[0]:g}",
                             expected="values that differ")  # fmt: skip
        return Target(task.kind, (), values)
    names = _names(task, cohort)
    present = [name for name in names if (cohort.text("label") == name).any()]
    if len(present) < 2:
        raise LabelError(f"the column {task.data.label} holds one label", found=", ".join(present) or "none",
                         expected="two or more")  # fmt: skip
    absent = sorted(set(names) - set(present))
    if absent:
        raise LabelError("no case that may be used has a label that the task lists", found=", ".join(absent),
                         expected=", ".join(present))  # fmt: skip
    place = {name: float(number) for number, name in enumerate(names)}
    return Target(task.kind, names, np.array([place[one] for one in cohort.text("label").tolist()]))


def _names(task: Task, cohort: Cohort) -> tuple[str, ...]:
    if task.data.labels:
        return tuple(dict.fromkeys(task.data.labels.values()))
    names = cohort.labels
    if task.kind == "ordinal" and not all(one.replace(".", "", 1).isdigit() for one in names):
        raise LabelError("grades need an order", found=", ".join(names),
                         expected="data: labels: [lowest, ..., highest]")  # fmt: skip
    if len(names) > max(50, len(cohort) // 4):
        raise LabelError(f"the column {task.data.label} holds too many labels", found=str(len(names)),
                         expected="kind: regression for numbers")  # fmt: skip
    return names


def _within(task: Task, cohort: Cohort, budget: BudgetOptions) -> Cohort:
    """Return so many cases at most, by whole patients and labels in their shares; the test set stays whole."""
    train = np.flatnonzero(cohort.text("split") != "test")
    if budget.cases is None or len(train) <= budget.cases:
        return cohort
    patients = cohort.text("patient_id")[train]
    names = np.array([f"p{one}" if one else f"r{row}" for row, one in enumerate(patients.tolist())])
    groups = np.unique(names, return_inverse=True)[1].astype(np.int64)
    kinds = cohort.text("label")[train] if task.kind in CLASSES else np.full(len(train), "")
    strata = np.unique(kinds, return_inverse=True)[1].astype(np.int64)
    parts = min(int(groups.max()) + 1, 40)
    place = assign(groups, strata, parts, task.seed)
    kept = max(1, int(parts * budget.cases / len(train)))
    return cohort.take(np.sort(np.concatenate([train[place < kept], np.flatnonzero(cohort.text("split") == "test")])))


def _pairs(task: Task, cohort: Cohort, progress: Progress | None) -> tuple[Pairs, int]:
    wish = task.split.duplicates
    if wish == "none" or not cohort.has("path"):
        return (), 0
    if wish != "auto":
        return told_pairs(cohort, Path(wish)), 0
    return found_pairs(cohort, progress=progress)


def _exchanged(target: Target, groups: Ints, seed: int) -> Target:
    """Return the target with its rows exchanged between patients."""
    if target.kind == "clustering":
        raise UsageError("clusters have no labels to exchange", expected="a kind with labels")
    event = target.event if target.event is not None else np.zeros(len(target.values), dtype=bool)
    rows = np.stack([target.values, event.astype(np.float64)], axis=1)
    known, place = np.unique(rows, axis=0, return_inverse=True)
    drawn = known[exchange(place.reshape(-1).astype(np.int64), groups)(np.random.default_rng(seed + 7919))]
    return replace(target, values=drawn[:, 0], event=drawn[:, 1] > 0 if target.event is not None else None)


def _folds(task: Task, cohort: Cohort, target: Target, pairs: Pairs, repeats: int) -> Ints:
    if task.kind == "clustering":
        return np.where(cohort.text("split") == "test", TEST, NEVER)[None].astype(np.int64)
    wish = task.split
    if cohort.has("fold"):
        names = ["fold", *(f"fold_{number}" for number in range(1, repeats))]
        folds = np.stack([cohort.numbers(name) for name in names])
        folds = np.where(np.isnan(folds), NEVER, folds)
        folds[:, cohort.text("split") == "test"] = TEST
        _check_given(cohort, folds, grouped(cohort, pairs, no_patient_ids=wish.no_patient_ids)[0])
        return folds.astype(np.int64)
    plain = _to_divide(task, cohort, target)
    count = 0 if wish.leave_one_out else wish.folds
    options = SplitOptions(
        folds=count, test=wish.test, val=wish.val, repeats=wish.repeats, stratify=_stratify(task),
        leave_out=wish.leave_one_out, no_patient_ids=wish.no_patient_ids, seed=task.seed,
    )  # fmt: skip
    made = divide(plain, options, duplicates=pairs).cohort
    size = len(cohort)
    split = made.text("split")[:size]
    if not count and not wish.leave_one_out:
        if not (split == "val").any():
            raise UsageError("nothing is held out to judge on", found="folds: 0 and no case with split val",
                             expected="folds: 5, or val: 0.2")  # fmt: skip
        return np.select([split == "test", split == "val"], [TEST, 0], NEVER)[None].astype(np.int64)
    folds = made.numbers("fold").reshape(-1, size)
    return np.where(split == "test", TEST, np.where(np.isnan(folds), NEVER, folds)).astype(np.int64)


def _stratify(task: Task) -> tuple[str, ...]:
    if task.split.stratify is not None:
        return task.split.stratify
    return ("event",) if task.kind == "survival" else ("label",)


def _to_divide(task: Task, cohort: Cohort, target: Target) -> Cohort:
    """Return the cohort with the target that is trained on, exchanged or not, so that folds hold every label."""
    if task.kind in CLASSES:
        return cohort.with_columns(label=[target.labels[int(one)] for one in target.values])
    return cohort.without("label") if task.kind == "survival" and "label" in cohort.names else cohort


def _check_given(cohort: Cohort, folds: NDArray[np.float64], groups: Ints) -> None:
    for fold in folds:
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            values = np.unique(fold[members])
            if len(values) > 1:
                first, second = (members[fold[members] == value][0] for value in values[:2])
                raise UsageError(
                    "the table divides one patient, or two images that are the same, between two folds",
                    found=f"{cohort.case_name(int(first))} and {cohort.case_name(int(second))}",
                    fix="put all cases of a patient into one fold, or leave the column fold out",
                )


def _divided(task: Task, cohort: Cohort, target: Target, folds: Ints) -> Cohort:
    """Return the table that the run keeps: the target that is trained on, split, and fold of each repeat."""
    split = np.where(folds[0] == TEST, "test", "train")
    if task.kind != "clustering" and not task.split.folds and not cohort.has("fold") and not task.split.leave_one_out:
        split = np.where(folds[0] == 0, "val", split)
    columns: dict[str, NDArray[np.generic]] = {"split": split}
    for number, fold in enumerate(folds):
        columns["fold" if not number else f"fold_{number}"] = np.where(fold >= 0, fold.astype(np.float64), np.nan)
    if target.labels:
        columns["label"] = np.array([target.labels[int(one)] for one in target.values])
    elif target.kind == "regression":
        columns["label"] = np.array([f"{one:.17g}" for one in target.values])
    elif target.event is not None:
        columns |= {"time": target.values, "event": target.event.astype(np.float64)}
    return cohort.with_columns(**columns)


def _check(cases: RunCases) -> None:
    """Check that every training part holds every label, and an event."""
    target = cases.target
    for repeat, fold, train, _ in cases.parts():
        lacking = [label for k, label in enumerate(target.labels) if not (target.values[train] == k).any()]
        if target.event is not None and not target.event[train].any():
            lacking = ["an event"]
        if lacking:
            raise UsageError(
                f"the training part of fold {fold} (repeat {repeat}) lacks a label", found=", ".join(lacking),
                expected="cases of every label", fix="fewer folds, or more patients of this label",
            )  # fmt: skip
