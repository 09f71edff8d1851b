"""The outer border of the fluid: how far the inner table of the skull lies from what an image does show.

Fluid and compact bone are equally dark on T1, so the atlas places their border. Two observations of the head itself
correct it. Where marrow is seen between the tables, the dark band between fluid and marrow must be as thick as an inner
table is. And where bone is darker than fluid, both sides of the border must look like what they are. Voxels that are
not dark (cortex, dura, vessels, marrow, scalp) never change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, map_coordinates

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

FLUID = 3
COARSE_MM = 2.0

TABLE_MM = 1.95
"""Mean distance from the border to the half-bright edge of the marrow in the vault, in label maps (1.1-2.5 mm)."""

TABLE_LIMIT_MM = 4.1
"""No inner table is thicker: what begins beyond it is scalp."""

TABLE_TRUST = 0.9
"""Share of a found difference that is applied; the thickness differs between heads by 0.2 mm."""

TABLE_SHARE = 0.05
"""Marrow must be seen on this share of the vault before it is used."""

TABLE_MAJORITY = 0.7
"""Share of the bright bands found that must begin within the limit; otherwise layers of the scalp were found."""

VAULT = 0.3
"""The vault is where the border faces upward by this much (cosine): muscle lies on the sides of the head."""

TABLE_REACH_MM = 15.0
RESOLVED_MM = 1.6
"""An inner table is not resolved by larger voxels."""

COLUMN_MM = (-1.0, 16.0, 0.5)
MARROW_START_MM, MARROW_WIDTH_MM, OUTER_TABLE_MM = 6.0, 8.0, (1.0, 5.0)
DARK_SHARE = 0.35
"""A table is darker than this share of the way from fluid to cortex."""

EVIDENCE = 15.0
"""Independent voxels' worth of evidence per mm that the surroundings of a place on the border give."""

SHIFT_MM, LARGEST_MM = 1.1, 2.5
DARKER = (0.3, 0.6)
"""How much darker than fluid bone must be, in standard deviations, for its darkness to count at all, and in full."""

MIXED = (0.08, 0.16)
"""Share of bone that is brighter than its mean by 2.5 of its spreads (diploe as bright as fluid) up to which darkness
counts in full, and from which it tells nothing."""

WIDER = (1.1, 1.3)
"""Spread of bone over that of fluid up to which darkness counts in full, and from which it tells nothing: noise alone
spreads a darker tissue no more than a brighter one, so the rest is partly something brighter."""

BAND_MM, WINDOW_MM, STEPS, STEP = 2.0, 4.0, 12, 0.4
INNER_MM, OUTER_MM = (1.0, 6.0), (1.0, 4.0)
FEWEST = 500


@dataclass(frozen=True)
class Levels:
    """Brightness of fluid and cortex in the bias-corrected image."""

    fluid: float
    cortex: float

    @property
    def border(self) -> float:
        """Return the brightness that separates dark from bright."""
        return 0.5 * (self.fluid + self.cortex)

    @property
    def table(self) -> float:
        """Return the brightness below which a table of the skull lies at its darkest."""
        return self.fluid + DARK_SHARE * (self.cortex - self.fluid)


