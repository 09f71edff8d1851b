"""HD95 and surface Dice of an organ in 256^3, against DeepMind's package, in the same run and with equal answers.

    python benchmarks/surface_distance.py [--peer PYTHON] [--rounds 5] [--json FILE]

The peer (`surface-distance` 0.1) needs an older NumPy than ours, so that it lives in an environment of its own:
by default bench-output/surface-distance, made on the first run. Both sides start from masks in memory and end with the
two numbers; each runs in a process of its own. Without a network the peer is left out and no ratio is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("VESALIUS_TEST_DATA", ROOT.parent / "shared" / "data"))
NEEDS = ("surface-distance==0.1", "numpy<2", "scipy<1.12")
TARGET = 0.4
TOLERANCE_MM = 1.5
SPACING = (1.5, 0.8, 0.8)
PEER = """
import json, statistics, sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
np.bool, np.Inf = bool, np.inf  # the package is older than the NumPy that dropped these names
import surface_distance as sd
data = np.load(sys.argv[1])
one, two = data["prediction"], data["reference"]
seconds = []
for _ in range(int(sys.argv[2])):
    begin = time.perf_counter()
    found = sd.compute_surface_distances(two, one, {spacing})
    answer = sd.compute_robust_hausdorff(found, 95), sd.compute_surface_dice_at_tolerance(found, {tolerance})
    seconds.append(time.perf_counter() - begin)
print(json.dumps([statistics.median(seconds), *map(float, answer)]))
"""


def organ(size: int = 256) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a liver-sized lump and a prediction of it (Dice 0.97)."""
    z, y, x = np.mgrid[:size, :size, :size].astype(np.float32) / size
    lump = ((z - 0.5) / 0.22) ** 2 + ((y - 0.52) / 0.18) ** 2 + ((x - 0.45) / 0.28) ** 2
    noise = np.random.default_rng(0).standard_normal((2, 16, 16, 16))
    waves = [ndimage.zoom(part, size / 16, order=1) for part in noise]
    return lump + 0.25 * (waves[0] + 0.4 * waves[1]) < 1, lump + 0.25 * waves[0] < 1


def cortex() -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return the left cerebral cortex of a label map, the largest surface of a head, and a smoothed copy of it."""
    from vesalius.io import nifti

    paths = sorted((DATA / "synthseg_label_maps").glob("*.nii*"))
    labels = next((v.array for v in map(nifti.read, paths[:3]) if v.shape == (256, 256, 256)), None)
    if labels is None:
        return None
    inside = np.asarray(labels == 3)
    return np.asarray(ndimage.gaussian_filter(inside.astype(np.float32), 1.0) > 0.45), inside


def ours(path: str, rounds: int) -> None:
    """Print the same three numbers as the peer."""
    from vesalius.core import Code, Mask, Segment
    from vesalius.evaluate.metrics import Pair, distances

    data = np.load(path)
    known = {1: Segment("organ", Code("113343008", "SCT", "Organ"), (255, 0, 0))}
    one, two = (
        Mask(data[name].astype(np.uint8), np.diag([*SPACING, 1.0]), segments=known)
        for name in ("prediction", "reference")
    )
    seconds, answer = [], (0.0, 0.0)
    for _ in range(rounds):
        begin = time.perf_counter()
        found = distances(Pair.of(one, two), "deepmind")
        answer = found.percentile(95), found.share_within(TOLERANCE_MM)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps([statistics.median(seconds), *answer]))


def environment(given: Path | None) -> Path | None:
    """Return a Python that has the peer, made when it is not there; None when it cannot be."""
    python = given or ROOT / "bench-output" / "surface-distance" / "bin" / "python"
    if not python.exists():
        folder = python.parents[1]
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run([str(python), "-c", "import surface_distance"], capture_output=True, check=False).returncode:
        made = subprocess.run([str(python), "-m", "pip", "install", "-q", *NEEDS], capture_output=True, check=False)
        if made.returncode:
            return None
    return python


def measured(command: list[str]) -> list[float]:
    """Return seconds, HD95 and surface Dice of one side."""
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(value) for value in json.loads(told.splitlines()[-1])]


def compare(name: str, pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], peer: Path | None, rounds: int) -> dict:
    """Return both times and the ratio; a difference in the answer ends the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "pair.npz")
        np.savez(path, prediction=pair[0], reference=pair[1])
        own = measured([sys.executable, __file__, "--ours", path, "--rounds", str(rounds)])
        row = {"case": name, "ours_s": own[0], "hd95_mm": own[1], "surface_dice": own[2]}
        if peer is None:
            return row
        code = PEER.replace("{spacing}", repr(SPACING)).replace("{tolerance}", repr(TOLERANCE_MM))
        other = measured([str(peer), "-c", code, path, str(rounds)])
    np.testing.assert_allclose(own[1:], other[1:], rtol=1e-9, err_msg=f"{name}: the answers differ")
    return {**row, "peer_s": other[0], "ratio": own[0] / other[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="Python of an environment with surface-distance")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        ours(given.ours, given.rounds)
        return
    peer = environment(given.peer)
    if peer is None:
        print(f"surface-distance could not be installed: no ratio; give --peer, a Python that has {', '.join(NEEDS)}")
    pairs = {"organ 256^3": organ(), "cortex 256^3": cortex() if DATA.is_dir() else None}
    rows = [compare(name, pair, peer, given.rounds) for name, pair in pairs.items() if pair is not None]
    for row in rows:
        ratio = f", surface-distance {row['peer_s']:.3f} s, ratio {row['ratio']:.2f} (target {TARGET})"
        print(f"{row['case']}: {row['ours_s']:.3f} s" + (ratio if "ratio" in row else ""))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
