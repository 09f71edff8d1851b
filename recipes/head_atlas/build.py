"""Build the head atlas from whole-head label maps.

    python recipes/head_atlas/build.py LABEL_MAPS --out head_atlas_2mm.npz [--leave-out 01 05]

Every head and its mirror image are aligned with the running mean, affinely and then deformably, by the same criterion
that aligns the atlas with a patient. What lies beyond a field of view that cuts the head is unknown, not air.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from vesalius.phantoms.heads import FORAMEN_LABELS
from vesalius.segment.tissue.alignment import MERGED, LabelEvidence, atlas_points, climb
from vesalius.segment.tissue.atlas import CLASSES, Atlas, label_lookup, save_atlas
from vesalius.segment.tissue.deformation import Level, deform, grid_index, pyramid_of

UNKNOWN = 255
FLUID, BONE = CLASSES.index("fluid"), CLASSES.index("bone")
SHAPE = (104, 124, 96)
ORIGIN_INDEX = (49.0, 61.0, 47.5)
SPACING_MM = 2.0
FLAT_CUT_MM2 = 1500.0
LEVELS = (Level(3, 8, 1.5, 1.2, 0.4), Level(2, 6, 1.5, 1.2, 0.4))
BLUR_VOXELS = 0.5


@dataclass(frozen=True, eq=False)
class Head:
    """One label map as channels of the atlas.

    Args:
        name: number of the map.
        classes: uint8 [x right-to-left, y, z] in the file's own order; 255 beyond a cut field of view.
        below: bool, below the lowest voxel of brain stem and cerebellum.
        affine: index to LPS mm.
    """

    name: str
    classes: NDArray[np.uint8]
    below: NDArray[np.bool_]
    affine: NDArray[np.float64]


def template_affine() -> NDArray[np.float64]:
    """Return array index (slice, row, column) to template LPS mm."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = SPACING_MM
    affine[3, 3] = 1
    affine[:3, 3] = -affine[:3, :3] @ np.array(ORIGIN_INDEX)
    return affine


def name_of(path: Path) -> str:
    """Return the number of a label map from its file name."""
    return path.name.split(".")[0][-2:]


