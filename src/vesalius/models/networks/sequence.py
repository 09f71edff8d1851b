"""Slices of a volume as a sequence: a network per slice, a recurrent layer over slices, attention over the result."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vesalius.models.networks.residual import residual
from vesalius.models.networks.stages import Body

WIDTHS = (16, 32, 64)
HIDDEN = 64


class Slices(Body):
    """A slice network, a gated recurrent unit in both directions, and attention pooling.

    Source: Cho et al. 2014, arXiv:1406.1078; Ilse et al. 2018, arXiv:1802.04712 (attention).
    """

    def __init__(self, slice_network: Body, hidden: int) -> None:
        """Put the recurrent layer on a slice network."""
        super().__init__()
        self.slice_network = slice_network
        self.recurrent = nn.GRU(slice_network.features, hidden, batch_first=True, bidirectional=True)
        self.attention = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.features = 2 * hidden

    def forward(self, image: Tensor) -> Tensor:
        """Return [cases, features] of [cases, channel, slice, row, column]."""
        count, slices = image.shape[0], image.shape[2]
        flat = image.transpose(1, 2).flatten(0, 1)
        vectors = self.slice_network(flat).reshape(count, slices, self.slice_network.features)
        states, _ = self.recurrent(vectors)
        weights = torch.softmax(self.attention(states), dim=1)
        pooled: Tensor = (states * weights).sum(dim=1)
        return pooled

    def stages(self) -> list[list[nn.Module]]:
        """Return the stages of the slice network, then the recurrent layer with its attention."""
        return [*self.slice_network.stages(), [self.recurrent, self.attention]]


def sequence(
    channels: int, widths: tuple[int, ...] | None, blocks: int | None, hidden: int | None
) -> Body:  # fmt: skip
    """Return the sequence network on a small residual network."""
    return Slices(residual(2, channels, widths or WIDTHS, blocks), hidden or HIDDEN)
