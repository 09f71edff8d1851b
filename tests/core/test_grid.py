"""The affine algebra: every voxel keeps its place."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Frame, Mask, Segment, Spacing, Volume
from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, LabelError, UnknownSpacingError, VesaliusError
from vesalius.core.grid import all_orientations

SHAPE = (4, 5, 6)


def oblique(spacing: tuple[float, float, float] = (2.0, 1.0, 0.5)) -> np.ndarray:
    """Return an affine turned by 20 and 10 degrees."""
    a, b = np.deg2rad(20), np.deg2rad(10)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.asarray(spacing)
    affine[:3, 3] = (-30.0, 12.5, 7.0)
    return affine


def counting(affine: np.ndarray | None = None) -> Volume:
    """Return a volume whose voxel values are all different."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(array, oblique() if affine is None else affine, modality="CT")


def places(volume: Volume) -> dict[int, tuple[float, ...]]:
    """Return voxel value -> world position."""
    index = np.argwhere(np.ones(volume.shape, dtype=bool))
    world = volume.index_to_world(index)
    values = volume.array[tuple(index.T)]
    return {int(v): tuple(np.round(w, 6) + 0.0) for v, w in zip(values, world, strict=True)}


def test_there_are_48_orientations() -> None:
    assert len(set(all_orientations())) == 48


@pytest.mark.parametrize("code", all_orientations())
def test_reorient_moves_voxels_and_never_places(code: str) -> None:
    volume = counting()
    turned = volume.reorient(code)
    assert turned.orientation == code
    assert places(turned) == places(volume)
    back = turned.reorient(volume.orientation)
    assert np.array_equal(back.array, volume.array)
    assert np.allclose(back.affine, volume.affine)


def test_crop_pad_flip_keep_places() -> None:
    volume = counting()
    part = volume.crop((1, 0, 2), (3, 5, 6))
    assert places(part).items() <= places(volume).items()
    padded = part.pad((1, 0, 2), (1, 0, 0), value=-1)
    assert padded.same_grid(volume)
    assert places(volume.flip(1)) == places(volume)
    assert [step.operation for step in padded.history] == ["crop", "pad"]


def test_world_and_index_are_inverse() -> None:
    volume = counting()
    points = np.random.default_rng(0).uniform(-5, 5, (7, 3))
    assert np.allclose(volume.world_to_index(volume.index_to_world(points)), points)


def test_shear_keeps_the_exact_voxel_volume() -> None:
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    affine[1, 0] = 2.0 * np.tan(np.deg2rad(15))
    volume = counting(affine)
    assert volume.is_sheared
    assert volume.voxel_volume_mm3 == pytest.approx(2.0)
    assert not counting().is_sheared


def test_unknown_spacing_refuses_millimetres() -> None:
    volume = Volume(np.zeros((1, 2, 2)), np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)
    with pytest.raises(UnknownSpacingError, match="calibrated"):
        _ = volume.spacing_mm
    assert volume.calibrated((1.0, 0.3, 0.3)).spacing_mm == (1.0, 0.3, 0.3)


def test_the_array_is_read_only_and_shared_with_nobody_by_accident() -> None:
    volume = counting()
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 1


def test_fourth_axis_must_match() -> None:
    array = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    rgb = Volume(array, np.eye(4), axis=Axis(AxisKind.RGB, ("red", "green", "blue")))
    assert rgb.element(1).array.shape == (2, 2, 2)
    with pytest.raises(GeometryError, match="fourth"):
        Volume(array, np.eye(4))
    with pytest.raises(GeometryError, match="fourth"):
        Volume(array, np.eye(4), axis=Axis(AxisKind.TIME, (0.0, 1.0), "s"))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1])])
def test_bad_affines_are_named(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Volume(np.zeros((2, 2, 2)), affine)


@pytest.mark.parametrize("code", ["", "LP", "LLS", "XYZ", "LPSR"])
def test_bad_axis_codes_are_explained(code: str) -> None:
    with pytest.raises(GeometryError, match="three letters"):
        counting().reorient(code)


def test_mask_names_every_label() -> None:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1:3, 1:3, 1:3] = 2
    brain = Segment("brain", Code("12738006", "SCT", "Brain"), (230, 159, 0))
    mask = Mask(array, oblique(), segments={2: brain})
    assert mask.volume_ml("brain") == pytest.approx(8 * 1.0 / 1000)
    assert mask.reorient("RAS").volume_ml(2) == pytest.approx(mask.volume_ml("brain"))
    with pytest.raises(LabelError, match="segments"):
        Mask(array, oblique(), segments={1: brain})
    with pytest.raises(LabelError, match="skull"):
        mask.binary("skull")


def test_errors_carry_what_was_found_expected_and_advised() -> None:
    error = VesaliusError("no", found="a", expected="b", fix="c")
    assert error.as_dict() == {"code": "error", "message": "no", "found": "a", "expected": "b", "fix": "c"}
    assert str(error) == "no; found: a; expected: b; fix: c"
