"""A table of cases: the noun of check, split, train and evaluate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from vesalius.core.errors import LabelError, UsageError
from vesalius.core.registry import unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT_COLUMNS = ("path", "label", "patient_id", "site", "split", "mask", "licence", "basis")
NUMBER_COLUMNS = ("time", "event", "fold", "inner_fold", "repeat")
STANDARD = (*TEXT_COLUMNS, *NUMBER_COLUMNS)
"""Columns with a meaning of their own; every other one is a clinical column."""

SPLITS = ("train", "val", "test")
LICENCES = ("open", "research", "unclear")
_BASIS = re.compile(r"(registry|licence|waiver):.+|development")
_ITEM = re.compile(r"(.+\.npz)#(\d+)")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Cases in rows.

    Args:
        columns: name -> one value per case: text ("" where missing) or float64 (NaN where missing), read-only.
        root: folder from which relative paths start.
        layout: how the cohort is stored: "table", "folders", "medmnist", "nnunet", or the name of another reader.

    Raises:
        UsageError: columns of different length, or a value that its column does not allow.
    """

    columns: Mapping[str, NDArray[np.generic]]
    root: Path = Path()
    layout: str = "table"
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Freeze the columns and check what has a meaning of its own."""
        if not self.columns:
            raise UsageError("a cohort needs columns", expected="path and label at least")
        fixed = {name: _frozen(name, values) for name, values in self.columns.items()}
        lengths = {name: len(values) for name, values in fixed.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError("the columns differ in length", found=str(lengths), expected="one value per case")
        object.__setattr__(self, "columns", MappingProxyType(fixed))
        self._check("split", SPLITS)
        self._check("licence", LICENCES)
        for value in sorted(set(self.text("basis").tolist()) - {""}):
            if not _BASIS.fullmatch(value):
                raise UsageError(
                    "a basis that is not known",
                    found=value,
                    expected="registry:<document>, licence:<name>, waiver:<reference> or development",
                )

    def _check(self, name: str, allowed: tuple[str, ...]) -> None:
        for value in sorted(set(self.text(name).tolist()) - {"", *allowed}):
            raise unknown(f"value in column {name}", value, allowed)

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(next(iter(self.columns.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(self.columns)

    @property
    def clinical(self) -> tuple[str, ...]:
        """Return the columns that have no meaning of their own here."""
        return tuple(name for name in self.columns if name not in STANDARD)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels that occur, numbers in their order, else by the alphabet."""
        found = sorted(set(self.text("label").tolist()) - {""})
        return tuple(sorted(found, key=_natural))

    def has(self, name: str) -> bool:
        """Return whether a column is there and holds at least one value."""
        values = self.columns.get(name)
        return values is not None and bool(_present(values).any())

    def is_number(self, name: str) -> bool:
        """Return whether a column holds numbers."""
        return bool(np.issubdtype(self._column(name).dtype, np.floating))

    def text(self, name: str) -> NDArray[np.str_]:
        """Return a column as text; a standard one that is missing is empty.

        Raises:
            UnknownNameError: there is no such column.
        """
        if name not in self.columns and name in STANDARD:
            return np.full(len(self), "", dtype="U1")
        values = self._column(name)
        if np.issubdtype(values.dtype, np.floating):
            return np.array(["" if np.isnan(v) else _shortest(v) for v in values.astype(float).tolist()], dtype=np.str_)
        return values.astype(np.str_)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as float64, NaN where missing; a standard one that is missing is NaN.

        Raises:
            UnknownNameError: there is no such column.
            LabelError: a value is no number.
        """
        if name not in self.columns and name in STANDARD:
            return np.full(len(self), np.nan)
        values = self._column(name)
        if np.issubdtype(values.dtype, np.floating):
            return values.astype(np.float64)
        wrong = [v for v in values.tolist() if v and not _is_number(v)]
        if wrong:
            raise LabelError(f"column {name} holds text", found=repr(wrong[0]), expected="numbers")
        return np.array([float(v) if v else np.nan for v in values.tolist()])

    def groups(self) -> NDArray[np.str_] | None:
        """Return the patient of each case, or None when a case has none."""
        patients = self.text("patient_id")
        return patients if len(patients) and bool((patients != "").all()) else None

    def take(self, rows: NDArray[np.generic] | Sequence[int] | Sequence[bool]) -> Cohort:
        """Return the cases of these row numbers, or of this mask."""
        chosen = np.asarray(rows)
        if chosen.size == 0:
            chosen = chosen.astype(int)
        return replace(self, columns={name: values[chosen] for name, values in self.columns.items()})

    def with_columns(self, **columns: Sequence[object] | NDArray[np.generic]) -> Cohort:
        """Return the cohort with columns added or replaced."""
        return replace(self, columns={**self.columns, **{n: np.asarray(v) for n, v in columns.items()}})

    def without(self, *names: str) -> Cohort:
        """Return the cohort without these columns."""
        return replace(self, columns={name: v for name, v in self.columns.items() if name not in names})

    def filled(self, name: str, value: str) -> Cohort:
        """Return the cohort with the missing values of a text column filled."""
        values = self.text(name)
        return self.with_columns(**{name: np.where(values == "", value, values)})

    def case_name(self, row: int) -> str:
        """Return how a case is called in messages: its path, else its row."""
        path = str(self.text("path")[row])
        return path or f"row {row + 1}"

    def file(self, row: int, column: str = "path") -> tuple[Path, int | None]:
        """Return the file of a case and, inside an array file, its number.

        Raises:
            LabelError: the case has no file.
        """
        name = str(self.text(column)[row])
        if not name:
            raise LabelError(f"case {row + 1} has no {column}", expected=f"a file in the column {column}")
        inside = _ITEM.fullmatch(name)
        path = Path(inside[1] if inside else name)
        return self.root / path, int(inside[2]) if inside else None

    def _column(self, name: str) -> NDArray[np.generic]:
        if name not in self.columns:
            raise unknown("column", name, tuple(self.columns))
        return self.columns[name]


def _frozen(name: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise UsageError(f"column {name} has {array.ndim} dimensions", expected="one value per case")
    if name in TEXT_COLUMNS:
        # a label 1.0 read as a number is the label "1"
        numeric = np.issubdtype(array.dtype, np.floating)
        array = np.array([_words(v, numeric=numeric) for v in array.tolist()], dtype=np.str_)
    elif name in NUMBER_COLUMNS or array.dtype.kind in "iufb":
        try:
            array = array.astype(np.float64) if array.dtype.kind in "iufb" else _parsed(array)
        except ValueError as error:
            raise UsageError(f"column {name} holds a value that is no number", found=str(error)) from None
    else:
        array = np.array([_words(v) for v in array.tolist()], dtype=np.str_)
    array = array.copy()
    array.setflags(write=False)
    return array


def _words(value: object, *, numeric: bool = False) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return _shortest(value) if numeric and isinstance(value, float) else str(value)


def _shortest(value: float) -> str:
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def _parsed(array: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.array([float(v) if str(v) not in ("", "None") else np.nan for v in array.tolist()])


def _present(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    numeric = np.issubdtype(values.dtype, np.floating)
    found: NDArray[np.bool_] = ~np.isnan(values.astype(float)) if numeric else values.astype(np.str_) != ""
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _natural(text: str) -> tuple[int, float, str]:
    return (0, float(text), text) if _is_number(text) else (1, 0.0, text)
