"""Field of view and vessels of a fundus photograph, by line detectors at several lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, fundus

Array = NDArray[Any]
Yes = NDArray[np.bool_]

FIELD, VESSELS = 1, 2
SEGMENTS = {
    FIELD: Segment(
        "field_of_view", Code("field-of-view", OWN_SCHEME, "Field of view of a retinal photograph"), (64, 160, 255),
        Code("309825002", "SCT", "Spatial and relational concept"),
    ),
    VESSELS: Segment("vessels", Code("59820001", "SCT", "Blood vessel"), (230, 40, 40)),
}  # fmt: skip
WIDEST = 0.014
"""Diameter of the widest vessel as a part of the field's: 7.5 pixels of 540 in a 45 degree photograph."""
WORKING_DIAMETER = 540
"""Vessels are looked for in a picture whose field has at most this diameter in pixels."""
LEAST_DIAMETER = 120
"""Fields of fewer pixels do not show vessels."""
ANGLES = 12
SLOW = 1.7
"""Standard deviation of what counts as slow change of light, in windows of the detector."""
BRIGHTEST = 1.12
"""Brightness over that of the surroundings at which the optic disc is cut off: its border is no vessel."""
WIDTHS, LENGTH = (0.08, 0.12, 0.17), 0.53
"""Standard deviations of the matched filters across and along the vessel, in windows of the detector."""
LIMITS = (0.6, 1.6)
"""Response of the faint and of the clear parts of vessels at sensitivity 0.5, in standard deviations of the field."""
SPAN = 1.2
"""How far both limits move from sensitivity 0 to 1."""
LEAST_AREA = 0.18
"""Smallest piece of vessel, in squares of the window of the detector."""
RIM = 0.012
"""The rim of the field whose light is not believed, as a part of its diameter; half of it holds no vessels."""


def retina(volume: Volume, *, sensitivity: float = 0.5, widest: float = WIDEST) -> Mask:
    """Return the field of view (without vessels) and the vessels of a fundus photograph.

    The green channel is evened out and compared with lines of several lengths and widths; all sizes are parts of the
    field's diameter, so that cameras with other pixels give the same answer. Haemorrhages that are long and dark are
    taken for vessels; the finest vessels are missed.

    Args:
        sensitivity: 0 finds only clear vessels, 1 the faintest and much that is none.
        widest: diameter of the widest vessel as a part of the field's diameter.

    Raises:
        GeometryError: several slices, or a field too small to show vessels.
        UsageError: another modality, a parameter out of range, or a fourth axis that is no colour.
        ImageContentError: NaN, or no field of view.

    Source: line detectors at several lengths, Nguyen 2013, doi:10.1016/j.patcog.2012.08.009; matched filters,
    Chaudhuri 1989, doi:10.1109/42.34715
    """
    filtering.between("sensitivity", sensitivity, 0, 1)
    filtering.between("widest", widest, 0.002, 0.1)
    if volume.modality not in ("OP", "XC", "OPT", ""):
        raise UsageError(
            "retina works on fundus photographs",
            found=f"modality {volume.modality}",
            expected="OP",
            fix="give a photograph",
        )
    inside = fundus.field_of_view(volume).array[0] > 0
    diameter = 2 * float(np.sqrt(inside.sum() / np.pi))
    if diameter < LEAST_DIAMETER:
        raise GeometryError(
            "the field of view has too few pixels to show vessels",
            found=f"about {diameter:.0f} pixels across",
            expected=f"at least {LEAST_DIAMETER}",
        )
    factor = max(1, round(diameter / WORKING_DIAMETER))
    green, seen = _reduced(_green(volume), factor), _reduced(inside.astype(np.float32), factor) > 0.5
    window = max(3, round(widest * diameter / factor)) * 2 + 1
    found = _vessels(_response(green, seen, window), _inner(seen, diameter / factor, RIM / 2), window, sensitivity)
    labels = inside.astype(np.uint8)
    labels[_enlarged(found, factor, inside.shape) & inside] = VESSELS
    history = volume.done("retina", sensitivity=sensitivity, widest=widest, reduced=factor)
    return Mask(labels[np.newaxis], volume.affine, volume.frame, volume.spacing, history, SEGMENTS)


def _green(volume: Volume) -> Array:
    """Return the channel in which vessels stand out most, as floats; the brightness of a grey picture."""
    array = volume.array[0] if volume.axis is None else volume.array[0, ..., 1]
    return filtering.working(array)


def _reduced(picture: Array, factor: int) -> Array:
    """Return means of blocks of factor x factor pixels; what does not fill a block at the end is repeated."""
    if factor == 1:
        return picture
    padded = np.pad(picture, [(0, -n % factor) for n in picture.shape], mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    return np.asarray(padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))


