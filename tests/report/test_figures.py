from __future__ import annotations

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
import sample
from numpy.typing import NDArray
from PIL import Image

from vesalius.core import Axis, Frame, KeyImage, Message, Result, Segment, Spacing, Volume
from vesalius.core.axis import AxisKind
from vesalius.core.code import Code
from vesalius.report import contours, figures, fonts
from vesalius.report.figures import Pen
from vesalius.report.phrases import Phrases


@pytest.fixture(scope="module")
def pen(english: Phrases) -> Pen:
    return Pen(english, fonts.find([]).faces("en"))


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int], far: int = 40) -> NDArray[np.bool_]:
    return np.asarray(np.abs(picture.astype(int) - colour).sum(axis=2) < far)


def test_every_key_image_is_drawn_with_and_without_contours_and_a_chart(completed: Result, pen: Pen) -> None:
    # libraries of other tests in this process may have loaded it
    loaded = "matplotlib.pyplot" in sys.modules
    drawn = figures.draw(completed, pen)
    assert [p.name for p in drawn] == ["tissue", "tissue_plain", "montage", "montage_plain", "volumes"]
    assert all(p.alt and p.caption and p.width == 1370 for p in drawn)
    assert "Contours: White matter, Grey matter, Cerebrospinal fluid" in drawn[0].alt
    assert drawn[-1].dark_png
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_contours_have_the_colours_of_the_segments_and_the_plain_picture_has_none(completed: Result, pen: Pen) -> None:
    with_lines, plain = figures.draw(completed, pen)[:2]
    for segment in sample.SEGMENTS.values():
        panels = pixels(with_lines.png)[:-60]
        assert near(panels, segment.colour).sum() > 100
        assert near(pixels(plain.png), segment.colour).sum() == 0


def test_slices_have_equal_millimetres_in_both_directions(pen: Pen) -> None:
    array = np.full((21, 60, 30), 10, np.float32)
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, :3] = np.array([[0, 0, 2], [0, 1, 0], [5, 0, 0]])
    inside = np.zeros_like(array)
    inside[4:17, 10:50, 5:25] = 900
    volume = Volume(array + inside, affine)
    centre = volume.centre_mm()
    point = (float(centre[0]), float(centre[1]), float(centre[2]))
    image = KeyImage("box", "t1", "", ("axial",), point, (0.0, 1000.0), Message("report.picture.input"))
    result = Result(sample.refused(volume).report, {"t1": volume}, images=(image,))
    bright = pixels(figures.draw(result, pen)[0].png)[..., 0] > 160
    rows = np.flatnonzero(bright.sum(axis=1) > 300)
    columns = np.flatnonzero(bright.sum(axis=0) > 300)
    assert (columns[-1] - columns[0]) / (rows[-1] - rows[0]) == pytest.approx(40 / 40, abs=0.05)


def test_the_left_marker_is_on_the_right_of_the_axial_panel(pen: Pen) -> None:
    volume, mask = sample.phantom()
    result = sample.completed(volume, mask)
    image = replace(result.images[0], planes=("axial",), mask="", window=(0.0, 900.0))
    picture = pixels(figures.key_picture(image, result, pen).png)[:-60]
    _, columns = np.nonzero(near(picture, (255, 255, 255), 12)[100:-100])
    assert columns.mean() > picture.shape[1] / 2


def test_a_shared_border_is_drawn_once_in_the_colour_of_the_inner_segment() -> None:
    code = Code("1", "99VESALIUS", "x")
    inner, outer = Segment("inner", code, (1, 1, 1)), Segment("outer", code, (2, 2, 2))
    y, x = np.mgrid[-20:21, -20:21]
    radius = np.hypot(x, y)
    shares = [
        (outer, ((radius >= 8) & (radius < 16)).astype(np.float32)),
        (inner, (radius < 8).astype(np.float32)),
    ]
    outlines = contours.trace(shares, (41.0, 41.0))
    assert [s.name for s in contours.inner_first(outlines)] == ["inner", "outer"]
    points = next(o for o in outlines if o.segment is outer).path(["inner"])
    points = points[np.isfinite(points[:, 0])]
    assert np.hypot(points[:, 0] - 20.5, points[:, 1] - 20.5).min() > 12


@pytest.mark.parametrize("kind", ["zero", "nan", "two slices", "4-D", "colour", "picture"])
def test_any_refused_input_is_drawn(kind: str, pen: Pen) -> None:
    volume, _ = sample.phantom()
    four = Axis(AxisKind.TIME, (0.0, 1.0), "s")
    rgb = Axis(AxisKind.RGB, ("r", "g", "b"))
    flat = np.zeros((1, 30, 20), np.uint8)
    inputs = {
        "zero": replace(volume, array=np.zeros_like(volume.array)),
        "nan": replace(volume, array=np.full_like(volume.array, np.nan)),
        "two slices": replace(volume, array=volume.array[:2]),
        "4-D": replace(volume, array=np.stack([volume.array] * 2, axis=3), axis=four),
        "colour": Volume(np.stack([flat] * 3, axis=3), np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, axis=rgb),
        "picture": Volume(flat, np.eye(4), Frame.IMAGE, Spacing.UNKNOWN),
    }
    result = Result(sample.refused(volume).report, {"t1": inputs[kind]})
    (picture,) = figures.draw(result, pen)
    assert picture.name == "input"
    assert picture.height < 1100


def test_a_refusal_without_a_picture_has_no_figure(refused: Result, pen: Pen) -> None:
    assert figures.draw(replace(refused, volumes={}), pen) == ()


def test_a_draft_model_leaves_its_mark_on_every_figure(completed: Result, pen: Pen) -> None:
    few = replace(completed, images=completed.images[:1])
    marked = figures.draw(few, replace(pen, draft="DRAFT MODEL"))
    assert all(a.png != b.png for a, b in zip(figures.draw(few, pen), marked, strict=True))


def test_figures_are_the_same_bytes_again(completed: Result, pen: Pen) -> None:
    image = completed.images[0]
    first, second = (figures.key_picture(image, completed, pen) for _ in range(2))
    assert first.png == second.png


def test_chinese_figures_miss_no_glyph(completed: Result, system_fonts: fonts.FontSet) -> None:
    """Matplotlib warns of a missing glyph, and every warning is an error here."""
    phrases = Phrases("zh", sample.CATALOGUE)
    chinese = figures.draw(completed, Pen(phrases, system_fonts.faces("zh"), "草稿"))
    assert "灰质" in chinese[0].alt
