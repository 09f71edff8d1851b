"""From a volume and a mask to what the families measure: checks, interpolation, re-segmentation, grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import GeometryError, ImageContentError, LabelError
from vesalius.core.grid import Affine
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.features.radiomics.distribution import Distribution
from vesalius.features.radiomics.filters import filter_response
from vesalius.features.radiomics.settings import VOLUMETRIC, Family, Interpolation, Resegmentation, Settings

__all__ = ["PEAK_RADIUS_MM", "Region", "check_pair", "interpolate", "segment_label"]

PEAK_RADIUS_MM = (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0) * 10.0
"""Radius of a sphere of one cubic centimetre."""
_SPLINE_MARGIN = 24
"""Voxels after which the B-spline prefilter has forgotten its border (0.268^24 = 2e-14)."""
_WHOLE = 1e-6
"""Rounding error allowed for when the new number of voxels is a whole number."""
_HALF = 5e-7
"""Rounding error allowed for when a share of a voxel is compared with the mask threshold."""


@dataclass(frozen=True, eq=False)
class Region:
    """One segment of a mask, cropped to its bounding box.

    Args:
        image: intensities in the bounding box of the morphological mask, any real type.
        morphology: the mask as drawn (and interpolated).
        intensity: the mask after re-segmentation, inside `morphology`.
        surround: intensities of the box and `PEAK_RADIUS_MM` around it, as far as the image reaches.
        inside: where the box lies in `surround`.
        spacing_mm: voxel size along slice, row and column; (nan, nan, nan) when unknown and not needed.
        bounds: re-segmentation range, None where it is open.
        unit: UCUM unit of the intensities.
    """

    image: NDArray[Any]
    morphology: NDArray[np.bool_]
    intensity: NDArray[np.bool_]
    surround: NDArray[Any]
    inside: tuple[slice, slice, slice]
    spacing_mm: tuple[float, float, float]
    bounds: tuple[float | None, float | None]
    unit: str

    @cached_property
    def values(self) -> NDArray[Any]:
        """Return the intensities inside the intensity mask."""
        return np.asarray(self.image[self.intensity])

    @cached_property
    def distribution(self) -> Distribution:
        """Return the distribution of the intensities inside the intensity mask."""
        return Distribution.of(self.values)


def segment_label(mask: Mask, segment: str | int | None) -> int:
    """Return the label of a segment given by name, label or, when the mask has only one, by None.

    Raises:
        LabelError: there is none, or several and none was named.
    """
    names = ", ".join(f"{label} {each.name}" for label, each in mask.segments.items())
    if segment is None:
        if len(mask.segments) == 1:
            return next(iter(mask.segments))
        raise LabelError("the mask does not hold exactly one segment", found=names or "none", fix="name one: segment=")
    label = mask.label_of(segment) if isinstance(segment, str) else int(segment)
    if label not in mask.segments:
        raise LabelError("no segment has this label", found=str(label), expected=names, fix="name one of them")
    return label


def check_pair(volume: Volume, mask: Mask, settings: Settings) -> None:
    """Raise unless volume and mask can be measured with these settings.

    Raises:
        GeometryError: a fourth axis, different grids, a sheared grid, or a flat picture asked for volume features.
        UnknownSpacingError: a millimetre is needed and the image does not tell its pixel size.
    """
    if volume.array.ndim == 4:
        found = f"{volume.shape} with a fourth axis of {volume.array.shape[3]}"
        raise GeometryError(
            "radiomics measures one 3-D image",
            found=found,
            fix="choose one: volume.element(index); of a colour picture, save one channel",
        )
    if not volume.same_grid(mask):
        raise GeometryError(
            "volume and mask lie on different grids",
            found=f"volume {volume.shape}, mask {mask.shape}, {_affines(volume, mask)} affines",
            expected="one shape and one affine",
            fix="imaging.spatial.resample_like(mask, volume) first",
        )
    if settings.interpolation is not None or VOLUMETRIC.intersection(settings.families):
        volume.require_spacing()
        if volume.is_sheared:
            raise GeometryError(
                "radiomics needs orthogonal voxels and the grid is sheared (tilted gantry)",
                fix="imaging.spatial.to_orthogonal on volume and mask first",
            )
    thin = volume.shape[0] == 1
    volumetric = VOLUMETRIC.intersection(settings.families) or "3D" in settings.dimensions
    if thin and volumetric:
        raise GeometryError(
            "an image one slice thick has no volume features",
            found=f"shape {volume.shape}, families {', '.join(settings.families)}",
            expected="at least two slices, or 2-D aggregations without morphology and local intensity",
            fix="settings.flat(); on the command line --dimension 2D, without --preset and --settings",
        )


def _affines(volume: Volume, mask: Mask) -> str:
    return "equal" if np.allclose(volume.affine, mask.affine, atol=1e-3) else "different"


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the smallest box around the True voxels.

    Raises:
        ImageContentError: there is none.
    """
    planes = np.flatnonzero(np.any(mask, axis=(1, 2)))
    if planes.size == 0:
        raise ImageContentError(
            "the segment is empty: no voxel has its label",
            expected="at least two voxels",
            fix="check the segmentation, or leave the segment out",
        )
    part = mask[planes[0] : planes[-1] + 1]
    flat: NDArray[np.bool_] = np.any(part, axis=0)
    rows, columns = np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0))
    box = slice(int(planes[0]), int(planes[-1]) + 1), slice(int(rows[0]), int(rows[-1]) + 1)
    return *box, slice(int(columns[0]), int(columns[-1]) + 1)


