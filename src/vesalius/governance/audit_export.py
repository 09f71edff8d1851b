"""Lines of the audit log as FHIR AuditEvent and as DICOM audit messages.

Source: FHIR R4 AuditEvent; DICOM PS3.15 section A.5 (schema A.5.1.1, messages A.5.3).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

DCM = "http://dicom.nema.org/resources/ontology/DCM"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
OBJECTS = "urn:vesalius:audit-object"
SPACE = uuid.UUID("6f0c6a39-6a0b-4b2a-9d0e-3c7f2b8f2a11")
"""Namespace of the resource ids, so that the same line exports to the same resource."""

ACCESSED = ("110103", "DICOM Instances Accessed")
EXPORTED = ("110106", "Export")
PATIENT_RECORD = ("110110", "Patient Record")
ALERT = ("110113", "Security Alert")
LOG_USED = ("110101", "Audit Log Used")
EMERGENCY = ("110127", "Emergency Override Started")
EVENTS = {
    "convert": (EXPORTED, "R"),
    "deidentify": (EXPORTED, "R"),
    "encrypt": (EXPORTED, "R"),
    "decrypt": (ACCESSED, "R"),
    "info": (ACCESSED, "R"),
    "check": (ACCESSED, "R"),
    "split": (ACCESSED, "R"),
    "consent add": (PATIENT_RECORD, "U"),
    "consent import": (PATIENT_RECORD, "U"),
    "consent withdraw": (PATIENT_RECORD, "U"),
    "consent export": (PATIENT_RECORD, "R"),
    "consent show": (PATIENT_RECORD, "R"),
    "keys relink": (PATIENT_RECORD, "R"),
    "audit": (LOG_USED, "R"),
    "access": (ALERT, "E"),
}
"""Action -> (event of DICOM's code table CID 400, action code); the first word decides when the whole is not there."""
OUTCOMES = {"started": "0", "done": "0", "interrupted": "4", "denied": "4", "failed": "8"}
REASONS = {"care": ("TREAT", "treatment"), "research": ("HRESCH", "healthcare research")}
ROLES = {"patient": ("1", "1"), "study": ("2", "3"), "key": ("2", "13"), "project": ("2", "13")}
"""Kind of object -> (type, role) of PS3.15 A.5.1.2; a table (22) or a system object otherwise."""

Line = Mapping[str, Any]


def fhir(lines: Iterable[Line]) -> dict[str, Any]:
    """Return a FHIR R4 Bundle (collection) with one AuditEvent for each line of the log."""
    events = [_fhir_event(line) for line in lines]
    entries = [{"fullUrl": f"urn:uuid:{event['id']}", "resource": event} for event in events]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def dicom(line: Line) -> bytes:
    """Return the DICOM audit message of one line of the log: XML in UTF-8."""
    (code, meaning), action = _event(line)
    root = ElementTree.Element("AuditMessage")
    outcome = OUTCOMES[str(line["outcome"])]
    attributes = {"EventActionCode": action, "EventDateTime": _instant(line), "EventOutcomeIndicator": outcome}
    event = ElementTree.SubElement(root, "EventIdentification", attributes)
    _coded(event, "EventID", code, "DCM", meaning)
    if _emergency(line):
        _coded(event, "EventTypeCode", EMERGENCY[0], "DCM", EMERGENCY[1])
    _coded(event, "EventTypeCode", str(line["action"]).replace(" ", "-"), "vesalius", str(line["action"]))
    ElementTree.SubElement(event, "EventOutcomeDescription").text = str(line["outcome"])
    _participants(root, line)
    source = ElementTree.SubElement(root, "AuditSourceIdentification", {"AuditSourceID": _source(line)})
    ElementTree.SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
    for kind, value in line["objects"]:
        _participant_object(root, str(kind), str(value), line)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _event(line: Line) -> tuple[tuple[str, str], str]:
    action = str(line["action"])
    if line["outcome"] == "denied":
        return ALERT, "E"
    return EVENTS.get(action) or EVENTS.get(action.split()[0]) or (ACCESSED, "E")


def _emergency(line: Line) -> bool:
    return str(line["action"]) == "access break-glass"


def _fhir_event(line: Line) -> dict[str, Any]:
    (code, meaning), action = _event(line)
    subtypes = [{"system": DCM, "code": EMERGENCY[0], "display": EMERGENCY[1]}] if _emergency(line) else []
    subtypes.append({"system": "urn:vesalius:action", "code": str(line["action"]).replace(" ", "-")})
    entities = [_fhir_entity(str(kind), str(value)) for kind, value in line["objects"]] + _fhir_details(line)
    event = {
        "resourceType": "AuditEvent",
        "id": str(uuid.uuid5(SPACE, str(line["mac"]))),
        "type": {"system": DCM, "code": code, "display": meaning},
        "subtype": subtypes,
        "action": action,
        "recorded": _instant(line),
        "outcome": OUTCOMES[str(line["outcome"])],
        "outcomeDesc": str(line["outcome"]),
        "agent": [_fhir_agent(line)],
        "source": {"observer": {"display": _source(line)}, "type": [_source_type()]},
    }
    purpose = _purpose(line)
    optional = {"purposeOfEvent": [purpose] if purpose else None, "entity": entities or None}
    return event | {name: value for name, value in optional.items() if value}


def _fhir_agent(line: Line) -> dict[str, Any]:
    return {
        "who": {"display": str(line["user"])},
        "altId": str(line["user"]),
        "requestor": True,
        "network": {"address": str(line["host"]), "type": "1"},
    }


def _source_type() -> dict[str, str]:
    system = "http://terminology.hl7.org/CodeSystem/security-source-type"
    return {"system": system, "code": "4", "display": "Application Server"}


def _fhir_entity(kind: str, value: str) -> dict[str, Any]:
    kind_code, role = ROLES.get(kind, ("2", "4"))
    return {
        "what": {"identifier": {"system": f"{OBJECTS}:{kind}", "value": value}},
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": kind_code},
        "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": role},
    }


