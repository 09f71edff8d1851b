"""Tables of measurements as files: comma- or tab-separated text, or JSON, by the suffix."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius.cli.methods_answers import settle
from vesalius.core.errors import UsageError

SCHEMA = "vesalius.features/1"
SUFFIXES = (".csv", ".tsv", ".json")

Row = Mapping[str, Any]


def check_table(out: Path) -> None:
    """Raise unless the name tells a kind of table.

    Raises:
        UsageError: another suffix, or a folder.
    """
    if out.suffix.lower() not in SUFFIXES or out.is_dir():
        raise UsageError(
            f"{out.name} is not a name of a table", expected=f"a file in {', '.join(SUFFIXES)}", fix="--out table.csv"
        )


def write_table(
    out: Path, rows: Sequence[Row], about: Mapping[str, Any], *, force: bool, beside: Mapping[str, str] | None = None
) -> list[str]:
    """Write rows as the suffix says and return the files.

    Args:
        about: what belongs to the table as a whole; part of a JSON file.
        beside: ending -> text of further files, such as ".settings.json".
        force: replace other content.

    Raises:
        OutputExistsError: the table exists with other content.
    """
    texts = {out.with_name(f"{out.stem}{ending}"): text for ending, text in (beside or {}).items()}
    texts[out] = rendered(out, rows, about)
    files = {path: _writer(text) for path, text in texts.items()}
    return settle(files, force=force)


def _writer(text: str) -> Callable[[Path], object]:
    from vesalius.io.atomic import write_text

    return lambda target: write_text(target, text)


def rendered(out: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return the text of a table; what is not defined is an empty field or null."""
    suffix = out.suffix.lower()
    if suffix == ".json":
        content = {"schema": SCHEMA, **about, "rows": [finite(row) for row in rows]}
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    return separated(rows, "\t" if suffix == ".tsv" else ",")


def separated(rows: Sequence[Row], separator: str = ",") -> str:
    """Return rows as text with one header line; NaN is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else value


def finite(row: Row) -> dict[str, Any]:
    """Return a row for JSON, where NaN and infinity do not exist: both become null."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
