"""Radiographs cleaned up: the collimated border cut away, lead letters and labels found and filled.

Sizes are parts of the picture, because most radiographs come as pictures that do not tell their pixel size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

MARKER = Segment(
    "marker",
    Code("image-marker", OWN_SCHEME, "Marker or label on a radiograph"),
    (255, 64, 64),
    Code("260787004", "SCT", "Physical object"),
)
LEAST_FIELD = 0.1
"""Smallest part of a side that is believed to be an exposed field."""
MARKER_CONTRAST = 0.25
"""A marker is brighter than its surroundings by this part of the range of values."""
MARKER_AREA = (2e-5, 0.015)
"""Area of a letter or label as parts of the picture."""
MARKER_EXTENT = 0.2
"""Longest side of a letter or label as a part of the picture's shorter side."""
MARKER_SURROUNDINGS = 0.08
"""Side of the window whose median is the surroundings, as a part of the picture's shorter side."""
SHARP_EDGE = 0.45
"""Share of a marker's contrast that is reached over one pixel at its border, at least (median along the border)."""
RING = 4
"""Distance in pixels at which the surroundings of a marker are looked at."""
DARK_AROUND = 0.8
"""Share of them that is darker."""
AIR = (0.08, 0.2, 0.35)
"""Parts of the range below which a pixel may be air."""
LEAST_AIR = 0.15
"""Part of the picture that must be air before objects are looked for in it."""
WORKING_SIDE = 640
"""Pictures are reduced to about this shorter side to look for markers."""


def exposed_field(volume: Volume, *, tolerance: float = 0.03, outliers: float = 0.05) -> Box:
    """Return the box (start, stop) without the even strips that shutters, film edges and padding leave at the sides.

    A row or column belongs to a strip while all but a share of its pixels have the level of the outermost one.

    Args:
        tolerance: how far values of a strip lie apart, as a part of the picture's range.
        outliers: share of other pixels, such as letters, that a row or column of a strip may hold.

    Raises:
        GeometryError: several slices.
        UsageError: a parameter out of range.
        ImageContentError: the picture is constant.
    """
    filtering.require_picture(volume, "exposed_field")
    filtering.check_voxels(volume, "exposed_field")
    filtering.between("tolerance", tolerance, 0, 0.5)
    filtering.between("outliers", outliers, 0, 0.5)
    grey = _grey(volume)
    spread = tolerance * _spread(grey)
    (top, bottom), (left, right) = (0, grey.shape[0]), (0, grey.shape[1])
    # Cutting one pair of sides can uncover strips on the other.
    for _ in range(3):
        rows = _field(grey[:, left:right], spread, outliers)
        columns = _field(grey[rows[0] : rows[1]].T, spread, outliers)
        if (rows, columns) == ((top, bottom), (left, right)):
            break
        (top, bottom), (left, right) = rows, columns
    least = (LEAST_FIELD * grey.shape[0], LEAST_FIELD * grey.shape[1])
    if bottom - top < least[0] or right - left < least[1]:
        return (0, 0, 0), volume.shape
    return (0, top, left), (1, bottom, right)


def crop_collimation(volume: Volume, *, tolerance: float = 0.03, outliers: float = 0.05) -> Volume:
    """Return the part of the picture that was exposed; every pixel keeps its place.

    Shutters that are turned against the picture leave wedges: only whole rows and columns are cut.

    Args:
        tolerance: see `exposed_field`.
        outliers: see `exposed_field`.

    Raises:
        GeometryError: several slices.
        UsageError: a parameter out of range.
        ImageContentError: the picture is constant.
    """
    return volume.crop(*exposed_field(volume, tolerance=tolerance, outliers=outliers))


def _field(lines: Array, spread: float, outliers: float) -> tuple[int, int]:
    first, last = _strip(lines, spread, outliers), _strip(lines[::-1], spread, outliers)
    return (first, len(lines) - last) if first + last < len(lines) else (0, len(lines))


