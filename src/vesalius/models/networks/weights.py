"""Weights to begin with, from a package, a safetensors file or a local folder; nothing is unpickled or fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core.errors import ConfigError, MissingDependencyError, ReadError, UnsupportedError, UsageError
from vesalius.models.networks.build import Network, Specification, parse

WEIGHTS: Final = "weights.safetensors"
SPECIFICATION: Final = "network.json"
PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".h5", ".msgpack")
_PREFIXES: Final = ("", "members.0.", "module.", "model.", "backbone.", "encoder.", "network.", "net.")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Source:
    """Weights to begin with.

    Args:
        arrays: by name.
        specification: the network that they are of, where that is told.
        package: name and version, SHA-256 and licence class of the package that they come from, empty for a file.
    """

    arrays: Arrays
    specification: Specification | None = None
    package: Mapping[str, str] = field(default_factory=dict)


def read(path: Path, *, accept_licence: Sequence[str] = ()) -> Source:
    """Return the weights at a place.

    Args:
        accept_licence: classes of licence of a package that the caller accepts.
        path: a model package (folder or `.vesalius`), a `.safetensors` file, or a folder with `weights.safetensors`
            or a single `.safetensors` file.

    Raises:
        UsageError: there is nothing.
        UnsupportedError: a file that would have to be unpickled.
        ReadError: no safetensors file, or a damaged one.
        TamperedError: a package that does not fit its hashes.
        LicenceError: a package of a class that was not accepted.
    """
    if not path.exists():
        raise UsageError("there are no weights to begin with", found=str(path), expected="a package, file or folder")
    if path.suffix.lower() in PICKLES:
        raise UnsupportedError(
            "weights of this kind are never loaded, for loading them runs code",
            found=path.name,
            expected="safetensors",
            fix="convert them where you trust them: safetensors.torch.save_file(state_dict, 'weights.safetensors')",
        )
    if path.suffix == ".vesalius" or (path / "hashes.json").is_file():
        return _of_package(path, accept_licence)
    file = path if path.is_file() else _only(path)
    beside = file.parent / SPECIFICATION
    told = parse(beside.read_bytes(), SPECIFICATION) if beside.is_file() else None
    return Source(_arrays(file.read_bytes(), file.name), told)


def _of_package(path: Path, accept_licence: Sequence[str]) -> Source:
    from vesalius.models.package import open_package

    with open_package(path, accept_licence=accept_licence) as package:
        if not (package.folder / WEIGHTS).is_file():
            raise ReadError(
                f"{package.card.name} holds no weights to train further",
                expected=WEIGHTS,
                fix="a package of a network",
            )
        told = package.folder / SPECIFICATION
        specification = parse(told.read_bytes(), SPECIFICATION) if told.is_file() else None
        card = package.card
        facts = {"name": f"{card.name} {card.version}", "sha256": package.digest, "licence": card.licence}
        return Source(_arrays(package.read(WEIGHTS), WEIGHTS), specification, facts)


def _only(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise ReadError(
            f"{folder} does not hold one file of weights",
            found=f"{len(found)} safetensors files",
            expected=WEIGHTS,
        )
    return found[0]


def _arrays(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    try:
        from safetensors.torch import load
    except ImportError:
        raise MissingDependencyError("weights need safetensors", fix="pip install 'vesalius[networks]'") from None
    try:
        # through torch: NumPy knows no bfloat16
        return {key: value.float().numpy() if value.is_floating_point() else value.numpy()
                for key, value in load(data).items()}  # fmt: skip
    except Exception as error:  # noqa: BLE001 - the library's errors share no base
        raise ReadError(f"{name} is no safetensors file", found=type(error).__name__) from None


def begin_with(network: Network, source: Source, where: str) -> dict[str, Any]:
    """Put weights into a network, and return what was taken: arrays, whether the last layer fitted, changed channels.

    Names may carry a usual prefix. The body must fit; the last layer is taken when it fits and is fresh otherwise. A
    first convolution of another number of channels is summed or spread over the channels.

    Raises:
        ConfigError: the weights are of another network.
    """
    wanted, told = dict(network.state_dict()), source.specification
    if told is not None and told.name != network.specification.name:
        raise ConfigError(
            f"{where} holds another network", found=told.name, expected=network.specification.name,
            fix=f"name: {told.name}",
        )  # fmt: skip
    found = {name: _find(name, source.arrays) for name in wanted}
    taken, changed = {}, []
    for name, value in wanted.items():
        given = found[name]
        fitted = None if given is None else _fitted(given, value)
        if fitted is None:
            continue
        taken[name] = fitted
        if given is not None and given.shape != tuple(value.shape):
            changed.append(name)
    _check_body(network, wanted, taken, where)
    network.load_state_dict(taken, strict=False)
    head = all(name in taken for name in wanted if name.startswith("head."))
    return {"arrays": len(taken), "last_layer": head, "channels_changed": changed, **source.package}


def _find(name: str, arrays: Arrays) -> NDArray[Any] | None:
    return next((arrays[one] for one in _names(name) if one in arrays), None)


def _names(name: str) -> Iterator[str]:
    for prefix in _PREFIXES:
        yield prefix + name
        if name.startswith("body."):
            yield prefix + name.removeprefix("body.")
            yield prefix + name.removeprefix("body.").removeprefix("inner.")


def _fitted(source: NDArray[Any], like: Tensor) -> Tensor | None:
    """Return the array as a tensor of the wanted shape, or None."""
    value = torch.from_numpy(np.array(source))
    if value.shape == like.shape:
        return value.to(like.dtype)
    convolution = value.ndim == like.ndim and value.ndim >= 4
    if convolution and value.shape[0] == like.shape[0] and value.shape[2:] == like.shape[2:]:
        grey = value.sum(dim=1, keepdim=True)
        if like.shape[1] == 1 or value.shape[1] == 1:
            return (grey / like.shape[1]).expand_as(like).to(like.dtype).clone()
    return None


def _check_body(network: Network, wanted: Mapping[str, Tensor], taken: Mapping[str, Tensor], where: str) -> None:
    # batch counters are absent from many files and change nothing
    body = [name for name in wanted if name.startswith("body.") and not name.endswith("num_batches_tracked")]
    lacking = [name for name in body if name not in taken]
    if lacking:
        raise ConfigError(
            f"{where} does not fit the network {network.specification.name}",
            found=f"{len(lacking)} of {len(body)} arrays are missing or of another shape, the first {lacking[0]}",
            expected="weights of the same architecture",
            fix="set name, depth and widths to those of the weights",
        )
