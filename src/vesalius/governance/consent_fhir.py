"""Consents as FHIR R4 `Consent` resources, out and in.

Source: FHIR R4 Consent; purposes as v3-ActReason where it has them, and always as our own five words.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from vesalius.core.errors import ReadError
from vesalius.governance.consent import Consent, Purpose

PSEUDONYMS = "urn:vesalius:pseudonym"
PURPOSES = "urn:vesalius:purpose"
DOCUMENTS = "urn:vesalius:sha256"
LABELS = "urn:vesalius:consent-form"
WITHDRAWN = "urn:vesalius:consent-withdrawn"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
REASONS = {Purpose.CARE: "TREAT", Purpose.RESEARCH: "HRESCH"}
SPACE = uuid.UUID("0f4b6e0a-70f7-4b0c-9c55-a4d6be9c8f10")
MAX_BYTES = 64 << 20


def to_fhir(consents: Iterable[Consent]) -> dict[str, Any]:
    """Return a Bundle (collection) with one Consent for each line of the registry."""
    resources = [_resource(one) for one in consents]
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def from_fhir(path: Path) -> tuple[Consent, ...]:
    """Return the consents of a Bundle or of a single Consent.

    A Consent of status active, inactive (withdrawn) or rejected (an objection) is taken; draft, proposed and
    entered-in-error are passed over. A consent with several purposes becomes one line for each.

    Raises:
        ReadError: not JSON, not FHIR, or a Consent without patient identifier, purpose or begin; named by its place.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError(f"{path} is too large", expected=f"at most {MAX_BYTES} bytes")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ReadError(f"{path} cannot be read", found=error.strerror or type(error).__name__) from None
    except (ValueError, RecursionError):
        raise ReadError(f"{path} is not JSON", expected="a FHIR R4 Bundle or Consent") from None
    return tuple(one for place, resource in _resources(content, path) for one in _consents(resource, place))


def _resource(consent: Consent) -> dict[str, Any]:
    key = [consent.pseudonym, consent.purpose, str(consent.valid_from), str(consent.valid_to), consent.document]
    key += [consent.label, str(consent.withdrawn), str(consent.objection)]
    status = "rejected" if consent.objection else "inactive" if consent.withdrawn else "active"
    resource: dict[str, Any] = {
        "resourceType": "Consent",
        "id": str(uuid.uuid5(SPACE, json.dumps(key))),
        "status": status,
        "scope": _concept("http://terminology.hl7.org/CodeSystem/consentscope", _scope(consent.purpose)),
        "category": [_concept("http://loinc.org", "59284-0")],
        "patient": {"identifier": {"system": PSEUDONYMS, "value": consent.pseudonym}},
        "dateTime": str(consent.valid_from),
        "policyRule": _concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN"),
        "provision": _provision(consent),
    }
    if consent.withdrawn is not None:
        resource["extension"] = [{"url": WITHDRAWN, "valueDateTime": str(consent.withdrawn)}]
    if consent.label:
        resource["identifier"] = [{"system": LABELS, "value": consent.label}]
    if consent.document:
        resource["sourceReference"] = {"identifier": {"system": DOCUMENTS, "value": consent.document}}
    return resource


def _provision(consent: Consent) -> dict[str, Any]:
    end = {"end": str(consent.valid_to)} if consent.valid_to else {}
    purposes = [{"system": PURPOSES, "code": str(consent.purpose)}]
    if consent.purpose in REASONS:
        purposes.append({"system": ACT_REASON, "code": REASONS[consent.purpose]})
    kind = "deny" if consent.objection else "permit"
    return {"type": kind, "period": {"start": str(consent.valid_from), **end}, "purpose": purposes}


def _scope(purpose: Purpose) -> str:
    scopes = {Purpose.CARE: "treatment", Purpose.RESEARCH: "research", Purpose.TRAINING: "research"}
    return scopes.get(purpose, "patient-privacy")


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _resources(content: object, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, dict) and content.get("resourceType") == "Consent":
        yield str(path), content
        return
    if not isinstance(content, dict) or content.get("resourceType") != "Bundle":
        raise ReadError(f"{path} is not FHIR", expected="a FHIR R4 Bundle or Consent")
    entries = content.get("entry", [])
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Consent":
            yield f"{path}, entry {number}", resource


def _consents(resource: Mapping[str, Any], place: str) -> Iterator[Consent]:
    status = resource.get("status")
    if status not in ("active", "inactive", "rejected"):
        return
    provision = resource.get("provision")
    if not isinstance(provision, dict):
        raise ReadError(f"{place}: the Consent has no provision", expected="provision.period and provision.purpose")
    given = provision.get("period")
    period: Mapping[str, Any] = given if isinstance(given, dict) else {}
    start = _day(_text(period, "start") or _text(resource, "dateTime"), place, "provision.period.start")
    end = _text(period, "end")
    withdrawn = _withdrawn(resource, place) if status != "active" else None
    objection = status == "rejected" or provision.get("type") == "deny"
    for purpose in _purposes(provision, place):
        yield Consent(
            pseudonym=_identifier(resource.get("patient"), place),
            purpose=purpose,
            valid_from=start,
            valid_to=_day(end, place, "provision.period.end") if end else None,
            document=_value(resource.get("sourceReference"), DOCUMENTS),
            label=_label(resource),
            withdrawn=withdrawn or (start if objection else None),
            objection=objection,
        )


def _purposes(provision: Mapping[str, Any], place: str) -> list[Purpose]:
    codings = provision.get("purpose")
    found = []
    for coding in codings if isinstance(codings, list) else []:
        system, code = (coding.get("system"), coding.get("code")) if isinstance(coding, dict) else (None, None)
        if system == PURPOSES and code in list(Purpose):
            found.append(Purpose(str(code)))
        found += [purpose for purpose, reason in REASONS.items() if system == ACT_REASON and code == reason]
    if not found:
        raise ReadError(f"{place}: the Consent names no purpose", expected=f"{PURPOSES} with " + ", ".join(Purpose))
    return list(dict.fromkeys(found))


def _withdrawn(resource: Mapping[str, Any], place: str) -> date:
    """Return the day of the withdrawal; without our extension the day of the resource's last change, or its date."""
    for extension in resource.get("extension", []):
        if isinstance(extension, dict) and extension.get("url") == WITHDRAWN:
            return _day(_text(extension, "valueDateTime"), place, "the day of withdrawal")
    meta = resource.get("meta")
    changed = _text(meta, "lastUpdated") if isinstance(meta, dict) else ""
    return _day(changed or _text(resource, "dateTime"), place, "the day of withdrawal")


def _identifier(reference: object, place: str) -> str:
    identifier = reference.get("identifier") if isinstance(reference, dict) else None
    value = _text(identifier, "value") if isinstance(identifier, dict) else ""
    if not value:
        raise ReadError(f"{place}: the Consent names no patient", expected="patient.identifier.value: a pseudonym")
    return value


def _label(resource: Mapping[str, Any]) -> str:
    identifiers = resource.get("identifier")
    for identifier in identifiers if isinstance(identifiers, list) else []:
        if isinstance(identifier, dict) and identifier.get("system") == LABELS:
            return _text(identifier, "value")
    return ""


def _value(reference: object, system: str) -> str:
    identifier = reference.get("identifier") if isinstance(reference, dict) else None
    wanted = isinstance(identifier, dict) and identifier.get("system") == system
    return _text(identifier, "value") if wanted and isinstance(identifier, dict) else ""


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return value if isinstance(value, str) else ""


def _day(text: str, place: str, what: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ReadError(f"{place}: {what} is no day", expected="YYYY-MM-DD") from None
