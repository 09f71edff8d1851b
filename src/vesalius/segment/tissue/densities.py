"""Class-conditional intensity densities on a histogram: Gaussians with partial-volume ramps inside the brain.

Everything that depends on a voxel only through its intensity is computed once per bin. A partial-volume voxel between
two tissues has a uniformly distributed share of each; the half in which a tissue prevails belongs to its density.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from vesalius.segment.tissue.atlas import CLASSES

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BINS = 512
TOP = 1.6
"""Upper end of the histogram as a multiple of the reference brightness."""

GAUSSIANS = {"cortex": 1, "deep_grey": 2, "white": 1, "stem": 1, "fluid": 1}
RAMPS = {"cortex": ("fluid", "white"), "white": ("cortex",), "fluid": ("cortex",), "stem": ("fluid",),
         "deep_grey": ("white",)}  # fmt: skip
RAMP_LIMITS = (0.03, 0.35)
FLUID_RAMP_LIMIT = 0.6
FLUID_SD_LIMIT = 0.22
CORTEX_SD_LIMIT = 0.24
WHITE_SD_SHARE = 0.8
TIE_LIMITS = (0.7, 2.0)
"""Distance of bone and fluid in standard deviations up to which they are one, and from which they are two."""

BACKGROUND_BINS = 2.0
ERASED_BINS = 2
"""What a skull-stripping tool erased is not tissue, however dark the fluid."""

BRAIN = tuple(GAUSSIANS)


@dataclass
class Component:
    """One Gaussian of a class, in bins."""

    weight: float
    mean: float
    sd: float


@dataclass
class Densities:
    """Densities of all classes over intensity bins.

    Args:
        table: float32 [class, bin], each row sums to 1.
        pure: for each brain class and bin, how likely a voxel of the class is not partial volume.
        gaussians: components of the brain classes.
        ramps: share of each class that is partial volume with each neighbour.
        sd_floor: smallest standard deviation in bins.
        stripped: everything outside the brain except dura is background near zero.
    """

    table: F32
    pure: dict[str, F32] = field(default_factory=dict)
    gaussians: dict[str, list[Component]] = field(default_factory=dict)
    ramps: dict[str, dict[str, float]] = field(default_factory=dict)
    sd_floor: float = 4.0
    stripped: bool = False

    def mean(self, name: str) -> float:
        """Return the weighted mean of the Gaussians of a class, in bins."""
        parts = self.gaussians[name]
        return sum(c.weight * c.mean for c in parts) / sum(c.weight for c in parts)

    def sd(self, name: str) -> float:
        """Return the standard deviation of the Gaussians of a class around their common mean, in bins."""
        parts, centre = self.gaussians[name], self.mean(name)
        total = sum(c.weight for c in parts)
        return float(np.sqrt(sum(c.weight * (c.sd**2 + (c.mean - centre) ** 2) for c in parts) / total))


_CENTRES = np.arange(BINS) + 0.5


def from_histograms(histogram: F64, *, stripped: bool = False) -> Densities:
    """Return first densities from class histograms [class, bin] weighted by the prior."""
    densities = Densities(np.empty((len(CLASSES), BINS), dtype=np.float32), stripped=stripped)
    for name in BRAIN:
        counts = histogram[CLASSES.index(name)]
        cumulative = np.cumsum(counts) / max(counts.sum(), 1e-9)
        count = GAUSSIANS[name]
        quantiles = [float(np.searchsorted(cumulative, q)) for q in ((0.5,) if count == 1 else (0.3, 0.7))]
        low, high = (float(np.searchsorted(cumulative, q)) for q in (0.25, 0.75))
        sd = max((high - low) / 1.35 / count, densities.sd_floor)
        densities.gaussians[name] = [Component(1.0 / count, q, sd) for q in quantiles]
        densities.ramps[name] = {other: 0.1 for other in RAMPS[name]}
    return refreshed(densities, histogram)


def refreshed(densities: Densities, histogram: F64) -> Densities:
    """Return the densities with their table computed again from components and, outside the brain, histograms."""
    for index, name in enumerate(CLASSES):
        if name in GAUSSIANS:
            parts = _parts(densities, name)
            row = np.sum(parts, axis=0)
            whole = np.sum(parts[: GAUSSIANS[name]], axis=0)
            densities.pure[name] = (whole / np.maximum(row, 1e-12)).astype(np.float32)
            if densities.stripped:
                row[:ERASED_BINS] = 0
        elif densities.stripped and name != "dura":
            row = np.exp(-_CENTRES / BACKGROUND_BINS)
        else:
            row = gaussian_filter1d(histogram[index], 5.0, mode="nearest")
        row = np.maximum(row / max(row.sum(), 1e-9), 0)
        densities.table[index] = 0.995 * row + 0.005 / BINS
        if densities.stripped and name in GAUSSIANS:
            densities.table[index, :ERASED_BINS] = 1e-9
    if not densities.stripped:
        _tie_bone_to_fluid(densities)
    return densities


def _tie_bone_to_fluid(densities: Densities) -> None:
    """Make bone and fluid equally likely where both are dark, as far as their brightness cannot be told apart.

    Otherwise a small difference, grown by expectation maximisation itself, moves the inner table by millimetres.
    """
    fluid, bone = (densities.table[CLASSES.index(n)] for n in ("fluid", "bone"))
    border = int(np.clip(0.5 * (densities.mean("fluid") + densities.mean("cortex")), 1, BINS - 1))
    dark = slice(0, border)
    mean_f, sd_f = _moments(fluid[dark])
    mean_b, sd_b = _moments(bone[dark])
    distance = abs(mean_f - mean_b) / max(np.hypot(sd_f, sd_b) / np.sqrt(2), 1.0)
    trust = float(np.clip((distance - TIE_LIMITS[0]) / (TIE_LIMITS[1] - TIE_LIMITS[0]), 0, 1))
    pooled = 0.5 * (fluid[dark] + bone[dark])
    for row in (fluid, bone):
        row[dark] = trust * row[dark] + (1 - trust) * pooled


def _moments(row: F32) -> tuple[float, float]:
    weight = row.astype(np.float64) / max(float(row.sum()), 1e-9)
    centres = _CENTRES[: len(row)]
    mean = float((weight * centres).sum())
    return mean, float(np.sqrt((weight * (centres - mean) ** 2).sum()))


def update(densities: Densities, histogram: F64) -> Densities:
    """Return the densities after one maximisation step.

    Args:
        densities: current densities; changed in place.
        histogram: [class, bin] responsibilities of the classes, summed over voxels per bin.
    """
    for name in BRAIN:
        counts = histogram[CLASSES.index(name)]
        if counts.sum() < 50:
            continue
        _update_class(densities, name, counts)
    _constrain(densities)
    return refreshed(densities, histogram)


def _update_class(densities: Densities, name: str, counts: F64) -> None:
    parts = _parts(densities, name)
    total = np.sum(parts, axis=0) + 1e-12
    shares = [p / total * counts for p in parts]
    mass = counts.sum()
    gaussians = densities.gaussians[name]
    for component, share in zip(gaussians, shares, strict=False):
        amount = share.sum()
        component.weight = max(amount / mass, 1e-3)
        if amount > 20:
            component.mean = float((share * _CENTRES).sum() / amount)
            variance = (share * (_CENTRES - component.mean) ** 2).sum() / amount
            component.sd = max(float(np.sqrt(variance)), densities.sd_floor)
    for other, share in zip(RAMPS[name], shares[len(gaussians) :], strict=True):
        limit = FLUID_RAMP_LIMIT if name == "fluid" else RAMP_LIMITS[1]
        densities.ramps[name][other] = float(np.clip(share.sum() / mass, RAMP_LIMITS[0], limit))


def _constrain(densities: Densities) -> None:
    """Keep spreads in proportion to the contrasts.

    An uncapped fluid swallows partial volume and dark cortex; a wide cortex beside a narrow white matter pushes their
    border far above the midpoint.
    """
    fluid, cortex, white = (densities.mean(n) for n in ("fluid", "cortex", "white"))
    floor = densities.sd_floor
    _limit(densities, "fluid", floor, max(FLUID_SD_LIMIT * abs(cortex - fluid), floor))
    _limit(densities, "cortex", floor, max(CORTEX_SD_LIMIT * abs(white - cortex), floor))
    _limit(densities, "white", WHITE_SD_SHARE * densities.gaussians["cortex"][0].sd, np.inf)


def _limit(densities: Densities, name: str, low: float, high: float) -> None:
    for component in densities.gaussians[name]:
        component.sd = float(np.clip(component.sd, low, high))


def _parts(densities: Densities, name: str) -> list[F64]:
    gaussians, ramps = densities.gaussians[name], densities.ramps[name]
    total = sum(c.weight for c in gaussians)
    pure = 1 - sum(ramps.values())
    parts = [pure * c.weight / total * _normal(c.mean, c.sd) for c in gaussians]
    for other, share in ramps.items():
        own, there = densities.mean(name), densities.mean(other)
        sd = 0.5 * (min(c.sd for c in gaussians) + min(c.sd for c in densities.gaussians[other]))
        parts.append(share * _ramp(own, 0.5 * (own + there), sd))
    return parts


def _normal(mean: float, sd: float) -> F64:
    edges = (np.arange(BINS + 1) - mean) / sd
    return np.asarray(np.diff(ndtr(edges)))


def _ramp(start: float, stop: float, sd: float) -> F64:
    low, high = min(start, stop), max(start, stop)
    width = max(high - low, 1.0)
    density = (ndtr((_CENTRES - low) / sd) - ndtr((_CENTRES - high) / sd)) / width
    return np.asarray(density)
