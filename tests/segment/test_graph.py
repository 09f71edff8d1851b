"""Graph cut, random walker and GrowCut: the exact minimum, other people's answers, any grid, any seeds."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from segment_phantoms import GRIDS, MIDDLE, OUTSIDE, ball, dice, disc, grid, mask, picture, truth
from skimage import segmentation

from vesalius import io
from vesalius.core import Mask
from vesalius.core.errors import GeometryError, LabelError, UsageError
from vesalius.segment import graph, inputs, mincut
from vesalius.segment.inputs import Seeds

FRONT, BACK = Seeds([[0.0, 0.0, 0.0]], radius_mm=5.0), Seeds(OUTSIDE.points, radius_mm=4.0)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("model", ["histogram", "gaussian"])
def test_a_cut_finds_the_ball_on_any_grid(spacing: tuple[float, float, float], model: graph.Model) -> None:
    found = graph.graph_cut(ball(spacing, noise=20), foreground=FRONT, background=BACK, model=model)
    assert dice(found.array > 0, truth(spacing)) > 0.975


def test_a_small_cut_is_the_cheapest_of_all() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, (1, 3, 4)).astype(np.float32)
    likely = random.normal(0, 1, values.shape).astype(np.float32)
    seeds = np.zeros(values.shape, np.uint8)
    seeds[0, 0, 0], seeds[0, 2, 3] = 1, 2
    scene = mincut.Scene(values, likely, seeds, np.ones(values.shape, bool), (1.0, 2.0, 1.0))
    noise = mincut._noise(scene)

    def cost(flags: np.ndarray) -> float:
        total = float(likely[~flags].sum()) * 2.0
        for axis, area in ((1, 1.0), (2, 2.0)):
            change = np.diff(values, axis=axis) ** 2
            weight = mincut.REACH * area * np.exp(-change / (2 * noise))
            total += float(weight[np.diff(flags.astype(int), axis=axis) != 0].sum())
        return total

    free = np.argwhere(seeds == 0)
    best = min(
        (_filled(seeds, free, bits) for bits in itertools.product((False, True), repeat=len(free))),
        key=cost,
    )
    assert cost(mincut.cut(scene)) == pytest.approx(cost(best), abs=0.02)


def _filled(seeds: np.ndarray, free: np.ndarray, bits: tuple[bool, ...]) -> np.ndarray:
    flags = seeds == 1
    flags[tuple(free.T)] = bits
    return flags


def test_the_band_finds_what_the_whole_graph_does(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = ball(noise=20)
    banded = graph.graph_cut(volume, foreground=FRONT, background=BACK)
    monkeypatch.setattr(mincut, "MOST_NODES", 10**9)
    whole = graph.graph_cut(volume, foreground=FRONT, background=BACK)
    assert dice(banded.array > 0, whole.array > 0) > 0.99


def test_a_cut_without_brightness_follows_the_edge() -> None:
    back = Seeds([[0.0, 20.0, 0.0], [0.0, -20.0, 0.0]], radius_mm=4.0)
    found = graph.graph_cut(ball(noise=5), foreground=Seeds([[0.0, 0, 0]], radius_mm=9), background=back, balance=0)
    assert dice(found.array > 0, truth()) > 0.97


def test_the_random_walker_is_scikit_images() -> None:
    volume = disc(noise=10)
    front, back = Seeds([(30, 40), (35, 45)], "index"), Seeds([(2, 2), (60, 75), (5, 70)], "index")
    ours = graph.random_walker(volume, foreground=front, background=back, beta=200)
    labels = np.zeros(volume.shape, int)
    labels[0, [30, 35], [40, 45]], labels[0, [2, 60, 5], [2, 75, 70]] = 1, 2
    peer = segmentation.random_walker(volume.array[0] / volume.array.std(dtype=float), labels[0], 200, "cg_j", 1e-5)
    assert np.mean((ours.array[0] > 0) == (peer == 1)) > 0.999


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("name", ["random_walker", "grow_cut"])
def test_walks_and_paths_find_a_clear_ball(spacing: tuple[float, float, float], name: str) -> None:
    volume = ball(spacing, noise=1).crop(*[((2, 10, 10), (10, 38, 38)), ((10, 10, 10), (38, 38, 38))][spacing[0] < 2])
    seeds = {"foreground": MIDDLE, "background": Seeds([[0.0, 13.0, 12.0], [-12.0, -13.0, 0.0], [13.0, 0.0, -12.0]])}
    small = volume.with_array(volume.array * 1.0, "same")
    truth_here = small.array > 50
    seeds["background"] = Seeds(small.index_to_world(np.argwhere(~truth_here)[::97]))
    assert dice(getattr(graph, name)(small, **seeds).array > 0, truth_here) > 0.97


def test_grow_cut_is_what_its_automaton_converges_to() -> None:
    array = disc(noise=15).array[0, 20:40, 30:56]
    volume = picture(array)
    labels = np.zeros(array.shape, np.uint8)
    labels[10, 10], labels[0, 0], labels[19, 25] = 1, 2, 2
    ours = graph.grow_cut(
        volume, foreground=Seeds([(10, 10)], "index"), background=Seeds([(0, 0), (19, 25)], "index")
    ).array[0]
    assert (ours[labels == 1] == 1).all()
    assert np.mean((ours == 1) == (_automaton(array, labels) == 1)) > 0.99


def _automaton(array: np.ndarray, labels: np.ndarray) -> np.ndarray:
    labels, strength = labels.copy(), (labels > 0).astype(float)
    for _ in range(300):
        before = strength.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            near = [slice(None)] * 2
            far = [slice(None)] * 2
            near[axis], far[axis] = (slice(1, None), slice(None, -1)) if step > 0 else (slice(None, -1), slice(1, None))
            here, there = tuple(near), tuple(far)
            loss = np.abs(array[here] - array[there]) / np.ptp(array)
            attack = (1 - loss) * strength[there] * np.exp(-1e-3)
            won = attack > strength[here]
            labels[here] = np.where(won, labels[there], labels[here])
            strength[here] = np.where(won, attack, strength[here])
        if np.array_equal(before, strength):
            break
    return labels


def test_markers_of_several_segments_keep_their_names() -> None:
    volume = disc(noise=3)
    seeds = np.zeros(volume.shape, np.uint8)
    seeds[0, 30, 40], seeds[0, 2, 2], seeds[0, 60, 70] = 1, 2, 3
    markers = inputs.answer(volume, seeds, inputs.pieces(3, "organ"), "made")
    for work in (graph.random_walker, graph.grow_cut):
        found = work(volume, markers=markers)
        assert [s.name for s in found.segments.values()] == ["organ_1", "organ_2", "organ_3"]
        assert (found.array[seeds > 0] == seeds[seeds > 0]).all()
        assert dice(found.array == 1, disc(noise=0).array > 50) > 0.9


def test_within_is_not_left_and_answers_repeat() -> None:
    region = mask(truth(radius_mm=18.0))
    given = {"foreground": MIDDLE, "background": Seeds([[0.0, 16.0, 0.0]], radius_mm=1.5), "within": region}
    for work in (graph.graph_cut, graph.grow_cut):
        found = work(ball(noise=10), **given)
        assert not found.array[region.array == 0].any()
        assert found.sha256 == work(ball(noise=10), **given).sha256


def test_a_real_liver_is_cut_out(data_root: Path) -> None:
    images = []
    for name in ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz"):
        with io.scan(data_root / "totalseg_ct" / name) as found:
            images.append(io.load(found.studies[0].series[0]))
    start, stop = zip(*[(s.min() - 6, s.max() + 7) for s in np.nonzero(images[1].array == 5)], strict=True)
    low, high = np.maximum(start, 0), np.minimum(stop, images[0].shape)
    part, liver = (one.crop(tuple(map(int, low)), tuple(map(int, high))) for one in images)
    inside = liver.array == 5
    deep, far = ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside)
    front = Seeds(np.argwhere(deep > deep.max() * 0.5), "index")
    back = Seeds(np.argwhere((far > 2) & (far < 5))[::10], "index")
    found = graph.graph_cut(part, foreground=front, background=back)
    assert dice(found.array > 0, inside) > 0.9


def test_bad_input_is_told_with_its_fix() -> None:
    volume = ball()
    with pytest.raises(UsageError, match="two kinds of seeds"):
        graph.random_walker(volume, foreground=MIDDLE)
    with pytest.raises(UsageError, match="leave markers out"):
        graph.grow_cut(volume, foreground=MIDDLE, markers=mask(truth()))
    with pytest.raises(LabelError, match="at least two segments"):
        graph.grow_cut(volume, markers=mask(truth()))
    with pytest.raises(GeometryError, match="foreground and background"):
        graph.graph_cut(volume, foreground=MIDDLE, background=MIDDLE)
    with pytest.raises(GeometryError, match="none of background"):
        graph.graph_cut(volume, foreground=MIDDLE, background=OUTSIDE, within=mask(truth()))
    with pytest.raises(LabelError, match="mask of foreground is empty"):
        graph.graph_cut(volume, foreground=mask(np.zeros(volume.shape, bool)), background=OUTSIDE)
    with pytest.raises(UsageError, match="did you mean 'gaussian'"):
        graph.graph_cut(volume, foreground=MIDDLE, background=OUTSIDE, model="gausian")  # type: ignore[arg-type]
    with pytest.raises(GeometryError, match="different grids"):
        graph.grow_cut(volume, markers=Mask(np.zeros((2, 2, 2), np.uint8), np.eye(4)))
    even = grid(np.full((6, 6, 6), 5, np.int16))
    found = graph.graph_cut(even, foreground=Seeds([(0, 0, 0)], "index"), background=Seeds([(5, 5, 5)], "index"))
    assert found.array[0, 0, 0] == 1
    assert found.array[5, 5, 5] == 0
