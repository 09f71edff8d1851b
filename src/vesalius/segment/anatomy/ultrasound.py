"""The insonated area of an ultrasound picture without calipers, text, scale bars and borders.

Crosses, rows of letters and chains of dots do not occur in tissue. Other burned-in marks are told from echoes by their
vertical strokes: along a line of sight an echo is as thin as the pulse, but sideways it is as wide as the beam, so that
a bright stroke a pixel or two wide does not come from tissue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]
Yes = NDArray[np.bool_]

SECTOR, ANNOTATION = 1, 2
SPATIAL = Code("309825002", "SCT", "Spatial and relational concept")
SEGMENTS = {
    SECTOR: Segment("sector", Code("insonated-area", OWN_SCHEME, "Insonated area of an ultrasound image"),
                    (90, 170, 220), SPATIAL),
    ANNOTATION: Segment("annotation", Code("burned-in-annotation", OWN_SCHEME, "Burned-in annotation"),
                        (255, 210, 60), SPATIAL),
}  # fmt: skip
LEAST_SIDE = 32
BLACK = 0.02
"""Darker than this part of the range is no echo."""
CLOSING = 0.03
"""Radius of gaps between echoes that are bridged, as a part of the shorter side."""
OPENING = 0.02
"""Half the width of what is cut off: scale bars, text and lines beside the sector."""
LEAST_SECTOR = 0.05
COLOURED = 0.25
"""A pixel whose colours lie this part of the range apart is an overlay: most sectors are grey."""
FADED = 0.1
"""And in the thin lines of a picture that holds such overlays."""
WIDTHS = (2, 3, 5)
"""Distances in pixels at which both sides of a stroke are darker."""
STROKE = 0.16
"""Least contrast of a stroke at tolerance 0.5, as a part of the range."""
GRAIN = 4.0
"""And as a multiple of the same response of speckle (its 90th percentile)."""
MARK = 0.09
"""Largest letter or caliper, as a part of the longer side."""
BRIGHT = 0.6
"""An overlay is at least this bright."""
RECTANGLE = 0.96
"""The upper half of the area fills this much of its box when a linear probe made it: shadows below are insonated."""
LEAST_PIXELS = 5
THIN = 9
"""Strokes are thinner than this many pixels."""
CROSS = 0.14
"""Least contrast of a cross; in untouched tissue it is seldom above 0.1."""
ARM = 4
"""Length of a caliper's arm in pixels that is looked at."""
FURTHEST = 8
"""Largest distance in pixels at which neighbours are looked at."""
FAINT = 0.5
"""Contrast of strokes in a row of letters, as a part of that of a stroke alone."""
LEAST_LETTERS = 5
RANK = -6
"""A dot is brighter than all but so many of the pixels around it."""
DOT = 0.08
"""Least contrast of a dot in a dotted line."""
FURTHEST_DOT = 8.0
"""Largest distance of two dots in pixels."""
UNEVEN = 1.45
"""Largest change of the step from dot to dot, in pixels."""
LEAST_CHAIN = 10
MOST_MARKS = 40


def ultrasound_sector(volume: Volume, *, tolerance: float = 0.5) -> Mask:
    """Return the insonated area without annotation, and the annotation (also outside that area).

    The area is the convex hull of what holds echoes, without the black above its upper border. Marks of a colour, and
    bright marks with vertical strokes, are annotation with the letters and dotted lines that belong to them.

    Args:
        tolerance: how readily bright marks count as annotation: 0 only coloured ones, 1 all that may be some.

    Raises:
        GeometryError: several slices, or too small.
        UsageError: another modality, a parameter out of range, or a fourth axis that is no colour.
        ImageContentError: NaN, a constant picture, or no echoes.
    """
    filtering.between("tolerance", tolerance, 0, 1)
    grey, coloured = _grey(volume)
    area = _insonated(np.where(coloured, 0, grey))
    marks = coloured | (_marks(grey, area, tolerance) if tolerance > 0 else np.zeros_like(area))
    beside = _beside(grey, area)
    labels = area.astype(np.uint8)
    labels[marks | beside] = ANNOTATION
    history = volume.done("ultrasound_sector", tolerance=tolerance)
    return Mask(labels[np.newaxis], volume.affine, volume.frame, volume.spacing, history, SEGMENTS)


