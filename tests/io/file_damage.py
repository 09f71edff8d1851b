"""What every reader must survive: cut files, flipped bytes, and files that are something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vesalius.core.errors import VesaliusError


def damaged(data: bytes, rounds: int, seed: int = 0) -> Iterator[bytes]:
    """Yield truncations and random byte changes, most of them near the front where headers are."""
    random = np.random.default_rng(seed)
    for cut in (0, 1, 3, 4, 10, 100, 347, 348, 352, len(data) // 2, len(data) - 1):
        yield data[: min(cut, len(data))]
    for n in range(rounds):
        changed = bytearray(data)
        reach = len(data) if n % 3 == 0 else min(len(data), 700)
        for place in random.integers(0, reach, random.integers(1, 6)):
            changed[place] = random.integers(0, 256)
        yield bytes(changed)


def survives(read: Callable[[Path], object], path: Path, data: bytes, rounds: int) -> int:
    """Return how many damaged files were refused; any error but a VesaliusError comes out."""
    told = list[str]()
    for broken in damaged(data, rounds):
        path.write_bytes(broken)
        try:
            read(path)
        except VesaliusError as problem:
            told.append(str(problem))
    assert all(path.name in message for message in told)
    return len(told)
