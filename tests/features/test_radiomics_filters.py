"""Filters against formulas, against each other and under turns of the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from _radiomics_data import pair
from scipy import ndimage

from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownNameError, UsageError
from vesalius.features.radiomics import (
    Family,
    Filter,
    GaborFilter,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    Resegmentation,
    Settings,
    SimoncelliFilter,
    WaveletFilter,
    filter_response,
    radiomics,
)
from vesalius.features.radiomics.kernels import wavelet_kernel

GREY = np.random.default_rng(0).normal(100, 20, (12, 14, 16))


def respond(array: np.ndarray, how: Filter, spacing: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    return filter_response(pair(array, np.ones(array.shape), spacing)[0], how).array


FLAT: list[tuple[Filter, float]] = [
    (MeanFilter(5), 3.0),
    (LaplacianOfGaussianFilter(2.0), 0.0),
    (LawsFilter("L5E5"), 0.0),
    (LawsFilter("L5L5L5"), 3 * (16 / math.sqrt(70)) ** 3),
    (LawsFilter("L5E5S5", rotation_invariant=True, energy_distance=2), 0.0),
    (WaveletFilter("db3", "HHH"), 0.0),
    (WaveletFilter("haar", "LL"), 6.0),
    (WaveletFilter("coif1", "LLL", level=2), 3 * 2**3),
]


@pytest.mark.parametrize(("how", "value"), FLAT)
def test_a_flat_picture(how: Filter, value: float) -> None:
    # A sampled Laplacian of a Gaussian, cut off at four deviations, sums to nearly zero.
    assert respond(np.full((9, 10, 11), 3.0), how) == pytest.approx(value, abs=5e-3)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db3", "coif1"])
def test_wavelets_are_orthonormal_with_vanishing_mean(wavelet: str) -> None:
    low, high = wavelet_kernel(wavelet, "L"), wavelet_kernel(wavelet, "H")
    assert low.sum() == pytest.approx(math.sqrt(2))
    assert high.sum() == pytest.approx(0, abs=1e-12)
    assert low @ low == pytest.approx(1)
    assert high @ high == pytest.approx(1)
    assert low @ high == pytest.approx(0, abs=1e-12)
    assert low[2:] @ low[:-2] == pytest.approx(0, abs=1e-12)


def test_the_laplacian_in_millimetres_is_the_same_at_other_spacings() -> None:
    def blob(spacing: float) -> np.ndarray:
        z, y, x = np.mgrid[-16:16.01:spacing, -16:17, -16:17]
        return np.exp(-(z**2 + y**2 + x**2) / 32)

    fine = respond(blob(1.0), LaplacianOfGaussianFilter(3.0))[16, 16, 16]
    thick = respond(blob(2.0), LaplacianOfGaussianFilter(3.0), (2.0, 1.0, 1.0))[8, 16, 16]
    # Per square of the mean voxel size: 2^(2/3) times as much.
    assert thick == pytest.approx(fine * 2 ** (2 / 3), rel=1e-3)
    variance = 9 + 16
    assert fine == pytest.approx(-3 / variance * (16 / variance) ** 1.5, rel=1e-3)


def test_the_laplacian_agrees_with_scipy() -> None:
    ours = respond(GREY, LaplacianOfGaussianFilter(2.0, cutoff=6))
    assert ours == pytest.approx(ndimage.gaussian_laplace(GREY, 2.0, mode="reflect", truncate=6), abs=0.02)


@pytest.mark.parametrize(
    "how",
    [
        LawsFilter("L5E5S5", rotation_invariant=True),
        LawsFilter("L5E5S5", rotation_invariant=True, pooling="mean", energy_distance=1),
        WaveletFilter("haar", "LLH", rotation_invariant=True, level=2),
        WaveletFilter("db2", "LHL", rotation_invariant=True, pooling="min"),
        SimoncelliFilter(1),
        GaborFilter(2.0, 3.0, 1.5, theta_step_rad=math.pi / 4, orthogonal=True),
    ],
)
def test_rotation_invariance(how: Filter) -> None:
    array = np.random.default_rng(1).normal(100, 20, (13, 13, 13))
    turned = np.rot90(array, axes=(0, 2))
    assert respond(turned, how) == pytest.approx(np.rot90(respond(array, how), axes=(0, 2)), abs=1e-3)


def test_a_gabor_filter_answers_its_own_wave() -> None:
    _, _, x = np.mgrid[0:3, 0:64, 0:64]
    wave = np.cos(2 * math.pi * x / 8)
    along = respond(wave, GaborFilter(6.0, 8.0))
    across = respond(wave, GaborFilter(6.0, 8.0, theta_rad=math.pi / 2))
    # Half of the integral of the Gaussian.
    assert along[1, 32, 32] == pytest.approx(math.pi * 36, rel=0.01)
    assert across[1, 32, 32] < 0.01 * along[1, 32, 32]


@pytest.mark.parametrize("boundary", ["zero", "nearest", "periodic", "mirror"])
def test_boundaries(boundary: str) -> None:
    ramp = np.broadcast_to(np.arange(8.0), (8, 8, 8)).copy()
    left = respond(ramp, MeanFilter(3, boundary=boundary))[4, 4, 0]  # type: ignore[arg-type]
    assert left == pytest.approx({"zero": 1 / 3, "nearest": 1 / 3, "periodic": 8 / 3, "mirror": 1 / 3}[boundary])


def test_bad_filters() -> None:
    volume, _ = pair(GREY, np.ones(GREY.shape), (3.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="Interpolation"):
        filter_response(volume, WaveletFilter("db2", "LLH"))
    assert filter_response(volume, WaveletFilter("db2", "LH")).array.shape == GREY.shape
    with pytest.raises(UnknownNameError, match="coif1"):
        filter_response(volume, WaveletFilter("sym4", "LH"))
    with pytest.raises(UnknownNameError, match="L5"):
        filter_response(volume, LawsFilter("L5X5"))
    with pytest.raises(UsageError, match="two names"):
        filter_response(volume, LawsFilter("L5"))
    with pytest.raises(UsageError, match="odd"):
        MeanFilter(4)
    with pytest.raises(UsageError, match="zero, nearest"):
        filter_response(volume, MeanFilter(3, boundary="wrap"))  # type: ignore[arg-type]
    spoiled = GREY.copy()
    spoiled[0, 0, 0] = np.nan
    with pytest.raises(ImageContentError, match="replace NaN"):
        filter_response(Volume(spoiled, np.eye(4)), MeanFilter(3))


def test_filtered_features_keep_the_range_of_the_image() -> None:
    inside = np.ones(GREY.shape)
    settings = Settings(families=(Family.STATISTICS,), resegmentation=Resegmentation(90, 110), filter=MeanFilter(3))
    volume, mask = pair(GREY, inside)
    found = radiomics(volume, mask, settings=settings)
    kept = (GREY >= 90) & (GREY <= 110)
    assert found["stat_mean"] == pytest.approx(respond(GREY, MeanFilter(3))[kept].mean(dtype=float), rel=1e-6)
    assert filter_response(volume, MeanFilter(3)).history[-1].operation == "MeanFilter"
