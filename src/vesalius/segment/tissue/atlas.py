"""The whole-head tissue probability atlas: what it holds and how it is read.

Classes are finer than the tissues that are reported: deep grey matter and brain stem have intensities of their own,
and dura with the venous sinuses is kept apart so that it is never counted as cortex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

CLASSES = ("cortex", "deep_grey", "white", "stem", "fluid", "dura", "bone", "soft", "air")
"""Channels of the atlas, in order."""

TISSUE_CLASSES = {"gray_matter": (0, 1), "white_matter": (2, 3), "csf": (4,)}
"""Which channels make up each reported tissue, in the order of the labels 1, 2, 3."""

CLASS_LABELS: dict[str, tuple[int, ...]] = {
    "cortex": (3, 42, 8, 47, 17, 53, 18, 54),
    "deep_grey": (10, 49, 11, 50, 12, 51, 13, 52, 26, 58),
    "white": (2, 41, 7, 46, 25, 57, 77, 85, 251, 252, 253, 254, 255),
    "stem": (16, 28, 60),
    "fluid": (24, 4, 43, 5, 44, 14, 15, 72, 136, 137, 163, 164, 31, 63),
    "dura": (514, 30, 62, 502),
    "bone": (515,),
    "soft": (506, 507, 508, 509, 511, 512, 516, 530),
    "air": (0,),
}
"""FreeSurfer numbers and the extra-cerebral numbers 502-530 of the SynthSeg label maps, by channel."""

ATLAS_FILE = "head_atlas_2mm.npz"


@dataclass(frozen=True, eq=False)
class Atlas:
    """Tissue probabilities of a head in template space.

    Args:
        probabilities: float32 [class, slice, row, column], each voxel sums to 1; flat where no head was seen.
        known: bool [slice, row, column], False below or beyond the field of view of the heads it was built from.
        below_foramen: float32 0..1, probability of lying below the foramen magnum.
        affine: 4x4, array index (slice, row, column) to template LPS mm; the mid-sagittal plane is x = 0.
        heads: how many heads it was built from.
    """

    probabilities: NDArray[np.float32]
    known: NDArray[np.bool_]
    below_foramen: NDArray[np.float32]
    affine: NDArray[np.float64]
    heads: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (slices, rows, columns) of the template grid."""
        slices, rows, columns = self.known.shape
        return slices, rows, columns

    @property
    def spacing_mm(self) -> float:
        """Return the edge of a template voxel in mm (isotropic)."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    @property
    def brain(self) -> NDArray[np.float32]:
        """Return the probability of grey matter, white matter or fluid, 0..1."""
        total: NDArray[np.float32] = self.probabilities[:5].sum(axis=0)
        return np.where(self.known, total, np.float32(0))


def label_lookup(size: int = 1024) -> NDArray[np.uint8]:
    """Return a table from label number to channel of the atlas; unknown numbers are soft tissue."""
    table = np.full(size, CLASSES.index("soft"), dtype=np.uint8)
    for name, labels in CLASS_LABELS.items():
        table[list(labels)] = CLASSES.index(name)
    return table


def save_atlas(atlas: Atlas, target: Path | BinaryIO) -> None:
    """Write the left half of a symmetric atlas, uint8, compressed."""
    half = atlas.shape[2] // 2
    parts = np.round(atlas.probabilities[..., half:] * 255).astype(np.uint8)
    parts[:, ~atlas.known[..., half:]] = 0
    np.savez_compressed(
        target,
        probabilities=_delta(parts),
        below_foramen=_delta(np.round(atlas.below_foramen[None, ..., half:] * 255).astype(np.uint8)),
        affine=atlas.affine,
        heads=np.int64(atlas.heads),
    )


def read_atlas(source: Path | BinaryIO) -> Atlas:
    """Return an atlas written by `save_atlas`, mirrored to both halves."""
    with np.load(source, allow_pickle=False) as stored:
        parts = np.cumsum(stored["probabilities"], axis=1, dtype=np.uint8)
        below = np.cumsum(stored["below_foramen"], axis=1, dtype=np.uint8)[0]
        affine, heads = stored["affine"], int(stored["heads"])
    probabilities = _mirror(parts).astype(np.float32)
    total = probabilities.sum(axis=0)
    known = total > 0
    probabilities /= np.where(known, total, np.float32(1))
    probabilities[:, ~known] = 1.0 / len(CLASSES)
    below_foramen = _mirror(below).astype(np.float32) / np.float32(255)
    return Atlas(probabilities, known, below_foramen, affine, heads)


def _delta(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Differences between slices (modulo 256) compress better than the values.
    return np.diff(parts, axis=1, prepend=np.uint8(0)).astype(np.uint8)


def _mirror(half: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([half[..., ::-1], half], axis=-1)


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """Return the atlas that is shipped with the package."""
    with resources.files("vesalius.segment.data").joinpath(ATLAS_FILE).open("rb") as stream:
        return read_atlas(stream)  # type: ignore[arg-type]
