"""Segmentation metrics: analytic truths, other packages' numbers, empty masks, bad input."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bodies import ORGAN, ball, mask, two_bodies
from scipy import ndimage
from skimage.metrics import hausdorff_distance

from vesalius.core import Code, Mask, Segment, Spacing
from vesalius.core.errors import GeometryError, LabelError, UnknownNameError, UnknownSpacingError, UsageError
from vesalius.evaluate import metrics
from vesalius.evaluate.metrics import METRICS, Options, Pair, State, compare
from vesalius.evaluate.metrics.surface import distances

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.9), (0.5, 0.5, 2.0)]
ROOT = Path(__file__).resolve().parents[2]


# Written down from surface-distance 0.1 and MedPy 0.5.2 on `two_bodies`, prediction first.
DEEPMIND = {
    (1.0, 1.0, 1.0): {"hd": 8.774964387392123, "hd95": 6.0, "surface_dice": 0.8735507281798575},
    (3.0, 0.7, 0.9): {"hd": 11.871815362445627, "hd95": 6.847627326307996, "surface_dice": 0.7984822862284088},
}
DEEPMIND_MEANS = {
    (1.0, 1.0, 1.0): ((0.6858544429646395, 785.4982436221069), (1.2253537038555726, 873.4637036655708)),
    (3.0, 0.7, 0.9): ((0.6903541391066894, 1359.4521525220252), (1.379321103910239, 1525.2700275895104)),
}
DEEPMIND_FLAT = {(1.0, 1.0): (2.0, 0.6966991411008935), (0.7, 0.9): (1.8, 0.6991189937192792)}
MEDPY = {
    (1.0, 1.0, 1.0): {"hd": 8.774964387392123, "hd95": 2.23606797749979, "assd": 1.1848239322717289},
    (3.0, 0.7, 0.9): {"hd": 11.871815362445627, "hd95": 3.1668631621995535, "assd": 1.3692200348530204},
}


@pytest.mark.parametrize("spacing", DEEPMIND)
def test_deepmind_definition_is_the_packages_own(spacing):
    one, two = (mask(inside, spacing) for inside in two_bodies())
    table = compare(one, two, options=Options(tolerance_mm=1.5))
    for name, value in DEEPMIND[spacing].items():
        assert table["organ", name] == pytest.approx(value, rel=1e-12)
    (to_prediction, area), (to_reference, other) = DEEPMIND_MEANS[spacing]
    assert table["organ", "masd"] == pytest.approx((to_prediction + to_reference) / 2, rel=1e-12)
    pooled = (to_prediction * area + to_reference * other) / (area + other)
    assert table["organ", "assd"] == pytest.approx(pooled, rel=1e-12)


@pytest.mark.parametrize("spacing", DEEPMIND_FLAT)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_deepmind_definition_of_a_slice(spacing, axis):
    flat = [np.expand_dims(inside[10], axis) for inside in two_bodies()]
    one, two = (mask(inside, np.insert(spacing, axis, 5.0)) for inside in flat)
    hd95, share = DEEPMIND_FLAT[spacing]
    assert metrics.hd95(one, two) == pytest.approx(hd95, rel=1e-12)
    assert metrics.surface_dice(one, two, tolerance_mm=1.0) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("spacing", MEDPY)
def test_medpy_definition_is_the_packages_own(spacing):
    one, two = (mask(inside, spacing) for inside in two_bodies())
    for definition in ("medpy", "pooled"):
        table = compare(one, two, metrics=list(MEDPY[spacing]), options=Options(definition))
        for name, value in MEDPY[spacing].items():
            assert table["organ", name] == pytest.approx(value, rel=1e-12)


def directed(inside: np.ndarray, other: np.ndarray, spacing) -> np.ndarray:
    """Return MONAI's surface distances: edges by erosion, distance transform of the other's edges."""
    edges = [part ^ ndimage.binary_erosion(part) for part in (inside, other)]
    return ndimage.distance_transform_edt(~edges[1], sampling=spacing)[edges[0]]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_monai_definition_is_its_formula(spacing):
    inside = two_bodies()
    one, two = (mask(part, spacing) for part in inside)
    there, back = directed(*inside, spacing), directed(*inside[::-1], spacing)
    found = compare(one, two, options=Options("monai", tolerance_mm=1.5))
    assert found["organ", "hd"] == pytest.approx(max(there.max(), back.max()))
    assert found["organ", "hd95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found["organ", "assd"] == pytest.approx(np.concatenate([there, back]).mean())
    near = (there <= 1.5).sum() + (back <= 1.5).sum()
    assert found["organ", "surface_dice"] == pytest.approx(near / (there.size + back.size))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_simpleitk_agrees(spacing):
    inside = two_bodies()
    images = [sitk.GetImageFromArray(part.astype(np.uint8)) for part in inside]
    for image in images:
        image.SetSpacing(spacing[::-1])
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    table = compare(*(mask(part, spacing) for part in inside), options=Options("monai"))
    assert table["organ", "dice"] == pytest.approx(overlap.GetDiceCoefficient(1))
    assert table["organ", "iou"] == pytest.approx(overlap.GetJaccardCoefficient(1))
    assert table["organ", "sensitivity"] == pytest.approx(1 - overlap.GetFalseNegativeError(1))
    assert table["organ", "precision"] == pytest.approx(1 - overlap.GetFalseDiscoveryRate(1))
    assert table["organ", "hd"] == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-6)


def test_scikit_image_agrees():
    inside = two_bodies()
    one, two = (mask(part) for part in inside)
    assert metrics.hd(one, two, definition="monai") == pytest.approx(hausdorff_distance(*inside))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [(2, 0, 0), (0, 3, 0), (0, 0, 5)])
def test_a_shifted_box(spacing, steps):
    box = np.zeros((20, 24, 28), bool)
    box[5:13, 6:16, 7:19] = True
    one, two = mask(np.roll(box, steps, (0, 1, 2)), spacing), mask(box, spacing)
    way = float(np.abs(np.multiply(steps, spacing)).sum())
    share = 1 - max(s / n for s, n in zip(steps, (8, 10, 12), strict=True))
    for definition in ("deepmind", "monai", "pooled"):
        assert metrics.hd(one, two, definition=definition) == pytest.approx(way)
    assert metrics.dice(one, two) == pytest.approx(share)
    assert metrics.iou(one, two) == pytest.approx(share / (2 - share))
    assert metrics.surface_dice(one, two, tolerance_mm=way) == 1
    assert metrics.volume_error_ml(one, two) == 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8), (0.8, 1.6, 1.0)])
@pytest.mark.parametrize("definition", ["deepmind", "monai", "pooled"])
def test_concentric_balls(spacing, definition):
    large, small = mask(ball(14, spacing), spacing), mask(ball(10, spacing), spacing)
    within = max(spacing)
    for name in ("hd", "hd95", "assd", "masd"):
        assert getattr(metrics, name)(large, small, definition=definition) == pytest.approx(4, abs=within)
    volume = 4 / 3 * math.pi * (14**3 - 10**3) / 1000
    assert metrics.volume_error_ml(large, small) == pytest.approx(volume, rel=0.02)
    assert metrics.volume_error(large, small) == pytest.approx(1.4**3 - 1, rel=0.02)
    assert metrics.sensitivity(large, small) == 1
    assert metrics.precision(large, small) == pytest.approx(1 / 1.4**3, rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_surface_elements_add_up_to_the_surface(spacing):
    box = np.zeros((44, 64, 54), bool)
    box[2:42, 2:62, 2:52] = True
    found = distances(Pair.of(mask(box, spacing), mask(box, spacing)))
    a, b, c = np.multiply((40, 60, 50), spacing)
    assert found.reference_weights.sum() == pytest.approx(2 * (a * b + a * c + b * c), rel=0.03)
    assert not found.from_reference.any()
    round_one = mask(ball(15, spacing), spacing)
    area = distances(Pair.of(round_one, round_one)).reference_weights.sum()
    # Steps between thick slices have more surface than the ball, in this definition as in its package.
    assert 1 < area / (4 * math.pi * 15**2) < (1.1 if max(spacing) == min(spacing) else 1.25)


def test_turning_the_grid_changes_nothing():
    one, two = two_bodies()
    affine = np.diag([3.0, 0.7, 0.9, 1.0])
    tables = [
        [score.value for score in compare(a, b, options=Options(tolerance_mm=1.0, width_mm=2.0))]
        for a, b in (
            (mask(one, affine=affine), mask(two, affine=affine)),
            (mask(one, affine=affine).reorient("RAS"), mask(two, affine=affine).reorient("RAS")),
        )
    ]
    np.testing.assert_allclose(*tables, rtol=1e-9)


def test_a_sheared_grid_is_exact():
    affine = np.diag([3.0, 0.7, 0.9, 1.0])
    affine[1, 0] = 1.3
    z, y, x = np.indices((24, 60, 50))
    place = np.stack([z, y, x], -1) @ affine[:3, :3].T
    centre = np.array([34.0, 36.0, 22.0])
    one, two = (mask(np.linalg.norm(place - centre, axis=-1) <= r, affine=affine) for r in (14.0, 10.0))
    assert metrics.hd95(one, two) == pytest.approx(4, abs=1.5)
    box = np.zeros((44, 64, 54), bool)
    box[2:42, 2:62, 2:52] = True
    edges = affine[:3, :3] * (40, 60, 50)
    faces = sum(2 * np.linalg.norm(np.cross(edges[:, i], edges[:, j])) for i, j in ((0, 1), (0, 2), (1, 2)))
    slanted = mask(box, affine=affine)
    assert distances(Pair.of(slanted, slanted)).reference_weights.sum() == pytest.approx(faces, rel=0.03)
    with pytest.raises(GeometryError, match="resample"):
        metrics.boundary_iou(one, two, width_mm=2)


def test_far_and_near_distances_are_the_brute_force_ones():
    random = np.random.default_rng(4)
    for shape in ((30, 20, 25), (1, 40, 30)):
        parts = np.zeros((2, *shape), bool)
        parts[0][tuple(random.integers(0, n, 12) for n in shape)] = True
        parts[1][tuple(random.integers(0, n, 9) for n in shape)] = True
        spacing = np.array([2.0, 0.6, 1.1])
        places = [np.argwhere(part) * spacing for part in parts]
        apart = np.linalg.norm(places[0][:, None] - places[1], axis=2)
        one, two = (mask(part, spacing) for part in parts)
        found = distances(Pair.of(one, two), "monai")
        np.testing.assert_allclose(np.sort(found.from_prediction), np.sort(apart.min(axis=1)))
        np.testing.assert_allclose(np.sort(found.from_reference), np.sort(apart.min(axis=0)))


def test_boundary_iou_of_boxes():
    box = np.zeros((1, 20, 20), bool)
    box[0, 2:14, 2:14] = True
    shifted = np.roll(box, 2, axis=2)
    rims = [part & ~ndimage.binary_erosion(part[0])[None] for part in (box, shifted)]
    expected = (rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum()
    assert metrics.boundary_iou(mask(shifted), mask(box), width_mm=1) == pytest.approx(expected)
    assert metrics.boundary_iou(mask(box), mask(box), width_mm=1) == 1
    wide = metrics.boundary_iou(mask(shifted), mask(box), width_mm=50)
    assert wide == pytest.approx(metrics.iou(mask(shifted), mask(box)))


def test_centreline_dice_sees_a_broken_vessel():
    tube = np.zeros((9, 9, 60), bool)
    tube[3:6, 3:6, 5:55] = True
    thick = ndimage.binary_dilation(tube)
    broken = tube.copy()
    broken[:, :, 20:40] = False
    assert metrics.centreline_dice(mask(thick), mask(tube)) == 1
    assert metrics.dice(mask(thick), mask(tube)) < 0.7
    assert metrics.centreline_dice(mask(broken), mask(tube)) == pytest.approx(0.75, abs=0.06)
    assert metrics.centreline_dice(mask(np.roll(tube, 4, 0)), mask(tube)) == 0


NAN, INF = math.nan, math.inf
EMPTY = {
    "dice": (0, 0, NAN),
    "iou": (0, 0, NAN),
    "sensitivity": (0, NAN, NAN),
    "precision": (NAN, 0, NAN),
    "volume_error": (-1, INF, NAN),
    "volume_error_ml": (-0.216, 0.216, 0),
    "surface_dice": (0, 0, NAN),
    "hd": (INF, INF, NAN),
    "hd95": (INF, INF, NAN),
    "assd": (INF, INF, NAN),
    "masd": (INF, INF, NAN),
    "boundary_iou": (0, 0, NAN),
    "centreline_dice": (0, 0, NAN),
}


def test_empty_masks_give_what_the_table_says():
    body, nothing = np.zeros((2, 12, 12, 12), bool)
    body[3:9, 3:9, 3:9] = True
    cases = {State.NO_PREDICTION: (nothing, body), State.NO_REFERENCE: (body, nothing), State.NEITHER: (nothing,) * 2}
    assert set(EMPTY) == set(METRICS)
    for number, (state, parts) in enumerate(cases.items()):
        table = compare(*map(mask, parts), metrics=list(EMPTY), options=Options("monai", 1.0, 1.0))
        for score in table:
            assert score.state is state
            np.testing.assert_equal(score.value, float(EMPTY[score.metric][number]), score.metric)


def test_the_documented_table_of_empty_masks_is_this_one():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    words = {"0": 0.0, "-1": -1.0, "not defined": NAN, "infinite": INF}
    for name, values in EMPTY.items():
        row = re.search(rf"^\| `{name}` \|(.*)\|$", page, re.MULTILINE)
        assert row, name
        told = [cell.strip() for cell in row.group(1).split("|")][-3:]
        if name == "volume_error_ml":
            assert told == ["minus the reference", "the prediction", "0"]
            continue
        np.testing.assert_equal([words[word] for word in told], [float(value) for value in values], name)


def test_single_voxels():
    one, two = np.zeros((2, 9, 9, 9), bool)
    one[2, 2, 2] = two[5, 6, 2] = True
    for definition in ("deepmind", "monai", "medpy"):
        assert metrics.hd95(mask(one), mask(two), definition=definition) == pytest.approx(5)
    assert metrics.dice(mask(one), mask(one)) == 1
    assert metrics.hd95(mask(one), mask(one)) == 0


def test_segments_are_matched_by_name_then_by_code():
    left = Segment("left", Code("7771000", "SCT", "Left"), (1, 1, 1))
    right = Segment("right", Code("24028007", "SCT", "Right"), (2, 2, 2))
    array = np.zeros((4, 6, 8), np.uint8)
    array[1:3, 1:4, 1:3], array[1:3, 1:4, 5:7] = 1, 2
    reference = Mask(array, np.eye(4), segments={1: left, 2: right})
    swapped = Mask(np.array([0, 2, 1], np.uint8)[array], np.eye(4), segments={2: left, 1: right})
    renamed = replace(swapped, segments={2: replace(left, name="LT"), 1: replace(right, name="RT")})
    for other in (swapped, renamed):
        table = compare(other, reference)
        assert table["left", "dice"] == table["right", "dice"] == 1
        assert {score.segment: score.label for score in table} == {"left": 1, "right": 2}
    assert metrics.dice(swapped, reference, 1) == 0
    stranger = replace(swapped, segments={2: ORGAN, 1: right})
    with pytest.raises(LabelError, match="does not know"):
        compare(stranger, reference)
    with pytest.raises(LabelError, match="name the segment"):
        metrics.dice(reference, reference)


def test_the_table_is_typed_and_goes_to_csv():
    one, two = (mask(part) for part in two_bodies())
    table = compare(one, two, metrics=["dice", "hd95"])
    assert [score.metric for score in table] == ["dice", "hd95"]
    lines = table.to_csv().splitlines()
    assert lines[0] == "segment,label,metric,value,unit,definition,state"
    assert lines[2] == "organ,1,hd95,6.0,mm,deepmind,both"
    empty = mask(np.zeros((2, 2, 2), bool))
    assert compare(empty, empty, metrics=["dice"]).to_csv().splitlines()[1] == "organ,1,dice,,1,,both_empty"
    with pytest.raises(UnknownNameError):
        table["organ", "iou"]


def test_bad_input_names_the_fix():
    one, two = (mask(part) for part in two_bodies())
    with pytest.raises(GeometryError, match="resample_like"):
        metrics.dice(one, mask(two.array[1:]))
    with pytest.raises(GeometryError, match="resample_like"):
        metrics.dice(one, mask(two.array, (1.0, 1.0, 1.1)))
    with pytest.raises(LabelError, match="no segment has this name"):
        metrics.dice(one, two, "liver")
    with pytest.raises(LabelError, match="does not know"):
        metrics.dice(one, two, 7)
    unknown = [replace(part, spacing=Spacing.UNKNOWN) for part in (one, two)]
    assert metrics.dice(*unknown) > 0.7
    for name in ("hd95", "volume_error_ml"):
        with pytest.raises(UnknownSpacingError, match="calibrated"):
            getattr(metrics, name)(*unknown)
    with pytest.raises(UnknownNameError, match="deepmind"):
        metrics.hd95(one, two, definition="other")
    with pytest.raises(UnknownNameError, match="hd95"):
        compare(one, two, metrics=["hd96"])
    with pytest.raises(UsageError, match="Options"):
        compare(one, two, metrics=["surface_dice"])
    with pytest.raises(UsageError, match="tolerance"):
        metrics.surface_dice(one, two, tolerance_mm=float("nan"))
    with pytest.raises(UsageError, match="MedPy"):
        metrics.surface_dice(one, two, tolerance_mm=1, definition="medpy")
    with pytest.raises(UsageError, match="rim"):
        metrics.boundary_iou(one, two, width_mm=-1)
