"""Cohorts as they lie on disk: tables, folders per class, MedMNIST archives, nnU-Net raw data.

`read_cohort` finds the layout by itself; other layouts are readers of the extension point `vesalius.readers`, named
`cohort.<layout>`: an object with `takes(path) -> bool` and `read(path) -> Cohort`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from vesalius.core import registry
from vesalius.core.cohort import Cohort
from vesalius.core.errors import NothingFoundError, UnsupportedError, UsageError
from vesalius.io.cohort import archive, folders, nnunet, table
from vesalius.io.cohort.images import load_case
from vesalius.io.cohort.table import write_cohort

__all__ = ["CohortReader", "load_case", "read_cohort", "write_cohort"]

PREFIX = "cohort."


@runtime_checkable
class CohortReader(Protocol):
    """Reads one layout."""

    def takes(self, path: Path) -> bool:
        """Return whether the path has this layout; cheap, and no error for strange files."""

    def read(self, path: Path) -> Cohort:
        """Return the cases."""


BUILT_IN: Mapping[str, CohortReader] = {
    "nnunet": nnunet.Reader(),
    "medmnist": archive.Reader(),
    "table": table.Reader(),
    "folders": folders.Reader(),
}


def read_cohort(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    layout: str | None = None,
    basis: str | None = None,
    licence: str | None = None,
) -> Cohort:
    """Return the cases of a table (.csv, .tsv, .parquet), a folder per class, a MedMNIST .npz or nnU-Net raw data.

    Args:
        columns: standard name -> name in the file, as {"label": "Group", "patient_id": "Subject ID"}.
        layout: one of the readers by name; found from the path by default.
        basis: fills cases without a consent basis.
        licence: fills cases without a licence class: open, research or unclear.

    Raises:
        UsageError: the path is missing, no reader takes it, a column or a value is not known.
        ReadError: a file that cannot be read, or no case in it.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError("there is no such cohort", found=str(path), expected="a table, a folder or an .npz archive")
    reader = _reader(path, layout)
    cohort = table.read(path, columns) if isinstance(reader, table.Reader) else reader.read(path)
    if columns and not isinstance(reader, table.Reader):
        raise UsageError("columns are renamed in tables only", found=cohort.layout, fix="leave --columns out")
    if not len(cohort):
        raise NothingFoundError(
            f"{path} holds no case", found=cohort.layout, expected="one row, or one image, per case"
        )
    for name, value in (("basis", basis), ("licence", licence)):
        cohort = cohort.filled(name, value) if value else cohort
    return cohort


def _reader(path: Path, layout: str | None) -> CohortReader:
    others = {n.removeprefix(PREFIX): n for n in registry.names("readers") if n.startswith(PREFIX)}
    if layout is not None:
        if layout in BUILT_IN:
            return BUILT_IN[layout]
        if layout in others:
            return registry.get("readers", others[layout])  # type: ignore[no-any-return]
        raise registry.unknown("cohort layout", layout, (*BUILT_IN, *others))
    known = [*(registry.get("readers", name) for name in others.values()), *BUILT_IN.values()]
    for reader in known:
        if reader.takes(path):
            return reader  # type: ignore[no-any-return]
    raise UnsupportedError(
        f"{path} is no cohort that can be read",
        expected="a .csv, .tsv or .parquet table, a folder with one sub-folder per class, a MedMNIST .npz, nnU-Net raw",
        fix="write a table with the columns path,label,patient_id",
    )
