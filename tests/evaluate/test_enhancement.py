"""What an enhancement does: analytic truths of every number, and a harmful one is flagged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vesalius.core import Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.evaluate import enhancement
from vesalius.evaluate.enhancement import Task
from vesalius.imaging import denoise


def disc(pixel_mm: float = 0.5, blur_mm: float = 0.6, side: int = 192, spacing: Spacing = Spacing.CALIBRATED) -> Volume:
    """Return a disc of 1000 on 200 whose border is blurred, cut from a finer one, so that edges are at any place."""
    fine = 4
    lines = (np.arange(side * fine) - side * fine / 2 + 0.3) * pixel_mm / fine
    radius = np.hypot(lines[:, np.newaxis], lines)
    sharp = np.where(radius < 0.3 * side * pixel_mm, 1000.0, 200.0)
    soft = ndimage.gaussian_filter(sharp, blur_mm / pixel_mm * fine, mode="nearest")
    array = soft.reshape(side, fine, side, fine).mean(axis=(1, 3)).astype(np.float32)
    return Volume(array[np.newaxis], np.diag([1.0, pixel_mm, pixel_mm, 1.0]), Frame.IMAGE, spacing)


def with_noise(volume: Volume, level: float) -> Volume:
    """Return the image with white noise."""
    grain = np.random.default_rng(0).normal(0, level, volume.array.shape)
    return volume.with_array((volume.array + grain).astype(np.float32), "noise")


@pytest.mark.parametrize("sigma_mm", [0.5, 1.0])
def test_edge_width_is_that_of_the_blur(sigma_mm: float) -> None:
    """A border blurred by s has a line spread of 2.355 s full width and rises from 10 to 90 % over 2.563 s."""
    reference = disc(blur_mm=0.1)
    blurred = denoise.gaussian(reference, sigma_mm=sigma_mm)
    pixel = 0.5**2 / 12 + 0.1**2
    total = np.sqrt(sigma_mm**2 + pixel)
    found = enhancement.sharpness(blurred, reference)
    assert found is not None
    assert found.width_mm == pytest.approx(2.355 * total, rel=0.1)
    assert found.rise_mm == pytest.approx(2.563 * total, rel=0.1)
    assert found.mtf50_per_mm == pytest.approx(np.sqrt(2 * np.log(2)) / (2 * np.pi * total), rel=0.1)
    assert found.overshoot < 0.02
    assert found.points > 100


def test_sharpening_shows_as_overshoot() -> None:
    reference = disc()
    soft = denoise.gaussian(reference, sigma_mm=1)
    sharpened = reference.with_array(reference.array + 1.0 * (reference.array - soft.array), "unsharp")
    plain, harsh = (enhancement.sharpness(one, reference) for one in (reference, sharpened))
    assert plain is not None
    assert harsh is not None
    assert plain.overshoot < 0.02
    assert harsh.overshoot > 0.06
    assert harsh.rise_mm < plain.rise_mm


def test_noise_power_and_its_frequency() -> None:
    reference = disc()
    noisy = with_noise(reference, 30)
    found = enhancement.noise(noisy, reference)
    smooth = enhancement.noise(denoise.gaussian(noisy, sigma_mm=0.5), reference)
    assert found is not None
    assert smooth is not None
    assert found.power == pytest.approx(900 * 63 / 64, rel=0.1)
    # White noise with sampling 0.5 mm: the mean of |f| over the square of half side 1/mm is 0.765 /mm.
    assert found.mean_frequency_per_mm == pytest.approx(0.765, rel=0.05)
    assert smooth.power == pytest.approx(900 / (4 * np.pi * (0.5 / 0.5) ** 2), rel=0.3)
    assert smooth.mean_frequency_per_mm < 0.6 * found.mean_frequency_per_mm


def test_fidelity_is_scikit_images() -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    reference = disc()
    noisy = with_noise(reference, 25)
    found = enhancement.quality(noisy, reference)
    one, two = reference.array[0].astype(float), noisy.array[0].astype(float)
    spread = one.max() - one.min()
    assert found.psnr_db == pytest.approx(peak_signal_noise_ratio(one, two, data_range=spread))
    settings = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": spread}
    assert found.ssim == pytest.approx(structural_similarity(one, two, **settings))
    same = enhancement.quality(reference, reference)
    assert (same.psnr_db, same.ssim) == (float("inf"), pytest.approx(1.0))
    assert same.noise is not None
    assert same.noise.power == 0


def test_a_filter_that_helps_and_one_that_hurts() -> None:
    reference = disc()
    noisy = with_noise(reference, 250)
    truth = reference.array > 600
    task = Task("Dice", lambda v: float(2 * ((v.array > 600) & truth).sum() / ((v.array > 600).sum() + truth.sum())))
    good = enhancement.compare(noisy, denoise.median(noisy, width_mm=2.5), reference=reference, task=task)
    assert not good.flagged
    assert good.task is not None
    assert good.task.change > 0.02
    assert good.before is not None
    assert good.after is not None
    assert good.after.psnr_db > good.before.psnr_db + 5
    bad = enhancement.compare(noisy, denoise.gaussian(noisy, sigma_mm=25), reference=reference, task=task)
    assert bad.flagged
    assert bad.task is not None
    assert bad.task.hurts
    assert bad.task.low is None


def test_many_cases_give_an_interval() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0.7, 0.9, 30)
    found = enhancement.task_change("Dice", list(before), list(before - 0.05 + rng.normal(0, 0.01, 30)))
    assert found.hurts
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.05 < found.high < -0.04
    assert not enhancement.task_change("Dice", [0.8, 0.9], [0.795, 0.9]).hurts


def test_auc_is_by_ranks_and_its_fall_is_flagged() -> None:
    assert enhancement.auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0
    assert enhancement.auc([0, 1, 0, 1], [1, 1, 1, 1]) == 0.5
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    good, poor = truth + rng.normal(0, 0.7, 200), truth + rng.normal(0, 3, 200)
    found = enhancement.auc_change(truth, list(good), list(poor))
    assert found.hurts
    assert found.high is not None
    assert found.high < 0
    assert not enhancement.auc_change(truth, list(poor), list(good)).hurts


def test_volumes_are_compared_slice_by_slice_in_the_plane() -> None:
    flat = disc()
    stack = Volume(np.repeat(flat.array, 12, axis=0), np.diag([3.0, 0.5, 0.5, 1.0]), modality="CT")
    found = enhancement.quality(with_noise(stack, 20), stack)
    assert found.noise is not None
    assert found.sharpness is not None
    assert found.noise.power == pytest.approx(400, rel=0.1)
    alone = enhancement.sharpness(flat, flat)
    assert alone is not None
    assert found.sharpness.width_mm == pytest.approx(alone.width_mm, rel=0.1)


def test_what_cannot_be_measured_is_none() -> None:
    ramp = Volume(np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 20, 20), np.eye(4), Frame.IMAGE)
    assert enhancement.sharpness(ramp, ramp) is None
    tiny = Volume(np.eye(9, dtype=np.float32)[np.newaxis], np.eye(4))
    assert enhancement.noise(tiny, tiny) is None
    assert np.isnan(enhancement.quality(tiny, tiny).ssim)
    pixels = disc(spacing=Spacing.UNKNOWN)
    assert enhancement.quality(pixels, pixels).sharpness is not None


def test_bad_input_is_refused_with_the_fix() -> None:
    image = disc()
    with pytest.raises(UsageError, match="a reference image, a task"):
        enhancement.compare(image, image)
    with pytest.raises(GeometryError, match="resample_like"):
        enhancement.quality(image, image.crop((0, 0, 0), (1, 9, 9)))
    with pytest.raises(ImageContentError, match="constant"):
        enhancement.quality(image, image.with_array(np.ones_like(image.array), "x"))
    with pytest.raises(ImageContentError, match="NaN"):
        enhancement.quality(image.with_array(np.full_like(image.array, np.nan), "x"), image)
    with pytest.raises(UsageError, match="before and after"):
        enhancement.task_change("Dice", [0.5], [])
    with pytest.raises(ImageContentError, match="not a finite"):
        enhancement.task_change("Dice", [0.5], [float("nan")])
    with pytest.raises(UsageError, match="both classes"):
        enhancement.auc([1, 1], [0, 1])
    with pytest.raises(UsageError, match="one truth per case"):
        enhancement.auc_change([1, 0, 1], [0.1, 0.2], [0.1, 0.2])
