"""The guard: what the header and the voxels tell, what the limits say, and a head with and without its orientation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Code, Frame, Mask, Segment, Spacing, Volume
from vesalius.phantoms import heads
from vesalius.segment.head_guard import (
    HeadEvidence,
    array_objections,
    head_objections,
    measure_head,
    neighbour_correlation,
    rotations,
)

SHAPE = (60, 70, 64)


def affine(spacing: float = 3.0) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = spacing
    matrix[3, 3] = 1
    return matrix


def smooth(spacing: float = 3.0, shape: tuple[int, int, int] = SHAPE) -> Volume:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    array = 500 * np.exp(-2 * radius**2) + np.random.default_rng(0).normal(0, 3, shape)
    return Volume(array.astype(np.float32), affine(spacing), modality="MR")


def ids(volume: Volume) -> list[str]:
    return [message.id for message in array_objections(volume)]


def test_nothing_speaks_against_a_smooth_image() -> None:
    assert ids(smooth()) == []


@pytest.mark.parametrize(
    ("expected", "array"),
    [
        ("guard.all_zero", np.zeros(SHAPE, np.float32)),
        ("guard.constant", np.full(SHAPE, 7.0, np.float32)),
        ("guard.not_finite", np.full(SHAPE, np.nan, np.float32)),
        ("guard.noise", np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)),
        ("guard.hounsfield", np.where(smooth().array > 200, 40, -1000).astype(np.float32) + smooth().array / 100),
        ("guard.label_map", (smooth().array // 100).astype(np.int16)),
    ],
)
def test_voxels_that_are_no_image(expected: str, array: np.ndarray) -> None:
    assert ids(replace(smooth(), array=array)) == [expected]


def test_a_map_of_many_labels_is_no_image() -> None:
    blocks = np.kron(np.random.default_rng(0).integers(1, 200, (10, 10, 8)), np.ones((6, 7, 8)))
    assert ids(replace(smooth(), array=blocks.astype(np.int16))) == ["guard.label_map"]


def test_grids_that_hold_no_head() -> None:
    assert ids(smooth(1.0)) == ["guard.field_of_view"]
    assert ids(smooth(4.0)) == ["guard.spacing"]
    assert ids(replace(smooth(), spacing=Spacing.UNKNOWN)) == ["guard.spacing_unknown"]
    assert ids(replace(smooth(), frame=Frame.IMAGE)) == ["guard.spacing_unknown"]
    assert ids(replace(smooth(), modality="CT")) == ["guard.modality"]


def test_a_fourth_axis_is_refused_whatever_it_counts() -> None:
    array = np.repeat(smooth().array[..., None], 3, axis=3)
    volume = Volume(array, affine(), axis=Axis(AxisKind.TIME, (0.0, 2.0, 4.0), "s"))
    message = array_objections(volume)[0]
    assert message.id == "guard.four_dimensional"
    assert message.parameters == {"kind": "time", "count": 3}


def test_a_few_lost_voxels_are_no_objection() -> None:
    array = smooth().array.copy()
    array[:5] = np.nan
    assert ids(replace(smooth(), array=array)) == []


def test_a_constant_background_other_than_zero_is_no_label_map() -> None:
    volume = smooth()
    array = np.where(volume.array > 100, volume.array, 0)
    assert ids(replace(volume, array=((array - array.mean()) / array.std()).astype(np.float32))) == []


def test_neighbour_correlation_is_one_for_a_ramp_and_none_for_noise() -> None:
    ramp = np.broadcast_to(np.arange(40.0)[None, :, None], (30, 40, 36))
    assert neighbour_correlation(ramp) == pytest.approx(1.0)
    assert abs(neighbour_correlation(np.random.default_rng(0).normal(size=(30, 40, 36)))) < 0.05


GOOD = HeadEvidence(np.eye(4), 0.75, 1.0, 1.0, 1.05, 8.0, -0.2, (60.0, 100.0, 25.0), 3.5, 2.5)


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        (None, {}),
        ("guard.orientation", {"turned_gain": 0.1}),
        ("guard.orientation", {"turn_deg": 60.0}),
        ("guard.not_a_head", {"fit": 0.2}),
        ("guard.not_a_head", {"zoom": 0.5}),
        ("guard.not_a_head", {"stretch": 1.8}),
        ("guard.coverage", {"coverage": 0.6}),
        ("guard.grey_brighter", {"white_grey": -2.0, "brightness": (120.0, 100.0, 30.0)}),
        ("guard.fluid_brighter", {"grey_fluid": -2.0, "brightness": (60.0, 100.0, 130.0)}),
        ("guard.contrast_too_low", {"white_grey": 0.1}),
        ("guard.tissue_map", {"brightness": (10.0, 100.0, 1.0)}),
    ],
)
def test_limits(expected: str | None, change: dict[str, object]) -> None:
    found = head_objections(replace(GOOD, **change))
    assert [m.id for m in found] == ([expected] if expected else [])


def test_the_24_turns_of_a_cube() -> None:
    turns = rotations()
    assert len({tuple(t.ravel()) for t in turns}) == 24
    assert all(np.linalg.det(t) == pytest.approx(1.0) for t in turns)
    np.testing.assert_array_equal(turns[0], np.eye(3))


@pytest.fixture(scope="module")
def labels(data_root: Path) -> Mask:
    from vesalius import io

    with io.scan(data_root / "synthseg_label_maps" / "training_seg_02.nii.gz") as found:
        volume = io.load(found.studies[0].series[0])
    array = volume.array[::3, ::3, ::3].astype(np.int16)
    matrix = volume.affine.copy()
    matrix[:3, :3] *= 3
    segments = {int(v): Segment(str(v), Code(str(v), "99V", str(v)), (0, 0, 0)) for v in np.unique(array) if v}
    return Mask(array, matrix, segments=segments)


@pytest.mark.slow
def test_a_head_passes_and_its_inversion_does_not(labels: Mask) -> None:
    image = heads.simulate_head(labels).image
    evidence = measure_head(image)
    assert head_objections(evidence) == ()
    assert evidence.brightness[2] < evidence.brightness[0] < evidence.brightness[1]
    brain = image.array > 0.1 * image.array.max()
    inverted = replace(image, array=np.where(brain, 1.3 * np.percentile(image.array, 99) - image.array, 0))
    assert [m.id for m in head_objections(measure_head(inverted))] == ["guard.grey_brighter"]


@pytest.mark.slow
def test_a_head_that_lost_its_orientation_is_found(labels: Mask) -> None:
    turned = heads.simulate_head(labels).image.reorient("ALI")
    flat = affine(3.0)
    flat[:3, 3] = -flat[:3, :3] @ ((np.array(turned.shape) - 1) / 2)
    evidence = measure_head(replace(turned, affine=flat))
    assert evidence.turned_gain > 0.05
    assert [m.id for m in head_objections(evidence)] == ["guard.orientation"]
