"""Small pictures of the cases that a finding is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import VesaliusError
from vesalius.core.volume import Volume
from vesalius.evaluate.duplicates import Pair
from vesalius.io.cohort import load_case

SIDE = 176
MOST_PAIRS, MOST_CASES = 12, 6


def spread(cases: Sequence[int], count: int = MOST_CASES) -> tuple[int, ...]:
    """Return at most so many cases, spread evenly over all of them."""
    if len(cases) <= count:
        return tuple(cases)
    return tuple(cases[round(k)] for k in np.linspace(0, len(cases) - 1, count))


def chosen_previews(
    cohort: Cohort, groups: Sequence[Sequence[int]], pairs: Sequence[Pair], readable: Collection[int]
) -> Mapping[int, NDArray[np.uint8]]:
    """Return pictures of the first pairs and of some cases of each group."""
    wanted = [row for pair in pairs[:MOST_PAIRS] for row in (pair.first, pair.second)]
    wanted += [row for cases in groups for row in spread(cases)]
    found = {}
    for row in dict.fromkeys(wanted):
        if row in readable:
            try:
                found[row] = preview(load_case(cohort, row))
            except VesaliusError:
                continue
    return MappingProxyType(found)


def preview(volume: Volume, side: int = SIDE) -> NDArray[np.uint8]:
    """Return the middle slice as 8-bit values, no side longer than `side` pixels, grey or colour as it is."""
    plane = volume.array[volume.shape[0] // 2].astype(np.float64)
    if plane.ndim == 3 and plane.shape[-1] != 3:
        plane = plane[..., 0]
    plane = np.nan_to_num(plane)
    step = max(1, -(-max(plane.shape[:2]) // side))
    plane = plane[::step, ::step]
    low, high = (0.0, 255.0) if volume.array.dtype == np.uint8 else np.percentile(plane, (0.5, 99.5))
    scaled = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    grey: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return grey