def _strip(lines: Array, spread: float, outliers: float) -> int:
    level = np.median(lines[0])
    outside = (np.abs(lines - level) > spread).mean(axis=1) > outliers
    return int(np.argmax(outside)) if outside.any() else len(lines)


def marker_mask(volume: Volume, *, contrast: float = MARKER_CONTRAST) -> Mask:
    """Return where lead letters, labels and burned-in text are: small, bright, with sharp borders.

    Small metal on the patient (clips, electrodes) looks the same and is found too.

    Args:
        contrast: how much brighter than its surroundings, as a part of the picture's range.

    Raises:
        GeometryError: several slices.
        UsageError: a contrast outside 0..1.
        ImageContentError: the picture is constant.
    """
    filtering.require_picture(volume, "marker_mask")
    filtering.check_voxels(volume, "marker_mask")
    filtering.between("contrast", contrast, 0, 1, low_open=True)
    grey = _grey(volume)
    factor = max(1, round(min(grey.shape) / WORKING_SIDE))
    small = _reduced(grey, factor)
    found = np.kron(_markers(small, contrast * _spread(grey)), np.ones((factor, factor), np.uint8))
    array = np.zeros(grey.shape, np.uint8)
    kept = found[: grey.shape[0], : grey.shape[1]]
    array[: kept.shape[0], : kept.shape[1]] = kept
    history = volume.done("marker_mask", contrast=contrast)
    return Mask(array[np.newaxis], volume.affine, volume.frame, volume.spacing, history, {1: MARKER})


def remove_markers(volume: Volume, *, contrast: float = MARKER_CONTRAST) -> Volume:
    """Return the picture with letters and labels filled from their surroundings.

    Nothing is diagnosed under a filled place: keep `marker_mask` beside the result.

    Args:
        contrast: see `marker_mask`.

    Raises:
        GeometryError: several slices.
        UsageError: a contrast outside 0..1.
        ImageContentError: the picture is constant, or a marker covers it all.
    """
    from scipy.ndimage import distance_transform_edt

    inside = marker_mask(volume, contrast=contrast).array > 0
    if not inside.any():
        return volume.with_array(volume.array, "remove_markers", contrast=contrast, filled=0)
    width = max(float(distance_transform_edt(inside[0]).max()), 1.0)

    def work(array: Array) -> Array:
        filled = array.copy()
        filled[inside] = _surroundings(array[0], inside[0], width)[inside[0]]
        return filled

    count = int(np.count_nonzero(inside))
    return filtering.each_component(volume, work, "remove_markers", contrast=contrast, filled=count)


def _surroundings(picture: Array, inside: NDArray[np.bool_], sigma: float) -> Array:
    """Return Gaussian means of the pixels outside."""
    from scipy.ndimage import gaussian_filter

    known = (~inside).astype(np.float64)
    weight = gaussian_filter(known, sigma, mode="nearest", truncate=6)
    total = gaussian_filter(picture * known, sigma, mode="nearest", truncate=6)
    return np.asarray(total / np.maximum(weight, 1e-9))


def _markers(grey: Array, step: float) -> NDArray[np.uint8]:
    """Return where markers are in a picture of moderate size; `step` is the contrast in its values."""
    from scipy import ndimage

    result = np.zeros(grey.shape, np.uint8)
    bright = ndimage.binary_closing(np.pad(_above(grey) > step, 2))[2:-2, 2:-2]
    labels, _ = ndimage.label(bright, np.ones((3, 3)))
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if _fits(labels[box] == label, box, grey.shape) and _stands_out(labels, label, box, grey, step):
            result[box][ndimage.binary_fill_holes(labels[box] == label)] = 1
    result[_in_the_air(grey, step)] = 1
    return np.asarray(ndimage.binary_dilation(result, iterations=2) if result.any() else result, dtype=np.uint8)


