"""The report of an evaluation: warnings first, every figure with its interval, both languages, numbers that agree."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from run_folders import LABELS, drawn, patient_folds
from vesalius.core.errors import UsageError
from vesalius.core.finding import Message
from vesalius.evaluate.evaluation import Control, Evaluation, Options, Part, contests, part
from vesalius.evaluate.predictions import Figure, Predictions
from vesalius.report import evaluation as report
from vesalius.report.evaluation_data import csv_bytes, data
from vesalius.report.evaluation_words import interval, title
from vesalius.report.phrases import Phrases

QUICK = Options(draws=200, permutations=100)


@lru_cache(maxsize=1)
def sample() -> Evaluation:
    cohort, good, worse = drawn()
    truth = (cohort.text("label") == "normal").astype(float)
    groups = np.unique(cohort.text("patient_id"), return_inverse=True)[1].astype(np.int64)
    rows = np.arange(len(cohort))
    parts: list[Part] = []
    for name, p in (("network", good), ("baseline", worse)):
        one = Predictions("classification", LABELS, rows, truth, p, groups, raw=p, folds=patient_folds(cohort))
        parts.append(part(name, "cross-validation", one, cohort, QUICK))
    return Evaluation("by-hand", "run", "classification", LABELS, "ill", tuple(parts), contests(tuple(parts), QUICK),
                      options=QUICK, documents={"run": {"versions": {"vesalius": "1"}, "seed": 0}},
                      cohorts={"cross-validation": cohort})  # fmt: skip


def bare(**changed: object) -> Evaluation:
    """Return the sample without what takes time to draw."""
    one = replace(sample().parts[0], curves=None, subgroups=())
    return replace(sample(), parts=(one,), **changed)  # type: ignore[arg-type]


def test_json_holds_every_figure_and_no_number_that_json_lacks() -> None:
    content = data(sample())
    again = json.loads(json.dumps(content, allow_nan=False))
    assert again["schema"] == "vesalius.evaluation/1"
    assert len(again["parts"][0]["figures"]) == len(sample().parts[0].figures)
    assert np.sum(again["parts"][0]["confusion"]) == 240
    states = [one["state"] for items in again["checklists"].values() for one in items]
    assert states.count("filled") > 20
    assert states.count("open") > 20


def test_every_pointer_of_a_filled_item_is_in_the_documents() -> None:
    from vesalius.evaluate.checklist import resolve

    content = data(sample())
    documents = {**sample().documents, "evaluation": content}
    for items in content["checklists"].values():
        for one in items:
            for pointer in one["pointers"]:
                assert resolve(documents, pointer) not in (None, [], {}, "")


def test_csv_agrees_with_json() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_bytes(sample()).decode())))
    first = data(sample())["parts"][0]["figures"]
    plain = [row for row in rows if row["candidate"] == "network" and not row["subgroup"]]
    assert [(r["figure"], r["of"]) for r in plain] == [(f["name"], f["of"]) for f in first]
    assert float(plain[0]["low"]) == pytest.approx(first[0]["low"], rel=1e-4)
    assert {row["subgroup"] for row in rows} == {"", "sex", "age", "scanner", "site"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_html_is_one_file_with_words_for_everything(language: str) -> None:
    made = dict(report.files(sample(), languages=(language,), formats=("html",)))
    text = made[f"evaluation.{language}.html"].decode()
    assert "http://" not in text
    assert "https://" not in text
    plain = re.sub(r"data:image/png;base64,[^\"]+", "", text)
    assert "evaluation:" not in plain
    assert "evaluation." not in re.sub(r"evaluation#|evaluation\.(json|csv)", "", plain)
    assert len(re.findall(r"<img[^>]+alt=\"[^\"]{20,}\"", text)) == text.count("<img")
    assert ("草稿" in plain) if language == "zh" else ("network is better than baseline" in plain)


def test_pdf_holds_the_result(tool: object) -> None:
    import subprocess

    made = dict(report.files(sample(), formats=("pdf",)))["evaluation.en.pdf"]
    text = subprocess.run([tool("pdftotext"), "-layout", "-", "-"], input=made, capture_output=True, check=True)  # type: ignore[operator]
    assert b"Evaluation of a model: by-hand" in text.stdout
    assert b"TRIPOD+AI, draft" in text.stdout


def test_warnings_stand_where_the_answer_stands() -> None:
    told = (Message("evaluation.warning.no_patients", {"count": 3, "all": 9}),)
    page = report.build(bare(warnings=told))
    assert page.answer.kind == "abstained"
    assert page.answer.sentences[0].startswith("3 of 9 cases have no patient id")
    assert any("AUC" in one for one in page.answer.helps)
    assert report.build(bare()).answer.kind == "completed"


def test_control_runs_and_leaks_are_loud() -> None:
    control = Control(Figure("auc", 0.8, 0.7, 0.9), 1, leak=True)
    page = report.build(bare(is_control=True, control=control, warnings=(Message("evaluation.warning.control"),)))
    assert page.answer.kind == "refused"
    assert "random" in page.badge
    marks = {one.label: one.mark for one in page.trust}
    assert marks["Random-label control"] == "poor"


def test_a_released_model_has_no_watermark() -> None:
    assert report.build(bare()).draft
    assert not report.build(bare(draft=False)).draft


def test_digits_follow_the_interval() -> None:
    phrases = Phrases("en")
    assert interval(Figure("auc", 0.98123, 0.9712, 0.9893), phrases) == "0.981 [0.971, 0.989]"
    assert interval(Figure("auc", 0.81, 0.5, 0.95), phrases) == "0.81 [0.50, 0.95]"
    assert interval(Figure("mae", 123.4, 101.0, 151.0), phrases) == "123 [101, 151]"
    assert interval(Figure("auc", float("nan")), phrases) == "not defined here"
    assert title(Figure("sensitivity", 0.9, of="specificity 0.9"), phrases) == "Sensitivity, specificity ≥ 0.9"


def test_an_unknown_format() -> None:
    with pytest.raises(UsageError, match="format"):
        dict(report.files(sample(), formats=("docx",)))


def test_regression_and_survival_have_pages() -> None:
    cohort, _, _ = drawn()
    rows = np.arange(len(cohort))
    rng = np.random.default_rng(0)
    truth = rng.exponential(5, len(rows)) + 0.1
    for kind in ("regression", "survival"):
        event = rng.random(len(rows)) < 0.7 if kind == "survival" else None
        scores = -truth + rng.normal(0, 2, len(rows)) if kind == "survival" else truth + rng.normal(0, 1, len(rows))
        one = Predictions(kind, (), rows, truth, scores, rows, event=event, folds=rows % 5)
        found = Evaluation("x", "run", kind, (), "", (part("classical", "cross-validation", one, cohort, QUICK),),
                           options=QUICK, cohorts={"cross-validation": cohort})  # fmt: skip
        page = report.build(found)
        assert page.rows
        assert json.dumps(data(found), allow_nan=False)
