"""The report as a FHIR R4 bundle: DiagnosticReport, Observations, Device, ImagingStudy and a subject.

Source: HL7 FHIR 4.0.1, DiagnosticReport, Observation, Device, ImagingStudy, Bundle.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from vesalius.core.code import Code
from vesalius.core.finding import Finding, Measurement
from vesalius.core.report import Report, Source, Status
from vesalius.core.study import Identity
from vesalius.report import page
from vesalius.report.phrases import Phrases

Resource = dict[str, Any]

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "RADLEX": "http://radlex.org",
    "UCUM": "http://unitsofmeasure.org",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "FMA": "http://purl.org/sig/ont/fma",
}
"""DICOM coding scheme designator -> FHIR code system URI (DICOM PS3.16, table 8-1; HL7 external systems)."""

OWN_SYSTEM = "urn:x-vesalius:code"
"""Code system of concepts that no public scheme holds."""

UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")


@dataclass(frozen=True)
class _Names:
    """Resource ids that are the same whenever the same run is rendered."""

    seed: UUID

    def id(self, name: str) -> str:
        return str(uuid5(self.seed, f"fhir/{name}"))

    def reference(self, name: str) -> Resource:
        return {"reference": f"urn:uuid:{self.id(name)}"}


def bundle(
    report: Report, phrases: Phrases, identity: Identity | None = None, pdfs: Mapping[str, bytes] | None = None
) -> bytes:
    """Return the bundle as UTF-8 JSON; the text is in the language of `phrases`.

    Only the Patient, the accession number and the study UID come from `identity`; without one, the subject is a
    Patient without any element of identity.
    """
    names = _Names(_seed(report))
    named: dict[str, Resource] = {
        "report": _diagnostic_report(report, phrases, names, pdfs or {}),
        "patient": _patient(identity),
        "device": _device(report),
    }
    if report.sources:
        named["study"] = _imaging_study(report, names, identity)
    for index, measurement in enumerate(report.measurements):
        named[f"measurement/{index}"] = _measurement(measurement, report, phrases, names)
    for index, finding in enumerate(report.findings):
        named[f"finding/{index}"] = _finding(finding, report, phrases, names)
    entries = [
        {"fullUrl": f"urn:uuid:{names.id(name)}", "resource": _identified(resource, names.id(name))}
        for name, resource in named.items()
    ]
    content: Resource = {"resourceType": "Bundle", "id": names.id("bundle"), "type": "collection"}
    if report.run.finished:
        content["timestamp"] = _instant(report.run.finished)
    content["entry"] = entries
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False).encode("utf-8") + b"\n"


def _seed(report: Report) -> UUID:
    try:
        return UUID(report.run.id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"vesalius:{report.study_key}/{report.application}")


def _identified(resource: Resource, identifier: str) -> Resource:
    return {"resourceType": resource["resourceType"], "id": identifier} | resource


def _diagnostic_report(report: Report, phrases: Phrases, names: _Names, pdfs: Mapping[str, bytes]) -> Resource:
    spoken = page.answer(report, phrases)
    conclusion = " ".join((*spoken.sentences, *spoken.helps))
    lines: tuple[str, ...] = (
        phrases.text("report.research_only"),
        phrases.text("report.must_be_reviewed"),
        page.software(report),
    )
    lines += (phrases.text("report.draft"),) if report.draft else ()
    results = [f"measurement/{i}" for i in range(len(report.measurements))]
    results += [f"finding/{i}" for i in range(len(report.findings))]
    resource: Resource = {
        "resourceType": "DiagnosticReport",
        "language": "zh-CN" if phrases.language == "zh" else phrases.language,
        "text": _narrative(page.application_title(report, phrases), (*lines, spoken.heading, *spoken.sentences)),
        "status": "final" if report.status is Status.FINAL else "preliminary",
        "category": [_concept("RAD", f"{_TERMINOLOGY}/v2-0074", "Radiology")],
        "code": _concept("18748-4", SYSTEMS["LN"], "Diagnostic imaging study", page.application_title(report, phrases)),
        "subject": names.reference("patient"),
    }
    if report.study_date:
        resource["effectiveDateTime"] = report.study_date
    if report.run.finished:
        resource["issued"] = _instant(report.run.finished)
    if results:
        resource["result"] = [names.reference(name) for name in results]
    if report.sources:
        resource["imagingStudy"] = [names.reference("study")]
    resource["conclusion"] = f"{conclusion} {' '.join(lines)}"
    if pdfs:
        resource["presentedForm"] = [_attachment(language, data) for language, data in sorted(pdfs.items())]
    return resource


def _narrative(title: str, lines: tuple[str, ...]) -> Resource:
    body = f"<p><b>{escape(title)}</b></p>" + "".join(f"<p>{escape(line)}</p>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'}


def _attachment(language: str, data: bytes) -> Resource:
    return {
        "contentType": "application/pdf",
        "language": "zh-CN" if language == "zh" else language,
        "url": f"report.{language}.pdf",
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii"),
        "title": f"report.{language}.pdf",
    }


def _patient(identity: Identity | None) -> Resource:
    resource: Resource = {"resourceType": "Patient"}
    if identity is None:
        return resource
    if identity.patient_id:
        resource["identifier"] = [{"value": identity.patient_id}]
    if identity.patient_name:
        resource["name"] = [{"text": " ".join(identity.patient_name.replace("^", " ").replace("=", " ").split())}]
    born = page.iso_date(identity.birth_date)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", born):
        resource["birthDate"] = born
    return resource


def _device(report: Report) -> Resource:
    versions = {report.application: report.version, "vesalius": page.platform_version(report)} | dict(
        report.provenance.versions
    )
    return {
        "resourceType": "Device",
        "deviceName": [{"name": f"Vesalius {report.application}", "type": "model-name"}],
        "type": _concept("706687001", SYSTEMS["SCT"], "Software"),
        "version": [{"type": {"text": name}, "value": value} for name, value in sorted(versions.items()) if value],
        "note": [{"text": "For research use only. Not a medical device."}],
    }


def _imaging_study(report: Report, names: _Names, identity: Identity | None) -> Resource:
    identifiers: list[Resource] = []
    if identity is not None and _OID.fullmatch(identity.study_uid):
        identifiers.append({"system": "urn:dicom:uid", "value": f"urn:oid:{identity.study_uid}"})
    if identity is not None and identity.accession:
        kind = _concept("ACSN", f"{_TERMINOLOGY}/v2-0203", "Accession ID")
        identifiers.append({"type": kind, "value": identity.accession})
    identifiers.append({"system": "urn:x-vesalius:study-key", "value": report.study_key})
    resource: Resource = {
        "resourceType": "ImagingStudy",
        "identifier": identifiers,
        "status": "available",
        "subject": names.reference("patient"),
    }
    if report.study_date:
        resource["started"] = report.study_date
    if series := [_series(source) for source in report.sources if _OID.fullmatch(source.uid) and source.modality]:
        resource["series"] = series
    return resource


def _series(source: Source) -> Resource:
    resource: Resource = {"uid": source.uid}
    if source.number is not None and source.number >= 0:
        resource["number"] = source.number
    resource["modality"] = {"system": SYSTEMS["DCM"], "code": source.modality}
    if source.description:
        resource["description"] = source.description
    resource["numberOfInstances"] = source.instances
    return resource


def _observation(code: Resource, report: Report, phrases: Phrases, names: _Names) -> Resource:
    resource: Resource = {
        "resourceType": "Observation",
        "status": "final" if report.status is Status.FINAL else "preliminary",
        "category": [_concept("imaging", f"{_TERMINOLOGY}/observation-category", "Imaging")],
        "code": code,
        "subject": names.reference("patient"),
    }
    if report.study_date:
        resource["effectiveDateTime"] = report.study_date
    resource["device"] = names.reference("device")
    if report.sources:
        resource["derivedFrom"] = [names.reference("study")]
    resource["note"] = [{"text": f"{phrases.text('report.research_only')} {phrases.text('report.must_be_reviewed')}"}]
    return resource


def _measurement(m: Measurement, report: Report, phrases: Phrases, names: _Names) -> Resource:
    resource = _observation(_coded(m.code, phrases.title(m)), report, phrases, names)
    if m.value is None:
        reason = phrases.say(m.reason) if m.reason is not None else phrases.text("report.not_measurable")
        absent = _concept("unknown", f"{_TERMINOLOGY}/data-absent-reason", "Unknown", reason)
        return resource | {"dataAbsentReason": absent}
    resource["valueQuantity"] = _quantity(m.value, m.unit)
    if m.site is not None:
        resource["bodySite"] = _coded(m.site)
    if m.method:
        resource["method"] = {"text": phrases.optional(m.method)}
    if m.interval is not None:
        resource["component"] = [
            _limit("low", m.interval.low, m, phrases),
            _limit("high", m.interval.high, m, phrases),
        ]
    return resource


def _limit(side: str, value: float, m: Measurement, phrases: Phrases) -> Resource:
    level = f"{100 * m.interval.level:.0f}" if m.interval is not None else ""
    text = phrases.text(f"report.limit.{side}", level=level)
    code = _concept(f"interval-{side}", OWN_SYSTEM, f"{side.capitalize()} limit of the interval", text)
    return {"code": code, "valueQuantity": _quantity(value, m.unit)}


def _finding(finding: Finding, report: Report, phrases: Phrases, names: _Names) -> Resource:
    resource = _observation(_coded(finding.code), report, phrases, names)
    resource["valueString"] = page.finding_sentence(finding.message, finding.probability, phrases)
    if finding.probability is not None:
        code = _concept("probability", OWN_SYSTEM, "Calibrated probability")
        resource["component"] = [{"code": code, "valueQuantity": _quantity(finding.probability, "1")}]
    return resource


def _quantity(value: float, unit: str) -> Resource:
    return {"value": float(value), "unit": unit, "system": UCUM, "code": unit}


def _coded(code: Code, text: str = "") -> Resource:
    return _concept(code.value, SYSTEMS.get(code.scheme, f"{OWN_SYSTEM}:{code.scheme}"), code.meaning, text)


def _concept(code: str, system: str, display: str, text: str = "") -> Resource:
    concept: Resource = {"coding": [{"system": system, "code": code, "display": display}]}
    return concept | ({"text": text} if text else {})


def _instant(iso: str) -> str:
    """Return a time with a zone to the second, as FHIR `instant` wants it; UTC when none is told."""
    base = iso.replace(" ", "T")
    base = re.sub(r"\.\d+", "", base)
    return base if re.search(r"(Z|[+-]\d{2}:\d{2})$", base) else f"{base}Z"
