"""A network from its specification: what a package keeps beside the weights, so that it can be trained further."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from vesalius.core.errors import ConfigError
from vesalius.models.networks import library, plain, residual, sequence
from vesalius.models.networks.stages import Body

NORMALISED: Final = ("residual", "sequence", "cnn3d")
"""Networks that bring every image to mean 0 and standard deviation 1 unless told otherwise."""


class Specification(BaseModel):
    """Everything that fixes the shape of a network.

    Args:
        name: one of `NAMES`.
        size: (slice,) row, column of the image.
        outputs: numbers that the last layer gives.
        options: of the architecture, as widths or depth.
        flips: axes along which mirrored views are averaged: slices, rows, columns.
        centre, scale: of a regression: the output is multiplied by `scale` and `centre` is added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    channels: int
    size: tuple[int, ...]
    outputs: int
    widths: tuple[int, ...] | None = None
    depth: int | None = None
    patch: int | None = None
    hidden: int | None = None
    blocks: int | None = None
    dropout: float = 0.0
    normalise: bool = False
    centre: float = 0.0
    scale: float = 1.0
    flips: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        """Return 2 or 3."""
        return len(self.size)


class Network(nn.Module):
    """Images to numbers: normalisation per image if asked for, a body, and a last layer.

    Input [cases, channel, (slice,) row, column], output [cases, outputs], before softmax or any other last step.
    """

    def __init__(self, body: Body, specification: Specification) -> None:
        """Put a last layer on a body."""
        super().__init__()
        self.body = body
        self.dropout = nn.Dropout(specification.dropout)
        self.head = nn.Linear(body.features, specification.outputs)
        self.specification = specification

    def forward(self, image: Tensor) -> Tensor:
        """Return the numbers of every case."""
        if self.specification.normalise:
            image = per_image(image)
        result: Tensor = self.head(self.dropout(self.body(image)))
        return result

    def stages(self) -> list[list[nn.Module]]:
        """Return the stages from the image to the answer; the last one is the last layer."""
        return [*self.body.stages(), [self.head]]


def per_image(image: Tensor) -> Tensor:
    """Return every image with mean 0 and standard deviation 1 over all its values; a flat image becomes 0."""
    axes = list(range(1, image.ndim))
    centred = image - image.mean(dim=axes, keepdim=True)
    spread = centred.square().mean(dim=axes, keepdim=True).sqrt()
    return centred / (spread + 1e-6)


def build(specification: Specification, *, seed: int) -> Network:
    """Return a network with fresh weights.

    Raises:
        ConfigError: the architecture does not exist, or not for such images.
    """
    if specification.name not in NAMES:
        raise ConfigError("unknown network", found=specification.name, expected=", ".join(NAMES))
    _check(specification)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(NAMES[specification.name](specification), specification)


def parse(text: str | bytes, where: str) -> Specification:
    """Return the specification in JSON.

    Raises:
        ConfigError: it is none.
    """
    try:
        return Specification.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{where} does not describe a network", found=str(error.errors()[0]["loc"])) from None


def _check(specification: Specification) -> None:
    wanted = {"sequence": 3, "cnn3d": 3}.get(specification.name)
    if specification.dimensions not in (2, 3) or wanted not in (None, specification.dimensions):
        raise ConfigError(
            f"the network {specification.name} does not read such images",
            found=f"{specification.dimensions}-D",
            expected="volumes" if wanted else "2-D or 3-D",
            fix="imaging.tensor with dimensions: 3" if wanted else "",
        )


def _sized(specification: Specification) -> Body:
    return residual.residual(
        specification.dimensions, specification.channels, specification.widths, specification.blocks
    )


def _cnn3d(specification: Specification) -> Body:
    return plain.convolutions(specification.dimensions, specification.channels, specification.widths)


NAMES: Final[Mapping[str, Callable[[Specification], Body]]] = {
    "plain": lambda s: plain.plain(s.channels, s.size, s.widths),
    "residual": _sized,
    "cnn3d": _cnn3d,
    "sequence": lambda s: sequence.sequence(s.channels, s.widths, s.blocks, s.hidden),
    "resnet": lambda s: library.resnet(s.dimensions, s.channels, s.depth),
    "densenet": lambda s: library.densenet(s.dimensions, s.channels, s.depth),
    "efficientnet": lambda s: library.efficientnet(s.dimensions, s.channels, s.depth),
    "vit": lambda s: library.vit(s.channels, s.size, s.patch, s.hidden, s.blocks),
}
