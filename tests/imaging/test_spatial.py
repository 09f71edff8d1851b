"""Resampling: analytic truths, world geometry, agreement with SimpleITK, regular grids from irregular slices."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from vesalius.core import Axis, AxisKind, Code, Frame, Mask, Segment, Spacing, Volume
from vesalius.core.errors import GeometryError, IrregularGeometryError, UnknownSpacingError, UsageError
from vesalius.core.grid import all_orientations
from vesalius.imaging import spatial

BALL = Segment("ball", Code("1", "99VESALIUS", "Ball"), (230, 159, 0))
SHELL = Segment("shell", Code("2", "99VESALIUS", "Shell"), (86, 180, 233))
SLOPE = np.array([0.7, -1.3, 0.4])


def rotation(x_deg: float, y_deg: float, z_deg: float) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad([x_deg, y_deg, z_deg])):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        result = one @ result
    return result


def grid(spacing=(2.0, 1.0, 1.5), turn=(0, 0, 0), shear=0.0, origin=(-20.0, 15.0, 7.0)) -> np.ndarray:
    directions = rotation(*turn) @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=float)
    directions[:, 0] += directions[:, 1] * shear
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin
    return affine


def ramp_at(points_mm: np.ndarray) -> np.ndarray:
    return points_mm @ SLOPE + 11.0


def positions(image: Volume | Mask) -> np.ndarray:
    return image.index_to_world(np.moveaxis(np.indices(image.shape), 0, -1))


def ramp(affine: np.ndarray, shape=(12, 20, 16), dtype=np.float32) -> Volume:
    empty = Volume(np.zeros(shape, np.uint8), affine)
    values = ramp_at(positions(empty))
    return Volume(values.astype(dtype), affine, modality="MR")


def inner(image: Volume, source: Volume, margin: float = 0.0) -> np.ndarray:
    """Return which voxels of `image` lie between the outermost voxel centres of `source`."""
    index = source.world_to_index(positions(image))
    return ((index >= margin - 1e-6) & (index <= np.array(source.shape) - 1 - margin + 1e-6)).all(axis=-1)


GRIDS = {
    "plain": grid(),
    "oblique": grid(turn=(12, -25, 31)),
    "tilted": grid(shear=np.tan(np.deg2rad(15))),
    "oblique tilted": grid(turn=(8, 14, -40), shear=-0.3),
}


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("spacing", [(1.0, 0.5, 0.75), (1.3, 0.9, 1.1), (2.0, 1.0, 1.5)])
def test_a_ramp_in_world_millimetres_is_reproduced_exactly(affine, method, spacing):
    source = ramp(affine)
    result = spatial.resample(source, spacing_mm=spacing, method=method)
    np.testing.assert_allclose(np.linalg.norm(result.affine[:3, :3], axis=0), spacing, rtol=1e-12)
    keep = inner(result, source, margin=0.0 if method == "linear" else 4.0)
    assert keep.sum() > 100
    # The cubic spline's mirrored border bends a ramp; its influence has faded to 1e-2 four voxels inside.
    np.testing.assert_allclose(
        result.array[keep], ramp_at(positions(result))[keep], atol=1e-4 if method == "linear" else 2e-2
    )


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_the_field_of_view_keeps_its_middle_and_covers_the_old_one(affine):
    source = ramp(affine)
    for spacing in [(1.0, 0.5, 0.75), (3.1, 2.2, 4.7), (24.0, 20.0, 24.0), (100.0, 100.0, 100.0)]:
        result = spatial.resample(source, spacing_mm=spacing)
        np.testing.assert_allclose(result.centre_mm(), source.centre_mm(), atol=1e-9)
        old, new = (np.array(i.shape) * np.array(i.spacing_mm) for i in (source, result))
        assert (new >= old - 0.002 * np.array(spacing)).all()
        assert (new < old + np.array(spacing)).all()


def test_halving_the_voxel_keeps_the_outer_edges():
    source = ramp(grid())
    result = spatial.resample(source, spacing_mm=(1.0, 0.5, 0.75))
    assert result.shape == (24, 40, 32)
    edge = source.index_to_world((-0.5, -0.5, -0.5))
    np.testing.assert_allclose(result.index_to_world((-0.5, -0.5, -0.5)), edge, atol=1e-12)


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_shrinking_a_ramp_shifts_nothing(affine):
    source = ramp(affine, (40, 60, 50))
    result = spatial.resample(source, spacing_mm=(5.0, 3.0, 4.0))
    keep = inner(result, source, margin=8)
    assert keep.sum() > 100
    np.testing.assert_allclose(result.array[keep], ramp_at(positions(result))[keep], atol=5e-3)


def test_shrinking_removes_what_the_new_voxels_cannot_hold():
    stripes = np.indices((4, 4, 256))[2] % 2 * 1000
    source = Volume(stripes.astype(np.int16), grid((1, 1, 1)))
    smooth = spatial.resample(source, spacing_mm=(1, 1, 3.9)).array[:, :, 3:-3]
    aliased = spatial.resample(source, spacing_mm=(1, 1, 3.9), antialias=False).array[:, :, 3:-3]
    assert np.ptp(smooth) < 30
    assert abs(smooth.mean() - 500) < 5
    assert np.ptp(aliased) > 800


def ball(affine: np.ndarray, shape: tuple[int, int, int], radius_mm: float) -> Mask:
    empty = Mask(np.zeros(shape, np.uint8), affine)
    away = np.linalg.norm(positions(empty) - empty.centre_mm() - 0.3, axis=-1)
    labels = np.where(away < radius_mm, 1, np.where(away < radius_mm + 6, 2, 0))
    return Mask(labels.astype(np.uint8), affine, segments={1: BALL, 2: SHELL})


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (2.0, 2.0, 2.0), (4.0, 2.0, 2.0), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_a_ball_keeps_volume_place_and_labels(turn, spacing, method):
    mask = ball(grid((1, 1, 1), turn), (70, 70, 70), 20.0)
    result = spatial.resample(mask, spacing_mm=spacing, method=method)
    assert set(np.unique(result.array)) == {0, 1, 2}
    assert result.array.dtype == np.uint8
    truth = 4 / 3 * np.pi * 20**3 / 1000
    assert result.volume_ml("ball") == pytest.approx(truth, rel=0.03)
    assert result.volume_ml("shell") == pytest.approx(4 / 3 * np.pi * (26**3 - 20**3) / 1000, rel=0.06)
    centre = positions(result)[result.binary("ball")].mean(axis=0)
    # Of voxels at equal distance the nearest is always the one on the same side: up to half a source voxel.
    room = 0.9 if method == "nearest" else 0.06 * max(spacing)
    np.testing.assert_allclose(centre, mask.centre_mm() + 0.3, atol=room)


def test_a_sheet_a_little_thicker_than_the_new_voxel_survives():
    shape = (40, 40, 40)
    labels = np.zeros(shape, np.uint8)
    labels[:, :, 19:22] = 1
    mask = Mask(labels, grid((1, 1, 1)), segments={1: BALL})
    kept = spatial.resample(mask, spacing_mm=2.5)
    assert (kept.array == 1).any(axis=2).all()


def marked(affine: np.ndarray, shape=(30, 34, 38)) -> tuple[Volume, np.ndarray]:
    """Return a volume with a blob of 4 mm (standard deviation) and its world position, off any voxel centre."""
    empty = Volume(np.zeros(shape, np.uint8), affine)
    place = empty.centre_mm() + np.array([1.37, -2.11, 0.83])
    away = ((positions(empty) - place) ** 2).sum(axis=-1)
    return Volume((1000 * np.exp(-away / 32)).astype(np.float32), affine, modality="MR"), place


def centre_of_mass(volume: Volume) -> np.ndarray:
    weight = np.where(volume.array > 50, volume.array, 0).astype(np.float64)
    return (positions(volume) * weight[..., np.newaxis]).sum(axis=(0, 1, 2)) / weight.sum()


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("method", ["linear", "cubic", "nearest"])
def test_a_marker_keeps_its_world_position(affine, method):
    volume, place = marked(affine)
    for code in ("SPL", "RAS", "ILA"):
        result = spatial.resample(volume.reorient(code), spacing_mm=(1.9, 1.4, 2.3), method=method)
        assert np.linalg.norm(centre_of_mass(result) - place) < (0.3 if method == "nearest" else 0.05)


def test_resampling_commutes_with_all_48_orientations():
    volume = ramp(grid(turn=(5, 9, 13)), (9, 11, 13))
    straight = spatial.resample(volume, spacing_mm=1.2).array
    for code in all_orientations():
        turned = spatial.resample(volume.reorient(code), spacing_mm=1.2).reorient(volume.orientation)
        np.testing.assert_allclose(turned.array, straight, atol=1e-3)


def as_sitk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.array)
    spacing = volume.spacing_mm[::-1]
    image.SetSpacing(spacing)
    image.SetDirection((volume.affine[:3, [2, 1, 0]] / spacing).ravel())
    image.SetOrigin(volume.affine[:3, 3])
    return image


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("linear", sitk.sitkLinear), ("cubic", sitk.sitkBSpline), ("nearest", sitk.sitkNearestNeighbor)],
)
@pytest.mark.parametrize("turn", [(0, 0, 0), (12, -25, 31)])
def test_it_agrees_with_simpleitk(method, theirs, turn):
    random = np.random.default_rng(7)
    volume = Volume(random.normal(0, 300, (14, 18, 16)).astype(np.float32), grid(turn=(4, 8, 15)))
    reference = Volume(np.zeros((20, 25, 22), np.uint8), grid((1.3, 0.8, 1.1), turn, origin=(-19.2, 16.1, 8.3)))
    ours = spatial.resample_like(volume, reference, method=method, fill=-77, antialias=False)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(as_sitk(volume), as_sitk(reference), sitk.Transform(), theirs, -77.0, sitk.sitkFloat32)
    )
    assert (ours.array == -77).any()
    # SimpleITK walks along a row by addition: at a cell's border it may fall on the other side.
    index = volume.world_to_index(positions(reference))
    border = (np.abs(index - np.round(index * 2) / 2) < 1e-4).any(axis=-1)
    np.testing.assert_allclose(ours.array[~border], expected[~border], atol=0.05)
    assert border.mean() < 0.2


def test_integers_are_rounded_and_kept_in_range():
    volume = ramp(grid(), dtype=np.int16)
    result = spatial.resample(volume, spacing_mm=(1.1, 0.7, 0.9))
    assert result.array.dtype == np.int16
    exact = spatial.resample(replace(volume, array=volume.array.astype(np.float32)), spacing_mm=(1.1, 0.7, 0.9))
    assert np.abs(result.array - exact.array).max() <= 0.5 + 1e-4
    assert np.abs((result.array - exact.array).mean()) < 0.02
    step = Volume(np.repeat([[[0, 0, 0, 255, 255, 255]]], 4, axis=1).astype(np.uint8), grid((1, 1, 1)))
    over = spatial.resample(step, spacing_mm=0.3, method="cubic")
    assert over.array.dtype == np.uint8
    assert over.array.min() == 0
    assert over.array.max() == 255


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_voxel_type_is_kept(dtype):
    volume = Volume(np.ones((4, 5, 6), dtype), grid())
    result = spatial.resample(volume, spacing_mm=(1.0, 2.0, 1.0))
    assert result.array.dtype == dtype
    np.testing.assert_allclose(result.array, 1, rtol=1e-6)


def test_a_fourth_axis_is_carried_along():
    axis = Axis(AxisKind.TIME, (0.0, 2.0, 4.0), "s")
    one = ramp(grid())
    array = np.stack([one.array, one.array * 2, one.array + 5], axis=-1)
    result = spatial.resample(replace(one, array=array, axis=axis), spacing_mm=(4.0, 2.0, 3.0))
    alone = spatial.resample(one, spacing_mm=(4.0, 2.0, 3.0)).array
    assert result.axis == axis
    np.testing.assert_allclose(result.array[..., 0], alone, rtol=1e-6)
    np.testing.assert_allclose(result.array[..., 1], 2 * alone, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(result.array[..., 2], alone + 5, rtol=1e-5, atol=1e-4)


def test_outside_is_fill_and_the_border_cell_is_not():
    volume = Volume(np.full((2, 2, 2), 7, np.int16), grid((1, 1, 1), origin=(0, 0, 0)))
    reference = Volume(np.zeros((8, 8, 8), np.uint8), grid((0.5, 0.5, 0.5), origin=(-1.25, -1.25, -1.25)))
    result = spatial.resample_like(volume, reference, fill=-1024)
    inside = (np.abs(positions(reference) - 0.5) < 1.0).all(axis=-1)
    np.testing.assert_array_equal(result.array == 7, inside)
    np.testing.assert_array_equal(result.array == -1024, ~inside)


def test_a_mask_takes_a_label_as_fill():
    mask = ball(grid((1, 1, 1)), (20, 20, 20), 5.0)
    reference = Volume(np.zeros((20, 20, 20), np.uint8), grid((3, 3, 3), origin=(-30, 5, -10)))
    for method in ("linear", "nearest"):
        result = spatial.resample_like(mask, reference, fill=2, method=method)
        assert result.array[-1, -1, -1] == 2
        assert (result.array == 0).any()


def test_a_tilted_stack_becomes_orthogonal_within_its_own_planes():
    tilted = ramp(GRIDS["oblique tilted"])
    result = spatial.to_orthogonal(tilted, fill=-5000)
    assert not result.is_sheared
    assert result.shape[0] == tilted.shape[0]
    assert result.voxel_volume_mm3 == pytest.approx(tilted.voxel_volume_mm3)
    index = tilted.world_to_index(positions(result))
    np.testing.assert_allclose(index[..., 0], np.indices(result.shape)[0], atol=1e-9)
    keep = inner(result, tilted)
    np.testing.assert_allclose(result.array[keep], ramp_at(positions(result))[keep], atol=1e-4)
    corners = result.world_to_index(tilted.index_to_world(list(itertools.product(*[(0, n - 1) for n in tilted.shape]))))
    assert corners.min() > -0.51
    assert (corners < np.array(result.shape) - 0.49).all()
    assert spatial.to_orthogonal(result) is result


def test_history_and_errors():
    volume = ramp(grid())
    step = spatial.resample(volume, spacing_mm=(4.0, 1.0, 1.5)).history[-1]
    assert step.operation == "resample"
    assert step.parameters["method"] == "linear"
    assert step.parameters["sigma_mm"][0] > 1
    assert step.parameters["sigma_mm"][1:] == (0.0, 0.0)
    with pytest.raises(UsageError, match="positive"):
        spatial.resample(volume, spacing_mm=(0.0, 1.0, 1.0))
    with pytest.raises(UsageError, match="linear, nearest"):
        spatial.resample(ball(grid(), (5, 5, 5), 2), spacing_mm=1.0, method="cubic")
    with pytest.raises(UsageError, match="fill"):
        spatial.resample_like(ramp(grid(), dtype=np.uint8), volume, fill=-1)
    with pytest.raises(UnknownSpacingError):
        spatial.resample(replace(volume, spacing=Spacing.UNKNOWN), spacing_mm=1.0)
    with pytest.raises(GeometryError, match="frames"):
        spatial.resample_like(replace(volume, frame=Frame.IMAGE), volume)


def apart(volume: Volume) -> list[Volume]:
    """Return the slices of a volume, each with its own affine."""
    shape = volume.shape
    return [volume.crop((i, 0, 0), (i + 1, *shape[1:])) for i in range(shape[0])]


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_regrid_gives_back_a_regular_stack_from_any_order(affine):
    volume = ramp(affine, dtype=np.int16)
    slices = apart(volume)
    order = np.random.default_rng(1).permutation(len(slices))
    result = spatial.regrid([slices[i] for i in order])
    expected = volume if result.affine[:3, 0] @ affine[:3, 0] > 0 else volume.flip(0)
    np.testing.assert_allclose(result.affine, expected.affine, atol=1e-9)
    np.testing.assert_array_equal(result.array, expected.array)
    assert result.history[-1].parameters["interpolated"] == []


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_regrid_fills_a_gap_and_says_so(affine):
    volume = ramp(affine)
    slices = apart(volume)
    result = spatial.regrid(slices[:3] + slices[5:])
    assert result.shape == volume.shape
    np.testing.assert_allclose(result.array, ramp_at(positions(result)), atol=1e-4)
    said = result.history[-1].parameters
    assert said["slices"] == 10
    assert len(said["interpolated"]) == 2
    np.testing.assert_allclose(result.spacing_mm, volume.spacing_mm, atol=1e-6)


def test_regrid_uses_the_first_of_duplicates():
    slices = apart(ramp(grid(), dtype=np.int16))
    twin = replace(slices[4], array=slices[4].array + 100)
    result = spatial.regrid([*slices, twin])
    np.testing.assert_array_equal(result.array, np.concatenate([s.array for s in slices]))
    assert result.history[-1].parameters["duplicates"] == [12]


def test_regrid_of_two_slice_distances_uses_the_finer():
    volume = ramp(grid((2.5, 1, 1)), (13, 8, 8))
    slices = apart(volume)
    result = spatial.regrid(slices[:6] + slices[6::2])
    assert result.shape == volume.shape
    np.testing.assert_allclose(result.array, volume.array, atol=1e-4)
    assert result.history[-1].parameters["interpolated"] == [7, 9, 11]


def test_regrid_of_unequal_distances_keeps_first_and_last_place():
    random = np.random.default_rng(3)
    slices = apart(ramp(grid((3.0, 1, 1)), (12, 8, 8)))
    jittered = []
    for one in slices:
        moved = one.affine.copy()
        moved[2, 3] += random.uniform(-0.4, 0.4)
        jittered.append(ramp(moved, (1, 8, 8)))
    result = spatial.regrid(jittered)
    np.testing.assert_allclose(result.array, ramp_at(positions(result)), atol=1e-3)
    np.testing.assert_allclose(result.affine[:3, 3], jittered[0].affine[:3, 3], atol=1e-9)
    np.testing.assert_allclose(result.index_to_world((11, 0, 0)), jittered[-1].affine[:3, 3], atol=1e-9)


def test_regrid_leaves_out_other_orientations_and_moves_shifted_slices():
    slices = apart(ramp(grid(), (12, 20, 20)))
    other = ramp(grid(turn=(90, 0, 0)), (1, 20, 20))
    shifted = slices[6].affine.copy()
    shifted[:3, 3] += (0.8, -0.4, 0.0)
    slices[6] = ramp(shifted, (1, 20, 20))
    result = spatial.regrid([*slices, other])
    said = result.history[-1].parameters
    assert said["other_orientation"] == [12]
    assert said["moved_in_plane"] == [6]
    keep = np.ones(result.shape, bool)
    keep[6, :, -1] = keep[6, 0] = keep[6, :, 0] = keep[6, -1] = False
    np.testing.assert_allclose(result.array[keep], ramp_at(positions(result))[keep], atol=1e-4)


def test_regrid_brings_other_pixel_grids_to_the_most_frequent_one():
    slices = apart(ramp(grid((2, 1, 1)), (8, 20, 20)))
    coarse = ramp(slices[3].affine @ np.diag([1, 2.0, 2.0, 1]), (1, 10, 10))
    result = spatial.regrid([*slices[:3], coarse, *slices[4:]])
    assert result.history[-1].parameters["moved_in_plane"] == [3]
    np.testing.assert_allclose(result.array[:, :18, :18], ramp_at(positions(result))[:, :18, :18], atol=1e-4)


def test_regrid_refuses_what_would_be_invented():
    slices = apart(ramp(grid(), (30, 8, 8)))
    with pytest.raises(IrregularGeometryError, match="too much"):
        spatial.regrid([slices[0], slices[1], slices[29]])
    with pytest.raises(IrregularGeometryError, match="no two slices"):
        spatial.regrid([slices[0], slices[0]])
    with pytest.raises(IrregularGeometryError, match="too few"):
        spatial.regrid(slices[:1])
    with pytest.raises(GeometryError, match="slice 1"):
        spatial.regrid([slices[0], ramp(grid(), (2, 8, 8))])
