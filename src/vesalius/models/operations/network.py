"""ONNX models on the CPU, in the runtime that the process uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ReadError
from vesalius.models import engines

if TYPE_CHECKING:
    from vesalius.models.operations import Files


def onnx(value: NDArray[Any], *, file: str, files: Files, output: str = "") -> NDArray[np.float64]:
    """Return one output of an ONNX model for one case, float64; the first output by default.

    Raises:
        ReadError: no ONNX model, one that keeps data outside its file, or one that refuses the input.
    """
    if file not in files.kept:
        files.kept[file] = engines.load(files.runtime, files.read, file, files.threads)
    engine = files.kept[file]
    wanted = output or engine.outputs[0]
    if wanted not in engine.outputs:
        raise ReadError(f"{file} has no output {wanted!r}", expected=", ".join(engine.outputs))
    return np.asarray(_plain(_outputs(engine, value, file, files)[wanted]), dtype=np.float64)


def _outputs(engine: engines.Engine, value: NDArray[Any], file: str, files: Files) -> dict[str, Any]:
    """Return every output; two steps that read two outputs of one model for one value compute it once."""
    kept = files.kept.get(f"{file} of")
    if kept is None or kept[0] is not value:
        kept = (value, engine.run(value))
        files.kept[f"{file} of"] = kept
    found: dict[str, Any] = kept[1]
    return found


def _plain(found: Any) -> Any:
    """Return the probabilities of a classifier that gives a list of {label: probability}."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [[one[label] for label in sorted(one)] for one in found]
    return found
