"""Clean-up: exact balls in mm on any grid, SciPy and SimpleITK on cubic voxels, several segments, errors."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage
from segment_phantoms import COARSE, GRIDS, dice, disc, mask, places, truth

from vesalius.core import Mask
from vesalius.core.errors import GeometryError, LabelError, UnknownSpacingError, UsageError
from vesalius.segment import cleanup, inputs, threshold


def ball_ml(radius_mm: float) -> float:
    return 4 / 3 * np.pi * radius_mm**3 / 1000


@pytest.mark.parametrize("spacing", GRIDS)
def test_a_ball_grows_and_shrinks_by_the_radius(spacing: tuple[float, float, float]) -> None:
    made = mask(truth(spacing, 12.0), spacing)
    grown, shrunk = cleanup.dilated(made, radius_mm=4.0), cleanup.eroded(made, radius_mm=4.0)
    # Voxel centres lie up to half a voxel inside the ball: 0.5 mm are a tenth of the volume.
    assert grown.volume_ml(1) == pytest.approx(ball_ml(16), rel=0.09 if spacing[0] == 1 else 0.16)
    assert shrunk.volume_ml(1) == pytest.approx(ball_ml(8), rel=0.2)
    far = ndimage.distance_transform_edt(~truth(spacing, 12.0), sampling=spacing)
    assert np.array_equal(grown.array > 0, far <= 4.001)
    assert grown.array[grown.shape[0] // 2, 24, 24 + 12] == 1


@pytest.mark.parametrize("name", ["dilation", "erosion", "opening", "closing"])
def test_balls_are_scipys_on_cubic_voxels(name: str) -> None:
    random = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (40, 40, 40)), 2)
    flags = random > 0.06
    flags[:6], flags[-6:], flags[:, :6], flags[:, -6:], flags[:, :, :6], flags[:, :, -6:] = (False,) * 6
    ours = {"dilation": "dilated", "erosion": "eroded", "opening": "opened", "closing": "closed"}[name]
    made = Mask(flags.astype(np.uint8), np.eye(4), segments={1: inputs.REGION})
    found = getattr(cleanup, ours)(made, radius_mm=2.0).array > 0
    lines = np.mgrid[-2:3, -2:3, -2:3]
    ball = (lines**2).sum(axis=0) <= 4
    assert np.array_equal(found, getattr(ndimage, f"binary_{name}")(flags, ball))


def test_components_are_simpleitks() -> None:
    flags = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 1, (30, 30, 30)), 1.5) > 0.12
    parts = SimpleITK.RelabelComponent(
        SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(flags.astype(np.uint8)))
    )
    peer = SimpleITK.GetArrayFromImage(parts)
    assert np.array_equal(cleanup.largest(mask(flags)).array > 0, peer == 1)


def test_the_largest_components_are_kept() -> None:
    line = np.zeros((1, 3, 12), np.uint8)
    line[0, 1, [0, 1, 2, 4, 5, 7]] = 1
    line[0, 1, 9:12] = 2
    line[0, 0, 0] = 2
    made = mask(line)
    assert cleanup.largest(made).array[0, 1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2]
    assert cleanup.largest(made, count=2).array[0, 1].tolist() == [1, 1, 1, 0, 1, 1, 0, 0, 0, 2, 2, 2]
    assert cleanup.largest(made, label="part_1").array[0, 0, 0] == 2
    assert cleanup.components_over(made, least_ml=0.002).array[0, 1, 7] == 0
    assert cleanup.components_over(made, least_ml=0.002).array[0, 1, 4] == 1


@pytest.mark.parametrize("spacing", GRIDS)
def test_holes_are_filled_up_to_a_volume(spacing: tuple[float, float, float]) -> None:
    solid, hole = truth(spacing, 16.0), truth(spacing, 5.0)
    made = mask(solid & ~hole, spacing)
    assert np.array_equal(cleanup.fill_holes(made).array > 0, solid)
    assert np.array_equal(cleanup.fill_holes(made, most_ml=0.2).array, made.array)
    assert np.array_equal(cleanup.fill_holes(made, most_ml=0.9).array > 0, solid)
    tube = solid.copy()
    _, y, x = places(spacing)
    tube[(x**2 + y**2) < 16] = False
    open_ends = mask(tube, spacing)
    assert np.array_equal(cleanup.fill_holes(open_ends).array, open_ends.array)
    assert cleanup.fill_holes(open_ends, slicewise=True).array[solid.shape[0] // 2, 24, 24] == 1


def test_what_lies_in_a_hole_stays() -> None:
    labels = truth(radius_mm=16.0).astype(np.uint8)
    labels[truth(radius_mm=8.0)] = 0
    labels[truth(radius_mm=4.0)] = 2
    found = cleanup.fill_holes(mask(labels)).array
    assert (found[truth(radius_mm=4.0)] == 2).all()
    assert (found[truth(radius_mm=8.0) & ~truth(radius_mm=4.0)] == 1).all()


@pytest.mark.parametrize("spacing", GRIDS)
def test_opening_cuts_a_thin_bridge_and_closing_a_thin_gap(spacing: tuple[float, float, float]) -> None:
    z, y, x = places(spacing)
    balls = ((x - 12) ** 2 + y**2 + z**2 < 81) | ((x + 12) ** 2 + y**2 + z**2 < 81)
    bridge = balls | ((abs(y) <= 1) & (abs(z) <= 2) & (abs(x) < 12))
    assert ndimage.label(bridge)[1] == 1
    parted = cleanup.opened(mask(bridge, spacing), radius_mm=4.5).array > 0
    assert ndimage.label(parted)[1] == 2
    assert not (parted & ~bridge).any()
    joined = cleanup.closed(mask(balls, spacing), radius_mm=5.0).array > 0
    assert ndimage.label(joined)[1] == 1
    assert (joined & balls).sum() == balls.sum()


def test_closing_at_the_image_edge_takes_nothing_away() -> None:
    flags = np.zeros((20, 20, 20), bool)
    flags[:, :, :10] = True
    assert np.array_equal(cleanup.closed(mask(flags), radius_mm=3.0).array > 0, flags)
    assert np.array_equal(cleanup.opened(mask(flags), radius_mm=3.0).array > 0, flags)


def test_growing_segments_do_not_cross_and_share_the_gap() -> None:
    labels = np.zeros((1, 9, 20), np.uint8)
    labels[:, :, :5], labels[:, :, 12:] = 1, 2
    grown = cleanup.dilated(mask(labels), radius_mm=10.0)
    assert grown.array[0, 4].tolist() == [1] * 9 + [2] * 11
    alone = cleanup.dilated(mask(labels), radius_mm=10.0, label="part_2")
    assert alone.array[0, 4].tolist() == [1] * 5 + [2] * 15


@pytest.mark.parametrize("spacing", GRIDS)
def test_smoothing_keeps_the_volume_and_takes_the_grain(spacing: tuple[float, float, float]) -> None:
    rough = truth(spacing)
    flip = np.random.default_rng(0).random(rough.shape) < 0.05
    found = cleanup.smoothed(mask(rough ^ flip, spacing), sigma_mm=2.5)
    assert dice(found.array > 0, rough) > 0.945
    assert found.segments == mask(rough, spacing).segments
    labels = np.where(rough, 1, 2).astype(np.uint8)
    both = cleanup.smoothed(mask(labels, spacing), sigma_mm=1.0)
    assert (both.array > 0).all()
    only = cleanup.smoothed(mask(labels, spacing), sigma_mm=3.0, label="part_1")
    assert (only.array[labels == 2] == 2).all()


def test_bad_input_is_told_with_its_fix() -> None:
    made = mask(truth())
    flat = threshold.otsu(disc())
    for work in (cleanup.dilated, cleanup.eroded, cleanup.opened, cleanup.closed):
        with pytest.raises(UnknownSpacingError):
            work(flat, radius_mm=2)
        with pytest.raises(UsageError, match="above 0"):
            work(made, radius_mm=0)
        with pytest.raises(LabelError, match="no segment has this name"):
            work(made, radius_mm=2, label="liver")
        with pytest.raises(LabelError, match="mask is empty"):
            work(mask(np.zeros((9, 9, 9), bool)), radius_mm=2)
    with pytest.raises(UnknownSpacingError):
        cleanup.components_over(flat, least_ml=1)
    with pytest.raises(UsageError, match="1 or more"):
        cleanup.largest(made, count=0)
    sheared = np.diag([*COARSE, 1.0])
    sheared[1, 0] = 2.0
    tilted = Mask(made.array, sheared, segments=made.segments)
    with pytest.raises(GeometryError, match="to_orthogonal"):
        cleanup.dilated(tilted, radius_mm=2)
    assert cleanup.largest(flat).shape == flat.shape
    assert cleanup.fill_holes(flat).array.any()
