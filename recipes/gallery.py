"""Before and after: the pictures of docs/explanation/gallery.md, made by the tools that they show.

    python recipes/gallery.py [DATA] [OUT] [--only NAME]

DATA is the folder of openly licensed test sets (default: $VESALIUS_TEST_DATA), OUT the folder of the pictures (default:
docs/images/gallery). A set that is not there, and a method that is not installed, leaves its picture out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vesalius import io
from vesalius.core import Mask, Volume
from vesalius.core.errors import UnknownNameError
from vesalius.imaging import methods as enhancing
from vesalius.imaging import spatial
from vesalius.segment import methods as segmenting

Picture = NDArray[np.uint8]
Panel = tuple[str, Picture]
ROOT = Path(__file__).resolve().parents[1]
HEIGHT, GAP, BAR = 230, 6, 22
QUALITY = 80


def load(path: Path) -> Volume:
    """Return the one image of a file or folder, axial, patient left on the right."""
    with io.scan(path) as found:
        volume = io.load(found.studies[0].series[0])
    return volume.reorient("SPL") if volume.frame == "patient" else volume


def slab(volume: Volume, index: int, thick: int = 1) -> Volume:
    """Return some slices."""
    return volume.crop((index, 0, 0), (index + thick, *volume.shape[1:]))


def grey(volume: Volume, low: float | None = None, high: float | None = None, index: int = 0) -> Picture:
    """Return a slice as a picture with square pixels, values from low to high."""
    plane = volume.array[index].astype(np.float64)
    if plane.ndim == 3:
        return fitted(np.clip(plane[..., :3], 0, 255).astype(np.uint8), volume)
    low = float(np.nanpercentile(plane, 0.5)) if low is None else low
    high = float(np.nanpercentile(plane, 99.7)) if high is None else high
    shade = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255
    return fitted(np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2), volume)


def fitted(plane: Picture, volume: Volume, how: Any = Image.Resampling.LANCZOS) -> Picture:
    """Return a picture of the gallery's height with the volume's aspect."""
    rows, columns = plane.shape[:2]
    steps = np.linalg.norm(volume.affine[:3, :3], axis=0)
    width = max(1, round(HEIGHT * columns * steps[2] / (rows * steps[1])))
    return np.asarray(Image.fromarray(plane).resize((width, HEIGHT), how))


def over(picture: Picture, mask: Mask, index: int = 0, *, fill: float = 0.3) -> Picture:
    """Return a picture with the segments of a mask outlined in their colours."""
    labels = fitted(mask.array[index].astype(np.uint16).astype(np.int32), mask, Image.Resampling.NEAREST)
    result = picture.astype(np.float64)
    for label, segment in mask.segments.items():
        inside = labels == label
        if not inside.any():
            continue
        inner = inside.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                inner &= np.roll(inside, step, axis)
        colour = np.array(segment.colour, float)
        result[inner] = (1 - fill) * result[inner] + fill * colour
        result[inside & ~inner] = colour
    return result.astype(np.uint8)


def row(panels: Sequence[Panel]) -> Image.Image:
    """Return panels side by side, each under its caption."""
    width = sum(picture.shape[1] for _, picture in panels) + GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, HEIGHT + BAR), "white")
    draw, font, left = ImageDraw.Draw(sheet), ImageFont.load_default(13), 0
    for caption, picture in panels:
        sheet.paste(Image.fromarray(picture), (left, BAR))
        draw.text((left + 2, 3), caption, fill="black", font=font)
        left += picture.shape[1] + GAP
    return sheet


def enhanced(volume: Volume, name: str, **parameters: Any) -> Volume:
    """Return an image after a method of `vesalius enhance`."""
    return enhancing.run(volume, name, **parameters)


def segmented(image: Volume | Mask, name: str, **parameters: Any) -> Mask:
    """Return the mask of a method of `vesalius segment`."""
    return segmenting.run(image, name, **parameters)


def head(data: Path, thick: int = 1) -> Volume:
    """Return slices of a T1-weighted head above the eyes, as float32."""
    volume = load(data / "niivue_images" / "chris_t1.nii.gz")
    part = slab(volume, 118, thick)
    part = part.crop((0, 14, 8), (thick, 238, 180))
    return replace(part, array=part.array.astype(np.float32), modality="MR")


def chest(data: Path) -> Volume:
    """Return slices of a chest CT around a nodule, in HU."""
    return load(data / "lidc_0001_ct")


def picture_of(folder: Path, number: int = 0) -> Volume:
    """Return one picture of a folder, by its place in alphabetical order."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    return load(paths[number])


