"""Golden cases: inputs of a package and the outputs that every runtime must give again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Mask, Segment, Spacing, Volume
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import ReadError

Value = Volume | Mask | float | str
"""What a caller hands in for one input."""


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """Inputs by name, and the output as it was when the package was made."""

    inputs: Mapping[str, Value]
    output: NDArray[np.float64]


def golden_bytes(cases: Sequence[GoldenCase]) -> bytes:
    """Return the cases as an .npz, the same bytes every time."""
    arrays: dict[str, NDArray[Any]] = {}
    about = []
    for number, case in enumerate(cases):
        told = {}
        for name, value in case.inputs.items():
            told[name], parts = _described(value)
            arrays.update({f"{number}.{name}.{part}": array for part, array in parts.items()})
        arrays[f"{number}.output"] = case.output
        about.append(told)
    arrays["cases"] = np.array(json.dumps(about))
    return _npz(arrays)


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue(),
                             zipfile.ZIP_DEFLATED)  # fmt: skip
    return written.getvalue()


def read_golden(path: Path) -> tuple[GoldenCase, ...]:
    """Return the golden cases of a package.

    Raises:
        ReadError: damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["cases"]))
        return tuple(
            GoldenCase(
                {name: _value(told, arrays, f"{number}.{name}") for name, told in case.items()},
                arrays[f"{number}.output"].astype(np.float64),
            )
            for number, case in enumerate(about)
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ReadError(
            f"{path.name} cannot be read", found=type(error).__name__, fix="get the package again"
        ) from None


def _described(value: Value) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    if isinstance(value, Volume):
        about: dict[str, Any] = {
            "kind": "image",
            "modality": value.modality,
            "frame": str(value.frame),
            "spacing": str(value.spacing),
        }
        axis = value.axis
        if axis is not None:
            about["axis"] = [str(axis.kind), list(axis.values), axis.unit]
        return about, {"array": value.array, "affine": value.affine}
    if isinstance(value, Mask):
        names = {str(label): one.name for label, one in value.segments.items()}
        about = {"kind": "mask", "segments": names, "frame": str(value.frame), "spacing": str(value.spacing)}
        return about, {"array": value.array, "affine": value.affine}
    if isinstance(value, str):
        return {"kind": "text", "value": value}, {}
    return {"kind": "number", "value": float(value)}, {}


def _value(told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], name: str) -> Value:
    if told["kind"] in ("number", "text"):
        value: float | str = told["value"]
        return value
    array, affine = arrays[f"{name}.array"], arrays[f"{name}.affine"]
    frame, spacing = Frame(told["frame"]), Spacing(told["spacing"])
    if told["kind"] == "mask":
        segments = {int(label): Segment(text, Code(text, OWN_SCHEME, text), (230, 159, 0))
                    for label, text in told["segments"].items()}  # fmt: skip
        return Mask(array, affine, frame, spacing, segments=segments)
    axis = None
    if "axis" in told:
        kind, values, unit = told["axis"]
        axis = Axis(AxisKind(kind), tuple(values), unit)
    return Volume(array, affine, frame=frame, spacing=spacing, modality=told["modality"], axis=axis)
