"""Stored values as 8-bit pictures in which text can be seen, whatever its contrast, polarity and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Array = NDArray[Any]

FINE_SIDE: Final = 700
"""Pictures up to this longer side are enlarged twice, larger ones less."""
_SAME: Final = 6.0
"""Mean difference in grey levels below which two pictures are one."""
_SURROUNDINGS: Final = 12
"""Standard deviation in pixels of the surroundings that the levelled picture takes off."""
_NOISY: Final = 8.0
"""Grey levels of noise from which the levelled picture is smoothed: faint strokes drown in it."""
_SMOOTHING: Final = 0.8


@dataclass(frozen=True)
class View:
    """One look at a picture.

    Args:
        levelled: slow changes of brightness are taken off, and weak contrast is raised.
        turned: rows and columns change places, for text that runs upwards or downwards.
    """

    scale: float
    levelled: bool = False
    turned: bool = False


def thorough(shape: tuple[int, ...]) -> tuple[View, ...]:
    """Return the views that together find nearly all text of 10 pixels and more."""
    longest = max(shape)
    if longest > 2 * FINE_SIDE:
        # Twice as large costs four times as much, and the letters on large radiographs are large.
        return (View(0.5), View(1.4), View(1.0, levelled=True), View(1.0, levelled=True, turned=True))
    fine, middle = (2.0, 1.4) if longest <= FINE_SIDE else (1.5, 1.0)
    return (
        View(1.0),
        View(fine),
        View(middle, turned=True),
        View(fine, levelled=True),
        View(middle, levelled=True, turned=True),
    )


def quick(shape: tuple[int, ...]) -> tuple[View, ...]:
    """Return the one view for frames that are like another one."""
    return (View(1.4 if max(shape) <= FINE_SIDE else 1.0),)


def apply(view: View, picture: Picture) -> Picture:
    """Return the picture as the network shall see it."""
    seen = levelled(picture) if view.levelled else picture
    return np.ascontiguousarray(seen.T) if view.turned else seen


def levelled(picture: Picture) -> Picture:
    """Return the picture without slow changes of brightness, its local contrast evened."""
    from scipy import ndimage

    grey = picture.astype(np.float32)
    if _noise(grey) > _NOISY:
        grey = ndimage.gaussian_filter(grey, _SMOOTHING)
    fine = grey - ndimage.gaussian_filter(grey, _SURROUNDINGS)
    contrast = np.sqrt(ndimage.gaussian_filter(fine * fine, 2 * _SURROUNDINGS))
    gain = 2 * np.clip(30 / (contrast + 6), 0.5, 3)
    raised: Picture = np.clip(127 + fine * gain, 0, 255).astype(np.uint8)
    return raised


def _noise(grey: Array) -> float:
    """Return the standard deviation of the noise in grey levels, from differences that smooth pictures do not have."""
    fine = grey[1:-1, 1:-1] * 4 - 2 * (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:])
    fine += grey[:-2, :-2] + grey[:-2, 2:] + grey[2:, :-2] + grey[2:, 2:]
    return float(np.median(np.abs(fine)) / 0.6745 / 6)


def pictures(values: Array, window: tuple[float, float] | None = None) -> tuple[Picture, ...]:
    """Return 8-bit pictures of stored values: by the window, by the range of most values, by the whole range.

    Colours give their brightest channel beside their mean: blue text on black has little luminance. Pictures that
    look like one before are left out.

    Args:
        values: (rows, columns) or (rows, columns, 3), in stored units.
        window: lowest and highest value shown, in the same units.
    """
    if values.ndim == 3:
        kinds = [values[..., :3].mean(axis=-1), values[..., :3].max(axis=-1).astype(np.float32)]
        ranges: list[tuple[float, float] | None] = [(0, 255) if values.dtype == np.uint8 else None] * 2
    else:
        grey = np.nan_to_num(values.astype(np.float32))
        kinds = [grey] * 3
        ranges = [window, _common(grey), None]
    found: list[Picture] = []
    for kind, shown in zip(kinds, ranges, strict=True):
        picture = _stretched(kind, shown or (float(kind.min()), float(kind.max())))
        if not any(_alike(picture, other) for other in found):
            found.append(picture)
    return tuple(found)


def _common(grey: Array) -> tuple[float, float]:
    low, high = np.percentile(grey, (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(grey.min()), float(grey.max()))


def _stretched(grey: Array, shown: tuple[float, float]) -> Picture:
    low, high = shown
    picture: Picture = np.clip((grey - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return picture


def _alike(one: Picture, other: Picture) -> bool:
    return float(np.abs(one.astype(np.int16) - other).mean()) < _SAME