def one_channel(volume: Volume) -> Volume:
    """Return the first colour channel of a grey picture stored as colour."""
    return volume if volume.axis is None else replace(volume, array=volume.array[..., 0], axis=None)


def noise(data: Path) -> list[Panel]:
    """Noise filters on magnitude MR with added Rician noise."""
    clean = head(data, 5)
    random = np.random.default_rng(0)
    real, imaginary = (random.normal(0, 14, clean.shape) for _ in range(2))
    noisy = replace(clean, array=np.hypot(clean.array + real, imaginary).astype(np.float32))
    shown = lambda volume: grey(volume, 0, 220, 2)  # noqa: E731 - one line for six panels
    return [
        ("noise added", shown(noisy)),
        ("median", shown(enhanced(noisy, "median", width_mm=3))),
        ("non-local-means", shown(enhanced(noisy, "non-local-means", search_mm=7))),
        ("total-variation", shown(enhanced(noisy, "total-variation", weight=18))),
        ("wavelet", shown(enhanced(noisy, "wavelet"))),
        ("before the noise", shown(clean)),
    ]


def frequencies(data: Path) -> list[Panel]:
    """Low, high and band pass."""
    volume = head(data)
    return [
        ("before", grey(volume, 0, 220)),
        ("low-pass, 8 mm", grey(enhanced(volume, "low-pass", cutoff_mm=8), 0, 220)),
        ("high-pass, 8 mm", grey(enhanced(volume, "high-pass", cutoff_mm=8))),
        ("band-pass, 4 to 16 mm", grey(enhanced(volume, "band-pass", shortest_mm=4, longest_mm=16))),
    ]


def bias(data: Path) -> list[Panel]:
    """N4 on a head with an added shade."""
    volume = load(data / "niivue_images" / "chris_t1.nii.gz")
    volume = replace(volume, array=volume.array.astype(np.float32), modality="MR")
    slope = np.linspace(0.45, 1.5, volume.shape[2], dtype=np.float32)
    shaded = replace(volume, array=volume.array * slope)
    even = enhanced(shaded, "remove-bias")
    shown = [slab(one, 118).crop((0, 14, 8), (1, 238, 180)) for one in (shaded, even)]
    return [("shade added", grey(shown[0])), ("remove-bias", grey(shown[1]))]


def windows(data: Path) -> list[Panel]:
    """CT windows by name."""
    volume = slab(chest(data), 4)
    return [
        (f"window {name}", grey(enhanced(volume, "window", preset=name), 0, 255))
        for name in ("lung", "mediastinum", "bone")
    ]


def radiograph(data: Path) -> list[Panel]:
    """Radiograph clean-up and local contrast."""
    volume = picture_of(data / "cxr_covid_hannover" / "png", 13)
    volume = replace(one_channel(volume), modality="DX")
    clean = enhanced(volume, "radiograph-markers")
    return [
        ("before", grey(volume, 0, 255)),
        ("radiograph-markers", grey(clean, 0, 255)),
        ("clahe", grey(enhanced(clean, "clahe"))),
    ]


def speckle(data: Path) -> list[Panel]:
    """Despeckling of ultrasound."""
    volume = one_channel(picture_of(data / "busi_masks" / "images", 9))
    volume = replace(volume.calibrated((1.0, 0.08, 0.08)), modality="US")
    return [
        ("before", grey(volume, 0, 220)),
        ("speckle-diffusion", grey(enhanced(volume, "speckle-diffusion", sigma_mm=0.5), 0, 220)),
        ("lee", grey(enhanced(volume, "lee", width_mm=0.9), 0, 220)),
    ]


def fundus(data: Path) -> list[Panel]:
    """Fundus clean-up."""
    volume = small(picture_of(data / "idrid_exudates" / "images", 1), 4)
    cropped = enhanced(volume, "fundus-crop")
    return [
        ("before", grey(volume)),
        ("fundus-crop", grey(cropped)),
        ("fundus-illumination", grey(enhanced(cropped, "fundus-illumination"))),
    ]


