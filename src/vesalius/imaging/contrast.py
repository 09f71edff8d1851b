"""Contrast: window and level, adaptive histogram equalisation, gamma, histogram matching.

Type and geometry are kept; values that are no longer what the image measured lose their unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.registry import unknown
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]

_RADIOPAEDIA = "Radiopaedia, Windowing (CT), doi:10.53347/rID-52108"
_STROKE = "Lev 1999, doi:10.1148/radiology.213.1.r99oc10150"
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness: ITU-R BT.601."""
CLAHE_TILES = 8
"""Tiles along each side of the image when no size is given."""


@dataclass(frozen=True, slots=True)
class Window:
    """The values that are shown from black to white: centre and width in HU, and who uses them."""

    centre_hu: float
    width_hu: float
    source: str = _RADIOPAEDIA


PRESETS: MappingProxyType[str, Window] = MappingProxyType(
    {
        "abdomen": Window(50, 400),
        "angiography": Window(200, 600),
        "bone": Window(400, 1800),
        "brain": Window(40, 80),
        "head-soft-tissue": Window(40, 375),
        "liver": Window(30, 150),
        "lung": Window(-600, 1500),
        "mediastinum": Window(50, 350),
        "spine-soft-tissue": Window(50, 250),
        "stroke": Window(32, 8, _STROKE),
        "stroke-wide": Window(40, 40),
        "subdural": Window(75, 215),
        "temporal-bone": Window(600, 2800),
    }
)
"""Windows of CT by name. Where the source gives a range, its middle stands here."""


def window(
    volume: Volume,
    *,
    preset: str | None = None,
    centre: float | None = None,
    width: float | None = None,
    shape: str = "linear",
    brightest: float = 255,
) -> Volume:
    """Return display values from 0 (black) to `brightest` (white) of what lies in a window.

    Args:
        preset: a name of `PRESETS`, for CT in HU.
        centre: middle of the window in image units, instead of a preset.
        width: of the window in image units.
        shape: "linear" (exact) or "sigmoid".
        brightest: display value of white.

    Raises:
        UsageError: neither preset nor centre and width, or both; a preset for another modality than CT; a width that is
            not positive; a type that does not hold `brightest`.
        UnknownNameError: no such preset or shape.

    Source: DICOM PS3.3 C.11.2.1.3 (LINEAR_EXACT and SIGMOID).
    """
    middle, breadth = _window_limits(volume, preset, centre, width)
    filtering.one_of("window shape", shape, ("linear", "sigmoid"))
    filtering.positive("brightest", brightest)
    if np.asarray(brightest).astype(volume.array.dtype) != brightest:
        raise UsageError(f"the voxel type {volume.array.dtype} does not hold brightest", found=f"{brightest:g}")

    def work(array: Array) -> Array:
        place = (array - array.dtype.type(middle)) / array.dtype.type(breadth)
        if shape == "sigmoid":
            return np.asarray(brightest / (1 + np.exp(-4 * place)), dtype=array.dtype)
        return np.asarray(np.clip(place + 0.5, 0, 1) * brightest, dtype=array.dtype)

    told = {"preset": preset, "centre": middle, "width": breadth, "shape": shape, "brightest": brightest}
    return replace(filtering.each_component(volume, work, "window", **told), unit="")


def _window_limits(
    volume: Volume, preset: str | None, centre: float | None, width: float | None
) -> tuple[float, float]:
    if preset is None:
        if centre is None or width is None:
            raise UsageError("a window is a preset, or a centre and a width", expected=f"preset: {', '.join(PRESETS)}")
        filtering.between("centre", centre, -np.inf, np.inf)
        return centre, filtering.positive("width", width)
    if centre is not None or width is not None:
        raise UsageError("a window is a preset or a centre and a width, not both", found=f"preset {preset!r}")
    if preset not in PRESETS:
        raise unknown("window preset", preset, tuple(PRESETS))
    if volume.modality not in ("CT", ""):
        raise UsageError(
            "the presets are for CT in Hounsfield units",
            found=f"modality {volume.modality}",
            fix="give centre and width in image units",
        )
    return PRESETS[preset].centre_hu, PRESETS[preset].width_hu


