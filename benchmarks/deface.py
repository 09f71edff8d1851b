"""What defacing keeps and removes: brain, volumes when analysed again, and the surface of the face.

    python benchmarks/deface.py DATA [--heads 01 05] [--cases sim real ct] [--no-volumes] [--json FILE]

DATA is the folder that holds `synthseg_label_maps`, `brain_mprage_dicom` and `niivue_images`. Heads are simulated from
the label maps as T1 (`phantoms.heads`) and as CT (HU by label, 8 HU noise). `kept_mm` is the smallest distance
between a removed voxel and the brain: the largest piece of the true grey matter, white matter and fluid of a simulated
head, the brain mask of the tissue engine on a real one. `moved_mm` is how far the foremost tissue moves, front to back,
by the program's own check; `eyes_mm` the same at the true place of the eyes, whichever moves less.
Promises: kept_mm > 2, grey and white matter change by less than 0.5 %, everything moved by more than 10 mm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from tissue import read_labels

from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.io import load, scan
from vesalius.phantoms.heads import HeadOptions, simulate_head, tissue_truth
from vesalius.privacy.deface import Defaced, FaceDoubtError, deface
from vesalius.segment.tissue import TissueOptions, segment_tissue

Bits = NDArray[np.bool_]
EYES = 506
HOUNSFIELD = {
    **{0: -1000.0, 515: 1000.0, 516: -80.0, 508: -60.0, 530: -90.0, 511: 40.0, 507: 55.0, 509: 45.0, 514: 45.0},
    **{512: 35.0, 506: 12.0, 502: 60.0, 24: 6.0, 4: 4.0, 43: 4.0, 5: 4.0, 44: 4.0, 14: 6.0, 15: 6.0, 72: 6.0},
    **dict.fromkeys((2, 41, 7, 46, 77, 85, 251, 252, 253, 254, 255), 29.0),
}
"""HU by label; grey matter and everything else 34."""


@dataclass(frozen=True)
class Row:
    """One line of the table; None where it cannot be told."""

    case: str
    kept_mm: float
    dilated_identical: bool
    moved_mm: dict[str, float]
    eyes_mm: float | None
    volumes_percent: tuple[float, float, float] | None
    removed_ml: float
    seconds: float


def ct_head(labels: Mask, seed: int, thick: int = 1) -> Volume:
    """Return a head CT; `thick` voxels of the slice axis are averaged."""
    table = np.full(1024, 34.0, np.float32)
    for number, value in HOUNSFIELD.items():
        table[number] = value
    array = gaussian_filter(table[np.clip(labels.array, 0, 1023)], 0.6)
    array += np.random.default_rng(seed).normal(0, 8, array.shape).astype(np.float32)
    volume = Volume(array, labels.affine, labels.frame, labels.spacing, labels.history, "CT").reorient("SPL")
    count = volume.shape[0] // thick
    array = volume.array[: count * thick].reshape(count, thick, *volume.shape[1:]).mean(axis=1)
    affine = np.array(volume.affine)
    affine[:3, 3] += affine[:3, 0] * (thick - 1) / 2
    affine[:3, 0] *= thick
    return Volume(np.round(array).astype(np.int16), affine, modality="CT")


def largest(mask: Bits) -> Bits:
    """Return the largest piece."""
    pieces, _ = label(mask)
    counts = np.bincount(pieces.ravel())
    counts[0] = 0
    return np.asarray(pieces == counts.argmax())


def eyes_moved(labels: Mask, defaced: Defaced) -> float:
    """Return how far the foremost tissue in front of the middle of an eye moves back in mm, the smaller of both."""
    shown = labels.reorient("SPL")
    gone = Mask(defaced.removed.array, defaced.removed.affine, segments=defaced.removed.segments).reorient("SPL")
    head = shown.array > 0
    middle = np.argwhere(shown.array == EYES)
    moved = []
    for side in (middle[:, 2] < np.median(middle[:, 2]), middle[:, 2] >= np.median(middle[:, 2])):
        z, _, x = np.round(middle[side].mean(axis=0)).astype(int)
        part = (slice(z - 4, z + 5), slice(None), slice(x - 4, x + 5))
        before = head[part].argmax(axis=1)
        after = (head & (gone.array == 0))[part].argmax(axis=1)
        moved.append(float(np.median(after - before)) * shown.spacing_mm[1])
    return min(moved)


def changes(before: Volume, after: Volume) -> tuple[tuple[float, float, float], Bits]:
    """Return the change of grey matter, white matter and fluid in percent, and the brain mask of the first image."""
    options = TissueOptions(reruns=0)
    one, other = segment_tissue(before, options), segment_tissue(after, options)
    grey, white, fluid = (
        round(100 * (float(other.probabilities[name].array.sum()) / float(one.probabilities[name].array.sum()) - 1), 2)
        for name in ("gray_matter", "white_matter", "csf")
    )
    return (grey, white, fluid), one.brain.array > 0


def row(name: str, volume: Volume, labels: Mask | None, volumes: bool) -> Row:
    """Return the figures of one head."""
    started = time.process_time()
    result = deface(volume)
    seconds = time.process_time() - started
    gone = result.removed.array > 0
    percent: tuple[float, float, float] | None = None
    brain = largest(tissue_truth(labels).array > 0) if labels is not None else np.zeros(volume.shape, bool)
    if volumes:
        percent, found = changes(volume, result.volume)
        brain = found if labels is None else brain
    spacing = volume.spacing_mm
    tissue = volume.array > (-300 if volume.modality == "CT" else 0.5 * float(volume.array.mean()))
    kept = float(distance_transform_edt(~brain, sampling=spacing)[gone].min()) if brain.any() else float("nan")
    near = distance_transform_edt(~brain, sampling=spacing) <= 2 if brain.any() else brain
    return Row(
        name,
        round(kept, 1),
        bool(np.array_equal(result.volume.array[near], volume.array[near])),
        dict(result.face.moved_mm),
        round(eyes_moved(labels, result), 1) if labels is not None else None,
        percent,
        round(float(np.count_nonzero(gone & tissue)) * float(np.prod(spacing)) / 1000),
        round(seconds, 1),
    )


def cases(data: Path, wanted: list[str], heads: list[str]) -> Iterator[tuple[str, Volume, Mask | None, bool]]:
    """Yield (name, image, label map, whether the tissue engine measures it)."""
    if "real" in wanted:
        for name in ("brain_mprage_dicom", "niivue_images/chris_t1.nii.gz"):
            with scan(data / name) as found:
                yield name, load(found.studies[0].series[0]), None, True
    for path in sorted((data / "synthseg_label_maps").glob("training_seg_*.nii.gz")):
        number = path.name.removesuffix(".nii.gz")[-2:]
        if heads and number not in heads:
            continue
        labels = read_labels(path)
        if "sim" in wanted:
            yield f"T1 {number}", simulate_head(labels, HeadOptions(seed=int(number))).image, labels, True
        if "ct" in wanted:
            whole = ct_head(labels, int(number))
            yield f"CT {number}", whole, read_like(labels, whole), False


def read_like(labels: Mask, volume: Volume) -> Mask:
    """Return the label map in the array order of a volume of the same voxels."""
    return labels.reorient(volume.orientation)


def main() -> None:
    """Print one line a head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", nargs="*", default=[])
    parser.add_argument("--cases", nargs="*", default=["real", "sim", "ct"], choices=["real", "sim", "ct"])
    parser.add_argument("--no-volumes", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for name, volume, labels, measured in cases(asked.data, asked.cases, asked.heads):
        try:
            rows.append(row(name, volume, labels, measured and not asked.no_volumes))
        except FaceDoubtError as doubt:
            sys.stdout.write(f"{name}: in doubt: {doubt}\n")
            continue
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
