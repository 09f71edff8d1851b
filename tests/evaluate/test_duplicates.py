"""Copies are found whatever was done to them; different images never are, however alike they look."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from vesalius.evaluate.duplicates import F32, SIDE, Pair, find_duplicates, fingerprint, thumbnail

Picture = np.ndarray
COUNT = 40


def common(shape: tuple[int, int]) -> Picture:
    """Return what all images of a cohort share: a bright disc, as a head or a chest."""
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return 140.0 * (rows**2 + columns**2 < 0.8)


def picture(seed: int, shape: tuple[int, int] = (96, 112)) -> Picture:
    noise = gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 5)
    return np.clip(common(shape) + 30 * noise / noise.std() + 40, 0, 255).astype(np.uint8)


def resized(image: Picture) -> Picture:
    return np.asarray(Image.fromarray(image).resize((75, 61)))


def compressed(image: Picture) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream))


CHANGES: dict[str, tuple[str, Callable[[Picture], Picture]]] = {
    "resized": ("", resized),
    "compressed": ("", compressed),
    "as colour": ("", lambda image: np.stack([image] * 3, axis=-1)),
    "brighter": ("", lambda image: np.clip(image * 1.1 + 8, 0, 255).astype(np.uint8)),
    "in 16 bits": ("", lambda image: image.astype(np.uint16) * 257),
    "noisy": ("", lambda image: np.clip(image + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255)),
    "mirrored": ("mirrored", lambda image: image[:, ::-1]),
    "upside down": ("upside down", lambda image: image[::-1]),
    "turned 180": ("turned 180", lambda image: image[::-1, ::-1]),
    "turned 90": ("turned 90", lambda image: np.rot90(image, -1)),
    "mirrored and compressed": ("mirrored", lambda image: compressed(image[:, ::-1].copy())),
}


def pairs(images: list[Picture]) -> tuple[Pair, ...]:
    return find_duplicates([thumbnail(one) for one in images], [str(hash(one.tobytes())) for one in images])


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_the_only_pair(name: str) -> None:
    turned, change = CHANGES[name]
    images = [picture(seed) for seed in range(COUNT)]
    found = pairs([*images, change(images[7])])
    assert [(p.first, p.second, p.exact) for p in found] == [(7, COUNT, False)]
    assert found[0].turned == turned
    assert found[0].likeness > 0.95


def test_an_exact_copy_is_told_as_exact() -> None:
    images = [picture(seed) for seed in range(COUNT)]
    assert pairs([*images, images[3].copy()]) == (Pair(3, COUNT, True, 1.0),)


def test_several_copies_hang_together() -> None:
    images = [picture(seed) for seed in range(10)]
    found = pairs([*images, images[3].copy(), compressed(images[3])])
    assert {(p.first, p.second) for p in found} == {(3, 10), (3, 11), (10, 11)} or {
        (p.first, p.second) for p in found
    } == {(3, 10), (3, 11)}


def test_different_images_that_look_alike_are_no_copies() -> None:
    assert pairs([picture(seed) for seed in range(200)]) == ()


def test_flat_images_are_no_copies_of_others() -> None:
    found = pairs([np.zeros((20, 20), np.uint8), np.full((20, 20), 9, np.uint8), *(picture(s) for s in range(8))])
    assert found == ()


def test_a_volume_counts_by_its_middle_slice() -> None:
    volume = np.stack([picture(seed) for seed in range(5)])
    np.testing.assert_array_equal(thumbnail(volume), thumbnail(volume[2]))


def test_a_thumbnail_is_the_mean_of_areas() -> None:
    ramp = np.repeat(np.arange(64.0), 64).reshape(64, 64)
    small = thumbnail(ramp)
    expected = np.repeat(np.arange(SIDE) * 2 + 0.5, SIDE).reshape(SIDE, SIDE)
    expected -= expected.mean()
    np.testing.assert_allclose(small, expected / np.linalg.norm(expected), atol=1e-6)
    assert small.shape == thumbnail(np.random.default_rng(0).random((17, 5))).shape == (SIDE, SIDE)


def test_the_fingerprint_forgives_small_changes() -> None:
    def bits(image: Picture) -> np.ndarray:
        return fingerprint(np.asarray(thumbnail(image), dtype=np.float32))

    near = (bits(picture(1)) != bits(compressed(picture(1)))).sum()
    far = (bits(picture(1)) != bits(picture(2))).sum()
    assert near <= 4
    assert far > near


def test_real_images_of_different_patients_are_no_copies(data_root: object) -> None:
    from pathlib import Path

    source = Path(str(data_root)) / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
    if not source.is_file():
        pytest.skip("pneumoniamnist is not there")
    images = np.load(source)["train_images"][:400]
    small: list[F32] = [thumbnail(one) for one in images]
    found = find_duplicates(small, [str(hash(one.tobytes())) for one in images])
    assert len(found) <= 2, found
