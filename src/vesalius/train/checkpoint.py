"""Checkpoints: arrays and a state in one safetensors file, written whole or not at all; nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import MissingDependencyError, ReadError
from vesalius.io.atomic import write_bytes

SCHEMA: Final = "vesalius.checkpoint/1"
_LEFT_OVER: Final = ".*.part"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a fit stands.

    Args:
        arrays: weights, optimiser, moving average, random states, by name.
        state: counters and everything that JSON holds.
    """

    arrays: Mapping[str, NDArray[Any]]
    state: Mapping[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a crash at any moment leaves the old file or the new one.

    Raises:
        OutputError: it cannot be written (disk full ...); the old checkpoint stays.
    """
    write_bytes(path, to_bytes(checkpoint))


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the file; the same content gives the same bytes."""
    arrays = {name: np.array(checkpoint.arrays[name], order="C", ndmin=0) for name in sorted(checkpoint.arrays)}
    # one key only: the order of several in the header is not fixed
    header = {"vesalius": json.dumps({"schema": SCHEMA, "state": dict(checkpoint.state)}, sort_keys=True)}
    data: bytes = _safetensors().save(arrays, metadata=header)
    return data


def load(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        ReadError: the file is no checkpoint, or was damaged.
    """
    try:
        data = path.read_bytes()
        header = _header(data)
        if header.get("schema") != SCHEMA:
            raise ValueError("another schema")
        arrays = _safetensors().load(data)
    except MissingDependencyError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's errors share no base
        raise ReadError(
            f"{path} is no checkpoint of Vesalius",
            found=type(error).__name__,
            fix="delete it, or start again without --resume",
        ) from None
    return Checkpoint(arrays, header["state"])


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of any safetensors file.

    Raises:
        ReadError: it is none.
    """
    try:
        arrays: dict[str, NDArray[Any]] = _safetensors().load(path.read_bytes())
    except MissingDependencyError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's errors share no base
        raise ReadError(f"{path.name} is no safetensors file", found=type(error).__name__) from None
    return arrays


def clear_left_overs(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for one in folder.glob(_LEFT_OVER):
        if one.is_file():
            one.unlink(missing_ok=True)


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError("cut")
    found = json.loads(data[8 : 8 + length])["__metadata__"]["vesalius"]
    return dict(json.loads(found))


def _safetensors() -> Any:
    try:
        from safetensors import numpy
    except ImportError:
        raise MissingDependencyError(
            "checkpoints need safetensors", fix="pip install 'vesalius[networks]'"
        ) from None  # fmt: skip
    return numpy
