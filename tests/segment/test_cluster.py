"""Clusters: known mixtures, SciPy's and scikit-learn's answers, order, seeds and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from segment_phantoms import GRIDS, ball, dice, disc, grid, mask, picture, truth

from vesalius import io
from vesalius.core.errors import ImageContentError, UsageError
from vesalius.segment import cluster

METHODS = (cluster.k_means, cluster.gaussian_mixture)


def three(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(0, 4, 20000), random.normal(50, 8, 12000), random.normal(90, 6, 8000)])


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("work", [*METHODS, cluster.hierarchical])
def test_two_classes_are_the_ball_and_the_rest(work: object, spacing: tuple[float, float, float]) -> None:
    volume = ball(spacing, noise=10)
    found = work(volume, classes=2)  # type: ignore[operator]
    assert dice(found.array == 2, truth(spacing)) > 0.85
    assert found.same_grid(volume)
    assert [s.name for s in found.segments.values()] == ["class_1", "class_2"]


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_k_means_is_scipys_best(kind: type) -> None:
    values = np.rint(three() * 10) if kind is np.int16 else three()
    volume = picture(values.astype(kind).reshape(200, 200))
    found = cluster.k_means(volume, classes=3).array.ravel()
    means = np.array([values[found == k].mean() for k in (1, 2, 3)])
    starts = (kmeans2(values[:, None], 3, minit="++", rng=seed)[0].ravel() for seed in range(4))
    best = min(starts, key=lambda m: ((values[:, None] - m) ** 2).min(axis=1).sum())
    assert means == pytest.approx(np.sort(best), abs=0.05 * (10 if kind is np.int16 else 1))


def test_a_mixture_is_found() -> None:
    volume = picture(three().reshape(200, 200).astype(np.float32))
    values, _, (centres, counts) = cluster._counted(volume, "x", 3, None)
    share, mean, spread = cluster.mixture(centres, counts, cluster._best_means(centres, counts, 3, 0))
    assert share == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
    assert mean == pytest.approx([0, 50, 90], abs=0.5)
    assert spread == pytest.approx([4, 8, 6], abs=0.3)
    known = [np.log(w / s) - ((values - m) / s) ** 2 / 2 for w, m, s in ((0.5, 0, 4), (0.3, 50, 8), (0.2, 90, 6))]
    assert np.mean(cluster.gaussian_mixture(volume).array == np.argmax(known, axis=0) + 1) > 0.997


@pytest.mark.parametrize("work", METHODS)
def test_the_same_seed_gives_the_same_answer_and_labels_are_ordered(work: object, data_root: Path) -> None:
    with io.scan(data_root / "totalseg_ct" / "example_mr_sm.nii.gz") as found:
        head = io.load(found.studies[0].series[0])
    first, again = (work(head, classes=4, seed=5) for _ in range(2))  # type: ignore[operator]
    assert first.sha256 == again.sha256
    means = [head.array[first.array == k].mean() for k in range(1, 5)]
    assert means == sorted(means)
    assert (work(head, classes=4, seed=6).array == first.array).mean() > 0.99  # type: ignore[operator]


def test_within_is_all_that_is_seen() -> None:
    region = mask(truth(radius_mm=18.0))
    volume = ball(noise=5)
    wild = volume.with_array(np.where(region.array, volume.array, 5000), "wild")
    for work in (*METHODS, cluster.hierarchical):
        found = work(wild, classes=2, within=region)
        assert np.array_equal(found.array > 0, region.array > 0)
        assert dice(found.array == 2, truth()) > 0.85


def test_hierarchical_works_on_pictures_and_joins_what_is_apart() -> None:
    array = np.zeros((60, 90), np.float32)
    array[10:40, 10:30], array[20:50, 60:80] = 100, 100
    volume = picture(array + np.random.default_rng(0).normal(0, 4, array.shape).astype(np.float32))
    found = cluster.hierarchical(volume, classes=2, count=200)
    assert dice(found.array[0] == 2, array > 50) > 0.9


def test_bad_input_is_told_with_its_fix() -> None:
    even = grid(np.full((4, 5, 6), 7, np.int16))
    for work in METHODS:
        with pytest.raises(ImageContentError, match="ask for fewer classes"):
            work(even)
        with pytest.raises(UsageError, match="2 or more"):
            work(disc(), classes=1)
    with pytest.raises(UsageError, match="fewer supervoxels than classes"):
        cluster.hierarchical(disc(), classes=40, count=4)