def _enlarged(found: Array, factor: int, shape: tuple[int, ...]) -> Yes:
    """Return the response above zero at full size, its border interpolated linearly."""
    from scipy.ndimage import zoom

    if factor == 1:
        return np.asarray(found > 0.5)
    large = zoom(found.astype(np.float32), factor, order=1, grid_mode=True, mode="nearest")
    return np.asarray(large[: shape[0], : shape[1]] > 0.5)


def _inner(seen: Yes, diameter: float, rim: float = RIM) -> Yes:
    """Return the field without its rim."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1] > rim * diameter)


def _response(green: Array, seen: Yes, window: int) -> Array:
    """Return how much a pixel looks like a dark line, mean 0 and spread 1 in the field.

    The mean of line detectors, which see wide vessels and crossings, and of matched filters, which see fine ones.
    """
    dark = -_even(green, seen, window)
    return _standardised(_line_detectors(dark, seen, window), seen) + _standardised(_matched(dark, window), seen)


def _even(green: Array, seen: Yes, window: int) -> Array:
    """Return the picture over its slow change, the bright disc cut off; outside the field the nearest inner value."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    outside = ~_inner(seen, 2 * float(np.sqrt(seen.sum() / np.pi)))
    nearest = distance_transform_edt(outside, return_distances=False, return_indices=True)
    filled = green[tuple(nearest)].astype(np.float32)
    slow = gaussian_filter(filled, SLOW * window)
    even = filled / np.maximum(slow, 0.02 * max(float(slow.max()), 1e-6))
    return np.asarray(np.minimum(even, BRIGHTEST), dtype=np.float32)


def _line_detectors(dark: Array, seen: Yes, window: int) -> Array:
    """Return the mean over lengths of how far the best line exceeds its surroundings, and of the brightness itself."""
    from scipy.ndimage import correlate, uniform_filter

    mean = uniform_filter(dark, window, mode="nearest")
    total, lengths = 2 * _standardised(dark, seen), range(1, window + 1, 2)
    for length in lengths:
        kernels = _lines(length)
        best = correlate(dark, kernels[0], mode="nearest")
        for kernel in kernels[1:] if length > 1 else ():
            np.maximum(best, correlate(dark, kernel, mode="nearest"), out=best)
        total += _standardised(best - mean, seen)
    return np.asarray(total / (len(lengths) + 2))


def _matched(dark: Array, window: int) -> Array:
    """Return the sum over widths of the best of long second derivatives of a Gaussian in all directions."""
    from scipy.signal import fftconvolve

    total = np.zeros_like(dark)
    for share in WIDTHS:
        best = np.full(dark.shape, -np.inf, np.float32)
        for angle in np.arange(ANGLES) * np.pi / ANGLES:
            np.maximum(best, fftconvolve(dark, _profile(share * window, LENGTH * window, angle), mode="same"), out=best)
        total += best
    return total


def _profile(sigma: float, length: float, angle: float) -> Array:
    """Return a kernel that is positive along a line and negative beside it; its sum is 0."""
    half = int(np.ceil(3 * max(1.5 * sigma, length)))
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    across = (columns * np.cos(angle) + rows * np.sin(angle)) / sigma
    along = (rows * np.cos(angle) - columns * np.sin(angle)) / length
    kernel = (1 - across**2) * np.exp(-(across**2) / 2 - along**2 / 2)
    kernel -= kernel.mean()
    return np.asarray(kernel / np.abs(kernel).sum(), dtype=np.float32)


def _lines(length: int) -> list[Array]:
    """Return averaging kernels of lines through the middle in ANGLES directions."""
    half = length // 2
    places = np.arange(-half, half + 1)
    kernels = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        kernel = np.zeros((length, length), np.float32)
        rows, columns = np.rint(places * np.sin(angle)).astype(int), np.rint(places * np.cos(angle)).astype(int)
        kernel[rows + half, columns + half] = 1
        kernels.append(kernel / kernel.sum())
    return kernels


def _standardised(picture: Array, seen: Yes) -> Array:
    values = picture[seen]
    return np.asarray((picture - values.mean()) / max(float(values.std()), 1e-9), dtype=np.float32)


def _vessels(response: Array, inner: Yes, window: int, sensitivity: float) -> Yes:
    """Return what is above the low limit and hangs together with something above the high one, without specks."""
    from skimage.filters import apply_hysteresis_threshold
    from skimage.morphology import remove_small_objects

    shift = (0.5 - sensitivity) * SPAN
    limits = (LIMITS[0] + shift, LIMITS[1] + shift)
    scaled = _standardised(response, inner)
    found = apply_hysteresis_threshold(np.where(inner, scaled, -np.inf), *limits)
    return np.asarray(remove_small_objects(found, max_size=int(LEAST_AREA * window**2), connectivity=2))
