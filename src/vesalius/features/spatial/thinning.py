"""Thinning of a region to lines one voxel wide that keeps its connections, holes and ends.

In 2-D scikit-image does it. In 3-D its method (Lee 1994) eats up bars of even width whole (2 x 2 x 40 voxels leave
nothing), so that 3-D is done here, by deleting simple points of one of eight subfields at a time: no two voxels of a
subfield are neighbours, so that all of them can go at once without breaking anything.

Source: simple points Malandain & Bertrand 1992, doi:10.1109/CVPR.1992.223161; subfields with ends looked for once per
layer Németh, Kardos & Palágyi 2010, doi:10.1007/978-3-642-13769-3_26
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

U32 = NDArray[np.uint32]
_OFFSETS = tuple(shift for shift in product((-1, 0, 1), repeat=3) if any(shift))
_FACES = sum(1 << i for i, shift in enumerate(_OFFSETS) if np.abs(shift).sum() == 1)
_NEAR = sum(1 << i for i, shift in enumerate(_OFFSETS) if np.abs(shift).sum() <= 2)
_HALF = 13
_LOW = (1 << _HALF) - 1


def thinned(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return lines along the middle of a two- or three-dimensional region, as many parts as it has."""
    if inside.ndim == 2:
        from skimage.morphology import skeletonize

        return np.asarray(skeletonize(inside), dtype=bool)
    padded = np.pad(inside, 1).astype(np.uint8)
    shifts = np.array(_OFFSETS) @ (np.array(padded.strides) // padded.itemsize)
    flat = padded.reshape(-1)
    left = np.flatnonzero(flat)
    field = np.arange(flat.size)[left]
    parity = sum((part % 2) << axis for axis, part in enumerate(np.unravel_index(field, padded.shape)))
    parity = np.asarray(parity)
    while len(left):
        rim = _codes(flat, left, shifts)
        layer = ((~rim & np.uint32(_FACES)) != 0) & (np.bitwise_count(rim) > 1)
        voxels, kinds = left[layer], parity[layer]
        before = len(left)
        for kind in range(8):
            own = voxels[kinds == kind]
            codes = _codes(flat, own, shifts)
            flat[own[_simple(codes)]] = 0
        keep = flat[left] > 0
        left, parity = left[keep], parity[keep]
        if len(left) == before:
            break
    return np.asarray(padded[1:-1, 1:-1, 1:-1] > 0)


def _codes(flat: NDArray[np.uint8], voxels: NDArray[np.int64], shifts: NDArray[np.int64]) -> U32:
    """Return which of the 26 neighbours of each voxel are inside, a bit each."""
    codes = np.zeros(len(voxels), np.uint32)
    for bit, shift in enumerate(shifts.tolist()):
        codes |= flat[voxels + shift].astype(np.uint32) << np.uint32(bit)
    return codes


def _simple(codes: U32) -> NDArray[np.bool_]:
    """Return where the voxel can go: its neighbours inside hang together, and so does the outside at its faces."""
    objects, faces = _dilations()
    whole = _grown(codes & (~codes + np.uint32(1)), codes, objects) == codes
    outside = ~codes & np.uint32(_NEAR)
    doors = outside & np.uint32(_FACES)
    reached = _grown(doors & (~doors + np.uint32(1)), outside, faces) & np.uint32(_FACES)
    return np.asarray(whole & (codes != 0) & (doors != 0) & (reached == doors))


def _grown(seed: U32, within: U32, dilation: tuple[U32, U32]) -> U32:
    """Return what hangs together with a seed inside a set of neighbours."""
    low, high = dilation
    while True:
        grown = (seed | low[seed & np.uint32(_LOW)] | high[seed >> np.uint32(_HALF)]) & within
        if np.array_equal(grown, seed):
            return np.asarray(grown)
        seed = grown


@lru_cache(maxsize=1)
def _dilations() -> tuple[tuple[U32, U32], tuple[U32, U32]]:
    """Return, for 26- and for 6-neighbours, the union of the neighbours of every set of bits, low and high half."""
    place = np.array(_OFFSETS)
    apart = np.abs(place[:, None] - place)
    tables = []
    for linked in (apart.max(axis=2) == 1, apart.sum(axis=2) == 1):
        beside = [sum(1 << int(j) for j in np.flatnonzero(row)) for row in linked]
        halves = []
        for start in (0, _HALF):
            table = np.zeros(1 << _HALF, np.uint32)
            for bit in range(_HALF):
                table[(np.arange(1 << _HALF) >> bit & 1) == 1] |= np.uint32(beside[start + bit])
            halves.append(table)
        tables.append((halves[0], halves[1]))
    return tables[0], tables[1]
