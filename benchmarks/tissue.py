"""Leave-out figures of the tissue engine.

    python benchmarks/tissue.py DATA [--cache DIR] [--fold-size 1] [--heads 01 05] [--cases heads icbm real]
        [--no-easy] [--json FILE]

DATA is the folder that holds `synthseg_label_maps`. Every simulated head is segmented with an atlas that was built
without it; atlases are kept in the cache folder. Beside each head stand a plain Gaussian mixture that is given the true
brain mask, and the engine on an easy simulator (bright bone).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes" / "head_atlas"))

import build as recipe

from vesalius.core.code import Code
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.phantoms.heads import EASY_BRIGHTNESS, HeadOptions, SimulatedHead, simulate_head
from vesalius.segment.tissue import Atlas, TissueSegmentation, load_atlas, read_atlas, segment_tissue, tissue_volumes
from vesalius.segment.tissue.atlas import save_atlas

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Row:
    """One line of the table: Dice of grey, white and fluid, ICV error in percent, seconds.

    `held` counts the intervals of grey, white, fluid and intracranial volume that hold the true volume, of four.
    """

    case: str
    method: str
    gm: float
    wm: float
    csf: float
    icv_error: float | None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    held: int | None = None


def read_labels(path: Path) -> Mask:
    """Return a label map as a mask in LPS mm."""
    import nibabel

    image = nibabel.load(path)
    array = np.asarray(image.dataobj).astype(np.int16)
    names = {int(v): Segment(str(v), Code(str(v), "99FREESURFER", str(v)), (0, 0, 0)) for v in np.unique(array) if v}
    return Mask(array, TO_LPS @ image.affine, segments=names)


def dice(found: NDArray[np.generic], truth: NDArray[np.generic], label: int) -> float:
    """Return the Dice overlap of one label."""
    a, b = found == label, truth == label
    return float(2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b)))


def atlas_without(left_out: Sequence[str], folder: Path, cache: Path) -> Atlas:
    """Return the atlas of all label maps but some, from the cache or built."""
    target = cache / f"no_{'_'.join(left_out)}.npz"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        paths = sorted(folder.rglob("training_seg_*.nii.gz"))
        heads = [recipe.read_head(p) for p in paths if recipe.name_of(p) not in left_out]
        save_atlas(recipe.build(heads), target)
    return read_atlas(target)


def plain_mixture(image: NDArray[np.float32], brain: NDArray[np.bool_], rounds: int = 60) -> NDArray[np.uint8]:
    """Return the classes of a three-Gaussian mixture on the voxels of a given brain mask."""
    values = image[brain].astype(np.float64)
    means = np.percentile(values, (10, 50, 85))
    spreads, shares = np.full(3, values.std() / 3), np.full(3, 1 / 3)
    order = np.array([3, 1, 2])
    for _ in range(rounds):
        density = shares * np.exp(-0.5 * ((values[:, None] - means) / spreads) ** 2) / spreads
        density /= np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
        total = density.sum(axis=0)
        means = (density * values[:, None]).sum(axis=0) / total
        spreads = np.sqrt((density * (values[:, None] - means) ** 2).sum(axis=0) / total) + 1e-9
        shares = total / len(values)
    out = np.zeros(image.shape, dtype=np.uint8)
    out[brain] = order[np.argsort(np.argsort(means))][density.argmax(axis=1)]
    return out


def timed(volume: Volume, atlas: Atlas | None) -> tuple[TissueSegmentation, float, float]:
    """Return a segmentation, CPU seconds and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = segment_tissue(volume, atlas=atlas)
    return found, time.process_time() - cpu, time.perf_counter() - wall


def head_rows(path: Path, atlas: Atlas, easy: bool) -> Iterator[Row]:
    """Yield the figures of one simulated head."""
    name = recipe.name_of(path)
    labels = read_labels(path)
    options = HeadOptions(seed=int(name))
    head = simulate_head(labels, options)
    truth, icv = head.tissue.array, float(np.count_nonzero(head.intracranial.array))
    found, cpu, wall = timed(head.image, atlas)
    error = 100 * (np.count_nonzero(found.intracranial.array) / icv - 1)
    held = intervals_held(found, head)
    yield Row(name, "engine", *scores(found.tissue.array, truth), error, cpu, wall, held)
    mixture = plain_mixture(head.image.array, truth > 0)
    yield Row(name, "plain mixture, true mask", *scores(mixture, truth), None)
    if easy:
        simple = simulate_head(labels, replace(options, brightness=EASY_BRIGHTNESS))
        found, cpu, wall = timed(simple.image, atlas)
        error = 100 * (np.count_nonzero(found.intracranial.array) / icv - 1)
        held = intervals_held(found, simple)
        yield Row(name, "engine, easy simulator", *scores(found.tissue.array, truth), error, cpu, wall, held)


