"""Recipes without weights: every figure of docs/explanation/anatomy-recipes.md, each beside a plain line.

    python benchmarks/anatomy.py [DATA] [--only lungs,phantoms,head,breast,retina,ultrasound] [--finest 1.0]

DATA is the folder of real test data (or set VESALIUS_TEST_DATA); what needs a set that is not there is left out. The
recipes were written with these pictures in view, so that the figures say how well they fit, not how well they will do
elsewhere; the two halves of a set (every other file) show the spread.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Frame, Spacing, Volume
from vesalius.core.errors import VesaliusError
from vesalius.io import raster
from vesalius.phantoms.chest import AIRWAYS, LEFT, RIGHT, ChestOptions, otsu_line, simulate_chest
from vesalius.segment.anatomy.breast import breast
from vesalius.segment.anatomy.head_ct import intracranial
from vesalius.segment.anatomy.lungs import lungs
from vesalius.segment.anatomy.retina import retina
from vesalius.segment.anatomy.ultrasound import ultrasound_sector

Yes = NDArray[np.bool_]
DATA = Path(os.environ.get("VESALIUS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
CASES = (((5.0, 0.8, 0.8), 20.0), ((2.5, 1.4, 1.4), 10.0), ((2.0, 2.0, 2.0), 60.0), ((1.0, 1.0, 1.0), 20.0))


def dice(one: Yes, other: Yes) -> float:
    total = int(one.sum() + other.sum())
    return float(2 * (one & other).sum() / total) if total else 1.0


def halves(scores: list[float]) -> str:
    parts = (("all", scores), ("even places", scores[::2]), ("odd places", scores[1::2]))
    told = [
        f"{name} (n={len(s)}) median {np.median(s):.3f} mean {np.mean(s):.3f} min {min(s):.3f}"
        for name, s in parts
        if s
    ]
    return "; ".join(told)


def picture(path: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def chest_slices(data: Path) -> None:
    folder, ours, plain, empty = data / "chest_ct_lung_heart_trachea", [], [], []
    for path in sorted((folder / "images").glob("*.jpg")):
        colours = picture(folder / "masks" / f"{path.stem}.png")
        truth = (colours[..., 2] > 128) & (colours[..., 0] < 128) & (colours[..., 1] < 128)
        volume = raster.read(path)
        labels = lungs(volume).array[0]
        found = (labels == LEFT) | (labels == RIGHT)
        if not truth.any():
            empty.append(int(found.sum()))
            continue
        ours.append(dice(found, truth))
        plain.append(dice(otsu_line(volume.with_array(volume.array.mean(axis=-1), "grey"))[0], truth))
    print("lungs, 8-bit slices, Dice:", halves(ours))
    print("  Otsu, opening, holes:", halves(plain))
    print("  slices without lung:", len(empty), "pixels found there:", sum(empty))


def chest_phantoms(finest: float) -> None:
    for seed, (spacing, noise) in enumerate(CASES):
        if min(spacing) < finest and spacing[0] <= 1.0:
            continue
        chest = simulate_chest(
            ChestOptions(spacing_mm=spacing, noise_hu=noise, seed=10 + seed, nodules_mm=(8, 12, 16, 20, 24, 30))
        )
        begin = time.perf_counter()
        labels, truth = lungs(chest.image).array, chest.truth.array
        seconds = time.perf_counter() - begin
        whole, found = (np.isin(one, (LEFT, RIGHT)) for one in (truth, labels))
        sides = [dice(labels == side, truth == side) for side in (LEFT, RIGHT, AIRWAYS)]
        print(
            f"phantom {spacing} mm, noise {noise:g} HU: lungs {dice(found, whole):.4f}, left {sides[0]:.3f}, right "
            f"{sides[1]:.3f}, airways {sides[2]:.3f}; Otsu line {dice(otsu_line(chest.image), whole):.4f}; "
            f"{seconds:.1f} s"
        )
        print("  part of each nodule inside:", ", ".join(nodules(chest.image, chest.nodules, found, whole)))


def nodules(image: Volume, places: Any, found: Yes, whole: Yes) -> list[str]:
    told = []
    for centre, radius in places:
        index, reach = image.world_to_index(centre), radius / np.asarray(image.spacing_mm) + 1
        low, high = np.maximum(index - reach, 0).astype(int), (index + reach + 1).astype(int)
        box = tuple(slice(a, min(b, n)) for a, b, n in zip(low, high, whole.shape, strict=True))
        grid = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), axis=-1)
        inside = (((image.index_to_world(grid) - centre) ** 2).sum(axis=-1) <= radius**2) & whole[box]
        told.append(f"{2 * radius:g} mm {(found[box] & inside).sum() / max(1, inside.sum()):.2f}")
    return told


def head(data: Path) -> None:
    for name in (
        "head_ct_hemorrhage/head_ct",
        "bhsd_hemorrhage/images",
        "ct_ich_physionet/images",
        "stroke_ncct_aisd/images",
    ):
        ours, plain, count = 0, 0, 0
        for path in sorted((data / name).iterdir()):
            volume, count = raster.read(path), count + 1
            ours += head_is_right(intracranial(volume).array[0])
            plain += head_is_right(head_line(volume))
        print(
            f"head, {name}: not empty and inside the skull's outline {ours}/{count}; "
            f"threshold and holes {plain}/{count}"
        )


def head_is_right(labels: NDArray[Any]) -> bool:
    """Return whether the space is not empty, at least a fifth of the ring's hull, and inside that hull."""
    from skimage.morphology import convex_hull_image

    space, skull = labels == 2, labels == 1
    if not space.any() or not skull.any():
        return False
    hull = convex_hull_image(skull)
    return bool((space & ~hull).sum() <= 0.01 * space.sum() and space.sum() > 0.2 * hull.sum())


