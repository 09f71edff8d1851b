"""Findings about files, masks, copies and shortcuts of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vesalius.core.cohort import Cohort
from vesalius.core.finding import Message
from vesalius.evaluate.duplicates import Pair
from vesalius.evaluate.shortcuts import Test
from vesalius.train.facts import CaseFacts, MaskFacts

MOST_LABELS = 16
"""A mask with more values than this, in most cases, was not drawn as labels."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Args:
        level: "error", "warning" or "note".
        kind: stable name, such as "duplicate_split" or "shortcut".
        message: the sentence.
        cases: numbers of the cases.
        mechanism: of a shortcut; `column` is the fact that betrays the label, `rule` how.
        p_value: of its permutation test, corrected by Holm over all tests of the cohort.
        pairs: of copies: places in `CheckReport.pairs`.
    """

    level: str
    kind: str
    message: Message
    cases: tuple[int, ...] = ()
    mechanism: str = ""
    column: str = ""
    rule: str = ""
    p_value: float | None = None
    pairs: tuple[int, ...] = field(default=())

    @property
    def pictured(self) -> bool:
        """Return whether pictures of its cases help."""
        return self.kind in ("shortcut", "neighbours", "mask_empty")


def found(level: str, kind: str, cases: Sequence[int] = (), **parameters: str | int | float) -> Finding:
    """Return a finding whose sentence is `train.check.<kind>`."""
    told = {"count": len(cases), **parameters}
    return Finding(level, kind, Message(f"train.check.{kind}", told), tuple(int(one) for one in cases))


def file_findings(cohort: Cohort, facts: Sequence[CaseFacts]) -> list[Finding]:
    """Return what is wrong with images and masks."""
    unreadable = [one.row for one in facts if one.problem]
    made = [found("error", "unreadable", unreadable, all=len(cohort))] if unreadable else []
    masks = {one.row: one.mask for one in facts if one.mask is not None}
    if masks:
        made += _mask_findings(masks)
        bare = [one.row for one in facts if one.mask is None and not one.problem]
        made += [found("warning", "mask_absent", bare, all=len(cohort))] if bare else []
    return made


def _mask_findings(masks: Mapping[int, MaskFacts]) -> list[Finding]:
    made = []
    broken = [row for row, mask in masks.items() if mask.problem]
    if broken:
        made.append(found("error", "mask_unreadable", broken, example=masks[broken[0]].problem))
    other = [row for row, mask in masks.items() if not mask.fits and not mask.problem]
    if other:
        made.append(found("error", "mask_size", other))
    empty = [row for row, mask in masks.items() if not mask.problem and not mask.values]
    if empty:
        made.append(found("warning", "mask_empty", empty, all=len(masks)))
    many = [row for row, mask in masks.items() if len(mask.values) > MOST_LABELS]
    if len(many) * 2 > len(masks):
        made.append(found("warning", "mask_shades", many))
    else:
        made += _odd_values(masks)
    return made


def _odd_values(masks: Mapping[int, MaskFacts]) -> list[Finding]:
    """Return a finding when a value stands in less than one in twenty masks, as strays of an editor do."""
    held: dict[int, list[int]] = {}
    for row, mask in masks.items():
        for value in mask.values:
            held.setdefault(value, []).append(row)
    rare = {value: rows for value, rows in held.items() if len(rows) * 20 < len(masks)}
    if not rare or len(rare) == len(held):
        return []
    cases = sorted({row for rows in rare.values() for row in rows})
    values = ", ".join(str(v) for v in sorted(rare)[:8])
    usual = ", ".join(str(v) for v in sorted(set(held) - set(rare))[:8])
    return [found("warning", "mask_values", cases, values=values, usual=usual)]


def duplicate_findings(cohort: Cohort, pairs: Sequence[Pair]) -> list[Finding]:
    """Return what copies mean: across splits, labels and patients."""
    held: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        for kind in across(cohort, pair):
            held.setdefault(kind, []).append(number)
    levels = {"duplicate_split": "error", "duplicate_label": "warning", "duplicate_patient": "warning",
              "duplicate_unknown": "warning", "duplicate_within": "note"}  # fmt: skip
    made = []
    for kind, level in levels.items():
        numbers = held.get(kind, [])
        if not numbers:
            continue
        exact = sum(pairs[k].exact for k in numbers)
        # the same pixels under two labels: one of the two labels is wrong
        level = "error" if kind == "duplicate_label" and exact else level
        cases = sorted({row for k in numbers for row in (pairs[k].first, pairs[k].second)})
        one = found(level, kind, cases, pairs=len(numbers), exact=exact, near=len(numbers) - exact)
        made.append(Finding(one.level, one.kind, one.message, one.cases, pairs=tuple(numbers)))
    return made


def across(cohort: Cohort, pair: Pair) -> tuple[str, ...]:
    """Return what stands between the two images of a pair."""
    kinds = []
    for name in ("split", "label"):
        first, second = (str(cohort.text(name)[row]) for row in (pair.first, pair.second))
        if first and second and first != second:
            kinds.append(f"duplicate_{name}")
    first, second = (str(cohort.text("patient_id")[row]) for row in (pair.first, pair.second))
    if not first or not second:
        kinds.append("duplicate_unknown")
    else:
        kinds.append("duplicate_patient" if first != second else "duplicate_within")
    return tuple(kinds)


def shortcut_findings(tests: Sequence[Test]) -> list[Finding]:
    """Return one finding per test that found something."""
    made = []
    for test in tests:
        if not test.found:
            continue
        near = test.mechanism == "neighbours"
        kind = "neighbours" if near else "shortcut"
        rule = str(test.rules[0])
        parameters: dict[str, str | int | float] = {
            "mechanism": f"@train.mechanism.{test.mechanism}", "column": test.column, "count": len(test.cases),
            "rule": rule, "accuracy": test.accuracy, "chance": test.chance, "p": p_text(test.corrected),
        }  # fmt: skip
        if near:
            parameters["likeness"] = float(test.rules[0].below.split(",")[0])
        message = Message(f"train.check.{kind}", parameters)
        made.append(Finding("warning", kind, message, test.cases, test.mechanism, test.column, rule, test.corrected))
    return made


def p_text(p_value: float) -> str:
    """Return a p-value as people write it."""
    return (
        f"{p_value:.2f}" if p_value >= 0.1 else f"{float(np.format_float_positional(p_value, 2, fractional=False)):g}"
    )
