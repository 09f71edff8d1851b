"""What is known of a case beside its anatomy: size, mode, encoding, order, source, marks in the corners, border.

A fact counts only when the anatomy cannot make it: bytes per pixel, for one, follow the content and are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Frame, Volume
from vesalius.core.cohort import Cohort
from vesalius.core.errors import VesaliusError
from vesalius.evaluate.duplicates import F32, thumbnail
from vesalius.io.cohort import load_case

Facts = Mapping[str, Mapping[str, float | str]]
"""mechanism -> fact -> value; NaN or "" where it is not known."""

SCANNER = re.compile(
    r"scanner|manufactur|vendor|device|machine|protocol|station|institut|hospital|cent(er|re)|coil|tesla|field_?strength"
    r"|kvp|kernel|software|operator|batch|(^|_)model|(^|_)(date|year)($|_)",
    re.IGNORECASE,
)
"""Names of clinical columns that tell where, when or with what an image was made."""

HEADERS = {
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "InstitutionName": "institution",
    "StationName": "station",
    "MagneticFieldStrength": "field strength",
    "KVP": "kvp",
    "ConvolutionKernel": "kernel",
    "SliceThickness": "slice thickness",
}
"""DICOM keyword -> fact of the mechanism `scanner`."""

CORNER_SHARE, LEAST_CORNER, MOST_CORNER = 0.15, 6, 96
STEEP = 0.3
"""A step between neighbouring pixels of this share of the image's range is an edge of writing, not of tissue."""
LEAST_MARKS = 0.01
EVEN = 0.02
"""Rows whose values differ by no more than this share of the image's range are border."""
MOST_VALUES = 64
"""Values of a mask that are told one by one."""


@dataclass(frozen=True)
class MaskFacts:
    """What a mask holds.

    Args:
        problem: why it cannot be used; "" when it can.
        values: its values above zero (colours as one number each), at most MOST_VALUES.
        fits: it has the rows, columns and slices of the image.
    """

    problem: str = ""
    values: tuple[int, ...] = ()
    fits: bool = True
    size: str = ""


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """What one case tells.

    Args:
        problem: why the image cannot be read; then the rest is empty.
        small: thumbnail for the comparison of images.
        pixels: SHA-256 of shape and pixel values.
        geometry: size, spacing, orientation, modality as text.
    """

    row: int
    problem: str = ""
    facts: Facts = field(default_factory=dict)
    small: F32 | None = None
    pixels: str = ""
    geometry: Mapping[str, str] = field(default_factory=dict)
    mask: MaskFacts | None = None


