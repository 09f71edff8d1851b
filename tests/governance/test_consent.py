"""The consent registry: standing over time, withdrawal, cohorts, FHIR out and in."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fhirclient.models.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core.errors import OutputError, ReadError, UnknownNameError, UsageError
from vesalius.governance.consent import (
    Artefact,
    Consent,
    Purpose,
    Registry,
    Standing,
    document_hash,
    purpose_of,
)
from vesalius.governance.consent_fhir import from_fhir, to_fhir

DAY = date(2026, 3, 1)
FORM = "a" * 64
TRAINING, RESEARCH = Purpose.TRAINING, Purpose.RESEARCH


def consent(pseudonym: str = "P1", **more: Any) -> Consent:
    return Consent(**{"pseudonym": pseudonym, "purpose": TRAINING, "valid_from": DAY, "document": FORM, **more})


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "sub" / "consent.sqlite")


def test_the_file_belongs_to_its_owner_and_keeps_what_it_was_told(registry: Registry) -> None:
    assert registry.path.stat().st_mode & 0o077 == 0
    wanted = (consent(), consent("P2", valid_to=DAY + timedelta(9), label="form-2"), consent(purpose=RESEARCH))
    assert registry.add(wanted) == 3
    assert registry.add(wanted) == 0
    with Registry(registry.path) as again:
        assert again.consents() == wanted
        assert again.consents("P2") == wanted[1:2]
        assert again.consents("nobody") == ()


@pytest.mark.parametrize(
    ("on", "standing"),
    [
        (DAY - timedelta(1), Standing.NOT_YET),
        (DAY, Standing.GRANTED),
        (DAY + timedelta(9), Standing.GRANTED),
        (DAY + timedelta(10), Standing.EXPIRED),
    ],
)
def test_validity_includes_its_first_and_last_day(registry: Registry, on: date, standing: Standing) -> None:
    registry.add([consent(valid_to=DAY + timedelta(9))])
    assert registry.standing("P1", TRAINING, on=on) is standing
    assert registry.standing("P1", RESEARCH, on=on) is Standing.ABSENT
    assert registry.standing("P2", TRAINING, on=on) is Standing.ABSENT


def test_a_withdrawal_holds_from_its_day_on_and_for_its_purpose(registry: Registry) -> None:
    registry.add([consent(), consent(purpose=RESEARCH)])
    day = DAY + timedelta(5)
    assert registry.withdraw("P1", [TRAINING], on=day).purposes == (TRAINING,)
    assert registry.standing("P1", TRAINING, on=day - timedelta(1)) is Standing.GRANTED
    assert registry.standing("P1", TRAINING, on=day) is Standing.WITHDRAWN
    assert registry.standing("P1", RESEARCH, on=day) is Standing.GRANTED
    assert registry.withdraw("P1", on=day).purposes == tuple(Purpose)
    assert all(registry.standing("P1", purpose, on=day) is Standing.WITHDRAWN for purpose in Purpose)


def test_an_old_consent_that_comes_in_late_does_not_undo_a_withdrawal(registry: Registry) -> None:
    day = DAY + timedelta(5)
    registry.withdraw("P1", on=day)
    registry.add([consent()])
    assert registry.standing("P1", TRAINING, on=day) is Standing.WITHDRAWN
    registry.add([consent(valid_from=day)])
    assert registry.standing("P1", TRAINING, on=day) is Standing.GRANTED


days = st.integers(0, 40).map(lambda n: DAY + timedelta(n))


@settings(max_examples=150, deadline=None)
@given(starts=st.lists(st.tuples(days, st.none() | days), max_size=4), on=days, extra=st.tuples(days, st.none() | days))
def test_granted_means_that_some_consent_covers_the_day(
    starts: list[tuple[date, date | None]], on: date, extra: tuple[date, date | None]
) -> None:
    from vesalius.governance.consent import _best

    consents = [consent(valid_from=start, valid_to=end) for start, end in starts]
    covered = any(start <= on and (end is None or on <= end) for start, end in starts)
    assert (_best(consents, "", on) is Standing.GRANTED) is covered
    withdrawn = [*consents, consent(valid_from=extra[0], withdrawn=extra[0], objection=True)]
    if extra[0] <= on and all(start < extra[0] for start, _ in starts):
        assert _best(withdrawn, "", on) is Standing.WITHDRAWN


def test_a_cohort_is_judged_by_the_basis_of_each_case(registry: Registry) -> None:
    registry.add([consent("ok"), consent("late", valid_from=DAY + timedelta(1)), consent("gone"),
                  consent("over", valid_from=DAY - timedelta(9), valid_to=DAY - timedelta(1)),
                  consent("named", label="form-2", document="")])  # fmt: skip
    registry.withdraw("gone", on=DAY)
    registry.withdraw("against", on=DAY)
    form = "registry:aaaaaaaa"
    cases = [
        ("ok", form, ""), ("ok", "registry:" + FORM, ""), ("named", "registry:form-2", ""),
        ("ok", "registry:bbbbbbbb", "no_consent"), ("ok", "registry:aaa", "no_consent"),
        ("ok", "registry:form-2", "no_consent"), ("ok", "registry:", "unknown_basis"),
        ("late", form, "consent_not_yet"), ("over", form, "consent_expired"), ("gone", form, "consent_withdrawn"),
        ("nobody", form, "no_consent"), ("", form, "no_patient_id"),
        ("ok", "", "no_basis"), ("ok", "  ", "no_basis"), ("ok", "yes", "unknown_basis"),
        ("ok", "waiver:", "unknown_basis"),
        ("nobody", "licence:CC-BY-4.0", ""), ("nobody", "waiver:EC-2026-17", ""), ("", "development", ""),
        ("against", "licence:CC-BY-4.0", "consent_withdrawn"), ("against", "development", "consent_withdrawn"),
        ("late", "waiver:EC-2026-17", ""),
    ]  # fmt: skip
    found = registry.judge([one[0] for one in cases], [one[1] for one in cases], purpose=TRAINING, on=DAY)
    reasons = {row: reason for reason, rows in found.left_out.items() for row in rows}
    assert [reasons.get(row, "") for row in range(len(cases))] == [reason for *_, reason in cases]
    assert found.kept == tuple(row for row, (*_, reason) in enumerate(cases) if not reason)
    assert sum(found.counts.values()) + len(found.kept) == len(cases)
    with pytest.raises(UsageError):
        registry.judge(["a"], [], purpose=TRAINING)


def test_a_withdrawal_names_what_contains_the_patient(registry: Registry) -> None:
    registry.add([consent()])
    registry.register(Artefact.COHORT, "thorax.csv", ["P1", "P2", "P1", ""], "b" * 64)
    registry.register(Artefact.RUN, "run-7", ["P2"])
    assert registry.register(Artefact.PACKAGE, "thorax-1.0", ["P1"]) == 1
    found = registry.withdraw("P1").contained
    assert [(one.kind, one.name) for one in found] == [("cohort", "thorax.csv"), ("package", "thorax-1.0")]
    assert registry.containing("P3") == ()
    registry.register(Artefact.COHORT, "thorax.csv", ["P2"], "b" * 64)
    assert [one.name for one in registry.containing("P1")] == ["thorax-1.0"]
    assert b"P2" not in registry.path.read_bytes()


@pytest.mark.parametrize(
    "bad",
    [consent(""), consent("x" * 65), consent("a\nb"), consent(document="abc"), consent(label="a b"),
     consent(valid_to=DAY - timedelta(1))],
)  # fmt: skip
def test_what_is_not_well_formed_is_refused_whole(registry: Registry, bad: Consent) -> None:
    with pytest.raises(UsageError) as error:
        registry.add([consent("good"), bad])
    assert "good" not in str(error.value)
    assert registry.consents() == ()


def test_unknown_purpose_suggests() -> None:
    assert purpose_of("training") is TRAINING
    with pytest.raises(UnknownNameError, match="did you mean 'research'"):
        purpose_of("reserch")


def test_a_damaged_registry_is_refused_without_a_value(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database at all, DOE^JANE" * 100)
    with pytest.raises(ReadError, match="not a consent registry") as error:
        Registry(path)
    assert "DOE" not in str(error.value)
    with pytest.raises(OutputError):
        Registry(path / "below")
    with pytest.raises(OutputError):
        Registry(tmp_path)
    import sqlite3

    with sqlite3.connect(registry.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(ReadError, match="newer version"):
        Registry(registry.path)


def test_fhir_out_and_in_again(registry: Registry, tmp_path: Path) -> None:
    registry.add([consent(purpose=purpose, label="form-2", valid_to=DAY + timedelta(9)) for purpose in Purpose])
    registry.add([consent("P2", document="")])
    registry.withdraw("P2", [TRAINING, RESEARCH], on=DAY + timedelta(3))
    bundle = to_fhir(registry.consents())
    assert Bundle(bundle, strict=True).as_json() == bundle
    statuses = [entry["resource"]["status"] for entry in bundle["entry"]]
    assert statuses == ["active"] * 5 + ["inactive", "rejected"]
    path = tmp_path / "consents.json"
    path.write_text(json.dumps(bundle))
    assert from_fhir(path) == registry.consents()
    path.write_text(json.dumps(bundle["entry"][0]["resource"]))
    assert from_fhir(path) == registry.consents()[:1]
    path.write_text(json.dumps(to_fhir([])))
    assert from_fhir(path) == ()


FOREIGN = {
    "resourceType": "Consent", "status": "inactive", "meta": {"lastUpdated": "2026-05-04T10:00:00Z"},
    "scope": {"coding": [{"code": "research"}]}, "category": [{"text": "research"}],
    "patient": {"identifier": {"system": "urn:oid:1.2.3", "value": "MRN-9"}}, "dateTime": "2026-03-01T08:00:00+01:00",
    "provision": {"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]},
}  # fmt: skip


def test_a_consent_that_another_system_wrote(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(FOREIGN))
    assert from_fhir(path) == (Consent("MRN-9", RESEARCH, DAY, withdrawn=date(2026, 5, 4)),)
    path.write_text(json.dumps({**FOREIGN, "status": "draft"}))
    assert from_fhir(path) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"patient": {}}, "patient"), ({"provision": {}}, "purpose"), ({"provision": 3}, "provision"),
     ({"dateTime": "soon"}, "day"),
     ({"resourceType": "Patient"}, "not FHIR"), ({"provision": {"purpose": [7, {"code": "TREAT"}]}}, "purpose")],
)  # fmt: skip
def test_a_bad_consent_is_named_by_its_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**FOREIGN, **change}))
    with pytest.raises(ReadError, match=said) as error:
        from_fhir(path)
    assert "MRN-9" not in str(error.value)
    for text in ("{", "[]", "7"):
        path.write_text(text)
        with pytest.raises(ReadError):
            from_fhir(path)
    with pytest.raises(ReadError):
        from_fhir(tmp_path / "absent")


def test_the_hash_of_a_document(tmp_path: Path) -> None:
    (tmp_path / "form.pdf").write_bytes(b"abc")
    assert document_hash(tmp_path / "form.pdf").startswith("ba7816bf8f01cfea")
    with pytest.raises(ReadError):
        document_hash(tmp_path / "absent")
