"""`summary.csv`: one line per study and application, the union of what stands under OUT and what failed now."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from vesalius.io.atomic import write_text
from vesalius.pipeline.store import Row, standing

NAME = "summary.csv"
FIXED = ("key", "source", "application", "outcome", "seconds")
DIGITS = 6
"""Digits written; reports hold every digit."""


def rewrite(out: Path, now: Iterable[Row]) -> list[Row]:
    """Write the summary and return its rows.

    Args:
        now: the rows of this run; those without a report stand beside what lies under OUT.

    Raises:
        OutputError: it cannot be written.
    """
    rows = {(row.key, row.application): row for row in standing(out)}
    rows |= {(row.key, row.application): row for row in now if not row.report}
    ordered = [rows[key] for key in sorted(rows)]
    write_text(out / NAME, as_csv(ordered))
    return ordered


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table; main numbers of every application are columns, empty where they do not apply."""
    numbers = list(dict.fromkeys(name for row in rows for name in row.numbers))
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*FIXED, *numbers, "message"])
    for row in rows:
        fixed = [row.key, row.source, row.application, row.outcome, _text(row.seconds)]
        table.writerow([*fixed, *(_text(row.numbers.get(name)) for name in numbers), row.message])
    return stream.getvalue()


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.{DIGITS}g}"
