"""How often the guard of brain-mri is right: refusals and acceptances, with Clopper-Pearson intervals per class.

    python benchmarks/guard.py [--data DIR] [--half-atlas FILE] [--quick] [--json FILE]

Limits were fixed on label maps 01-06 and are reported on 07-12; with
--half-atlas (recipes/head_atlas/build.py --leave-out 07 08 09 10 11 12) the atlas has not seen the latter either. No
header speaks here: every image is judged by its voxels and grid alone, T2 contrast "under a T1 header" included.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from vesalius import io
from vesalius.core import Axis, AxisKind, Code, Mask, Segment, Volume
from vesalius.core.errors import GeometryError
from vesalius.core.grid import all_orientations
from vesalius.phantoms import heads
from vesalius.segment.head_guard import array_objections, head_objections, measure_head
from vesalius.segment.tissue import Atlas, load_atlas, read_atlas

DATA = Path(os.environ.get("VESALIUS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FIXED_ON = range(1, 7)
HEADS = range(1, 13)
MARGIN_VOXELS = 12
CROPS = 20
MEASURES = ("fit", "coverage", "zoom", "stretch", "turn_deg", "turned_gain", "white_grey", "grey_fluid")


@dataclass(frozen=True, eq=False)
class Image:
    """One image and what the guard should say.

    Args:
        part: "fixed" (limits were set on it), "held out" or "real".
        head: number of the label map it was simulated from, 0 for none.
    """

    kind: str
    name: str
    accept: bool
    part: str
    volume: Volume
    head: int = 0


def contrast(white: float, cortex: float, deep: float, fluid: float, other: tuple[float, float, float, float]) -> dict:
    """Return brightness by label; other: bone, fat, muscle and skin, scalp."""
    bone, fat, soft, skin = other
    table = {}
    for label, (_, spread) in heads.T1_BRIGHTNESS.items():
        if label in heads.GREY_LABELS:
            value = cortex if label in (3, 42, 8, 47, 17, 53, 18, 54) else deep
        elif label in heads.WHITE_LABELS:
            value = white
        elif label in heads.FLUID_LABELS or label == 506:
            value = fluid
        else:
            value = {515: bone, 516: fat, 508: fat, 530: fat, 511: skin, 0: 0.02}.get(label, soft)
        table[label] = (value, spread)
    return table


WRONG = {
    "T2": contrast(0.45, 0.65, 0.50, 1.20, (0.08, 0.7, 0.3, 0.6)),
    "FLAIR": contrast(0.75, 0.95, 0.85, 0.20, (0.10, 0.9, 0.5, 0.8)),
    "proton density": contrast(0.75, 0.95, 0.90, 1.00, (0.10, 0.8, 0.5, 0.8)),
    "head CT": contrast(0.50, 0.53, 0.53, 0.48, (1.50, 0.4, 0.52, 0.5)),
    "inverted T1": {k: (1.3 - m if k else 0.02, s) for k, (m, s) in heads.T1_BRIGHTNESS.items()},
    "inverted T1, air too": {k: (1.05 - m, s) for k, (m, s) in heads.T1_BRIGHTNESS.items()},
}
"""Brightness of other contrasts, white matter of T1 = 1; spreads between heads as for T1."""


RARE = ("proton density", "head CT", "inverted T1, air too")
"""Contrasts that every second head is enough for."""


def label_map(data: Path, number: int, step: int = 1) -> Mask:
    """Return a label map cut to the head, every `step`-th voxel."""
    path = next((data / "synthseg_label_maps").rglob(f"training_seg_{number:02d}.nii.gz"))
    volume = only_volume(path)
    present = np.argwhere(volume.array > 0)
    low = np.maximum(present.min(axis=0) - MARGIN_VOXELS, 0)
    high = np.minimum(present.max(axis=0) + MARGIN_VOXELS + 1, volume.shape)
    part = volume.crop(tuple(map(int, low)), tuple(map(int, high)))
    affine = part.affine.copy()
    affine[:3, :3] *= step
    array = part.array[::step, ::step, ::step].astype(np.int16)
    segments = {int(v): Segment(str(v), Code(str(v), "99V", str(v)), (0, 0, 0)) for v in np.unique(array) if v}
    return Mask(array, affine, segments=segments)


def only_volume(path: Path) -> Volume:
    """Return the image of a file or folder with one series."""
    with io.scan(path) as found:
        return io.load(found.studies[0].series[0])


def averaged(volume: Volume, factors: tuple[int, int, int]) -> Volume:
    """Return block means."""
    sizes = [n // f for n, f in zip(volume.shape, factors, strict=True)]
    cut = volume.array[tuple(slice(0, n * f) for n, f in zip(sizes, factors, strict=True))]
    shape = [x for pair in zip(sizes, factors, strict=True) for x in pair]
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    affine[:3, :3] *= factors
    return Volume(cut.reshape(shape).mean(axis=(1, 3, 5)), affine, modality="MR")


def stripped(volume: Volume, labels: Mask) -> Volume:
    """Return the head without what lies outside brain and fluid."""
    return replace(volume, array=np.where(heads.tissue_truth(labels).array > 0, volume.array, 0))


def lost(volume: Volume, rng: np.random.Generator) -> Volume:
    """Return the array under an identity direction, as a careless conversion leaves it; never right by chance."""
    codes = [c for c in all_orientations() if c not in ("SPL", "SPR")]
    turned = volume.reorient(codes[int(rng.integers(len(codes)))])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[2, 0], affine[1, 1], affine[0, 2] = turned.spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(turned.shape) - 1) / 2)
    return Volume(turned.array, affine, modality="MR")


def simulations(data: Path, numbers: range) -> Iterator[Image]:
    """Yield heads that must be accepted and the same heads in other contrasts, which must not."""
    for number in numbers:
        part = "fixed" if number in FIXED_ON else "held out"
        rng = np.random.default_rng(number)
        labels = label_map(data, number)
        whole = heads.simulate_head(labels, heads.HeadOptions(seed=number)).image
        axial = whole.reorient("SPL")
        accepted = {
            "1 mm": whole,
            "2 mm": averaged(whole, (2, 2, 2)),
            "3 mm": averaged(whole, (3, 3, 3)),
            "1 x 1 x 5 mm": averaged(axial, (5, 1, 1)),
            "skull-stripped 2 mm": averaged(stripped(whole, labels), (2, 2, 2)),
        }
        for kind, volume in accepted.items():
            code = all_orientations()[int(rng.integers(48))]
            yield Image(f"T1 head, {kind}", f"{number:02d} {code}", True, part, volume.reorient(code), number)
        small = label_map(data, number, 2)
        for kind, table in WRONG.items():
            if kind in RARE and number % 2:
                continue
            image = heads.simulate_head(small, heads.HeadOptions(brightness=table, seed=number)).image
            yield Image(kind, f"{number:02d}", False, part, image, number)
        yield Image("lost orientation", f"{number:02d}", False, part, lost(accepted["2 mm"], rng), number)
        if number % 2 == 0:
            bare = lost(accepted["skull-stripped 2 mm"], rng)
            yield Image("lost orientation", f"{number:02d} stripped", False, part, bare, number)


def real_heads(data: Path) -> dict[str, Volume]:
    """Return the real T1-weighted heads."""
    from importlib.util import find_spec

    nilearn = find_spec("nilearn")
    found = {
        "mprage": only_volume(data / "brain_mprage_dicom"),
        "chris": only_volume(data / "niivue_images/chris_t1.nii.gz"),
        "udacity T1 post-contrast": only_volume(next((data / "brain_mri_dicom_udacity").rglob("*T1post*"))),
    }
    if nilearn is not None and nilearn.origin:
        found["ICBM152"] = only_volume(next((Path(nilearn.origin).parent / "datasets/data").glob("*_t1_*")))
    return found


def maps(data: Path) -> Iterator[Image]:
    """Yield label and probability maps of heads."""
    from importlib.util import find_spec

    for number in (1, 7):
        path = next((data / "synthseg_label_maps").rglob(f"training_seg_{number:02d}.nii.gz"))
        yield Image("label or probability map", path.name, False, "real", only_volume(path))
    nilearn = find_spec("nilearn")
    for kind in ("gm", "wm") if nilearn is not None and nilearn.origin else ():
        folder = Path(str(nilearn.origin)).parent / "datasets/data"  # type: ignore[union-attr]
        volume = only_volume(next(folder.glob(f"*_{kind}_*")))
        yield Image("label or probability map", f"ICBM152 {kind}", False, "real", volume)


def real_acceptances(found: dict[str, Volume]) -> Iterator[Image]:
    """Yield the real heads as they are, turned, and at 2 and 3 mm where they are finer."""
    for name, volume in found.items():
        yield Image("real T1 head", name, True, "real", volume)
        yield Image("real T1 head", f"{name} AIL", True, "real", volume.reorient("AIL"))
        for target in (2.0, 3.0):
            factors = tuple(max(1, round(target / s)) for s in volume.spacing_mm)
            if max(volume.spacing_mm) < target:
                yield Image("real T1 head", f"{name} {target:.0f} mm", True, "real", averaged(volume, factors))
        scaled = ((volume.array - volume.array.mean()) / volume.array.std()).astype(np.float32)
        yield Image("real T1 head", f"{name} z-score", True, "real", replace(volume, array=scaled))


def real_refusals(data: Path, found: dict[str, Volume]) -> Iterator[Image]:
    """Yield what is no T1-weighted head."""
    udacity = data / "brain_mri_dicom_udacity"
    files = {
        "FLAIR, real": [next(udacity.rglob("*FLAIR*"))],
        "crop": [next(udacity.rglob("*HCrop*")), *sorted((data / "msd_hippocampus/images").iterdir())[:CROPS]],
        "CT body": [data / "totalseg_ct/example_ct.nii.gz", data / "totalseg_ct/example_ct_sm.nii.gz",
                    data / "pyradiomics_refs/lung1_image.nrrd",
                    data / "ibsi_sts_petctmr/STS_005/CT_image.nii.gz"],
        "MR or PET of another body part": [
            data / "totalseg_ct/example_mr_sm.nii.gz", data / "pyradiomics_refs/breast1_image.nrrd",
            data / "ibsi_sts_petctmr/STS_005/MR_T1_image.nii.gz",
            data / "ibsi_sts_petctmr/STS_005/PET_image.nii.gz"],
        "T1 head without tissue contrast": [data / "pyradiomics_refs/brain1_image.nrrd"],
        "echo-planar head": [data / "niivue_images/fmri_pitch.nii.gz", data / "dicom_qa_ts/Ref/1.nii"],
    }  # fmt: skip
    for kind, paths in files.items():
        for path in paths:
            yield Image(kind, path.name, False, "real", only_volume(path))
    yield from hearts(data)
    rng = np.random.default_rng(0)
    for name, volume in found.items():
        factors = tuple(max(1, int(2.2 // s)) for s in volume.spacing_mm)
        for turn in range(3):
            yield Image("lost orientation", f"{name} {turn}", False, "real", lost(averaged(volume, factors), rng))


def hearts(data: Path) -> Iterator[Image]:
    """Yield the heart series; one whose slices form no grid never reaches the guard and is left out."""
    with io.scan(data / "sunnybrook_cardiac/dicoms") as found:
        for study in found.studies:
            for series in study.series:
                try:
                    yield Image("heart", series.key[-8:], False, "real", io.load(series))
                except GeometryError:
                    continue


def artificial(head: Volume) -> Iterator[Image]:
    """Yield what no scanner makes, on the grid of a head."""
    rng = np.random.default_rng(0)
    small = averaged(head, tuple(max(1, int(2.2 // s)) for s in head.spacing_mm))
    shape = small.shape
    noise = [rng.normal(100, 20, shape), rng.rayleigh(20, shape), rng.uniform(0, 255, shape)]
    noise += [gaussian_filter(rng.normal(0, 1, shape), s) for s in (0.7, 2.0, 5.0)]
    radius = np.sqrt(sum((g / 45) ** 2 for g in np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")))
    bottle = np.where(radius < 1, 400.0, 10.0) + rng.normal(0, 8, shape)
    shell = np.select([radius < 0.6, radius < 0.8, radius < 1], [500.0, 300.0, 100.0], 5.0) + rng.normal(0, 8, shape)
    for index, array in enumerate(noise):
        yield Image("noise", str(index), False, "real", replace(small, array=array.astype(np.float32)))
    flat = {"zeros": 0.0, "constant": 7.0, "not finite": np.nan}
    for name, value in flat.items():
        yield Image("empty", name, False, "real", replace(small, array=np.full(shape, value, dtype=np.float32)))
    for name, array in (("bottle", bottle), ("shells", shell)):
        yield Image("phantom", name, False, "real", replace(small, array=array.astype(np.float32)))
    for count in (2, 30):
        series = np.repeat(small.array[..., None], count, axis=3)
        axis = Axis(AxisKind.TIME, tuple(float(i) for i in range(count)), "s")
        yield Image("4-D", str(count), False, "real", replace(small, array=series, axis=axis))


def judged(image: Image, atlas: Atlas) -> dict[str, object]:
    """Return the guard's answer to one image."""
    start = time.process_time()
    reasons = array_objections(image.volume)
    row: dict[str, object] = {}
    if not reasons:
        evidence = measure_head(image.volume, atlas)
        reasons = head_objections(evidence)
        row = {name: round(float(getattr(evidence, name)), 3) for name in MEASURES}
    return {
        "kind": image.kind, "name": image.name, "part": image.part, "accept": image.accept, "accepted": not reasons,
        "reasons": [m.id for m in reasons], "cpu_s": round(time.process_time() - start, 2), **row,
    }  # fmt: skip


def interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a proportion."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, right, count - right + 1)) if right else 0.0
    high = float(beta.ppf(1 - tail, right + 1, count - right)) if right < count else 1.0
    return low, high


def print_table(rows: list[dict[str, object]]) -> None:
    """Print right answers per class and part."""
    groups: dict[tuple[str, str, str], list[bool]] = {}
    for row in rows:
        verdict = "accept" if row["accept"] else "refuse"
        right = row["accept"] == row["accepted"]
        for key in ((verdict, str(row["kind"]), str(row["part"])), (verdict, "ALL", "ALL"),
                    (verdict, "ALL simulated", "held out") if row["part"] == "held out" else None):  # fmt: skip
            if key is not None:
                groups.setdefault(key, []).append(right)
    print(f"{'should':7} {'class':32} {'part':9} {'right':>9}   95 % interval")
    for (verdict, kind, part), answers in sorted(groups.items()):
        low, high = interval(sum(answers), len(answers))
        print(f"{verdict:7} {kind:32} {part:9} {sum(answers):4d}/{len(answers):<4d}   [{low:.3f}, {high:.3f}]")
    wrong = [f"{r['kind']} {r['name']}: {r['reasons']}" for r in rows if r["accept"] != r["accepted"]]
    print("wrong:", *(wrong or ["none"]), sep="\n  ")


