"""Thresholds: the values of other people's packages, the same volume on any grid, and errors that teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from segment_phantoms import BALL_ML, GRIDS, ball, disc, grid, mask, picture, truth
from skimage import filters

from vesalius import io
from vesalius.core import Axis, AxisKind, Volume
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, UnknownSpacingError, UsageError
from vesalius.segment import threshold


@pytest.fixture(scope="module")
def ct(data_root: Path) -> Volume:
    with io.scan(data_root / "totalseg_ct" / "example_ct_sm.nii.gz") as found:
        return io.load(found.studies[0].series[0])


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("name", ["otsu", "li", "triangle"])
def test_a_ball_has_its_volume_on_any_grid(spacing: tuple[float, float, float], name: str) -> None:
    volume = ball(spacing, noise=3)
    found = getattr(threshold, name)(volume)
    assert found.volume_ml("region") == pytest.approx(BALL_ML, rel=0.03)
    assert found.same_grid(volume)
    assert found.history[-1].operation == name


def test_below_is_what_above_is_not() -> None:
    above, below = threshold.otsu(disc()), threshold.otsu(disc(), side="below")
    assert (above.array + below.array == 1).all()


def test_thresholds_are_those_of_other_packages(ct: Volume) -> None:
    array = ct.array
    for name in ("otsu", "li", "triangle"):
        limit = float(getattr(filters, f"threshold_{name}")(array))
        assert np.array_equal(getattr(threshold, name)(ct).array > 0, array > limit), name
    peer = SimpleITK.OtsuThreshold(SimpleITK.GetImageFromArray(array), 0, 1, 4096)
    ours = threshold.otsu(ct).array
    assert (SimpleITK.GetArrayFromImage(peer) != ours).mean() < 2e-3


def test_multi_otsu_is_scikit_images(ct: Volume) -> None:
    small = (np.clip(ct.array, -1000, 600) // 8).astype(np.int16)
    found = threshold.multi_otsu(ct.with_array(small, "coarse"), classes=3)
    cuts = filters.threshold_multiotsu(small, classes=3)
    assert np.array_equal(found.array, np.digitize(small, cuts, right=True) + 1)
    means = [small[found.array == k].mean() for k in (1, 2, 3)]
    assert means == sorted(means)
    assert [s.name for s in found.segments.values()] == ["class_1", "class_2", "class_3"]


@pytest.mark.parametrize("name", ["niblack", "sauvola"])
def test_local_thresholds_are_scikit_images(name: str) -> None:
    array = disc(noise=8, pixel_mm=0.5).array
    volume = picture(np.abs(array[0]) - np.abs(array[0]).min(), 0.5)
    found = getattr(threshold, name)(volume, window_mm=7.5, k=0.3)
    given = {"r": np.ptp(volume.array) / 2} if name == "sauvola" else {}
    peer = getattr(filters, f"threshold_{name}")(volume.array[0], window_size=15, k=0.3, **given)
    inner = (slice(8, -8), slice(8, -8))
    assert np.array_equal(found.array[0][inner] > 0, (volume.array[0] > peer)[inner])


def test_windows_are_as_wide_in_mm_on_any_grid() -> None:
    shares = [threshold.niblack(ball(g, noise=2), window_mm=40, k=0.0).volume_ml(1) for g in GRIDS]
    assert shares[0] == pytest.approx(shares[1], rel=0.08)
    flat = threshold.sauvola(ball(noise=2), window_mm=25, slicewise=True)
    deep = threshold.sauvola(ball(noise=2), window_mm=25)
    assert not np.array_equal(flat.array, deep.array)


def test_range_includes_its_ends_and_hysteresis_needs_a_start() -> None:
    volume = picture(np.array([[0, 3, 5, 3, 0, 3, 4, 0]], np.int16))
    assert threshold.fixed(volume, low=3, high=4).array[0, 0].tolist() == [0, 1, 0, 1, 0, 1, 1, 0]
    assert threshold.hysteresis(volume, low=2, high=4).array[0, 0].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    peer = filters.apply_hysteresis_threshold(disc(noise=40).array[0], 60, 120)
    ours = threshold.hysteresis(disc(noise=40), low=60, high=120).array[0] > 0
    assert (ours | peer)[peer].all(), "diagonal neighbours only add"


def test_within_limits_what_is_seen_and_labelled() -> None:
    region = mask(truth(radius_mm=20.0))
    volume = ball()
    bright = volume.with_array(np.where(region.array, volume.array, 1000), "bright")
    found = threshold.otsu(bright, within=region)
    assert np.array_equal(found.array > 0, truth())


def test_a_colour_picture_is_seen_by_its_luminance() -> None:
    grey = disc(noise=0).array[0] * 2
    rgb = np.stack([grey, grey, grey], -1).astype(np.uint8)
    volume = Volume(rgb[None], np.eye(4), axis=Axis(AxisKind.RGB, ("r", "g", "b")))
    assert np.array_equal(threshold.otsu(volume).array[0] > 0, grey > 100)
    with pytest.raises(GeometryError, match="take one element"):
        threshold.otsu(Volume(rgb[None], np.eye(4), axis=Axis(AxisKind.TIME, (0.0, 1.0, 2.0), "s")))


def test_bad_input_is_told_with_its_fix() -> None:
    even = grid(np.full((4, 5, 6), 7, np.int16))
    for name in ("otsu", "li", "triangle", "multi_otsu"):
        with pytest.raises(ImageContentError, match="two different values"):
            getattr(threshold, name)(even)
    with pytest.raises(ImageContentError, match="--fill-nan"):
        threshold.otsu(grid(np.full((4, 5, 6), np.nan, np.float32)))
    with pytest.raises(UnknownSpacingError, match="calibrated"):
        threshold.sauvola(disc(), window_mm=5)
    with pytest.raises(UsageError, match="one voxel only"):
        threshold.niblack(ball(), window_mm=1)
    with pytest.raises(UsageError, match="exchange them"):
        threshold.fixed(ball(), low=3, high=2)
    with pytest.raises(UsageError, match="at least one end"):
        threshold.fixed(ball())
    with pytest.raises(UsageError, match="2 to 6"):
        threshold.multi_otsu(ball(), classes=9)
    with pytest.raises(ImageContentError, match="ask for fewer"):
        threshold.multi_otsu(ball(), classes=3)
    with pytest.raises(GeometryError, match="resample_like"):
        threshold.otsu(ball(), within=mask(truth((4.0, 1.0, 1.0)), (4.0, 1.0, 1.0)))
    with pytest.raises(LabelError, match="`within` is empty"):
        threshold.otsu(ball(), within=mask(np.zeros((48, 48, 48), bool)))
    with pytest.raises(UsageError, match="a Mask"):
        threshold.otsu(ball(), within=ball())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="side of a threshold"):
        threshold.otsu(ball(), side="left")  # type: ignore[arg-type]
