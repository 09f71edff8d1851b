"""Bias fields that are known, scales that are known."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Code, Mask, Segment, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownNameError
from vesalius.imaging import intensity

SHAPE = (40, 48, 44)


def grid(spacing: tuple[float, float, float] = (2.0, 1.5, 1.5)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * spacing
    return affine


def ball(radius: float = 0.8) -> np.ndarray:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return np.sqrt(sum(a**2 for a in axes)) < radius


def mask_of(region: np.ndarray, volume: Volume) -> Mask:
    segments = {1: Segment("ball", Code("1", "99V", "ball"), (0, 0, 0))}
    return Mask(region.astype(np.uint8), volume.affine, segments=segments)


@pytest.fixture
def shaded() -> tuple[Volume, np.ndarray]:
    rng = np.random.default_rng(0)
    z = np.linspace(-1, 1, SHAPE[0])[:, None, None]
    field = np.broadcast_to(np.exp(0.35 * z), SHAPE)
    inner = np.where(ball(0.45), 160.0, 100.0)
    image = np.where(ball(), inner * field, 0) + rng.normal(0, 1, SHAPE) * ball()
    return Volume(image.astype(np.float32), grid(), modality="MR"), field / field[ball()].mean()


def test_n4_finds_a_known_field(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, truth = shaded
    result = intensity.n4(volume, options=intensity.N4Options(shrink=2))
    inside = ball(0.7)
    error = np.abs(result.field.array[inside] / truth[inside] - 1)
    assert np.median(error) < 0.04
    edge = ball(0.75) & ~ball(0.5)
    before, after = (v.array[edge].std() / v.array[edge].mean() for v in (volume, result.corrected))
    assert after < 0.4 * before


def test_n4_keeps_grid_modality_and_writes_its_history(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, _ = shaded
    result = intensity.n4(volume)
    assert result.corrected.same_grid(volume)
    assert result.field.same_grid(volume)
    assert result.corrected.array.dtype == np.float32
    assert result.corrected.modality == "MR"
    assert result.corrected.history[-1].operation == "apply_bias"
    np.testing.assert_allclose(result.corrected.array * result.field.array, volume.array, rtol=1e-4, atol=1e-3)


def test_n4_refuses_an_empty_region(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, _ = shaded
    with pytest.raises(ImageContentError, match="no positive voxel"):
        intensity.n4(volume, region=mask_of(np.zeros(SHAPE, bool), volume))


def test_apply_bias_needs_one_grid_and_a_positive_field(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, _ = shaded
    with pytest.raises(GeometryError, match="another grid"):
        intensity.apply_bias(volume, volume.flip(0))
    with pytest.raises(ImageContentError, match="positive everywhere"):
        intensity.apply_bias(volume, volume.with_array(np.zeros(SHAPE, np.float32), "zero"))


def test_z_score_has_mean_zero_and_deviation_one(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, _ = shaded
    region = ball(0.6)
    scaled = intensity.normalise(volume, method="z-score", region=mask_of(region, volume))
    values = scaled.array[region].astype(np.float64)
    assert abs(values.mean()) < 1e-3
    assert abs(values.std() - 1) < 1e-3
    assert scaled.unit == "1"


def test_percentiles_become_zero_and_one(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, _ = shaded
    scaled = intensity.normalise(volume, method="percentile", low=10.0, high=90.0)
    assert scaled.array.min() == 0
    assert scaled.array.max() == 1
    inside = scaled.array[intensity.foreground(volume)]
    assert np.mean(inside == 0) == pytest.approx(0.1, abs=0.02)
    assert np.mean(inside == 1) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("scale", [1.0, 37.0])
def test_white_stripe_puts_white_matter_at_zero_whatever_the_scale(scale: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.choice([40.0, 70.0, 100.0], p=[0.15, 0.45, 0.4], size=SHAPE) + rng.normal(0, 4, SHAPE)
    volume = Volume((scale * values).astype(np.float32), grid(), modality="MR")
    brain = mask_of(np.ones(SHAPE, bool), volume)
    scaled = intensity.normalise(volume, method="white-stripe", region=brain)
    assert float(np.median(scaled.array[values > 88])) == pytest.approx(0, abs=1.0)
    assert intensity.brightest_peak(volume.array) == pytest.approx(100 * scale, rel=0.02)


def test_an_unknown_method_names_the_nearest() -> None:
    volume = Volume(np.ones(SHAPE, np.float32), grid())
    with pytest.raises(UnknownNameError, match="z-score"):
        intensity.normalise(volume, method="zscore")


def test_a_constant_region_has_no_scale() -> None:
    volume = Volume(np.ones(SHAPE, np.float32), grid())
    with pytest.raises(ImageContentError, match="empty or constant"):
        intensity.normalise(volume, region=mask_of(ball(), volume))


def test_otsu_splits_two_levels() -> None:
    values = np.concatenate([np.full(500, 10.0), np.full(300, 200.0)]) + np.random.default_rng(0).normal(0, 3, 800)
    assert 20 < intensity.otsu_threshold(values) < 190


def test_a_fourth_axis_is_refused() -> None:
    volume = Volume(np.ones((4, 4, 4, 2), np.float32), grid(), axis=Axis(AxisKind.TIME, (0.0, 1.0), "s"))
    with pytest.raises(GeometryError, match="one 3-D image"):
        intensity.normalise(volume)


def test_not_finite_voxels_count_as_zero() -> None:
    array = np.ones((4, 4, 4), np.float32)
    array[0, 0, 0] = np.nan
    assert intensity.scalar(Volume(array, grid()))[0, 0, 0] == 0