def images(data: Path, numbers: range) -> Iterator[Image]:
    """Yield every image of the benchmark."""
    found = real_heads(data)
    yield from real_acceptances(found)
    yield from real_refusals(data, found)
    yield from artificial(found["chris"])
    yield from maps(data)
    yield from simulations(data, numbers)


def main(report: Callable[[str], None] = print) -> None:
    """Parse the command line, run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real test data")
    parser.add_argument("--half-atlas", type=Path, help="atlas of heads 01-06, used on 07-12")
    parser.add_argument("--quick", action="store_true", help="two heads instead of twelve")
    parser.add_argument("--only", default="", help="classes whose name holds this text")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    whole = load_atlas()
    half = read_atlas(chosen.half_atlas) if chosen.half_atlas else whole
    rows = []
    for image in images(chosen.data, range(6, 8) if chosen.quick else HEADS):
        if chosen.only not in image.kind:
            continue
        row = judged(image, half if image.head and image.head not in FIXED_ON else whole)
        rows.append(row)
        numbers = " ".join(f"{n} {row[n]}" for n in ("fit", "turned_gain", "white_grey", "grey_fluid") if n in row)
        mark = "ok   " if row["accept"] == row["accepted"] else "WRONG"
        report(f"{mark} {image.kind}, {image.name}: {numbers or row['reasons']} ({row['cpu_s']} s)")
    print_table(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