@dataclass(frozen=True, eq=False)
class Dark:
    """The dark layer between brain and skull.

    Args:
        brightness: bias-corrected image.
        free: dark voxels of fluid or of nothing, which may change sides.
        core: those of them that touch nothing bright.
        depth_mm: signed distance to the border, positive inside.
        spacing_mm: voxel edges.
    """

    brightness: F32
    free: Flags
    core: Flags
    depth_mm: F32
    spacing_mm: F64

    @property
    def factors(self) -> tuple[int, int, int]:
        """Return how many voxels make up one of the coarse grid of shifts, about 2 mm."""
        a, b, c = (max(1, round(COARSE_MM / s)) for s in self.spacing_mm)
        return a, b, c

    def coarse(self, values: F32) -> F32:
        """Return block means."""
        factors = self.factors
        padded = np.pad(values, [(0, -n % f) for n, f in zip(values.shape, factors, strict=True)])
        blocks = [x for n, f in zip(padded.shape, factors, strict=True) for x in (n // f, f)]
        mean: F32 = padded.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
        return mean

    def fine(self, shift: F32) -> F32:
        """Return shifts on the voxels."""
        for axis, factor in enumerate(self.factors):
            shift = np.repeat(shift, factor, axis=axis)
        a, b, c = self.brightness.shape
        return shift[:a, :b, :c]

    def smooth(self, values: F32, sigma_mm: float) -> F32:
        """Return coarse values smoothed by a Gaussian."""
        sigma = sigma_mm / (np.array(self.factors) * self.spacing_mm)
        result: F32 = gaussian_filter(values, sigma, truncate=2.5)
        return result


def settle_border(
    labels: NDArray[np.uint8], brightness: F32, fluid: F32, near: Flags, levels: Levels, affine: F64
) -> NDArray[np.uint8]:
    """Return the labels with dark voxels added to the fluid or taken off it along the outer border.

    Args:
        labels: 0 nothing, 1 grey matter, 2 white matter, 3 fluid.
        brightness: bias-corrected image.
        fluid: probability of fluid against nothing, 0..1; it orders voxels at the same distance.
        near: where voxels were classified at all.
        levels: brightness of fluid and cortex.
        affine: array index to patient LPS mm.
    """
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    layer = _dark_layer(labels, brightness, fluid, near, levels, spacing_mm)
    expected = _table_shift(layer, levels, affine[2, :3] / spacing_mm)
    shift = _evident_shift(layer, labels, near, expected)
    if not shift.any():
        return labels
    inside = np.where(layer.free, layer.depth_mm + layer.fine(shift) > 0, labels > 0)
    settled = np.where(inside & (labels == 0), FLUID, labels)
    settled[~inside] = 0
    return settled.astype(np.uint8)


def _dark_layer(
    labels: NDArray[np.uint8], brightness: F32, fluid: F32, near: Flags, levels: Levels, spacing_mm: F64
) -> Dark:
    inside = labels > 0
    dark = brightness < levels.border
    free = dark & near & ((labels == FLUID) | ~inside)
    half = 0.5 * float(spacing_mm.min())
    depth = _distance(inside, spacing_mm)
    depth -= _distance(~inside, spacing_mm)
    depth -= np.float32(half) * np.sign(depth)
    # Voxels next to the border lie within it by as much as their probability ranks them.
    for side in (1, -1):
        shell = free & (side * depth > 0) & (side * depth < 1.2 * half)
        order = np.argsort(side * fluid[shell], kind="stable")
        rank = np.empty(len(order), dtype=np.float32)
        rank[order] = (np.arange(len(order)) + 0.5) / max(len(order), 1)
        depth[shell] = side * 2 * half * rank
    return Dark(brightness, free, free & binary_erosion(dark), depth, spacing_mm)


def _distance(inside: Flags, spacing_mm: F64) -> F32:
    # From the nearest places in single precision: SciPy's own distances take three times the memory.
    nearest = distance_transform_edt(inside, sampling=spacing_mm, return_distances=False, return_indices=True)
    total = np.zeros(inside.shape, dtype=np.float32)
    for axis, spacing in enumerate(spacing_mm):
        own = np.arange(inside.shape[axis], dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(3)])
        total += ((nearest[axis] - own).astype(np.float32) * np.float32(spacing)) ** 2
    return np.sqrt(total, out=total)


def _table_shift(layer: Dark, levels: Levels, upward: F64) -> F32:
    """Return by how much the border moves outward so that the inner table is as thick as it should be, coarse, mm."""
    index, outward = _border_columns(layer, upward)
    none = np.zeros_like(layer.coarse(layer.depth_mm))
    if len(index) < FEWEST:
        return none
    thickness = _inner_table(layer, index, outward, levels)
    seen = thickness <= TABLE_LIMIT_MM
    least = max(FEWEST, TABLE_SHARE * len(index), TABLE_MAJORITY * np.count_nonzero(np.isfinite(thickness)))
    if np.count_nonzero(seen) < least:
        return none
    middle = float(thickness[seen].mean())
    place = tuple((index[seen] // np.array(layer.factors)).T)
    total, count = none.copy(), none.copy()
    np.add.at(total, place, (thickness[seen] - middle).astype(np.float32))
    np.add.at(count, place, 1)
    total, count = layer.smooth(total, TABLE_REACH_MM), layer.smooth(count, TABLE_REACH_MM)
    shift: F32 = np.float32(TABLE_TRUST) * (middle - TABLE_MM + total / (count + 0.3 * count.max()))
    return np.clip(shift, -LARGEST_MM, LARGEST_MM).astype(np.float32)


def _border_columns(layer: Dark, upward: F64) -> tuple[NDArray[np.int64], F64]:
    """Return places on the border of the vault [n, 3] and the outward directions [n, 3], where voxels are fine."""
    smallest = float(layer.spacing_mm.min())
    index = np.argwhere((layer.depth_mm < 0) & (layer.depth_mm >= -smallest))[::3]
    smooth = gaussian_filter(np.clip(layer.depth_mm, -8, 8), 3.0 / layer.spacing_mm, truncate=2.0)
    outward = np.empty(index.shape)
    for axis, spacing in enumerate(layer.spacing_mm):
        outward[:, axis] = -_slope(smooth, index, axis) / spacing
    length = np.linalg.norm(outward, axis=1)
    outward /= np.maximum(length, 1e-6)[:, None]
    resolved = np.linalg.norm(outward * layer.spacing_mm, axis=1) <= RESOLVED_MM
    kept = (length > 0.5) & resolved & (outward @ upward > VAULT)
    return index[kept], outward[kept]


def _slope(values: F32, index: NDArray[np.int64], axis: int) -> F64:
    ahead, behind = index.copy(), index.copy()
    ahead[:, axis] = np.minimum(index[:, axis] + 1, values.shape[axis] - 1)
    behind[:, axis] = np.maximum(index[:, axis] - 1, 0)
    step = np.maximum(ahead[:, axis] - behind[:, axis], 1)
    return np.asarray((values[tuple(ahead.T)] - values[tuple(behind.T)]) / step, dtype=np.float64)


def _inner_table(layer: Dark, index: NDArray[np.int64], outward: F64, levels: Levels) -> F64:
    """Return the thickness of the dark band up to the marrow in mm, NaN where marrow is not seen.

    Marrow is a bright band followed by a dark one, the outer table, and by brightness again, the scalp.
    """
    away = np.arange(*COLUMN_MM)
    place = index.T[:, :, None] + (outward.T / layer.spacing_mm[:, None])[:, :, None] * away
    value = map_coordinates(layer.brightness, place.reshape(3, -1), order=1, mode="constant", prefilter=False)
    value = value.reshape(len(index), len(away))
    bright = value > levels.border
    marrow = _first(bright, away, np.zeros(len(index)))
    outer = _first(~bright, away, marrow)
    scalp = _first(bright, away, outer)
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(scalp) & (marrow > 0) & (marrow <= MARROW_START_MM) & (outer - marrow <= MARROW_WIDTH_MM)
        seen &= (scalp - outer >= OUTER_TABLE_MM[0]) & (scalp - outer <= OUTER_TABLE_MM[1])
    seen &= _extreme(value, away, np.zeros(len(index)), marrow, np.minimum) < levels.table
    seen &= _extreme(value, away, outer, scalp, np.minimum) < levels.table
    seen &= -_extreme(-value, away, marrow, outer, np.minimum) > 0.5 * (levels.cortex + levels.border)
    thickness = _crossing(value, away, marrow, levels.border) - layer.depth_mm[tuple(index.T)]
    return np.where(seen, thickness, np.nan)


def _first(condition: Flags, away: F64, start: F64) -> F64:
    later = condition & (away >= start[:, None])
    return np.where(later.any(axis=1), away[later.argmax(axis=1)], np.inf)


def _extreme(value: F32, away: F64, start: F64, stop: F64, of: np.ufunc) -> F64:
    between = (away >= start[:, None]) & (away < stop[:, None])
    return np.asarray(of.reduce(np.where(between, value, np.inf), axis=1))


def _crossing(value: F32, away: F64, found: F64, threshold: float) -> F64:
    rows = np.arange(len(value))
    upper = np.clip(np.searchsorted(away, np.where(np.isfinite(found), found, 0)), 1, len(away) - 1)
    low, high = value[rows, upper - 1], value[rows, upper]
    share = np.clip((threshold - low) / np.maximum(high - low, 1e-6), 0, 1)
    return np.asarray(away[upper - 1] + share * (away[upper] - away[upper - 1]))


def _evident_shift(layer: Dark, labels: NDArray[np.uint8], near: Flags, expected: F32) -> F32:
    """Return the shift at which both sides of the border look like fluid and bone, held near the expected one, mm."""
    shift = expected.copy()
    ratio, trust = layer.brightness, 0.0
    for step in range(STEPS):
        depth = layer.depth_mm + layer.fine(shift)
        if step % 4 == 0:
            ratio, trust = _fluid_or_bone(layer, labels, near, depth)
        if trust == 0:
            return expected
        band = np.clip(1 - np.abs(depth) / np.float32(BAND_MM), 0, 1) * layer.core
        weight = layer.smooth(layer.coarse(band), WINDOW_MM)
        balance = layer.smooth(layer.coarse(band * ratio), WINDOW_MM) / (weight + np.float32(2e-3))
        force = np.float32(trust * EVIDENCE) * balance - (shift - expected) / np.float32(SHIFT_MM**2)
        shift += np.clip(np.float32(STEP) * force, -0.5, 0.5)
        np.clip(shift, -LARGEST_MM, LARGEST_MM, out=shift)
    return shift


def _fluid_or_bone(layer: Dark, labels: NDArray[np.uint8], near: Flags, depth: F32) -> tuple[F32, float]:
    """Return log p(brightness | fluid) / p(brightness | bone) per voxel, and how far it is to be trusted, 0..1.

    Bone that is brighter than fluid, all of it or a part, is marrow or something else: it is not trusted.
    """
    fluid = layer.core & (labels == FLUID) & (depth > INNER_MM[0]) & (depth < INNER_MM[1])
    bone = layer.core & near & (depth < -OUTER_MM[0]) & (depth > -OUTER_MM[1])
    if min(np.count_nonzero(fluid), np.count_nonzero(bone)) < FEWEST:
        return layer.brightness, 0.0
    (mean_f, sd_f), (mean_b, sd_b) = (_robust(layer.brightness[part]) for part in (fluid, bone))
    spread = max(float(np.hypot(sd_f, sd_b)) / np.sqrt(2), 1e-6)
    trust = 1 - _fading((mean_f - mean_b) / spread, DARKER)
    mixed = float(np.mean(layer.brightness[bone] > mean_b + 2.5 * sd_b))
    trust *= _fading(mixed, MIXED) * _fading(sd_b / max(sd_f, 1e-6), WIDER)
    slope = (mean_f - mean_b) / spread**2
    ratio = np.clip((layer.brightness - np.float32(0.5 * (mean_f + mean_b))) * np.float32(slope), -2, 2)
    ratio[layer.brightness > mean_f + 2 * spread] = 0  # part of something brighter: tells nothing
    return ratio, trust


def _fading(value: float, limits: tuple[float, float]) -> float:
    """Return 1 up to the lower limit, 0 from the upper one."""
    return float(np.clip((limits[1] - value) / (limits[1] - limits[0]), 0, 1))


def _robust(values: F32) -> tuple[float, float]:
    mean = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - mean)))
    for _ in range(4):
        kept = values[np.abs(values - mean) < 2 * spread]
        mean = float(kept.mean()) if kept.size else mean
    return mean, spread
