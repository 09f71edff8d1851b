"""What the tissue engine takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesalius.core.mask import Mask
from vesalius.core.volume import Volume

Skull = Literal["auto", "present", "stripped"]


@dataclass(frozen=True)
class TissueOptions:
    """How to segment.

    Args:
        skull: whether the skull is in the image; "auto" lets the likelihood decide.
        field_strength: strength of the Markov random field, per neighbour.
        expectation_steps: largest number of expectation-maximisation steps after each alignment.
        native_steps: the same at full resolution.
        reruns: perturbed reruns for the repeatability intervals; 0 uses the reference spreads alone.
        seed: seed of the perturbations.
        threads: upper limit of threads; the engine runs on one, so the result does not depend on it.
    """

    skull: Skull = "auto"
    field_strength: float = 0.25
    expectation_steps: int = 30
    native_steps: int = 20
    reruns: int = 2
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True)
class ClassIntensity:
    """Brightness of a tissue in the bias-corrected image: weighted mean and standard deviation, image units."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Diagnostics:
    """Numbers by which a guard can judge whether the answer means anything.

    Args:
        affine_log_likelihood: nats per point over brain and margin; how much the atlas explains of the image.
        field_of_view: fraction of brain and margin (28 mm) that lies inside the image.
        brain_coverage: fraction of the aligned atlas brain that lies inside the image.
        cut_below, cut_above: mm of the aligned atlas brain beyond the lowest and the highest slice of the image.
        mixture_log_likelihood: nats per voxel of the final mixture (intensity in 512 bins).
        converged: the mixture's last step gained less than 3e-4 nats per voxel.
        intensities: mean and spread of "gray_matter", "white_matter", "csf", "deep_gray_matter", "brain_stem".
        contrast_order: tissues from dark to bright; ("csf", "gray_matter", "white_matter") on a T1.
        white_gray_contrast: (WM - GM) / WM.
        gray_csf_contrast: (GM - CSF) / WM.
        separation: |WM - GM| / sqrt((sd_WM^2 + sd_GM^2) / 2).
        zoom: cube root of the determinant of the affine, patient mm per template mm.
        displacement_mm: root mean square of the deformation inside the brain.
        scalp_fraction: share of the expected scalp that is brighter than background.
        mean_confidence: mean over the brain of the largest tissue probability.
        bias_range: 1st and 99th percentile of the bias field inside the brain, median 1.
    """

    affine_log_likelihood: float
    field_of_view: float
    brain_coverage: float
    cut_below: float
    cut_above: float
    mixture_log_likelihood: float
    converged: bool
    intensities: Mapping[str, ClassIntensity]
    contrast_order: tuple[str, ...]
    white_gray_contrast: float
    gray_csf_contrast: float
    separation: float
    zoom: float
    displacement_mm: float
    scalp_fraction: float
    mean_confidence: float
    bias_range: tuple[float, float]


@dataclass(frozen=True, eq=False)
class TissueSegmentation:
    """Tissue of one head; masks and volumes lie on the input grid.

    Args:
        tissue: 1 grey matter, 2 white matter, 3 CSF.
        brain: tissue and fluid inside the inner skull.
        intracranial: the same down to the foramen magnum.
        hemispheres: 1 left, 2 right, inside `brain`.
        probabilities: "gray_matter", "white_matter", "csf", float32 0..1.
        bias_corrected: the image divided by `bias_field`.
        bias_field: multiplicative, float32, without unit, median 1 inside the brain.
        affine_to_template: 4x4, patient LPS mm to template LPS mm.
        displacement: feature axis (x, y, z), mm, on the template grid: a point y of the affinely aligned head
            corresponds to the atlas at y + displacement(y).
        skull_present: decided by likelihood.
        affine_log_likelihood: nats per point, see `Diagnostics`.
        diagnostics: numbers for a guard.
        volume_spread: relative standard deviation of each volume over perturbed reruns.
        options: what was asked for.
    """

    tissue: Mask
    brain: Mask
    intracranial: Mask
    hemispheres: Mask
    probabilities: Mapping[str, Volume]
    bias_corrected: Volume
    bias_field: Volume
    affine_to_template: NDArray[np.float64]
    displacement: Volume
    skull_present: bool
    affine_log_likelihood: float
    diagnostics: Diagnostics
    volume_spread: Mapping[str, float]
    options: TissueOptions
