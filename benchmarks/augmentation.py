"""Augmentation of a volume: affine map, elastic bend, noise and flip, against batchgeneratorsv2.

    pip install --no-deps --target PEER batchgeneratorsv2 fft-conv-pytorch   (and pandas, which it imports)
    PYTHONPATH=PEER python benchmarks/augmentation.py [--size 128] [--rounds 9] [--threads N] [--json FILE]

Both sides start from one float32 volume in memory and end with one; rounds alternate, so that a busy machine slows
both. The random draws differ, so the check is not one answer against the other: the fused pass is compared with SciPy
at the same source points, and its bend with the spread that was asked for. The peer's bend has a random smoothness and
size; ours is set to the middle of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

TARGET = 0.3
ROTATION_DEG = 15.0
SCALE = 0.1
ELASTIC = 0.03
NOISE = 0.1
FINEST = 2e-3
"""Largest difference from SciPy, in units of an image of standard deviation 1."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    ours_s: float
    peer_s: float
    ratio: float
    error: float
    spread: float
    equal: bool


def scene(size: int) -> Any:
    """Return a smooth volume [1, 1, size, size, size] with standard deviation 1."""
    import torch
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=(size,) * 3).astype(np.float32)
    soft = ndimage.gaussian_filter(noise, 2.0)
    return torch.from_numpy(soft / soft.std())[None, None]


def ours() -> Callable[[Any], Any]:
    """Return our augmentation."""
    import torch

    from vesalius.train.augment import Augment
    from vesalius.train.network_options import AugmentOptions

    generator = torch.Generator().manual_seed(0)
    options = AugmentOptions(
        flip=("slices", "rows", "columns"), rotate_deg=ROTATION_DEG, scale=SCALE, elastic=ELASTIC, noise=NOISE
    )
    augment = Augment(options)
    return lambda volume: augment(volume, generator)


def peer(size: int) -> Callable[[Any], Any]:
    """Return the peer's, every transform applied every time as ours."""
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    turn = np.deg2rad(ROTATION_DEG)
    spatial = SpatialTransform(
        (size,) * 3, 0, False, p_elastic_deform=1, elastic_deform_scale=(0.1, 0.2),
        elastic_deform_magnitude=(ELASTIC * size, ELASTIC * size), p_rotation=1, rotation=(-turn, turn),
        p_scaling=1, scaling=(1 - SCALE, 1 + SCALE), padding_mode_image="border",
    )  # fmt: skip
    chain = ComposeTransforms([spatial, GaussianNoiseTransform((0, NOISE), 1, True), MirrorTransform((0, 1, 2))])
    return lambda volume: chain(image=volume[0])["image"][None]


def checked(volume: Any) -> tuple[float, float]:
    """Return the largest difference of the fused pass from SciPy, and the spread of the bend over what was asked."""
    import torch
    from scipy import ndimage
    from torch.nn.functional import grid_sample

    from vesalius.train.augment import source_points
    from vesalius.train.network_options import AugmentOptions

    size = tuple(volume.shape[2:])
    one = torch.ones(1, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    options = AugmentOptions(rotate_deg=ROTATION_DEG, scale=SCALE, elastic=ELASTIC)
    grid = source_points(options, one, size, generator)
    found = grid_sample(volume, grid, padding_mode="border", align_corners=True)[0, 0].numpy()
    pixels = ((grid[0] + 1) / 2 * (size[0] - 1)).numpy()
    places = [pixels[..., axis] for axis in (2, 1, 0)]
    truth = ndimage.map_coordinates(volume[0, 0].numpy(), places, order=1, mode="nearest")
    many = torch.ones(16, dtype=torch.bool)
    small = (24, 24, 24)
    bend = source_points(AugmentOptions(elastic=ELASTIC), many, small, generator)
    bend = bend - source_points(AugmentOptions(), many, small, generator)
    return float(np.abs(found - truth).max()), float(bend.std() * 23 / 2 / (ELASTIC * 24))


def timed(works: tuple[Callable[[Any], Any], ...], volume: Any, rounds: int) -> list[float]:
    """Return the median seconds of each, after one call that is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, kept in zip(works, seconds, strict=True):
            begin = time.perf_counter()
            work(volume)
            if number:
                kept.append(time.perf_counter() - begin)
    return [statistics.median(one) for one in seconds]


def main() -> int:
    """Print the line; 1 when an answer is wrong. A busy machine may miss a ratio, which is said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    volume = scene(options.size)
    ours_s, peer_s = timed((ours(), peer(options.size)), volume, options.rounds)
    error, spread = checked(volume)
    equal = error < FINEST and abs(spread - 1) < 0.1
    work = f"{options.size}^3 affine + elastic + noise + flip"
    row = Row(work, ours_s, peer_s, ours_s / peer_s, error, spread, equal)
    verdict = "ok" if equal and row.ratio <= TARGET else "MISSED"
    print(
        f"{row.work}: {ours_s:.3f} s, batchgeneratorsv2 {peer_s:.3f} s, {row.ratio:.3f}x {verdict}; "
        f"largest difference from SciPy {error:.1e}, bend {spread:.2f} of what was asked; {options.threads} threads"
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(row)], indent=1) + "\n")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
