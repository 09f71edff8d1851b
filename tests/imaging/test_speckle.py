"""Speckle filters: pure speckle falls, contrast and edges stay, on phantoms and real ultrasound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import COARSE, FINE, ball, bright_ml, disagreement, flat
from scipy import ndimage

from vesalius.core import Volume
from vesalius.core.errors import ImageContentError, UnknownSpacingError, UsageError
from vesalius.imaging import speckle

FILTERS: dict[str, Callable[[Volume], Volume]] = {
    "lee": lambda v: speckle.lee(v, width_mm=7),
    "frost": lambda v: speckle.frost(v, width_mm=7, damping_per_mm=0.3),
    "speckle_diffusion": lambda v: speckle.speckle_diffusion(v, sigma_mm=3),
}


def cyst() -> tuple[Volume, np.ndarray]:
    """Return tissue of amplitude 100 around a cyst of 20 under multiplied speckle, and where the cyst is."""
    rows, columns = np.mgrid[:96, :96]
    inside = (rows - 48) ** 2 + (columns - 48) ** 2 < 18**2
    grain = np.random.default_rng(0).gamma(12, 1 / 12, inside.shape)
    return flat((np.where(inside, 20.0, 100.0) * grain).astype(np.float32)), inside


@pytest.mark.parametrize("name", FILTERS)
def test_speckle_falls_and_contrast_and_edge_stay(name: str) -> None:
    volume, inside = cyst()
    result = FILTERS[name](volume).array[0]
    tissue, core = ~ndimage.binary_dilation(inside, iterations=5), ndimage.binary_erosion(inside, iterations=5)
    for region, level in ((tissue, 100), (core, 20)):
        values = result[region]
        assert values.mean() == pytest.approx(level, rel=0.05)
        assert values.std() / values.mean() < 0.6 * volume.array[0][region].std() / volume.array[0][region].mean()
    blurred = ndimage.gaussian_filter(volume.array[0], 3)
    found = [float(((one < 60) != inside).sum()) for one in (result, blurred)]
    assert found[0] < found[1]


def test_speckle_diffusion_is_a_gaussian_where_all_is_speckle() -> None:
    grain = np.random.default_rng(0).normal(100, 5, (48, 48)).astype(np.float32)
    result = speckle.speckle_diffusion(flat(grain), sigma_mm=2, grain=1.0).array[0]
    expected = ndimage.gaussian_filter(grain, 2, mode="nearest")
    assert np.abs(result - expected)[6:-6, 6:-6].max() < 0.5


def test_lee_is_its_definition() -> None:
    volume, _ = cyst()
    array = volume.array[0].astype(float)
    mean = ndimage.uniform_filter(array, 5, mode="nearest")
    variance = ndimage.uniform_filter(array**2, 5, mode="nearest") - mean**2
    weight = np.clip(1 - 0.29**2 / (variance / mean**2), 0, 1)
    assert np.allclose(speckle.lee(volume, width_mm=5, grain=0.29).array[0], mean + weight * (array - mean), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        (lambda v: speckle.lee(v, width_mm=12, grain=0.5), 0.12),
        (lambda v: speckle.frost(v, width_mm=12, grain=0.5, damping_per_mm=0.3), 0.35),
        (lambda v: speckle.speckle_diffusion(v, sigma_mm=4, grain=0.3), 0.12),
    ],
)
def test_one_scene_gives_one_answer_at_two_spacings(name: Callable[[Volume], Volume], most: float) -> None:
    difference, change = disagreement(name)
    assert difference < most * change
    assert bright_ml(name(ball(FINE))) == pytest.approx(bright_ml(name(ball(COARSE))), rel=0.05)


@pytest.mark.parametrize("name", FILTERS)
def test_real_ultrasound_is_smoother_within_tissue_and_keeps_its_lesion(name: str, data_root: Path) -> None:
    from vesalius.io import raster

    folder = data_root / "busbra_masks"
    table = (folder / "labels.csv").read_text().splitlines()
    columns = table[0].split(",")
    row = dict(zip(columns, table[1].split(","), strict=True))
    volume = raster.read(folder / row["file"])
    volume = volume if volume.axis is None else volume.element(0)
    mask = raster.read(folder / row["mask"])
    white = mask.array if mask.axis is None else mask.array.max(axis=3)
    inside = white > white.max() / 2
    result = FILTERS[name](volume.calibrated((1.0, 1.0, 1.0)))
    assert result.array.dtype == np.uint8
    before, after = (one.array.astype(float) for one in (volume, result))
    roughness = [float(np.abs(np.diff(one, axis=2)).mean()) for one in (before, after)]
    assert roughness[1] < 0.8 * roughness[0]
    around = ndimage.binary_dilation(inside[0], iterations=20) & ~inside[0]
    contrast = [one[0][around].mean() - one[0][inside[0]].mean() for one in (before, after)]
    assert contrast[1] == pytest.approx(contrast[0], rel=0.15)


@pytest.mark.parametrize("name", FILTERS)
def test_bad_input_is_refused_with_the_fix(name: str) -> None:
    with pytest.raises(ImageContentError, match="not negative"):
        FILTERS[name](flat(np.full((9, 9), -1.0, np.float32)))
    with pytest.raises(ImageContentError, match="constant"):
        FILTERS[name](flat(np.full((9, 9), 7.0, np.float32)))
    with pytest.raises(UnknownSpacingError):
        FILTERS[name](flat(np.ones((9, 9), np.uint8), None))
    with pytest.raises(UsageError, match="grain"):
        getattr(speckle, name)(cyst()[0], **({"sigma_mm": 2} if "diff" in name else {"width_mm": 5}), grain=0)
