"""Predictions of one model on cases that it was not fitted on, and the figures that are made of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import LabelError, ReadError

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

KINDS = ("classification", "ordinal", "regression", "survival", "clustering")
HEALTHY = ("normal", "no", "none", "healthy", "negative", "control", "benign", "0", "absent", "well", "nondemented")
"""Labels that are not the finding: of two labels, the other one is taken as positive."""


@dataclass(frozen=True)
class Figure:
    """One figure with its interval.

    Args:
        name: "auc", "sensitivity" ...; its title is the message `evaluation.figure.<name>`.
        value: NaN where the figure is not defined.
        low, high: ends of the interval, NaN where there is none.
        of: the label, or the operating point, that it is about; "" for all.
        cases, groups: cases and patients behind it.
        method: how the interval was made.
        note: why there is no interval, or why not to rely on it: "undefined", "few", "no_spread", "fixed_point".
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    of: str = ""
    cases: int = 0
    groups: int = 0
    method: str = ""
    note: str = ""

    def of_label(self, name: str) -> Figure:
        """Return the figure under the name of what it is about."""
        return replace(self, of=name)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one model says of each case.

    Args:
        kind: one of `KINDS`.
        labels: in the order of the probabilities; () unless classification or ordinal.
        rows: number of each case in its cohort.
        truth: [n] label number, value, time, or NaN where there is none.
        scores: [n, labels] probabilities, or [n] values, risks, cluster numbers.
        groups: patient of each case, as numbers.
        raw: [n, labels] probabilities before calibration, when they were kept.
        predicted: [n] label number.
        folds, repeats: [n]; fold -1 outside a cross-validation.
        event: of survival.
        paths: names of the cases, for people.
        outcomes: "completed", "refused", "abstained" -> cases; the last two hold no prediction here.
    """

    kind: str
    labels: tuple[str, ...]
    rows: Ints
    truth: F64
    scores: F64
    groups: Ints
    predicted: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    raw: F64 | None = None
    folds: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    repeats: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    event: Bools | None = None
    paths: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes, fill what was left out.

        Raises:
            LabelError: nothing was predicted, columns of different length, a truth or a score that is no number.
        """
        count = len(self.truth)
        if not count:
            raise LabelError("there is no prediction", expected="one case or more with a label and a prediction")
        for name in ("folds", "repeats", "predicted"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, self._filled(name, count))
        for name in ("rows", "scores", "groups", "folds", "repeats", "predicted"):
            if len(getattr(self, name)) != count:
                raise LabelError(f"the predictions differ in number ({name})", expected=f"{count} each")
        if not np.isfinite(self.truth).all() or not np.isfinite(self.scores).all():
            raise LabelError("a truth or a prediction is no number", expected="finite numbers, one row per case")

    def _filled(self, name: str, count: int) -> Ints:
        if name == "predicted" and self.categorical:
            return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)
        return np.full(count, -1 if name == "folds" else 0, dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of predictions (a case counts once per repeat)."""
        return len(self.truth)

    @property
    def categorical(self) -> bool:
        """Return whether labels are predicted."""
        return self.kind in ("classification", "ordinal")

    @property
    def cases(self) -> int:
        """Return the number of different cases."""
        return len(np.unique(self.rows))

    @property
    def patients(self) -> int:
        """Return the number of patients (cases, where there are no patients)."""
        return len(np.unique(self.groups))

    def numbers(self) -> Ints:
        """Return the true label numbers."""
        return self.truth.astype(np.int64)

    def take(self, chosen: Ints | Bools) -> Predictions:
        """Return some of the predictions."""
        names = ("rows", "truth", "scores", "groups", "predicted", "folds", "repeats")
        parts = {name: getattr(self, name)[chosen] for name in names}
        order = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return replace(
            self, **parts, raw=None if self.raw is None else self.raw[chosen],
            event=None if self.event is None else self.event[chosen],
            paths=tuple(self.paths[k] for k in order) if self.paths else (), outcomes={},
        )  # fmt: skip


def positive_label(labels: Sequence[str]) -> int:
    """Return the number of the label that counts as positive: of two, the one that does not sound healthy."""
    sound = [name.strip().lower() in HEALTHY or name.lower().startswith(("non", "no ", "no_")) for name in labels]
    return 0 if len(labels) == 2 and sound[1] and not sound[0] else len(labels) - 1 if len(labels) == 2 else 0


def read_predictions(path: Path, kind: str, labels: Sequence[str]) -> Predictions:
    """Return the predictions in a file of a run.

    Raises:
        LabelError: a column is missing or holds no number, or a label that the run does not know.
        ReadError: no CSV table.
    """
    found = _table(path)
    wanted = {
        "classification": ["label", *(f"p_{one}" for one in labels)], "ordinal": ["label", *(f"p_{n}" for n in labels)],
        "regression": ["value", "predicted"], "survival": ["time", "event", "risk"], "clustering": ["cluster"],
    }[kind]  # fmt: skip
    missing = [name for name in ("row", *wanted) if name not in found.names]
    if missing:
        raise LabelError(f"{path.name} lacks columns", found=", ".join(missing), expected=", ".join(("row", *wanted)))
    common = _common(found)
    if kind in ("classification", "ordinal"):
        return _categorical(found, kind, tuple(labels), common)
    if kind == "survival":
        event = found.numbers("event").astype(bool)
        return Predictions(kind, (), truth=found.numbers("time"), scores=found.numbers("risk"), event=event, **common)
    truth = found.numbers("value") if kind == "regression" else np.zeros(len(found))
    scores = found.numbers("predicted" if kind == "regression" else "cluster")
    return Predictions(kind, (), truth=truth, scores=scores, **common)


def _table(path: Path) -> Cohort:
    """Return a table that a program wrote: no word means "missing" here, for a label may be called "none"."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            head, *rows = csv.reader(stream)
    except (OSError, ValueError) as error:
        raise ReadError(f"{path.name} cannot be read", found=type(error).__name__, expected="a CSV table") from None
    if any(len(row) != len(head) for row in rows):
        raise ReadError(f"{path.name} holds rows of different length", expected=f"{len(head)} cells in each")
    if not rows:
        raise LabelError(f"{path.name} holds no prediction", expected="one row or more")
    return Cohort({name: np.array([row[k] for row in rows], dtype=np.str_) for k, name in enumerate(head)}, path.parent)


def _common(found: Cohort) -> dict[str, Any]:
    rows = found.numbers("row").astype(np.int64)
    return {
        "rows": rows, "groups": patient_groups(found.text("patient_id"), rows),
        "folds": np.nan_to_num(found.numbers("fold"), nan=-1).astype(np.int64),
        "repeats": np.nan_to_num(found.numbers("repeat"), nan=0).astype(np.int64),
        "paths": tuple(found.text("path").tolist()),
    }  # fmt: skip


def patient_groups(patients: NDArray[np.str_], rows: Ints) -> Ints:
    """Return the patient of each case as a number; a case without one is a patient of its own."""
    names = [f"p{one}" if one else f"r{row}" for one, row in zip(patients.tolist(), rows.tolist(), strict=True)]
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def _categorical(found: Cohort, kind: str, labels: tuple[str, ...], common: Mapping[str, Any]) -> Predictions:
    truth = label_numbers(found.text("label"), labels)
    scores = np.stack([found.numbers(f"p_{one}") for one in labels], axis=1)
    raw = np.stack([found.numbers(f"s_{one}") for one in labels], axis=1) if f"s_{labels[0]}" in found.names else None
    if raw is not None and (not np.isfinite(raw).all() or np.abs(raw.sum(axis=1) - 1).max() > 1e-3 or raw.min() < 0):
        raw = None  # decision values of a machine are no probabilities
    predicted = label_numbers(found.text("predicted"), labels) if found.has("predicted") else scores.argmax(axis=1)
    return Predictions(
        kind, labels, truth=truth.astype(np.float64), scores=scores, raw=raw, predicted=predicted.astype(np.int64),
        **common,
    )  # fmt: skip


def label_numbers(names: NDArray[np.str_], labels: Sequence[str]) -> Ints:
    """Return the number of each label.

    Raises:
        LabelError: a label that is none of these.
    """
    known = {name: number for number, name in enumerate(labels)}
    strange = sorted(set(names.tolist()) - set(known))
    if strange:
        raise LabelError("a label that the model does not know", found=", ".join(repr(one) for one in strange[:5]),
                         expected=", ".join(labels), fix="leave those cases out, or give the label column of the "
                         "model with --columns")  # fmt: skip
    return np.array([known[name] for name in names.tolist()], dtype=np.int64)
