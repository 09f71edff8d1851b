from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sample
from fhir_checks import problems
from fhirclient.models.bundle import Bundle

from vesalius.core import Finding, Identity, Message, Result, Status
from vesalius.core.code import Code
from vesalius.report import fhir
from vesalius.report.phrases import Phrases

Json = dict[str, Any]
CI = os.environ.get("CI", "").lower() == "true"
IDENTITY = Identity("PAT-7", "Doe^Jane", "1970-02-03", "ACC-9", "1.2.840.1")
PDFS = {"en": b"%PDF-1.7 en", "zh": b"%PDF-1.7 zh"}


def made(result: Result, phrases: Phrases, identity: Identity | None = IDENTITY) -> Json:
    content: Json = json.loads(fhir.bundle(result.report, phrases, identity, PDFS))
    return content


def resources(bundle: Json, kind: str) -> list[Json]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.fixture(scope="module")
def bundle(completed: Result, english: Phrases) -> Json:
    return made(completed, english)


def wrong(bundle: Json) -> dict[str, Json]:
    """Return the three mistakes that Python's FHIR libraries let through."""
    nonsense, missing, dangling = (copy.deepcopy(bundle) for _ in range(3))
    resources(nonsense, "DiagnosticReport")[0]["status"] = "splendid"
    del resources(missing, "Observation")[0]["code"]
    resources(dangling, "Observation")[0]["subject"]["reference"] = "urn:uuid:00000000-0000-4000-8000-000000000000"
    return {"a wrong code": nonsense, "a missing code": missing, "a dangling reference": dangling}


def test_the_bundle_is_sound(bundle: Json, refused: Result, english: Phrases) -> None:
    assert problems(bundle) == []
    assert problems(made(refused, english, None)) == []
    assert problems(made(refused, Phrases("zh", sample.CATALOGUE), None)) == []


def test_fhirclient_reads_it_strictly(bundle: Json, refused: Result, english: Phrases) -> None:
    for content in (bundle, made(refused, english, None)):
        read = Bundle(content, strict=True)
        assert read.entry[0].resource.status == "preliminary"


@pytest.mark.parametrize("mistake", ["a wrong code", "a missing code", "a dangling reference"])
def test_each_mistake_is_caught(bundle: Json, mistake: str) -> None:
    assert len(problems(wrong(bundle)[mistake])) == 1


def test_npm_fhir_agrees_and_catches_each_mistake(bundle: Json, tool: Callable[[str], str], tmp_path: Path) -> None:
    modules = os.environ.get("VESALIUS_TEST_FHIR", "")
    if not Path(modules, "fhir").is_dir():
        fix = "npm install --prefix DIR fhir@4.12.0; export VESALIUS_TEST_FHIR=DIR/node_modules"
        if CI:
            pytest.fail(f"npm's fhir package is not installed: {fix}")
        pytest.skip(fix)
    node = tool("node")
    script = str(Path(__file__).with_name("fhir_validate.cjs"))
    for name, content in {"good": bundle, **wrong(bundle)}.items():
        path = tmp_path / "bundle.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        command = [node, script, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NODE_PATH": modules})
        assert (done.returncode == 0) == (name == "good"), done.stdout + done.stderr


def test_measurements_are_observations_with_ucum_units_and_their_interval(bundle: Json, completed: Result) -> None:
    first = resources(bundle, "Observation")[0]
    measurement = completed.report.measurements[0]
    assert first["valueQuantity"] == {
        "value": measurement.value,
        "unit": "mL",
        "system": "http://unitsofmeasure.org",
        "code": "mL",
    }
    low, high = (part["valueQuantity"]["value"] for part in first["component"])
    assert measurement.interval is not None
    assert (low, high) == (measurement.interval.low, measurement.interval.high)
    assert "referenceRange" not in first


def test_what_was_not_measurable_says_why(bundle: Json) -> None:
    absent = next(o for o in resources(bundle, "Observation") if "dataAbsentReason" in o)
    assert absent["dataAbsentReason"]["text"].startswith("The skull is not in the picture")
    assert "valueQuantity" not in absent


def test_the_patient_comes_from_identity_only(bundle: Json, completed: Result, english: Phrases) -> None:
    assert resources(bundle, "Patient")[0]["name"] == [{"text": "Doe Jane"}]
    anonymous = made(completed, english, None)
    assert set(resources(anonymous, "Patient")[0]) == {"resourceType", "id"}
    text = json.dumps(anonymous)
    assert not any(secret in text for secret in ("PAT-7", "Doe", "1970-02-03", "ACC-9", "1.2.840.1"))


def test_the_pdf_is_named_with_its_hash(bundle: Json) -> None:
    english, chinese = resources(bundle, "DiagnosticReport")[0]["presentedForm"]
    digest = hashlib.sha1(PDFS["en"], usedforsecurity=False).digest()
    assert english["hash"] == base64.b64encode(digest).decode()
    assert (english["url"], english["size"]) == ("report.en.pdf", len(PDFS["en"]))
    assert chinese["language"] == "zh-CN"


def test_research_use_is_said_in_the_report(bundle: Json) -> None:
    report = resources(bundle, "DiagnosticReport")[0]
    assert "For research use only. Not a medical device." in report["conclusion"]
    assert "For research use only" in report["text"]["div"]


def test_the_same_run_gives_the_same_bundle(completed: Result, english: Phrases) -> None:
    assert made(completed, english) == made(completed, english)


def test_a_signed_report_is_final_and_a_finding_keeps_its_probability(completed: Result, english: Phrases) -> None:
    finding = Finding(Code("1", "SCT", "x"), Message("limit.skull"), probability=0.25)
    signed = replace(completed.report, status=Status.FINAL, findings=(finding,))
    content = made(replace(completed, report=signed), english)
    assert resources(content, "DiagnosticReport")[0]["status"] == "final"
    observation = resources(content, "Observation")[-1]
    assert observation["component"][0]["valueQuantity"]["value"] == 0.25
    assert problems(content) == []


@pytest.mark.parametrize(
    ("iso", "instant"),
    [
        ("2024-03-02T09:14:29+00:00", "2024-03-02T09:14:29+00:00"),
        ("2024-03-02T09:14:29.123456+01:00", "2024-03-02T09:14:29+01:00"),
        ("2024-03-02 09:14:29", "2024-03-02T09:14:29Z"),
    ],
)
def test_times_become_instants(completed: Result, english: Phrases, iso: str, instant: str) -> None:
    report = replace(completed.report, run=replace(completed.report.run, finished=iso))
    assert made(replace(completed, report=report), english)["timestamp"] == instant
