"""The gate: nothing is met by default, every item by its evidence, and a release only through it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_package import CARD, GRAPH, WEIGHTS, linear_onnx, picture

from vesalius import keys
from vesalius.core.errors import AccessError, KeyFileError, ReadError, TamperedError
from vesalius.governance import ethics, statements, technical_file
from vesalius.governance.consent import Judgement
from vesalius.governance.ethics import Evidence, Item, Review
from vesalius.keys import Key, Kind
from vesalius.models.card import (
    Approval,
    Card,
    Energy,
    Metric,
    OperatingPoint,
    TrainingData,
)
from vesalius.models.package import Package, Parts, open_package, write_package
from vesalius.models.runtime import golden_cases
from vesalius.models.trust import TrustStore

PERSON, STRANGER = (Key(Kind.SIGNING, bytes([n]) * 32) for n in (1, 2))
TRUST = TrustStore({PERSON.id: PERSON.public()})
VOTE = b"the ethics committee says yes"


def metric(value: float, subgroup: str = "", half: float = 0.02) -> Metric:
    return Metric(name="auc", value=value, low=value - half, high=value + half, data="external", subgroup=subgroup,
                  cases=100)  # fmt: skip


FULL = CARD.model_copy(
    update={
        "intended_use": "a second look at chest radiographs by a radiologist",
        "not_for": ("children",),
        "risk_class": "IIa",
        "training_data": (TrainingData(name="open", licence="open", cases=120, basis={"licence:CC-BY-4.0": 120}),),
        "metrics": (metric(0.94), metric(0.95, "sex=F"), metric(0.93, "sex=M")),
        "operating_points": (OperatingPoint(label="bright", threshold=0.5),),
        "known_failures": ("portable films",),
        "limits": {"auc_gap": 0.06},
        "energy": Energy(training_kwh=0.1, method="estimated"),
        "approvals": (Approval(document="vote", sha256=hashlib.sha256(VOTE).hexdigest()),),
    }
)
ONNX = linear_onnx(WEIGHTS)


def passed(*names: str, **more: Any) -> bytes:
    tests = [{"name": name, "passed": True} for name in names]
    about = {"linear.onnx": hashlib.sha256(ONNX).hexdigest()}
    return json.dumps({"schema": 1, "tests": tests, "files": about, **more}).encode()


EVIDENCE = {ethics.SHORTCUTS: passed("size", "site"), ethics.EXPLANATIONS: passed("random weights")}


@pytest.fixture(scope="module")
def golden() -> Any:
    return golden_cases(GRAPH, [{"image": picture(1)}], {"linear.onnx": ONNX})


class Desk:
    """A folder on which a package and its evidence lie."""

    def __init__(self, folder: Path, golden: Any) -> None:
        self.folder, self.golden = folder, golden
        (folder / "vote.pdf").write_bytes(VOTE)
        self.count = 0

    def package(self, card: Card = FULL, files: dict[str, bytes] | None = None) -> Package:
        self.count += 1
        parts = Parts(
            card, GRAPH, {"linear.onnx": ONNX, **(EVIDENCE if files is None else files)}, self.golden, "a: 1\n"
        )
        write_package(self.folder / f"p{self.count}", parts)
        return open_package(self.folder / f"p{self.count}")

    def signed(self, package: Package, key: Key = PERSON, waives: tuple[str, ...] = ()) -> Path:
        made = statements.make(package, key, name="Ada Chen", role="radiologist", text="I looked at all of it.",
                               waives=waives)  # fmt: skip
        self.count += 1
        path = self.folder / f"statement{self.count}.json"
        path.write_text(json.dumps(made))
        return path

    def evidence(self, *signed: Path, **more: Any) -> Evidence:
        return replace(Evidence((), [self.folder / "vote.pdf"], signed, None, TRUST), **more)


@pytest.fixture
def desk(tmp_path: Path, golden: Any) -> Desk:
    return Desk(tmp_path, golden)


def by_name(found: Review) -> dict[str, Item]:
    return {item.id: item for item in found.items}


def test_an_empty_card_meets_nothing(desk: Desk) -> None:
    found = ethics.review(desk.package(CARD, {}), Evidence())
    assert not found.ready
    assert {item.standing for item in found.items} == {"missing"}
    assert all(item.needed for item in found.items)


def test_a_whole_package_passes_and_shows_its_evidence(desk: Desk) -> None:
    package = desk.package()
    found = ethics.review(package, desk.evidence(desk.signed(package)))
    assert [(item.id, item.needed) for item in found.items if not item.passes] == []
    assert all(item.evidence for item in found.items)
    assert found.ready


@pytest.mark.parametrize(
    ("item", "change", "standing"),
    [
        ("card_complete", {"known_failures": ()}, "missing"),
        ("intended_use", {"intended_use": ""}, "missing"),
        ("not_for", {"not_for": ()}, "missing"),
        ("risk_class", {"risk_class": ""}, "missing"),
        ("consent_basis", {"training_data": ()}, "missing"),
        ("subgroup_gap", {"metrics": (metric(0.94),)}, "missing"),
        ("subgroup_gap: auc by sex on external", {"limits": {"ece": 1.0}}, "missing"),
        ("subgroup_gap: auc by sex on external", {"limits": {"auc_gap": 0.04}}, "failed"),
        ("subgroup_gap: auc by sex on external", {"metrics": (metric(0.9, "sex=F"),)}, "missing"),
        ("approval", {"approvals": ()}, "missing"),
        ("approval", {"approvals": (Approval(document="other", sha256="0" * 64),)}, "missing"),
    ],
)
def test_each_item_fails_on_its_own(desk: Desk, item: str, change: dict[str, Any], standing: str) -> None:
    package = desk.package(FULL.model_copy(update=change))
    found = by_name(ethics.review(package, desk.evidence(desk.signed(package))))
    assert found[item].standing == standing
    assert found[item].needed
    assert [name for name, one in found.items() if not one.passes and name not in (item, "card_complete")] == []


@pytest.mark.parametrize(
    ("basis", "cases", "standing"),
    [
        ({"licence:CC-BY-4.0": 100, "waiver:EC-7": 20}, 120, "met"),
        ({"licence:CC-BY-4.0": 119}, 120, "failed"),
        ({"development": 120}, 120, "failed"),
        ({"registry:form-2": 120}, 120, "missing"),
        ({"licence:": 120}, 120, "failed"),
        ({}, 120, "failed"),
        ({"licence:CC-BY-4.0": 0}, 0, "failed"),
    ],
)
def test_every_training_case_has_a_basis(desk: Desk, basis: dict[str, int], cases: int, standing: str) -> None:
    data = (TrainingData(name="data", licence="open", cases=cases, basis=basis),)
    package = desk.package(FULL.model_copy(update={"training_data": data}))
    assert by_name(ethics.review(package, Evidence()))["consent_basis"].standing == standing


def test_a_withdrawal_closes_the_gate(desk: Desk) -> None:
    data = (TrainingData(name="data", licence="open", cases=3, basis={"registry:form-2": 3}),)
    package = desk.package(FULL.model_copy(update={"training_data": data}))
    for left_out, standing in (({}, "met"), ({"consent_withdrawn": (2,)}, "failed")):
        judged = Judgement((0, 1), left_out)
        assert by_name(ethics.review(package, Evidence(judgement=judged)))["consent_basis"].standing == standing


def test_the_interval_of_a_gap_covers_the_truth() -> None:
    """Drawn 2000 times, intervals of 95 % for two groups give an interval of 95 % for their difference."""
    random = np.random.default_rng(0)
    held, half = 0, 1.96 * 0.05
    for _ in range(2000):
        first, second = random.normal(0.90, 0.05), random.normal(0.55, 0.05)
        _, low, high = ethics.largest_gap([metric(first, "a", half), metric(second, "b", half)])
        held += low <= 0.35 <= high
    assert 0.93 <= held / 2000 <= 0.97
    gap, low, high = ethics.largest_gap([metric(0.9, "a", 0.03), metric(0.8, "b", 0.04)])
    assert (round(gap, 9), round(low, 9), round(high, 9)) == (0.1, 0.05, 0.15)
    assert ethics.largest_gap([metric(0.9, "a"), metric(0.9, "b").model_copy(update={"high": None})])[2] == math.inf


@pytest.mark.parametrize(
    ("content", "standing"),
    [
        (passed("size"), "met"),
        (passed(), "missing"),
        (passed("size", tests=[{"name": "size", "passed": False}]), "failed"),
        (passed("size", tests=[{"name": "size", "passed": "yes"}]), "failed"),
        (passed("size", files={}), "failed"),
        (passed("size", files={"linear.onnx": "0" * 64}), "failed"),
        (b"{}", "failed"),
        (b"yes", "failed"),
    ],
)
def test_an_evidence_file_must_pass_and_speak_of_this_model(desk: Desk, content: bytes, standing: str) -> None:
    package = desk.package(files={**EVIDENCE, ethics.SHORTCUTS: content})
    assert by_name(ethics.review(package, Evidence()))["shortcut_check"].standing == standing
    other = desk.package(files={})
    (desk.folder / ethics.SHORTCUTS).write_bytes(content)
    found = by_name(ethics.review(other, Evidence(folders=[desk.folder])))
    assert found["shortcut_check"].standing == standing


def test_a_waiver_names_the_gap_and_is_signed_for_this_package(desk: Desk) -> None:
    name = "subgroup_gap: auc by sex on external"
    package = desk.package(FULL.model_copy(update={"limits": {"auc_gap": 0.04}}))
    sign_off = desk.signed(package)
    for waiver, ready in (
        (desk.signed(package, waives=(name,)), True),
        (desk.signed(package, waives=("subgroup_gap: auc by age on external",)), False),
        (desk.signed(package, STRANGER, waives=(name,)), False),
        (desk.signed(desk.package(), waives=(name,)), False),
    ):
        found = ethics.review(package, desk.evidence(sign_off, waiver))
        assert found.ready is ready
    assert "Ada Chen" in by_name(ethics.review(package, desk.evidence(sign_off, desk.signed(package, waives=(name,)))))[
        name].evidence[-1]  # fmt: skip
    only_waiver = ethics.review(package, desk.evidence(desk.signed(package, waives=(name,))))
    assert by_name(only_waiver)["sign_off"].standing == "missing"


def test_nothing_but_a_gap_can_be_waived(desk: Desk) -> None:
    package = desk.package(FULL.model_copy(update={"risk_class": ""}), {})
    waives = ("risk_class", "shortcut_check", "explanation_sanity", "approval", "card_complete")
    found = by_name(ethics.review(package, desk.evidence(desk.signed(package), desk.signed(package, waives=waives))))
    assert {name for name, item in found.items() if not item.passes} == {
        "risk_class", "shortcut_check", "explanation_sanity", "card_complete"
    }  # fmt: skip


@pytest.mark.parametrize("field", ["name", "role", "subject", "time", "text", "waives", "kind"])
def test_a_statement_that_was_changed_is_refused(desk: Desk, field: str) -> None:
    package = desk.package()
    path = desk.signed(package)
    content = json.loads(path.read_text())
    old = content["statement"][field]
    changes = {"subject": "0" * 64, "waives": ["subgroup_gap"], "kind": "waiver"}
    content["statement"][field] = changes.get(field, f"{old} and more")
    path.write_text(json.dumps(content))
    with pytest.raises(TamperedError):
        statements.read(path, subject=statements.subject_of(package), trust=TRUST)
    assert by_name(ethics.review(package, desk.evidence(path)))["sign_off"].standing == "failed"


def test_what_is_no_statement_is_refused(desk: Desk) -> None:
    path = desk.folder / "s.json"
    for text in ("", "[]", "{}", '{"statement": {}}', '{"statement": {"kind": "sign-off"}, "public": 7}'):
        path.write_text(text)
        with pytest.raises(ReadError):
            statements.read(path, subject="0" * 64, trust=TRUST)
    with pytest.raises(ReadError):
        statements.read(desk.folder / "absent", subject="0" * 64, trust=TRUST)
    package = desk.package()
    with pytest.raises(KeyFileError):
        statements.make(package, Key(Kind.AUDIT, bytes(32)), name="Ada", role="reader", text="0123456789")
    with pytest.raises(ReadError):
        statements.make(package, PERSON, name="", role="reader", text="0123456789")


def test_a_release_goes_through_the_gate_only(desk: Desk) -> None:
    package, target = desk.package(), desk.folder / "released"
    nothing = desk.evidence()
    with pytest.raises(AccessError, match="sign_off"):
        ethics.release(package, ethics.review(package, nothing), nothing, target, key=PERSON)
    assert not target.exists()
    evidence = desk.evidence(desk.signed(package))
    found = ethics.review(package, evidence)
    ethics.release(package, found, evidence, target, key=PERSON)
    released = open_package(target, trust=TRUST)
    assert (released.status, released.card.status) == ("released", "released")
    assert statements.subject_of(released) == found.subject
    assert [one.statement.name for one in ethics.check_release(released, TRUST)] == ["Ada Chen"]
    with pytest.raises(TamperedError, match="not trusted"):
        ethics.check_release(released, TrustStore())
    with pytest.raises(ReadError, match="no record"):
        ethics.check_release(package, TRUST)
    changed = desk.package(FULL.model_copy(update={"not_for": ("nobody",)}))
    with pytest.raises(AccessError):
        ethics.release(changed, found, evidence, desk.folder / "other", key=PERSON)


def test_a_record_of_another_package_does_not_pass(desk: Desk) -> None:
    package = desk.package()
    evidence = desk.evidence(desk.signed(package))
    ethics.release(package, ethics.review(package, evidence), evidence, desk.folder / "r", key=PERSON)
    record = (desk.folder / "r" / "release.json").read_bytes()
    forged = desk.package(FULL.model_copy(update={"risk_class": "I", "status": "released"}),
                          {**EVIDENCE, "release.json": record})  # fmt: skip
    with pytest.raises(TamperedError, match="another package"):
        ethics.check_release(forged, TRUST)
    for damaged in (b"{}", record.replace(b'"standing": "met"', b'"standing": "failed"', 1)):
        again = desk.package(FULL.model_copy(update={"status": "released"}), {**EVIDENCE, "release.json": damaged})
        with pytest.raises(TamperedError):
            ethics.check_release(again, TRUST)


def test_the_technical_file_is_a_draft_and_stays_open(desk: Desk) -> None:
    package = desk.package()
    full = technical_file.write(package, ethics.review(package, Evidence()), desk.folder / "t")
    empty_package = desk.package(CARD, {})
    empty = technical_file.write(empty_package, ethics.review(empty_package, Evidence()), desk.folder / "e")
    assert [path.stem for path in full] == ["eu-ai-act-annex-iv", "eu-mdr", "nmpa", "fda-pccp"]
    for path, bare in zip(full, empty, strict=True):
        text, other = path.read_text(encoding="utf-8"), bare.read_text(encoding="utf-8")
        assert "DRAFT" in text
        assert 0 < text.count("| OPEN") <= other.count("| OPEN")
        assert "a second look at chest radiographs" not in other
        rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
        assert all(line.count(" | ") == 3 for line in rows)
    assert "a second look at chest radiographs" in full[0].read_text(encoding="utf-8")


def test_the_command_line(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vesalius.cli import main

    monkeypatch.setenv("VESALIUS_HOME", str(desk.folder / "home"))
    keys.create("signing", desk.folder / "me.key")
    (desk.folder / "home" / "trust").mkdir(parents=True)
    public = (desk.folder / "me.key.pub").read_bytes()
    (desk.folder / "home" / "trust" / "me.pub").write_bytes(public)
    package, key = desk.package().folder, str(desk.folder / "me.key")
    review = ["ethics", "review", str(package), "--approval", str(desk.folder / "vote.pdf"), "--json"]
    assert main([*review, "--technical-file", str(desk.folder / "t")]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"]["code"], answer["error"]["found"]) == ("access_denied", "sign_off")
    assert len(answer["data"]["technical_file"]) == 4
    signed = str(desk.folder / "signed.json")
    words = ["--key", key, "--name", "Ada Chen", "--role", "radiologist", "--text", "I looked at all of it."]
    assert main(["ethics", "sign", str(package), signed, *words]) == 0
    assert main(["ethics", "sign", str(package), signed, *words]) == 2
    out = str(desk.folder / "released.vesalius")
    assert main([*review, "--release", out]) == 2
    capsys.readouterr()
    assert main([*review, "--statement", signed, "--release", out, "--key", key]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["released"] == out
    assert main(["ethics", "review", str(desk.folder / "absent")]) == 2
