"""Clean-up of masks: components, holes, and what a ball of some millimetres takes away or adds.

Balls are true balls on any spacing: a voxel counts by the distance of its centre in mm. Every segment is treated by
itself unless `label` names one; a segment grows into background only, never into another segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import LabelError, UsageError
from vesalius.core.mask import Mask
from vesalius.imaging import filtering, windowed
from vesalius.segment import inputs
from vesalius.segment.inputs import Flags
from vesalius.segment.supervoxel import bounds, parts_of

Array = NDArray[Any]
Change = Callable[[Flags, tuple[float, ...]], Flags]


def largest(mask: Mask, *, count: int = 1, label: str | None = None) -> Mask:
    """Return the largest components of each segment; voxels that share a face hang together.

    Components of equal size are taken in the order of the array.

    Args:
        count: how many.
        label: name of the only segment that is changed.

    Raises:
        UsageError: fewer than one.
        LabelError: no segment has this name.
    """
    if count < 1:
        raise UsageError("at least one component is kept", found=str(count), expected="1 or more")

    def keep(flags: Flags) -> Flags:
        parts, found = parts_of(flags)
        sizes = np.bincount(parts.ravel(), minlength=found + 1)[1:]
        kept = np.zeros(found + 1, bool)
        kept[np.argsort(-sizes, kind="stable")[:count] + 1] = True
        return np.asarray(kept[parts])

    return _removed(mask, keep, label, "largest", count=count)


def components_over(mask: Mask, *, least_ml: float, label: str | None = None) -> Mask:
    """Return the components of each segment that have at least `least_ml` millilitres.

    Raises:
        UsageError: a volume that is not positive.
        LabelError: no segment has this name.
        UnknownSpacingError: the mask does not tell its voxel size.
    """
    least = filtering.positive("least_ml", least_ml, "mL") * 1000 / mask.voxel_volume_mm3

    def keep(flags: Flags) -> Flags:
        parts, found = parts_of(flags)
        kept = np.bincount(parts.ravel(), minlength=found + 1) >= least - 1e-6
        kept[0] = False
        return np.asarray(kept[parts])

    return _removed(mask, keep, label, "components_over", least_ml=least_ml)


def fill_holes(mask: Mask, *, slicewise: bool = False, most_ml: float | None = None, label: str | None = None) -> Mask:
    """Return the mask with background that a segment encloses given to it; other segments inside stay.

    Args:
        slicewise: enclosed within a slice is enough.
        most_ml: largest hole that is filled, of slice or volume; default any.
        label: name of the only segment that is changed.

    Raises:
        LabelError: no segment has this name.
        UnknownSpacingError: `most_ml` on a mask that does not tell its voxel size.
    """
    most = np.inf if most_ml is None else filtering.positive("most_ml", most_ml, "mL") * 1000 / mask.voxel_volume_mm3
    flat = mask.shape[0] == 1 or slicewise

    def fill(flags: Flags, spacing: tuple[float, ...]) -> Flags:
        if not flat:
            return _filled(flags, most)
        return np.stack([_filled(plane, most) for plane in flags])

    told: dict[str, object] = {"slicewise": slicewise, "most_ml": most_ml}
    return _changed(mask, fill, label, (0.0, ("fill_holes", told)), need_mm=False)


def _filled(flags: Flags, most: float) -> Flags:
    filled = ndimage.binary_fill_holes(flags)
    if np.isinf(most):
        return np.asarray(filled)
    holes, count = ndimage.label(filled & ~flags)
    small = np.bincount(holes.ravel(), minlength=count + 1) <= most + 1e-6
    small[0] = False
    return np.asarray(flags | small[holes])


def dilated(mask: Mask, *, radius_mm: float, label: str | None = None) -> Mask:
    """Return the mask with background within `radius_mm` of a segment given to the nearest.

    Raises:
        UsageError: a radius that is not positive.
        LabelError: no segment has this name.
        UnknownSpacingError: the mask does not tell its voxel size.
        GeometryError: a sheared grid.
    """
    spacing = _ball(mask, radius_mm, "dilate")
    chosen = _chosen(mask, label)
    near = np.full(mask.shape, np.inf, np.float32)
    array = mask.array.copy()
    for one in chosen:
        flags = mask.array == one
        if not flags.any():
            continue
        cut = _grown(bounds(flags), radius_mm, spacing, mask.shape)
        far = ndimage.distance_transform_edt(~flags[cut], sampling=spacing)
        taken = (far <= radius_mm + filtering.ROUNDING_MM) & (far < near[cut]) & (mask.array[cut] == 0)
        array[cut][taken] = one
        near[cut][taken] = far[taken]
    return mask.with_array(array, "dilate", radius_mm=radius_mm, label=label)


def eroded(mask: Mask, *, radius_mm: float, label: str | None = None) -> Mask:
    """Return the voxels of each segment farther than `radius_mm` from what is not it; the image's edge is no border.

    Raises: as `dilated`.
    """
    _ball(mask, radius_mm, "erode")

    def work(flags: Flags, spacing: tuple[float, ...]) -> Flags:
        return _eroded(flags, radius_mm, spacing)

    return _changed(mask, work, label, (radius_mm, ("erode", {"radius_mm": radius_mm})))


def opened(mask: Mask, *, radius_mm: float, label: str | None = None) -> Mask:
    """Return the part of each segment that a ball of `radius_mm` inside it reaches.

    Raises: as `dilated`.
    """
    _ball(mask, radius_mm, "open")

    def work(flags: Flags, spacing: tuple[float, ...]) -> Flags:
        return _dilated(_eroded(flags, radius_mm, spacing), radius_mm, spacing) & flags

    return _changed(mask, work, label, (radius_mm, ("open", {"radius_mm": radius_mm})))


def closed(mask: Mask, *, radius_mm: float, label: str | None = None) -> Mask:
    """Return the mask with background that no ball of `radius_mm` outside a segment reaches given to it.

    Raises: as `dilated`.
    """
    _ball(mask, radius_mm, "close")

    def work(flags: Flags, spacing: tuple[float, ...]) -> Flags:
        # Room for the ball, so that the image's edge neither closes nor opens anything.
        room = [int(radius_mm / s) + 1 if n > 1 else 0 for s, n in zip(spacing, mask.shape, strict=True)]
        wide = np.pad(flags, [(r, r) for r in room])
        done = _eroded(_dilated(wide, radius_mm, spacing), radius_mm, spacing)
        return flags | done[tuple(slice(r, r + n) for r, n in zip(room, flags.shape, strict=True))]

    return _changed(mask, work, label, (radius_mm, ("close", {"radius_mm": radius_mm})))


def smoothed(mask: Mask, *, sigma_mm: float, label: str | None = None) -> Mask:
    """Return the mask with every border smoothed: each voxel goes to what holds most of a Gaussian around it.

    Args:
        sigma_mm: standard deviation of the Gaussian; detail finer than that is lost.
        label: name of the only segment that is smoothed; others stay.

    Raises: as `dilated`.
    """
    spacing = _ball(mask, sigma_mm, "smooth", "sigma_mm")
    sigma = tuple(sigma_mm / s if n > 1 else 0.0 for s, n in zip(spacing, mask.shape, strict=True))
    chosen = list(_chosen(mask, label))
    fixed = ~np.isin(mask.array, [0, *chosen])
    best = windowed.gaussian((mask.array == 0).astype(np.float32), (sigma[0], sigma[1], sigma[2]))
    array = np.zeros_like(mask.array)
    for one in chosen:
        share = windowed.gaussian((mask.array == one).astype(np.float32), (sigma[0], sigma[1], sigma[2]))
        # A voxel on the border of two keeps what it was.
        won = (share > best) | ((share == best) & (mask.array == one))
        array[won] = one
        best = np.maximum(best, share)
    array[fixed] = mask.array[fixed]
    return mask.with_array(array, "smooth", sigma_mm=sigma_mm, label=label)


def _chosen(mask: Mask, label: str | None) -> Iterable[int]:
    if not mask.array.any():
        raise LabelError(
            "the mask is empty: there is nothing to clean up",
            found="no voxel above 0",
            expected="at least one labelled voxel",
            fix="check the step that made the mask: its threshold, seeds or --within",
        )
    return mask.segments if label is None else (mask.label_of(label),)


def _ball(mask: Mask, size_mm: float, what: str, name: str = "radius_mm") -> tuple[float, float, float]:
    filtering.positive(name, size_mm, "mm")
    return inputs.millimetres(mask, what)


def _removed(mask: Mask, keep: Callable[[Flags], Flags], label: str | None, operation: str, **told: object) -> Mask:
    array = mask.array.copy()
    for one in _chosen(mask, label):
        flags = mask.array == one
        if flags.any():
            cut = bounds(flags)
            inside = flags[cut]
            array[cut][inside & ~keep(inside)] = 0
    return mask.with_array(array, operation, label=label, **told)


def _changed(
    mask: Mask,
    work: Change,
    label: str | None,
    told: tuple[float, tuple[str, dict[str, object]]],
    *,
    need_mm: bool = True,
) -> Mask:
    """Return the mask with each segment as `work` makes it; `told` is the reach in mm and the step of the history."""
    reach, (operation, parameters) = told
    spacing = inputs.millimetres(mask, operation) if need_mm else inputs.lengths(mask)
    array = mask.array.copy()
    for one in _chosen(mask, label):
        flags = mask.array == one
        if not flags.any():
            continue
        cut = _grown(bounds(flags), reach, spacing, mask.shape)
        done, before = work(flags[cut], spacing), flags[cut]
        array[cut][before & ~done] = 0
        array[cut][done & ~before & (array[cut] == 0)] = one
    return mask.with_array(array, operation, label=label, **parameters)


def _grown(
    box: tuple[slice, ...], reach: float, spacing: tuple[float, ...], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Return the box widened by a reach in mm and a voxel, so that borders of the image stay borders of the image."""
    return tuple(
        slice(max(b.start - int(reach / s) - 2, 0), min(b.stop + int(reach / s) + 2, n))
        for b, s, n in zip(box, spacing, shape, strict=True)
    )


def _dilated(flags: Flags, radius_mm: float, spacing: tuple[float, ...]) -> Flags:
    if not flags.any():
        return flags
    far = ndimage.distance_transform_edt(~flags, sampling=spacing)
    return np.asarray(far <= radius_mm + filtering.ROUNDING_MM)


def _eroded(flags: Flags, radius_mm: float, spacing: tuple[float, ...]) -> Flags:
    if flags.all():
        return flags
    far = ndimage.distance_transform_edt(flags, sampling=spacing)
    return np.asarray(far > radius_mm + filtering.ROUNDING_MM)
