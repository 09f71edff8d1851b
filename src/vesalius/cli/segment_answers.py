"""What `vesalius segment` does: parse, call, print."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.methods_answers import calibrated, check_geometry, opened_series, parsed_spacing, settle, show_files
from vesalius.cli.progress import watcher
from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.errors import UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.segment import methods

if TYPE_CHECKING:
    from vesalius.core import Series, Volume
    from vesalius.core.grid import Gridded

SUFFIXES = {".nii.gz": "nifti", ".nii": "nifti", ".nrrd": "nrrd", ".mha": "mha"}
FILE_FORMATS = {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}
TARGETS = (*FILE_FORMATS, "seg", "rtstruct")
_NAMESPACE = uuid.UUID("3f0b8d0e-1d57-5a0c-8a53-5a3f1f1a2a77")


@dataclass(frozen=True)
class Wish:
    """The options of one segmentation as they were typed."""

    source: Path
    out: Path
    method: str
    parameters: dict[str, str] = field(default_factory=dict)
    to: str | None = None
    series: str | None = None
    modality: str | None = None
    geometry: str = "reject"
    spacing_mm: str | None = None
    fill_nan: float | None = None
    force: bool = False


def segmented(session: Session, wish: Wish) -> Answer:
    """Return what `vesalius segment METHOD IN OUT` has to say, after writing OUT."""
    check_geometry(wish.geometry)
    method = methods.get(wish.method)
    target = _target(wish)
    with watcher(quiet=session.flags.quiet) as shown, opened_series(wish.source, wish.series) as series:
        _check_target(target, series)
        shown.stage(wish.source.name, "reading", 0.0)
        image = _image(wish, series, method.takes)
        given = _parameters(wish, image)
        shown.stage(wish.source.name, method.name, 0.2)
        mask = methods.run(image, method.name, **given)
        shown.stage(wish.source.name, "writing", 0.9)
        files = _files(wish, target, mask, series)
    written = settle(files, force=wish.force)
    told = {name: _plain(text) for name, text in wish.parameters.items()}
    segments = _segments(mask)
    warnings = () if any(one["voxels"] for one in segments) else ("nothing was found: every segment is empty",)
    data = {"files": written, "method": method.name, "parameters": told, "segments": segments}
    return Answer(data, lambda console: _show(console, written, segments), warnings)


def _target(wish: Wish) -> str | None:
    """Return the format to write; None when the source decides (a folder without --to)."""
    if wish.to is not None and wish.to not in TARGETS:
        raise registry.unknown("format", wish.to, TARGETS)
    name = wish.out.name.lower()
    named = next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)
    if wish.out.is_dir() or (named is None and "." not in name):
        return wish.to
    if named is None:
        raise UsageError(
            f"{wish.out.name} is not a name that can be written",
            expected="a file in .nii.gz, .nii, .nrrd or .mha, or a folder",
            fix="for a DICOM segmentation give a folder and --to seg",
        )
    if wish.to not in (None, named):
        raise UsageError(f"--to {wish.to} and the name {wish.out.name} disagree", fix="give a folder as OUT")
    return named


def _check_target(target: str | None, series: Series) -> None:
    if target in ("seg", "rtstruct") and series.format != "dicom":
        raise UsageError(
            f"--to {target} refers to DICOM images, and IN is not DICOM",
            found=series.format,
            expected="a DICOM series as IN",
            fix="write .nii.gz, or convert IN first: vesalius convert IN DIR --to dicom --modality CT",
        )


def _image(wish: Wish, series: Series, takes: str) -> Volume | Mask:
    from vesalius.imaging.filtering import replace_not_finite
    from vesalius.pipeline.run import load_series

    spacing = parsed_spacing(wish.spacing_mm)
    if takes == "mask":
        return calibrated(_one_mask(wish.source), spacing)
    volume = calibrated(load_series(series, wish.geometry), spacing)
    if wish.modality is not None:
        volume = replace(volume, modality=wish.modality.upper())
    return volume if wish.fill_nan is None else replace_not_finite(volume, value=wish.fill_nan)


def _one_mask(path: Path, grid: Gridded | None = None) -> Mask:
    """Return the mask of a file; the segments of a DICOM object in one array.

    Raises:
        UsageError: its segments overlap.
    """
    from vesalius.features.masks import read_mask_file

    masks = read_mask_file(path, grid).masks
    first = masks[0]
    array = np.zeros(first.shape, np.uint16 if any(max(m.segments, default=0) > 255 for m in masks) else np.uint8)
    segments: dict[int, Segment] = {}
    for mask in masks:
        if (array[mask.array > 0] > 0).any():
            raise UsageError("segments of the mask overlap", found=path.name, fix="give one segment per file")
        array[mask.array > 0] = mask.array[mask.array > 0]
        segments |= dict(mask.segments)
    return Mask(array, first.affine, first.frame, first.spacing, segments=segments)


def _parameters(wish: Wish, image: Volume | Mask) -> dict[str, Any]:
    method = methods.get(wish.method)
    spacing = parsed_spacing(wish.spacing_mm)

    def read(name: str) -> Mask:
        grid = image if spacing is None else None
        return calibrated(_one_mask(Path(name), grid), spacing)

    return {
        name: methods.parse_value(methods.parameter_of(method, name), text, read)
        for name, text in wish.parameters.items()
    }


def _plain(text: str) -> str:
    """Return a parameter as it is told; a file by the hash of its content, since names may tell who it is."""
    path = Path(text)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else text
    except OSError:
        return text


def _files(wish: Wish, target: str | None, mask: Mask, series: Series) -> dict[Path, Callable[[Path], object]]:
    """Return how each file is written, in order; the last one is the mask itself."""
    from vesalius.io import labels, save
    from vesalius.io.atomic import write_bytes
    from vesalius.io.single import stem_of

    kind = target or ("seg" if series.format == "dicom" else "nifti")
    if kind in ("seg", "rtstruct"):
        data = _dicom_bytes(wish, kind, mask, series)
        return {wish.out / f"{wish.method}_{kind}.dcm": lambda path: write_bytes(path, data)}
    folder = wish.out.is_dir() or "." not in wish.out.name
    out = wish.out / f"{wish.method}{FILE_FORMATS[kind]}" if folder else wish.out
    table = labels.labels_json(mask)
    return {
        out.with_name(f"{stem_of(out)}.labels.json"): lambda path: write_bytes(path, table),
        out: lambda path: save(mask, path),
    }


def _dicom_bytes(wish: Wish, kind: str, mask: Mask, series: Series) -> bytes:
    from vesalius.io import input_hash, source_headers
    from vesalius.io.dicom import compose, rtstruct_write, seg

    told = sorted((name, _plain(text)) for name, text in wish.parameters.items())
    root = uuid.uuid5(_NAMESPACE, f"{input_hash(series)} {series.key} {wish.method} {told}")
    origin = compose.Origin(lambda name: f"2.25.{uuid.uuid5(root, name).int}", f"Vesalius {wish.method}")
    headers = source_headers(series)
    if kind == "seg":
        return compose.to_bytes(seg.from_mask(mask, headers, name=wish.method, origin=origin))
    return rtstruct_write.to_bytes(rtstruct_write.from_masks(mask, headers, name=wish.method, origin=origin))


def _segments(mask: Mask) -> list[dict[str, Any]]:
    known = mask.spacing != "unknown"
    counts = np.bincount(mask.array.reshape(-1), minlength=max(mask.segments, default=0) + 1)
    return [
        {
            "label": label,
            "name": segment.name,
            "voxels": int(counts[label]),
            "volume_ml": float(counts[label] * mask.voxel_volume_mm3 / 1000) if known else None,
        }
        for label, segment in mask.segments.items()
    ]


def _show(console: Console, files: list[str], segments: Sequence[dict[str, Any]]) -> None:
    table = Table("label", "segment", "voxels", "mL", box=None, pad_edge=False)
    for one in segments[:40]:
        volume = "" if one["volume_ml"] is None else f"{one['volume_ml']:.4g}"
        table.add_row(str(one["label"]), Text(one["name"]), str(one["voxels"]), volume)
    console.print(table)
    if len(segments) > 40:
        console.print(Text(f"... {len(segments)} segments in all"))
    show_files(console, files)
