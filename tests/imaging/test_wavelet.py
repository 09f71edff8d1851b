"""Wavelet shrinkage: noise removed, truth kept, against scikit-image, scales in millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from filter_phantoms import COARSE, FINE, ball, bright_ml, flat, noisy

from vesalius.core import Volume
from vesalius.core.errors import ImageContentError, UnknownNameError, UnknownSpacingError, UsageError
from vesalius.imaging import wavelet


def error(volume: Volume, truth: Volume) -> float:
    """Return the root mean squared error."""
    return float(np.sqrt(((volume.array - truth.array) ** 2).mean()))


@pytest.mark.parametrize("method", ["bayes", "visu"])
@pytest.mark.parametrize("shrinkage", ["soft", "hard"])
def test_noise_falls_and_the_ball_stays(method: str, shrinkage: str) -> None:
    truth = ball(soft_mm=2)
    volume = noisy(truth, 60)
    result = wavelet.wavelet(volume, method=method, shrinkage=shrinkage)
    assert error(result, truth) < (0.5 if (method, shrinkage) != ("visu", "soft") else 0.7) * 60
    assert bright_ml(result) == pytest.approx(bright_ml(truth), rel=0.03)


@pytest.mark.parametrize("family", ["haar", "db4", "sym4", "coif2", "bior3.3", "rbio2.4"])
def test_any_family_gives_the_image_back_when_there_is_next_to_no_noise(family: str) -> None:
    volume = noisy(ball().crop((10, 7, 4), (31, 34, 37)), 20)
    result = wavelet.wavelet(volume, family=family, noise=1e-3, coarsest_mm=4)
    assert error(result, volume) < 0.1
    assert result.shape == volume.shape


def test_two_and_three_dimensions_are_as_good_as_scikit_image() -> None:
    from skimage.restoration import denoise_wavelet

    truth = ball(soft_mm=2)
    for part in (truth, truth.crop((24, 0, 0), (25, 48, 48))):
        volume = noisy(part, 60)
        theirs = denoise_wavelet(
            volume.array.squeeze(), wavelet="sym4", method="BayesShrink", mode="soft", wavelet_levels=2
        )
        ours = wavelet.wavelet(volume)
        assert error(ours, part) < 1.05 * float(np.sqrt(((theirs - part.array.squeeze()) ** 2).mean()))


def test_one_ball_keeps_its_size_at_two_spacings() -> None:
    volumes = [bright_ml(wavelet.wavelet(noisy(ball(s), 60), coarsest_mm=8)) for s in (FINE, COARSE)]
    raw = [bright_ml(ball(s)) for s in (FINE, COARSE)]
    assert volumes[0] == pytest.approx(raw[0], rel=0.03)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_thick_slices_are_halved_once_the_others_are_as_coarse() -> None:
    shape = (32, 64, 64)
    assert wavelet.level_axes((1.0, 1.0, 1.0), (0, 1, 2), 8.0, shape) == ((0, 1, 2),) * 3
    assert wavelet.level_axes((4.0, 1.0, 1.0), (0, 1, 2), 8.0, shape) == ((1, 2), (1, 2), (0, 1, 2))
    assert wavelet.level_axes((4.0, 1.0, 1.0), (1, 2), 8.0, shape) == ((1, 2),) * 3
    assert wavelet.level_axes((1.0, 1.0, 1.0), (0, 1, 2), 8.0, (6, 64, 64)) == ((0, 1, 2), (1, 2), (1, 2))


def test_the_noise_is_estimated() -> None:
    volume = noisy(ball(), 40)
    told, found = (wavelet.wavelet(volume, noise=level).array for level in (40, None))
    assert np.abs(told - found).mean() < 2


def test_type_and_geometry_are_kept() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(100, 10, (5, 21, 18)).astype(np.int16)
    result = wavelet.wavelet(Volume(array, np.diag([3.0, 1.0, 1.0, 1.0]), modality="MR"), slicewise=True)
    assert (result.array.dtype, result.shape, result.modality) == (np.int16, (5, 21, 18), "MR")
    assert result.history[-1].parameters["family"] == "sym4"


def test_bad_input_is_refused_with_the_fix() -> None:
    volume = noisy(ball(), 10)
    with pytest.raises(UnknownNameError, match="did you mean 'haar'"):
        wavelet.wavelet(volume, family="haarr")
    with pytest.raises(UnknownNameError, match="bayes, visu"):
        wavelet.wavelet(volume, method="sure")
    with pytest.raises(UsageError, match="at least 2 mm"):
        wavelet.wavelet(volume, coarsest_mm=1)
    with pytest.raises(UnknownSpacingError):
        wavelet.wavelet(flat(np.zeros((32, 32), np.float32), None))
    with pytest.raises(ImageContentError, match="give noise"):
        wavelet.wavelet(Volume(np.ones((8, 8, 8), np.float32), np.eye(4)))
