"""Relations, vessel skeletons and lesion tables: analytic truths at several spacings and orientations."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import euler_number
from skimage.morphology import skeletonize

from vesalius.core import Code, Frame, Mask, Segment, Spacing
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, UnknownSpacingError, UsageError
from vesalius.features.spatial import Word, laterality, lesion_table, position, relation, vessel_tree
from vesalius.features.spatial.thinning import thinned
from vesalius.phantoms import grid_affine

KNOWN = {n: Segment(name, Code(str(n), "99VESALIUS", name), (n, 0, 0)) for n, name in enumerate(("a", "b"), 1)}
SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (1.0, 0.6, 1.4)]
F64 = np.ndarray
AXIAL = grid_affine((5, 6, 7))


def grid(spacing, size_mm=(60.0, 60.0, 60.0), orientation="SPL", rotation=(0.0, 0.0, 0.0)) -> tuple[F64, F64]:
    """Return an affine centred on the origin and the LPS mm of its voxels."""
    shape = tuple(round(s / d) + 1 for s, d in zip(size_mm, spacing, strict=True))
    affine = grid_affine(
        shape, orientation=orientation, spacing_mm=spacing, rotation_deg=rotation, centre_mm=(0.0, 0.0, 0.0)
    )
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return affine, index @ affine[:3, :3].T + affine[:3, 3]


def made(affine: F64, *parts: F64) -> Mask:
    array = np.zeros(parts[0].shape, np.uint8)
    for label, inside in enumerate(parts, 1):
        array[inside] = label
    return Mask(array, affine, segments={label: KNOWN[label] for label in range(1, len(parts) + 1)})


def ball(places: F64, centre, radius: float) -> F64:
    return np.linalg.norm(places - np.asarray(centre), axis=-1) <= radius


def tube(places: F64, line: F64, radius: float) -> F64:
    """Return what is nearer than a radius to a line of points."""
    parts = [np.linspace(start, end, 200 // len(line) + 2) for start, end in pairwise(line)]
    near = cKDTree(np.concatenate(parts)).query(places.reshape(-1, 3), distance_upper_bound=radius)[0]
    return np.isfinite(near).reshape(places.shape[:-1])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("orientation", ["SPL", "RAS", "LIP"])
def test_two_balls(spacing, orientation):
    affine, places = grid(spacing, orientation=orientation)
    centres = np.array([[-12.0, 3.0, -4.0], [14.0, -2.0, 6.0]])
    mask = made(affine, ball(places, centres[0], 7), ball(places, centres[1], 9))
    found = relation(mask, mask, "a", "b")
    apart = float(np.linalg.norm(np.diff(centres, axis=0)))
    assert found.centres_mm == pytest.approx(apart, abs=0.15)
    assert found.gap_mm == pytest.approx(apart - 16, abs=1.5 * max(spacing))
    assert np.linalg.norm(np.subtract(*found.nearest_mm)) == pytest.approx(found.gap_mm)
    assert (found.contact_mm2, found.inside, found.contains, found.touches, found.enclosed) == (0, 0, 0, False, False)


def test_gap_is_that_of_the_boxes():
    random = np.random.default_rng(2)
    for _ in range(20):
        array = np.zeros((9, 10, 11), np.uint8)
        for label in (1, 2):
            array[tuple(random.integers(0, n, 4) for n in array.shape)] = label
        if not {1, 2} <= set(np.unique(array)):
            continue
        spacing = np.array([2.0, 0.5, 1.2])
        mask = Mask(array, np.diag([*spacing, 1.0]), segments=KNOWN)
        apart = np.abs(np.argwhere(array == 1)[:, None] - np.argwhere(array == 2))
        gaps = np.linalg.norm(np.maximum(apart - 1, 0) * spacing, axis=2)
        assert relation(mask, mask, "a", "b").gap_mm == pytest.approx(gaps.min(), abs=1e-9)


def test_contact_containment_and_enclosure():
    array = np.zeros((12, 12, 12), np.uint8)
    array[2:10, 2:10, 2:10] = 1
    array[4:8, 4:8, 4:8] = 2
    mask = Mask(array, np.diag([2.0, 1.0, 0.5, 1.0]), segments=KNOWN)
    core = relation(mask, mask, "b", "a")
    assert core.contact_mm2 == pytest.approx(2 * 16 * (1 * 0.5 + 2 * 0.5 + 2 * 1))
    assert core.enclosed
    assert core.touches
    assert not relation(mask, mask, "a", "b").enclosed
    whole = replace(mask, array=(array > 0).astype(np.uint8))
    inner = relation(mask, whole, "b", "a")
    assert (inner.inside, inner.gap_mm) == (1, 0)
    assert inner.contains == pytest.approx(1 / 8)


def test_relations_refuse_what_they_cannot_tell():
    affine, places = grid((1.0, 1.0, 1.0))
    mask = made(affine, ball(places, (0, 0, 0), 5))
    empty = Mask(mask.array, affine, segments=KNOWN)
    with pytest.raises(ImageContentError, match="volume_ml"):
        relation(empty, empty, "a", "b")
    with pytest.raises(LabelError, match="name the segment"):
        relation(empty, empty)
    with pytest.raises(LabelError, match="no segment has this name"):
        relation(mask, mask, "a", "c")
    with pytest.raises(GeometryError, match="resample_like"):
        relation(mask, mask.crop((0, 0, 0), (20, 60, 60)))
    with pytest.raises(UnknownSpacingError):
        relation(*(replace(mask, spacing=Spacing.UNKNOWN),) * 2)
    with pytest.raises(GeometryError, match="flat picture"):
        laterality(replace(mask, frame=Frame.IMAGE), mask)


@pytest.mark.parametrize("orientation", ["SPL", "RAS", "ILP", "ASR"])
def test_side_and_place_in_the_patients_words(orientation):
    affine, places = grid((2.0, 1.0, 1.0), orientation=orientation, rotation=(8.0, -5.0, 10.0))
    body = made(affine, ball(places, (0, 0, 0), 28))
    at = {
        (15.0, 0.0, 0.0): (Word.LEFT, Word.MIDDLE, Word.MIDDLE),
        (-15.0, 14.0, 0.0): (Word.RIGHT, Word.POSTERIOR, Word.MIDDLE),
        (0.0, -14.0, 14.0): (Word.MIDDLE, Word.ANTERIOR, Word.SUPERIOR),
        (14.0, 12.0, -14.0): (Word.LEFT, Word.POSTERIOR, Word.INFERIOR),
    }
    for centre, words in at.items():
        spot = made(affine, ball(places, centre, 4))
        assert position(spot, body).words == words
        side = laterality(spot, body)
        assert side.side == (words[0] if words[0] is not Word.MIDDLE else Word.BOTH)
        assert side.letter == {Word.LEFT: "L", Word.RIGHT: "R", Word.BOTH: ""}[side.side]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("orientation", ["SPL", "RAS", "PSL"])
def test_diameters_of_an_ellipsoid(spacing, orientation):
    """Axial half-axes 12 and 6 mm turned by 30 degrees, 15 mm along the body: RECIST sees 24 x 12, 3-D 30."""
    affine, places = grid(spacing, orientation=orientation)
    turn = np.deg2rad(30)
    axes = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    inside = (((places @ axes.T) / np.array([12.0, 6.0, 15.0])) ** 2).sum(axis=-1) <= 1
    table = lesion_table(made(affine, inside))
    (lesion,) = table.lesions
    within = 1.6 * max(spacing)
    assert lesion.diameters.longest_mm == pytest.approx(24, abs=within)
    assert lesion.diameters.short_axis_mm == pytest.approx(12, abs=within)
    assert lesion.diameter_3d_mm == pytest.approx(30, abs=within)
    assert lesion.volume_ml == pytest.approx(4 / 3 * math.pi * 12 * 6 * 15 / 1000, rel=0.02)
    np.testing.assert_allclose(lesion.centre_mm, 0, atol=0.2)
    ends = np.array(lesion.diameters.ends_mm)
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(lesion.diameters.longest_mm)
    assert np.ptp(ends[:, 2]) == pytest.approx(0, abs=1e-6)
    assert abs(np.diff(ends, axis=0)[0] @ axes[0]) == pytest.approx(lesion.diameters.longest_mm, rel=0.05)
    assert table.plane_angle_deg == pytest.approx(0, abs=1e-6)


def test_an_oblique_stack_tells_its_angle():
    affine, places = grid((2.0, 1.0, 1.0), rotation=(25.0, 0.0, 0.0))
    assert lesion_table(made(affine, ball(places, (0, 0, 0), 8))).plane_angle_deg == pytest.approx(25, abs=1e-6)


def test_lesions_are_counted_sorted_and_placed():
    affine, places = grid((1.5, 1.0, 1.0))
    spots = {(-15.0, 0.0, 10.0): 3.0, (14.0, 10.0, -12.0): 6.0, (0.0, -12.0, 0.0): 4.0}
    parts = np.logical_or.reduce([ball(places, centre, radius) for centre, radius in spots.items()])
    organ = made(affine, ball(places, (0, 0, 0), 28))
    table = lesion_table(made(affine, parts), "a", reference=organ)
    assert [round(lesion.diameters.longest_mm / 2) for lesion in table] == [6, 4, 3]
    assert table.lesions[0].position is not None
    assert table.lesions[0].position.words == (Word.LEFT, Word.POSTERIOR, Word.INFERIOR)
    assert table.volume_ml == pytest.approx(made(affine, parts).volume_ml("a"))
    assert len(lesion_table(made(affine, parts), smallest_ml=0.2)) == 2
    lines = table.to_csv().splitlines()
    assert lines[0].startswith("segment,number,volume_ml,longest_mm,short_axis_mm,diameter_3d_mm,slice")
    assert lines[1].startswith("a,1,")
    assert lines[1].endswith("left,posterior,inferior")


def test_small_and_empty_lesions():
    array = np.zeros((5, 6, 7), np.uint8)
    assert len(lesion_table(Mask(array, AXIAL, segments={1: KNOWN[1]}))) == 0
    array[2, 3, 4] = 1
    (one,) = lesion_table(Mask(array, grid_affine((5, 6, 7), spacing_mm=(4.0, 2.0, 1.0)), segments={1: KNOWN[1]}))
    assert (one.voxels, one.diameters.slice) == (1, 2)
    assert one.diameters.longest_mm == pytest.approx(2)
    assert one.diameters.short_axis_mm == pytest.approx(1)
    assert one.diameter_3d_mm == pytest.approx(4)
    array[2, 3, 5] = 1
    (two,) = lesion_table(Mask(array, AXIAL, segments={1: KNOWN[1]}))
    assert two.diameters.longest_mm == pytest.approx(2)


def test_a_box_and_its_diagonal():
    array = np.zeros((3, 50, 60), np.uint8)
    array[1, 5:35, 10:50] = 1
    (box,) = lesion_table(Mask(array, AXIAL, segments={1: KNOWN[1]}))
    assert box.diameters.longest_mm == pytest.approx(50, abs=1)
    # The longest chord perpendicular to a diagonal of a box of a x b: from corner to side.
    assert box.diameters.short_axis_mm == pytest.approx(30 * 50 / 40, abs=1)


LINES = {
    "along": np.array([[0.0, 0, -20], [0, 0, 20]]),
    "across": np.array([[-20.0, 0, 0], [20, 0, 0]]),
    "oblique": np.array([[-14.0, -9, -11], [14, 9, 11]]),
}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 0.7), (2.0, 0.8, 0.8), (1.0, 1.0, 2.5)])
@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("radius", [2.5, 4.0])
def test_a_straight_tube(spacing, name, radius):
    affine, places = grid(spacing, size_mm=(54.0, 54.0, 54.0))
    line = LINES[name]
    tree = vessel_tree(made(affine, tube(places, line, radius)))
    (branch,) = tree.branches
    length = float(np.linalg.norm(line[1] - line[0])) + 2 * radius
    assert tree.length_mm == pytest.approx(length, abs=1.6 * max(spacing))
    assert branch.tortuosity == pytest.approx(1, abs=0.02)
    # The largest sphere inside a staircase is smaller than the tube by up to a voxel.
    assert -1.2 * max(spacing) - 0.3 < tree.diameter_mm - 2 * radius < 0.3
    # Round caps make the tube a little emptier than a cylinder of its whole length.
    share = 0.12 if max(spacing) < radius else 0.25
    assert tree.equivalent_diameter_mm == pytest.approx(2 * radius, rel=share)
    assert (len(tree.branch_points_mm), len(tree.end_points_mm), branch.free_ends) == (0, 2, 2)
    ends = line[np.argsort(line[:, 0] + line[:, 2])]
    found = tree.end_points_mm[np.argsort(tree.end_points_mm[:, 0] + tree.end_points_mm[:, 2])]
    assert np.linalg.norm(found - ends, axis=1).max() < radius + max(spacing)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
def test_a_helix_is_tortuous(spacing):
    affine, places = grid(spacing, size_mm=(60.0, 50.0, 50.0))
    turn = np.linspace(0, 4 * np.pi, 160)
    line = np.stack([15 * np.cos(turn), 15 * np.sin(turn), 3.5 * (turn - 2 * np.pi)], axis=1)
    tree = vessel_tree(made(affine, tube(places, line, 2.5)))
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) + 5
    assert tree.length_mm == pytest.approx(length, rel=0.03)
    assert tree.tortuosity == pytest.approx(length / (7 * 2 * np.pi), rel=0.12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
def test_a_ring_is_closed(spacing):
    affine, places = grid(spacing)
    turn = np.linspace(0, 2 * np.pi, 120)
    line = np.stack([20 * np.cos(turn), 20 * np.sin(turn), 0 * turn], axis=1)
    tree = vessel_tree(made(affine, tube(places, line, 3)))
    (ring,) = tree.branches
    assert ring.length_mm == pytest.approx(40 * np.pi, rel=0.03)
    assert (ring.chord_mm, ring.free_ends, len(tree.end_points_mm)) == (0, 0, 0)
    assert math.isnan(ring.tortuosity)
    assert math.isnan(tree.tortuosity)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.6, 0.8, 0.8)])
def test_a_fork_has_one_branch_point_and_three_branches(spacing):
    affine, places = grid(spacing)
    arms = [np.array([[0.0, 0, 0], end]) for end in ([0.0, 0, -22], [16.0, 0, 16], [-16.0, 0, 16])]
    radii = (3.5, 2.5, 2.5)
    inside = np.logical_or.reduce([tube(places, arm, r) for arm, r in zip(arms, radii, strict=True)])
    tree = vessel_tree(made(affine, inside))
    assert (len(tree.branches), len(tree.branch_points_mm), len(tree.end_points_mm)) == (3, 1, 3)
    assert np.linalg.norm(tree.branch_points_mm[0]) < 3.5
    expected = 22 + 3.5 + 2 * (16 * math.sqrt(2) + 2.5)
    assert tree.length_mm == pytest.approx(expected, rel=0.06)
    trunk = max(tree.branches, key=lambda branch: branch.diameter_mm)
    assert abs(trunk.path_mm[:, 0]).max() < 2


def test_bumps_of_the_wall_are_no_branches():
    affine, places = grid((1.0, 1.0, 1.0))
    rough = tube(places, LINES["along"], 4)
    bump = ball(places, (4.5, 0, 0), 2)
    assert len(vessel_tree(made(affine, rough | bump)).branches) == 1


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_flat_vessel_has_its_width(width):
    array = np.zeros((1, 40, 80), np.uint8)
    array[0, 15 : 15 + width, 10:70] = 1
    for affine in (np.diag([5.0, 0.5, 0.5, 1.0]), np.diag([5.0, 0.5, 0.25, 1.0])):
        tree = vessel_tree(Mask(array, affine, segments={1: KNOWN[1]}))
        assert tree.diameter_mm == pytest.approx(0.5 * width, abs=0.15)
        assert tree.length_mm == pytest.approx(60 * affine[2, 2], abs=0.6)
        assert len(tree.branches) == 1


def test_bad_vessels_name_the_fix():
    affine, places = grid((1.0, 1.0, 1.0))
    mask = made(affine, tube(places, LINES["along"], 3))
    sheared = affine.copy()
    sheared[1, 0] += 0.3
    with pytest.raises(GeometryError, match="resample"):
        vessel_tree(replace(mask, affine=sheared))
    with pytest.raises(UnknownSpacingError, match="calibrated"):
        vessel_tree(replace(mask, spacing=Spacing.UNKNOWN))
    with pytest.raises(ImageContentError, match="no voxel"):
        vessel_tree(replace(mask, array=np.zeros_like(mask.array)))
    with pytest.raises(UsageError, match="prune"):
        vessel_tree(mask, prune=-1)
    single = np.zeros((5, 5, 5), np.uint8)
    single[2, 2, 2] = 1
    point = vessel_tree(Mask(single, np.eye(4), segments={1: KNOWN[1]}))
    assert point.length_mm == 0


def test_thinning_keeps_parts_and_holes():
    random = np.random.default_rng(0)
    for _ in range(3):
        inside = ndimage.gaussian_filter(random.standard_normal((40, 40, 40)), 2.5) > 0.02
        lines = thinned(inside)
        assert not (lines & ~inside).any()
        assert lines.sum() < inside.sum() / 10
        for connectivity in (3,):
            assert euler_number(lines, connectivity) == euler_number(inside, connectivity)
        every = np.ones((3, 3, 3))
        labels, count = ndimage.label(inside, every)
        assert ndimage.label(lines, every)[1] == count
        assert set(np.unique(labels[lines])) == set(range(1, count + 1))


@pytest.mark.parametrize("shape", [(2, 2, 40), (2, 4, 40), (4, 4, 40), (3, 3, 40), (1, 2, 40)])
def test_thinning_keeps_bars_of_even_width(shape):
    bar = np.pad(np.ones(shape, bool), 4)
    assert 34 <= thinned(bar).sum() <= 40
    if shape == (2, 2, 40):
        # Why 3-D thinning is done here: when this begins to fail, scikit-image's method may be enough.
        assert not skeletonize(bar).any()
