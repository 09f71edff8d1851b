"""The JSON form of a report: language-neutral, stable order, finite numbers, the run block apart.

Version 1 is published as `schema/report-1.json` (JSON Schema 2020-12). Fields keep the order of the dataclass,
mappings are sorted by key, `run` comes last, because two runs that are the same differ only there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib import resources
from typing import Any

from vesalius.core.errors import ReadError
from vesalius.core.report import SCHEMA, Report

_SHA256 = "^([0-9a-f]{64})?$"
_DATE = r"^(\d{4}-\d{2}-\d{2})?$"
_PATTERNS = {"sha256": _SHA256, "study_date": _DATE}
_FREE_FORM = ("attributes", "report.provenance.parameters")
"""Fields of any JSON value, where a number that is not finite becomes null; elsewhere it is an error."""
_OPEN: dict[str, Any] = {"description": "any JSON value"}


def to_json(report: Report) -> bytes:
    """Return the report as UTF-8 JSON, two spaces deep, with a final newline.

    Raises:
        ReadError: a number is not finite, or a free-form value is nothing JSON knows.
    """
    text = json.dumps(to_dict(report), ensure_ascii=False, indent=2, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def to_dict(report: Report) -> dict[str, Any]:
    """Return the report as dictionaries, lists, strings and finite numbers."""
    fields: dict[str, Any] = _plain(report, "report")
    run = fields.pop("run")
    return {"schema": SCHEMA, **fields, "run": run}


def from_json(data: bytes | str) -> Report:
    """Return the report that a report.json holds.

    Raises:
        ReadError: not JSON, another schema version, or a field of another kind than the schema says.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ReadError("the report is not JSON", found=str(error)) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise ReadError("the report has another schema", found=repr(found), expected=SCHEMA)
    fields = {key: value for key, value in content.items() if key != "schema"}
    report: Report = _build(Report, fields, "report")
    return report


def published() -> dict[str, Any]:
    """Return the published JSON Schema of the current version."""
    text = resources.files("vesalius.report").joinpath("schema", "report-1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def describe() -> dict[str, Any]:
    """Return the JSON Schema that follows from the dataclasses; a test compares it with the published one."""
    definitions: dict[str, Any] = {}
    _schema_of(Report, "report", definitions)
    root = definitions.pop("Report")
    properties = dict(root["properties"])
    run = properties.pop("run")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vesalius report",
        "description": "Language-neutral report of an analysis. For research use only; not a medical device.",
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, **properties, "run": run},
        "required": ["schema", *[name for name in root["required"] if name != "run"], "run"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _plain(value: Any, where: str) -> Any:
    """Return dataclasses, enums, tuples, mappings and NumPy scalars as plain JSON values."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, Enum)):
        return value
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key], f"{where}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, set | frozenset):
        return _plain(sorted(value, key=str), where)
    if isinstance(value, Sequence):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return _number(value, where)


def _number(value: Any, where: str) -> Any:
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where)
    if not isinstance(value, int | float):
        raise ReadError(
            f"{where} cannot be written as JSON",
            found=type(value).__name__,
            expected="text, numbers, true, false, lists or mappings of them",
        )
    if not math.isfinite(value):
        if any(name in where for name in _FREE_FORM):
            return None
        raise ReadError(
            f"{where} is not a finite number", found=repr(value), fix="use None and a reason for what is not measurable"
        )
    return value


def _build(kind: Any, value: Any, where: str) -> Any:
    """Return the value as the annotated type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, value, where)
    if kind is Any or kind is object:
        return value
    if origin is tuple:
        return _build_tuple(arguments, value, where)
    if origin is not None and issubclass(origin, Mapping):
        _expect(value, dict, where)
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if issubclass(kind, Enum):
        if value not in [member.value for member in kind]:
            raise ReadError(f"{where} is none of the known values", found=repr(value), expected=", ".join(kind))
        return kind(value)
    _expect(value, (int, float) if kind is float else kind, where)
    return float(value) if kind is float else value


def _build_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    choices = [argument for argument in arguments if argument is not type(None)]
    if len(choices) == 1:
        return _build(choices[0], value, where)
    _expect(value, tuple(choices), where)
    return value


def _build_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _expect(value, list, where)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        raise ReadError(f"{where} has another length", found=str(len(value)), expected=str(len(kinds)))
    return tuple(_build(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(value, dict, where)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    missing = sorted({f.name for f in dataclasses.fields(kind)} - set(value))
    if unknown or missing:
        raise ReadError(f"{where} has other fields", found=f"unknown {unknown}, missing {missing}")
    return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _expect(value: Any, kinds: Any, where: str) -> None:
    wrong_bool = isinstance(value, bool) and kinds is not bool
    if wrong_bool or not isinstance(value, kinds):
        names = [kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
        raise ReadError(f"{where} is of another kind", found=type(value).__name__, expected=" or ".join(names))


_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _schema_of(kind: Any, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an annotated type; dataclasses go to `definitions`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return dict(_OPEN)
    if origin in (typing.Union, types.UnionType):
        parts = [_schema_of(argument, name, definitions) for argument in arguments]
        return {"anyOf": parts} if any("$ref" in p for p in parts) else {"type": [p["type"] for p in parts]}
    if origin is tuple:
        items = _schema_of(arguments[0], name, definitions)
        length = {} if arguments[-1] is Ellipsis else {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"type": "array", "items": items, **length}
    if origin is not None:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], name, definitions)}
    if dataclasses.is_dataclass(kind):
        return _dataclass_schema(kind, definitions)
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    simple: dict[str, Any] = {"type": _SIMPLE[kind]}
    return simple | ({"pattern": _PATTERNS[name]} if name in _PATTERNS else {})


def _dataclass_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        definitions[kind.__name__] = {
            "description": (kind.__doc__ or "").strip().split("\n")[0],
            "type": "object",
            "properties": {name: _schema_of(hints[name], name, definitions) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}
