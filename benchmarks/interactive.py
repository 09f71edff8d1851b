"""Seeds or a box to a mask on 128^3, on one core, against scikit-image's random walker on the same seeds.

    python benchmarks/interactive.py [--size 128] [--rounds 3] [--no-peer] [--json FILE]

A noisy ellipsoid with a darker hollow beside a body of nearly the same brightness; voxels of 1 x 1 x 2 mm. Beside every
time stand the Dice with the truth and whether all foreground seeds are in the mask and no background seed is. Rounds
alternate, so that a busy machine slows both; the peer runs once, it takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TARGET_S = 1.0
SPACING = (2.0, 1.0, 1.0)
NOISE = 30.0
LEAST_DICE = 0.95


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds of processor time."""

    work: str
    seconds: float
    ratio: float | None
    dice: float
    contract: bool


def scene(size: int) -> tuple[Array, Array]:
    """Return the image, float32, and the truth."""
    z, y, x = (np.indices((size,) * 3).astype(np.float32) - size // 2) / size
    body = (x / 0.3) ** 2 + (y / 0.22) ** 2 + (z / 0.25) ** 2 < 1
    neighbour = (x / 0.2) ** 2 + ((y - 0.42) / 0.12) ** 2 + (z / 0.25) ** 2 < 1
    image = 100.0 * body + 60.0 * neighbour
    noise = np.random.default_rng(0).normal(0, NOISE, body.shape)
    return (image + noise).astype(np.float32), body


def strokes(size: int) -> tuple[Any, Any, Any]:
    """Return foreground and background strokes and a box, as indices."""
    from vesalius.segment.inputs import Seeds

    middle, far = size // 2, int(size * 0.42)
    front = Seeds([[middle, middle, middle - size // 8], [middle, middle, middle + size // 8]], "index", joined=True)
    back = Seeds(
        [[middle, middle - size // 3, middle], [middle, middle + far, middle], [middle - far, middle, middle]], "index"
    )
    half = np.array([0.27, 0.24, 0.32]) * size
    return front, back, Seeds([np.floor(middle - half), np.ceil(middle + half)], "index")


def measured(work: Callable[[], Array], rounds: int) -> tuple[float, Array]:
    """Return the median of processor seconds, and the answer."""
    seconds = []
    for _ in range(rounds):
        begin = time.process_time()
        answer = work()
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds), answer


def dice(one: Array, other: Array) -> float:
    """Return the overlap of two masks."""
    return float(2 * np.count_nonzero(one & other) / max(np.count_nonzero(one) + np.count_nonzero(other), 1))


def rows(size: int, rounds: int, *, peer: bool) -> list[Row]:
    """Return every line; the peer's ratio is 1."""
    from vesalius.core import Volume
    from vesalius.segment import interactive
    from vesalius.segment.inputs import marked

    image, truth = scene(size)
    volume = Volume(image, np.diag([*SPACING, 1.0]))
    front, back, box = strokes(size)
    inside, outside = marked(volume, front, "foreground"), marked(volume, back, "background")
    ways: dict[str, dict[str, Any]] = {
        "strokes of both kinds": {"foreground": front, "background": back},
        "foreground strokes alone": {"foreground": front},
        "box": {"box": box},
        "box and strokes": {"box": box, "foreground": front, "background": back},
    }
    found = []
    for name, given in ways.items():
        seconds, mask = measured(lambda given=given: interactive.select(volume, **given).array > 0, rounds)
        kept = ("foreground" not in given or bool(mask[inside].all())) and (
            "background" not in given or not mask[outside].any()
        )
        found.append(Row(name, seconds, None, dice(mask, truth), kept))
    first = interactive.select(volume, foreground=front, background=back)
    seconds, mask = measured(lambda: interactive.correct(volume, mask=first, remove=box_corner(size)).array > 0, rounds)
    found.append(Row("correction by one stroke", seconds, None, dice(mask, truth), True))
    if peer:
        seconds, mask = measured(lambda: walked(image, inside, outside), 1)
        found = [Row(r.work, r.seconds, r.seconds / seconds, r.dice, r.contract) for r in found]
        found.append(Row("scikit-image random walker", seconds, 1.0, dice(mask, truth), bool(mask[inside].all())))
    return found


def box_corner(size: int) -> Any:
    """Return a stroke just outside the body."""
    from vesalius.segment.inputs import Seeds

    place = [size // 2, size // 2 - int(0.24 * size), size // 2]
    return Seeds([place], "index", radius_mm=2.0)


def walked(image: Array, inside: Array, outside: Array) -> Array:
    """Return the peer's answer to the same strokes, as its defaults are: the fastest it does here."""
    from skimage.segmentation import random_walker

    labels = np.where(inside, 1, np.where(outside, 2, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = random_walker(image, labels, mode="cg_j", spacing=np.array(SPACING))
    return np.asarray(answer) == 1


def main() -> int:
    """Print the table; 1 when a line misses the second, the overlap or the contract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    table = rows(options.size, options.rounds, peer=not options.no_peer)
    print(f"{options.size}^3 voxels, one thread, processor seconds")
    good = True
    for row in table:
        fine = "walker" in row.work or (row.seconds < TARGET_S and row.dice >= LEAST_DICE and row.contract)
        good &= fine
        ratio = "" if row.ratio is None else f"{row.ratio:8.4f}x"
        kept = "seeds kept" if row.contract else "SEEDS LOST"
        print(f"{row.work:28} {row.seconds:8.3f} s {ratio}  Dice {row.dice:.4f}  {kept}  {'ok' if fine else 'MISSED'}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in table], indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
