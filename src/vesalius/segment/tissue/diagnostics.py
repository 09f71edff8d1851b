"""Numbers that tell whether a segmentation means anything, for guards and quality checks."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from vesalius.core.volume import Volume
from vesalius.segment.tissue.atlas import Atlas
from vesalius.segment.tissue.densities import BINS, TOP
from vesalius.segment.tissue.mixture import TOLERANCE, Fit, Template
from vesalius.segment.tissue.native import NativeResult
from vesalius.segment.tissue.result import ClassIntensity, Diagnostics

NAMES = {"gray_matter": "cortex", "white_matter": "white", "csf": "fluid", "deep_gray_matter": "deep_grey",
         "brain_stem": "stem"}  # fmt: skip


def diagnose(
    volume: Volume,
    image: NDArray[np.float32],
    atlas: Atlas,
    head: Template,
    fit: Fit,
    native: NativeResult,
    scalp: float,
) -> Diagnostics:
    """Return the diagnostic numbers of one segmentation."""
    scale = fit.reference * TOP / BINS
    densities = native.densities
    found = {name: ClassIntensity(densities.mean(c) * scale, densities.sd(c) * scale) for name, c in NAMES.items()}
    gray, white, fluid = found["gray_matter"], found["white_matter"], found["csf"]
    order = tuple(sorted(("csf", "gray_matter", "white_matter"), key=lambda n: found[n].mean))
    coverage, below, above = _coverage(volume, atlas, fit)
    bias = np.exp(native.log_bias - np.median(native.log_bias)) if native.log_bias.size else np.ones(1)
    best = native.groups[:3].max(axis=0)[native.groups.argmax(axis=0) < 3]
    inner = binary_erosion(atlas.brain > 0.5)
    shift = np.sqrt((fit.displacement[:, inner] ** 2).sum(axis=0).mean()) * atlas.spacing_mm
    return Diagnostics(
        affine_log_likelihood=fit.pose.log_likelihood,
        field_of_view=fit.pose.inside,
        brain_coverage=coverage,
        cut_below=below,
        cut_above=above,
        mixture_log_likelihood=fit.trace[-1],
        converged=len(fit.trace) > 1 and abs(fit.trace[-1] - fit.trace[-2]) < TOLERANCE,
        intensities=MappingProxyType(found),
        contrast_order=order,
        white_gray_contrast=(white.mean - gray.mean) / max(white.mean, 1e-9),
        gray_csf_contrast=(gray.mean - fluid.mean) / max(white.mean, 1e-9),
        separation=abs(white.mean - gray.mean) / max(float(np.sqrt((white.sd**2 + gray.sd**2) / 2)), 1e-9),
        zoom=float(np.cbrt(abs(np.linalg.det(fit.pose.matrix[:3, :3])))),
        displacement_mm=float(shift),
        scalp_fraction=scalp,
        mean_confidence=float(best.mean()) if best.size else 0.0,
        bias_range=(float(np.percentile(bias, 1)), float(np.percentile(bias, 99))),
    )


def _coverage(volume: Volume, atlas: Atlas, fit: Fit) -> tuple[float, float, float]:
    """Return the covered fraction of the aligned brain and the mm that are cut below and above the image."""
    index = np.argwhere((atlas.brain > 0.5) & (atlas.below_foramen < 0.5))
    moved = index - fit.displacement[(slice(None), *index.T)].T
    world = moved @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    world = world @ fit.pose.matrix[:3, :3].T + fit.pose.matrix[:3, 3]
    place = volume.world_to_index(world)
    inside = np.all((place > -0.5) & (place < np.array(volume.shape) - 0.5), axis=1)
    heights = world[:, 2]
    reach = heights[inside] if inside.any() else heights[:1] * 0 + heights.mean()
    return (
        float(inside.mean()),
        max(0.0, float(reach.min() - heights.min())),
        max(0.0, float(heights.max() - reach.max())),
    )
