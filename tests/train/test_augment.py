"""Augmentation: each change against its analytic truth, in 2-D and 3-D, and repeatable."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy import ndimage  # noqa: E402 - after the skip

from vesalius.train.augment import Augment, mixed, source_points, spline_basis  # noqa: E402
from vesalius.train.network_options import AugmentOptions  # noqa: E402


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(*shape: int) -> torch.Tensor:
    noise = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, *(2.0,) * (len(shape) - 2))))


def changed(batch: torch.Tensor, seed: int = 0, **options: object) -> torch.Tensor:
    return Augment(AugmentOptions(**options))(batch, seeded(seed))  # type: ignore[arg-type]


def test_nothing_asked_for_changes_nothing() -> None:
    batch = smooth(3, 1, 9, 11)
    assert Augment(AugmentOptions())(batch, seeded()) is batch


@pytest.mark.parametrize("shape", [(8, 2, 9, 14), (8, 1, 5, 9, 14)])
def test_flips_mirror_exactly_and_each_case_by_itself(shape: tuple[int, ...]) -> None:
    batch = smooth(*shape)
    found = changed(batch, flip=("columns", "rows"))
    kinds = []
    for before, after in zip(batch, found, strict=True):
        views = [before, before.flip(-1), before.flip(-2), before.flip(-1, -2)]
        kinds.append([torch.equal(after, view) for view in views].index(True))
    assert len(set(kinds)) > 1


def test_a_flip_folded_into_the_resampling_is_the_same_flip() -> None:
    batch = smooth(8, 1, 12, 15)
    exact, folded = changed(batch, flip=("columns",)), changed(batch, flip=("columns",), shift=1e-9)
    views = [min(float((b - a).abs().max()) for b in (x, x.flip(-1))) for x, a in zip(batch, folded, strict=True)]
    assert max(views) < 1e-4
    assert exact.shape == folded.shape


@pytest.mark.parametrize("size", [(20, 30), (8, 20, 30)])
def test_no_change_is_the_identity_of_the_resampling(size: tuple[int, ...]) -> None:
    batch = smooth(2, 1, *size)
    points = source_points(AugmentOptions(elastic=1e-9), torch.ones(2, dtype=torch.bool), size, seeded())
    found = torch.nn.functional.grid_sample(batch, points, align_corners=True)
    assert float((found - batch).abs().max()) < 1e-4


def test_a_rotation_is_rigid_in_pixels_also_when_the_image_is_not_square() -> None:
    size = (41, 81)
    points = source_points(AugmentOptions(rotate_deg=40), torch.ones(1, dtype=torch.bool), size, seeded(1))[0]
    pixels = (points + 1) / 2 * torch.tensor([80.0, 40.0])
    right, down = pixels[20, 60] - pixels[20, 20], pixels[35, 40] - pixels[5, 40]
    assert float(right.norm()) == pytest.approx(40, abs=1e-3)
    assert float(down.norm()) == pytest.approx(30, abs=1e-3)
    assert float(right @ down) == pytest.approx(0, abs=1e-2)
    assert abs(float(right[1])) > 1


def test_the_fused_pass_equals_an_affine_map_by_scipy() -> None:
    batch = smooth(1, 1, 24, 24)
    points = source_points(AugmentOptions(rotate_deg=30, scale=0.2, shift=0.1), torch.ones(1, dtype=torch.bool),
                           (24, 24), seeded(5))  # fmt: skip
    pixels = ((points[0] + 1) / 2 * 23).numpy()
    ours = changed_by(batch, points)[0, 0].numpy()
    truth = ndimage.map_coordinates(batch[0, 0].numpy(), [pixels[..., 1], pixels[..., 0]], order=1, mode="nearest")
    assert np.abs(ours - truth).max() < 1e-4


def changed_by(batch: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.grid_sample(batch, points, padding_mode="border", align_corners=True)


@pytest.mark.parametrize("size", [(32, 48), (16, 24, 24)])
def test_the_elastic_bend_has_the_spread_that_was_asked_for_and_is_smooth(size: tuple[int, ...]) -> None:
    chosen = torch.ones(64, dtype=torch.bool)
    straight = source_points(AugmentOptions(), chosen, size, seeded())
    bent = source_points(AugmentOptions(elastic=0.05), chosen, size, seeded())
    edges = torch.tensor([edge - 1.0 for edge in reversed(size)])
    pixels = (bent - straight) * edges / 2
    assert float(pixels.std()) == pytest.approx(0.05 * min(size), rel=0.1)
    assert float(pixels.diff(dim=-2).abs().max()) < 1.5


def test_the_spline_basis_sums_to_one_and_rises_like_a_line() -> None:
    basis = spline_basis(5, 4)
    assert torch.allclose(basis.sum(dim=1), torch.ones(17))
    assert torch.allclose(basis @ (torch.arange(7.0) - 1), torch.arange(17) / 4, atol=1e-5)


def test_noise_brightness_and_contrast_have_their_size_relative_to_the_image() -> None:
    batch = smooth(200, 1, 16, 16) * 50 + 300
    spread = batch.flatten(1).std(dim=1, unbiased=False)
    noisy = (changed(batch, noise=0.5) - batch).flatten(1).std(dim=1) / spread
    assert 0.2 < float(noisy.mean()) < 0.3
    assert float(noisy.max()) < 0.6
    brighter = (changed(batch, brightness=0.5) - batch).flatten(1)
    assert float(brighter.std(dim=1).max()) < 1e-2
    assert float((brighter.mean(dim=1) / spread).abs().max()) == pytest.approx(0.5, abs=0.02)
    stretched = changed(batch, contrast=0.4).flatten(1)
    assert torch.allclose(stretched.mean(dim=1), batch.flatten(1).mean(dim=1), rtol=1e-4)
    assert float((stretched.std(dim=1) / batch.flatten(1).std(dim=1)).max()) == pytest.approx(1.4, abs=0.02)


def test_gamma_keeps_the_range_and_the_order_of_values() -> None:
    batch = smooth(10, 1, 12, 12)
    found = changed(batch, gamma=0.8)
    assert torch.allclose(found.flatten(1).amax(1), batch.flatten(1).amax(1), atol=1e-4)
    assert torch.allclose(found.flatten(1).amin(1), batch.flatten(1).amin(1), atol=1e-4)
    order = batch[0].flatten().argsort()
    assert float(found[0].flatten()[order].diff().min()) >= -1e-6
    assert float((found - batch).abs().max()) > 0.01


def test_blur_is_gaussian() -> None:
    point = torch.zeros(400, 1, 15, 15)
    point[:, :, 7, 7] = 1
    found = changed(point, blur=1.5)
    assert torch.allclose(found.flatten(1).sum(dim=1), torch.ones(400), atol=1e-4)
    places = torch.arange(15.0) - 7
    spread = (found[:, 0].sum(dim=1) * places**2).sum(dim=1).sqrt()
    assert float(spread.max()) == pytest.approx(1.4, abs=0.1)


def test_the_share_leaves_the_others_alone() -> None:
    batch = smooth(400, 1, 8, 8)
    found = changed(batch, share=0.3, noise=0.5, gamma=0.3, rotate_deg=20)
    same = ((found - batch).abs().flatten(1).amax(dim=1) < 1e-4).float().mean()
    assert 0.6 < float(same) < 0.8


def test_the_same_seed_repeats_and_the_given_batch_stays() -> None:
    batch = smooth(4, 1, 10, 10)
    kept = batch.clone()
    options = {"rotate_deg": 10, "elastic": 0.03, "noise": 0.2, "gamma": 0.2, "blur": 1.0, "flip": ("rows",)}
    assert torch.equal(changed(batch, 7, **options), changed(batch, 7, **options))
    assert not torch.equal(changed(batch, 7, **options), changed(batch, 8, **options))
    assert torch.equal(batch, kept)


def test_mixup_mixes_pairs_by_one_share() -> None:
    batch = smooth(6, 1, 5, 5)
    images, order, share = mixed(batch, 0.4, seeded())
    assert torch.allclose(images, share * batch + (1 - share) * batch[order])
    shares = [mixed(batch, 0.4, seeded(seed))[2] for seed in range(400)]
    # variance of Beta(a, a): 1 / (4 (2 a + 1))
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), rel=0.15)