def scores(found: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[float, float, float]:
    """Return the Dice overlaps of grey matter, white matter and fluid."""
    return dice(found, truth, 1), dice(found, truth, 2), dice(found, truth, 3)


def intervals_held(found: TissueSegmentation, head: SimulatedHead) -> int:
    """Return how many of the four volume intervals hold the truth."""
    inside = head.intracranial.array > 0
    counts = np.bincount(head.tissue.array[inside], minlength=4) * head.tissue.voxel_volume_mm3 / 1000
    truth = {"gray_matter": counts[1], "white_matter": counts[2], "csf": counts[3], "intracranial_volume": counts.sum()}
    rows = {q.name: q for q in tissue_volumes(found)}
    return sum(
        1
        for name, value in truth.items()
        if (low := rows[name].low) is not None and (high := rows[name].high) is not None and low <= value <= high
    )


def icbm_rows() -> Iterator[Row]:
    """Yield the figures on the ICBM152 template that nilearn carries."""
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    image = load_mni152_template(resolution=1)
    grey = load_mni152_gm_template(resolution=1).get_fdata()
    white = load_mni152_wm_template(resolution=1).get_fdata()
    array = np.asarray(image.dataobj).astype(np.float32)
    truth = np.array([3, 1, 2])[np.stack([1 - grey - white, grey, white]).argmax(axis=0)]
    truth[array <= 0] = 0
    found, cpu, wall = timed(Volume(array, TO_LPS @ image.affine, modality="MR"), None)
    yield Row("icbm152", "engine", *scores(found.tissue.array, truth), None, cpu, wall)
    mixture = plain_mixture(array, array > 0)
    yield Row("icbm152", "plain mixture", *scores(mixture, truth), None)


def real_lines(data: Path) -> Iterator[str]:
    """Yield volumes of the real head without labels."""
    import nibabel

    image = nibabel.load(data / "niivue_images" / "chris_t1.nii.gz")
    volume = Volume(np.asarray(image.dataobj).astype(np.float32), TO_LPS @ image.affine, modality="MR")
    found, cpu, wall = timed(volume, None)
    numbers = ", ".join(
        f"{q.name} {q.value:.1f} [{q.low:.1f}, {q.high:.1f}] {q.unit}"
        for q in tissue_volumes(found)
        if q.value is not None and q.low is not None and q.high is not None
    )
    yield f"chris_t1: {numbers}; {cpu:.1f} CPU s, {wall:.1f} s"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table and the means by method."""
    yield f"{'case':8} {'method':26} {'GM':>6} {'WM':>6} {'CSF':>6} {'ICV %':>7} {'CPU s':>6} {'s':>6} held"
    for row in rows:
        icv = f"{row.icv_error:+7.1f}" if row.icv_error is not None else f"{'-':>7}"
        held = f"{row.held}/4" if row.held is not None else "-"
        yield (
            f"{row.case:8} {row.method:26} {row.gm:6.3f} {row.wm:6.3f} {row.csf:6.3f} {icv} {row.cpu_s:6.1f} "
            f"{row.wall_s:6.1f} {held:>4}"
        )
    for method in dict.fromkeys(r.method for r in rows if r.case != "icbm152"):
        chosen = [r for r in rows if r.method == method and r.case != "icbm152"]
        means = [float(np.mean([getattr(r, k) for r in chosen])) for k in ("gm", "wm", "csf")]
        lows = [min(getattr(r, k) for r in chosen) for k in ("gm", "wm", "csf")]
        yield f"mean {len(chosen):3d} {method:26} " + " ".join(f"{m:6.3f}" for m in means)
        yield f"min      {method:26} " + " ".join(f"{m:6.3f}" for m in lows)
        errors = [abs(r.icv_error) for r in chosen if r.icv_error is not None]
        if errors:
            yield f"ICV      {method:26} mean |error| {np.mean(errors):.1f} %, largest {max(errors):.1f} %"
        held = [r.held for r in chosen if r.held is not None]
        if held:
            yield f"held     {method:26} {sum(held)} of {4 * len(held)} intervals hold the truth"


def main() -> None:
    """Parse the command line, run and print."""
    parser = argparse.ArgumentParser(description="Leave-out figures of the tissue engine.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "vesalius-bench")
    parser.add_argument("--fold-size", type=int, default=1)
    parser.add_argument("--heads", nargs="*", default=None)
    parser.add_argument("--cases", nargs="*", default=["heads", "icbm", "real"])
    parser.add_argument("--no-easy", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    folder = chosen.data / "synthseg_label_maps"
    paths = {recipe.name_of(p): p for p in sorted(folder.rglob("training_seg_*.nii.gz"))}
    names = sorted(paths)
    folds = -(-len(names) // chosen.fold_size)
    rows: list[Row] = []
    for start in range(folds if "heads" in chosen.cases else 0):
        fold = names[start::folds]
        for name in fold:
            if chosen.heads is None or name in chosen.heads:
                atlas = atlas_without(fold, folder, chosen.cache)
                rows += head_rows(paths[name], atlas, not chosen.no_easy)
                print(*list(table(rows))[1 : len(rows) + 1][-2:], sep="\n", file=sys.stderr, flush=True)
    rows += icbm_rows() if "icbm" in chosen.cases else []
    print(*table(rows), sep="\n")
    print(*(real_lines(chosen.data) if "real" in chosen.cases else []), sep="\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak of this process {peak:.0f} MiB; shipped atlas of {load_atlas().heads} heads")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(r) for r in rows], indent=1))


if __name__ == "__main__":
    main()