def of_case(cohort: Cohort, row: int) -> CaseFacts:
    """Return the facts of one case; a file that cannot be read is a fact too."""
    try:
        volume = load_case(cohort, row)
        path, item = cohort.file(row)
        stored = _stored(path, volume) if item is None else _from_array(volume)
    except VesaliusError as error:
        return CaseFacts(row, problem=str(error))
    except (OSError, ValueError, ArithmeticError) as error:
        return CaseFacts(row, problem=type(error).__name__)
    plane = middle(volume)
    facts = {"size": _size(volume), **stored, "geometry": _geometry(volume), "corner": _corners(plane),
             "border": _border(plane)}  # fmt: skip
    facts["order"] = {"number in the name": number_of(str(cohort.text("path")[row]))[1]}
    mask = _mask(cohort, row, volume) if cohort.text("mask")[row] else None
    digest = hashlib.sha256(f"{volume.array.dtype.kind}{volume.array.shape}".encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return CaseFacts(row, "", facts, thumbnail(plane), digest.hexdigest(), _told(volume), mask)


def of_columns(cohort: Cohort) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Return the facts that the table tells: site, scanner, source, and which clinical values are missing."""
    found: dict[str, dict[str, NDArray[np.generic]]] = {"site": {}, "scanner": {}, "source": {}, "missing": {}}
    for name, mechanism in (("site", "site"), ("licence", "source"), ("basis", "source")):
        if cohort.has(name):
            found[mechanism][name] = cohort.text(name)
    for name in cohort.clinical:
        if SCANNER.search(name):
            found["scanner"][name] = cohort.columns[name]
        found["missing"][name] = (cohort.text(name) == "").astype(np.float64)
    return {mechanism: facts for mechanism, facts in found.items() if facts}


def number_of(path: str) -> tuple[str, float]:
    """Return a file's series of names and its number: "a/case (7).png" is ("a/case ().png", 7), NaN without one."""
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.partition(".") if "#" not in name else (name, "", "")
    digits = list(re.finditer(r"\d+", stem))
    if not digits:
        return path, float("nan")
    last = digits[-1]
    return f"{folder}/{stem[: last.start()]}{stem[last.end() :]}{dot}{suffix}", float(last[0][:15])


def middle(volume: Volume) -> NDArray[np.float64]:
    """Return the middle slice as one grey picture [row, column]."""
    plane = volume.array[volume.shape[0] // 2].astype(np.float64)
    plane = plane.mean(axis=-1) if plane.ndim == 3 else plane
    grey: NDArray[np.float64] = np.nan_to_num(plane)
    return grey


def _size(volume: Volume) -> dict[str, float | str]:
    slices, rows, columns = volume.shape
    return {"size": f"{rows} x {columns}", "rows": float(rows), "columns": float(columns), "slices": float(slices),
            "columns per row": round(columns / rows, 3)}  # fmt: skip


def _told(volume: Volume) -> dict[str, str]:
    known = volume.frame is not Frame.IMAGE
    spacing = " x ".join(f"{s:.3g}" for s in volume.spacing_mm) if _has_spacing(volume) else ""
    return {"size": " x ".join(map(str, volume.shape)), "spacing": spacing,
            "orientation": volume.orientation if known else "", "modality": volume.modality}  # fmt: skip


def _has_spacing(volume: Volume) -> bool:
    return str(volume.spacing) != "unknown"


def _geometry(volume: Volume) -> dict[str, float | str]:
    spacing = volume.spacing_mm if _has_spacing(volume) else (float("nan"),) * 3
    names = ("spacing of slices", "spacing of rows", "spacing of columns")
    facts: dict[str, float | str] = {n: round(float(s), 4) for n, s in zip(names, spacing, strict=True)}
    told = _told(volume)
    return {**facts, "orientation": told["orientation"], "modality": told["modality"]}


def _from_array(volume: Volume) -> dict[str, dict[str, float | str]]:
    return {"mode": _values(volume)}


def _values(volume: Volume) -> dict[str, float | str]:
    array = volume.array
    colour = array.ndim == 4 and array.shape[-1] == 3
    same = colour and bool((array[..., 0] == array[..., 1]).all() and (array[..., 0] == array[..., 2]).all())
    return {"type": str(array.dtype), "grey stored as colour": float(same), "negative values": float(array.min() < 0),
            "values above 255": float(array.max() > 255)}  # fmt: skip


def _stored(path: Path, volume: Volume) -> dict[str, dict[str, float | str]]:
    """Return how a file stores its image: mode, encoding, scanner."""
    mode, encoding = _values(volume), dict[str, float | str](suffix="".join(path.suffixes[-2:]) or path.name)
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        more, how = _picture(path)
        if "quantisation" not in how:
            how["blocks of 8 pixels"] = _blocks(middle(volume))
        return {"mode": {**mode, **more}, "encoding": {**encoding, **how, "suffix": path.suffix}}
    if path.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".hdr", ".nhdr")):
        return {"mode": mode, "encoding": encoding}
    return {"mode": mode, "encoding": {"suffix": path.suffix}, "scanner": _header(path)}


def _picture(path: Path) -> tuple[dict[str, float | str], dict[str, float | str]]:
    from PIL import Image

    with Image.open(path) as image:
        bands = image.getbands()
        mode: dict[str, float | str] = {
            "mode": image.mode, "channels": float(len(bands)), "palette": float("P" in bands),
            "alpha": float("A" in bands or "transparency" in image.info),
        }  # fmt: skip
        how: dict[str, float | str] = {
            "exif": float("exif" in image.info),
            "dots per inch": _dots(image),
            "software": str(image.info.get("Software", ""))[:40],
        }
        tables = getattr(image, "quantization", None)
        if tables:
            how["quantisation"] = float(np.mean([np.mean(list(table)) for table in tables.values()]))
            how["progressive"] = float(bool(image.info.get("progressive")))
    return mode, how


def _dots(image: Any) -> float:
    told = image.info.get("dpi", (float("nan"),))
    return round(float(told[0]), 1) if isinstance(told, tuple) and told else float("nan")


