"""How repeatable the volumes are: perturbed reruns of the fit on one image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from vesalius.segment.tissue.alignment import Pose
from vesalius.segment.tissue.atlas import Atlas
from vesalius.segment.tissue.engine import Settings, fit_template, starting_prior
from vesalius.segment.tissue.mixture import F32, F64, Fit, Template
from vesalius.segment.tissue.native import classify

TURN_DEG = 0.5
SHIFT_MM = 0.7
ZOOM = 0.005
FINE_MM = 1.6

NAMES = ("gray_matter", "white_matter", "csf", "intracranial")


def rerun_volumes(
    image: F32, affine: F64, atlas: Atlas, settings: Settings, state: tuple[Template, Fit], reruns: int, seed: int
) -> F64:
    """Return volumes [1 + reruns, 4] in mm3 (grey, white, fluid, intracranial), with skull on a thinned grid.

    The first row is unperturbed. Each rerun draws another pose (0.5 degrees, 0.7 mm, 0.5 %), softness of the atlas,
    stiffness of the bias field and lattice, and fits deformation, mixture and bias anew.
    """
    rng = np.random.default_rng(seed)
    rows = [_volumes(image, affine, atlas, settings, state, 0)]
    head, fit = state
    for number in range(reruns):
        changed = replace(
            settings,
            floor=settings.floor * float(np.exp(rng.normal(0, 0.7))),
            first_spread=settings.first_spread * float(np.exp(rng.normal(0, 0.5))),
            lattice_offset=(number + 1) % head.basis.stride,
            skull=not fit.stripped,
        )
        pose = _perturbed(fit.pose, rng)
        again = fit_template(image, affine, pose, atlas, changed)
        rows.append(_volumes(image, affine, atlas, changed, again, (number + 1) % 2))
    return np.stack(rows)


def _perturbed(pose: Pose, rng: np.random.Generator) -> Pose:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(rng.normal(0, TURN_DEG, 3))).as_matrix()
    matrix[:3, :3] *= float(np.exp(rng.normal(0, ZOOM)))
    matrix[:3, 3] = rng.normal(0, SHIFT_MM, 3)
    return replace(pose, matrix=pose.matrix @ matrix)


def _volumes(
    image: F32, affine: F64, atlas: Atlas, settings: Settings, state: tuple[Template, Fit], offset: int
) -> F64:
    head, fit = state
    # the rim of fluid that stripping leaves is too thin for every second voxel
    thinning = (np.linalg.norm(affine[:3, :3], axis=0) < FINE_MM) & (not fit.stripped)
    steps = np.where(thinning, 2, 1)
    start = np.where(steps > 1, offset, 0)
    part = np.ascontiguousarray(image[tuple(slice(a, None, b) for a, b in zip(start, steps, strict=True))])
    thinned = affine.copy()
    thinned[:3, 3] += affine[:3, :3] @ start
    thinned[:3, :3] = affine[:3, :3] * steps
    prior = starting_prior(atlas, stripped=fit.stripped, floor=settings.floor)
    found = classify(part, thinned, atlas, prior, head, fit, settings.native)
    labels = found.groups.argmax(axis=0)[~found.below]
    counts = np.bincount(labels, minlength=4)[:3].astype(np.float64)
    voxel = abs(float(np.linalg.det(thinned[:3, :3])))
    return np.array([*counts, counts.sum()]) * voxel


def relative_spread(volumes: F64) -> dict[str, float]:
    """Return the relative standard deviation of each volume over the reruns."""
    if len(volumes) < 2:
        return dict.fromkeys(NAMES, 0.0)
    spread = volumes.std(axis=0, ddof=1) / np.maximum(volumes.mean(axis=0), 1e-9)
    share = volumes[:, :2].sum(axis=1) / np.maximum(volumes[:, 3], 1e-9)
    found = {name: float(s) for name, s in zip(NAMES, spread, strict=True)}
    return {**found, "fraction": float(share.std(ddof=1) / max(share.mean(), 1e-9))}
