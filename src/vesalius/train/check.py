"""What is wrong with a cohort before anything learns from it.

Errors make a result on the cohort false (a patient or an image on two sides, a file that cannot be read); warnings are
what a reader of any result must know (shortcuts, missing patient ids); notes are facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.finding import Message
from vesalius.evaluate.duplicates import Pair, find_duplicates
from vesalius.evaluate.shortcuts import DRAWS, Named, Test, corrected, neighbour_test, tree_tests
from vesalius.train import check_table
from vesalius.train.check_findings import Finding, duplicate_findings, file_findings, shortcut_findings
from vesalius.train.check_pictures import chosen_previews
from vesalius.train.facts import CaseFacts, number_of, of_columns
from vesalius.train.facts_pool import Progress, read_facts

__all__ = ["CheckOptions", "CheckReport", "Finding", "check"]


@dataclass(frozen=True)
class CheckOptions:
    """How a cohort is checked.

    Args:
        workers: processes that read files.
        draws: of each permutation test.
        seed: of the permutations.
        turned: also look for mirrored and turned copies.
    """

    workers: int = 1
    draws: int = DRAWS
    seed: int = 0
    turned: bool = True


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What was found in a cohort.

    Args:
        findings: errors first, then warnings, then notes.
        tests: every shortcut test, p-values corrected by Holm over all of them, the surest first.
        pairs: images that show the same.
        unreadable: case number -> why.
        counts: (part, label) -> (cases, patients); part "" where the table holds no split.
        mixed: size, spacing, orientation, modality -> value -> cases.
        previews: case number -> picture [row, column] or [row, column, 3], uint8, of the cases that findings show.
    """

    cohort: Cohort
    findings: tuple[Finding, ...]
    tests: tuple[Test, ...] = ()
    pairs: tuple[Pair, ...] = ()
    unreadable: Mapping[int, str] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    mixed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    previews: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    options: CheckOptions = CheckOptions()

    def of(self, level: str) -> tuple[Finding, ...]:
        """Return the findings of a level: "error", "warning" or "note"."""
        return tuple(one for one in self.findings if one.level == level)

    @property
    def shortcuts(self) -> tuple[Test, ...]:
        """Return the tests that found something."""
        return tuple(test for test in self.tests if test.found)


def check(cohort: Cohort, options: CheckOptions | None = None, *, progress: Progress | None = None) -> CheckReport:
    """Return what is wrong with a cohort; files that cannot be read are findings, never an end.

    Args:
        progress: called with (cases read, cases in all).
    """
    options = options or CheckOptions()
    images = cohort.has("path")
    facts = read_facts(cohort, workers=options.workers, progress=progress) if images else ()
    readable = np.array([not one.problem for one in facts], dtype=bool) if images else np.ones(len(cohort), bool)
    rows = np.flatnonzero(readable)
    pairs = _pairs(facts, rows, options) if images and len(rows) > 1 else ()
    tests = _tests(cohort, facts, rows, options)
    mixed = check_table.mixed([facts[row].geometry for row in rows]) if images else {}
    findings = [
        *file_findings(cohort, facts),
        *check_table.findings(cohort, mixed),
        *duplicate_findings(cohort, pairs),
        *shortcut_findings(tests),
        *check_table.telling_columns(cohort),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    findings = sorted(findings, key=lambda one: order[one.level])
    previews = chosen_previews(cohort, [f.cases for f in findings if f.pictured], pairs, set(rows.tolist()))
    if not findings:
        findings = [Finding("note", "clean", Message("train.check.clean"))]
    unreadable = {one.row: one.problem for one in facts if one.problem}
    return CheckReport(cohort, tuple(findings), tests, pairs, MappingProxyType(unreadable),
                       check_table.counts(cohort), mixed, previews, options)  # fmt: skip


def _pairs(facts: Sequence[CaseFacts], rows: NDArray[np.int64], options: CheckOptions) -> tuple[Pair, ...]:
    small = [one.small for row in rows if (one := facts[row]).small is not None]
    found = find_duplicates(small, [facts[row].pixels for row in rows], turned=options.turned)
    return tuple(
        Pair(int(rows[p.first]), int(rows[p.second]), p.exact, p.likeness, p.turned) for p in found
    )  # fmt: skip


def _tests(
    cohort: Cohort, facts: Sequence[CaseFacts], rows: NDArray[np.int64], options: CheckOptions
) -> tuple[Test, ...]:
    """Return every shortcut test of the cohort, corrected together."""
    labels = check_table.classes(cohort)
    rows = rows[labels[rows] != ""]
    if len(np.unique(labels[rows])) < 2:
        return ()
    table = of_columns(cohort)
    mechanisms: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, columns in table.items():
        mechanisms.setdefault(name, {}).update({fact: values[rows] for fact, values in columns.items()})
    for name, values in _gathered([facts[row] for row in rows] if facts else []).items():
        mechanisms.setdefault(name, {}).update(values)
    groups = _groups(cohort)[rows]
    found = list(tree_tests(mechanisms, labels[rows], groups, draws=options.draws, seed=options.seed))
    if facts:
        names = [number_of(path) for path in cohort.text("path")[rows].tolist()]
        named = Named(np.array([one for one, _ in names]), np.array([n for _, n in names]), groups)
        small = np.stack([facts[row].small for row in rows])
        near = neighbour_test(small, named, labels[rows], draws=options.draws, seed=options.seed)
        found += [near] if near is not None else []
    return tuple(_on_cohort(test, rows) for test in corrected(found))


def _gathered(facts: Sequence[CaseFacts]) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Return mechanism -> fact -> values; a fact that some cases lack is NaN or "" there."""
    kinds: dict[tuple[str, str], bool] = {}
    for case in facts:
        for mechanism, own in case.facts.items():
            for name, value in own.items():
                text = isinstance(value, str)
                kinds[mechanism, name] = kinds.get((mechanism, name), False) or text
    found: dict[str, dict[str, NDArray[np.generic]]] = {}
    for (mechanism, name), text in kinds.items():
        values = [case.facts.get(mechanism, {}).get(name, "" if text else float("nan")) for case in facts]
        column = np.array([str(v) for v in values]) if text else np.array(values, dtype=np.float64)
        found.setdefault(mechanism, {})[name] = column
    return found


def _groups(cohort: Cohort) -> NDArray[np.int64]:
    """Return the patient of each case as a number; a case without one is a patient of its own."""
    patients = cohort.text("patient_id").tolist()
    names = [f"p{name}" if name else f"r{row}" for row, name in enumerate(patients)]
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def _on_cohort(test: Test, rows: NDArray[np.int64]) -> Test:
    return replace(test, cases=tuple(int(rows[k]) for k in test.cases))
