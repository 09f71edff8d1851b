"""Seeds or a box to a mask: the contract with every seed, balls on any grid, corrections, real images, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from segment_phantoms import GRIDS, MIDDLE, OUTSIDE, ball, dice, disc, grid, mask, places, truth

from vesalius import io
from vesalius.core import Volume
from vesalius.core.errors import GeometryError, LabelError, UnknownSpacingError, UsageError
from vesalius.segment import inputs, interactive
from vesalius.segment.inputs import Seeds

BOX = [(-16, -16, -16), (16, 16, 16)]
WAYS = {
    "both": {"foreground": MIDDLE, "background": OUTSIDE},
    "foreground": {"foreground": MIDDLE},
    "box": {"box": BOX},
    "all": {"foreground": MIDDLE, "background": Seeds([[0.0, 15.0, 0.0]]), "box": BOX},
}


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_finds_the_ball_on_any_grid(way: str, spacing: tuple[float, float, float]) -> None:
    found = interactive.select(ball(spacing, noise=20), **WAYS[way])
    assert dice(found.array > 0, truth(spacing)) > 0.97
    assert found.volume_ml("region") == pytest.approx(truth(spacing).sum() * np.prod(spacing) / 1000, rel=0.04)


@pytest.mark.parametrize("seed", range(8))
def test_the_mask_has_every_foreground_seed_and_no_background_seed(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (1, 60, 70) if seed % 2 else (20, 30, 40)
    volume = grid(ndimage.gaussian_filter(random.normal(0, 50, shape), 1.5).astype(np.float32))
    chosen = random.permutation(int(np.prod(shape)))[:24]
    points = np.stack(np.unravel_index(chosen, shape), axis=1)
    front, back = Seeds(points[:9], "index"), Seeds(points[9:], "index")
    found = interactive.select(volume, foreground=front, background=back).array
    assert found[tuple(points[:9].T)].all()
    assert not found[tuple(points[9:].T)].any()
    parts, _ = ndimage.label(found)
    assert set(np.unique(parts)) - {0} == set(parts[tuple(points[:9].T)])


def test_seeds_hold_against_a_box_and_a_mask() -> None:
    back = Seeds([[3.0, 3.0, 3.0]], radius_mm=2)
    found = interactive.select(ball(noise=5), foreground=Seeds([[-3.0, 0, 0]]), background=back, box=BOX)
    assert not found.array[inputs.marked(ball(), back, "x")].any()
    half = truth(radius_mm=20.0)
    half[:, :20] = False
    kept = interactive.select(ball(noise=5), foreground=MIDDLE, within=mask(half))
    assert not kept.array[~half].any()
    assert dice(kept.array > 0, truth() & half) > 0.97


def test_a_stroke_is_a_line_with_a_brush() -> None:
    volume = ball((4.0, 1.0, 1.0))
    line = Seeds([[-10.0, 0.0, 0.0], [10.0, 0.0, 0.0]], joined=True, radius_mm=3.0)
    marks = inputs.marked(volume, line, "x")
    z, y, x = places((4.0, 1.0, 1.0))
    tube = (np.hypot(y, z) <= 3) & (np.abs(x) <= 10)
    assert (marks & tube).sum() == tube.sum()
    assert not marks[np.hypot(np.hypot(y, z), np.maximum(np.abs(x) - 10, 0)) > 3.01].any()
    both = inputs.marked(volume, [line, Seeds([[0.0, 20.0, 0.0]])], "x")
    assert both.sum() == marks.sum() + 1
    tilted = volume.affine.copy()
    tilted[1, 0] = 2.0
    sheared = Volume(volume.array, tilted)
    centres = sheared.index_to_world(np.moveaxis(np.indices(volume.shape), 0, -1))
    near = np.linalg.norm(centres - sheared.index_to_world((6, 24, 24)), axis=-1) <= 5
    assert np.array_equal(inputs.marked(sheared, Seeds([(6, 24, 24)], "index", radius_mm=5), "x"), near)


def test_answers_repeat_and_say_how_they_were_made() -> None:
    one, two = (interactive.select(ball(noise=20), foreground=MIDDLE, background=OUTSIDE) for _ in range(2))
    assert one.sha256 == two.sha256
    assert one.history[-1].operation == "interactive"
    assert one.history[-1].parameters["foreground"] == "Seeds"


def test_strokes_correct_a_mask_near_them_only() -> None:
    z, y, x = places((1.0, 1.0, 1.0))
    two = np.where(x**2 + y**2 + z**2 < 100, 100.0, 0) + np.where((x - 13) ** 2 + y**2 + z**2 < 64, 70.0, 0)
    volume = grid((np.minimum(two, 100) + np.random.default_rng(0).normal(0, 8, two.shape)).astype(np.float32))
    body, other = x**2 + y**2 + z**2 < 100, ((x - 13) ** 2 + y**2 + z**2 < 64) & (x**2 + y**2 + z**2 >= 100)
    wrong = mask(body | other)
    stroke = Seeds([[12.0, 0.0, 0.0], [17.0, 0.0, 0.0]], joined=True, radius_mm=2)
    less = interactive.correct(volume, mask=wrong, remove=stroke)
    assert dice(less.array > 0, body) > 0.95 > dice(wrong.array > 0, body)
    assert not less.array[inputs.marked(volume, stroke, "x")].any()
    more = interactive.correct(volume, mask=mask(body), add=stroke)
    assert dice(more.array > 0, body | other) > 0.95
    assert more.array[inputs.marked(volume, stroke, "x")].all()
    near = interactive.correct(volume, mask=wrong, remove=Seeds([[16.0, 0, 0]]), reach_mm=4.0)
    far = ndimage.distance_transform_edt(~inputs.marked(volume, Seeds([[16.0, 0, 0]]), "x"))
    assert np.array_equal(near.array[far > 4], wrong.array[far > 4])
    assert near.segments == wrong.segments


def test_a_real_kidney_needs_a_box_and_three_points(data_root: Path) -> None:
    images = []
    for name in ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz"):
        with io.scan(data_root / "totalseg_ct" / name) as found:
            images.append(io.load(found.studies[0].series[0]))
    kidney = images[1].array == 3
    ends = np.array([(s.min() - 2, s.max() + 2) for s in np.nonzero(kidney)]).T
    deep = np.argwhere(ndimage.distance_transform_edt(kidney) > 3)
    front = Seeds(deep[:: len(deep) // 3][:3], "index")
    box = Seeds(images[0].index_to_world(ends))
    answer = interactive.select(images[0], foreground=front, box=box)
    assert dice(answer.array > 0, kidney) > 0.85


def test_real_lesions_in_ultrasound_need_a_box(data_root: Path) -> None:
    scores = []
    for path in sorted((data_root / "busi_masks" / "images").iterdir())[:4]:
        with io.scan(path) as one, io.scan(data_root / "busi_masks" / "masks" / path.name) as two:
            image, mark = (io.load(found.studies[0].series[0]) for found in (one, two))
        lesion = inputs.brightness(mark, "mask") > 30
        ends = np.array([(s.min() - 4, s.max() + 4) for s in np.nonzero(lesion)]).T
        scores.append(dice(interactive.select(image, box=Seeds(ends, "index")).array > 0, lesion))
    assert np.median(scores) > 0.75


def test_bad_input_is_told_with_its_fix() -> None:
    volume = ball()
    with pytest.raises(UsageError, match="seeds of the foreground or a box"):
        interactive.select(volume, background=OUTSIDE)
    with pytest.raises(GeometryError, match="foreground: place 1 of 1 lies outside"):
        interactive.select(volume, foreground=[(0, 0, 200)])
    with pytest.raises(GeometryError, match="widen the box"):
        interactive.select(volume, foreground=[(20, 0, 0)], box=BOX)
    with pytest.raises(GeometryError, match="widen the mask"):
        interactive.select(volume, foreground=[(20, 0, 0)], within=mask(truth()))
    with pytest.raises(GeometryError, match="foreground and background"):
        interactive.select(volume, foreground=MIDDLE, background=MIDDLE)
    with pytest.raises(GeometryError, match="box lies outside"):
        interactive.select(volume, box=[(50, 50, 50), (60, 60, 60)])
    with pytest.raises(UsageError, match="two opposite corners"):
        interactive.select(volume, box=[(50, 50, 50)])
    with pytest.raises(UnknownSpacingError):
        interactive.select(disc(), foreground=[(0, 0, 0)])
    assert interactive.select(disc(), foreground=Seeds([(30, 40)], "index")).array[0, 30, 40] == 1
    with pytest.raises(UsageError, match="one stroke at least"):
        interactive.correct(volume, mask=mask(truth()))
    with pytest.raises(LabelError, match="one segment"):
        interactive.correct(volume, mask=mask(truth().astype(np.uint8) * 2), add=MIDDLE)
    with pytest.raises(GeometryError, match="foreground and background"):
        interactive.correct(volume, mask=mask(truth()), add=MIDDLE, remove=MIDDLE)
    assert interactive.select(grid(np.full((6, 7, 8), 3, np.int16)), foreground=Seeds([(2, 2, 2)], "index")).array.any()
