"""Noise, contrast, ghosts and coverage that were put in are measured."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.imaging import quality

SHAPE = (50, 60, 56)
AFFINE = np.array([[0, 0, 2.0, 0], [0, 2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])


def radius() -> np.ndarray:
    return np.sqrt(sum(a**2 for a in np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")))


def head(sigma: float = 5.0, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    clean = np.select([radius() < 0.35, radius() < 0.6], [200.0, 130.0], 0.0)
    noisy = np.hypot(clean + rng.normal(0, sigma, SHAPE), rng.normal(0, sigma, SHAPE))
    return Volume(noisy.astype(np.float32), AFFINE, modality="MR")


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_is_measured(sigma: float) -> None:
    assert quality.noise(head(sigma), radius() < 0.3) == pytest.approx(sigma, rel=0.1)


def test_a_slow_bias_field_is_not_noise() -> None:
    volume = head(3.0)
    ramp = np.linspace(0.7, 1.3, SHAPE[1])[None, :, None]
    shaded = volume.with_array((volume.array * ramp).astype(np.float32), "shade")
    assert quality.noise(shaded, radius() < 0.3) == pytest.approx(3.0, rel=0.15)


def test_signal_to_noise_and_contrast() -> None:
    volume = head(5.0)
    inner, outer = radius() < 0.3, (radius() < 0.55) & (radius() > 0.4)
    assert quality.signal_to_noise(volume, inner) == pytest.approx(40, rel=0.1)
    found = quality.contrast(volume, outer, inner)
    assert found.to_noise == pytest.approx(14, rel=0.12)
    assert found.ratio == pytest.approx(0.65, abs=0.02)
    assert found.joint_variation == pytest.approx(10 / 70, rel=0.15)


def test_ghosts_are_found_along_their_axis() -> None:
    volume = head(2.0)
    assert (quiet := quality.ghosting(volume)) is not None
    assert quiet.ratio < 0.01
    ghost = 0.1 * np.roll(volume.array, SHAPE[1] // 2, axis=1)
    moved = volume.with_array((volume.array + ghost).astype(np.float32), "ghost")
    assert (found := quality.ghosting(moved)) is not None
    assert found.axis == 1
    assert found.ratio > 0.03


def test_nothing_is_said_of_air_that_was_set_to_zero() -> None:
    volume = head()
    cut = volume.with_array(np.where(radius() < 0.6, volume.array, 0).astype(np.float32), "cut")
    assert quality.ghosting(cut) is None


def test_border_area_names_the_side_that_is_cut() -> None:
    volume = head()
    region = radius() < 0.6
    assert max(quality.border_area_mm2(volume, region).values()) == 0
    upper = volume.crop((25, 0, 0), SHAPE)
    area = quality.border_area_mm2(upper, region[25:])
    assert area["I"] == pytest.approx(4.0 * np.count_nonzero(region[25]))
    assert sum(area.values()) == area["I"]
    turned = upper.flip(0)
    assert quality.border_area_mm2(turned, region[25:][::-1])["I"] == area["I"]


def test_clipping_is_the_share_at_the_top() -> None:
    array = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    clipped = Volume(np.minimum(array, 899), AFFINE)
    assert quality.clipped_fraction(clipped, np.ones((10, 10, 10), bool)) == pytest.approx(0.101)


def test_a_wrong_region_is_refused() -> None:
    with pytest.raises(GeometryError, match="boolean array"):
        quality.noise(head(), np.ones((3, 3, 3), bool))
    with pytest.raises(ImageContentError, match="too few voxels"):
        quality.noise(head(), np.zeros(SHAPE, bool))
