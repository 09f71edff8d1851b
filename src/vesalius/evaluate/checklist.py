"""A draft of CLAIM 2024 and TRIPOD+AI: what a run can answer points to the value, the rest stays open for people.

Sources: Tejani et al. 2024, Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update,
doi:10.1148/ryai.240300; Collins et al. 2024, TRIPOD+AI statement, doi:10.1136/bmj-2023-078378. The words of each item
are our own short ones, in the catalogue under `evaluation.claim.<number>` and `evaluation.tripod.<number>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_LETTERS = 90
HASH = re.compile("[0-9a-f]{40,}")

CLAIM = tuple(str(number) for number in range(1, 45))
TRIPOD = ("1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a", "9b", "9c", "10",
          "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17", "18a", "18b", "18c",
          "18d", "18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b", "24", "25", "26", "27a", "27b",
          "27c")  # fmt: skip

POINTERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "claim": {
        "1": ("run#/kind", "task#/model"),
        "6": ("run#/kind", "run#/labels"),
        "7": ("task#/data/table", "card#/training_data", "run#/cohort_sha256"),
        "9": ("task#/prepare", "task#/features"),
        "10": ("run#/left_out",),
        "12": ("run#/left_out", "task#/features"),
        "14": ("task#/data/label", "run#/labels"),
        "19": ("task#/split", "evaluation#/parts/0/folds"),
        "20": ("evaluation#/parts/0/level",),
        "21": ("evaluation#/parts/0/cases", "evaluation#/parts/0/patients"),
        "22": ("task#/model", "card#/inputs", "card#/output"),
        "23": ("run#/versions",),
        "24": ("task#/model/network/init", "run#/seed"),
        "25": ("task#/model", "run#/budget", "run#/seed"),
        "26": ("run#/winner", "evaluation#/contests"),
        "28": ("evaluation#/parts/0/figures",),
        "29": ("evaluation#/options/method", "evaluation#/options/draws", "evaluation#/contests"),
        "30": ("evaluation#/shift", "evaluation#/parts/0/subgroups", "evaluation#/control"),
        "32": ("evaluation#/internal",),
        "33": ("evaluation#/external",),
        "35": ("evaluation#/parts/0/cases", "evaluation#/parts/0/patients", "run#/left_out"),
        "36": ("evaluation#/parts/0/balance", "evaluation#/parts/0/subgroups"),
        "37": ("evaluation#/parts/0/figures", "evaluation#/contests"),
        "38": ("evaluation#/headline",),
        "39": ("evaluation#/parts/0/worst",),
        "40": ("evaluation#/warnings", "card#/known_failures"),
        "41": ("card#/intended_use",),
        "43": ("card#/licence", "run#/task_sha256"),
    },
    "tripod": {
        "1": ("run#/kind", "task#/model"),
        "5a": ("task#/data/table", "card#/training_data"),
        "7": ("task#/prepare", "task#/features"),
        "8a": ("task#/data/label", "run#/labels"),
        "9a": ("task#/features", "card#/inputs"),
        "10": ("evaluation#/parts/0/cases", "evaluation#/parts/0/patients", "evaluation#/parts/0/balance"),
        "11": ("run#/left_out",),
        "12a": ("task#/split", "evaluation#/parts/0/folds"),
        "12b": ("task#/prepare",),
        "12c": ("task#/model", "task#/baseline", "task#/calibrate"),
        "12d": ("evaluation#/parts/0/subgroups",),
        "12e": ("evaluation#/options/method", "evaluation#/parts/0/figures", "evaluation#/contests"),
        "12f": ("task#/calibrate",),
        "12g": ("card#/output",),
        "13": ("evaluation#/parts/0/balance", "task#/model/network/balance"),
        "14": ("evaluation#/parts/0/subgroups",),
        "15": ("card#/output", "evaluation#/parts/0/points"),
        "16": ("evaluation#/external", "evaluation#/internal"),
        "17": ("task#/data/basis",),
        "18e": ("task#/data/licence", "run#/cohort_sha256"),
        "18f": ("run#/versions", "run#/task_sha256"),
        "20a": ("evaluation#/parts/0/cases", "evaluation#/parts/0/patients", "run#/left_out"),
        "20b": ("evaluation#/parts/0/balance", "evaluation#/parts/0/subgroups"),
        "21": ("evaluation#/parts/0/cases", "evaluation#/parts/0/balance"),
        "22": ("card#/name", "run#/winner"),
        "23a": ("evaluation#/headline", "evaluation#/parts/0/figures", "evaluation#/parts/0/subgroups"),
        "23b": ("evaluation#/shift",),
        "26": ("evaluation#/warnings", "card#/known_failures"),
    },
}
"""Checklist -> item -> where the answer stands: document, "#" and a JSON pointer (RFC 6901)."""

ITEMS: Mapping[str, Sequence[str]] = {"claim": CLAIM, "tripod": TRIPOD}


@dataclass(frozen=True)
class Answer:
    """One item of a checklist.

    Args:
        pointers: (document#/pointer, value in short) of everything that answers it; none when it is open.
        narrative: nothing that a run holds could answer it.
    """

    checklist: str
    number: str
    pointers: tuple[tuple[str, str], ...]
    narrative: bool

    @property
    def filled(self) -> bool:
        """Return whether something answers it."""
        return bool(self.pointers)


def answers(documents: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Return every item of both checklists, answered as far as the documents go.

    Args:
        documents: "run", "task", "card", "evaluation" -> content; those that are missing answer nothing.
    """
    made = []
    for checklist, numbers in ITEMS.items():
        for number in numbers:
            wanted = POINTERS[checklist].get(number, ())
            known = tuple((one, shown) for one in wanted if (shown := short(resolve(documents, one))))
            made.append(Answer(checklist, number, known, not wanted))
    return tuple(made)


def resolve(documents: Mapping[str, Any], pointer: str) -> Any:
    """Return what a pointer names, None when it is not there."""
    name, _, path = pointer.partition("#/")
    value = documents.get(name)
    for part in path.split("/"):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def short(value: Any) -> str:
    """Return a value in a few words; "" when there is none."""
    if value is None or value == "" or (isinstance(value, Mapping | Sequence) and not len(value)):
        return ""
    if isinstance(value, str) and HASH.fullmatch(value):
        return f"{value[:12]}…"
    if isinstance(value, str | int | float):
        return _cut(f"{value:.4g}" if isinstance(value, float) else str(value))
    if isinstance(value, Mapping):
        plain = {k: v for k, v in value.items() if isinstance(v, str | int | float)}
        return _cut(", ".join(f"{k}: {v}" for k, v in plain.items()) or ", ".join(str(k) for k in value))
    if all(isinstance(one, str | int | float) for one in value):
        return _cut(", ".join(str(one) for one in value))
    return str(len(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
