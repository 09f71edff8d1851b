"""Breast and pectoral muscle on mammograms; labels, tapes and film borders stay outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]
Yes = NDArray[np.bool_]

BREAST, PECTORAL = 1, 2
CODES = {
    "left": Code("80248007", "SCT", "Left breast"),
    "right": Code("73056007", "SCT", "Right breast"),
}
MUSCLE = Segment("pectoral_muscle", Code("60005003", "SCT", "Pectoralis major muscle"), (200, 80, 60))
WORKING_SIDE = 256
"""The longer side of the reduced picture in which the outline and the muscle are looked for."""
LEAST_SIDE = 64
SKIN = 0.14
"""The skin is brighter than the film by this part of the way to Otsu's limit between film and tissue."""
LEAST_BREAST = 0.04
"""Smallest part of the picture that is believed to be a breast."""
OPENING = 0.03
"""Radius of the opening that cuts off labels, as a part of the longer side."""
STRIP = 0.12
"""Something narrower than this part of the picture is a tape or film border."""
OFFSET = 0.02
"""Distance to either side of a line at which brightness is compared, as a part of the longer side."""
CONTRAST = 0.04
"""Least step of brightness at the muscle's border, as a part of the range of the breast."""
RAMP, LENGTH = 0.67, 0.4
"""Weight of the slope beside a border, taken off its step; power of the length with which a long border counts more."""
STEADY = 0.68
"""Least share of the border at which the muscle is the brighter side."""
TOLERANCE = 0.03
"""How far the border may leave the straight line, as a part of the longer side."""


@dataclass(frozen=True, eq=False)
class _Film:
    """A reduced picture with the chest wall on its left: brightness 0..1 and where the breast is."""

    grey: Array
    breast: Yes


def breast(volume: Volume, *, chest_wall: str = "auto", pectoral: bool = True) -> Mask:
    """Return the breast (without the muscle) and the pectoral muscle of a mammogram.

    The muscle is looked for in the upper corner at the chest wall and left out where no border of its kind is seen, as
    on cranio-caudal views. The code of the breast tells left or right by the usual display, the chest wall on the
    picture's left for the left breast; a mirrored picture is named the other way round.

    Args:
        chest_wall: side of the picture at which the chest wall lies: left, right, or auto.
        pectoral: look for the muscle; without it is breast.

    Raises:
        GeometryError: several slices, or too small.
        UsageError: another modality, a colour picture, or an unknown side.
        ImageContentError: NaN, a constant picture, or no breast.
    """
    side = filtering.one_of("chest wall side", chest_wall, ("auto", "left", "right"))
    grey = _grey(volume)
    factor = max(1, round(max(grey.shape) / WORKING_SIDE))
    small = _scaled(_reduced(grey, factor))
    found = _outline(small)
    if side == "auto":
        side = _wall_side(found)
    flipped = side == "right"
    film = _Film(small[:, ::-1] if flipped else small, found[:, ::-1] if flipped else found)
    muscle = _muscle(film) if pectoral else np.zeros_like(film.breast)
    labels = film.breast.astype(np.uint8)
    labels[muscle & film.breast] = PECTORAL
    labels = labels[:, ::-1] if flipped else labels
    full = labels.repeat(factor, axis=0).repeat(factor, axis=1)[: grey.shape[0], : grey.shape[1]]
    history = volume.done("breast", chest_wall=side, pectoral=pectoral, muscle_found=bool(muscle.any()))
    segments = {BREAST: Segment("breast", CODES[side], (240, 190, 170)), PECTORAL: MUSCLE}
    return Mask(np.ascontiguousarray(full)[np.newaxis], volume.affine, volume.frame, volume.spacing, history, segments)