def small(volume: Volume, factor: int) -> Volume:
    """Return a picture with every n-th pixel, averaged."""
    _, rows, columns, *_ = volume.array.shape
    part = volume.array[:, : rows // factor * factor, : columns // factor * factor]
    blocks = part.reshape(1, rows // factor, factor, columns // factor, factor, -1).mean(axis=(2, 4))
    array = blocks.astype(np.uint8)
    return replace(volume, array=array if volume.axis is not None else array[..., 0])


def classes(data: Path) -> list[Panel]:
    """Thresholds and clusters inside the head."""
    volume = head(data, 3)
    before = grey(volume, 0, 220, 1)
    body = segmented(segmented(volume, "otsu"), "largest")
    return [
        ("before", before),
        ("otsu", over(before, body, 1)),
        ("multi-otsu", over(before, segmented(volume, "multi-otsu", within=body), 1)),
        ("k-means", over(before, segmented(volume, "k-means", within=body), 1)),
        ("gaussian-mixture", over(before, segmented(volume, "gaussian-mixture", within=body), 1)),
    ]


def pieces(data: Path) -> list[Panel]:
    """Supervoxels and watershed."""
    volume = slab(chest(data), 4)
    volume = enhanced(volume, "window", preset="mediastinum")
    before = grey(volume, 0, 255)
    return [
        ("before", before),
        ("supervoxels", over(before, segmented(volume, "supervoxels", count=250), fill=0.0)),
        ("merged-supervoxels", over(before, segmented(volume, "merged-supervoxels", regions=6, count=400))),
        ("watershed", over(before, segmented(volume, "watershed", sigma_mm=1.5, depth=0.12))),
    ]


def organ(data: Path) -> list[Panel]:
    """A liver from the same two kinds of seeds, in 3-D."""
    from vesalius.segment.inputs import Seeds

    volume = load(data / "totalseg_ct" / "example_ct.nii.gz")
    truth = load(data / "totalseg_ct" / "example_seg_fast_force_split.nii.gz").array == 5
    index = min(int(truth.sum(axis=(1, 2)).argmax()), len(truth) - 9)
    where = np.argwhere(truth)
    middle = where[(where[:, 0] == index)].mean(axis=0)
    start = (index - 8, 0, 0)
    volume = volume.crop(start, (index + 9, *volume.shape[1:]))
    inside = Seeds([[8, middle[1] + y, middle[2] + x] for y, x in ((0, 0), (-8, 0), (6, -4))], "index", radius_mm=6)
    # Spleen, spine, muscles of the back, stomach, colon, gas, kidney, aorta, wall, air.
    places = (
        (67, 102),
        (64, 64),
        (84, 45),
        (85, 78),
        (37, 81),
        (40, 100),
        (23, 90),
        (65, 82),
        (53, 68),
        (21, 33),
        (8, 20),
    )
    outside = Seeds([[8, y, x] for y, x in places], "index", radius_mm=5)
    before = grey(volume, -100, 220, 8)
    both = {"foreground": inside, "background": outside}
    return [
        ("before", before),
        ("connected", over(before, segmented(volume, "connected", seeds=inside, tolerance=45), 8)),
        ("random-walker", over(before, segmented(volume, "random-walker", **both), 8)),
        ("graph-cut", over(before, segmented(volume, "graph-cut", **both), 8)),
        ("grow-cut", over(before, segmented(volume, "grow-cut", **both), 8)),
    ]


def lesion(data: Path) -> list[Panel]:
    """A breast lesion in ultrasound from a box, and what an expert drew."""
    folder = data / "busi_masks"
    volume = one_channel(picture_of(folder / "images", 0)).calibrated((1.0, 0.1, 0.1))
    drawn = picture_of(folder / "masks", 0)
    inside = drawn.array.max(axis=-1) > 127
    where = np.argwhere(inside)
    margin = np.array([0, 14, 14])
    low, high = where.min(axis=0) - margin, where.max(axis=0) + margin
    from vesalius.segment.inputs import REGION, Seeds

    box = Seeds(np.stack([np.maximum(low, 0), np.minimum(high, np.array(inside.shape) - 1)]), "index")
    found = segmented(volume, "interactive", box=box)
    truth = Mask(inside.astype(np.uint8), volume.affine, volume.frame, volume.spacing, segments={1: REGION})
    before = grey(volume, 0, 220)
    return [
        ("before", before),
        ("interactive, from a box", over(before, found, fill=0.15)),
        ("drawn by hand", over(before, truth, fill=0.15)),
    ]


def cleaning(data: Path) -> list[Panel]:
    """Clean-up of a threshold."""
    volume = head(data, 5)
    before = grey(volume, 0, 220, 2)
    rough = segmented(volume, "otsu")
    steps = [rough, segmented(rough, "largest"), segmented(rough, "close", radius_mm=4)]
    names = ("otsu", "largest", "close, 4 mm")
    return [("before", before), *((n, over(before, m, 2)) for n, m in zip(names, steps, strict=True))]


def lungs(data: Path) -> list[Panel]:
    """Lungs and airways on CT."""
    volume = chest(data)
    before = grey(volume, -1350, 150, 4)
    return [("before", before), ("lungs", over(before, segmented(volume, "lungs"), 4))]


def skull(data: Path) -> list[Panel]:
    """Skull and intracranial space on a picture of a head CT."""
    volume = one_channel(picture_of(data / "bhsd_hemorrhage" / "images", 4))
    before = grey(volume)
    return [("before", before), ("intracranial", over(before, segmented(volume, "intracranial")))]


def breast(data: Path) -> list[Panel]:
    """Breast and pectoral muscle; the set's pictures are upside down."""
    volume = one_channel(picture_of(data / "cdd_cesm_mammo" / "images", 9)).flip(1)
    volume = replace(volume, modality="MG")
    before = grey(volume)
    return [("before", before), ("breast", over(before, segmented(volume, "breast")))]


def sector(data: Path) -> list[Panel]:
    """Ultrasound sector without calipers and text."""
    panels: list[Panel] = []
    for number in (4, 8):
        volume = replace(picture_of(data / "busbra_masks" / "images", number), modality="US")
        before = grey(volume)
        panels += [("before", before), ("ultrasound-sector", over(before, segmented(volume, "ultrasound-sector")))]
    return panels


def responses(data: Path) -> list[Panel]:
    """Filter responses of IBSI's chapter 2."""
    from vesalius.features.radiomics import GaborFilter, LaplacianOfGaussianFilter, LawsFilter, filter_response

    volume = load(data / "ibsi_sts_petctmr" / "STS_005" / "MR_T1_image.nii.gz")
    truth = load(data / "ibsi_sts_petctmr" / "STS_005" / "MR_T1_mask.nii.gz").array > 0
    index = int(truth.sum(axis=(1, 2)).argmax())
    mask = Mask(truth.astype(np.uint8), volume.affine, segments={1: _named("sarcoma")})
    middle = volume.index_to_world([index, 0, 0])
    volume, mask = (spatial.resample(image, spacing_mm=(2.0, 2.0, 2.0)) for image in (volume, mask))
    index = round(float(volume.world_to_index(middle)[0]))
    low, high = (index - 12, 0, 0), (index + 13, *volume.shape[1:])
    volume, mask = volume.crop(low, high), mask.crop(low, high)
    filters = {
        "LoG, 3 mm": LaplacianOfGaussianFilter(3.0),
        "Laws L5E5S5, energy": LawsFilter("L5E5S5", rotation_invariant=True, energy_distance=3),
        "Gabor, 12 mm": GaborFilter(6.0, 12.0, theta_step_rad=np.pi / 4),
    }
    maps = [(name, grey(filter_response(volume, how), None, None, 12)) for name, how in filters.items()]
    return [("sarcoma, T1", over(grey(volume, None, None, 12), mask, 12, fill=0.0)), *maps]


def _named(name: str) -> Any:
    from vesalius.core import Code, Segment

    return Segment(name, Code(name, "99VESALIUS", name), (230, 159, 0))


def diameters(data: Path) -> list[Panel]:
    """The longest and the short axis after RECIST 1.1, and two masks compared."""
    from vesalius.evaluate import metrics
    from vesalius.features.spatial import lesion_table

    volume = load(data / "ibsi_sts_petctmr" / "STS_005" / "MR_T1_image.nii.gz")
    given = load(data / "ibsi_sts_petctmr" / "STS_005" / "MR_T1_mask.nii.gz").array > 0
    truth = Mask(given.astype(np.uint8), volume.affine, segments={1: _named("sarcoma")})
    found = lesion_table(truth).lesions[0]
    sizes = found.diameters
    picture = over(grey(volume, None, None, sizes.slice), truth, sizes.slice, fill=0.1)
    sheet = Image.fromarray(picture)
    ends = [volume.world_to_index(end)[1:] for end in sizes.ends_mm]
    scale = np.array([picture.shape[0] / volume.shape[1], picture.shape[1] / volume.shape[2]])
    (y0, x0), (y1, x1) = ((end + 0.5) * scale for end in ends)
    ImageDraw.Draw(sheet).line([(x0, y0), (x1, y1)], fill=(86, 180, 233), width=2)
    told = f"longest {sizes.longest_mm:.0f}, short {sizes.short_axis_mm:.0f} mm"
    rough = segmented(truth, "erode", radius_mm=7)
    other = over(over(grey(volume, None, None, sizes.slice), truth, sizes.slice, fill=0.0), _blue(rough), sizes.slice,
                 fill=0.0)  # fmt: skip
    score = f"Dice {metrics.dice(rough, truth):.2f}, HD95 {metrics.hd95(rough, truth):.0f} mm"
    return [(told, np.asarray(sheet)), (score, other)]


def _blue(mask: Mask) -> Mask:
    return replace(mask, segments={label: replace(s, colour=(86, 180, 233)) for label, s in mask.segments.items()})


def vessels(data: Path) -> list[Panel]:
    """Centrelines coloured by calibre."""
    from vesalius.features.spatial import vessel_tree

    volume = small(picture_of(data / "idrid_exudates" / "images", 1), 4)
    mask = segmented(volume, "retina")
    name = next(s.name for s in mask.segments.values() if "vessel" in s.name.lower())
    tree = vessel_tree(mask.calibrated((1.0, 1.0, 1.0)), name)
    before = grey(volume)
    sheet = Image.fromarray((before * 0.5).astype(np.uint8))
    draw = ImageDraw.Draw(sheet)
    scale = HEIGHT / volume.shape[1]
    for branch in tree.branches:
        index = mask.calibrated((1.0, 1.0, 1.0)).world_to_index(branch.path_mm)
        wide = min(branch.diameter_mm / 8, 1.0)
        colour = (int(255 * wide), int(160 + 60 * (1 - wide)), int(255 * (1 - wide)))
        draw.line([(float(x) * scale, float(y) * scale) for _, y, x in index], fill=colour, width=1)
    only = replace(mask, array=np.where(mask.array == mask.label_of(name), mask.array, 0))
    return [("before", before), ("retina: vessels", over(before, only)), ("calibre, thin to wide", np.asarray(sheet))]


SHOTS: dict[str, Callable[[Path], list[Panel]]] = {
    "noise": noise,
    "frequencies": frequencies,
    "bias": bias,
    "windows": windows,
    "radiograph": radiograph,
    "speckle": speckle,
    "fundus": fundus,
    "classes": classes,
    "pieces": pieces,
    "organ": organ,
    "lesion": lesion,
    "cleaning": cleaning,
    "lungs": lungs,
    "skull": skull,
    "breast": breast,
    "sector": sector,
    "responses": responses,
    "diameters": diameters,
    "vessels": vessels,
}


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = ROOT.parent / "shared" / "data"
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("VESALIUS_TEST_DATA", beside)))
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "docs" / "images" / "gallery")
    parser.add_argument("--only", choices=sorted(SHOTS), action="append")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for name in given.only or SHOTS:
        try:
            panels = SHOTS[name](given.data)
        except (UnknownNameError, FileNotFoundError) as error:
            print(f"{name}: left out ({error})")
            continue
        path = given.out / f"{name}.jpg"
        row(panels).save(path, quality=QUALITY, optimize=True)
        total += path.stat().st_size
        print(f"{path.name}: {path.stat().st_size // 1024} KiB")
    print(f"{total / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
