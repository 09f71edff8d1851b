"""The insonated area of an ultrasound picture without calipers, text, scale bars and borders.

Burned-in marks are told from echoes by their vertical strokes: along a line of sight an echo is as thin as the pulse,
but sideways it is as wide as the beam, so that a bright stroke a pixel or two wide does not come from tissue.
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
    return np.asarray(found if found.mean() < 0.02 else np.zeros_like(found))


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
    """Return bright marks in the area: those with strokes, the letters beside them, the dotted lines between them."""
    from scipy import ndimage

    seeds, contrast = _strokes(grey, area, tolerance)
    if not seeds.any():
        return seeds
    side = max(grey.shape)
    size = max(5, round(MARK * side / 3) | 1)
    raised = ndimage.white_tophat(grey, size=(size, size))
    labels, _ = ndimage.label(raised > 0.55 * contrast, np.ones((3, 3)))
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
    found = _with_neighbours(found, labels, boxes, MARK * side)
    found |= _dotted(found, raised, contrast)
    return np.asarray(ndimage.binary_dilation(found, np.ones((3, 3))))


def _fits(grey: Array, strokes: Yes, side: int) -> bool:
    """Return whether strokes are as bright as an overlay and no longer than a letter or caliper."""
    from scipy import ndimage

    if not strokes.any() or float(grey[strokes].max()) < BRIGHT:
        return False
    labels, _ = ndimage.label(strokes, np.ones((3, 3)))
    longest = max(part[0].stop - part[0].start for part in ndimage.find_objects(labels))
    return bool(longest <= MARK * side)


def _strokes(grey: Array, area: Yes, tolerance: float) -> tuple[Yes, float]:
    """Return the middles of vertical strokes, and the contrast that was asked of them."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    seeds = np.zeros(grey.shape, bool)
    wanted = STROKE * 2 ** (1 - 2 * tolerance)
    least = wanted
    for index, width in enumerate(WIDTHS):
        padded = np.pad(grey, ((0, 0), (width, width)), mode="edge")
        rise = grey - np.maximum(padded[:, : -2 * width], padded[:, 2 * width :])
        steady = minimum_filter1d(maximum_filter1d(rise, 3, axis=1), width + 2, axis=0)
        inside = steady[area]
        speckle = float(np.percentile(inside, 90)) if inside.size else 0.0
        limit = max(wanted, GRAIN * 2 ** (1 - 2 * tolerance) * speckle)
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


def _dotted(found: Yes, raised: Array, contrast: float) -> Yes:
    """Return dotted lines between marks: brighter along the line than at either side of it."""
    from scipy import ndimage
    from skimage.draw import line

    labels, count = ndimage.label(found, np.ones((3, 3)))
    centres = [tuple(round(v) for v in c) for c in ndimage.center_of_mass(found, labels, np.arange(1, count + 1))]
    centres = centres[:MOST_MARKS]
    result = np.zeros_like(found)
    for first, one in enumerate(centres):
        for other in centres[first + 1 :]:
            rows, columns = line(*one, *other)
            if len(rows) < 12:
                continue
            middle = slice(len(rows) // 8, -(len(rows) // 8) or None)
            along = _best_near(raised, rows[middle], columns[middle], 0)
            beside = max(_best_near(raised, rows[middle], columns[middle], shift) for shift in (-4, 4))
            if along > max(0.5 * contrast, 1.7 * beside):
                result[rows, columns] = True
    return np.asarray(ndimage.binary_dilation(result, np.ones((3, 3))) if result.any() else result)


def _best_near(raised: Array, rows: Array, columns: Array, shift: int) -> float:
    """Return the median over a line of the largest value within five pixels along it, shifted across by `shift`."""
    from scipy.ndimage import maximum_filter1d

    steep = abs(int(rows[-1]) - int(rows[0])) > abs(int(columns[-1]) - int(columns[0]))
    row = np.clip(rows + (0 if steep else shift), 0, raised.shape[0] - 1)
    column = np.clip(columns + (shift if steep else 0), 0, raised.shape[1] - 1)
    return float(np.percentile(maximum_filter1d(raised[row, column], 5), 25))