def _grey(volume: Volume) -> tuple[Array, Yes]:
    """Return brightness 0..1 and where the picture is coloured."""
    if volume.modality not in ("US", ""):
        raise UsageError(
            "ultrasound_sector works on ultrasound",
            found=f"modality {volume.modality}",
            expected="US",
            fix="give an ultrasound picture",
        )
    filtering.require_picture(volume, "ultrasound_sector")
    filtering.check_voxels(volume, "ultrasound_sector")
    if min(volume.shape[1:]) < LEAST_SIDE:
        raise GeometryError(
            "the picture is too small", found=str(volume.shape), expected=f"at least {LEAST_SIDE} pixels a side"
        )
    if volume.axis is not None and not filtering.is_colour(volume):
        raise UsageError(
            "an ultrasound picture is grey or coloured", found=str(volume.axis.kind), fix="take one: volume.element(0)"
        )
    array = volume.array[0].astype(np.float32)
    grey = array if volume.axis is None else array.mean(axis=-1)
    low, high = float(grey.min()), float(grey.max())
    if not high > low:
        raise ImageContentError(
            "the picture is constant", found=f"every pixel is {low:g}", expected="an ultrasound picture"
        )
    if volume.axis is None:
        return (grey - low) / (high - low), np.zeros(grey.shape, bool)
    return (grey - low) / (high - low), _overlay(array, high - low)


def _overlay(array: Array, spread: float) -> Yes:
    """Return where colours stand out from the tint of the whole picture."""
    bright = array.max(axis=-1)
    apart = (bright - array.min(axis=-1)) / spread
    tint = float(np.median(apart[bright > 0.2 * spread])) if (bright > 0.2 * spread).any() else 0.0
    found = apart > COLOURED + tint
    # Doppler colours a region, an overlay lines and letters.
    if found.mean() >= 0.02:
        return np.zeros_like(found)
    from scipy import ndimage

    # Compression and smoothing make the colour of thin lines fade.
    weak = apart > max(FADED, 1.5 * float(np.percentile(apart, 90)))
    if found.any() and weak.mean() < 0.04:
        found = np.asarray(weak)
    return np.asarray(ndimage.binary_dilation(found, np.ones((3, 3))))


