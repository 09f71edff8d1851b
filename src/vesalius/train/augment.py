"""Random changes of training images: mirrored, turned, bent, noisy, brighter, all in one resampling pass.

Flip, affine map and elastic bend become one coarse lattice of source points per image. Linear interpolation keeps an
affine map exact, so one `interpolate` of the lattice and one `grid_sample` do all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from vesalius.train.network_options import AugmentOptions

FINE = 4
"""Points of the fine lattice for each stretch between two control points."""
_AXES = {"slices": -3, "rows": -2, "columns": -1}


class Augment:
    """Changes batches [cases, channel, (slice,) row, column]; every draw comes from one generator."""

    def __init__(self, options: AugmentOptions) -> None:
        """Keep the options."""
        self.options = options
        chosen = options.model_dump()
        self.bends = any(chosen[name] for name in ("rotate_deg", "scale", "shift", "shear", "elastic", "flip"))
        self.recolours = any(chosen[name] for name in ("noise", "brightness", "contrast", "gamma"))

    def __call__(self, batch: Tensor, generator: Generator) -> Tensor:
        """Return the changed batch; the given one stays as it is."""
        if not (self.bends or self.recolours or self.options.blur):
            return batch
        chosen = torch.rand(len(batch), generator=generator) < self.options.share
        result = self._bent(batch, chosen, generator) if self.bends else batch.clone()
        if self.options.blur:
            result = self._blurred(result, chosen, generator)
        if self.recolours:
            self._recolour(result, chosen, generator)
        return result

    def _bent(self, batch: Tensor, chosen: Tensor, generator: Generator) -> Tensor:
        size = batch.shape[2:]
        if self._only_flips():
            return _flipped(batch, self.options.flip, generator)
        grid = source_points(self.options, chosen, tuple(size), generator, batch.device)
        return functional.grid_sample(
            batch, grid, mode="bilinear", padding_mode=self.options.outside, align_corners=True
        )

    def _only_flips(self) -> bool:
        options = self.options
        return not (options.rotate_deg or options.scale or options.shift or options.shear or options.elastic)

    def _blurred(self, batch: Tensor, chosen: Tensor, generator: Generator) -> Tensor:
        width = torch.rand(len(batch), generator=generator) * self.options.blur * chosen
        reach = max(1, math.ceil(2 * self.options.blur))
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernels = torch.exp(-0.5 * (offsets[None] / width.clamp(min=1e-3)[:, None]) ** 2)
        kernels = (kernels / kernels.sum(dim=1, keepdim=True)).to(batch)
        for axis in range(2, batch.ndim):
            batch = _smoothed(batch, kernels, axis)
        return batch

    def _recolour(self, batch: Tensor, chosen: Tensor, generator: Generator) -> None:
        """Change the values in place."""
        options, count = self.options, len(batch)
        shape = (count,) + (1,) * (batch.ndim - 1)
        axes = list(range(1, batch.ndim))

        def draw(reach: float) -> Tensor:
            drawn = (2 * torch.rand(count, generator=generator) - 1) * reach * chosen
            return drawn.reshape(shape).to(batch)

        mean = batch.mean(dim=axes, keepdim=True)
        spread = (batch.square().mean(dim=axes, keepdim=True) - mean.square()).clamp(min=0).sqrt()
        if options.gamma:
            _gamma(batch, draw(options.gamma))
        if options.contrast or options.brightness:
            factor = 1 + draw(options.contrast)
            batch.mul_(factor).add_(mean * (1 - factor) + draw(options.brightness) * spread)
        if options.noise:
            sd = draw(options.noise).abs() * spread
            batch.addcmul_(torch.randn(batch.shape, generator=generator).to(batch), sd)


def source_points(
    options: AugmentOptions, chosen: Tensor, size: tuple[int, ...], generator: Generator,
    device: torch.device | None = None,
) -> Tensor:  # fmt: skip
    """Return where each pixel looks, [cases, (slice,) row, column, axis], -1 to 1, the last axis first (grid_sample).

    Args:
        chosen: [cases] whether more than a flip happens.
    """
    count, dimensions = len(chosen), len(size)
    points = (options.elastic_points - 1) * FINE + 1 if options.elastic else 2
    lattice = _lattice(options, chosen, size, points, generator)
    if options.elastic:
        lattice = lattice + _displacement(options, chosen, size, generator)
    shape = (count, dimensions, *(points,) * dimensions)
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    lattice = lattice.to(device or lattice.device)
    moved = lattice.reshape(count, -1, dimensions).mT.reshape(shape).contiguous(memory_format=layout)
    mode = "bilinear" if dimensions == 2 else "trilinear"
    grid = functional.interpolate(moved, size=size, mode=mode, align_corners=True)
    return grid.permute(0, *range(2, dimensions + 2), 1)


def _lattice(
    options: AugmentOptions, chosen: Tensor, size: tuple[int, ...], points: int, generator: Generator
) -> Tensor:
    """Return the affine images of the lattice points, [cases, points, axis], the last axis first."""
    dimensions = len(size)
    line = torch.linspace(-1, 1, points)
    axes = torch.meshgrid(*(line,) * dimensions, indexing="ij")
    fixed = torch.stack([one.reshape(-1) for one in reversed(axes)], dim=1)
    matrix, shift = affine(options, chosen, dimensions, generator)
    # turned in pixels, so that an image that is not square is not sheared
    half = torch.tensor([(edge - 1) / 2 or 0.5 for edge in reversed(size)])
    matrix = matrix * half[None, None, :] / half[None, :, None]
    return fixed[None] @ matrix.mT + shift[:, None, :]


def affine(
    options: AugmentOptions, chosen: Tensor, dimensions: int, generator: Generator
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return matrices [cases, axis, axis] and shifts [cases, axis] (half edges), the last axis of the image first."""
    count = len(chosen)

    def draw(*shape: int) -> Tensor:
        return (2 * torch.rand(count, *shape, generator=generator) - 1) * chosen.reshape(count, *(1,) * len(shape))

    matrix = torch.eye(dimensions).repeat(count, 1, 1)
    for first in range(dimensions):
        for second in range(first + 1, dimensions):
            turn = draw() * math.radians(options.rotate_deg)
            rotation = torch.eye(dimensions).repeat(count, 1, 1)
            rotation[:, first, first] = rotation[:, second, second] = torch.cos(turn)
            rotation[:, first, second], rotation[:, second, first] = -torch.sin(turn), torch.sin(turn)
            matrix = rotation @ matrix
    shear = torch.triu(draw(dimensions, dimensions), diagonal=1) * options.shear
    matrix = matrix @ (torch.eye(dimensions) + shear) * (1 + draw() * options.scale)[:, None, None]
    shift = draw(dimensions) * options.shift * 2
    return matrix * _mirrors(options, count, dimensions, generator)[:, None, :], shift


