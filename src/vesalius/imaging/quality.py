"""How good an image is: noise, contrast, ghosts, coverage and clipping. Nothing here needs a reference image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.grid import Gridded
from vesalius.core.volume import Volume
from vesalius.imaging.intensity import otsu_threshold, scalar

F32 = NDArray[np.float32]
Region = NDArray[np.bool_]

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

LEAST_VOXELS = 50
"""Fewest voxels from which a spread is estimated."""

AIR_DISTANCE_MM = 8.0
"""Distance from the head at which a voxel counts as air: scalp blur and motion of the neck stay outside."""


def noise(volume: Volume, region: Region) -> float:
    """Return the standard deviation of the noise inside a region, in image units.

    From the difference of each voxel and the mean of its six neighbours, by the median absolute deviation, so that
    edges and slow changes do not count; anatomical texture does, which makes the value cautious. An interpolated image
    seems less noisy than it is.

    Raises:
        GeometryError: the region has another shape.
        ImageContentError: the region holds too few voxels.

    Source: Coupe 2010 (pseudo-residuals), doi:10.1016/j.media.2010.03.001
    """
    _check(volume, region)
    image = scalar(volume)
    part = _box(region)
    residual = image[part].copy()
    for axis in range(3):
        residual -= _neighbours(image, part, axis) / np.float32(6)
    values = residual[region[part]]
    deviation = np.median(np.abs(values - np.median(values)))
    return float(np.sqrt(6 / 7) * MAD_TO_SD * deviation)


def _neighbours(image: F32, part: tuple[slice, slice, slice], axis: int) -> F32:
    size = image.shape[axis]
    index = np.arange(part[axis].start, part[axis].stop)
    rest = tuple(s if a != axis else slice(None) for a, s in enumerate(part))
    line = image[rest]
    before: F32 = np.take(line, np.maximum(index - 1, 0), axis=axis)
    total: F32 = before + np.take(line, np.minimum(index + 1, size - 1), axis=axis)
    return total


def _box(region: Region) -> tuple[slice, slice, slice]:
    ends = []
    for axis in range(3):
        line = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append(slice(int(line[0]), int(line[-1]) + 1))
    return ends[0], ends[1], ends[2]


def signal_to_noise(volume: Volume, region: Region) -> float:
    """Return the median brightness of a region over the noise in it, without unit; infinite without noise."""
    spread = noise(volume, region)
    level = float(np.median(scalar(volume)[region]))
    return level / spread if spread > 0 else float("inf")


@dataclass(frozen=True)
class Contrast:
    """How well two tissues differ in brightness.

    Args:
        to_noise: difference of the medians over the noise.
        joint_variation: sum of the spreads over the difference of the medians; smaller is better, 0.3-0.5 is usual for
            grey and white matter on T1.
        ratio: median of the first over median of the second.

    Source: joint variation: Ganzetti 2016, doi:10.3389/fninf.2016.00010
    """

    to_noise: float
    joint_variation: float
    ratio: float


def contrast(volume: Volume, first: Region, second: Region) -> Contrast:
    """Return the contrast between two regions; noise is taken from the second (the more even one)."""
    _check(volume, first)
    _check(volume, second)
    image = scalar(volume)
    (low, low_spread), (high, high_spread) = (_robust(image[r]) for r in (first, second))
    gap, grain = abs(high - low), noise(volume, second)
    return Contrast(
        to_noise=gap / grain if grain > 0 else float("inf"),
        joint_variation=(low_spread + high_spread) / gap if gap > 0 else float("inf"),
        ratio=low / high if high else float("nan"),
    )


def _robust(values: NDArray[Any]) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, float(MAD_TO_SD * np.median(np.abs(values - middle)))


@dataclass(frozen=True)
class Ghosting:
    """Signal in the air where ghosts of motion fall.

    Args:
        ratio: brightness of the air beside the head, along the array axis where it is brightest, minus that of the
            corners, over the brightness of the head.
        axis: that array axis (0 slice, 1 row, 2 column).
    """

    ratio: float
    axis: int


def ghosting(volume: Volume) -> Ghosting | None:
    """Return how much signal lies in the air beside the head along one axis; None when there is no air to judge.

    Motion and pulsation repeat the head along the phase-encoding direction; air in the corners stays dark. Nothing can
    be said of an image whose background was set to zero or that the head fills.

    Source: ghost-to-signal ratio as in MRIQC, Esteban 2017, doi:10.1371/journal.pone.0184661
    """
    from scipy.ndimage import distance_transform_edt

    image, spacing = _reduced(volume)
    head = image > otsu_threshold(image)
    far = distance_transform_edt(~head, sampling=spacing) > AIR_DISTANCE_MM
    beside = [head.any(axis=axis, keepdims=True) & far for axis in range(3)]
    corner = far & ~(beside[0] | beside[1] | beside[2])
    # Air that the scanner or a tool set to zero says nothing.
    if np.count_nonzero(corner & (image > 0)) < LEAST_VOXELS or np.median(image[corner]) == 0:
        return None
    level = float(np.mean(image[corner]))
    gaps = [float(np.mean(image[b])) - level if np.count_nonzero(b) >= LEAST_VOXELS else 0.0 for b in beside]
    axis = int(np.argmax(gaps))
    return Ghosting(gaps[axis] / float(np.median(image[head])), axis)


def _reduced(volume: Volume, target_mm: float = 3.0) -> tuple[F32, tuple[float, float, float]]:
    image = scalar(volume)
    steps = [max(1, int(target_mm // s)) for s in volume.spacing_mm]
    spacing = [s * n for s, n in zip(volume.spacing_mm, steps, strict=True)]
    return image[:: steps[0], :: steps[1], :: steps[2]], (spacing[0], spacing[1], spacing[2])


def border_area_mm2(grid: Gridded, region: Region) -> dict[str, float]:
    """Return the area of a region on each face of the image: "L", "R", "A", "P", "S", "I" -> mm2.

    A structure that ends inside the image has none; one that the field of view cuts has its cross-section.
    """
    _check(grid, region)
    code, area = grid.orientation, {}
    spacing = np.asarray(grid.spacing_mm)
    opposite = dict(zip("LRAPSI", "RLPAIS", strict=True))
    for axis, letter in enumerate(code):
        pixel = float(np.prod(np.delete(spacing, axis)))
        area[letter] = float(np.count_nonzero(np.take(region, -1, axis=axis))) * pixel
        area[opposite[letter]] = float(np.count_nonzero(np.take(region, 0, axis=axis))) * pixel
    return area


def clipped_fraction(volume: Volume, region: Region) -> float:
    """Return the share of a region's voxels that hold the image's highest value, 0..1."""
    _check(volume, region)
    return float(np.mean(volume.array[region] == volume.array.max()))


def _check(grid: Gridded, region: Region) -> None:
    if region.shape != grid.shape or region.dtype != np.bool_:
        raise GeometryError(
            "a region is a boolean array on the image's grid",
            found=f"{region.shape} {region.dtype}",
            expected=f"{grid.shape} bool",
        )
    if np.count_nonzero(region) < LEAST_VOXELS:
        raise ImageContentError(
            "the region holds too few voxels to judge",
            found=f"{np.count_nonzero(region)} voxels",
            expected=f"at least {LEAST_VOXELS}",
        )
