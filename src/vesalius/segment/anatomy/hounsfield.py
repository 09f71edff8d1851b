"""What the CT recipes share: a checked axial image, its values in HU or as near as a picture tells, lengths in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.grid import Frame, Spacing
from vesalius.core.volume import Volume
from vesalius.imaging import filtering

Array = NDArray[Any]
Yes = NDArray[np.bool_]
Triple = tuple[float, float, float]

LEAST_SIDE = 32
"""Fewest rows and columns of a slice."""
GREY_TOLERANCE = 12.0
"""Colours of a grey picture lie this close together on average (JPEG blurs them), in 8-bit steps."""
AIR_SEEN_HU, PADDING_HU, AIR_SHARE = -300.0, -1500.0, 1.0
"""CT in HU holds air: this percentage of what is no padding lies below the first number."""
TISSUE_HU = 20.0
"""Typical soft tissue, between fat and muscle."""
PADDED = 0.02
"""Share of the inner disc that may be as dark as the corners when these are padding."""


@dataclass(frozen=True, eq=False)
class CtImage:
    """A CT image with axes nearest to S, P, L (axial as scanners write it).

    Args:
        volume: reoriented, one brightness per voxel.
        hu: values in HU; in an estimated picture air is -1000 and soft tissue about 20, all else follows linearly.
        origin: "stored", "told" (a window was given) or "estimated".
        distinct: whether lung and air outside are told apart (they are not where a window cuts both to black).
    """

    volume: Volume
    hu: Array
    origin: str
    distinct: bool


def ct_image(volume: Volume, what: str, low_hu: float | None, high_hu: float | None) -> CtImage:
    """Return the image in axial order and in HU.

    Raises:
        UsageError: another modality, none told and no HU, or only one end of the window.
        GeometryError: colour, a fourth axis, no axial slice, or too small.
        ImageContentError: NaN, constant.
    """
    if volume.modality not in ("CT", ""):
        raise UsageError(
            f"{what} works on CT",
            found=f"modality {volume.modality}",
            expected="CT, or a picture of a CT slice",
            fix="give the CT series; for MR of the head use the brain-mri application",
        )
    if (low_hu is None) != (high_hu is None) or (low_hu is not None and high_hu is not None and low_hu >= high_hu):
        raise UsageError(
            "a window has two ends, the lower first",
            found=f"low_hu {low_hu}, high_hu {high_hu}",
            fix="give both low_hu and high_hu, for instance -1350 and 150, or neither",
        )
    grey = _grey(volume, what)
    filtering.check_voxels(grey, what)
    axial = _axial(grey, what)
    low, high = float(axial.array.min()), float(axial.array.max())
    if not high > low:
        raise ImageContentError("the image is constant", found=f"every voxel is {low:g}", expected="a CT image")
    if low_hu is not None and high_hu is not None:
        slope = (high_hu - low_hu) / (high - low)
        return CtImage(axial, (axial.array.astype(np.float32) - low) * np.float32(slope) + low_hu, "told", True)
    if _in_hounsfield(axial.array):
        return CtImage(axial, axial.array, "stored", True)
    _check_asserted(volume, what, (low, high))
    return _estimated(axial)


def _check_asserted(volume: Volume, what: str, ends: tuple[float, float]) -> None:
    """Raise unless the values may be estimated: the modality is told, or it is a picture, which cannot tell it.

    Raises:
        UsageError: see above.
    """
    picture = volume.frame is Frame.IMAGE and (volume.shape[0] == 1 or volume.array.dtype == np.uint8)
    if volume.modality == "CT" or picture:
        return
    raise UsageError(
        f"{what} works on CT; this image does not tell its modality, and its values are not Hounsfield units",
        found=f"values {ends[0]:g} to {ends[1]:g}, none of them air",
        expected=f"air below {AIR_SEEN_HU:g} HU somewhere in the image",
        fix="if it is CT, say so: --modality CT, or --low-hu and --high-hu of a window (Python: "
        'dataclasses.replace(volume, modality="CT")); MR is not for this method',
    )


def _in_hounsfield(array: Array) -> bool:
    """Return whether values are HU by the air in them; stored values without the intercept are not, padding or no."""
    values = _unpadded(array)
    values = values[values > PADDING_HU]
    return bool(values.size and np.percentile(values, AIR_SHARE) < AIR_SEEN_HU)


def _grey(volume: Volume, what: str) -> Volume:
    """Return one brightness per voxel: the mean of a picture whose colours are all grey."""
    if volume.axis is None:
        return volume
    if not filtering.is_colour(volume):
        raise GeometryError(
            f"{what} works on one image, this one has a fourth axis",
            found=str(volume.axis.kind),
            fix="take one element: volume.element(0)",
        )
    wide = volume.array.astype(np.float32)
    apart = float((wide.max(axis=-1) - wide.min(axis=-1)).mean()) * 255 / max(float(wide.max()), 1.0)
    if apart > GREY_TOLERANCE:
        raise GeometryError(
            f"{what} works on grey images and this is a colour picture",
            found=f"colours {apart:.0f} of 255 steps apart on average",
            fix="give the grey CT slice",
        )
    element = volume.element(0)
    return element.with_array(wide.mean(axis=-1), "grey")


def _axial(volume: Volume, what: str) -> Volume:
    axial = volume.reorient("SPL") if volume.frame is Frame.PATIENT else volume
    if min(axial.shape[1:]) < LEAST_SIDE:
        raise GeometryError(
            f"{what} works on axial slices of at least {LEAST_SIDE} rows and columns",
            found=f"{axial.shape} along S, P and L",
            expected="a series or one axial slice",
            fix="give the whole series; a sagittal or coronal slice alone does not do",
        )
    return axial


def _estimated(axial: Volume) -> CtImage:
    """Return a picture without HU on a scale where air is -1000 and soft tissue TISSUE_HU.

    Padding around a round field is left out. The dark class holds air and lung, the bright one soft tissue and bone.
    """
    array = axial.array.astype(np.float32)
    middle = array[array.shape[0] // 4 : array.shape[0] - array.shape[0] // 4]
    values = _unpadded(middle)
    limit = _otsu(values)
    tissue = _mode(values[values > limit])
    dark = values[values <= limit]
    air = _mode(dark)
    outside = _mode(_border_values(middle, values, limit))
    air = min(air, outside)
    if tissue - air < 1e-6:
        raise ImageContentError(
            "air and soft tissue cannot be told apart",
            found=f"levels {air:g} and {tissue:g}",
            expected="a CT slice with the body and air around it",
            fix="give low_hu and high_hu, the HU of the darkest and brightest value",
        )
    hu = (array - air) * np.float32((TISSUE_HU + 1000) / (tissue - air)) - 1000
    lowest = float(values.min()) + 2e-3 * (tissue - air)
    distinct = bool(np.count_nonzero(dark <= lowest) < 0.6 * dark.size)
    return CtImage(axial, hu, "estimated", distinct)


def _unpadded(array: Array) -> Array:
    """Return the values of the round field if the corners are padding darker than all inside it, else all values."""
    rows, columns = np.ogrid[-1 : 1 : array.shape[1] * 1j, -1 : 1 : array.shape[2] * 1j]
    disc = rows**2 + columns**2 < 0.95**2
    low, high = float(array.min()), float(np.percentile(array[::4], 99.5))
    dark = array <= low + 0.1 * (high - low)
    if dark[:, disc].mean() < PADDED and dark[:, ~disc].mean() > 0.5:
        return np.asarray(array[:, disc].ravel())
    return np.asarray(array.ravel())


def _border_values(array: Array, values: Array, limit: float) -> Array:
    """Return the dark values along the frame of the slices that are not padding."""
    frame = np.concatenate(
        [array[:, :4].ravel(), array[:, -4:].ravel(), array[..., :4].ravel(), array[..., -4:].ravel()]
    )
    chosen = frame[(frame <= limit) & (frame >= values.min())]
    return np.asarray(chosen if chosen.size > 0.1 * frame.size else values[values <= limit])


def _otsu(values: Array) -> float:
    from skimage.filters import threshold_otsu

    low, high = np.percentile(values, (0.1, 99.5))
    if not high > low:
        raise ImageContentError("the image is nearly constant", found=f"values {low:g} to {high:g}")
    return float(threshold_otsu(np.clip(values, low, high)))


def _mode(values: Array) -> float:
    """Return the most frequent value of a smoothed histogram."""
    from scipy.ndimage import gaussian_filter1d

    low, high = np.percentile(values, (0.5, 99.5))
    if not high > low:
        return float(np.median(values))
    counts, edges = np.histogram(values, 128, (low, high))
    peak = int(np.argmax(gaussian_filter1d(counts.astype(np.float64), 2.0)))
    return float((edges[peak] + edges[peak + 1]) / 2)


def lengths_mm(volume: Volume, body: Yes, width_mm: float) -> Triple:
    """Return mm per voxel; in a picture that does not tell them, as if the body were `width_mm` wide.

    Args:
        body: where the body or head is.
        width_mm: typical width of an adult's.
    """
    if volume.spacing is not Spacing.UNKNOWN:
        return volume.spacing_mm
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    pixel = width_mm / max(1, int(columns[-1] - columns[0] + 1)) if columns.size else 1.0
    return pixel, pixel, pixel


def largest(found: Yes, connectivity: int = 1) -> Yes:
    """Return the largest connected part, empty when there is none."""
    from scipy import ndimage

    labels, count = ndimage.label(found, ndimage.generate_binary_structure(found.ndim, connectivity))
    if count < 2:
        return found
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(np.argmax(sizes)))


def ball_closing(found: Yes, radius_mm: float, spacing: Triple) -> Yes:
    """Return the closing by a ball, nothing beyond the array counting as found."""
    from scipy.ndimage import distance_transform_edt

    if radius_mm <= 0 or not found.any():
        return found
    box = tuple(slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero(found))
    flat = found.shape[0] == 1
    widths = [(0, 0) if flat and axis == 0 else (int(radius_mm / spacing[axis]) + 2,) * 2 for axis in range(3)]
    padded = np.pad(found[box], widths)
    grown = distance_transform_edt(~padded, sampling=spacing) <= radius_mm
    inner = distance_transform_edt(
        np.pad(grown, [(0, 0) if flat and a == 0 else (1, 1) for a in range(3)]), sampling=spacing
    )
    trim = tuple(slice(0, 1) if flat and a == 0 else slice(w[0] + 1, -(w[1] + 1)) for a, w in enumerate(widths))
    result = found.copy()
    result[box] |= inner[trim] > radius_mm
    return result


def ball_opening(found: Yes, radius_mm: float, spacing: Triple) -> Yes:
    """Return the opening by a disc in each slice, in mm."""
    from scipy.ndimage import distance_transform_edt

    result = np.zeros_like(found)
    for index, plane in enumerate(found):
        if plane.any():
            kept = distance_transform_edt(np.pad(plane, 1), sampling=spacing[1:])[1:-1, 1:-1] > radius_mm
            if kept.any():
                result[index] = (distance_transform_edt(~kept, sampling=spacing[1:]) <= radius_mm) & plane
    return result
