"""From posteriors to labels: the largest piece, without air, and with its outer border settled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.segment.tissue.border import FLUID, Levels, settle_border
from vesalius.segment.tissue.densities import BINS, TOP
from vesalius.segment.tissue.mixture import Fit
from vesalius.segment.tissue.native import NativeResult

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Labels = NDArray[np.uint8]

FLUID_GROUP, OTHER_GROUP = 2, 3
VENTRICLE_DEPTH_MM = 20.0
VENTRICLE_VOXELS = 60
VOID_SPREADS = 3.0
"""Distance below the ventricles' brightness, in their own spreads, from which a voxel is not fluid."""


NECK_MM, STUMP_MM = 4.0, 3.0
"""What hangs on the rest by less than twice the neck is no part of it, beyond what lies so near that it is a rim."""


def tissue_labels(image: F32, affine: F64, native: NativeResult, fit: Fit) -> Labels:
    """Return 1 grey matter, 2 white matter, 3 fluid on the input grid.

    With the skull in the image the outer border of the fluid is settled and what grew through it is cut off; where a
    voxel changes sides, so do its probabilities in `native`.
    """
    part = largest(np.asarray(native.dense(((native.groups.argmax(axis=0) + 1) % 4).astype(np.uint8))))
    if not fit.stripped:
        corrected = image[native.box] * np.exp(-native.dense(native.log_bias).astype(np.float32))
        spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
        settled = largest(without_voids(part, corrected, spacing_mm))
        settled = largest(settle_border(settled, corrected, *_evidence(native), _levels(native, fit), affine))
        settled = largest(without_outgrowths(settled, native.dense(native.below), spacing_mm))
        _exchange(native, part, settled)
        part = settled
    out = np.zeros(image.shape, dtype=np.uint8)
    out[native.box] = part
    return out


def _levels(native: NativeResult, fit: Fit) -> Levels:
    scale = fit.reference * TOP / BINS
    return Levels(native.densities.mean("fluid") * scale, native.densities.mean("cortex") * scale)


def _evidence(native: NativeResult) -> tuple[F32, NDArray[np.bool_]]:
    fluid, other = native.groups[FLUID_GROUP], native.groups[OTHER_GROUP]
    share = fluid / np.maximum(fluid + other, np.float32(1e-6))
    return native.dense(share), native.dense(np.ones(len(share), dtype=bool))


def _exchange(native: NativeResult, before: Labels, after: Labels) -> None:
    changed = ((before == FLUID) & (after == 0)) | ((before == 0) & (after == FLUID))
    chosen = changed.reshape(-1)[native.active]
    fluid, other = native.groups[FLUID_GROUP, chosen], native.groups[OTHER_GROUP, chosen]
    gained = after.reshape(-1)[native.active][chosen] == FLUID
    high, low = np.maximum(fluid, other), np.minimum(fluid, other)
    native.groups[FLUID_GROUP, chosen] = np.where(gained, high, low)
    native.groups[OTHER_GROUP, chosen] = np.where(gained, low, high)


def largest(part: Labels) -> Labels:
    """Return the labels of the largest connected piece."""
    components, count = ndimage.label(part > 0)
    if count < 2:
        return part
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.where(components == sizes.argmax(), part, 0).astype(np.uint8)


def without_voids(part: Labels, brightness: F32, spacing_mm: F64) -> Labels:
    """Return the labels without outer fluid that is darker than fluid can be: air of the sinuses, compact bone.

    What fluid looks like is read in the ventricles. Where bone is as dark as fluid nothing changes; dark voxels that
    do not reach the outer border are flow in vessels and stay.
    """
    coarse = part[::2, ::2, ::2]
    depth_mm = ndimage.distance_transform_edt(coarse > 0, sampling=2 * spacing_mm)
    deep = ndimage.binary_erosion(coarse == FLUID) & (depth_mm > VENTRICLE_DEPTH_MM)
    values = brightness[::2, ::2, ::2][deep]
    if values.size < VENTRICLE_VOXELS:
        return part
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    void = (part == FLUID) & (brightness < middle - VOID_SPREADS * spread)
    components, count = ndimage.label(ndimage.binary_opening(void))
    reaching = np.unique(components[ndimage.binary_dilation(part == 0) & (components > 0)])
    outer = np.zeros(count + 1, dtype=bool)
    outer[reaching] = True
    return np.where(ndimage.binary_dilation(outer[components], mask=void), 0, part).astype(np.uint8)


def without_outgrowths(part: Labels, below: NDArray[np.bool_], spacing_mm: F64) -> Labels:
    """Return the labels without what hangs on the intracranial space by a thin neck: ethmoid, orbit, petrous cells.

    Below the foramen magnum nothing is cut: the canal is itself thin.
    """
    factors = tuple(max(1, round(2 / s)) for s in spacing_mm)
    coarse = part[:: factors[0], :: factors[1], :: factors[2]] > 0
    sampling = spacing_mm * np.array(factors)
    depth_mm = ndimage.distance_transform_edt(ndimage.binary_fill_holes(coarse), sampling=sampling)
    core = largest((depth_mm > NECK_MM).astype(np.uint8))
    kept = ndimage.distance_transform_edt(core == 0, sampling=sampling) <= NECK_MM + STUMP_MM
    for axis, factor in enumerate(factors):
        kept = np.repeat(kept, factor, axis=axis)
    a, b, c = part.shape
    return np.where(kept[:a, :b, :c] | below, part, 0).astype(np.uint8)
