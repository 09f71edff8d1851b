"""Plain convolutional networks: the three blocks of a textbook, and a 3-D one."""

from __future__ import annotations

from math import prod

from torch import nn

from vesalius.models.networks.stages import Body, Chain, Mean, convolution, normalisation, pooling

TEXTBOOK = (32, 64, 128)
VOLUME = (16, 32, 64, 128)


def plain(channels: int, size: tuple[int, ...], widths: tuple[int, ...] | None) -> Body:
    """Return blocks of convolution 3x3, ReLU and max-pooling, flattened: no normalisation, no padding tricks.

    Source: LeCun et al. 1998, doi:10.1109/5.726791, in the form of today's textbooks.
    """
    dimensions, stages, before, edges = len(size), [], channels, list(size)
    for width in widths or TEXTBOOK:
        layers: list[nn.Module] = [convolution(dimensions)(before, width, 3, padding=1), nn.ReLU()]
        # an edge of one pixel cannot be halved
        halves = tuple(2 if edge > 1 else 1 for edge in edges)
        layers.append(pooling(dimensions)(halves))
        stages.append(nn.Sequential(*layers))
        edges = [edge // half for edge, half in zip(edges, halves, strict=True)]
        before = width
    return Chain([*stages, nn.Flatten()], before * prod(edges))


def convolutions(dimensions: int, channels: int, widths: tuple[int, ...] | None) -> Body:
    """Return stages of two convolutions with batch normalisation; each stage halves the image."""
    stages: list[nn.Module] = []
    before = channels
    for number, width in enumerate(widths or VOLUME):
        layers: list[nn.Module] = []
        for step in range(2):
            stride = 2 if step == 0 and number > 0 else 1
            layers += [
                convolution(dimensions)(before, width, 3, stride=stride, padding=1, bias=False),
                normalisation(dimensions)(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        stages.append(nn.Sequential(*layers))
    return Chain([*stages, Mean()], before)
