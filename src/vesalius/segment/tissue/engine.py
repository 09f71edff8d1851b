"""The numerical engine: image array and affine in, tissue posteriors out. No nouns, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from vesalius.segment.tissue.alignment import Pose, align, coarse_image, refine
from vesalius.segment.tissue.atlas import CLASSES, Atlas
from vesalius.segment.tissue.bias import FIRST_SPREAD, CosineBasis
from vesalius.segment.tissue.deformation import Level, deform, grid_index, mapped
from vesalius.segment.tissue.densities import Densities
from vesalius.segment.tissue.mixture import F32, F64, Fit, Template, evidence_pyramid, fit_mixture
from vesalius.segment.tissue.native import NativeOptions, NativeResult, classify

Progress = Callable[[str, float], None]

REGION_MM = 20.0
SCALP_BRIGHT = 0.15
"""Scalp and muscle count as present above this fraction of the median brightness of the brain."""

STRIPPED_DURA = 0.2
RIM_GAIN = 1.6
"""Gain of fluid over what lies outside it. A thin rim between cortex and bone loses to its neighbours in a mean atlas;
the gain takes the mean error of the intracranial volume over simulated heads to zero."""


@dataclass(frozen=True)
class Settings:
    """Numbers of the engine.

    Args:
        rounds: levels of the deformable stage, one tuple per round of alignment and mixture.
        expectation_steps: largest number of steps of the mixture after each alignment.
        native: how voxels are classified.
        skull: True or False when it is known, None lets the likelihood decide.
        start: 4x4 template LPS mm to patient LPS mm, a good pose that only needs refinement; None searches.
        floor: least probability of every class at every place; a soft atlas forgives.
        first_spread: prior spread of the bias field in the first round.
        lattice_offset: first voxel of the mixture's lattice.
    """

    rounds: tuple[tuple[Level, ...], ...] = (
        (Level(3, 8, 1.5, 1.2, 0.6),),
        (Level(3, 4, 1.5, 1.2, 0.4), Level(2, 8, 1.5, 1.2, 0.4)),
    )
    expectation_steps: int = 30
    native: NativeOptions = field(default_factory=NativeOptions)
    skull: bool | None = None
    start: F64 | None = None
    floor: float = 1e-3
    first_spread: float = FIRST_SPREAD
    lattice_offset: int = 0


def run(
    image: F32, affine: F64, atlas: Atlas, settings: Settings, progress: Progress
) -> tuple[Template, Fit, NativeResult]:
    """Return the head in template space, the fitted state and the posteriors of one head.

    Args:
        image: float32 [slice, row, column], not negative.
        affine: array index to patient LPS mm.
        atlas: the atlas.
        settings: numbers of the engine.
        progress: called with a stage name and the fraction done.
    """
    progress("align", 0.0)
    pose = align(image, affine, atlas) if settings.start is None else refine(image, affine, atlas, settings.start)
    progress("deform", 0.2)
    head, fit = fit_template(image, affine, pose, atlas, settings)
    progress("classify", 0.4)
    prior = starting_prior(atlas, stripped=fit.stripped, floor=settings.floor)
    return head, fit, classify(image, affine, atlas, prior, head, fit, settings.native)


def fit_template(image: F32, affine: F64, pose: Pose, atlas: Atlas, settings: Settings) -> tuple[Template, Fit]:
    """Return the head in template space and the fitted mixture, bias and deformation."""
    head = prepare(image, affine, pose, atlas, settings.lattice_offset)
    present, _ = skull_evidence(head, atlas)
    stripped = not (present if settings.skull is None else settings.skull)
    inner = head.image[head.region & (atlas.brain > 0.9)]
    reference = max(float(np.percentile(inner, 95)), 1e-6) if inner.size else 1.0
    still = np.zeros((3, *atlas.shape), dtype=np.float32)
    empty = Densities(np.empty((0, 0), np.float32))
    fit = Fit(pose, still, np.zeros(head.basis.count), empty, reference, stripped, settings.first_spread)
    prior = starting_prior(atlas, stripped=stripped, floor=settings.floor)
    fit_mixture(head, fit, prior, settings.expectation_steps, first=True)
    for levels in settings.rounds:
        pyramid = evidence_pyramid(head, fit, prior, {level.stride for level in levels})
        fit.displacement, fit.log_likelihood = deform(pyramid, fit.displacement, levels)
        fit_mixture(head, fit, prior, settings.expectation_steps, first=False)
    return head, fit


def prepare(image: F32, affine: F64, pose: Pose, atlas: Atlas, offset: int = 0) -> Template:
    """Return the head on the template grid with every other voxel as the lattice of the mixture."""
    values, inside = to_template(image, affine, pose, atlas)
    near = distance_transform_edt(atlas.brain < 0.5, sampling=atlas.spacing_mm) <= REGION_MM
    region = inside & atlas.known & near
    basis = CosineBasis(atlas.shape, atlas.spacing_mm, offset=offset)
    part = slice(offset, None, basis.stride)
    return Template(values, region, np.ascontiguousarray(region[part, part, part]), basis)


def to_template(image: F32, affine: F64, pose: Pose, atlas: Atlas) -> tuple[F32, NDArray[np.bool_]]:
    """Return the image on the template grid under the affine pose, and where the image reaches."""
    small, small_affine = coarse_image(image, affine, atlas.spacing_mm)
    place = mapped(grid_index(atlas.shape), np.linalg.inv(small_affine) @ pose.matrix @ atlas.affine)
    limits = np.array(small.shape)[:, None, None, None] - 0.5
    inside = np.all((place > -0.5) & (place < limits), axis=0)
    values = map_coordinates(small, place, order=1, mode="nearest", prefilter=False, output=np.float32)
    return values, inside


def skull_evidence(head: Template, atlas: Atlas) -> tuple[bool, float]:
    """Return whether the skull is in the image and the bright share of the expected scalp.

    Two models of the expected scalp are compared: a head with skull shows 85 % of it brighter than background, a
    stripped head 3 %. The likelihood ratio of the observed shares decides.
    """
    scalp = head.region & (atlas.probabilities[CLASSES.index("soft")] > 0.7)
    inner = head.region & (atlas.brain > 0.9)
    if np.count_nonzero(scalp) < 100 or np.count_nonzero(inner) < 100:
        return False, 0.0
    bright = float(np.mean(head.image[scalp] > SCALP_BRIGHT * np.median(head.image[inner])))
    ratio = bright * np.log(0.85 / 0.03) + (1 - bright) * np.log(0.15 / 0.97)
    return bool(ratio > 0), bright


def starting_prior(atlas: Atlas, *, stripped: bool, floor: float = 1e-3) -> F32:
    """Return the atlas with a floor and the gains of dura (stripped) or fluid (skull present)."""
    prior = atlas.probabilities + np.float32(floor)
    if stripped:
        prior[CLASSES.index("dura")] *= np.float32(STRIPPED_DURA)
    else:
        prior[CLASSES.index("fluid")] *= np.float32(RIM_GAIN)
    prior /= prior.sum(axis=0)
    return prior
