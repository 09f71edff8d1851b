"""Simulated images from elsewhere: type and range stay, strength counts, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Frame, Spacing, Volume
from vesalius.core.errors import UnknownNameError, UsageError
from vesalius.evaluate.shift import STRENGTHS, shifted


def picture(shape: tuple[int, ...] = (1, 64, 80), dtype: type = np.uint8) -> Volume:
    rng = np.random.default_rng(0)
    return Volume(rng.integers(3, 250, shape).astype(dtype), np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("shape", [(1, 64, 80), (5, 32, 32)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_type_shape_and_range_stay_and_strength_counts(kind: str, shape: tuple[int, ...], dtype: type) -> None:
    image = picture(shape, dtype)
    apart = []
    for strength in STRENGTHS[kind]:
        other = shifted(image, kind, strength)
        assert other.array.dtype == image.array.dtype
        assert other.array.shape == image.array.shape
        assert image.array.min() <= other.array.min() <= other.array.max() <= image.array.max()
        apart.append(np.abs(other.array.astype(float) - image.array).mean())
    # the weakest blur is less than a grey value on the smallest images
    assert min(apart[1:]) > 0 or kind == "blur"
    assert apart[-1] > 1
    # gamma goes both ways from 1
    ordered = apart if kind != "gamma" else apart[2:]
    assert ordered == sorted(ordered)


def test_a_seed_repeats_the_noise() -> None:
    one, two, other = (shifted(picture(), "noise", 0.1, seed=seed).array for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_resolution_keeps_the_mean_of_blocks() -> None:
    image = Volume(np.kron(np.arange(16.0).reshape(4, 4), np.ones((8, 8)))[None], np.eye(4), frame=Frame.IMAGE,
                   spacing=Spacing.UNKNOWN)  # fmt: skip
    coarse = shifted(image, "resolution", 8.0)
    centres = coarse.array[0].reshape(4, 8, 4, 8)[:, 3:5, :, 3:5].mean(axis=(1, 3))
    assert centres.ravel() == pytest.approx(np.arange(16.0), abs=0.35)
    assert coarse.array.mean() == pytest.approx(7.5)


def test_blur_follows_the_size_of_the_image() -> None:
    small, large = np.zeros((1, 64, 64)), np.zeros((1, 256, 256))
    small[0, 32, 32], large[0, 128, 128] = 1, 1
    peaks = [shifted(Volume(a, np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN), "blur", 4.0).array.max()
             for a in (small, large)]  # fmt: skip
    # a standard deviation of 1 and of 4 pixels
    assert peaks == pytest.approx([1 / (2 * np.pi), 1 / (2 * np.pi * 16)], rel=0.1)


def test_colour_and_flat_images() -> None:
    colour = Volume(np.random.default_rng(0).integers(0, 255, (1, 20, 20)).astype(np.uint8), np.eye(4),
                    frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)  # fmt: skip
    flat = Volume(np.full((1, 20, 20), 7, np.uint8), np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)
    assert shifted(colour, "blur", 2.0).array.shape == colour.array.shape
    assert shifted(flat, "noise", 0.2) is flat


def test_bad_wishes() -> None:
    with pytest.raises(UnknownNameError, match="shift"):
        shifted(picture(), "blurr", 1.0)
    with pytest.raises(UsageError, match="above zero"):
        shifted(picture(), "blur", 0.0)
