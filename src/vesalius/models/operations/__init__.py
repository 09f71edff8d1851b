"""The operations of a package's graph, by name and version.

The same operations prepare cases when a model is trained and when it predicts, so the two cannot differ. A version
never changes its result; another result is another version.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vesalius.core import registry
from vesalius.core.errors import ConfigError, ReadError, VesaliusError
from vesalius.models.graph import Graph, Step

TABLE: Final[Mapping[str, str]] = {
    "imaging.grey": "images:grey",
    "imaging.resize": "images:resize",
    "imaging.spacing": "images:spacing",
    "imaging.window": "images:window",
    "imaging.percentiles": "images:percentiles",
    "imaging.zscore": "images:zscore",
    "imaging.fit": "images:fit",
    "imaging.tensor": "images:tensor",
    "imaging.slices": "images:slices",
    "imaging.crop": "masks:crop",
    "imaging.keep": "masks:keep",
    "features.hog": "features:hog",
    "features.lbp": "features:lbp",
    "features.intensity": "features:intensity",
    "features.radiomics": "radiomics:radiomics",
    "table.number": "tables:number",
    "table.category": "tables:category",
    "table.fill": "tables:fill",
    "table.scale": "tables:scale",
    "table.join": "tables:join",
    "onnx": "network:onnx",
    "calibrate.sigmoid": "probability:sigmoid",
    "calibrate.softmax": "probability:softmax",
    "calibrate.temperature": "probability:temperature",
    "calibrate.platt": "probability:platt",
    "calibrate.isotonic": "probability:isotonic",
    "calibrate.prior": "probability:prior",
    "calibrate.ordinal": "probability:ordinal",
    "survival.cox": "survival:cox",
    "cluster.nearest": "clusters:nearest",
    "interval.conformal": "probability:interval",
    "distance.mahalanobis": "clusters:mahalanobis",
}
"""Name -> "module:function"; all are at version 1."""


@dataclass(frozen=True)
class Files:
    """Reads the files of a package, and keeps what was made of them (a loaded model) for the next case."""

    read: Callable[[str], bytes]
    kept: dict[str, Any]
    threads: int = 2
    runtime: str = "onnxruntime"


def load(step: Step) -> Callable[..., Any]:
    """Return the function of a step.

    Raises:
        UnknownNameError: there is no such operation.
        ConfigError: it does not exist in this version.
    """
    if step.op not in TABLE:
        raise registry.unknown("operation", step.op, tuple(TABLE))
    if step.version != 1:
        raise ConfigError(
            f"step {step.id}: {step.op} does not exist in version {step.version}",
            expected="version 1",
            fix="a newer Vesalius may have it",
        )
    module, _, name = TABLE[step.op].partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return function


def check(graph: Graph) -> None:
    """Check that every step exists and takes its parameters.

    Raises:
        UnknownNameError: an operation that does not exist.
        ConfigError: a parameter that is missing or that the operation does not know.
    """
    for step in graph.steps:
        signature = inspect.signature(load(step))
        given = {**step.parameters, **({"file": step.file, "files": None} if step.file else {})}
        try:
            signature.bind(*step.inputs, **given)
        except TypeError as error:
            known = [name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY]
            raise ConfigError(f"step {step.id} ({step.op}): {error}", expected=", ".join(known)) from None


def run_steps(graph: Graph, inputs: Mapping[str, Any], files: Files) -> dict[str, Any]:
    """Return every value of the graph for one case.

    Raises:
        VesaliusError: as an operation says; the step is named.
    """
    values: dict[str, Any] = {**dict.fromkeys(graph.inputs), **inputs}
    for step in graph.steps:
        extra = {"file": step.file, "files": files} if step.file else {}
        try:
            values[step.id] = load(step)(*(values[name] for name in step.inputs), **step.parameters, **extra)
        except VesaliusError:
            raise
        except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError) as error:
            raise ReadError(f"step {step.id} ({step.op}) cannot work on this case", found=str(error)[:200]) from error
    return values
