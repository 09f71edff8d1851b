from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from vesalius.core import Interval, Message, Report, Result, Run
from vesalius.core.errors import ReadError
from vesalius.report import schema
from vesalius.report.render import with_masks

GOLDEN = Path(__file__).parent / "golden" / "report-1.json"


@pytest.fixture(scope="session")
def report(completed: Result) -> Report:
    return with_masks(completed)


def valid(content: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema.published()).validate(content)


def test_the_published_schema_is_that_of_the_code() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.published())
    assert schema.published() == schema.describe()


def test_the_golden_report_of_version_1_validates_and_reads() -> None:
    text = GOLDEN.read_bytes()
    valid(json.loads(text))
    assert schema.to_json(schema.from_json(text)) == text


def test_today_writes_the_golden_report(report: Report) -> None:
    assert schema.to_dict(report) == json.loads(GOLDEN.read_bytes())


def test_round_trip_gives_the_same_report(report: Report, refused: Result) -> None:
    for one in (report, refused.report):
        data = schema.to_json(one)
        valid(json.loads(data))
        assert schema.to_json(schema.from_json(data)) == data


def test_run_comes_last_and_nothing_random_stands_outside(report: Report) -> None:
    again = replace(report, run=Run(id="other", started="2030-01-01T00:00:00+00:00", host="elsewhere"))
    first, second = schema.to_dict(report), schema.to_dict(again)
    assert next(iter(first)) == "schema"
    assert list(first)[-1] == "run"
    del first["run"], second["run"]
    assert first == second


def test_a_number_that_is_not_finite_is_named(report: Report) -> None:
    broken = replace(report.measurements[0], interval=Interval(0.0, float("nan")))
    with pytest.raises(ReadError, match=r"measurements\[0\]\.interval\.high is not a finite number"):
        schema.to_json(replace(report, measurements=(broken,)))


def test_free_form_values_may_be_anything_a_header_holds(report: Report) -> None:
    odd = {"EchoTime": float("nan"), "ImageType": ["ORIGINAL", "PRIMARY"], "Flip": np.float32(9), "n": np.int16(2)}
    source = replace(report.sources[0], attributes=odd)
    content = json.loads(schema.to_json(replace(report, sources=(source,))))
    expected = {"EchoTime": None, "Flip": 9.0, "ImageType": ["ORIGINAL", "PRIMARY"], "n": 2}
    assert content["sources"][0]["attributes"] == expected
    valid(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "vesalius.report/99"}, "another schema"),
        ({"outcome": "perhaps"}, "none of the known values"),
        ({"extra": 1}, "other fields"),
        ({"draft": "yes"}, "another kind"),
        ({"sources": {}}, "another kind"),
    ],
)
def test_what_is_no_report_is_refused(report: Report, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReadError, match=message):
        schema.from_json(json.dumps({**schema.to_dict(report), **change}))


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(ReadError, match="not JSON"):
        schema.from_json(b"<html>")


def test_messages_keep_id_and_parameters(report: Report) -> None:
    reason = Message("some.id", {"n": 1, "x": 1.5, "text": "word"})
    back = schema.from_json(schema.to_json(replace(report, reasons=(reason,))))
    assert back.reasons == (reason,)