def head_line(volume: Volume) -> NDArray[np.uint8]:
    """Return what holes of Otsu's brightest of three classes enclose: the plain line."""
    from scipy import ndimage
    from skimage.filters import threshold_multiotsu

    grey = volume.array[0].astype(float)
    grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
    bone = grey > threshold_multiotsu(grey, 3)[1]
    space = ndimage.binary_fill_holes(bone) & ~bone
    return np.where(space, 2, bone.astype(np.uint8)).astype(np.uint8)


def mammograms(data: Path) -> None:
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    folder, lesions, sides = data / "mias_mammo", {}, {}
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            sides[row["file"]] = row["side"]
            if row["x_px"]:
                lesions.setdefault(row["file"], []).append((int(float(row["y_px"])), int(float(row["x_px"]))))
    inside, plain, right, muscles, film = [], [], 0, 0, []
    for name in sorted(sides):
        volume = raster.read(folder / name)
        mask = breast(volume)
        told = mask.history[-1].parameters
        right += told["chest_wall"] == sides[name]
        muscles += bool(told["muscle_found"])
        otsu = ndimage.binary_fill_holes(volume.array[0] > threshold_otsu(volume.array[0]))
        for row, column in lesions.get(name, []):
            inside.append(bool(mask.array[0, row, column] == 1))
            plain.append(bool(otsu[row, column]))
            if volume.array[0, row - 2 : row + 3, column - 2 : column + 3].max() < 10:
                film.append(name)
    print(f"breast: lesion centre inside {sum(inside)}/{len(inside)}; Otsu line {sum(plain)}/{len(plain)}")
    print(f"  annotated centres on bare film (value below 10): {len(film)} {film}")
    print(f"  side recognised {right}/{len(sides)}; a muscle found in {muscles}/{len(sides)}")


def fundus(data: Path) -> None:
    from PIL import Image
    from skimage.filters import frangi, threshold_otsu

    folder, ours, plain = data / "drive_vessels" / "training", [], []
    for path in sorted((folder / "images").glob("*.tif")):
        with Image.open(folder / "1st_manual" / f"{path.name[:2]}_manual1.gif") as image:
            truth = np.asarray(image) > 0
        with Image.open(folder / "mask" / f"{path.name[:2]}_training_mask.gif") as image:
            field = np.asarray(image) > 0
        volume = raster.read(path)
        ours.append(dice((retina(volume).array[0] == 2) & field, truth & field))
        response = frangi(volume.array[0, ..., 1], sigmas=(1, 2, 3), black_ridges=True)
        response = np.where(field, np.minimum(response, np.percentile(response, 99)), 0)
        plain.append(dice((response > threshold_otsu(response[field])) & field, truth & field))
    print("retina, DRIVE, vessels inside the field, Dice:", halves(ours))
    print("  Frangi and Otsu:", halves(plain))


