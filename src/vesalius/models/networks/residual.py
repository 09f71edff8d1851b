"""A small residual network for small pictures: no early pooling, about 0.3 million parameters."""

from __future__ import annotations

from torch import Tensor, nn

from vesalius.models.networks.stages import Body, Chain, Mean, convolution, normalisation

WIDTHS = (32, 64, 128)
BLOCKS = 1


class Block(nn.Module):
    """Two convolutions and a way around them.

    Source: He et al. 2016, arXiv:1603.05027 (normalisation and ReLU first).
    """

    def __init__(self, dimensions: int, before: int, width: int, stride: int) -> None:
        """Make a block; a stride above 1 shrinks the image."""
        super().__init__()
        kind, norm = convolution(dimensions), normalisation(dimensions)
        self.norm_1, self.norm_2 = norm(before), norm(width)
        self.first = kind(before, width, 3, stride=stride, padding=1, bias=False)
        self.second = kind(width, width, 3, padding=1, bias=False)
        self.around = kind(before, width, 1, stride=stride, bias=False) if stride > 1 or before != width else None

    def forward(self, image: Tensor) -> Tensor:
        """Return the image plus what the two convolutions add."""
        ready = nn.functional.relu(self.norm_1(image))
        beside = image if self.around is None else self.around(ready)
        result: Tensor = beside + self.second(nn.functional.relu(self.norm_2(self.first(ready))))
        return result


def residual(dimensions: int, channels: int, widths: tuple[int, ...] | None, blocks: int | None) -> Body:
    """Return a stem, a stage of blocks per width (all but the first halve the image), and the mean over places."""
    widths = widths or WIDTHS
    stages: list[nn.Module] = [convolution(dimensions)(channels, widths[0], 3, padding=1, bias=False)]
    before = widths[0]
    for number, width in enumerate(widths):
        layers: list[nn.Module] = []
        for step in range(blocks or BLOCKS):
            layers.append(Block(dimensions, before, width, 2 if number and not step else 1))
            before = width
        stages.append(nn.Sequential(*layers))
    return Chain([*stages, nn.Sequential(normalisation(dimensions)(before), nn.ReLU(inplace=True)), Mean()], before)
