from __future__ import annotations

import csv
import io

from vesalius.core import Result
from vesalius.report import table
from vesalius.report.phrases import Phrases


def test_one_line_per_measurement_with_full_numbers(completed: Result, english: Phrases) -> None:
    text = table.measurements_csv(completed.report, english).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == table.COLUMNS
    assert [row["name"] for row in rows] == [m.name for m in completed.report.measurements]
    first = completed.report.measurements[0]
    assert float(rows[0]["value"]) == first.value
    assert rows[0]["title_en"] == "Grey matter volume"


def test_what_was_not_measurable_is_empty_with_its_reason(completed: Result, english: Phrases) -> None:
    text = table.measurements_csv(completed.report, english).decode()
    row = next(r for r in csv.DictReader(io.StringIO(text)) if r["name"] == "volume.intracranial")
    assert row["value"] == row["low"] == row["mark"] == ""
    assert row["reason"].startswith("The skull is not in the picture")
