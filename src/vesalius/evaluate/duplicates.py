"""Images that show the same: exact copies by hash, near copies by what is left when the cohort's mean is taken off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]

SIDE = 32
"""Rows and columns of a thumbnail."""

NEAR = 0.95
CLEAR = 0.10
"""Two images are near copies when what they have beyond the cohort's common look correlates at least this much and, in
a large cohort, this much more than the most similar images usually do: images that are all alike give no alarm."""

FINGERPRINT_BITS = 64
MOST_BITS_APART = 10


@dataclass(frozen=True)
class Pair:
    """Two cases that show the same.

    Args:
        exact: the pixels are equal, value for value.
        likeness: correlation of what is left when the cohort's mean image is taken off.
        turned: how the second is mirrored or turned: "", "mirrored", "turned 90" ...
    """

    first: int
    second: int
    exact: bool
    likeness: float
    turned: str = ""


def thumbnail(array: ArrayLike) -> F32:
    """Return an image as SIDE x SIDE values of mean 0 and length 1 (all 0 when it is flat).

    Args:
        array: [row, column], or [slice, row, column] (the middle slice counts), or colour in the last axis of 3 or 4.
    """
    image = np.asarray(array, dtype=np.float32)
    if image.ndim > 2 and image.shape[-1] in (3, 4):
        image = image[..., :3].mean(axis=-1)
    while image.ndim > 2:
        image = image[image.shape[0] // 2]
    small = _averaged(_averaged(np.nan_to_num(image), SIDE).T, SIDE).T
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    found: F32 = (small / length if length > 0 else small).astype(np.float32)
    return found


def _averaged(image: F32, count: int) -> F32:
    """Return the rows averaged into `count` rows, by area."""
    edges = np.linspace(0, image.shape[0], count + 1)
    summed = np.concatenate([np.zeros((1, image.shape[1]), np.float64), np.cumsum(image, axis=0, dtype=np.float64)])
    whole = np.minimum(edges.astype(int), image.shape[0] - 1)
    at = summed[whole] + (edges - whole)[:, None] * image[whole]
    averaged: F32 = (np.diff(at, axis=0) / np.diff(edges)[:, None]).astype(np.float32)
    return averaged


def fingerprint(small: F32) -> NDArray[np.bool_]:
    """Return 64 bits: which low frequencies of a thumbnail are above their median (a perceptual hash)."""
    from scipy.fft import dctn

    low = np.asarray(dctn(small, norm="ortho"))[:9, :8].ravel()[1 : FINGERPRINT_BITS + 1]
    found: NDArray[np.bool_] = low > np.median(low)
    return found


def find_duplicates(thumbnails: Sequence[F32], hashes: Sequence[str], *, turned: bool = True) -> tuple[Pair, ...]:
    """Return the pairs of cases that show the same, exact ones first.

    Args:
        thumbnails: of each case, as `thumbnail` gives them.
        hashes: of each case's pixels.
        turned: also look for mirrored and turned copies.
    """
    stack = np.stack(thumbnails).astype(np.float32)
    pairs = {(a, b): Pair(a, b, True, 1.0) for a, b in _equal(hashes)}
    common = stack.mean(axis=0)
    # a flat image has nothing of its own; what is left of it would be the common look
    own = stack.any(axis=(1, 2), keepdims=True)
    rest = _normed((stack - common) * own)
    prints = np.stack([fingerprint(one) for one in stack]).astype(np.float32)
    for name, turn in _turns(turned).items():
        if name and common.any():
            # a mirrored copy is compared with the image as it is: the mean image is that of the turned side
            other = _normed((np.stack([turn(one) for one in stack]) - common) * own)
            other_prints = np.stack([fingerprint(turn(one)) for one in stack]).astype(np.float32)
        else:
            other, other_prints = rest, prints
        for a, b, value in _near(rest, other, prints, other_prints):
            key = (min(a, b), max(a, b))
            if key not in pairs and a != b:
                pairs[key] = Pair(*key, False, value, name)
    return tuple(sorted(pairs.values(), key=lambda pair: (not pair.exact, pair.first, pair.second)))


def _equal(hashes: Sequence[str]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    return [(first[one], row) for row, one in enumerate(hashes) if first.setdefault(one, row) != row]


def _turns(turned: bool) -> dict[str, Callable[[F32], F32]]:
    plain: dict[str, Callable[[F32], F32]] = {"": lambda image: image}
    if not turned:
        return plain
    return {
        **plain,
        "mirrored": lambda image: image[:, ::-1],
        "upside down": lambda image: image[::-1],
        "turned 90": lambda image: np.rot90(image, 1),
        "turned 180": lambda image: image[::-1, ::-1],
        "turned 270": lambda image: np.rot90(image, 3),
        "rows as columns": lambda image: image.T,
        "columns as rows": lambda image: image[::-1, ::-1].T,
    }


def _normed(stack: F32) -> F32:
    flat = stack.reshape(len(stack), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    normed: F32 = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-6)
    return normed


def _near(one: F32, two: F32, prints: F32, other_prints: F32, block: int = 1024) -> list[tuple[int, int, float]]:
    found = []
    for start in range(0, len(one), block):
        part = slice(start, start + block)
        likeness = one[part] @ two.T
        same = prints[part] @ other_prints.T + (1 - prints[part]) @ (1 - other_prints).T
        np.put_along_axis(likeness, np.arange(start, start + len(likeness))[:, None], -1, axis=1)
        usual = np.quantile(likeness, 0.999, axis=1, keepdims=True) if likeness.shape[1] > 2000 else None
        hit = (likeness >= NEAR) & (same >= FINGERPRINT_BITS - MOST_BITS_APART)
        if usual is not None:
            hit &= likeness >= np.minimum(usual + CLEAR, 0.995)
        rows, columns = np.nonzero(hit)
        found += [(int(a) + start, int(b), float(likeness[a, b])) for a, b in zip(rows, columns, strict=True)]
    return found
