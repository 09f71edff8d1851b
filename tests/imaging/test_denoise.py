"""Noise filters: analytic truths, agreement with other packages, millimetres, types and errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from filter_phantoms import COARSE, FINE, ball, bright_ml, disagreement, flat, noisy
from scipy import ndimage

from vesalius.core import Axis, AxisKind, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownSpacingError, UsageError
from vesalius.imaging import denoise, filtering, windowed

Filter = Callable[[Volume], Volume]

FILTERS: dict[str, Filter] = {
    "mean": lambda v: denoise.mean(v, width_mm=12),
    "median": lambda v: denoise.median(v, width_mm=12),
    "gaussian": lambda v: denoise.gaussian(v, sigma_mm=4),
    "bilateral": lambda v: denoise.bilateral(v, sigma_mm=3, sigma_value=300),
    "non_local_means": lambda v: denoise.non_local_means(v, patch_mm=3, search_mm=8, noise=200),
    "total_variation": lambda v: denoise.total_variation(v, weight=400, iterations=200),
    "anisotropic_diffusion": lambda v: denoise.anisotropic_diffusion(v, sigma_mm=4, edge=300),
}
QUICK: dict[str, Filter] = {
    "mean": lambda v: denoise.mean(v, width_mm=3),
    "median": lambda v: denoise.median(v, width_mm=3),
    "gaussian": lambda v: denoise.gaussian(v, sigma_mm=1),
    "bilateral": lambda v: denoise.bilateral(v, sigma_mm=1),
    "non_local_means": lambda v: denoise.non_local_means(v, search_mm=5),
    "total_variation": lambda v: denoise.total_variation(v, weight=20, iterations=30),
    "anisotropic_diffusion": lambda v: denoise.anisotropic_diffusion(v, sigma_mm=1),
}


@pytest.mark.parametrize("name", FILTERS)
def test_one_scene_gives_one_answer_at_two_spacings(name: str) -> None:
    """The answers differ by a small part of what the filter changed; the ball's volume by less than 5 %."""
    difference, change = disagreement(FILTERS[name])
    assert change > 1
    assert difference < (0.36 if name == "non_local_means" else 0.12) * change, (difference, change)
    volumes = [bright_ml(FILTERS[name](ball(s))) for s in (FINE, COARSE)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_type_geometry_and_history_are_kept(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(120, 20, (6, 14, 12)).clip(0, 255).astype(dtype)
    affine = np.array([[0, 0, 0.9, 5], [0, 0.9, 0, -3], [1.1, 0, 0, 7], [0, 0, 0, 1]])
    volume = Volume(array, affine, modality="CT", unit="[hnsf'U]")
    result = QUICK[name](volume)
    assert result.array.dtype == dtype
    assert np.array_equal(result.affine, volume.affine)
    assert (result.modality, result.unit, result.history[-1].operation) == ("CT", volume.unit, name)
    assert result.array.astype(float).std() < array.astype(float).std()
    assert array.mean() == pytest.approx(result.array.mean(), rel=0.05)


@pytest.mark.parametrize("name", QUICK)
def test_flat_pictures_colours_and_series_in_time(name: str) -> None:
    rng = np.random.default_rng(2)
    picture = rng.normal(100, 10, (20, 24, 3)).clip(0, 255).astype(np.uint8)
    colour = Volume(picture[np.newaxis], np.eye(4), axis=Axis(AxisKind.RGB, ("r", "g", "b")))
    result = QUICK[name](colour)
    assert result.array.shape == (1, 20, 24, 3)
    assert result.axis == colour.axis
    stack = rng.normal(100, 10, (5, 12, 12, 2)).astype(np.float32)
    moving = Volume(stack, np.eye(4), axis=Axis(AxisKind.TIME, (0.0, 1.0), "s"))
    together = QUICK[name](moving)
    assert np.allclose(together.array[..., 1], QUICK[name](moving.element(1)).array, atol=1e-4)


@pytest.mark.parametrize("name", QUICK)
def test_slicewise_leaves_other_slices_out(name: str) -> None:
    volume = noisy(ball().crop((10, 10, 10), (16, 34, 34)), 30)
    keywords: dict[str, dict[str, Any]] = {
        "mean": {"width_mm": 3}, "median": {"width_mm": 3}, "gaussian": {"sigma_mm": 1},
        "bilateral": {"sigma_mm": 1, "sigma_value": 100}, "non_local_means": {"search_mm": 5, "noise": 30},
        "total_variation": {"weight": 20, "iterations": 30}, "anisotropic_diffusion": {"sigma_mm": 1, "edge": 100},
    }  # fmt: skip
    function = getattr(denoise, name)
    whole = function(volume, slicewise=True, **keywords[name])
    alone = function(volume.crop((3, 0, 0), (4, 24, 24)), **keywords[name])
    assert np.allclose(whole.array[3], alone.array[0], atol=1e-3)


def test_gaussian_is_scipys() -> None:
    array = np.random.default_rng(0).normal(0, 100, (9, 40, 33)).astype(np.float32)
    volume = Volume(array, np.diag([3.0, 0.7, 0.7, 1.0]))
    expected = ndimage.gaussian_filter(array, [1.5 / 3, 1.5 / 0.7, 1.5 / 0.7], mode="nearest")
    assert np.allclose(denoise.gaussian(volume, sigma_mm=1.5).array, expected, atol=2e-3)


def test_gaussian_of_a_point_has_the_width_asked_for() -> None:
    array = np.zeros((41, 41, 41), np.float64)
    array[20, 20, 20] = 1
    result = denoise.gaussian(Volume(array, np.diag([2.0, 1.0, 0.5, 1.0])), sigma_mm=2).array
    for axis, spacing in enumerate((2.0, 1.0, 0.5)):
        line = result.sum(axis=tuple({0, 1, 2} - {axis}))
        assert (line * ((np.arange(41) - 20) * spacing) ** 2).sum() == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("width_mm", [3.0, 5.0])
def test_median_is_simpleitks(dtype: Any, width_mm: float) -> None:
    array = np.random.default_rng(0).integers(0, 200, (7, 30, 26)).astype(dtype)
    radius = int(width_mm / 2)
    expected = sitk.GetArrayFromImage(sitk.Median(sitk.GetImageFromArray(array), [radius] * 3))
    assert np.array_equal(denoise.median(Volume(array, np.eye(4)), width_mm=width_mm).array, expected)


def test_median_network_is_right_for_every_order() -> None:
    """0-1 principle: a network that is right for every 0-1 input is right for all; sorted cubes suffice."""
    for dimensions, (exchanges, place) in windowed.MEDIANS.items():
        cubes = list(_monotone_cubes(dimensions))
        assert len(cubes) == {1: 4, 2: 20, 3: 980}[dimensions]
        for cube in cubes:
            values = list(cube)
            for one, other in exchanges:
                values[one], values[other] = min(values[one], values[other]), max(values[one], values[other])
            assert values[place] == sorted(cube)[len(cube) // 2]


def _monotone_cubes(dimensions: int) -> Any:
    """Yield every 0-1 cube that is sorted along each axis: the plane partitions in a 3 x 3 x 3 box."""
    if dimensions == 1:
        yield from ((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1))
        return
    smaller = list(_monotone_cubes(dimensions - 1))
    for parts in itertools.product(smaller, repeat=3):
        if all(a <= b for low, high in itertools.pairwise(parts) for a, b in zip(low, high, strict=True)):
            yield tuple(itertools.chain.from_iterable(parts))


def test_mean_is_scipys_and_counts_cut_voxels_by_their_part() -> None:
    array = np.random.default_rng(0).normal(0, 1, (8, 20, 22)).astype(np.float32)
    ours = denoise.mean(Volume(array, np.eye(4)), width_mm=3).array
    assert np.allclose(ours, ndimage.uniform_filter(array, 3, mode="nearest"), atol=1e-5)
    point = np.zeros((1, 1, 9), np.float32)
    point[..., 4] = 1
    spread = denoise.mean(Volume(point, np.eye(4)), width_mm=4).array[0, 0]
    assert np.allclose(spread[2:7], [0.125, 0.25, 0.25, 0.25, 0.125])


def test_bilateral_agrees_with_simpleitk() -> None:
    volume = noisy(ball().crop((14, 10, 10), (34, 38, 38)), 40)
    image = sitk.GetImageFromArray(volume.array)
    theirs = sitk.GetArrayFromImage(sitk.Bilateral(image, 1.5, 150.0, 1000))
    ours = denoise.bilateral(volume, sigma_mm=1.5, sigma_value=150).array
    inner = (slice(5, -5),) * 3
    # ITK reads the range Gaussian from a table, so that agreement is to a few units of 1000.
    assert np.abs(ours - theirs)[inner].max() < 5
    assert np.abs(ours - theirs)[inner].mean() < 0.5


def test_bilateral_keeps_an_edge_that_a_gaussian_blurs() -> None:
    volume = noisy(ball(soft_mm=0.2), 30)
    truth, edge = ball(soft_mm=0.2).array, np.abs(np.gradient(ball(soft_mm=0.2).array, axis=2)) > 100
    errors = [
        float(np.abs(one.array - truth)[edge].mean())
        for one in (denoise.bilateral(volume, sigma_mm=2, sigma_value=120), denoise.gaussian(volume, sigma_mm=2))
    ]
    assert errors[0] < 0.25 * errors[1]


def _naive_non_local_means(array: np.ndarray, patch: int, search: int, width: float, level: float) -> np.ndarray:
    padded = np.pad(array.astype(float), patch + search, mode="edge")
    result = np.zeros(array.shape)
    around = range(-patch, patch + 1)
    for place in np.ndindex(array.shape):
        centre = np.array(place) + patch + search
        total = weights = 0.0
        own = padded[tuple(slice(c - patch, c + patch + 1) for c in centre)]
        for shift in itertools.product(range(-search, search + 1), repeat=3):
            other = padded[tuple(slice(c + d - patch, c + d + patch + 1) for c, d in zip(centre, shift, strict=True))]
            distance = ((own - other) ** 2).sum() / len(around) ** 3
            weight = np.exp(-max(distance - 2 * level**2, 0) / width**2)
            total += weight * padded[tuple(centre + shift)]
            weights += weight
        result[place] = total / weights
    return result


def test_non_local_means_is_its_definition() -> None:
    array = np.random.default_rng(0).normal(100, 10, (5, 6, 7)).astype(np.float32)
    ours = denoise.non_local_means(Volume(array, np.eye(4)), patch_mm=3, search_mm=5, noise=10, strength=0.6).array
    assert np.allclose(ours, _naive_non_local_means(array, 1, 2, 6.0, 10.0), atol=1e-3)


def test_non_local_means_removes_as_much_noise_as_scikit_image() -> None:
    from skimage.restoration import denoise_nl_means

    truth = ball().crop((12, 8, 8), (32, 40, 40))
    volume = noisy(truth, 50)
    theirs = denoise_nl_means(volume.array, patch_size=3, patch_distance=4, h=40, sigma=50, fast_mode=True)
    ours = denoise.non_local_means(volume, patch_mm=3, search_mm=9, noise=50, strength=0.8).array
    errors = [float(np.sqrt(((one - truth.array) ** 2).mean())) for one in (ours, theirs)]
    assert errors[0] < 1.05 * errors[1]
    assert errors[0] < 0.4 * 50


def test_rician_noise_leaves_no_bias() -> None:
    """In air the mean of magnitude noise is 1.25 sigma; the correction brings it close to the truth, 0."""
    rng, level = np.random.default_rng(0), 20.0
    truth = np.where(ball().array[16:32] > 500, 60.0, 0.0)
    parts = rng.normal(0, level, (2, *truth.shape))
    volume = Volume(np.hypot(truth + parts[0], parts[1]).astype(np.float32), np.eye(4), modality="MR")
    plain = denoise.non_local_means(volume, noise=level, rician=False, search_mm=7)
    corrected = denoise.non_local_means(volume, noise=level, search_mm=7)
    assert corrected.history[-1].parameters["rician"] is True
    inside, air = ndimage.binary_erosion(truth > 0, iterations=3), ndimage.binary_erosion(truth == 0, iterations=3)
    for region, expected, tolerance in ((inside, 60, 1.0), (air, 0, 8.0)):
        bias = [abs(float(one.array[region].mean()) - expected) for one in (corrected, plain)]
        assert bias[0] < tolerance
        assert bias[0] < bias[1]


def test_total_variation_of_a_disc_and_a_ball_is_known() -> None:
    """A disc of radius R loses 2 weight / R, a ball 3 weight / R; the surroundings gain what it lost."""
    for volume, count in ((ball(radius_mm=15, soft_mm=0.1).crop((24, 0, 0), (25, 48, 48)), 2),
                          (ball(radius_mm=15, soft_mm=0.1), 3)):  # fmt: skip
        result = denoise.total_variation(volume, weight=500, iterations=300).array
        lost = 1000 - float(result[result.shape[0] // 2, 24, 24])
        assert lost == pytest.approx(500 * count / 15, rel=0.12)
        assert result.sum() == pytest.approx(volume.array.sum(), rel=1e-3)


@pytest.mark.parametrize("box", [((18, 14, 14), (30, 34, 34)), ((24, 6, 6), (25, 42, 42))], ids=["3-D", "2-D"])
def test_total_variation_is_scikit_images(box: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    """Both converged: the same image, and ours is not further from the minimum that both look for.

    scikit-image needs double precision here: it stops by the change of a sum that is below the rounding of 32 bits,
    for a 32-bit image after a few steps and far from the minimum, whatever `eps` is.
    """
    from skimage.restoration import denoise_tv_chambolle

    volume = noisy(ball().crop(*box), 50)
    given = volume.array.astype(np.float64)
    theirs = denoise_tv_chambolle(np.squeeze(given), weight=60, eps=0, max_num_iter=3000).reshape(given.shape)
    ours = denoise.total_variation(volume, weight=60, iterations=1000).array
    assert np.abs(ours - given).mean() > 30
    assert np.abs(ours - theirs).mean() < 0.1
    assert np.abs(ours - theirs).max() < 0.5
    least = _variation_energy(ours, given, 60)
    assert least < _variation_energy(theirs, given, 60) < 1.0001 * least
    usual = denoise.total_variation(volume, weight=60).array
    assert _variation_energy(usual, given, 60) < 1.001 * least


def _variation_energy(image: np.ndarray, given: np.ndarray, weight: float) -> float:
    slopes = [np.diff(image.astype(float), axis=a, append=np.take(image, [-1], axis=a)) for a in range(3)]
    return float(weight * np.sqrt(sum(s**2 for s in slopes)).sum() + 0.5 * ((image - given) ** 2).sum())


def test_diffusion_without_edges_is_a_gaussian_at_any_spacing() -> None:
    """ITK's own filter spreads a point four times too far (as variance) along an axis of 4 mm; ours does not."""
    array = np.zeros((41, 41, 41), np.float32)
    array[20, 20, 20] = 1000
    result = denoise.anisotropic_diffusion(Volume(array, np.diag([4.0, 1.0, 1.0, 1.0])), sigma_mm=3, edge=1e6).array
    for axis, spacing in enumerate((4.0, 1.0, 1.0)):
        line = result.astype(float).sum(axis=tuple({0, 1, 2} - {axis}))
        assert (line * ((np.arange(41) - 20) * spacing) ** 2).sum() / line.sum() == pytest.approx(9, rel=0.01)


def test_diffusion_agrees_with_simpleitk_on_cubic_voxels() -> None:
    volume = noisy(ball(), 30)
    ours = denoise.anisotropic_diffusion(volume, sigma_mm=1.0, edge=60).array
    theirs = sitk.GetArrayFromImage(
        sitk.GradientAnisotropicDiffusion(sitk.GetImageFromArray(volume.array), 0.0625, 1.0, 1, 8)
    )
    errors = [float(np.abs(one - ball().array).mean()) for one in (ours, theirs, volume.array)]
    assert errors[0] < 1.1 * errors[1]
    assert errors[0] < 0.6 * errors[2]


def test_noise_level_is_found() -> None:
    for level in (5.0, 30.0):
        array = noisy(ball(), level).array
        assert filtering.noise_level(array, (0, 1, 2)) == pytest.approx(level, rel=0.12)
    assert filtering.noise_level(array[24:25], (1, 2)) == pytest.approx(30, rel=0.15)


def test_threads_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noisy(ball(), 30)
    answers = []
    for count in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        answers.append([QUICK[n](volume).array.tobytes() for n in ("gaussian", "median", "bilateral")])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", QUICK)
def test_bad_images_are_refused_with_the_fix(name: str) -> None:
    array = np.full((6, 8, 8), 100, np.float32)
    array[2, 3, 3] = np.nan
    with pytest.raises(ImageContentError, match=r"1 of 384 are NaN or infinite.*replace"):
        QUICK[name](Volume(array, np.eye(4)))
    with pytest.raises(UnknownSpacingError, match="calibrated"):
        QUICK[name](flat(np.zeros((8, 8), np.uint8), None))
    tilted = np.eye(4)
    tilted[1, 0] = 0.3
    with pytest.raises(GeometryError, match="to_orthogonal"):
        QUICK[name](Volume(np.zeros((6, 8, 8), np.float32), tilted))
    with pytest.raises(ImageContentError, match="yes and no"):
        QUICK[name](Volume(np.zeros((6, 8, 8), bool), np.eye(4)))


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (lambda v: denoise.mean(v, width_mm=1), "at least 2 mm"),
        (lambda v: denoise.median(v, width_mm=-3), "width_mm is out of range"),
        (lambda v: denoise.gaussian(v, sigma_mm=0), "above 0 mm"),
        (lambda v: denoise.gaussian(v, sigma_mm=float("nan")), "sigma_mm is out of range"),
        (lambda v: denoise.bilateral(v, sigma_mm=1, sigma_value=-1), "sigma_value is out of range"),
        (lambda v: denoise.non_local_means(v, strength=0), "strength"),
        (lambda v: denoise.total_variation(v, weight=1, iterations=0), "iterations"),
        (lambda v: denoise.anisotropic_diffusion(v, sigma_mm=100), "too many steps"),
    ],
)
def test_bad_parameters_are_refused(work: Filter, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        work(noisy(ball(), 10))


def test_rician_needs_a_magnitude_image() -> None:
    with pytest.raises(ImageContentError, match="no negative values"):
        denoise.non_local_means(noisy(ball(), 30), rician=True)
    with pytest.raises(ImageContentError, match="no noise was found"):
        denoise.non_local_means(Volume(np.ones((5, 9, 9), np.float32), np.eye(4)))


def test_a_real_ct_and_a_real_mr_lose_noise_and_keep_contrast(data_root: Path) -> None:
    from vesalius import io

    for path in ("lidc_0001_ct", "brain_mprage_dicom"):
        with io.scan(data_root / path) as found:
            volume = io.load(found.studies[0].series[0])
        part = (
            volume.crop((0, 200, 150), (6, 300, 250))
            if volume.modality == "CT"
            else volume.crop((60, 60, 60), (68, 160, 160))
        )
        result = denoise.non_local_means(part, search_mm=5, patch_mm=2.5)
        axes = filtering.active_axes(part)
        before, after = (filtering.noise_level(one.array.astype(np.float32), axes) for one in (part, result))
        assert after < 0.8 * before
        assert result.array.dtype == part.array.dtype
        spreads = [np.subtract(*np.percentile(one.array, (95, 5))) for one in (part, result)]
        assert spreads[1] == pytest.approx(spreads[0], rel=0.1)
