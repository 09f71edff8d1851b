"""Columns of small CSV tables that a person hands in."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def columns(path: Path, names: Sequence[Sequence[str]]) -> dict[int, tuple[str, ...]]:
    """Return line -> values of some columns; each column may have several names, the first that is there counts.

    Raises:
        ReadError: the file cannot be read, is no CSV, or has no such column.
    """
    from vesalius.core.errors import ReadError

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            head = list(reader.fieldnames or ())
            chosen = [next((name for name in wanted if name in head), "") for wanted in names]
            if not chosen or not chosen[0]:
                raise ReadError(
                    f"{path} has no such column", found=", ".join(head)[:200], expected=" or ".join(names[0])
                )
            found = {}
            for row in reader:
                found[reader.line_num] = tuple(str(row.get(name) or "") for name in chosen)
            return found
    except OSError as error:
        raise ReadError(f"{path} cannot be read", found=error.strerror or type(error).__name__) from None
    except (UnicodeDecodeError, csv.Error):
        raise ReadError(
            f"{path} is not a CSV table in UTF-8", expected="a line of names, then one line per case"
        ) from None


def column(path: Path, names: Sequence[str]) -> dict[int, str]:
    """Return line -> value of one column.

    Raises:
        ReadError: the file cannot be read, is no CSV, or has no such column.
    """
    return {line: values[0] for line, values in columns(path, (names,)).items()}