def _insonated(grey: Array) -> Yes:
    from scipy import ndimage
    from skimage.morphology import convex_hull_image

    side = min(grey.shape)
    lit = ndimage.median_filter(grey, 3) > BLACK
    closed = _closed(lit, CLOSING * side)
    opened = _opened(closed, OPENING * side)
    labels, count = ndimage.label(opened)
    sizes = np.bincount(labels.ravel())[1:]
    if not count or sizes.max() < LEAST_SECTOR * grey.size:
        raise ImageContentError(
            "no insonated area was found",
            found="a picture that is black nearly everywhere",
            expected="an ultrasound picture",
        )
    largest = labels == 1 + int(np.argmax(sizes))
    hull = np.asarray(convex_hull_image(largest))
    # The transducer's curved face is the only border that is not convex.
    above = np.cumsum(largest, axis=0) == 0
    above &= ~_closed(~above, CLOSING * side)
    area = hull & ~above
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    upper = area[rows[0] : (rows[0] + rows[-1]) // 2, box[1]]
    if upper.size and upper.mean() > RECTANGLE:
        area[box] = True
    return np.asarray(area)


def _closed(found: Yes, radius: float) -> Yes:
    from scipy.ndimage import distance_transform_edt

    width = int(radius) + 2
    padded = np.pad(found, width)
    grown = distance_transform_edt(~padded) <= radius
    return np.asarray(
        (distance_transform_edt(np.pad(grown, 1))[1:-1, 1:-1] > radius)[width:-width, width:-width] | found
    )


def _opened(found: Yes, radius: float) -> Yes:
    from scipy.ndimage import distance_transform_edt

    kept = distance_transform_edt(np.pad(found, int(radius) + 2, mode="edge")) > radius
    if not kept.any():
        return np.zeros_like(found)
    inner = slice(int(radius) + 2, -(int(radius) + 2))
    return np.asarray((distance_transform_edt(~kept) <= radius)[inner, inner] & found)


def _beside(grey: Array, area: Yes) -> Yes:
    """Return what is lit outside the area: scale bars, text, logos."""
    from scipy.ndimage import binary_dilation

    lit = (grey > 4 * BLACK) & ~binary_dilation(area, iterations=2)
    return np.asarray(binary_dilation(lit, iterations=1) & ~area)


def _marks(grey: Array, area: Yes, tolerance: float) -> Yes:
    """Return bright marks in the area: crosses, strokes with the letters beside them, rows of letters, dotted lines."""
    from scipy import ndimage

    raised = ndimage.white_tophat(grey, size=(THIN, THIN))
    loose = 2 ** (1 - 2 * tolerance)
    found = _crosses(grey, raised, area, CROSS * loose)
    seeds, contrast = _strokes(grey, area, STROKE * loose, GRAIN * loose)
    if seeds.any():
        found |= _stroked(grey, raised, seeds, contrast)
    found |= _letters(grey, raised, area, loose)
    found |= _chains(grey, raised, area, loose)
    return np.asarray(ndimage.binary_dilation(found, np.ones((3, 3))))


def _stroked(grey: Array, raised: Array, seeds: Yes, contrast: float) -> Yes:
    """Return the bright parts that strokes belong to, with the letters beside them."""
    from scipy import ndimage

    side = max(grey.shape)
    nearby = ndimage.maximum_filter(np.where(seeds, raised, 0), 15)
    labels, _ = ndimage.label(raised > np.maximum(0.55 * contrast, 0.5 * nearby), np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    near = ndimage.binary_dilation(seeds, iterations=max(3, round(MARK * side / 3)))
    found = np.zeros_like(seeds)
    for label in np.unique(labels[seeds]):
        if label == 0:
            continue
        box = boxes[label - 1]
        member = (labels[box] == label) & near[box]
        if np.count_nonzero(member) >= LEAST_PIXELS and _fits(grey[box], seeds[box] & member, side):
            found[box] |= member
    return _with_neighbours(found, labels, boxes, MARK * side)


def _moved(array: Array, rows: int, columns: int) -> Array:
    """Return the array's values so many pixels further down and right."""
    padded = np.pad(array, FURTHEST, mode="reflect")
    top, left = FURTHEST + rows, FURTHEST + columns
    return np.asarray(padded[top : top + array.shape[0], left : left + array.shape[1]])


def _crossing(grey: Array, diagonal: bool) -> Array:
    """Return by how much the darkest of four arms is brighter than the brightest of the four fields between them."""
    from scipy import ndimage

    straight, slanted = [(0, 1), (0, -1), (1, 0), (-1, 0)], [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    arms, fields, away = (slanted, straight, 5) if diagonal else (straight, slanted, 3)
    darkest = np.full(grey.shape, np.inf, np.float32)
    for down, right in arms:
        # Strokes of two pixels have no middle: either pixel beside it may be the brighter.
        wide = ndimage.maximum_filter(grey, (1, 2) if diagonal else (3, 1) if down == 0 else (1, 3))
        darkest = np.minimum(darkest, sum(_moved(wide, step * down, step * right) for step in range(1, ARM + 1)) / ARM)
    smooth = ndimage.uniform_filter(grey, 3)
    return np.asarray(darkest - np.max([_moved(smooth, away * down, away * right) for down, right in fields], axis=0))


def _crosses(grey: Array, raised: Array, area: Yes, least: float) -> Yes:
    """Return upright and slanted crosses: nothing in tissue has four thin arms of like length."""
    from scipy import ndimage

    found = np.zeros_like(area)
    reach = max(8, round(MARK * max(grey.shape) / 2))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for diagonal in (False, True):
        strips = (abs(abs(rows) - abs(columns)) <= 3) if diagonal else (np.minimum(abs(rows), abs(columns)) <= 2)
        score = _crossing(grey, diagonal)
        peaks = (score > least) & (ndimage.maximum_filter(score, 7) == score) & area
        for row, column in np.argwhere(peaks)[: 4 * MOST_MARKS]:
            box = (slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1))
            strip = strips[box[0].start - row + reach :, box[1].start - column + reach :]
            bright = raised[box] > 0.5 * score[row, column]
            bright &= strip[: bright.shape[0], : bright.shape[1]]
            labels, _ = ndimage.label(bright, np.ones((3, 3)))
            middle = (slice(max(0, row - box[0].start - 2), row - box[0].start + 3),
                      slice(max(0, column - box[1].start - 2), column - box[1].start + 3))  # fmt: skip
            found[box] |= np.isin(labels, np.unique(labels[middle])[np.unique(labels[middle]) > 0])
    return found


def _letters(grey: Array, raised: Array, area: Yes, loose: float) -> Yes:
    """Return rows of letters: fainter strokes are enough where several of like height stand side by side."""
    from scipy import ndimage

    seeds, _ = _strokes(grey, area, FAINT * STROKE * loose, FAINT * GRAIN * loose)
    labels, _ = ndimage.label(seeds, np.ones((3, 3)))
    boxes = [box for box in ndimage.find_objects(labels) if 2 <= box[0].stop - box[0].start <= MARK * max(grey.shape)]
    found = np.zeros_like(area)
    for group in _side_by_side(boxes):
        if len(group) < LEAST_LETTERS:
            continue
        top, bottom = min(b[0].start for b in group), max(b[0].stop for b in group)
        left, right = min(b[1].start for b in group), max(b[1].stop for b in group)
        high = bottom - top
        box = (slice(max(0, top - 3), bottom + 3), slice(max(0, left - high - 4), right + high + 4))
        level = float(np.median([raised[b][labels[b] > 0].max() for b in group]))
        found[box] |= raised[box] > 0.4 * level
    return found


def _side_by_side(boxes: list[Any]) -> list[list[Any]]:
    """Return groups of boxes on one line, neighbours at most a letter apart."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not boxes:
        return []
    top, bottom, left, right = np.array([(b[0].start, b[0].stop, b[1].start, b[1].stop) for b in boxes]).T
    height = bottom - top
    overlap = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    gap = np.maximum.outer(left, left) - np.minimum.outer(right, right)
    tallest = np.maximum.outer(height, height)
    linked = (overlap >= 0.6 * tallest) & (gap <= np.clip(1.5 * tallest, 5, 12)) & (tallest >= 3)
    _, group = connected_components(coo_array(linked), directed=False)
    return [[boxes[i] for i in np.flatnonzero(group == g)] for g in np.unique(group)]


def _chains(grey: Array, raised: Array, area: Yes, loose: float) -> Yes:
    """Return dots that follow each other at like distances along a smooth line."""
    from scipy import ndimage

    ring = [(r, c) for r in range(-3, 4) for c in range(-3, 4) if 6 <= r * r + c * c <= 10]
    # The dots before and behind lie on the ring too.
    score = grey - np.sort([_moved(grey, r, c) for r, c in ring], axis=0)[RANK]
    peaks = (score > DOT * loose) & (ndimage.maximum_filter(score, 3) == score) & area
    labels, count = ndimage.label(peaks, np.ones((3, 3)))
    found = np.zeros_like(area)
    if count < LEAST_CHAIN:
        return found
    numbers = np.arange(1, count + 1)
    spots = np.array(ndimage.center_of_mass(peaks, labels, numbers))
    threes = _threes(spots, np.asarray(ndimage.maximum(score, labels, numbers)))
    for row, column in np.round(spots[_linked(threes)]).astype(int):
        box = (slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2))
        found[box] |= raised[box] > 0.5 * raised[row, column]
    return found


def _threes(spots: Array, strength: Array) -> list[tuple[int, int, int]]:
    """Return the dots of like contrast of which the middle one lies halfway between the others."""
    from scipy.spatial import cKDTree

    threes = []
    for middle, near in enumerate(cKDTree(spots).query_ball_point(spots, FURTHEST_DOT)):
        others = [n for n in near if n != middle]
        for index, one in enumerate(others):
            before = spots[middle] - spots[one]
            for other in others[index + 1 :]:
                uneven = np.hypot(*(spots[other] - spots[middle] - before))
                values = strength[[one, middle, other]]
                if uneven <= UNEVEN and np.hypot(*before) >= 2.5 and values.min() >= 0.4 * values.max():
                    threes.append((one, middle, other))
    return threes


def _linked(threes: list[tuple[int, int, int]]) -> list[int]:
    """Return the dots of long chains: two threes belong together where they share a pair of dots."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs: dict[tuple[int, int], list[int]] = {}
    for index, (one, middle, other) in enumerate(threes):
        for pair in ((one, middle), (middle, other)):
            pairs.setdefault((min(pair), max(pair)), []).append(index)
    links = [(members[0], member) for members in pairs.values() for member in members]
    if not links:
        return []
    graph = coo_array((np.ones(len(links)), tuple(np.array(links).T)), shape=(len(threes), len(threes)))
    _, chain = connected_components(graph, directed=False)
    chosen = [np.unique(np.array(threes)[chain == number]) for number in range(chain.max() + 1)]
    return [int(dot) for dots in chosen if len(dots) >= LEAST_CHAIN for dot in dots]


def _fits(grey: Array, strokes: Yes, side: int) -> bool:
    """Return whether strokes are as bright as an overlay and no longer than a letter or caliper."""
    from scipy import ndimage

    if not strokes.any() or float(grey[strokes].max()) < BRIGHT:
        return False
    labels, _ = ndimage.label(strokes, np.ones((3, 3)))
    longest = max(part[0].stop - part[0].start for part in ndimage.find_objects(labels))
    return bool(longest <= MARK * side)


def _strokes(grey: Array, area: Yes, wanted: float, grain: float) -> tuple[Yes, float]:
    """Return the middles of vertical strokes, and the contrast that was asked of them."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    seeds = np.zeros(grey.shape, bool)
    least = wanted
    for index, width in enumerate(WIDTHS):
        padded = np.pad(grey, ((0, 0), (width, width)), mode="edge")
        rise = grey - np.maximum(padded[:, : -2 * width], padded[:, 2 * width :])
        steady = minimum_filter1d(maximum_filter1d(rise, 3, axis=1), width + 2, axis=0)
        inside = steady[area]
        speckle = float(np.percentile(inside, 90)) if inside.size else 0.0
        limit = max(wanted, grain * speckle)
        least = limit if index == 0 else min(least, limit)
        seeds |= (steady > limit) & (rise > limit) & area
    return seeds, least


def _with_neighbours(found: Yes, labels: Array, boxes: list[Any], reach: float) -> Yes:
    """Return marks with the letters beside them: parts of like height on the same line, at most a letter away."""
    from scipy import ndimage

    own, _ = ndimage.label(found, np.ones((3, 3)))
    result = found.copy()
    for row, column in ndimage.find_objects(own)[:MOST_MARKS]:
        height = row.stop - row.start
        for label, box in enumerate(boxes, start=1):
            gap = max(box[1].start - column.stop, column.start - box[1].stop)
            alike = abs(box[0].start - row.start) <= 0.4 * height and abs(box[0].stop - row.stop) <= 0.4 * height
            if alike and gap <= 1.2 * height and box[1].stop - box[1].start <= reach:
                result[box] |= labels[box] == label
    return result
