"""Connected parts, volumes of labels, distances and mesh surface of an organ in 256^3, on the cropped region.

    python benchmarks/regions.py [--rounds 3] [--json FILE]

Peers work on the whole grid, as a user would call them: NumPy, SciPy and scikit-image, and cc3d, edt, fastremap and VTK
where they are installed (fastremap and cc3d are LGPL, edt is GPL and VTK is large: none is in the base install).
Answers are compared; seconds are of processor time. Peers that are missing are named at the end.
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
PEERS = {"cc3d": "connected-components-3d", "edt": "edt", "fastremap": "fastremap", "vtk": "vtk"}
"""Module and name of the package of peers that are not in the base install."""


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return median seconds and the answer."""
    seconds, answer = [], None
    for _ in range(rounds):
        begin = time.process_time()
        answer = work()
        seconds.append(time.process_time() - begin)
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


def contoured(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return mesh area by VTK, twice."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkMassProperties

    picture = vtkImageData()
    picture.SetDimensions(*inside.shape[::-1])
    picture.SetSpacing(*SPACING[::-1])
    picture.GetPointData().SetScalars(numpy_to_vtk(inside.view(np.uint8).ravel()))
    mesh, measure = vtkFlyingEdges3D(), vtkMassProperties()
    mesh.SetInputData(picture)
    mesh.SetValue(0, 0.5)
    mesh.ComputeNormalsOff()
    measure.SetInputConnection(mesh.GetOutputPort())
    measure.Update()
    area = float(measure.GetSurfaceArea())
    return area, area


def outside_peers(one: NDArray[np.bool_], labels: NDArray[np.uint8], volume: float) -> dict[str, Callable[[], Any]]:
    """Return by module what the peers outside the base install do, of those that are there.

    Args:
        one: the organ on the whole grid.
        labels: the same as labels.
        volume: of a voxel in ml.
    """

    def parts() -> int:
        import cc3d

        return int(cc3d.connected_components(one, return_N=True)[1])

    def farthest() -> float:
        import edt

        return float(edt.edt(one, anisotropy=SPACING, black_border=False).max())

    def counted() -> float:
        import fastremap

        return float(fastremap.unique(labels, return_counts=True)[1][1] * volume)

    known = {"cc3d": parts, "edt": farthest, "fastremap": counted, "vtk": lambda: contoured(one)}
    return {name: work for name, work in known.items() if importlib.util.find_spec(name)}


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

    volume = float(np.prod(SPACING)) / 1000
    extra = outside_peers(one, mask.array, volume)

    def peers(base: str, work: Callable[[], Any], *names: str) -> dict[str, Callable[[], Any]]:
        return {base: work} | {name: extra[name] for name in names if name in extra}

    sums = peers("NumPy", lambda: float(np.unique(mask.array, return_counts=True)[1][1] * volume), "fastremap")
    return [
        *compared(
            "connected parts",
            lambda: components(boxed(one))[1],
            peers("SciPy", lambda: ndimage.label(one, whole)[1], "cc3d"),
            rounds,
        ),
        *compared(
            "largest distance to the border",
            lambda: depth(boxed(one)),
            peers("SciPy", lambda: depth(one), "edt"),
            rounds,
        ),
        *compared("volume of a label", lambda: mask.volume_ml(1), sums, rounds),
        *compared(
            "marching cubes: area", area, peers("scikit-image", lambda: meshed(one), "vtk"), rounds, tolerance=1e-2
        ),
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
    missing = [package for module, package in PEERS.items() if not importlib.util.find_spec(module)]
    if missing:
        print(f"peers missing: {', '.join(missing)}; to compare with them: pip install {' '.join(missing)}")
    if given.json:
        given.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
