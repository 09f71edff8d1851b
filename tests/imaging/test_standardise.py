"""Nyul's standard histogram and shade removal on MR images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import ball

from vesalius.core import Code, Mask, Segment, Volume
from vesalius.core.errors import ConfigError, GeometryError, ImageContentError, UsageError
from vesalius.imaging import standardise
from vesalius.imaging.standardise import NyulScale


def scan(gain: float, offset: float, power: float = 1.0, seed: int = 0) -> Volume:
    """Return one scene of three tissues as a scanner of this gain, offset and curve shows it."""
    rng = np.random.default_rng(seed)
    tissue = rng.choice([0.3, 0.6, 0.9], size=(12, 24, 24), p=[0.2, 0.4, 0.4])
    scene = np.clip(tissue + rng.normal(0, 0.03, tissue.shape), 0.01, None) ** power
    scene[:, :4] = 0
    return Volume((offset * (scene > 0) + gain * scene).astype(np.float32), np.eye(4), modality="MR")


def head(volume: Volume) -> Mask:
    """Return where the scene has signal."""
    segments = {1: Segment("head", Code("1", "99TEST", "head"), (1, 1, 1))}
    return Mask((volume.array > 0).astype(np.uint8), volume.affine, segments=segments)


def test_scanners_of_any_gain_agree_after_nyul() -> None:
    teachers = [scan(100, 0), scan(900, 50), scan(5, 1)]
    scale = standardise.learn_scale(teachers, regions=[head(one) for one in teachers])
    assert scale.images == 3
    assert (scale.landmarks[0], scale.landmarks[-1]) == (0.0, 100.0)
    scans = [scan(*curve) for curve in ((40, 3, 1), (2000, 100, 1), (300, 0, 1.3))]
    results = [standardise.nyul(one, scale=scale, region=head(one)).array for one in scans]
    inside = head(scans[0]).array > 0
    for other in results[1:]:
        assert np.abs(other - results[0])[inside].mean() < 2.0
    assert results[0].dtype == np.float32


def test_the_map_is_linear_between_landmarks_and_goes_on_beyond() -> None:
    values = np.arange(1001, dtype=np.float32).reshape(1, 7, 143)
    whole = Mask(
        np.ones((1, 7, 143), np.uint8), np.eye(4), segments={1: Segment("all", Code("1", "99TEST", "all"), (1, 1, 1))}
    )
    scale = NyulScale((10.0, 50.0, 90.0), (0.0, 20.0, 100.0))
    result = standardise.nyul(Volume(values, np.eye(4)), scale=scale, region=whole).array.ravel()
    for value, expected in ((100, 0), (300, 10), (500, 20), (700, 60), (900, 100), (1000, 120), (0, -5)):
        assert result[value] == pytest.approx(expected, abs=1e-3)


def test_a_scale_survives_its_file() -> None:
    scale = standardise.learn_scale([scan(100, 0)])
    assert NyulScale.from_json(scale.to_json()) == scale
    for text in ("{}", "no json", '{"schema": "vesalius.nyul/1", "percentiles": 3}', '{"schema": "other/1"}'):
        with pytest.raises(ConfigError, match="no standard histogram"):
            NyulScale.from_json(text)


def test_real_crops_of_many_scales_come_together(data_root: Path) -> None:
    """The hippocampus crops differ in scale on purpose: after Nyul their medians spread far less."""
    from vesalius.io import nifti

    volumes = [nifti.read(path) for path in sorted((data_root / "msd_hippocampus").rglob("*.nii.gz"))[:200:20]]
    volumes = [v for v in volumes if len(np.unique(v.array[::4])) > 10]
    scale = standardise.learn_scale(volumes)
    before = [float(np.median(v.array)) for v in volumes]
    after = [float(np.median(standardise.nyul(v, scale=scale).array)) for v in volumes]
    assert len(volumes) >= 4
    assert np.std(after) / np.ptp(scale.landmarks) < 0.1
    assert np.std(before) / np.mean(before) > 0.2


def test_shade_is_removed() -> None:
    truth = ball()
    slope = np.exp(0.6 * (np.arange(48) - 24) / 24).astype(np.float32)
    shaded = Volume((truth.array + 200) * slope, truth.affine, modality="MR")
    result = standardise.remove_bias(shaded, shrink=4).array
    inside = truth.array > 900
    spreads = [float(one[inside].std() / one[inside].mean()) for one in (shaded.array, result)]
    assert spreads[1] < 0.4 * spreads[0]


def test_bad_input_is_refused_with_the_fix() -> None:
    scale = standardise.learn_scale([scan(100, 0)])
    broken = scan(1, 0).array.copy()
    broken[0, 9, 9] = np.nan
    with pytest.raises(ImageContentError, match="1 of"):
        standardise.nyul(scan(1, 0).with_array(broken, "x"), scale=scale)
    with pytest.raises(ImageContentError, match=r"constant|too small"):
        standardise.nyul(Volume(np.ones((4, 8, 8), np.float32), np.eye(4)), scale=scale)
    with pytest.raises(UsageError, match="at least one image"):
        standardise.learn_scale([])
    with pytest.raises(UsageError, match="increasing"):
        NyulScale((1.0, 99.0), (5.0, 5.0))
    other = Mask(np.zeros((2, 3, 3), np.uint8), np.eye(4))
    with pytest.raises(GeometryError, match="another grid"):
        standardise.nyul(scan(1, 0), scale=scale, region=other)
    with pytest.raises(UsageError, match="fewer regions"):
        standardise.learn_scale([scan(1, 0)], regions=[])
    with pytest.raises(UsageError, match="shrink"):
        standardise.remove_bias(scan(1, 0), shrink=0)
