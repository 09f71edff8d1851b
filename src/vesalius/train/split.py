"""Dividing a cohort so that no patient, duplicate or site stands on two sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import UsageError
from vesalius.core.registry import unknown

BINS = 4
"""Numbers are stratified by their quartiles."""

LEAST_PER_LABEL = 2


@dataclass(frozen=True)
class SplitOptions:
    """How a cohort is divided.

    Args:
        folds: number of folds of the cross-validation; 0 for a single division.
        test: share of the cases kept for one test set, by whole groups; what is marked `test` in the table stays there.
        val: share of the remaining cases kept for validation, when there are no folds.
        inner_folds: folds within the training part of each fold, for choosing parameters.
        repeats: how often the folds are drawn anew.
        stratify: columns whose values every part shall hold in the same shares.
        leave_out: a column such as `site`: each of its values is one fold.
        no_patient_ids: take every case without a patient for a patient of its own; every report then warns.
        seed: of the draw; the same seed gives the same division.
    """

    folds: int = 5
    test: float = 0.0
    val: float = 0.0
    inner_folds: int = 0
    repeats: int = 1
    stratify: tuple[str, ...] = ("label",)
    leave_out: str = ""
    no_patient_ids: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: a share outside 0..1, one fold, folds within nothing.
        """
        if self.folds == 1 or self.folds < 0 or self.inner_folds == 1 or self.inner_folds < 0:
            raise UsageError("one fold divides nothing", found=f"{self.folds}, inner {self.inner_folds}",
                             expected="0, or 2 and more")  # fmt: skip
        if not 0 <= self.test < 1 or not 0 <= self.val < 1 or self.test + self.val >= 1:
            raise UsageError("test and val are shares", found=f"{self.test} and {self.val}", expected="0 to 1 together")
        if self.repeats < 1 or (self.inner_folds and not (self.folds or self.leave_out)):
            raise UsageError("inner folds and repeats need folds", found=f"repeats {self.repeats}, folds {self.folds}")


@dataclass(frozen=True, eq=False)
class Division:
    """A divided cohort.

    Args:
        cohort: with the columns `split`, `fold`, `inner_fold`, `repeat` as they apply; repeats stand one below the
            other.
        groups: group of each case of the cohort as given; a group is never divided.
        warnings: what a reader of any result on this division must know.
    """

    cohort: Cohort
    groups: NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    options: SplitOptions = SplitOptions()


def divide(
    cohort: Cohort, options: SplitOptions | None = None, *, duplicates: Iterable[tuple[int, int]] = ()
) -> Division:
    """Return the cohort with every case assigned; patients and duplicates are never divided.

    Args:
        duplicates: pairs of case numbers that show the same image (see `evaluate.leakage`).

    Raises:
        UsageError: cases without patient ids and `no_patient_ids` not set; a part that would be empty or lack a label;
            a patient on both sides of a division that the table already holds.
        UnknownNameError: a column that is not there.
    """
    options = options or SplitOptions()
    for name in (*options.stratify, options.leave_out):
        if name and name not in cohort.names:
            raise unknown("column", name, cohort.names)
    groups, warnings = grouped(cohort, duplicates, no_patient_ids=options.no_patient_ids)
    strata = _strata(cohort, options.stratify)
    split = _kept(cohort, groups)
    if options.test and not (split == "test").any():
        split[_drawn(groups, strata, options.test, options.seed)] = "test"
    rest = np.flatnonzero(split != "test")
    if options.folds or options.leave_out:
        parts = [_folds(cohort, groups, strata, rest, replace(options, seed=options.seed + 1000 * r))
                 for r in range(options.repeats)]  # fmt: skip
        split[rest] = "train"
        return Division(_repeated(cohort, split, parts, options), groups, warnings, options)
    if options.val and not (split == "val").any():
        chosen = _drawn(groups[rest], strata[rest], options.val / (1 - options.test), options.seed + 1)
        split[rest[chosen]] = "val"
    split[split == ""] = "train"
    _check_parts(cohort, split)
    return Division(cohort.with_columns(split=split), groups, warnings, options)