def _fhir_details(line: Line) -> list[dict[str, Any]]:
    details = {"run": str(line["run"]), **line.get("details", {})}
    found = [{"type": str(name), "valueString": str(value)} for name, value in details.items() if value]
    return [{"name": "details of the program", "detail": found}] if found else []


def _purpose(line: Line) -> dict[str, Any] | None:
    purpose = str(line.get("purpose", ""))
    if purpose in REASONS:
        code, display = REASONS[purpose]
        return {"coding": [{"system": ACT_REASON, "code": code, "display": display}], "text": purpose}
    return {"text": purpose} if purpose else None


def _participants(root: ElementTree.Element, line: Line) -> None:
    network = {"NetworkAccessPointID": str(line["host"]) or "unknown", "NetworkAccessPointTypeCode": "1"}
    person = {"UserID": str(line["user"]), "UserIsRequestor": "true", **network}
    ElementTree.SubElement(root, "ActiveParticipant", person)
    program = {"UserID": str(line["program"]), "UserIsRequestor": "false", **network}
    application = ElementTree.SubElement(root, "ActiveParticipant", program)
    _coded(application, "RoleIDCode", "110150", "DCM", "Application")


def _participant_object(root: ElementTree.Element, kind: str, value: str, line: Line) -> None:
    kind_code, role = ROLES.get(kind, ("2", "4"))
    attributes = {
        "ParticipantObjectID": value,
        "ParticipantObjectTypeCode": kind_code,
        "ParticipantObjectTypeCodeRole": role,
    }
    element = ElementTree.SubElement(root, "ParticipantObjectIdentification", attributes)
    _coded(element, "ParticipantObjectIDTypeCode", f"keyed-hash-of-{kind}", "vesalius", f"keyed hash of the {kind}")
    ElementTree.SubElement(element, "ParticipantObjectName").text = value
    for name, text in {"run": line["run"], "purpose": line.get("purpose", ""), **line.get("details", {})}.items():
        if text:
            coded = base64.b64encode(str(text).encode()).decode("ascii")
            ElementTree.SubElement(element, "ParticipantObjectDetail", {"type": str(name), "value": coded})


def _coded(parent: ElementTree.Element, name: str, code: str, system: str, meaning: str) -> None:
    attributes = {"csd-code": code, "codeSystemName": system, "originalText": meaning}
    ElementTree.SubElement(parent, name, attributes)


def _source(line: Line) -> str:
    return f"{line['program']} on {line['host']}"


def _instant(line: Line) -> str:
    return datetime.fromisoformat(str(line["time"])).isoformat(timespec="milliseconds")


def as_text(bundle: Mapping[str, Any]) -> str:
    """Return a bundle as JSON."""
    return json.dumps(bundle, ensure_ascii=False, indent=1) + "\n"