def read_head(path: Path) -> Head:
    """Return a label map as atlas channels."""
    import nibabel

    image = nibabel.load(path)
    labels = np.asarray(image.dataobj).astype(np.int32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    classes = label_lookup()[labels]
    heights = np.indices(labels.shape, dtype=np.float32)
    height = sum(np.float32(affine[2, i]) * heights[i] for i in range(3)) + np.float32(affine[2, 3])
    below = height < height[np.isin(labels, FORAMEN_LABELS)].min() - 1e-3
    mark_unknown(classes, np.linalg.norm(affine[:3, :3], axis=0))
    return Head(name_of(path), classes, np.asarray(below), affine)


def mark_unknown(classes: NDArray[np.uint8], spacing: NDArray[np.float64]) -> None:
    """Mark what lies beyond a flat cut through the head as unknown, in place."""
    air = CLASSES.index("air")
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        area = np.prod([spacing[a] for a in others])
        filled = (classes != air).sum(axis=others) * area
        present = np.flatnonzero(filled > 50 * area)
        for end, step in ((present[0], slice(0, present[0])), (present[-1], slice(present[-1] + 1, None))):
            inward = end + (2 if end == present[0] else -2)
            if filled[inward] > FLAT_CUT_MM2:
                cut = [slice(None)] * 3
                cut[axis] = step
                classes[tuple(cut)] = UNKNOWN


def fractions(
    head: Head, matrix: NDArray[np.float64], displacement: NDArray[np.float32] | None = None, *, mirror: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return class fractions and 'below the foramen' on the template grid, from 8 samples a voxel.

    Args:
        matrix: template LPS mm to the head's LPS mm.
        displacement: template voxels; the head is sampled where template index maps to.
        mirror: the template's left and right are exchanged.
    """
    out = np.zeros((len(CLASSES), *SHAPE), dtype=np.float32)
    below = np.zeros(SHAPE, dtype=np.float32)
    index = grid_index(SHAPE)
    base = index if displacement is None else index + displacement
    to_head = np.linalg.inv(head.affine) @ matrix @ (np.diag([-1.0, 1, 1, 1]) if mirror else np.eye(4))
    to_head = (to_head @ template_affine()).astype(np.float32)
    for offset in np.ndindex(2, 2, 2):
        place = base + (np.array(offset, dtype=np.float32)[:, None, None, None] - 0.5) / 2
        place = np.einsum("ab,b...->a...", to_head[:3, :3], place) + to_head[:3, 3][:, None, None, None]
        classes = map_coordinates(head.classes, place, order=0, mode="constant", cval=UNKNOWN)
        for k in range(len(CLASSES)):
            out[k] += classes == k
        below += map_coordinates(head.below.view(np.uint8), place, order=0, mode="nearest")
    return out / 8, below / 8


def averaged(parts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], heads: int) -> Atlas:
    """Return the symmetric mean of class fractions of the heads; voxels that few heads saw are unknown."""
    total = np.sum([p for p, _ in parts], axis=0)
    total = total + total[..., ::-1]
    below = np.mean([b for _, b in parts], axis=0)
    below = (below + below[..., ::-1]) / 2
    seen = total.sum(axis=0)
    known = seen >= 4.0
    smooth = np.stack([gaussian_filter(t, BLUR_VOXELS) for t in total])
    smooth /= np.maximum(smooth.sum(axis=0), 1e-6)
    smooth[:, ~known] = 1 / len(CLASSES)
    return Atlas(smooth.astype(np.float32), known, below.astype(np.float32), template_affine(), heads)


def start_matrix(head: Head) -> NDArray[np.float64]:
    """Return the translation that puts the template's origin at the middle of the brain."""
    brain = np.argwhere(head.classes <= 3)
    matrix = np.eye(4)
    matrix[:3, 3] = head.affine[:3, :3] @ ((brain.min(axis=0) + brain.max(axis=0)) / 2) + head.affine[:3, 3]
    return matrix


def coarse_evidence(head: Head, factor: int = 4) -> LabelEvidence:
    """Return the evidence of the head's labels at 4 mm for the merged classes; unknown is spread evenly."""
    sizes = [n // factor for n in head.classes.shape]
    cut = head.classes[tuple(slice(0, n * factor) for n in sizes)]
    parts = []
    for group in MERGED:
        inside = np.isin(cut, group) + (cut == UNKNOWN) / len(MERGED)
        shape = (sizes[0], factor, sizes[1], factor, sizes[2], factor)
        parts.append(inside.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32))
    fluid, bone = (next(i for i, g in enumerate(MERGED) if k in g) for k in (FLUID, BONE))
    parts[fluid] = parts[bone] = parts[fluid] + parts[bone]
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (factor - 1) / 2)
    affine[:3, :3] *= factor
    return LabelEvidence(np.stack(parts), affine)


def centred(matrices: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the matrices with the mean turn, zoom and shift between template and heads removed."""
    relative = np.mean([m[:3, :3] for m in matrices], axis=0)
    mirror = np.diag([-1.0, 1, 1])
    relative = (relative + mirror @ relative @ mirror) / 2
    fix = np.eye(4)
    fix[:3, :3] = np.linalg.inv(relative)
    return [m @ fix for m in matrices]


def seen(like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return class fractions as an image shows them: fluid and bone are one, both dark.

    Aligning the maps by a border that no image shows would make the atlas surer of that border than a patient allows.
    """
    dark = like[FLUID] + like[BONE]
    return np.stack([dark if k in (FLUID, BONE) else part for k, part in enumerate(like)])


def field_of(
    head: Head, matrix: NDArray[np.float64], atlas: Atlas, start: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the displacement of the atlas onto a head (atlas sampled at index + displacement)."""
    like, _ = fractions(head, matrix)
    like += (1 - like.sum(axis=0)) / len(CLASSES)
    pyramid = pyramid_of(seen(like) + np.float32(0.03), atlas.probabilities + np.float32(1e-3), LEVELS)
    still = np.zeros((3, *SHAPE), dtype=np.float32)
    field, _ = deform(pyramid, still if start is None else start, LEVELS)
    return field


def inverted(field: NDArray[np.float32], rounds: int = 6) -> NDArray[np.float32]:
    """Return the inverse displacement by fixed-point iteration."""
    identity = grid_index(field.shape[1:])
    inverse = -field
    for _ in range(rounds):
        place = identity + inverse
        inverse = -np.stack([map_coordinates(f, place, order=1, mode="nearest", prefilter=False) for f in field])
    return inverse


def sharpness(atlas: Atlas) -> float:
    """Return the mean over the brain of the sum of squared probabilities; 1 when every voxel is certain."""
    return float((atlas.probabilities[:, atlas.brain > 0.5] ** 2).sum(axis=0).mean())


def build(heads: Sequence[Head], rounds: int = 2, report: bool = False) -> Atlas:
    """Return the atlas of the heads."""
    matrices = [start_matrix(h) for h in heads]
    atlas = averaged([fractions(h, m) for h, m in zip(heads, matrices, strict=True)], len(heads))
    evidence = [coarse_evidence(h) for h in heads]
    for _ in range(3):
        points = atlas_points(atlas, 6.0)
        poses = [climb(e, points, m, 15) for e, m in zip(evidence, matrices, strict=True)]
        matrices = centred([p.matrix for p in poses])
        atlas = averaged([fractions(h, m) for h, m in zip(heads, matrices, strict=True)], len(heads))
        if report:
            scores = " ".join(f"{p.log_likelihood:.3f}" for p in poses)
            sys.stderr.write(f"affine {scores}; sharpness {sharpness(atlas):.3f}\n")
    fields: list[NDArray[np.float32] | None] = [None] * len(heads)
    for _ in range(rounds):
        fields = [field_of(h, m, atlas, f) for h, m, f in zip(heads, matrices, fields, strict=True)]
        atlas = averaged(
            [fractions(h, m, inverted(f)) for h, m, f in zip(heads, matrices, fields, strict=True) if f is not None],
            len(heads),
        )
        if report:
            sys.stderr.write(f"deformable; sharpness {sharpness(atlas):.3f}\n")
    return replace(atlas, heads=len(heads))


def main() -> None:
    """Parse the command line, build and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[])
    chosen = parser.parse_args()
    paths = sorted(chosen.folder.rglob("training_seg_*.nii.gz"))
    heads = [h for h in map(read_head, paths) if h.name not in chosen.leave_out]
    atlas = build(heads, report=True)
    save_atlas(atlas, chosen.out)
    sys.stderr.write(f"{len(heads)} heads, {chosen.out.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()