def _mirrors(options: AugmentOptions, count: int, dimensions: int, generator: Generator) -> Tensor:
    """Return 1 or -1 per case and axis, the last axis of the image first."""
    signs = torch.ones(count, dimensions)
    for name in options.flip:
        place = -1 - _AXES[name]
        if place < dimensions:
            signs[:, place] = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    return signs


def _displacement(
    options: AugmentOptions, chosen: Tensor, size: tuple[int, ...], generator: Generator
) -> Tensor:  # fmt: skip
    """Return a smooth random displacement on the fine lattice, [cases, points, axis]: cubic B-splines."""
    dimensions, control = len(size), options.elastic_points
    field = torch.randn(len(chosen), dimensions, *(control + 2,) * dimensions, generator=generator)
    basis = spline_basis(control, FINE)
    for _ in range(dimensions):
        # each turn brings the next axis to the end, and all of them back
        field = torch.movedim(field, 2, -1) @ basis.T
    # a spline of white noise has less spread than its control points
    field = field / float(basis.square().sum(dim=1).mean()) ** (dimensions / 2)
    pixels = options.elastic * min(size)
    unit = torch.tensor([pixels * 2 / max(edge - 1, 1) for edge in reversed(size)])
    bent: Tensor = field.flatten(2).mT * unit * chosen[:, None, None]
    return bent


def spline_basis(control: int, fine: int) -> Tensor:
    """Return the cubic B-spline basis [fine points, control points + 2] on equal stretches.

    Source: Unser 1999, doi:10.1109/79.799930.
    """
    place = torch.arange((control - 1) * fine + 1) / fine
    distance = (place[:, None] - (torch.arange(control + 2) - 1)[None, :]).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def _flipped(batch: Tensor, axes: tuple[str, ...], generator: Generator) -> Tensor:
    for name in axes:
        place = _AXES[name]
        mirrored = torch.rand(len(batch), generator=generator) < 0.5
        if -place <= batch.ndim - 2:
            chosen = mirrored.reshape(-1, *(1,) * (batch.ndim - 1)).to(batch.device)
            batch = torch.where(chosen, batch.flip(place), batch)
    return batch


def _smoothed(batch: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Return the batch with a kernel of its own for every case along one axis, its edge repeated."""
    moved = batch.movedim(axis, -1)
    count, length = moved.shape[0], moved.shape[-1]
    lines = moved.reshape(count, -1, length).transpose(0, 1)
    reach = kernels.shape[1] // 2
    padded = functional.pad(lines, (reach, reach), mode="replicate")
    smooth = functional.conv1d(padded, kernels[:, None], groups=count).transpose(0, 1)
    return smooth.reshape(moved.shape).movedim(-1, axis)


def _gamma(batch: Tensor, exponent: Tensor) -> None:
    axes = list(range(1, batch.ndim))
    low, high = batch.amin(dim=axes, keepdim=True), batch.amax(dim=axes, keepdim=True)
    span = (high - low).clamp(min=1e-6)
    batch.sub_(low).div_(span).clamp_(min=0).pow_(torch.exp(exponent)).mul_(span).add_(low)


def mixed(batch: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """Return (mixed images, order of the other images, share of the first ones).

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    share = _beta(alpha, generator)
    order = torch.randperm(len(batch), generator=generator)
    return batch * share + batch[order.to(batch.device)] * (1 - share), order, share


def _beta(alpha: float, generator: Generator) -> float:
    """Return a draw of Beta(alpha, alpha), after Johnk: torch's own draws take no generator on every version."""
    for _ in range(10_000):
        first, second = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        x, y = first ** (1 / alpha), second ** (1 / alpha)
        if 0 < x + y <= 1:
            return float(x / (x + y))
    return 0.5