def _grown(box: tuple[slice, ...], margin: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    grown = [
        slice(max(0, part.start - int(m)), min(n, part.stop + int(m)))
        for part, m, n in zip(box, margin, shape, strict=True)
    ]
    return grown[0], grown[1], grown[2]


def _within(box: tuple[slice, ...], outer: tuple[slice, ...]) -> tuple[slice, slice, slice]:
    moved = [slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True)]
    return moved[0], moved[1], moved[2]


def interpolate(
    volume: Volume, inside: NDArray[np.bool_], how: Interpolation, *, whole: bool = False
) -> tuple[Volume, NDArray[np.bool_]]:
    """Return the image and the mask on the new grid.

    The new grid covers the old one and both share their middle (IBSI 2.4). Unless the whole is wanted, only the part
    that the mask and the sphere of the local peak reach is computed. Intensities become float64; no smoothing goes
    before, as IBSI's reference values were made without.
    """
    from vesalius.imaging import spatial

    old = np.asarray(volume.spacing_mm)
    new = np.array([o if n is None else n for n, o in zip(how.spacing_mm, old, strict=True)], dtype=np.float64)
    ratio = new / old
    count = np.maximum(1, np.ceil(np.asarray(volume.shape) / ratio - _WHOLE)).astype(np.int64)
    first = (np.asarray(volume.shape) - 1) / 2 - ratio * (count - 1) / 2
    start, stop = np.zeros(3, dtype=np.int64), count
    part = (slice(0, volume.shape[0]), slice(0, volume.shape[1]), slice(0, volume.shape[2]))
    if not whole:
        box = bounding_box(inside)
        reach = np.ceil(PEAK_RADIUS_MM / new) + 2
        low, high = np.array([p.start for p in box]), np.array([p.stop for p in box])
        start = np.maximum(np.floor((low - first) / ratio - reach), 0).astype(np.int64)
        stop = np.minimum(np.ceil((high - first) / ratio + reach).astype(np.int64), count)
        part = _grown(box, np.ceil((reach + 1) * ratio).astype(np.int64) + _SPLINE_MARGIN, volume.shape)
    source = volume.crop((part[0].start, part[1].start, part[2].start), (part[0].stop, part[1].stop, part[2].stop))
    affine = _target_affine(volume, first + start * ratio, ratio)
    shape = (int(stop[0] - start[0]), int(stop[1] - start[1]), int(stop[2] - start[2]))
    grey = replace(source, array=source.array.astype(np.float64))
    share = replace(source, array=inside[part].astype(np.float64))
    image = spatial.resample_to_grid(grey, shape, affine, method=how.image, antialias=False)
    portion = spatial.resample_to_grid(share, shape, affine, method=how.mask, antialias=False)
    if how.round_to is not None:
        image = replace(image, array=np.round(image.array / how.round_to) * how.round_to)
    return image, portion.array >= how.mask_threshold - _HALF


