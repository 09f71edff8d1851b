"""YAML files into typed models; an error names file, line, value, what is allowed and the nearest name."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vesalius.core.errors import ConfigError

MAX_BYTES = 1_000_000
"""Largest configuration file that is read."""

Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Return the file's content as an instance of `model`; an empty file is an empty mapping.

    Plain YAML only: no tags, anchors or aliases, no key twice.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds a key or value that the model does not allow.
    """
    data, lines = _parse(path, _text(path))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _first_problem(error, path, model, lines) from None


def describe_problem(problem: ErrorDetails, model: type[BaseModel]) -> tuple[str, str, str]:
    """Return (what is wrong, what is allowed, what to do) for one problem that pydantic found."""
    location = problem["loc"]
    name = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        allowed = _names_at(model, location[:-1])
        return f"unknown key {name!r}", ", ".join(allowed), nearest(str(location[-1]), allowed)
    if problem["type"] == "missing":
        return f"the key {name!r} is missing", f"{name}: a value", "add it"
    choices = str(problem.get("ctx", {}).get("expected", "")) or problem["msg"]
    return f"{name!r} has a value that is not allowed", choices, nearest(str(problem["input"]), _choices(choices))


def nearest(name: str, known: typing.Sequence[str]) -> str:
    """Return advice that names the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def _choices(allowed: str) -> list[str]:
    return [part.strip("' ") for part in allowed.replace(" or ", ",").split(",")]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is too large for a configuration file", expected=f"at most {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", found=error.strerror or type(error).__name__) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", found=f"byte {error.start}", expected="YAML in UTF-8") from None


def _parse(path: Path, text: str) -> tuple[object, dict[Location, int]]:
    loader = yaml.SafeLoader(text)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = event.start_mark.line if event.start_mark else 0
                raise _at(path, line, "anchors and aliases are not allowed", expected="plain YAML")
        node = loader.get_single_node()
        lines = dict(_lines(node, (), path)) if node is not None else {}
        return (loader.construct_document(node) if node is not None else {}), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _at(path, mark.line if mark else 0, "not plain YAML", found=error.problem or "") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not plain YAML", found=type(error).__name__) from None
    finally:
        loader.dispose()


def _at(path: Path, line: int, message: str, **parts: str) -> ConfigError:
    return ConfigError(f"{path}, line {line + 1}: {message}", **parts)


def _lines(node: yaml.Node, location: Location, path: Path) -> Iterator[tuple[Location, int]]:
    yield location, node.start_mark.line
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield from _lines(child, (*location, index), path)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            name = str(key.value)
            if name in seen:
                raise _at(path, key.start_mark.line, f"the key {name!r} stands twice", fix="remove one of them")
            seen.add(name)
            yield from _lines(child, (*location, name), path)
            yield (*location, name), key.start_mark.line


def _first_problem(
    error: ValidationError, path: Path, model: type[BaseModel], lines: Mapping[Location, int]
) -> ConfigError:
    problems = sorted(error.errors(include_url=False), key=lambda p: (p["type"] == "missing", _line(p["loc"], lines)))
    first = problems[0]
    what, allowed, fix = describe_problem(first, model)
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    found = "" if first["type"] == "missing" else repr(first["input"])[:80]
    return _at(path, _line(first["loc"], lines), what + more, found=found, expected=allowed, fix=fix)


def _line(location: Location, lines: Mapping[Location, int]) -> int:
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 0)


def _names_at(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that are allowed at a place inside a model."""
    here: Any = model
    for part in location:
        here = _inside(here, part)
    found = _model_of(here)
    return sorted(field.alias or name for name, field in found.model_fields.items()) if found else []


def _inside(annotation: Any, part: int | str) -> Any:
    model = _model_of(annotation)
    if model is not None:
        return next((f.annotation for n, f in model.model_fields.items() if part in (n, f.alias)), None)
    arguments = typing.get_args(annotation)
    return arguments[-1 if isinstance(part, str) else 0] if arguments else None


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    options = typing.get_args(annotation) if typing.get_origin(annotation) not in (list, dict, tuple) else ()
    return next((m for m in map(_model_of, options) if m is not None), None)