def _grey(volume: Volume) -> Array:
    if volume.modality not in ("MG", "CR", "DX", ""):
        raise UsageError(
            "breast works on mammograms", found=f"modality {volume.modality}", expected="MG", fix="give a mammogram"
        )
    filtering.require_picture(volume, "breast")
    filtering.check_voxels(volume, "breast")
    if min(volume.shape[1:]) < LEAST_SIDE:
        raise GeometryError(
            "the picture is too small", found=str(volume.shape), expected=f"at least {LEAST_SIDE} pixels a side"
        )
    if volume.axis is None:
        return filtering.working(volume.array[0])
    colours = volume.array[0].astype(np.float32)
    spread = float((colours.max(axis=-1) - colours.min(axis=-1)).mean())
    if not filtering.is_colour(volume) or spread > 0.05 * max(float(colours.max()), 1.0):
        raise UsageError(
            "a mammogram has one brightness per pixel",
            found=str(volume.axis.kind),
            fix="take one element: volume.element(0)",
        )
    return np.asarray(colours.mean(axis=-1))


def _reduced(grey: Array, factor: int) -> Array:
    padded = np.pad(grey, [(0, -n % factor) for n in grey.shape], mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    return np.asarray(padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))


def _scaled(grey: Array) -> Array:
    """Return values from 0 (film) to 1, bright tissue whatever the polarity of the display."""
    low, high = (float(one) for one in np.percentile(grey, (0.5, 99.5)))
    if not high > low:
        raise ImageContentError(
            "the picture is constant", found=f"every pixel is about {low:g}", expected="a mammogram"
        )
    return np.asarray(np.clip((grey - low) / (high - low), 0, 1), dtype=np.float32)


def _outline(grey: Array) -> Yes:
    """Return the breast with the muscle: the largest bright part that is no tape, cut loose from labels."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(grey, 1.0)
    film = float(np.median(smooth[smooth < threshold_otsu(smooth)])) if smooth.std() > 0 else 0.0
    limit = film + SKIN * (float(threshold_otsu(smooth)) - film)
    bright = (smooth > limit) & ~_strips(grey)
    radius = OPENING * max(grey.shape)
    padded = np.pad(bright, 12, mode="symmetric")
    kept = ndimage.distance_transform_edt(padded) > radius
    kept = (ndimage.distance_transform_edt(~kept) <= radius)[12:-12, 12:-12] & bright
    labels, count = ndimage.label(kept)
    sizes = np.array([_worth(labels == label) for label in range(1, count + 1)])
    if not count or sizes.max() < LEAST_BREAST * grey.size:
        raise ImageContentError(
            "no breast was found",
            found="nothing bright that is large enough",
            expected="a mammogram, tissue brighter than film",
        )
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes))))


def _worth(part: Yes) -> float:
    """Return the area of a part, 0 for a narrow strip."""
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    narrow = min((rows[-1] - rows[0]) / part.shape[0], (columns[-1] - columns[0]) / part.shape[1]) < STRIP
    return 0.0 if narrow else float(part.sum())


def _strips(grey: Array) -> Yes:
    """Return rows and columns at the picture's border that are white nearly all along: film borders."""
    result = np.zeros(grey.shape, bool)
    white = grey > 0.9
    for axis in (0, 1):
        share = white.mean(axis=1 - axis)
        for order in (1, -1):
            lines = share[::order]
            width = int(np.argmax(lines < 0.8)) if (lines < 0.8).any() else 0
            if 0 < width < STRIP * lines.size:
                index = np.arange(lines.size)[::order][:width]
                result[tuple(index if a == axis else slice(None) for a in (0, 1))] = True
    return result


