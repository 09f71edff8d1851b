"""The runtimes that compute an ONNX model: which are installed, which one a process uses, and how they are called.

A process uses one runtime. Both compute in 32-bit floats whatever the processor offers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vesalius.core import registry
from vesalius.core.errors import MissingDependencyError, ReadError, UsageError
from vesalius.models.card import Card

AUTO: Final = "auto"
NAMES: Final = ("onnxruntime", "openvino", "torch")
"""Runtimes by name; the first is part of the base install and the one for which packages are made.

PyTorch computes only a network of our own, whose specification and weights lie in the package beside the ONNX file.
"""
FOR_TORCH: Final = ("network.json", "weights.safetensors")
"""Files that PyTorch needs."""
_INSTALL: Final = {"onnxruntime": "onnxruntime", "openvino": "vesalius[openvino]", "torch": "vesalius[networks]"}
Read = Callable[[str], bytes]
"""Gives the content of a file of the package."""


class Engine(Protocol):
    """A model that is ready to compute."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs."""
        ...

    def run(self, value: NDArray[Any]) -> dict[str, Any]:
        """Return every output by name.

        Raises:
            ReadError: it refuses the input.
        """
        ...


@dataclass
class _Process:
    runtime: str = ""


_PROCESS: Final = _Process()


def installed() -> tuple[str, ...]:
    """Return the runtimes that are installed, without importing them."""
    return tuple(name for name in NAMES if importlib.util.find_spec(name) is not None)


def version(runtime: str) -> str:
    """Return the version of an installed runtime."""
    return metadata.version(runtime)


def choose(card: Card, wanted: str = AUTO) -> str:
    """Return the runtime for a package.

    A name that is asked for wins, then the runtime that this process uses already, then the fastest installed one that
    the card measured within its tolerance, then the first that is installed.

    Raises:
        UnknownNameError: no such runtime.
        MissingDependencyError: it is not installed.
        UsageError: this process uses another one already.
    """
    there = installed()
    if wanted != AUTO:
        return _asked(wanted, there)
    if _PROCESS.runtime:
        return _PROCESS.runtime
    good = [one for one in card.runtimes if one.name in there and one.largest_error <= card.tolerance]
    if good:
        return min(good, key=lambda one: one.seconds_per_case).name
    if not there:
        raise MissingDependencyError("no runtime for models is installed", expected=" or ".join(NAMES),
                                     fix="pip install onnxruntime")  # fmt: skip
    return there[0]


def _asked(wanted: str, there: Sequence[str]) -> str:
    if wanted not in NAMES:
        raise registry.unknown("runtime", wanted, (AUTO, *NAMES))
    if wanted not in there:
        raise MissingDependencyError(f"the runtime {wanted} is not installed", found=", ".join(there) or "none",
                                     fix=f"pip install {_INSTALL[wanted]}")  # fmt: skip
    if _PROCESS.runtime not in ("", wanted):
        raise UsageError("a process uses one runtime for models", found=f"{wanted}, after {_PROCESS.runtime}",
                         fix="start another process")  # fmt: skip
    return wanted


def load(runtime: str, read: Read, file: str, threads: int) -> Engine:
    """Return a model of an ONNX file, ready in a runtime.

    Args:
        file: the ONNX file in the package.

    Raises:
        ReadError: no ONNX model, or one that this runtime cannot compute.
        UsageError: this process uses another runtime already.
    """
    chosen = _asked(runtime, installed())
    _PROCESS.runtime = chosen
    return _LOADERS[chosen](read, file, threads)


@dataclass(frozen=True, eq=False)
class _Ready:
    """A loaded model; `compute` returns the outputs in their order."""

    file: str
    outputs: tuple[str, ...]
    compute: Callable[[NDArray[Any]], Sequence[Any]] = field(repr=False)

    def run(self, value: NDArray[Any]) -> dict[str, Any]:
        """Return every output by name."""
        try:
            found = self.compute(value)
        except Exception as error:  # noqa: BLE001 - the errors of the runtimes share no base
            shown = f"{value.dtype} {value.shape}; {error}"[:200]
            raise ReadError(f"{self.file} refuses the input", found=shown) from None
        return dict(zip(self.outputs, found, strict=True))


def _onnxruntime(read: Read, file: str, threads: int) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        # from bytes, so that a model cannot name files outside itself
        session = onnxruntime.InferenceSession(read(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the errors of the runtime share no base
        raise ReadError(f"{file} is no ONNX model that runs here", found=str(error)[:200]) from None
    name = session.get_inputs()[0].name
    outputs = tuple(one.name for one in session.get_outputs())
    return _Ready(file, outputs, lambda value: list(session.run(list(outputs), {name: value})))


def _openvino(read: Read, file: str, threads: int) -> Engine:
    import openvino

    options = {
        # else some processors compute in bfloat16, far outside the golden outputs
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        core = openvino.Core()
        # from bytes, so that a model cannot name files outside itself
        model = core.read_model(model=read(file), weights=b"")
        compiled = core.compile_model(model, "CPU", options)
    except Exception as error:  # noqa: BLE001 - the errors of the runtime share no base
        raise ReadError(f"{file} does not run in OpenVINO", found=_reason(error), fix="--runtime onnxruntime") from None
    request = compiled.create_infer_request()
    outputs = tuple(_name(one, number) for number, one in enumerate(compiled.outputs))

    def compute(value: NDArray[Any]) -> list[NDArray[Any]]:
        results = request.infer({0: value})
        return [np.array(results[number]) for number in range(len(outputs))]

    return _Ready(file, outputs, compute)


def _name(port: Any, number: int) -> str:
    names = sorted(port.get_names())
    return names[0] if names else f"output {number}"


def _reason(error: Exception) -> str:
    """Return the line that names the operations which OpenVINO does not have, else the last one."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("No conversion rule")]
    return ([*named, *lines[-1:]] or [type(error).__name__])[0][:200]


def _torch(read: Read, file: str, threads: int) -> Engine:
    from vesalius.models.networks.engine import TorchEngine

    return TorchEngine(read, file, threads)


_LOADERS: Final[dict[str, Callable[[Read, str, int], Engine]]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch": _torch,
}