def _blocks(plane: NDArray[np.float64]) -> float:
    """Return how much larger steps are at every 8th pixel than elsewhere, in quarter octaves: the trace of a JPEG."""
    steps = np.abs(np.diff(plane, axis=1)).mean(axis=0)
    if len(steps) < 24:
        return 0.0
    at = np.arange(len(steps)) % 8 == 7
    # medians over the columns: writing on a few of them leaves no trace
    inside, edge = float(np.median(steps[~at])), float(np.median(steps[at]))
    return round(4 * float(np.log2(edge / inside))) / 4 if inside > 0 and edge > 0 else 0.0


def _header(path: Path) -> dict[str, float | str]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(HEADERS))
    except (InvalidDicomError, OSError, IsADirectoryError):
        return {}
    return {name: str(data.get(keyword, "") or "") for keyword, name in HEADERS.items()}


def _corners(plane: NDArray[np.float64]) -> dict[str, float | str]:
    """Return the share of each corner that is steep edges, or as bright as the image gets: writing and markers."""
    low, high = float(plane.min()), float(plane.max())
    plane = _inside(plane, low, high)
    side = int(np.clip(round(CORNER_SHARE * min(plane.shape)), LEAST_CORNER, MOST_CORNER))
    if high <= low or min(plane.shape) < 2 * LEAST_CORNER:
        return {}
    facts: dict[str, float | str] = {}
    for name, part in (("top left", plane[:side, :side]), ("top right", plane[:side, -side:]),
                       ("bottom left", plane[-side:, :side]), ("bottom right", plane[-side:, -side:])):  # fmt: skip
        steep = np.zeros(part.shape, dtype=bool)
        steep[:, 1:] |= np.abs(np.diff(part, axis=1)) > STEEP * (high - low)
        steep[1:] |= np.abs(np.diff(part, axis=0)) > STEEP * (high - low)
        facts[f"edges {name}"] = _marked(float(steep.mean()))
        facts[f"bright {name}"] = _marked(float((part >= high - EVEN * (high - low)).mean()))
    return facts


def _inside(plane: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return an image without its even border, whose edge is no writing."""
    if high <= low:
        return plane
    scaled = (plane - low) / (high - low)
    top, bottom, left, right = (_even_rows(s) for s in (scaled, scaled[::-1], scaled.T, scaled.T[::-1]))
    rest = plane[top : len(plane) - bottom, left : plane.shape[1] - right]
    return rest if min(rest.shape) >= 2 * LEAST_CORNER else plane


def _marked(share: float) -> float:
    return 0.0 if share < LEAST_MARKS else round(share, 2)


def _border(plane: NDArray[np.float64]) -> dict[str, float | str]:
    """Return the width of an even border on each side as a share of the image, and how bright it is."""
    low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return {"flat": 1.0}
    scaled = (plane - low) / (high - low)
    sides = {"top": scaled, "bottom": scaled[::-1], "left": scaled.T, "right": scaled.T[::-1]}
    widths = {name: _even_rows(side) / len(side) for name, side in sides.items()}
    colours = [float(side[0].mean()) for name, side in sides.items() if widths[name] > 0]
    facts: dict[str, float | str] = {f"border {name}": round(width, 3) for name, width in widths.items()}
    return {**facts, "border brightness": round(float(np.mean(colours)), 2) if colours else float("nan"), "flat": 0.0}


def _even_rows(rows: NDArray[np.float64]) -> int:
    even = (rows.max(axis=1) - rows.min(axis=1) <= EVEN) & (np.abs(rows.mean(axis=1) - rows[0].mean()) <= EVEN)
    return int(np.argmin(even)) if not even.all() else len(rows)


def _mask(cohort: Cohort, row: int, image: Volume) -> MaskFacts:
    try:
        mask = load_case(cohort, row, "mask")
    except VesaliusError as error:
        return MaskFacts(problem=str(error))
    except (OSError, ValueError) as error:
        return MaskFacts(problem=type(error).__name__)
    array = mask.array
    if array.ndim == 4:
        wide = array[..., :3].astype(np.int64)
        array = (wide[..., 0] << 32) + (wide[..., 1] << 16) + wide[..., 2]
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        return MaskFacts(problem="its values are no whole numbers", fits=mask.shape == image.shape)
    found = np.unique(array)
    values = tuple(int(v) for v in found[found != 0][:MOST_VALUES])
    return MaskFacts("", values, mask.shape == image.shape, " x ".join(map(str, mask.shape)))