def _above(grey: Array) -> Array:
    """Return how much brighter a pixel is than its surroundings."""
    from scipy.ndimage import median_filter

    side = max(5, round(MARKER_SURROUNDINGS * min(grey.shape)) | 1)
    # A third of the rows and columns gives the same median for a ninth of the time.
    coarse = median_filter(grey[::3, ::3], size=max(3, side // 3), mode="nearest")
    rows, columns = (np.minimum(np.arange(n) // 3, m - 1) for n, m in zip(grey.shape, coarse.shape, strict=True))
    return np.asarray(grey - coarse[np.ix_(rows, columns)])


def _stands_out(labels: Array, label: int, box: tuple[slice, ...], grey: Array, step: float) -> bool:
    """Return whether an object is darker all around, and suddenly so: anatomy and grain fade over several pixels."""
    from scipy.ndimage import binary_dilation, binary_erosion

    wide = tuple(slice(max(s.start - RING, 0), s.stop + RING) for s in box)
    member = labels[wide] == label
    level = float(np.median(grey[wide][member]))
    ring = binary_dilation(member, iterations=RING) & ~binary_dilation(member, iterations=RING - 2)
    darker = grey[wide] < level - 0.6 * step
    border = member & ~binary_erosion(member, border_value=1)
    if not border.any() or darker[ring].mean() < DARK_AROUND:
        return False
    slope = np.maximum(*(np.abs(np.gradient(grey[wide], axis=axis)) for axis in (0, 1)))
    contrast = level - float(np.median(grey[wide][ring]))
    return bool(2 * np.median(slope[border]) >= SHARP_EDGE * contrast)


def _in_the_air(grey: Array, step: float) -> NDArray[np.bool_]:
    """Return objects that air separates from the largest one: labels beside a breast or a hand, of any brightness.

    A label on film that is not quite dark is separated at a higher level only, and then must have sharp borders.
    """
    from scipy import ndimage

    found = np.zeros(grey.shape, bool)
    low, spread = float(grey.min()), float(grey.max()) - float(grey.min())
    for level in AIR:
        air = grey < low + level * spread
        if air.mean() < LEAST_AIR:
            continue
        labels, _ = ndimage.label(~air)
        largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if labels.any() else 0
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            member = labels[box] == label
            bright = float(grey[box][member].max()) > low + step
            if label == largest or not bright or not _fits(member, box, grey.shape):
                continue
            if level == AIR[0] or _stands_out(labels, label, box, grey, step):
                found[box] |= ndimage.binary_fill_holes(member)
    return found


def _fits(member: NDArray[np.bool_], box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Return whether an object has the size of a letter or label."""
    area = np.count_nonzero(member) / (shape[0] * shape[1])
    extent = max(part.stop - part.start for part in box) / min(shape)
    return bool(MARKER_AREA[0] <= area <= MARKER_AREA[1] and extent <= MARKER_EXTENT)


def _reduced(grey: Array, factor: int) -> Array:
    if factor == 1:
        return grey
    rows, columns = -(-grey.shape[0] // factor) * factor, -(-grey.shape[1] // factor) * factor
    padded = np.pad(grey, ((0, rows - grey.shape[0]), (0, columns - grey.shape[1])), mode="edge")
    return np.asarray(padded.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3)))


def _grey(volume: Volume) -> Array:
    """Return brightness [row, column]; colours are averaged, any other fourth axis is refused."""
    if volume.axis is None:
        return filtering.working(volume.array[0])
    if not filtering.is_colour(volume):
        raise UsageError(
            "a radiograph is one picture", found=str(volume.axis.kind), fix="take one element: volume.element(0)"
        )
    return np.asarray(filtering.working(volume.array[0]).mean(axis=-1))


def _spread(grey: Array) -> float:
    spread = float(grey.max()) - float(grey.min())
    if not spread > 0:
        raise ImageContentError("the picture is constant", found=f"every pixel is {float(grey.min()):g}")
    return spread
