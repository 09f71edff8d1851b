"""Copies for a division: found anew, or taken from an earlier check."""

from __future__ import annotations

import json
from pathlib import Path

from vesalius.core.cohort import Cohort
from vesalius.core.errors import ReadError, UsageError
from vesalius.evaluate.duplicates import find_duplicates
from vesalius.train.facts_pool import Progress, read_facts

Pairs = tuple[tuple[int, int], ...]


def found_pairs(cohort: Cohort, *, workers: int = 1, progress: Progress | None = None) -> tuple[Pairs, int]:
    """Return the pairs of cases that show the same, and how many files could not be read."""
    facts = [one for one in read_facts(cohort, workers=workers, progress=progress) if one.small is not None]
    lost = len(cohort) - len(facts)
    if len(facts) < 2:
        return (), lost
    small = [one.small for one in facts if one.small is not None]
    pairs = find_duplicates(small, [one.pixels for one in facts])
    return tuple((facts[p.first].row, facts[p.second].row) for p in pairs), lost


def told_pairs(cohort: Cohort, path: Path) -> Pairs:
    """Return the pairs of the `check.json` of an earlier check, as cases of this cohort.

    Raises:
        ReadError: the file is no check.
        UsageError: the check is of other cases.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        names = [(str(one["first"]), str(one["second"])) for one in told["duplicates"]]
        known = str(told["schema"]).startswith("vesalius.check/")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ReadError(f"{path} is no check of a data set", found=type(error).__name__,
                        expected="check.json of vesalius check, or auto") from None  # fmt: skip
    if not known:
        raise ReadError(
            f"{path} is no check of a data set", found=str(told["schema"])[:40], expected="vesalius.check/1"
        )
    rows = {str(name): row for row, name in enumerate(cohort.text("path").tolist())}
    pairs = tuple((rows[a], rows[b]) for a, b in names if a in rows and b in rows)
    if names and not pairs:
        raise UsageError(f"no copy that {path} names is in this table", found=names[0][0],
                         expected="a check of the same table", fix="--duplicates auto looks for them")  # fmt: skip
    return pairs
