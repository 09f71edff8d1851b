"""Lines of text out of the network's maps: candidates as slanted boxes, and which of them hold text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Array = NDArray[Any]
Reader = Callable[[Picture], tuple[str, float]]

LEAST: Final = 0.25
"""Probability from which pixels join a candidate."""
_LEAST_AREA: Final = 12
_THICKEST: Final = (90.0, 0.22)
"""A line's kernel is at most this thick: pixels, and part of the picture's shorter side."""
_STRAIGHT: Final = np.deg2rad(7)
_STRONG: Final = 0.8
_SHARED: Final = 0.5
_LONG: Final = 1.8
_THIN: Final = 30.0
ALONG: Final = 1.3
"""A box is longer than the kernel by this many thicknesses at each end: the kernel often misses an end character."""
ACROSS: Final = 0.5
"""A box is thicker than the kernel by this many thicknesses on each side (the network's kernels are shrunk)."""
_LEAST_MARGIN: Final = 3.0
_CLEAR: Final = 0.92
"""A reading as clear as this needs no other try: upside down, the network reads some letters too."""
_REACH: Final = 5.0
"""Ends are looked for within so many thicknesses."""


@dataclass(frozen=True)
class Line:
    """A candidate: a slanted box around a kernel of the network's map, in pixels of the picture.

    Args:
        angle: direction of reading, radians from the columns' axis towards higher rows, -pi/2 to pi/2.
        seen: number of views in which the candidate is strong, of those that were looked at.
    """

    row: float
    column: float
    angle: float
    length: float
    thickness: float
    peak: float
    mean: float
    filled: float
    seen: int = 1
    text: str = ""
    score: float = 0.0

    def axes(self) -> tuple[Array, Array]:
        """Return the unit vectors (row, column) along the line and across it."""
        along = np.array((np.sin(self.angle), np.cos(self.angle)))
        return along, np.array((along[1], -along[0]))

    def corners(self, along: float = 0.0, across: float = 0.0) -> Array:
        """Return the four corners (row, column), the box grown by so many pixels at each end and side."""
        u, v = self.axes()
        a, b = (self.length / 2 + along) * u, (self.thickness / 2 + across) * v
        centre = np.array((self.row, self.column))
        return np.stack((centre - a - b, centre + a - b, centre + a + b, centre - a + b))

    def grown(self) -> Array:
        """Return the corners of the box that covers the glyphs."""
        margin = max(_LEAST_MARGIN, ACROSS * self.thickness)
        return self.corners(max(margin, ALONG * self.thickness), margin)


def candidates(text_map: Array) -> list[Line]:
    """Return every candidate of one map; what is too thick for a line, such as a whole organ, is left out."""
    from skimage.measure import label, regionprops

    most = min(_THICKEST[0], max(12.0, _THICKEST[1] * min(text_map.shape)))
    found = []
    for region in regionprops(label(text_map > LEAST), text_map):
        if region.area >= _LEAST_AREA:
            line = _box(region)
            if line.thickness <= most:
                found.append(line)
    return found


def _box(region: Any) -> Line:
    points = region.coords.astype(float)
    centre = points.mean(axis=0)
    angle = _direction(points - centre)
    u = np.array((np.sin(angle), np.cos(angle)))
    v = np.array((u[1], -u[0]))
    spans = [(float((points @ axis).min()) - 0.5, float((points @ axis).max()) + 0.5) for axis in (u, v)]
    middle = np.sum([(low + high) / 2 * axis for (low, high), axis in zip(spans, (u, v), strict=True)], axis=0)
    length, thickness = (high - low for low, high in spans)
    return Line(
        row=float(middle[0]),
        column=float(middle[1]),
        angle=angle,
        length=length,
        thickness=thickness,
        peak=float(region.intensity_max),
        mean=float(region.intensity_mean),
        filled=float(region.area / (length * thickness)),
    )


def _direction(offsets: Array) -> float:
    """Return the direction of the longest extent; near rows and columns, and for squares, exactly along them."""
    spread = np.cov(offsets.T) if len(offsets) > 2 else np.eye(2)
    values, vectors = np.linalg.eigh(spread)
    wide = np.ptp(offsets, axis=0)
    if values[0] <= 0 or values[1] / max(values[0], 1e-6) < 3:
        return np.pi / 2 if wide[0] > 1.5 * wide[1] else 0.0
    row, column = vectors[:, 1]
    angle = float(np.arctan2(row, column))
    angle = (angle + np.pi / 2) % np.pi - np.pi / 2
    for exact in (-np.pi / 2, 0.0, np.pi / 2):
        if abs(angle - exact) < _STRAIGHT:
            return abs(exact)
    return angle


def merge(found: Sequence[Sequence[Line]]) -> list[Line]:
    """Return candidates of several views, those of one line joined: the clearest stands for all and counts them."""
    joined: list[tuple[Line, set[int]]] = []
    flat = [(line, view) for view, lines in enumerate(found) for line in lines]
    for line, view in sorted(flat, key=lambda pair: -pair[0].mean * pair[0].length):
        strong = {view} if line.peak >= _STRONG else set()
        for index, (kept, views) in enumerate(joined):
            if same(kept, line):
                joined[index] = (_united(kept, line), views | strong)
                break
        else:
            joined.append((line, strong))
    return [replace(line, seen=len(views)) for line, views in joined]


def same(one: Line, other: Line) -> bool:
    """Return whether two boxes are parallel, equally thick, on one row of text, and share half of the shorter one."""
    turn = abs((one.angle - other.angle + np.pi / 2) % np.pi - np.pi / 2)
    ratio = one.thickness / max(other.thickness, 1e-6)
    if turn > 0.25 or not 0.45 < ratio < 2.2:
        return False
    u, v = one.axes()
    apart = np.array((other.row - one.row, other.column - one.column))
    if abs(apart @ v) > 0.6 * max(one.thickness, other.thickness):
        return False
    shared = (one.length + other.length) / 2 - abs(apart @ u)
    return bool(shared >= _SHARED * min(one.length, other.length))


def _united(kept: Line, other: Line) -> Line:
    """Return the clearer box lengthened so that it covers both along the line."""
    u, _ = kept.axes()
    start = float((other.row - kept.row) * u[0] + (other.column - kept.column) * u[1])
    low = min(-kept.length / 2, start - other.length / 2)
    high = max(kept.length / 2, start + other.length / 2)
    shift = (low + high) / 2 * u
    return replace(
        kept,
        row=kept.row + float(shift[0]),
        column=kept.column + float(shift[1]),
        length=high - low,
        thickness=max(kept.thickness, min(other.thickness, 1.3 * kept.thickness)),
        peak=max(kept.peak, other.peak),
    )


def upright(picture: Picture, line: Line, *, flipped: bool = False) -> Picture:
    """Return the line alone and upright, with a margin, at the picture's own size or larger."""
    from scipy import ndimage

    margin = max(2.0, 0.4 * line.thickness)
    length, thickness = line.length + 2 * margin, line.thickness + 2 * margin
    zoom = max(1.0, 40 / thickness)
    x = np.linspace(-length / 2, length / 2, max(4, round(length * zoom)))
    y = np.linspace(-thickness / 2, thickness / 2, max(4, round(thickness * zoom)))
    u, v = line.axes()
    if line.angle >= np.pi / 2 - 1e-9:
        u, v = -u, -v
    points = [centre + y[:, None] * v[i] + x[None] * u[i] for i, centre in enumerate((line.row, line.column))]
    crop: Picture = ndimage.map_coordinates(picture, points, order=1, mode="nearest")
    return crop[::-1, ::-1] if flipped else crop


def with_text(line: Line, pictures: Sequence[Picture], read: Reader) -> Line:
    """Return the candidate with what it says, read both ways round; the better reading stays."""
    best = line
    for picture in pictures:
        for flipped in (False, True):
            text, score = read(upright(picture, line, flipped=flipped))
            if _weight(text, score) > _weight(best.text, best.score):
                best = replace(best, text=text, score=score)
            if is_read(best) and best.score >= _CLEAR:
                return best
    return best


def _weight(text: str, score: float) -> float:
    return score * min(len(text.replace(" ", "")), 4)


def is_read(line: Line) -> bool:
    """Return whether a line was read so clearly that it is text."""
    letters = len(line.text.replace(" ", ""))
    if line.thickness > _THIN or line.peak < 0.6:
        return letters >= 3 and line.score >= 0.85
    return (letters >= 3 and line.score >= 0.7) or (letters == 2 and line.score >= 0.85)


def is_text(line: Line, views: int) -> bool:
    """Return whether a line is text: it was read, or it looks like text of a script that the network cannot read.

    Ribs and vessels, which look like lines of text too, are bent: they fill less of their box.
    """
    if is_read(line) or _is_bar(line, views):
        return True
    long = _LONG if line.thickness <= _THIN else 1.5 * _LONG
    letters = len(line.text.replace(" ", ""))
    if line.length < long * line.thickness or line.mean < 0.75 or letters < 2:
        return False
    if line.seen >= max(3, views - 1):
        return line.filled >= 0.78 or (line.score >= 0.5 and line.mean >= 0.85)
    return line.filled >= 0.78 and line.seen >= 3 and letters >= 3 and line.score >= 0.5


def _is_bar(line: Line, views: int) -> bool:
    """Return whether every view sees one straight, filled bar: a line of a script of which not a letter can be read."""
    return line.seen >= views > 1 and line.filled >= 0.84 and line.mean >= 0.85 and line.length >= 3 * line.thickness


def is_doubtful(line: Line, views: int) -> bool:
    """Return whether a person should look: it is like text and could not be read."""
    looks = line.length >= _LONG * line.thickness and line.filled >= 0.6 and line.thickness <= _THIN
    return looks and line.peak >= 0.9 and line.seen >= max(2, views - 2) and line.score >= 0.5


def lengthened(picture: Picture, line: Line) -> Line:
    """Return the line grown at its ends as far as strokes like its own go on: the network often misses an end.

    Strokes are columns of the upright line whose brightness varies as it does inside, against what varies beyond.
    """
    reach = _REACH * line.thickness
    strip = upright(picture, replace(line, length=line.length + 2 * reach)).astype(np.float32)
    per_pixel = strip.shape[1] / (line.length + 2 * reach + 2 * max(2.0, 0.4 * line.thickness))
    side = round((strip.shape[1] - line.length * per_pixel) / 2)
    energy = strip.std(axis=0)
    if side < 2 or strip.shape[1] - 2 * side < 2:
        return line
    inside = float(np.median(energy[side:-side]))
    beyond = float(np.percentile(np.concatenate((energy[:side], energy[-side:])), 20))
    if inside < 1.3 * beyond:
        return line
    strokes = energy > (inside + 2 * beyond) / 3
    step = max(2, round(line.thickness * per_pixel))
    before, after = (_further(part, step) / per_pixel for part in (strokes[:side][::-1], strokes[-side:]))
    u, _ = line.axes()
    if line.angle >= np.pi / 2 - 1e-9:
        u = -u
    shift = (after - before) / 2 * u
    return replace(
        line, row=line.row + float(shift[0]), column=line.column + float(shift[1]), length=line.length + before + after
    )


def _further(strokes: Array, step: int) -> int:
    """Return how many columns on the last stroke lies that follows another within a gap of `step` columns."""
    found = 0
    while True:
        ahead = np.nonzero(strokes[found : found + step])[0]
        if ahead.size < 0.2 * step:
            return found
        found += int(ahead[-1]) + 1


def continues(line: Line, accepted: Sequence[Line]) -> bool:
    """Return whether a candidate goes on a row of accepted text: the loose end of a line."""
    for other in accepted:
        u, v = other.axes()
        apart = np.array((line.row - other.row, line.column - other.column))
        gap = abs(apart @ u) - (line.length + other.length) / 2
        level = abs(apart @ v) <= 0.6 * other.thickness
        if level and gap <= 3 * other.thickness and 0.4 < line.thickness / other.thickness < 2.2:
            return True
    return False
