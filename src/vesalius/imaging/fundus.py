"""Fundus photographs cleaned up: the round field of view, and even illumination."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]

FIELD = Segment(
    "field of view",
    Code("field-of-view", "99VESALIUS", "Field of view of a retinal photograph"),
    (64, 160, 255),
    Code("309825002", "SCT", "Spatial and relational concept"),
)
WORKING_SIDE = 512
"""The field is looked for in a picture reduced to about this shorter side."""
DARK = 0.12
"""What is darker than this part of the bright end (99th percentile) may be outside the field."""
LEAST_FIELD = 0.15
"""Smallest part of the picture that is believed to be a field."""
ROUND = 0.01
"""A point of the border this close to a circle lies on it, as a part of its radius."""
ON_CIRCLE = 0.5
"""Share of the border that must lie on the circle."""
LEAST_BORDER = 60
"""Fewest border points to which a circle is fitted."""
TRIPLES = 300
"""Circles tried."""
BORDER = 3
"""Pixels of the reduced picture at its edge where the field is cut off and tells nothing about the circle."""


def field_of_view(volume: Volume) -> Mask:
    """Return the lit disc of a fundus photograph, cut by the picture's edges.

    A circle is fitted to the border of what is not dark; notches of the camera and dark corners of the disc are
    bridged by it. When the border is not round, the lit area itself is returned.

    Raises:
        GeometryError: several slices.
        UsageError: a fourth axis that is no colour.
        ImageContentError: nothing in the picture looks like a lit field.
    """
    from scipy import ndimage

    grey = _brightness(volume)
    factor = max(1, min(grey.shape) // WORKING_SIDE)
    small = ndimage.gaussian_filter(grey[::factor, ::factor], 1.0)
    limit = DARK * float(np.percentile(small, 99))
    lit = _largest(ndimage.binary_opening(np.pad(small > limit, 8, mode="edge"), iterations=3)[8:-8, 8:-8])
    if lit is None or lit.mean() < LEAST_FIELD:
        raise ImageContentError(
            "no lit field of view was found",
            found="a picture that is dark nearly everywhere",
            expected="a photograph of the retina",
        )
    circle = _circle(lit)
    if circle is not None:
        row, column, radius = (factor * value for value in circle)
        offset = (factor - 1) / 2
        rows, columns = np.ogrid[: grey.shape[0], : grey.shape[1]]
        array = (rows - row - offset) ** 2 + (columns - column - offset) ** 2 <= radius**2
    else:
        array = np.kron(lit, np.ones((factor, factor), bool))[: grey.shape[0], : grey.shape[1]]
        missing = [(0, n - m) for n, m in zip(grey.shape, array.shape, strict=True)]
        array = np.pad(array, missing, mode="edge")
    history = volume.done("field_of_view", fitted=circle is not None)
    voxels = array[np.newaxis].astype(np.uint8)
    return Mask(voxels, volume.affine, volume.frame, volume.spacing, history, {1: FIELD})


def _largest(lit: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    from scipy import ndimage

    labels, count = ndimage.label(lit)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes))))


def _circle(lit: NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """Return row, column and radius of the circle through most of the border, None when it is not round."""
    from scipy.ndimage import binary_erosion

    border = lit & ~binary_erosion(lit, border_value=1)
    border[:BORDER] = border[-BORDER:] = False
    border[:, :BORDER] = border[:, -BORDER:] = False
    points = np.argwhere(border).astype(np.float64)
    if len(points) < LEAST_BORDER:
        return None
    near = _consensus(points, float(np.sqrt(lit.sum() / np.pi)))
    if near is None or near.mean() < ON_CIRCLE:
        return None
    points = points[near]
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(solution[2] + solution[0] ** 2 + solution[1] ** 2, 0)))
    # The border runs through the middle of the outermost pixels.
    return float(solution[0]), float(solution[1]), radius + 0.5


def _consensus(points: NDArray[np.float64], size: float) -> NDArray[np.bool_] | None:
    """Return which points lie on the circle through three of them that most others lie on.

    Args:
        size: radius of a disc as large as what is lit; the circle's is half to four times that.

    Source: RANSAC, Fischler 1981, doi:10.1145/358669.358692; the triples are the same in every run.
    """
    picks = np.random.default_rng(0).integers(0, len(points), (TRIPLES, 3))
    best: NDArray[np.bool_] | None = None
    for one, two, three in points[picks]:
        system = 2 * np.array([two - one, three - one])
        if abs(np.linalg.det(system)) < 1e-3 * size**2:
            continue
        centre = np.linalg.solve(system, [two @ two - one @ one, three @ three - one @ one])
        radius = float(np.linalg.norm(one - centre))
        near = np.abs(np.hypot(*(points - centre).T) - radius) <= max(ROUND * size, 1.0)
        if size / 2 <= radius <= 4 * size and (best is None or near.sum() > best.sum()):
            best = near
    return best


def crop_field(volume: Volume) -> Volume:
    """Return the smallest part of the picture that holds the field of view, black outside the field.

    Raises:
        GeometryError: several slices.
        ImageContentError: no field was found.
    """
    inside = field_of_view(volume).array[0] > 0
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    keep = inside[np.newaxis] if volume.axis is None else inside[np.newaxis, ..., np.newaxis]
    black = volume.with_array(np.where(keep, volume.array, volume.array.dtype.type(0)), "crop_field")
    return black.crop((0, int(rows[0]), int(columns[0])), (1, int(rows[-1]) + 1, int(columns[-1]) + 1))


def even_illumination(volume: Volume, *, scale: float = 0.12, contrast: bool = False) -> Volume:
    """Return the photograph as under even light: the slow change of brightness in the field is divided out.

    All colours are multiplied by one factor, so that hues stay; outside the field it is black.

    Args:
        scale: standard deviation of what counts as slow, as a part of the field's diameter.
        contrast: also make the local spread of brightness even.

    Raises:
        GeometryError: several slices.
        UsageError: a scale outside 0..1.
        ImageContentError: no field was found.

    Source: Foracchia 2005, doi:10.1016/j.media.2004.07.001 (local mean and spread).
    """
    filtering.between("scale", scale, 0, 1, low_open=True)
    inside = field_of_view(volume).array[0] > 0
    sigma = scale * 2 * float(np.sqrt(inside.sum() / np.pi))
    grey = _brightness(volume)
    wanted = float(grey[inside].mean())
    local = np.maximum(_inside_mean(grey, inside, sigma), 1e-3 * max(wanted, 1e-9))
    even = grey / local * wanted
    if contrast:
        spread = np.sqrt(np.maximum(_inside_mean((even - wanted) ** 2, inside, sigma), 0))
        usual = float(np.median(spread[inside]))
        even = wanted + (even - wanted) * usual / np.maximum(spread, 0.2 * max(usual, 1e-9))
    factor = np.where(inside, even / np.maximum(grey, 1e-6), 0).astype(np.float32)[np.newaxis]

    def work(array: Array) -> Array:
        return np.asarray(array * factor)

    return filtering.each_component(volume, work, "even_illumination", scale=scale, contrast=contrast)


def _inside_mean(picture: Array, inside: NDArray[np.bool_], sigma: float) -> Array:
    """Return Gaussian means over the field only, taken on a reduced picture and brought back linearly."""
    from scipy.ndimage import gaussian_filter

    factor = max(1, int(sigma // 4))
    known = _blocks(inside.astype(np.float32), factor)
    total = _blocks(np.where(inside, picture, 0).astype(np.float32), factor)
    known, total = (gaussian_filter(one, sigma / factor, mode="constant") for one in (known, total))
    mean = total / np.maximum(known, 1e-6)
    for axis in (0, 1):
        mean = _enlarged(mean, factor, picture.shape[axis], axis)
    return np.asarray(mean)


def _blocks(picture: Array, factor: int) -> Array:
    """Return means of blocks of factor x factor pixels, zeros beyond the border."""
    missing = [(0, -n % factor) for n in picture.shape]
    rows, columns = ((n + m[1]) // factor for n, m in zip(picture.shape, missing, strict=True))
    return np.asarray(np.pad(picture, missing).reshape(rows, factor, columns, factor).mean(axis=(1, 3)))


def _enlarged(picture: Array, factor: int, length: int, axis: int) -> Array:
    """Return linear interpolation of block means along one axis."""
    place = np.clip((np.arange(length) + 0.5) / factor - 0.5, 0, picture.shape[axis] - 1)
    first = np.minimum(place.astype(int), max(picture.shape[axis] - 2, 0))
    share = (place - first).astype(picture.dtype).reshape([-1 if a == axis else 1 for a in (0, 1)])
    after = np.minimum(first + 1, picture.shape[axis] - 1)
    return np.asarray(np.take(picture, first, axis) * (1 - share) + np.take(picture, after, axis) * share)


def _brightness(volume: Volume) -> Array:
    """Return the mean of the colours [row, column]."""
    filtering.require_picture(volume, "fundus clean-up")
    filtering.check_voxels(volume, "fundus clean-up")
    if volume.axis is None:
        return filtering.working(volume.array[0])
    if not filtering.is_colour(volume):
        raise UsageError(
            "a fundus photograph has colours or one brightness", found=str(volume.axis.kind), fix="take one element"
        )
    return np.asarray(filtering.working(volume.array[0]).mean(axis=-1))
