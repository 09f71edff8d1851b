"""Regions, supervoxels, contours: balls on any grid, SimpleITK and scikit-image on the same data, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage
from segment_phantoms import BALL_ML, COARSE, FINE, GRIDS, MIDDLE, ball, dice, disc, grid, mask, picture, places, truth
from skimage import segmentation

from vesalius import io
from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, UnknownSpacingError, UsageError
from vesalius.segment import contour, inputs, region, supervoxel, threshold
from vesalius.segment.inputs import Seeds


@pytest.fixture(scope="module")
def ct(data_root: Path) -> Volume:
    with io.scan(data_root / "totalseg_ct" / "example_ct_sm.nii.gz") as found:
        return io.load(found.studies[0].series[0])


def sitk(volume: Volume) -> SimpleITK.Image:
    return SimpleITK.GetImageFromArray(volume.array)


@pytest.mark.parametrize("spacing", GRIDS)
def test_growing_gives_a_ball_its_volume(spacing: tuple[float, float, float]) -> None:
    volume = ball(spacing, noise=5)
    for found in (region.connected(volume, seeds=MIDDLE, low=50), region.confidence(volume, seeds=MIDDLE)):
        assert found.volume_ml(1) == pytest.approx(BALL_ML, rel=0.03)
    assert np.array_equal(region.connected(volume, seeds=MIDDLE, tolerance=50).array > 0, volume.array > 50)


def test_growing_is_simpleitks(ct: Volume) -> None:
    start = tuple(int(v) for v in np.argwhere((ct.array > 40) & (ct.array < 80))[5000])
    seed = Seeds([start], "index")
    peer = SimpleITK.ConnectedThreshold(sitk(ct), [start[::-1]], -100.0, 300.0)
    ours = region.connected(ct, seeds=seed, low=-100, high=300)
    assert np.array_equal(SimpleITK.GetArrayFromImage(peer), ours.array)
    peer = SimpleITK.ConfidenceConnected(sitk(ct), [start[::-1]], 4, 2.5, 1, 1)
    ours = region.confidence(ct, seeds=seed, iterations=4)
    assert dice(SimpleITK.GetArrayFromImage(peer) > 0, ours.array > 0) > 0.995


def test_growing_stays_within() -> None:
    half = truth()
    half[:, :24] = False
    found = region.connected(ball(), seeds=MIDDLE, low=50, within=mask(half))
    assert np.array_equal(found.array > 0, half)


def test_watershed_takes_two_balls_apart() -> None:
    z, y, x = places(FINE)
    two = ((x - 9) ** 2 + y**2 + z**2 < 121) | ((x + 9) ** 2 + y**2 + z**2 < 121)
    found = region.watershed(grid(two.astype(np.float32)), relief="distance", within=mask(two))
    assert len(found.segments) == 2
    assert np.array_equal(found.array > 0, two)
    left = found.array == found.array[24, 24, 10]
    assert dice(left, two & (x < 0)) > 0.98


@pytest.mark.parametrize("spacing", GRIDS)
def test_watershed_finds_its_basins(spacing: tuple[float, float, float]) -> None:
    volume = ball(spacing, noise=2)
    found = region.watershed(volume, depth=0.15)
    inner = int(found.array[tuple(n // 2 for n in volume.shape)])
    assert dice(found.array == inner, truth(spacing)) > 0.9
    assert len(found.segments) == 2
    assert (found.array > 0).all()


def test_watershed_with_markers_is_scikit_images() -> None:
    volume = disc(noise=10)
    seeds = np.zeros(volume.shape, np.uint8)
    seeds[0, 30, 40], seeds[0, 2, 2] = 1, 2
    made = inputs.answer(volume, seeds, inputs.pieces(2, "part"), "made")
    found = region.watershed(volume, markers=made)
    peer = segmentation.watershed(region.slope(volume.array, (1, 1, 1))[0], seeds[0].astype(int))
    assert np.array_equal(found.array[0], peer)
    assert [s.name for s in found.segments.values()] == ["part_1", "part_2"]


@pytest.mark.parametrize("spacing", GRIDS)
def test_supervoxels_are_even_in_mm(spacing: tuple[float, float, float]) -> None:
    volume = ball(spacing, noise=5)
    found = supervoxel.supervoxels(volume, size_mm=8.0)
    assert 0.5 * 216 < len(found.segments) < 2 * 216
    sizes = np.array([[s.stop - s.start for s in b] for b in ndimage.find_objects(found.array)]) * spacing
    middle = np.median(sizes, axis=0)
    assert middle.max() / middle.min() < 1.6
    assert all(ndimage.label(found.array == k)[1] == 1 for k in list(found.segments)[::40])


def test_merging_leaves_the_ball_and_the_rest() -> None:
    volume = ball(noise=10)
    found = supervoxel.merged_supervoxels(volume, regions=2, count=800)
    assert dice(found.array == 2, truth()) > 0.93
    flat = supervoxel.merged_supervoxels(disc(), regions=2, count=150)
    assert dice(flat.array == 2, disc(noise=0).array > 50) > 0.93


def test_merging_joins_only_neighbours_and_the_cheapest_first() -> None:
    sizes, means = np.array([0.0, 1, 1, 1, 1]), np.array([0.0, 10, 11, 50, 10])
    chain = np.array([[1, 2], [2, 3], [3, 4]])
    groups = supervoxel.by_mean(supervoxel.merge(sizes, means, chain, 3), sizes, means)
    assert groups[1] == groups[2] != groups[4]
    assert groups[3] == 3


@pytest.mark.parametrize("spacing", GRIDS)
def test_contours_find_the_ball_on_any_grid(spacing: tuple[float, float, float]) -> None:
    side = [round(19 / s) for s in spacing]
    middle = [int(48 / s) // 2 for s in spacing]
    ends = [tuple(m + sign * n for m, n in zip(middle, side, strict=True)) for sign in (-1, 1)]
    volume = ball(spacing, noise=10).crop(*ends)
    found = contour.chan_vese(volume, iterations=6)
    assert found.volume_ml(1) == pytest.approx(BALL_ML, rel=0.03)
    begin = mask(truth(spacing, 10.0), spacing).crop(*ends)
    grown = contour.geodesic_snake(volume, start=begin, iterations=12)
    assert grown.volume_ml(1) == pytest.approx(BALL_ML, rel=0.12)
    assert found.same_grid(volume)
    rough = contour.chan_vese(volume, iterations=5, grid_mm=2.0)
    assert rough.volume_ml(1) == pytest.approx(BALL_ML, rel=0.15)


def test_chan_vese_is_scikit_images() -> None:
    volume = disc(noise=20)
    begin = threshold.otsu(volume)
    ours = contour.chan_vese(volume, start=begin, iterations=15)
    peer = segmentation.morphological_chan_vese(volume.array[0], 15, begin.array[0])
    assert np.array_equal(ours.array[0], peer)


def test_a_geodesic_contour_shrinks_to_the_border_too() -> None:
    volume = disc(noise=3)
    wide = inputs.answer(volume, np.ones(volume.shape, bool), {1: inputs.REGION}, "made")
    found = contour.geodesic_snake(volume, start=wide, balloon=-1, iterations=60)
    assert dice(found.array > 0, disc(noise=0).array > 50) > 0.93


def test_a_lesion_in_real_ultrasound_is_grown_from_a_point(data_root: Path) -> None:
    path = sorted((data_root / "busi_masks" / "images").iterdir())[0]
    with io.scan(path) as found, io.scan(data_root / "busi_masks" / "masks" / path.name) as marked:
        image, mark = (io.load(one.studies[0].series[0]) for one in (found, marked))
    lesion = inputs.brightness(mark, "mask") > 100
    middle = np.argwhere(lesion).mean(axis=0).round()
    assert lesion[tuple(middle.astype(int))]
    grown = region.confidence(image, seeds=Seeds([middle], "index"), multiplier=2.0)
    assert grown.array[tuple(middle.astype(int))] == 1
    assert dice(grown.array > 0, lesion) > 0.4


def test_bad_input_is_told_with_its_fix() -> None:
    volume = ball()
    with pytest.raises(GeometryError, match=r"place 2 of 2 lies outside.*LPS mm.*change the sign"):
        region.connected(volume, seeds=[(0, 0, 0), (99, 0, 0)], low=50)
    with pytest.raises(GeometryError, match=r"index \(0, 70, 0\).*63, 79"):
        region.connected(disc(), seeds=Seeds([(70, 0)], "index"), low=50)
    with pytest.raises(UnknownSpacingError):
        region.connected(disc(), seeds=[(0, 0, 0)], low=50)
    with pytest.raises(UsageError, match="rows of three"):
        region.connected(volume, seeds=[(0, 0)], low=50)
    with pytest.raises(UsageError, match="widen the range"):
        region.connected(volume, seeds=MIDDLE, high=50)
    with pytest.raises(UsageError, match="leave tolerance out"):
        region.connected(volume, seeds=MIDDLE, high=50, tolerance=3)
    with pytest.raises(UsageError, match="at least one end"):
        region.connected(volume, seeds=MIDDLE)
    with pytest.raises(GeometryError, match="no seed of seeds lies"):
        region.confidence(volume, seeds=[(20, 20, 20)], within=mask(truth()))
    with pytest.raises(UsageError, match="give within"):
        region.watershed(volume, relief="distance")
    with pytest.raises(ImageContentError, match="two different"):
        region.watershed(grid(np.zeros((4, 5, 6), np.int16)))
    with pytest.raises(UsageError, match="fewer supervoxels"):
        supervoxel.merged_supervoxels(volume, regions=40, count=4)
    with pytest.raises(UnknownSpacingError):
        supervoxel.supervoxels(disc(), size_mm=4)
    with pytest.raises(LabelError, match="`start` is empty"):
        contour.chan_vese(volume, start=mask(np.zeros(volume.shape, bool)))
    long = picture(np.zeros((8, 8), np.float32))
    odd = Volume(long.array, np.diag([1.0, 2.0, 1.0, 1.0]), long.frame, long.spacing)
    with pytest.raises(UnknownSpacingError):
        contour.geodesic_snake(odd, start=inputs.answer(odd, np.ones(odd.shape, bool), {1: inputs.REGION}, "x"))
    with pytest.raises(GeometryError, match="start and the image"):
        contour.chan_vese(volume, start=mask(truth(COARSE), COARSE))
