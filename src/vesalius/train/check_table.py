"""Findings about the table of a cohort: labels, patients, splits, geometry, consent basis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.train.check_findings import Finding, found

FEW_CASES = 10
UNEVEN = 10
"""A label with this many times fewer cases than the most frequent one is rare."""
MOST_CLASSES = 20
LEAST_TELLING = 30


def classes(cohort: Cohort) -> NDArray[np.str_]:
    """Return the label of each case as a class: numbers of many values by their quartiles, else events."""
    name = "label" if cohort.has("label") else "event"
    labels = cohort.text(name)
    numbers = _continuous(cohort, name)
    if numbers is None:
        return labels
    edges = np.nanquantile(numbers, (0.25, 0.5, 0.75))
    quarter = np.searchsorted(edges, np.nan_to_num(numbers)) + 1
    return np.where(np.isnan(numbers), "", np.char.add("quarter ", quarter.astype(np.str_)))


def _continuous(cohort: Cohort, name: str) -> NDArray[np.float64] | None:
    values = cohort.text(name)
    if len(set(values.tolist()) - {""}) <= MOST_CLASSES:
        return None
    try:
        return np.array([float(v) if v else np.nan for v in values.tolist()])
    except ValueError:
        return None


def counts(cohort: Cohort) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (part, label) -> (cases, patients); patients 0 where none is named."""
    rows: dict[tuple[str, str], list[int]] = {}
    labels = classes(cohort).tolist()
    for row, key in enumerate(zip(cohort.text("split").tolist(), labels, strict=True)):
        rows.setdefault(key, []).append(row)
    patients = cohort.text("patient_id")
    return {key: (len(own), len(set(patients[own].tolist()) - {""})) for key, own in sorted(rows.items())}


def mixed(told: Sequence[Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """Return size, spacing, orientation and modality -> value -> cases, the most frequent first."""
    names = dict.fromkeys(name for one in told for name in one)
    return {name: dict(Counter(one[name] for one in told if one.get(name)).most_common()) for name in names}


def findings(cohort: Cohort, geometry: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Return what the table itself tells."""
    made = [*_label_findings(cohort), *_patient_findings(cohort), *_basis_findings(cohort)]
    for name, values in geometry.items():
        if len(values) > 1:
            examples = ", ".join(f"{value} ({count})" for value, count in list(values.items())[:4])
            made.append(found("warning", f"mixed_{name}", (), kinds=len(values), examples=examples))
    return made


def _label_findings(cohort: Cohort) -> list[Finding]:
    labels = cohort.text("label")
    if not cohort.has("label"):
        other = cohort.has("mask") or cohort.has("time")
        return [] if other else [found("warning", "label_missing")]
    made = []
    missing = np.flatnonzero(labels == "")
    if len(missing):
        made.append(found("warning", "label_gaps", missing.tolist(), all=len(cohort)))
    if _continuous(cohort, "label") is not None:
        return made
    count = Counter(labels[labels != ""].tolist())
    if len(count) == 1:
        level = "note" if cohort.has("mask") or cohort.has("time") else "error"
        return [*made, found(level, "label_constant", (), label=next(iter(count)))]
    most = max(count.values())
    rare = {name: n for name, n in count.items() if n < FEW_CASES or n * UNEVEN < most}
    if rare:
        told = ", ".join(f"{name} ({n})" for name, n in sorted(rare.items(), key=lambda pair: pair[1])[:6])
        made.append(found("warning", "label_rare", (), labels=told, most=most))
    return made


def _patient_findings(cohort: Cohort) -> list[Finding]:
    patients, made = cohort.text("patient_id"), []
    nameless = np.flatnonzero(patients == "")
    if len(nameless):
        made.append(found("warning", "patient_missing", nameless.tolist(), all=len(cohort)))
    for name, kind, level in (("split", "patient_split", "error"), ("label", "patient_labels", "note")):
        values = cohort.text(name)
        held: dict[str, set[str]] = {}
        for patient, value in zip(patients.tolist(), values.tolist(), strict=True):
            if patient and value:
                held.setdefault(patient, set()).add(value)
        several = [patient for patient, own in held.items() if len(own) > 1]
        if several and not (name == "label" and _continuous(cohort, "label") is not None):
            rows = np.flatnonzero(np.isin(patients, several))
            made.append(found(level, kind, rows.tolist(), patients=len(several)))
    return made


def _basis_findings(cohort: Cohort) -> list[Finding]:
    basis = cohort.text("basis")
    missing = np.flatnonzero(basis == "")
    made = [found("warning", "basis_missing", missing.tolist(), all=len(cohort))] if len(missing) else []
    tried = np.flatnonzero(basis == "development")
    if len(tried):
        made.append(found("warning", "basis_development", tried.tolist(), all=len(cohort)))
    return made


def telling_columns(cohort: Cohort) -> list[Finding]:
    """Return clinical columns that tell the label: each value, or each range of numbers, stands with one label only."""
    labels = cohort.text("label")
    if not cohort.has("label") or _continuous(cohort, "label") is not None or len(cohort.labels) < 2:
        return []
    made = []
    for name in cohort.clinical:
        values = cohort.text(name)
        known = (values != "") & (labels != "")
        kinds = set(values[known].tolist())
        pairs = set(zip(values[known].tolist(), labels[known].tolist(), strict=True))
        told = {label for _, label in pairs}
        if known.sum() < LEAST_TELLING or len(told) < 2:
            continue
        if len(told) <= len(kinds) == len(pairs) <= MOST_CLASSES or _separates(cohort, name, known):
            made.append(found("warning", "label_told", np.flatnonzero(known).tolist(), column=name))
    return made


def _separates(cohort: Cohort, name: str, known: NDArray[np.bool_]) -> bool:
    """Return whether the ranges of a number do not overlap between labels, as when it was computed from them."""
    values = _continuous(cohort, name)
    if values is None:
        return False
    labels = cohort.text("label")
    own = [values[known & (labels == one)] for one in sorted(set(labels[known].tolist()))]
    ranges = sorted((float(one.min()), float(one.max())) for one in own)
    return all(len(one) >= FEW_CASES for one in own) and all(a[1] < b[0] for a, b in pairwise(ranges))