def _target_affine(volume: Volume, first: NDArray[np.float64], ratio: NDArray[np.float64]) -> Affine:
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * ratio
    affine[:3, 3] = volume.index_to_world(first)
    return affine


def prepare(volume: Volume, mask: Mask, segment: str | int | None, settings: Settings) -> Region:
    """Return the region to measure.

    Raises:
        GeometryError: see `check_pair`.
        LabelError: no such segment.
        ImageContentError: an empty segment, one voxel, or voxels that are not finite inside it.
    """
    check_pair(volume, mask, settings)
    label = segment_label(mask, segment)
    inside = np.equal(mask.array, label)
    if settings.interpolation is not None:
        bounding_box(inside)
        whole = settings.filter is not None
        volume, inside = interpolate(volume, inside, settings.interpolation, whole=whole)
    return region_of(volume, inside, settings)


def region_of(volume: Volume, inside: NDArray[np.bool_], settings: Settings) -> Region:
    """Return the region of a mask on the grid of the volume."""
    box = bounding_box(inside)
    needs_mm = bool(VOLUMETRIC.intersection(settings.families))
    spacing = volume.spacing_mm if needs_mm else (math.nan, math.nan, math.nan)
    around = box
    if Family.LOCAL_INTENSITY in settings.families:
        reach = np.floor(PEAK_RADIUS_MM / np.asarray(spacing)).astype(np.int64)
        around = _grown(box, reach, volume.shape)
    morphology = np.ascontiguousarray(inside[box])
    image = volume.array[box]
    intensity = _resegmented(image, morphology, settings.resegmentation)
    bounds = (settings.resegmentation.lower, settings.resegmentation.upper)
    if settings.filter is not None:
        volume = filter_response(volume, settings.filter)
        image, bounds = volume.array[box], (None, None)
    return Region(
        image=image,
        morphology=morphology,
        intensity=intensity,
        surround=volume.array[around],
        inside=_within(box, around),
        spacing_mm=spacing,
        bounds=bounds,
        unit=volume.unit,
    )


def _resegmented(image: NDArray[Any], morphology: NDArray[np.bool_], how: Resegmentation) -> NDArray[np.bool_]:
    """Return the intensity mask: range and outlier filter are judged apart and intersected (IBSI 2.5)."""
    count = int(np.count_nonzero(morphology))
    if count < 2:
        raise ImageContentError(
            "a segment of one voxel has no texture and no spread",
            found=f"{count} voxel",
            expected="at least two voxels",
            fix="enlarge the segment, use a finer interpolation, or leave it out",
        )
    if image.dtype.kind == "f" and not np.isfinite(image[morphology]).all():
        bad = int(np.count_nonzero(~np.isfinite(image[morphology])))
        raise ImageContentError(
            "voxels inside the segment are not finite (NaN or infinite)",
            found=f"{bad} of {count}",
            expected="finite intensities inside the segment",
            fix="leave these voxels out of the segment, or replace them: "
            "imaging.filtering.replace_not_finite(volume, value=0)",
        )
    keep = morphology
    if how.outlier_sigma is not None:
        values = image[morphology].astype(np.float64)
        mean, reach = float(values.mean()), how.outlier_sigma * float(values.std())
        keep = keep & (image >= mean - reach) & (image <= mean + reach)
    if how.lower is not None:
        keep = keep & (image >= how.lower)
    if how.upper is not None:
        keep = keep & (image <= how.upper)
    left = count if keep is morphology else int(np.count_nonzero(keep))
    if left < 2:
        raise ImageContentError(
            "re-segmentation leaves fewer than two voxels",
            found=f"{left} of {count} voxels within {how.lower} to {how.upper}",
            fix="widen the range, or check the unit of the image",
        )
    return keep


def border_distance(mask: NDArray[np.bool_], planar: bool) -> NDArray[np.int32]:
    """Return the city-block distance of each voxel to the outside, 1 at the border; within slices when planar."""
    padded = np.pad(mask, ((0, 0) if planar else (1, 1), (1, 1), (1, 1)))
    metric = ndimage.generate_binary_structure(3, 1)
    if planar:
        metric[[0, 2]] = False
    distance = ndimage.distance_transform_cdt(padded, metric=metric)
    inner = slice(None) if planar else slice(1, -1)
    return np.asarray(distance[inner, 1:-1, 1:-1], dtype=np.int32)
