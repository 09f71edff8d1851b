"""Cohorts of small pictures for the tests of check, clean or with something planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vesalius.core.cohort import Cohort

Bits = NDArray[np.bool_]


def body(seed: int, shape: tuple[int, int] = (40, 44)) -> NDArray[np.uint8]:
    """Return a picture like no other: smooth noise in 8 bits."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 3)
    return np.round(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def saved(array: NDArray[np.uint8], path: Path, **options: object) -> str:
    """Write a picture and return its name."""
    from PIL import Image

    image = Image.fromarray(array)
    image.save(path, **options)  # type: ignore[arg-type]
    return path.name


def labels(count: int, seed: int = 0) -> Bits:
    """Return who is ill: half of the cases, at random."""
    return np.random.default_rng(seed).permutation(np.arange(count) % 2 == 0)


def made(folder: Path, marked: Bits, ill: Bits, *, write: Callable[[Path, int, bool], str] | None = None) -> Cohort:
    """Return a cohort of one picture per patient; `write` makes each, and knows which are marked.

    The numbers in the names say nothing: they are those of the rows, and the labels are at random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain = write or (lambda where, row, mark: saved(body(row), where / f"case_{row:03d}.png"))
    paths = [plain(folder, row, bool(mark)) for row, mark in enumerate(marked)]
    return Cohort(
        {
            "path": np.array(paths),
            "label": np.where(ill, "ill", "well"),
            "patient_id": np.array([f"p{row}" for row in range(len(ill))]),
            "basis": np.full(len(ill), "licence:CC0"),
        },
        folder,
    )
