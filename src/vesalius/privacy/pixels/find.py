"""Text in one picture: where it is, and what of it is in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError
from vesalius.privacy.pixels import lines, model, views
from vesalius.privacy.pixels.lines import Line

Array = NDArray[Any]
Box = tuple[int, int, int, int]
LEAST_SIDE = 12
"""Pictures narrower than this hold no legible text."""


@dataclass(frozen=True)
class TextBox:
    """A slanted box around text; what the text says is not kept.

    Args:
        corners: four (row, column), in pixels.
        score: 0 to 1, how certainly it is text.
    """

    corners: tuple[tuple[float, float], ...]
    score: float

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the pixels inside the box."""
        from skimage.draw import polygon2mask

        inside: NDArray[np.bool_] = polygon2mask(shape[:2], np.array(self.corners))
        return inside

    @property
    def bounds(self) -> Box:
        """Return (top, left, bottom, right) of the upright box around it; the last two exclusive."""
        points = np.array(self.corners)
        (top, left), (bottom, right) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
        return int(top), int(left), int(bottom) + 1, int(right) + 1


@dataclass(frozen=True)
class Found:
    """What was found in one picture: boxes of text, and boxes that a person should look at."""

    boxes: tuple[TextBox, ...]
    doubtful: tuple[TextBox, ...] = ()


def find_text(
    pixels: Array,
    *,
    window: tuple[float, float] | None = None,
    thorough: bool = True,
    outside: Sequence[Box] = (),
    threads: int = model.THREADS,
) -> Found:
    """Return where text stands in a picture.

    Args:
        pixels: (rows, columns) or (rows, columns, 3) in any unit.
        window: lowest and highest value that a viewer shows, in the unit of `pixels`.
        thorough: look in several scales, directions and contrasts; one look only for frames like another one.
        outside: (top, left, bottom, right) of the regions that hold the image; beyond them a hint of text is enough.

    Raises:
        ImageContentError: the array is no picture.
        MissingDependencyError: the extra `ocr` is not installed.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise ImageContentError(
            "text is looked for in one picture",
            found=f"shape {pixels.shape}",
            expected="(rows, columns) or (rows, columns, 3)",
        )
    if min(pixels.shape[:2]) < LEAST_SIDE or pixels.min() == pixels.max():
        return Found(())
    shown = views.pictures(pixels, window)
    looked = views.thorough(pixels.shape[:2]) if thorough else views.quick(pixels.shape[:2])
    found = Found(())
    for index, picture in enumerate(shown):
        # Pictures after the first differ from it in contrast only: two views are enough for what it hides.
        chosen = looked if index == 0 or len(looked) == 1 else (looked[1], looked[-1])
        maps = [_map(view, picture, threads) for view in chosen]
        part = judge(picture, maps, outside=outside, threads=threads)
        found = Found(found.boxes + part.boxes, found.doubtful + part.doubtful)
    return found


def _map(view: views.View, picture: views.Picture, threads: int) -> Array:
    found = model.text_map(views.apply(view, picture), view.scale, threads)
    return found.T if view.turned else found


def judge(
    picture: views.Picture, maps: Sequence[Array], *, outside: Sequence[Box] = (), threads: int = model.THREADS
) -> Found:
    """Return which candidates of the maps of one picture are text, read one by one."""
    every = lines.merge([lines.candidates(found) for found in maps])
    if not every:
        return Found(())
    shown = (picture, views.levelled(picture))
    read = [lines.with_text(line, shown, lambda crop: model.read(crop, threads)) for line in every if line.peak >= 0.4]
    views_seen = len(maps)
    accepted = [line for line in read if lines.is_text(line, views_seen) or (outside and not _within(line, outside))]
    rest = [line for line in every if not any(lines.same(line, kept) for kept in accepted)]
    accepted += [line for line in rest if lines.continues(line, accepted)]
    doubtful = [line for line in read if line not in accepted and lines.is_doubtful(line, views_seen)]
    accepted = [lines.lengthened(picture, line) for line in accepted]
    return Found(tuple(_text_box(line) for line in accepted), tuple(_text_box(line) for line in doubtful))


def _within(line: Line, regions: Sequence[Box]) -> bool:
    return any(top <= line.row < bottom and left <= line.column < right for top, left, bottom, right in regions)


def _text_box(line: Line) -> TextBox:
    corners = tuple((float(row), float(column)) for row, column in line.grown())
    return TextBox(corners, max(line.score, line.mean))