def planted(grey: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], Yes]:
    """Return a picture with calipers, a dotted line and text burned in, and where they are."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", grey.shape[::-1], 0)
    draw = ImageDraw.Draw(canvas)
    rows, columns = grey.shape
    ends = []
    for _ in range(4):
        x, y = int(rng.uniform(0.1, 0.9) * columns), int(rng.uniform(0.1, 0.9) * rows)
        arm = int(rng.integers(4, 7))
        draw.line((x - arm, y, x + arm, y), fill=255)
        draw.line((x, y - arm, x, y + arm), fill=255)
        ends.append((x, y))
    (ax, ay), (bx, by) = ends[:2]
    for part in np.linspace(0, 1, max(2, int(np.hypot(ax - bx, ay - by) / 4))):
        draw.point((ax + part * (bx - ax), ay + part * (by - ay)), fill=255)
    place = (int(rng.uniform(0.05, 0.6) * columns), int(rng.uniform(0.1, 0.9) * rows))
    draw.text(
        place,
        str(rng.choice(["RT UOQ", "LT 3 H", "RIGHT BREAST", "D 12.4 mm"])),
        fill=255,
        font=ImageFont.load_default(),
    )
    drawn = np.asarray(canvas).astype(np.float32) / 255
    level = float(rng.uniform(200, 255))
    shown = grey * (1 - drawn) + level * drawn
    return np.clip(shown, 0, 255).astype(np.uint8), drawn > 0.5


def ultrasound(data: Path) -> None:
    rng = np.random.default_rng(0)
    recalls, lost, clean, sectors, plain = [], [], [], [], []
    for path in sorted((data / "busi_breast_us" / "normal").glob("*.png"))[:40]:
        grey = raster.read(path).array[0].astype(np.float32)
        grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
        before = ultrasound_sector(flat(grey.astype(np.uint8))).array[0]
        clean.append(float((before == 2).mean()))
        sectors.append(float((before > 0).mean()))
        shown, marks = planted(grey, rng)
        labels = ultrasound_sector(flat(shown)).array[0]
        recalls.append(float((labels[marks] != 1).mean()))
        lost.append(float(((labels != 1) & (before == 1) & ~marks).mean()))
        plain.append(float((shown[marks] >= np.percentile(shown, 99.5)).mean()))
    for name, values in (("planted pixels left out", recalls), ("brightest 0.5 % instead", plain),
                         ("tissue lost beside them", lost), ("marked on the untouched picture", clean),
                         ("area of the picture insonated", sectors)):  # fmt: skip
        print(f"ultrasound, {name}: {halves(values)}")


def flat(array: NDArray[np.uint8]) -> Volume:
    return Volume(array[np.newaxis], np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, modality="US")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--only", default="lungs,phantoms,head,breast,retina,ultrasound")
    parser.add_argument("--finest", type=float, default=1.0, help="leave out isotropic phantoms finer than this, mm")
    options = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "lungs": lambda: chest_slices(options.data),
        "phantoms": lambda: chest_phantoms(options.finest),
        "head": lambda: head(options.data),
        "breast": lambda: mammograms(options.data),
        "retina": lambda: fundus(options.data),
        "ultrasound": lambda: ultrasound(options.data),
    }
    if not options.data.is_dir():
        print(f"no folder {options.data.name} of real test data: only the phantoms; give it, or set VESALIUS_TEST_DATA")
    for name in options.only.split(","):
        if name != "phantoms" and not options.data.is_dir():
            continue
        begin = time.perf_counter()
        try:
            parts[name]()
        except (VesaliusError, OSError) as problem:
            print(f"{name}: left out, {problem}")
        print(f"  [{time.perf_counter() - begin:.0f} s]")


if __name__ == "__main__":
    main()