def grouped(
    cohort: Cohort, duplicates: Iterable[tuple[int, int]] = (), *, no_patient_ids: bool = False
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the group of each case, and warnings: cases of one patient, or joined by duplicates, are one group.

    Raises:
        UsageError: cases without a patient and `no_patient_ids` not set.
    """
    patients = cohort.text("patient_id")
    nameless = int((patients == "").sum())
    if nameless and not no_patient_ids:
        raise UsageError(
            f"{nameless} of {len(cohort)} cases have no patient_id, so that one patient could stand on both sides",
            expected="a column patient_id without gaps",
            fix="add it; or say --no-patient-ids, and every report of this division will warn",
        )
    known: dict[str, int] = {}
    parent = [known.setdefault(name, row) if name else row for row, name in enumerate(patients.tolist())]
    for first, second in duplicates:
        a, b = _root(parent, first), _root(parent, second)
        parent[max(a, b)] = min(a, b)
    roots = np.array([_root(parent, row) for row in range(len(cohort))], dtype=np.int64)
    _, groups = np.unique(roots, return_inverse=True)
    warning = f"{nameless} of {len(cohort)} cases have no patient id: one patient may stand on both sides"
    return groups.astype(np.int64), (warning,) if nameless else ()


def _root(parent: list[int], row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


def _strata(cohort: Cohort, names: Sequence[str]) -> NDArray[np.int64]:
    """Return one number per combination of values; numbers by their quartiles, text as it is."""
    columns = []
    for name in names:
        values = _continuous(cohort, name)
        if values is not None:
            edges = np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
            columns.append(np.where(np.isnan(values), -1, np.searchsorted(edges, values)).astype(np.str_))
        else:
            columns.append(cohort.text(name))
    if not columns:
        return np.zeros(len(cohort), dtype=np.int64)
    joined = np.array(["\0".join(row) for row in zip(*(c.tolist() for c in columns), strict=True)])
    return np.unique(joined, return_inverse=True)[1].astype(np.int64)


def _continuous(cohort: Cohort, name: str) -> NDArray[np.float64] | None:
    """Return a column as numbers when it holds numbers of many values, as the label of a regression does."""
    found = cohort.text(name)
    if len(set(found.tolist())) <= 2 * BINS:
        return None
    try:
        return np.array([float(v) if v else np.nan for v in found.tolist()])
    except ValueError:
        return None


def _kept(cohort: Cohort, groups: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the division that the table holds, every group in one part."""
    split = cohort.text("split").astype("U5")
    for group in np.unique(groups[split != ""]):
        members = np.flatnonzero((groups == group) & (split != ""))
        parts = sorted(set(split[members].tolist()))
        if len(parts) > 1:
            first, second = (members[split[members] == part][0] for part in parts[:2])
            raise UsageError(
                f"the table divides one patient, or two images that are the same, between {' and '.join(parts)}",
                found=f"{cohort.case_name(int(first))} and {cohort.case_name(int(second))}",
                fix="put all cases of a patient into one part, or leave the column split out",
            )
        split[groups == group] = parts[0]
    return split


def _drawn(groups: NDArray[np.int64], strata: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Return which cases make up about this share, by whole groups and with the strata in their shares."""
    count = max(2, round(1 / min(share, 1 - share)))
    bins = assign(groups, strata, max(count * 4, 8), seed)
    wanted = max(1, round(share * (bins.max() + 1)))
    drawn: NDArray[np.bool_] = bins < wanted
    return drawn


def assign(groups: NDArray[np.int64], strata: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each case: groups stay whole, strata are spread as evenly as the groups allow.

    Groups go, those with the most uneven strata first, each to the fold where the spread of the strata's shares over
    the folds is then smallest; ties go to the fold with fewer cases. The manner of scikit-learn's StratifiedGroupKFold.
    """
    _, inverse = np.unique(groups, return_inverse=True)
    counts = np.zeros((inverse.max() + 1, strata.max() + 1))
    np.add.at(counts, (inverse, strata), 1)
    totals = counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    filled = np.zeros((folds, counts.shape[1]))
    place = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        trial = np.repeat(filled[None] / totals, folds, axis=0)
        trial[np.arange(folds), np.arange(folds)] += counts[group] / totals
        spread = trial.std(axis=1).mean(axis=1)
        best = np.lexsort((filled.sum(axis=1), np.round(spread, 12)))[0]
        filled[best] += counts[group]
        place[group] = best
    return place[inverse]


def _folds(
    cohort: Cohort, groups: NDArray[np.int64], strata: NDArray[np.int64], rest: NDArray[np.int64], options: SplitOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fold and the inner fold of every case, NaN for the test set."""
    fold, inner = np.full(len(cohort), np.nan), np.full(len(cohort), np.nan)
    if options.leave_out:
        fold[rest] = _by_value(cohort, groups, rest, options.leave_out)
    else:
        if len(np.unique(groups[rest])) < options.folds:
            raise UsageError(
                "there are fewer patients than folds", found=str(len(np.unique(groups[rest]))),
                expected=f"{options.folds} or more",
            )  # fmt: skip
        fold[rest] = assign(groups[rest], strata[rest], options.folds, options.seed)
    _check_folds(cohort, fold)
    if options.inner_folds:
        # one column serves every outer fold: within the training part of fold k, the inner folds are those of the
        # groups, drawn once, so that no group is divided there either
        inner[rest] = assign(groups[rest], strata[rest], options.inner_folds, options.seed + 1)
    return fold, inner


def _by_value(cohort: Cohort, groups: NDArray[np.int64], rest: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    values = cohort.text(name)[rest]
    if (values == "").any():
        raise UsageError(f"a case has no {name}", found=cohort.case_name(int(rest[values == ""][0])),
                         fix=f"fill the column {name}")  # fmt: skip
    names, fold = np.unique(values, return_inverse=True)
    if len(names) < LEAST_PER_LABEL:
        raise UsageError(f"the column {name} holds one value", found=str(names[0]), expected="two or more")
    for group in np.unique(groups[rest]):
        own = np.unique(fold[groups[rest] == group])
        if len(own) > 1:
            raise UsageError(
                f"a patient stands under two values of {name}", found=", ".join(names[own].tolist()),
                fix="leave that patient out, or correct the column",
            )  # fmt: skip
    return fold.astype(np.int64)


def _check_folds(cohort: Cohort, fold: NDArray[np.float64]) -> None:
    labels = cohort.text("label")
    if not cohort.has("label") or _continuous(cohort, "label") is not None:
        return
    for number in np.unique(fold[~np.isnan(fold)]):
        train = labels[(fold != number) & ~np.isnan(fold)]
        lacking = sorted(set(labels[~np.isnan(fold)].tolist()) - set(train.tolist()))
        if lacking:
            raise UsageError(
                f"fold {int(number)} would hold every case of a label, so that training never sees it",
                found=", ".join(lacking),
                expected="each label in two groups or more",
                fix="fewer folds, or more patients of this label",
            )


def _check_parts(cohort: Cohort, split: NDArray[np.str_]) -> None:
    if not cohort.has("label") or _continuous(cohort, "label") is not None:
        return
    labels = cohort.text("label")
    for part in sorted(set(split.tolist())):
        lacking = sorted(set(labels.tolist()) - set(labels[split == part].tolist()) - {""})
        if part == "train" and lacking:
            raise UsageError("the training part lacks a label", found=", ".join(lacking),
                             fix="a smaller test share, or more patients of this label")  # fmt: skip


def _repeated(
    cohort: Cohort,
    split: NDArray[np.str_],
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    options: SplitOptions,
) -> Cohort:
    cohorts = []
    for number, (fold, inner) in enumerate(parts):
        columns: dict[str, NDArray[np.generic]] = {"split": split, "fold": fold}
        if options.inner_folds:
            columns["inner_fold"] = inner
        if options.repeats > 1:
            columns["repeat"] = np.full(len(cohort), float(number))
        cohorts.append(cohort.with_columns(**columns))
    if len(cohorts) == 1:
        return cohorts[0]
    names = cohorts[0].names
    return replace(cohorts[0], columns={n: np.concatenate([one.columns[n] for one in cohorts]) for n in names})
