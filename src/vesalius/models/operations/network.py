"""ONNX models, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ReadError

if TYPE_CHECKING:
    from vesalius.models.operations import Files


def onnx(value: NDArray[Any], *, file: str, files: Files, output: str = "") -> NDArray[np.float64]:
    """Return one output of an ONNX model for one case, float64; the first output by default.

    Raises:
        ReadError: no ONNX model, one that keeps data outside its file, or one that refuses the input.
    """
    session = _session(file, files)
    names = [one.name for one in session.get_outputs()]
    wanted = output or names[0]
    if wanted not in names:
        raise ReadError(f"{file} has no output {wanted!r}", expected=", ".join(names))
    try:
        (found,) = session.run([wanted], {session.get_inputs()[0].name: value})
    except Exception as error:  # noqa: BLE001 - the runtime's errors share no base
        raise ReadError(f"{file} refuses the input", found=f"{value.dtype} {value.shape}; {error}"[:200]) from None
    return np.asarray(_plain(found), dtype=np.float64)


def _plain(found: Any) -> Any:
    """Return the probabilities of a classifier that gives a list of {label: probability}."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [[one[label] for label in sorted(one)] for one in found]
    return found


def _session(file: str, files: Files) -> Any:
    if file not in files.kept:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = files.threads, 1
        options.log_severity_level = 3
        try:
            # from bytes, so that a model cannot name files outside itself
            session = onnxruntime.InferenceSession(files.read(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the runtime's errors share no base
            raise ReadError(f"{file} is no ONNX model that runs here", found=str(error)[:200]) from None
        files.kept[file] = session
    return files.kept[file]