def clahe(
    volume: Volume,
    *,
    clip: float = 0.01,
    tile_mm: float | None = None,
    low: float | None = None,
    high: float | None = None,
    slicewise: bool = False,
) -> Volume:
    """Return the image with its histogram equalised tile by tile, noise limited by `clip`; range of values kept.

    In a colour picture the brightness (luma) is equalised and the colour differences stay.

    Args:
        clip: most of a tile's voxels in one grey level, 0 to 1; higher gives more contrast and more noise.
        tile_mm: edge length of a tile; default an eighth of each side, which needs no spacing.
        low: values below count as this; default the lowest.
        high: values above count as this; default the highest.

    Raises:
        UsageError: a parameter out of range.
        ImageContentError: the image is constant.

    Source: Zuiderveld 1994, Graphics Gems IV (scikit-image).
    """
    filtering.between("clip", clip, 0, 1, low_open=True)
    axes = filtering.active_axes(volume, slicewise=slicewise)
    tile = _tile(volume, tile_mm, axes)

    def work(array: Array) -> Array:
        bottom, top = _range(array, low, high)
        scaled = (np.clip(array, bottom, top) - bottom) / (top - bottom)
        if volume.shape[0] == 1 or slicewise:
            even = np.stack([_equalised(one, tile[1:], clip) for one in scaled])
        else:
            even = _equalised(scaled, tile, clip)
        return np.asarray(even * (top - bottom) + bottom, dtype=array.dtype)

    told = {"clip": clip, "tile_mm": tile_mm, "low": low, "high": high, "slicewise": slicewise}
    return replace(_on_brightness(volume, work, "clahe", told), unit="")


def _tile(volume: Volume, tile_mm: float | None, axes: tuple[int, ...]) -> tuple[int, int, int]:
    if tile_mm is None:
        sizes = [max(volume.shape[axis] // CLAHE_TILES, 1) for axis in range(3)]
    else:
        filtering.positive("tile_mm", tile_mm, "mm")
        spacing = filtering.spacing_along(volume, axes)
        sizes = [min(max(round(tile_mm / spacing[axis]), 1), volume.shape[axis]) for axis in range(3)]
    return sizes[0], sizes[1], sizes[2]


def _equalised(array: Array, tile: tuple[int, ...], clip: float) -> Array:
    from skimage.exposure import equalize_adapthist

    if float(array.min()) == float(array.max()):
        return array
    low, high = float(array.min()), float(array.max())
    even = equalize_adapthist(array, kernel_size=tile, clip_limit=clip)
    # scikit-image stretches to 0..1 by itself; a slice keeps its own place in the range of the volume.
    return np.asarray(low + (high - low) * even)


def gamma(volume: Volume, *, exponent: float, low: float | None = None, high: float | None = None) -> Volume:
    """Return low + (high - low) x ((value - low) / (high - low)) ^ exponent; values beyond are cut.

    Args:
        exponent: below 1 brightens, above 1 darkens.
        low: what stays the darkest; default the lowest value.
        high: what stays the brightest; default the highest value.

    Raises:
        UsageError: an exponent that is not positive, or high not above low.
        ImageContentError: the image is constant.
    """
    filtering.positive("exponent", exponent)
    filtering.check_voxels(volume, "gamma")
    bottom, top = _range(volume.array, low, high)

    def work(array: Array) -> Array:
        part = np.clip((array - bottom) / (top - bottom), 0, 1)
        return np.asarray(bottom + (top - bottom) * part**exponent, dtype=array.dtype)

    return replace(filtering.each_component(volume, work, "gamma", exponent=exponent, low=bottom, high=top), unit="")


def match_histogram(volume: Volume, *, reference: Volume) -> Volume:
    """Return the image with the histogram of the reference, component by component.

    Raises:
        GeometryError: the images have different components.
        ImageContentError: voxels that are not finite.
    """
    from skimage.exposure import match_histograms

    if (volume.axis is None) != (reference.axis is None) or volume.array.shape[3:] != reference.array.shape[3:]:
        raise GeometryError(
            "image and reference have different components",
            found=f"{volume.array.shape[3:] or 1} and {reference.array.shape[3:] or 1}",
            fix="take one component of each: volume.element(0)",
        )
    filtering.check_voxels(volume, "match_histogram")
    filtering.check_voxels(reference, "match_histogram (reference)")
    channel = 3 if volume.axis is not None else None
    matched = match_histograms(volume.array, reference.array, channel_axis=channel)
    stored = filtering.as_stored(np.asarray(matched), volume.array.dtype)
    return replace(volume.with_array(stored, "match_histogram", reference=reference.sha256), unit=reference.unit)


def _range(array: Array, low: float | None, high: float | None) -> tuple[float, float]:
    bottom = float(array.min()) if low is None else low
    top = float(array.max()) if high is None else high
    if top > bottom:
        return bottom, top
    if low is None and high is None:
        raise ImageContentError("the image is constant: it has no contrast", found=f"every voxel is {bottom:g}")
    raise UsageError("high is not above low", found=f"low {bottom:g}, high {top:g}", fix="exchange or widen them")


def _on_brightness(volume: Volume, work: Callable[[Array], Array], operation: str, told: dict[str, Any]) -> Volume:
    """Return the image with `work` done on the brightness of colours, or on every component by itself."""
    if not filtering.is_colour(volume):
        return filtering.each_component(volume, work, operation, **told)
    filtering.check_voxels(volume, operation)
    colours = filtering.working(volume.array)
    luma = np.asarray(colours @ np.array(LUMA, dtype=colours.dtype))
    changed = colours + (work(luma) - luma)[..., np.newaxis]
    return volume.with_array(filtering.as_stored(changed, volume.array.dtype), operation, **told)
