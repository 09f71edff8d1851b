"""Cohort tables: CSV with any usual delimiter, decimal comma understood, and Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.core import registry
from vesalius.core.cohort import STANDARD, TEXT_COLUMNS, Cohort
from vesalius.core.errors import MissingDependencyError, ReadError, UnsupportedError, UsageError
from vesalius.io.atomic import write_text

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
ALIASES = {"file": "path", "patient": "patient_id"}
MISSING = {"", "na", "n/a", "nan", "none", "null"}
_COMMA_NUMBER = re.compile(r"-?\d+,\d+")


class Reader:
    """Reads tables, and folders that hold `labels.csv`."""

    def takes(self, path: Path) -> bool:
        """Return whether the path is a table or a folder with one."""
        return _table_of(path) is not None

    def read(self, path: Path) -> Cohort:
        """Return the cases."""
        return read(path)


def _table_of(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    inside = path / "labels.csv"
    return inside if inside.is_file() else None


def read(path: Path, columns: Mapping[str, str] | None = None) -> Cohort:
    """Return the cases of a table; paths are relative to it.

    Args:
        columns: standard name -> name in the file.

    Raises:
        ReadError: not a table, or rows of different length.
        UsageError: a column that is not there, or twice.
    """
    source = _table_of(path)
    if source is None:
        raise UnsupportedError(f"{path} is no table", expected=", ".join(SUFFIXES))
    header, rows = _parquet(source) if source.suffix.lower() == ".parquet" else _text_table(source)
    names = _renamed(header, columns or {})
    values = {name: _column(name, [row[i] for row in rows]) for i, name in enumerate(names)}
    if not values:
        raise ReadError(f"{source} has no header", expected="a first line with the names of the columns")
    return Cohort(values, source.parent, "table")


def _text_table(source: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ReadError(f"{source} is no UTF-8 text", fix="save the table as UTF-8 CSV") from None
    if "\0" in text:
        raise ReadError(f"{source} is no text", expected="a CSV table")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    if not rows:
        raise ReadError(f"{source} is empty", expected="a table with a header")
    header = [cell.strip() for cell in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ReadError(
                f"{source}, row {number}: another number of cells",
                found=str(len(row)),
                expected=f"{len(header)}: {', '.join(header[:8])}",
            )
    cells = [[cell.strip() for cell in row] for row in rows[1:]]
    if delimiter == ";":
        cells = [[c.replace(",", ".") if _COMMA_NUMBER.fullmatch(c) else c for c in row] for row in cells]
    return header, cells


def _parquet(source: Path) -> tuple[list[str], list[list[str]]]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-not-found]
    except ImportError:
        raise MissingDependencyError("Parquet tables need pyarrow", fix="pip install pyarrow") from None
    try:
        table = parquet.read_table(source)
    except (ArrowException, OSError) as error:
        raise ReadError(f"{source} is no Parquet table", found=type(error).__name__) from None
    rows = [["" if v is None else str(v) for v in row.values()] for row in table.to_pylist()]
    return list(table.column_names), rows


def _renamed(header: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    for standard, own in columns.items():
        if standard not in STANDARD:
            raise registry.unknown("standard column", standard, STANDARD)
        if own not in header:
            raise registry.unknown("column of the table", own, tuple(header))
    given = {own: standard for standard, own in columns.items()}
    names = []
    for own in header:
        usual = ALIASES.get(own, own)
        # a column whose name is given to another one keeps its place under another name
        names.append(given.get(own) or (f"{own} (given)" if usual in columns else usual))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"column {twice[0]!r} occurs twice", found=", ".join(header), fix="rename one of them")
    return names


def _column(name: str, cells: Sequence[str]) -> NDArray[np.generic]:
    known = ["" if cell.lower() in MISSING else cell for cell in cells]
    if name in TEXT_COLUMNS:
        # the label "none" or "NA" is a label
        return np.array([c.strip() for c in cells] if name == "label" else known, dtype=np.str_)
    try:
        return np.array([float(cell) if cell else np.nan for cell in known])
    except ValueError:
        return np.array(known, dtype=np.str_)


def write_cohort(cohort: Cohort, path: str | Path) -> None:
    """Write a cohort as CSV, paths relative to the table, beside the target and then renamed.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = Path(path)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(cohort.names)
    columns = [_moved(cohort, name, path.parent) if name in ("path", "mask") else cohort.text(name).tolist()
               for name in cohort.names]  # fmt: skip
    table.writerows(zip(*columns, strict=True))
    write_text(path, written.getvalue())


def _moved(cohort: Cohort, name: str, folder: Path) -> list[str]:
    base, here = cohort.root.resolve(), folder.resolve()
    if base == here:
        return cohort.text(name).tolist()  # type: ignore[no-any-return]
    return [_relative(base / one, here) if one else "" for one in cohort.text(name).tolist()]


def _relative(path: Path, folder: Path) -> str:
    import os.path

    return Path(os.path.relpath(path, folder)).as_posix()
