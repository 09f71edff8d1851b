"""Features against shapes with a formula and against plain loops over voxels."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from _radiomics_data import ball, pair
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from vesalius.features.radiomics import (
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Interpolation,
    NoBinning,
    Resegmentation,
    Settings,
    radiomics,
)
from vesalius.features.radiomics.region import PEAK_RADIUS_MM

EVERY = tuple(Aggregation)
MORPHOLOGY = Settings(families=(Family.MORPHOLOGY, Family.ENCLOSING))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (0.7, 0.9, 1.3)])
def test_a_ball_measures_the_same_at_every_spacing(spacing: tuple[float, float, float]) -> None:
    radius = 15.0
    inside = ball(radius, spacing)
    found = radiomics(*pair(np.ones(inside.shape, dtype=np.int16), inside, spacing), settings=MORPHOLOGY)
    volume = 4 / 3 * math.pi * radius**3
    assert found["morph_volume"] == pytest.approx(volume, rel=0.03)
    assert found["morph_vol_approx"] == pytest.approx(volume, rel=0.03)
    # The mesh of a mask has terraces: its area is a little too large, more so with thick slices.
    assert 1.0 < found["morph_area_mesh"] / (4 * math.pi * radius**2) < 1.16
    assert found["morph_diam"] == pytest.approx(2 * radius, abs=2 * max(spacing))
    for axis in ("maj", "min", "least"):
        # The axes of a homogeneous ball of radius r are 4 r / sqrt(5).
        assert found[f"morph_pca_{axis}_axis"] == pytest.approx(4 * radius / math.sqrt(5), rel=0.03)
    assert found["morph_com"] == pytest.approx(0, abs=1e-9)
    assert found["morph_sphericity"] > 0.85
    assert 0.8 < found["morph_vol_dens_mvee"] < 1


def test_a_box_is_exact_up_to_its_bevelled_edges() -> None:
    inside = np.zeros((12, 14, 16), dtype=bool)
    inside[2:10, 2:12, 2:14] = True
    found = radiomics(*pair(np.ones(inside.shape, dtype=np.int16), inside, (2.0, 1.0, 0.5)), settings=MORPHOLOGY)
    assert found["morph_vol_approx"] == 8 * 10 * 12
    assert found["morph_vol_dens_aabb"] == pytest.approx(found["morph_volume"] / (16 * 10 * 6))
    assert found["morph_vol_dens_ombb"] == pytest.approx(found["morph_vol_dens_aabb"])
    assert found["morph_vol_dens_conv_hull"] == pytest.approx(1)
    assert found["morph_diam"] == pytest.approx(math.hypot(16, 9, 6), abs=1.2)


def test_a_turned_box_has_a_tight_oriented_box() -> None:
    z, y, x = np.mgrid[-30:31, -30:31, -30:31]
    angle = 0.5
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    inside = (np.abs(along) <= 20) & (np.abs(across) <= 8) & (np.abs(z) <= 6)
    found = radiomics(*pair(np.ones(inside.shape, dtype=np.int16), inside), settings=MORPHOLOGY)
    assert found["morph_vol_dens_ombb"] > 0.9
    assert found["morph_vol_dens_aabb"] < 0.65


def random_case(seed: int, shape: tuple[int, int, int] = (6, 7, 8)) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    inside = random.random(shape) > 0.35
    inside[0, 0, :2] = True
    return random.integers(1, 6, shape).astype(np.int16), inside


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 1.0, 0.7)])
def test_autocorrelation_is_the_sum_over_all_pairs(spacing: tuple[float, float, float]) -> None:
    image, inside = random_case(1)
    found = radiomics(*pair(image, inside, spacing), settings=Settings(families=(Family.AUTOCORRELATION,)))
    weight = 1 / pdist(np.argwhere(inside) * spacing)
    x = image[inside].astype(float)
    one, other = np.triu_indices(x.size, 1)
    y = x - x.mean()
    moran = x.size * (weight * y[one] * y[other]).sum() / weight.sum() / (y @ y)
    geary = (x.size - 1) * (weight * (x[one] - x[other]) ** 2).sum() / (2 * weight.sum() * (y @ y))
    assert found["morph_moran_i"] == pytest.approx(moran, abs=1e-12)
    assert found["morph_geary_c"] == pytest.approx(geary, abs=1e-12)


def test_autocorrelation_in_single_precision_keeps_five_digits() -> None:
    random = np.random.default_rng(0)
    inside = np.ones((70, 70, 70), dtype=bool)
    image = random.normal(100, 30, inside.shape) + np.arange(70) * 0.5
    large = radiomics(*pair(image, inside), settings=Settings(families=(Family.AUTOCORRELATION,)))
    from vesalius.features.radiomics import autocorrelation, region

    whole = region.region_of(pair(image, inside)[0], inside, Settings())
    limit, autocorrelation._SINGLE = autocorrelation._SINGLE, 1 << 30
    try:
        moran, geary = autocorrelation.moran_and_geary(whole)
    finally:
        autocorrelation._SINGLE = limit
    assert large["morph_moran_i"] == pytest.approx(moran, abs=1e-6)
    assert large["morph_geary_c"] == pytest.approx(geary, abs=1e-6)


@pytest.mark.parametrize("where", ["middle", "border"])
def test_peaks_are_means_in_a_sphere(where: str) -> None:
    random = np.random.default_rng(4)
    spacing = (3.0, 2.0, 2.5)
    image = random.integers(0, 1000, (14, 16, 15)).astype(np.int16)
    inside = np.zeros(image.shape, dtype=bool)
    inside[
        (slice(5, 9), slice(6, 10), slice(5, 9)) if where == "middle" else (slice(0, 3), slice(0, 2), slice(12, 15))
    ] = 1
    found = radiomics(*pair(image, inside, spacing), settings=Settings(families=(Family.LOCAL_INTENSITY,)))
    everywhere = np.argwhere(np.ones(image.shape)) * spacing
    means = {}
    for index in map(tuple, np.argwhere(inside)):
        near = np.linalg.norm(everywhere - np.array(index) * spacing, axis=1) <= PEAK_RADIUS_MM
        means[index] = image.reshape(-1)[near].mean()
    brightest = max(means, key=lambda index: image[index])
    assert found["loc_peak_loc"] == pytest.approx(means[brightest])
    assert found["loc_peak_glob"] == pytest.approx(max(means.values()))


def test_values_outside_the_mask_that_are_not_finite_take_no_part() -> None:
    image, inside = random_case(2)
    plain = image.astype(np.float32)
    spoiled = plain.copy()
    spoiled[~inside] = np.nan
    apart = Settings(families=tuple(f for f in Family if f is not Family.LOCAL_INTENSITY))
    one = radiomics(*pair(plain, inside), settings=apart)
    other = radiomics(*pair(spoiled, inside), settings=apart)
    assert other.values == pytest.approx(one.values, abs=1e-9, nan_ok=True)
    peaks = radiomics(*pair(spoiled, inside), settings=Settings(families=(Family.LOCAL_INTENSITY,)))
    assert 1 <= peaks["loc_peak_glob"] <= 5


def lines_of(image: NDArray[np.int16], inside: NDArray[np.bool_], step: tuple[int, int, int]) -> list[list[int]]:
    """Return the levels along every line, 0 outside the mask."""
    result = []
    shape = image.shape
    for start in np.ndindex(shape):
        if all(0 <= a - b < n for a, b, n in zip(start, step, shape, strict=True)):
            continue
        line, at = [], start
        while all(0 <= a < n for a, n in zip(at, shape, strict=True)):
            line.append(int(image[at]) if inside[at] else 0)
            at = tuple(a + b for a, b in zip(at, step, strict=True))
        result.append(line)
    return result


STEPS = [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]


def test_runs_are_those_of_a_walk_along_every_line() -> None:
    image, inside = random_case(3)
    settings = Settings(families=(Family.RUN_LENGTH,), discretisation=NoBinning())
    found = radiomics(*pair(image, inside), settings=settings)
    short = []
    for step in STEPS:
        runs = [
            (level, len(list(run))) for line in lines_of(image, inside, step) for level, run in itertools.groupby(line)
        ]
        lengths = np.array([length for level, length in runs if level])
        short.append((1 / lengths**2).mean())
    assert found["rlm_sre_3D_avg"] == pytest.approx(np.mean(short))


def test_runs_and_zones_do_not_depend_on_the_distance_of_pairs() -> None:
    settings = Settings(families=(Family.RUN_LENGTH, Family.SIZE_ZONE, Family.DISTANCE_ZONE), aggregations=EVERY)
    near = radiomics(*pair(*random_case(9)), settings=settings)
    far = radiomics(*pair(*random_case(9)), settings=replace(settings, distance=2))
    assert far.values == pytest.approx(near.values)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_long_and_short_runs_take_two_ways_to_one_answer(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.features.radiomics import runs

    image, inside = random_case(5, (5, 9, 11))
    image[np.random.default_rng(0).random(image.shape) < share] = 3
    settings = Settings(families=(Family.RUN_LENGTH,), aggregations=EVERY, discretisation=NoBinning())
    answers = []
    for limit, together in ((0.0, 1 << 17), (2.0, 1 << 17), (2.0, 1)):
        monkeypatch.setattr(runs, "_LONG", limit)
        monkeypatch.setattr(runs, "_TOGETHER", together)
        answers.append(radiomics(*pair(image, inside), settings=settings).values)
    assert answers[1] == pytest.approx(answers[0], rel=1e-12)
    assert answers[2] == pytest.approx(answers[0], rel=1e-12)


@pytest.mark.parametrize("distance", [1, 2])
def test_cooccurrence_counts_every_pair_once_each_way(distance: int) -> None:
    image, inside = random_case(6)
    settings = Settings(
        families=(Family.COOCCURRENCE,),
        aggregations=(Aggregation.VOLUME_MERGED,),
        discretisation=NoBinning(),
        distance=distance,
    )
    found = radiomics(*pair(image, inside), settings=settings)
    matrix = np.zeros((6, 6))
    for at in map(tuple, np.argwhere(inside)):
        for step in STEPS:
            to = tuple(a + distance * b for a, b in zip(at, step, strict=True))
            if all(0 <= a < n for a, n in zip(to, image.shape, strict=True)) and inside[to]:
                matrix[image[at], image[to]] += 1
                matrix[image[to], image[at]] += 1
    p = matrix / matrix.sum()
    i, j = np.indices(p.shape)
    assert found["cm_contrast_3D_comb"] == pytest.approx(((i - j) ** 2 * p).sum())
    assert found["cm_energy_3D_comb"] == pytest.approx((p**2).sum())
    mean = (i * p).sum()
    assert found["cm_corr_3D_comb"] == pytest.approx(((i - mean) * (j - mean) * p).sum() / ((i - mean) ** 2 * p).sum())
    assert found["cm_clust_prom_3D_comb"] == pytest.approx(((i + j - 2 * mean) ** 4 * p).sum())
    cross = -(p[p > 0] * np.log2((p.sum(0)[i] * p.sum(1)[j])[p > 0])).sum()
    joint, alone = -(p[p > 0] * np.log2(p[p > 0])).sum(), p.sum(0)[p.sum(0) > 0]
    assert found["cm_info_corr1_3D_comb"] == pytest.approx((joint - cross) / -(alone * np.log2(alone)).sum())


@pytest.mark.parametrize(("distance", "coarseness"), [(1, 0), (1, 1), (2, 1)])
def test_dependence_counts_similar_neighbours(distance: int, coarseness: int) -> None:
    image, inside = random_case(7)
    settings = Settings(
        families=(Family.DEPENDENCE, Family.TONE_DIFFERENCE),
        aggregations=(Aggregation.VOLUME_MERGED,),
        discretisation=NoBinning(),
        distance=distance,
        coarseness=coarseness,
    )
    found = radiomics(*pair(image, inside), settings=settings)
    counts, differences = [], []
    span = range(-distance, distance + 1)
    for at in map(tuple, np.argwhere(inside)):
        places = [tuple(np.add(at, s)) for s in itertools.product(span, repeat=3) if any(s)]
        near = [image[p] for p in places if all(0 <= a < n for a, n in zip(p, image.shape, strict=True)) and inside[p]]
        counts.append(1 + sum(abs(int(v) - int(image[at])) <= coarseness for v in near))
        if near:
            differences.append((int(image[at]), abs(float(image[at]) - float(np.mean(near)))))
    assert found["ngl_hde_3D"] == pytest.approx(np.mean(np.square(counts)))
    levels = np.array([level for level, _ in differences])
    sums = {level: sum(d for own, d in differences if own == level) for level in set(levels.tolist())}
    weighted = sum((levels == level).mean() * total for level, total in sums.items())
    assert found["ngt_coarseness_3D"] == pytest.approx(1 / weighted)


def test_zones_know_their_distance_to_the_drawn_border() -> None:
    inside = np.ones((7, 7, 7), dtype=bool)
    image = np.full(inside.shape, 2, dtype=np.int16)
    image[3, 3, 3] = 1
    image[1, 1, 1] = 900
    settings = Settings(
        families=(Family.DISTANCE_ZONE, Family.SIZE_ZONE),
        aggregations=(Aggregation.VOLUME_MERGED,),
        discretisation=NoBinning(),
        resegmentation=Resegmentation(upper=100),
    )
    found = radiomics(*pair(image, inside), settings=settings)
    # Two zones: one voxel at distance 4 and the rest at 1; the voxel left out by its intensity makes no border.
    assert found["dzm_lde_3D"] == pytest.approx((16 + 1) / 2)
    assert found["szm_lze_3D"] == pytest.approx((1 + 341**2) / 2)
    assert found["szm_z_perc_3D"] == pytest.approx(2 / 342)


def test_interpolation_keeps_the_middle_and_the_share_of_the_mask() -> None:
    inside = np.zeros((9, 10, 10), dtype=bool)
    inside[2:7, 2:8, 2:8] = True
    image = np.arange(inside.size, dtype=np.float32).reshape(inside.shape)
    settings = Settings(
        families=(Family.MORPHOLOGY, Family.STATISTICS),
        interpolation=Interpolation((1.0, 1.0, 1.0), image="linear", round_to=1),
    )
    found = radiomics(*pair(image, inside, (2.0, 2.0, 2.0)), settings=settings)
    same = radiomics(*pair(image, inside, (2.0, 2.0, 2.0)), settings=replace(settings, interpolation=None))
    assert found["morph_vol_approx"] == pytest.approx(same["morph_vol_approx"], rel=0.05)
    assert found["stat_mean"] == pytest.approx(same["stat_mean"], rel=1e-6)


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
def test_interpolation_of_a_part_is_that_of_the_whole(method: str) -> None:
    from vesalius.features.radiomics.region import interpolate

    random = np.random.default_rng(8)
    image = random.normal(0, 500, (60, 70, 80))
    inside = np.zeros(image.shape, dtype=bool)
    inside[28:34, 30:38, 35:44] = True
    volume, _ = pair(image, inside, (2.0, 0.9, 0.9))
    how = Interpolation((1.5, 1.2, 1.2), image=method)  # type: ignore[arg-type]
    part, mask = interpolate(volume, inside, how)
    whole, all_of_it = interpolate(volume, inside, how, whole=True)
    start = np.rint(whole.world_to_index(part.index_to_world((0, 0, 0)))).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))
    assert part.array == pytest.approx(whole.array[box], abs=1e-6)
    assert np.array_equal(mask, all_of_it[box])
    assert mask.sum() == all_of_it.sum()


def test_bins() -> None:
    from vesalius.features.radiomics.levels import discretise
    from vesalius.features.radiomics.region import region_of

    image = np.array([[[-510.0, -500.0, -480.0, -475.0, -400.0, 10.0]]] * 2)
    volume, mask = pair(image, np.ones(image.shape))
    families = (Family.HISTOGRAM,)
    free = region_of(volume, mask.array > 0, Settings(families=families))
    kept = region_of(volume, mask.array > 0, Settings(families=families, resegmentation=Resegmentation(-500, 400)))
    assert discretise(free, FixedBinSize(25)).array[0, 0].tolist() == [1, 1, 2, 2, 5, 21]
    assert discretise(free, FixedBinSize(25, origin="zero")).array[0, 0].tolist() == [1, 2, 2, 3, 6, 22]
    assert discretise(kept, FixedBinSize(25)).array[0, 0].tolist() == [0, 1, 1, 2, 5, 21]
    assert discretise(free, FixedBinNumber(4)).array[0, 0].tolist() == [1, 1, 1, 1, 1, 4]


@limits(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(-1000, 1000))
def test_integers_and_floats_of_one_value_agree(seed: int, shift: int) -> None:
    image, inside = random_case(seed, (4, 5, 6))
    whole = image * 37 + shift
    settings = Settings(aggregations=EVERY, discretisation=FixedBinSize(20), volume_histogram=NoBinning())
    one = radiomics(*pair(whole.astype(np.int32), inside), settings=settings)
    other = radiomics(*pair(whole.astype(np.float64), inside), settings=settings)
    assert other.values == pytest.approx(one.values, rel=1e-9, abs=1e-9, nan_ok=True)


@limits(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_mirrored_and_turned_pictures_measure_the_same_in_space(seed: int) -> None:
    image, inside = random_case(seed, (5, 6, 7))
    families = tuple(f for f in Family if f is not Family.ENCLOSING)
    settings = Settings(families=families, discretisation=NoBinning())
    one = radiomics(*pair(image, inside, (2.0, 1.0, 1.5)), settings=settings)
    mirrored = radiomics(*pair(image[:, ::-1], inside[:, ::-1], (2.0, 1.0, 1.5)), settings=settings)
    turned = radiomics(*pair(image.transpose(2, 0, 1), inside.transpose(2, 0, 1), (1.5, 2.0, 1.0)), settings=settings)
    # Meshes of masks that touch themselves across edges depend on the way round: leave these out.
    meshed = {"volume", "area", "av", "comp", "sph", "asphericity", "dens", "integ"}
    for tag in one.tags:
        if tag.startswith("morph") and any(part in tag for part in meshed):
            continue
        assert mirrored[tag] == pytest.approx(one[tag], rel=1e-9, abs=1e-9, nan_ok=True), tag
        assert turned[tag] == pytest.approx(one[tag], rel=1e-9, abs=1e-9, nan_ok=True), tag


@pytest.mark.parametrize("distance", [1, 2])
@pytest.mark.parametrize("highest", [3, 60])
def test_neighbouring_levels_are_counted_as_by_shifting_the_array(distance: int, highest: int) -> None:
    from vesalius.features.radiomics.levels import DIRECTIONS_3D, Levels

    array = np.random.default_rng(5).integers(0, highest + 1, (9, 10, 11)).astype(np.uint8)
    array[0, 0, 0] = highest
    levels = Levels(array, highest, highest, distance)
    padded = np.pad(array, distance)
    for number, direction in enumerate(DIRECTIONS_3D):
        other = np.roll(padded, [-distance * d for d in direction], axis=(0, 1, 2))
        expected = np.zeros((highest + 1, highest + 1), dtype=np.int64)
        np.add.at(expected, (padded, other), 1)
        expected[0] = expected[:, 0] = 0
        assert np.array_equal(levels.pairs[number], expected), direction


def test_a_very_large_zone_beside_small_ones_keeps_its_size() -> None:
    from vesalius.features.radiomics.matrices import Matrices

    found = Matrices.counted(0, np.array([1, 2, 2, 1]), np.array([70_000, 3, 3, 5_000]), np.array([75_006]))
    assert list(zip(found.level, found.column, found.count, strict=True)) == [(1, 5_000, 1), (1, 70_000, 1), (2, 3, 2)]


def test_outer_vertices_have_the_convex_hull_of_the_whole_mesh() -> None:
    from scipy.spatial import ConvexHull
    from skimage.measure import marching_cubes

    from vesalius.features.radiomics.mesh import outer_vertices

    generator = np.random.default_rng(7)
    for share in (0.02, 0.3, 0.9):
        mask = generator.random((6, 9, 7)) < share
        mask[2, 3:6, 2:4] = True
        vertices = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, method="lorensen")[0] - 1
        whole, outer = ConvexHull(vertices), ConvexHull(outer_vertices(mask))
        assert outer.volume == pytest.approx(whole.volume, rel=1e-6)
        assert outer.area == pytest.approx(whole.area, rel=1e-6)
