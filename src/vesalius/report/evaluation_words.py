"""How figures, candidates and data are called, and how a figure with its interval is written."""

from __future__ import annotations

import math

from vesalius.evaluate.evaluation import Part
from vesalius.evaluate.predictions import Figure
from vesalius.report import numbers
from vesalius.report.phrases import Phrases

BOUNDED = frozenset(
    {"auc", "average_precision", "balanced_accuracy", "accuracy", "f1", "recall", "sensitivity", "specificity", "ppv",
     "npv", "uno_c", "harrell_c", "brier", "ece", "brier_before", "ece_before", "mcc", "kappa", "r2"}
)  # fmt: skip
"""Figures between 0 and 1 (or -1 and 1), written with so many decimals as the interval justifies, at least two."""


def candidate(part: Part, phrases: Phrases) -> str:
    """Return how a model is called."""
    return named(part.candidate, phrases)


def named(name: str, phrases: Phrases) -> str:
    """Return how a model is called; a package by its own name."""
    usual = ("network", "classical", "baseline")
    return phrases.text(f"evaluation.candidate.{name}") if name in usual else name


def where(part: Part, phrases: Phrases) -> str:
    """Return how a set of cases is called."""
    return phrases.text(f"evaluation.data.{part.data}")


def decimals(figure: Figure) -> int:
    """Return how many decimals a figure is written with."""
    if not math.isfinite(figure.low):
        return 3 if figure.name in BOUNDED else numbers.decimals_for(figure.value)
    found = numbers.decimals_for(figure.value, figure.low, figure.high)
    return max(2, min(found, 3)) if figure.name in BOUNDED else found


def value(figure: Figure) -> str:
    """Return the number, "" when it is not defined."""
    return numbers.fixed(figure.value, decimals(figure)) if math.isfinite(figure.value) else ""


def ends(figure: Figure) -> tuple[str, str]:
    """Return the ends of the interval, "" where there is none."""
    if not (math.isfinite(figure.low) and math.isfinite(figure.value)):
        return "", ""
    places = decimals(figure)
    return numbers.fixed(figure.low, places), numbers.fixed(figure.high, places)


def interval(figure: Figure, phrases: Phrases) -> str:
    """Return the number with its interval."""
    low, high = ends(figure)
    shown = value(figure)
    if not shown:
        return phrases.text("evaluation.note.undefined")
    return phrases.text("evaluation.number", value=shown, low=low, high=high) if low else shown


def point(name: str, phrases: Phrases) -> str:
    """Return how an operating point is called."""
    kind, _, number = name.partition(" ")
    return phrases.text(f"evaluation.point.{kind}", value=number)


def title(figure: Figure, phrases: Phrases) -> str:
    """Return the name of a figure with what it is about."""
    name = phrases.text(f"evaluation.figure.{figure.name}")
    if not figure.of:
        return name
    about = point(figure.of, phrases) if is_point(figure) else figure.of
    return f"{name}, {about}" if phrases.language == "en" else f"{name}（{about}）"


def is_point(figure: Figure) -> bool:
    """Return whether a figure belongs to an operating point."""
    return figure.name in ("sensitivity", "specificity", "ppv", "npv")
