"""Burned-in text: how many planted strings are found whole, and how many clean images lose pixels.

    python benchmarks/burned_in.py --images 40 --seed 1         # strings on real backgrounds
    python benchmarks/burned_in.py --clean --images 100         # the same images without text

Fonts: those under /usr/share/fonts (DejaVu, Liberation, Nimbus, Noto CJK). A string is missed when more than 10 % of
its glyph pixels lie outside the boxes. Its contrast is to the mean of its surroundings, a window of a capital's height.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from vesalius.privacy import pixels
from vesalius.privacy.corpus import drawing, people

Array = NDArray[Any]
SETS = (
    *(("lidc_0001_ct", 3), ("sunnybrook_cardiac", 6), ("brain_mri_dicom_udacity", 6), ("brain_mprage_dicom", 5)),
    *(("iqothnccd_lung_ct", 4), ("mias_mammo", 4), ("cxr_pneumonia_kermany", 4), ("head_ct_hemorrhage", 4)),
    *(("busi_breast_us", 4), ("drishti_glaucoma", 1), ("chd_ct_heart", 2), ("brisc_brain_tumor_seg", 2)),
)
"""Backgrounds: set and number of images per round."""
CLEAN_SETS = (
    *(("lidc_0001_ct", 8), ("sunnybrook_cardiac", 20), ("brain_mri_dicom_udacity", 20), ("brain_mprage_dicom", 20)),
    *(("iqothnccd_lung_ct", 20), ("ct_kidney_4class", 20), ("alzheimer_mri_slices", 10), ("drive_vessels", 4)),
    *(("chd_ct_heart", 8), ("kits19_ct_slices", 6), ("idrid_exudates", 4), ("brisc_brain_tumor_seg", 6)),
)
"""Sets whose images carry no text: the ultrasound and radiograph sets have letters on many."""
LATIN = ("truetype/dejavu", "truetype/liberation", "opentype/urw-base35")
CONTRASTS = (0.15, 0.15, 0.2, 0.3, 0.5, 1.0)
NOISES = (0.0, 0.0, 0.02, 0.04)
CAPITALS = (10, 10, 11, 12, 14, 16, 20, 28, 40)


@dataclass(frozen=True)
class String:
    """One planted string and where it is."""

    script: str
    capitals: int
    degrees: float
    contrast: float
    noise: float
    font: str
    glyphs: Array


def backgrounds(data: Path, sets: tuple[tuple[str, int], ...], seed: int) -> Iterator[tuple[str, Array]]:
    """Yield real images as 8 bits, at most 1100 pixels on a side."""
    for name, count in sets:
        files = [
            path for path in sorted((data / name).rglob("*")) if path.is_file() and "mask" not in str(path).lower()
        ]
        random.Random(seed).shuffle(files)
        taken = 0
        for path in files:
            picture = picture_of(path)
            if picture is None or min(picture.shape) < 150:
                continue
            yield f"{name}/{path.name}", picture
            taken += 1
            if taken == count:
                break


def picture_of(path: Path) -> Array | None:
    try:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif"):
            array = np.asarray(Image.open(path).convert("L"))
        else:
            array = dcmread(path).pixel_array.astype(float)
            low, high = np.percentile(array, (1, 99))
            array = np.clip((array - low) / max(high - low, 1e-6) * 255, 0, 255)
    except (InvalidDicomError, AttributeError, OSError, ValueError):
        return None
    if array.ndim != 2:
        return None
    while max(array.shape) > 1100:
        array = np.asarray(Image.fromarray(array.astype(np.uint8)).reduce(2))
    return array.astype(np.uint8)


def fonts(folder: Path) -> dict[str, list[Path]]:
    latin = [path for part in LATIN for path in sorted((folder / part).glob("*.[to]tf"))]
    latin = [path for path in latin if not any(word in path.name for word in ("Symbol", "D0500", "Z003", "Math"))]
    wide = [path for path in latin if "dejavu" in str(path) or "iberation" in str(path)]
    return {"latin": latin, "cyrillic": wide, "cjk": sorted((folder / "opentype/noto").glob("NotoSansCJK-*.ttc"))}


def words(rng: random.Random) -> tuple[str, str]:
    """Return a string as scanners burn it in, and its script."""
    language = rng.choice(("en", "de", "fr", "es", "en", "de", "zh", "ja", "ko", "ru"))
    (person,) = people(rng.randrange(1 << 20), 1, languages=(language,))
    native = f"{person.name.family} {person.name.given}"
    day = person.birth.strftime(rng.choice(("%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y")))
    text = rng.choice((native, person.name.plain, day, person.patient_id, f"DOB {day}", f"{native} {person.sex}"))
    script = {"zh": "cjk", "ja": "cjk", "ko": "cjk", "ru": "cyrillic"}.get(language, "latin")
    return text, script if any(ord(letter) > 0x2FF for letter in text) else "latin"


def plant(picture: Array, rng: random.Random, known: dict[str, list[Path]], count: int) -> tuple[Array, list[String]]:
    """Return the picture with strings and noise, and the strings."""
    noise, after = rng.choice(NOISES), rng.random() < 0.5
    chance = np.random.default_rng(rng.randrange(1 << 30))
    canvas = picture.astype(np.float32)
    if noise and not after:
        canvas += chance.normal(0, noise * 255, canvas.shape)
    taken, found = np.zeros(picture.shape, bool), []
    for _ in range(4 * count):
        if len(found) == count:
            break
        string = _place(canvas, taken, rng, known, noise)
        if string is not None:
            found.append(string)
    if noise and after:
        canvas += chance.normal(0, noise * 255, canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8), found


def _place(
    canvas: Array, taken: Array, rng: random.Random, known: dict[str, list[Path]], noise: float
) -> String | None:
    text, script = words(rng)
    capitals, degrees = rng.choice(CAPITALS), rng.choice([0.0] * 7 + [90.0, 270.0, 180.0, rng.uniform(-20, 20)])
    font = rng.choice(known[script])
    line = drawing.glyphs(text, capitals, font=font, degrees=degrees)
    room = (canvas.shape[0] - line.shape[0], canvas.shape[1] - line.shape[1])
    if min(room) < 2 or line.max() < 0.5:
        return None
    edges = [(rng.choice((0, 2, 8, side - 8, side)), rng.randrange(side)) for side in room]
    row, column = (
        min(max(edge if rng.random() < 0.5 else free, 0), side) for (edge, free), side in zip(edges, room, strict=True)
    )
    pad, contrast = int(1.5 * capitals), rng.choice(CONTRASTS)
    box = np.s_[row : row + line.shape[0], column : column + line.shape[1]]
    if taken[max(0, row - pad) : row + line.shape[0] + pad, max(0, column - pad) : column + line.shape[1] + pad].any():
        return None
    around = ndimage.uniform_filter(canvas, max(5, capitals))[box][line > 0.5]
    levels = [level for level in (around.max() + contrast * 255, around.min() - contrast * 255) if 0 <= level <= 255]
    if contrast == 1.0:
        levels = [level for level in (255.0, 0.0) if np.abs(level - around).min() >= 76]
    if not levels:
        return None
    taken[box] = True
    glyphs = drawing.burn(canvas, line, row, column, rng.choice(levels))
    return String(script, capitals, degrees, contrast, noise, font.name, glyphs)


def recall(arguments: argparse.Namespace) -> None:
    known, rng = fonts(arguments.fonts), random.Random(arguments.seed)
    totals: Counter[tuple[str, object]] = Counter()
    missed: Counter[tuple[str, object]] = Counter()
    start, images = time.monotonic(), 0
    pictures = list(backgrounds(arguments.data, SETS, arguments.seed))
    for index in range(arguments.images):
        name, background = pictures[index % len(pictures)]
        shown, strings = plant(background, rng, known, arguments.strings)
        images += 1
        found = pixels.find_text(shown, window=(0, 255))
        covered, doubtful = np.zeros(shown.shape, bool), np.zeros(shown.shape, bool)
        for boxes, mask in ((found.boxes, covered), (found.doubtful, doubtful)):
            for box in boxes:
                mask |= box.mask(shown.shape)
        for string in strings:
            left = 1 - covered[string.glyphs].mean()
            keys = _keys(string)
            totals.update(keys)
            if left > 0.1:
                missed.update(keys)
                shown_to_person = bool(doubtful[string.glyphs].any())
                missed.update([("shown to a person", shown_to_person)])
                print(f"missed {left:.2f}", name, [key[1] for key in keys], string.font, shown_to_person, flush=True)
    for key in sorted(totals, key=str):
        share = 1 - missed[key] / totals[key]
        print(f"{key[0]:12} {key[1]!s:10} {totals[key]:5d} strings, {missed[key]:3d} missed, recall {share:.4f}")
    print(f"missed ones in an image in doubt: {missed[('shown to a person', True)]}")
    print(f"{images} images, {(time.monotonic() - start) / max(1, images):.2f} s each")


def _keys(string: String) -> list[tuple[str, object]]:
    turned = "upright" if string.degrees == 0 else "turned" if string.degrees % 90 == 0 else "slanted"
    size = "10-12 px" if string.capitals <= 12 else "over 12 px"
    return [
        ("all", "strings"),
        ("script", string.script),
        ("contrast", string.contrast),
        ("noise", string.noise),
        ("size", size),
        ("direction", turned),
    ]


def clean(arguments: argparse.Namespace) -> None:
    changed = doubtful = images = 0
    start = time.monotonic()
    everything = list(backgrounds(arguments.data, CLEAN_SETS, arguments.seed))
    random.Random(arguments.seed).shuffle(everything)
    for name, picture in everything[: arguments.images]:
        found = pixels.find_text(picture, window=(0, 255))
        images += 1
        changed += bool(found.boxes)
        doubtful += bool(found.doubtful) and not found.boxes
        if found.boxes or found.doubtful:
            print(
                "blanked" if found.boxes else "in doubt",
                name,
                [box.bounds for box in found.boxes or found.doubtful],
                flush=True,
            )
    seconds = (time.monotonic() - start) / max(1, images)
    print(f"{images} clean images: {changed} blanked, {doubtful} more in doubt, {seconds:.2f} s each")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"))
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--strings", type=int, default=5, help="per image")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clean", action="store_true")
    arguments = parser.parse_args()
    (clean if arguments.clean else recall)(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
