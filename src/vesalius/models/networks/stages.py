"""What every body is: modules in stages, from the image to a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Body(nn.Module):
    """Turns images into vectors of `features` numbers."""

    features: int

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, the one nearest to the image first."""
        raise NotImplementedError


class Chain(Body):
    """A body whose stages run one after the other."""

    def __init__(self, stages: Sequence[nn.Module], features: int) -> None:
        """Keep the stages in their order."""
        super().__init__()
        self.chain = nn.Sequential(*stages)
        self.features = features

    def forward(self, image: Tensor) -> Tensor:
        """Return [cases, features]."""
        result: Tensor = self.chain(image)
        return result

    def stages(self) -> list[list[nn.Module]]:
        """Return the stages that have weights."""
        return [[stage] for stage in self.chain if any(True for _ in stage.parameters())]


class Wrapped(Body):
    """A network of a library whose last layer was taken off, cut into stages by name."""

    def __init__(self, inner: nn.Module, features: int, cuts: Sequence[Sequence[str]]) -> None:
        """Keep the network; `cuts` are the names of the modules of each stage."""
        super().__init__()
        self.inner = inner
        self.features = features
        self._cuts = tuple(tuple(one) for one in cuts)

    def forward(self, image: Tensor) -> Tensor:
        """Return [cases, features]."""
        found: Any = self.inner(image)
        result: Tensor = found[0] if isinstance(found, tuple) else found
        return result.flatten(1)

    def stages(self) -> list[list[nn.Module]]:
        """Return the stages."""
        return [[self.inner.get_submodule(name) for name in names] for names in self._cuts]


def convolution(dimensions: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """Return the convolution of a dimension."""
    return nn.Conv2d if dimensions == 2 else nn.Conv3d


def normalisation(dimensions: int) -> type[nn.BatchNorm2d] | type[nn.BatchNorm3d]:
    """Return the batch normalisation of a dimension."""
    return nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d


def pooling(dimensions: int) -> type[nn.MaxPool2d] | type[nn.MaxPool3d]:
    """Return the max-pooling of a dimension."""
    return nn.MaxPool2d if dimensions == 2 else nn.MaxPool3d


class Mean(nn.Module):
    """The mean over all places: [cases, channel, ...] to [cases, channel]; any size of image."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the mean of each channel."""
        return image.flatten(2).mean(dim=2)