def _wall_side(found: Yes) -> str:
    """Return the side at which the breast is cut off straight: its outer columns are filled."""
    columns = np.flatnonzero(found.any(axis=0))
    width = max(2, (columns[-1] - columns[0]) // 12)
    left = found[:, columns[0] : columns[0] + width].mean()
    right = found[:, columns[-1] - width + 1 : columns[-1] + 1].mean()
    return "left" if left >= right else "right"


def _muscle(film: _Film) -> Yes:
    """Return the muscle: above the line of strongest steady contrast from the upper border to the chest wall."""
    from scipy import ndimage

    empty = np.zeros_like(film.breast)
    smooth = ndimage.gaussian_filter(film.grey, 0.006 * max(film.grey.shape))
    inside = smooth[film.breast]
    spread = float(np.percentile(inside, 98) - np.percentile(inside, 5))
    line = _best_line(film, smooth, spread)
    if line is None:
        return empty
    rows, columns = _followed(film, smooth, line)
    for row, column in zip(rows, columns, strict=True):
        empty[row, : column + 1] = True
    empty[: rows[0]] = empty[rows[0]]
    return np.asarray(empty & film.breast)


def _corner(film: _Film) -> tuple[int, int, int, int]:
    """Return first row and column of the breast, its height and width."""
    rows, columns = (np.flatnonzero(film.breast.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def _best_line(film: _Film, smooth: Array, spread: float) -> tuple[float, float] | None:
    """Return width at the top and height at the chest wall, in pixels, of the muscle's triangle; None without one."""
    top, wall, height, width = _corner(film)
    offset = OFFSET * max(film.grey.shape)
    best, chosen = 0.0, None
    for across in np.linspace(0.12, 1.0, 40) * width:
        for down in np.linspace(0.15, 1.0, 40) * height:
            if not 1.0 <= down / across <= 5.0:
                continue
            score = _line_score(film, smooth, (top, wall, across, down), offset, spread)
            if score > best:
                best, chosen = score, (float(across), float(down))
    return chosen


def _line_score(film: _Film, smooth: Array, line: tuple[int, int, float, float], offset: float, spread: float) -> float:
    """Return the contrast along a line, 0 when it is too weak or not steady."""
    top, wall, across, down = line
    length = float(np.hypot(across, down))
    part = np.linspace(0.04, 0.96, 36)
    rows, columns = top + part * down, wall + (1 - part) * across
    away = np.array([across / length, down / length]) * offset
    levels = [_at(smooth, rows + far * away[0], columns + far * away[1]) for far in (-2.5, -1, 1, 2.5)]
    seen = _at(film.breast, rows + 3 * away[0], columns + 3 * away[1]) > 0
    if seen.mean() < 0.7:
        return 0.0
    # A ramp, such as tissue growing thinner towards the skin, is no border: what goes on beside the step is taken off.
    ramp = np.maximum(levels[0] - levels[1], 0) + np.maximum(levels[2] - levels[3], 0)
    step = ((levels[1] - levels[2]) - RAMP * ramp)[seen] / max(spread, 1e-6)
    if np.median(step) < CONTRAST or (step > 0.25 * CONTRAST).mean() < STEADY:
        return 0.0
    return float(np.mean(np.clip(step, -4 * CONTRAST, 4 * CONTRAST)) * length**LENGTH)


def _at(picture: Array, rows: Array, columns: Array) -> Array:
    row = np.clip(np.rint(rows).astype(int), 0, picture.shape[0] - 1)
    column = np.clip(np.rint(columns).astype(int), 0, picture.shape[1] - 1)
    return np.asarray(picture[row, column])


def _followed(film: _Film, smooth: Array, line: tuple[float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the border: the cheapest path of strong steps near the line, by rows."""
    top, wall, height, _ = _corner(film)
    across, down = line
    rows = np.arange(top, min(top + int(down) + 1, top + height))
    straight = wall + across * (1 - (rows - top) / down)
    reach = max(2, round(TOLERANCE * max(film.grey.shape)))
    shifts = np.arange(-reach, reach + 1)
    places = np.clip(np.rint(straight)[:, np.newaxis] + shifts, 0, film.grey.shape[1] - 1).astype(int)
    gain = -np.gradient(smooth, axis=1)[rows[:, np.newaxis], places]
    cost = -gain / max(float(np.abs(gain).max()), 1e-9) + 0.3 * np.abs(shifts) / reach
    total, came = cost.copy(), np.zeros(cost.shape, int)
    for index in range(1, len(rows)):
        options = np.stack([np.roll(total[index - 1], s) for s in (-1, 0, 1)])
        options[0, -1], options[2, 0] = np.inf, np.inf
        options[[0, 2]] += 0.1
        came[index] = options.argmin(axis=0)
        total[index] += options.min(axis=0)
    at = int(total[-1].argmin())
    path = np.empty(len(rows), np.int64)
    for index in range(len(rows) - 1, -1, -1):
        path[index] = places[index, at]
        at -= (-1, 0, 1)[came[index, at]]
    return rows, path
