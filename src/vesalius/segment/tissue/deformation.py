"""Smooth deformable alignment of the atlas with class likelihoods, in template space.

For each voxel the image gives a likelihood per class; the displacement climbs the log-likelihood of the mixture. Each
step is the least-squares translation in a Gaussian window (as in Lucas and Kanade), the sum is smoothed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """One resolution of the deformable stage.

    Args:
        stride: template voxels that make up one voxel of the level.
        iterations: steps.
        window: standard deviation of the window of one step, level voxels.
        smoothing: standard deviation of the smoothing of the whole displacement after each step, level voxels.
        stiffness: how much evidence (squared log-likelihood slope per voxel) a step needs.
    """

    stride: int
    iterations: int
    window: float = 1.5
    smoothing: float = 0.7
    stiffness: float = 0.1


def shrink(array: F32, stride: int) -> F32:
    """Return block means over the last three axes; what does not fill a block is dropped."""
    if stride == 1:
        return array
    lead = array.shape[:-3]
    sizes = [n // stride for n in array.shape[-3:]]
    cut = array[..., : sizes[0] * stride, : sizes[1] * stride, : sizes[2] * stride]
    blocks = cut.reshape(*lead, sizes[0], stride, sizes[1], stride, sizes[2], stride)
    total: F32 = blocks.mean(axis=(-5, -3, -1), dtype=np.float32)
    return total


def grid_index(shape: Sequence[int]) -> F32:
    """Return the index of every voxel, float32 [3, slice, row, column]."""
    index: F32 = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    return index


def mapped(index: F32, matrix: NDArray[np.float64]) -> F32:
    """Return indices [3, ...] under a 4x4 matrix, float32, without a threaded matrix product."""
    part = matrix.astype(np.float32)
    out = np.empty(index.shape, dtype=np.float32)
    for row in range(3):
        out[row] = part[row, 0] * index[0] + part[row, 1] * index[1] + part[row, 2] * index[2] + part[row, 3]
    return out


def warp(parts: F32, displacement: F32, *, identity: F32 | None = None) -> F32:
    """Return [class, ...] sampled at index + displacement (voxels), linear, edges repeated."""
    place = (grid_index(parts.shape[1:]) if identity is None else identity) + displacement
    out = np.empty_like(parts)
    for source, target in zip(parts, out, strict=True):
        map_coordinates(source, place, output=target, order=1, mode="nearest", prefilter=False)
    return out


def _step(likelihood: F32, warped: F32, level: Level) -> tuple[F32, float]:
    total = np.einsum("k...,k...->...", likelihood, warped)
    total = np.maximum(total, np.float32(1e-6))
    gradient = np.empty((3, *total.shape), dtype=np.float32)
    for axis in range(3):
        part = gradient[axis]
        part[...] = 0
        for like, prior in zip(likelihood, warped, strict=True):
            part += like * np.gradient(prior, axis=axis)
        part /= total
    np.clip(gradient, -2, 2, out=gradient)
    return _solve(gradient, level), float(np.log(total).mean())


def _solve(gradient: F32, level: Level) -> F32:
    smooth = [gaussian_filter(g, level.window, truncate=2.5) for g in gradient]
    pairs = {
        (a, b): gaussian_filter(gradient[a] * gradient[b], level.window, truncate=2.5)
        for a in range(3)
        for b in range(a, 3)
    }
    xx, yy, zz = (pairs[a, a] + np.float32(level.stiffness) for a in range(3))
    xy, xz, yz = pairs[0, 1], pairs[0, 2], pairs[1, 2]
    inverse = (
        (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy),
        (xz * yz - xy * zz, xx * zz - xz * xz, xy * xz - xx * yz),
        (xy * yz - xz * yy, xy * xz - xx * yz, xx * yy - xy * xy),
    )
    determinant = xx * inverse[0][0] + xy * inverse[0][1] + xz * inverse[0][2]
    rows = [(r[0] * smooth[0] + r[1] * smooth[1] + r[2] * smooth[2]) / determinant for r in inverse]
    step: F32 = np.clip(np.stack(rows), -1, 1).astype(np.float32)
    return step


def deform(pyramid: Mapping[int, tuple[F32, F32]], displacement: F32, levels: Sequence[Level]) -> tuple[F32, float]:
    """Return the displacement that aligns the atlas with the likelihoods, and the mean log-likelihood at the end.

    Args:
        pyramid: for each stride of the levels the likelihoods (any common scale per voxel) and the atlas
            probabilities, [class, slice, row, column] as block means.
        displacement: where to start, [3, slice, row, column] in template voxels.
        levels: coarse to fine.

    Returns:
        Displacement [3, ...] in template voxels (the atlas is sampled at index + displacement), and nats per voxel.
    """
    field, score = displacement, 0.0
    for level in levels:
        like, target = pyramid[level.stride]
        small = shrink(field, level.stride) / np.float32(level.stride)
        identity = grid_index(target.shape[1:])
        for _ in range(level.iterations):
            change, score = _step(like, warp(target, small, identity=identity), level)
            small += change
            if level.smoothing > 0:
                small = np.stack([gaussian_filter(s, level.smoothing, truncate=3.0) for s in small])
        field = expand(small, field.shape[1:], level.stride)
    return field, score


def pyramid_of(likelihood: F32, prior: F32, levels: Sequence[Level]) -> dict[int, tuple[F32, F32]]:
    """Return the block means that `deform` needs, from full arrays."""
    strides = {level.stride for level in levels}
    return {stride: (shrink(likelihood, stride), shrink(prior, stride)) for stride in strides}


def expand(small: F32, shape: Sequence[int], stride: int) -> F32:
    """Return a level's displacement on the full template grid, in template voxels."""
    if stride == 1:
        return small
    # Block centres lie (stride - 1) / 2 voxels from the block's first voxel.
    axes = [(np.arange(n, dtype=np.float32) - (stride - 1) / 2) / stride for n in shape]
    place = np.stack(np.meshgrid(*axes, indexing="ij"))
    out = np.empty((3, *shape), dtype=np.float32)
    for source, target in zip(small, out, strict=True):
        map_coordinates(source * np.float32(stride), place, output=target, order=1, mode="nearest", prefilter=False)
    return out
