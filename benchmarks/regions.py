"""Connected parts, volumes of labels, distances and mesh surface of an organ in 256^3, on the cropped region.

    python benchmarks/regions.py [--rounds 3] [--json FILE]

Peers work on the whole grid, as a user would call them: SciPy and scikit-image, and cc3d, edt and VTK where they are
installed (edt is GPL and cc3d LGPL, so that neither is in the base install). Answers are compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import SPACING, organ

Row = dict[str, Any]


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return median seconds and the answer."""
    seconds, answer = [], None
    for _ in range(rounds):
        begin = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), answer


def compared(
    work: str, ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], rounds: int, tolerance: float = 1e-6
) -> list[Row]:
    """Return a line per peer; a difference in the answer ends the run."""
    own, answer = timed(ours, rounds)
    rows = []
    for name, peer in peers.items():
        seconds, other = timed(peer, rounds)
        np.testing.assert_allclose(answer, other, rtol=tolerance, err_msg=f"{work}: {name} differs")
        rows.append({"work": work, "peer": name, "ours_s": own, "peer_s": seconds, "ratio": own / seconds})
    return rows


def boxed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the smallest box around a region, one voxel wider."""
    from vesalius.features.spatial.lattice import box_around, grown

    box = box_around(inside)
    assert box is not None
    return inside[grown(box, inside.shape)]


def depth(inside: NDArray[np.bool_]) -> float:
    """Return the largest distance to the outside in mm."""
    return float(ndimage.distance_transform_edt(inside, sampling=SPACING).max())


def meshed(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return mesh area by scikit-image; twice, so that the shape fits ours without its volume."""
    from skimage.measure import marching_cubes, mesh_surface_area

    vertices, faces, _, _ = marching_cubes(inside, 0.5, spacing=SPACING, method="lorensen")
    area = float(mesh_surface_area(vertices, faces))
    return area, area


def rows(rounds: int) -> list[Row]:
    """Return all lines."""
    from vesalius.core import Code, Mask, Segment
    from vesalius.features.radiomics.mesh import surface
    from vesalius.features.spatial.lattice import components

    one, _ = organ()
    whole = np.ones((3, 3, 3))
    known = {1: Segment("organ", Code("113343008", "SCT", "Organ"), (255, 0, 0))}
    mask = Mask(one.astype(np.uint8), np.diag([*SPACING, 1.0]), segments=known)

    def area() -> tuple[float, float]:
        found = surface(boxed(one), SPACING).area_mm2
        return found, found

    parts = {"SciPy": lambda: ndimage.label(one, whole)[1]}
    depths = {"SciPy": lambda: depth(one)}
    if importlib.util.find_spec("cc3d"):
        import cc3d

        parts["cc3d"] = lambda: cc3d.connected_components(one, return_N=True)[1]
    if importlib.util.find_spec("edt"):
        import edt

        depths["edt"] = lambda: float(edt.edt(one, anisotropy=SPACING, black_border=False).max())
    sums = {"NumPy": lambda: float(np.unique(mask.array, return_counts=True)[1][1] * np.prod(SPACING) / 1000)}
    return [
        *compared("connected parts", lambda: components(boxed(one))[1], parts, rounds),
        *compared("largest distance to the border", lambda: depth(boxed(one)), depths, rounds),
        *compared("volume of a label", lambda: mask.volume_ml(1), sums, rounds),
        *compared("marching cubes: area", area, {"scikit-image": lambda: meshed(one)}, rounds, 1e-2),
    ]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = rows(given.rounds)
    print("organ of 256^3, answers equal")
    for row in table:
        print(f"{row['work']:32} {row['ours_s']:7.3f} s {row['peer_s']:7.3f} s {row['ratio']:6.3f}x {row['peer']}")
    if given.json:
        given.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
