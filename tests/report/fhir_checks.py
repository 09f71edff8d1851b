"""What FHIR R4 demands of the resources we write and Python's libraries do not check.

Structure, required elements, required value sets and references; each problem is one line of text.

Source: HL7 FHIR 4.0.1, resource pages and value sets of required binding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def _codes(text: str) -> set[str]:
    return set(text.split())


STATUS = {
    "DiagnosticReport": _codes("registered partial preliminary final amended corrected appended cancelled")
    | {"entered-in-error", "unknown"},
    "Observation": _codes("registered preliminary final amended corrected cancelled entered-in-error unknown"),
    "ImagingStudy": _codes("registered available cancelled entered-in-error unknown"),
    "Device": _codes("active inactive entered-in-error unknown"),
}
BUNDLE_TYPES = _codes("document message transaction transaction-response batch batch-response history searchset")
REQUIRED = {
    "DiagnosticReport": ("status", "code"),
    "Observation": ("status", "code"),
    "ImagingStudy": ("status", "subject"),
    "Device": (),
    "Patient": (),
}
ALLOWED = {
    "DiagnosticReport": _codes(
        "language text status category code subject effectiveDateTime issued result imagingStudy conclusion "
        "presentedForm"
    ),
    "Observation": _codes(
        "status category code subject effectiveDateTime device derivedFrom note valueQuantity valueString "
        "dataAbsentReason bodySite method component"
    ),
    "ImagingStudy": _codes("identifier status subject started series"),
    "Device": _codes("deviceName type version note status"),
    "Patient": _codes("identifier name birthDate"),
}
DATE = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?)?)?")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


def problems(bundle: Json) -> list[str]:
    """Return every problem of a bundle, [] when there is none."""
    return list(_bundle(bundle))


def _bundle(bundle: Json) -> Iterator[str]:
    if bundle.get("resourceType") != "Bundle":
        yield "not a Bundle"
    if bundle.get("type") not in BUNDLE_TYPES | {"collection"}:
        yield f"Bundle.type {bundle.get('type')!r} is not in the value set"
    if "timestamp" in bundle and not INSTANT.fullmatch(bundle["timestamp"]):
        yield "Bundle.timestamp is not an instant"
    entries = bundle.get("entry", [])
    urls = [entry.get("fullUrl") for entry in entries]
    if len(set(urls)) != len(urls):
        yield "two entries share one fullUrl"
    for entry in entries:
        yield from _resource(entry["resource"])
        if entry["fullUrl"] != f"urn:uuid:{entry['resource'].get('id')}":
            yield f"fullUrl {entry['fullUrl']} is not that of the resource"
        for reference in _references(entry["resource"]):
            if reference not in urls:
                yield f"{entry['resource']['resourceType']}: reference {reference} leads nowhere"


def _resource(resource: Json) -> Iterator[str]:
    kind = resource.get("resourceType", "")
    if kind not in REQUIRED:
        yield f"unknown resource {kind!r}"
        return
    for name in REQUIRED[kind]:
        if not resource.get(name):
            yield f"{kind}.{name} is missing"
    for name in set(resource) - ALLOWED[kind] - {"resourceType", "id"}:
        yield f"{kind}.{name} is not an element we may write"
    if "status" in resource and resource["status"] not in STATUS.get(kind, set()):
        yield f"{kind}.status {resource['status']!r} is not in the value set"
    for name in ("effectiveDateTime", "started", "birthDate"):
        if name in resource and not DATE.fullmatch(resource[name]):
            yield f"{kind}.{name} is not a date"
    if "issued" in resource and not INSTANT.fullmatch(resource["issued"]):
        yield f"{kind}.issued is not an instant"
    yield from _values(kind, resource)


def _values(kind: str, resource: Json) -> Iterator[str]:
    if kind == "Observation":
        yield from _observation(resource)
    for quantity in _named(resource, "valueQuantity"):
        if quantity.get("system") != "http://unitsofmeasure.org" or not quantity.get("code"):
            yield f"{kind}: a quantity has no UCUM code"
    for coding in _named(resource, "coding"):
        if any(not one.get("code") or ":" not in one.get("system", "") for one in coding):
            yield f"{kind}: a coding lacks code or system"
    if any(not concept.get("coding") and not concept.get("text") for concept in _concepts(resource)):
        yield f"{kind}: a concept is empty"


def _observation(resource: Json) -> Iterator[str]:
    values = [name for name in resource if name.startswith("value")]
    if len(values) + ("dataAbsentReason" in resource) != 1:
        yield "Observation has not exactly one of value[x] and dataAbsentReason"
    if any(not component.get("code") for component in resource.get("component", [])):
        yield "Observation.component.code is missing"


def _concepts(resource: Json) -> Iterator[Json]:
    for name in ("code", "method", "bodySite", "type", "dataAbsentReason"):
        if isinstance(resource.get(name), dict):
            yield resource[name]
    for component in resource.get("component", []):
        if isinstance(component.get("code"), dict):
            yield component["code"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _named(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for item in value.values():
            yield from _named(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, name)
