"""The exports against FHIR's own reader and against the schema of DICOM PS3.15 A.5.1.1."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from fhirclient.models.bundle import Bundle
from fhirclient.models.fhirabstractbase import FHIRValidationError

from vesalius.core.audit import AuditEvent, AuditOutcome
from vesalius.governance import audit_export
from vesalius.governance.audit import Trail, entries
from vesalius.keys import Key, Kind

ACTIONS = ("analyze", "info", "convert", "deidentify", "consent withdraw", "consent add", "audit verify")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("log")
    trail = Trail(folder / "log.jsonl", folder / "head.json", Key(Kind.AUDIT, bytes(32)))
    for action, outcome in zip(ACTIONS, [*AuditOutcome, AuditOutcome.DONE, AuditOutcome.DONE], strict=True):
        trail.record(
            AuditEvent(action, outcome, (("patient", "DOE^JANE"), ("path", "/data/doe")), "care", {"exit": "0"})
        )
    trail.record(AuditEvent("access break-glass", AuditOutcome.STARTED, (), "training", {}, "an emergency"))
    return list(entries(folder / "log.jsonl"))


def test_fhirclient_reads_every_event_strictly(lines: list[dict[str, Any]]) -> None:
    bundle = audit_export.fhir(lines)
    read = Bundle(bundle, strict=True)
    assert read.as_json() == bundle
    events = [entry.resource for entry in read.entry]
    assert len(events) == len(lines)
    assert all(event.agent[0].requestor and event.source.observer.display for event in events)
    assert {event.outcome for event in events} <= {"0", "4", "8", "12"}
    assert {event.action for event in events} <= set("CRUDE")
    assert len({event.id for event in events}) == len(lines)
    assert audit_export.fhir([]) == {"resourceType": "Bundle", "type": "collection"}
    del bundle["entry"][0]["resource"]["source"]["observer"]
    with pytest.raises(FHIRValidationError):
        Bundle(bundle, strict=True)


def test_an_emergency_and_a_refusal_are_security_alerts(lines: list[dict[str, Any]]) -> None:
    events = {line["action"]: audit_export.fhir([line])["entry"][0]["resource"] for line in lines}
    emergency = events["access break-glass"]
    assert emergency["type"]["code"] == "110113"
    assert emergency["subtype"][0]["code"] == "110127"
    denied = next(audit_export.fhir([one])["entry"][0]["resource"] for one in lines if one["outcome"] == "denied")
    assert (denied["type"]["code"], denied["outcome"]) == ("110113", "4")
    assert events["analyze"]["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    assert events["consent add"]["type"]["code"] == "110110"


@dataclass(frozen=True)
class Shape:
    """What an element may hold: attributes with a pattern (a ? makes them optional), children in order."""

    attributes: dict[str, str] = field(default_factory=dict)
    children: tuple[tuple[str, str], ...] = ()


TOKEN, CODED = (
    r"\S.*",
    {"csd-code": r"\S+", "codeSystemName": r"\S.*", "displayName?": r"\S.*", "originalText": r"\S.*"},
)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
SCHEMA = {
    "AuditMessage": Shape({}, (("EventIdentification", "1"), ("ActiveParticipant", "+"),
                               ("AuditSourceIdentification", "1"), ("ParticipantObjectIdentification", "*"))),
    "EventIdentification": Shape({"EventActionCode?": "[CRUDE]", "EventDateTime": TIME,
                                  "EventOutcomeIndicator": "0|4|8|12"},
                                 (("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?"))),
    "ActiveParticipant": Shape({"UserID": ".*", "AlternativeUserID?": ".*", "UserName?": ".*",
                                "UserIsRequestor": "true|false|0|1", "NetworkAccessPointID?": TOKEN,
                                "NetworkAccessPointTypeCode?": "[1-5]"},
                               (("RoleIDCode", "*"), ("MediaIdentifier", "?"))),
    "AuditSourceIdentification": Shape({"AuditEnterpriseSiteID?": TOKEN, "AuditSourceID": TOKEN},
                                       (("AuditSourceTypeCode", "*"),)),
    "AuditSourceTypeCode": Shape({"csd-code": "[1-9]"}),
    "ParticipantObjectIdentification": Shape(
        {"ParticipantObjectID": TOKEN, "ParticipantObjectTypeCode?": "[1-4]",
         "ParticipantObjectTypeCodeRole?": "1?[0-9]|2[0-6]", "ParticipantObjectDataLifeCycle?": "[1-9]|1[0-5]",
         "ParticipantObjectSensitivity?": TOKEN},
        (("ParticipantObjectIDTypeCode", "1"), ("ParticipantObjectName", "1"), ("ParticipantObjectDetail", "*"),
         ("ParticipantObjectDescription", "*"))),
    "ParticipantObjectDetail": Shape({"type": TOKEN, "value": "[A-Za-z0-9+/]*={0,2}"}),
    "ParticipantObjectName": Shape(), "EventOutcomeDescription": Shape(),
    **{name: Shape(CODED) for name in ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode")},
}  # fmt: skip
COUNTS = {"1": (1, 1), "?": (0, 1), "*": (0, 1 << 30), "+": (1, 1 << 30)}


def problems(element: ElementTree.Element) -> list[str]:
    """Return every breach of the schema."""
    if element.tag not in SCHEMA:
        return [f"unknown element {element.tag}"]
    shape, found = SCHEMA[element.tag], []
    known = {name.rstrip("?"): pattern for name, pattern in shape.attributes.items()}
    found += [f"{element.tag}@{name}" for name in element.attrib if name not in known]
    found += [
        f"{element.tag}@{name} missing" for name in shape.attributes if name[-1] != "?" and name not in element.attrib
    ]
    found += [
        f"{element.tag}@{n}={v}" for n, v in element.attrib.items() if n in known and not re.fullmatch(known[n], v)
    ]
    tags = [child.tag for child in element]
    order = [name for name, _ in shape.children]
    found += [f"{element.tag}: {tag}" for tag in tags if tag not in order]
    if tags != sorted(tags, key=lambda tag: order.index(tag) if tag in order else -1):
        found.append(f"{element.tag}: order {tags}")
    for name, count in shape.children:
        low, high = COUNTS[count]
        if not low <= tags.count(name) <= high:
            found.append(f"{element.tag}: {tags.count(name)} x {name}")
    return found + [one for child in element for one in problems(child)]


def test_dicom_messages_keep_the_schema(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        root = ElementTree.fromstring(audit_export.dicom(line))
        assert problems(root) == []
    details = root.iter("ParticipantObjectDetail")
    assert all(base64.b64decode(one.attrib["value"]) for one in details)


def test_the_schema_check_can_fail(lines: list[dict[str, Any]]) -> None:
    root = ElementTree.fromstring(audit_export.dicom(lines[0]))
    del root.find("EventIdentification").attrib["EventDateTime"]  # type: ignore[union-attr]
    root.append(root[0])
    assert len(problems(root)) >= 3


def test_no_name_leaves_with_an_export(lines: list[dict[str, Any]]) -> None:
    text = audit_export.as_text(audit_export.fhir(lines)) + "".join(audit_export.dicom(one).decode() for one in lines)
    assert not any(part in text for part in ("DOE", "/data", "emergency"))
