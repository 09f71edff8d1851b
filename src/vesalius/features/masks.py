"""Masks to measure with, from any file that holds one, on the grid of the image they were drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vesalius.core.axis import AxisKind
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, ReadError, UsageError
from vesalius.core.grid import Gridded
from vesalius.core.mask import Mask, Segment, present_labels
from vesalius.core.volume import Volume

if TYPE_CHECKING:
    from vesalius.core.study import Series

__all__ = ["MaskFile", "chosen", "on_grid", "plain_segment", "read_mask_file"]

HIGHEST_LABEL = 65_535
MOST_COLOURS = 64
"""Values of a picture that is a mask; JPEG and scaling blur the edges of colours into many more."""
MOST_LABELS = 500
"""Labels of a volume that is a mask, its segments unnamed; atlases of the brain have up to about 300."""
_ON_LATTICE = 0.01
"""Voxels by which a grid may miss the voxel centres of another and still be a part of it."""
_COLOURS = ((230, 60, 60), (60, 160, 230), (90, 190, 90), (240, 190, 60), (170, 100, 210), (60, 200, 200))
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True, eq=False)
class MaskFile:
    """What a file holds: one mask, or one per region where regions may overlap.

    Args:
        notes: what should be known about it, such as slices without an outline.
    """

    masks: tuple[Mask, ...]
    notes: tuple[str, ...] = ()


def read_mask_file(
    path: Path | str,
    grid: Gridded | None = None,
    *,
    series: Series | None = None,
    threshold: float | None = None,
    fit: bool = False,
) -> MaskFile:
    """Return the masks of a file: NIfTI, NRRD, MetaImage, picture, DICOM SEG or RT structure set.

    Segments are named after `<stem>.labels.json` beside the file, else after their numbers. A folder must hold one
    DICOM segmentation or structure set.

    Args:
        grid: the image that the masks belong to; needed for a structure set. A mask on a part of its grid is placed.
        series: descriptor of that image, whose frame of reference a structure set is checked against.
        threshold: 0..1, from which a fractional DICOM segmentation counts as inside.
        fit: resample a mask that lies on another grid; without it that is an error.

    Raises:
        GeometryError: another grid than the image, and `fit` not asked for; or the mask reaches beyond the image.
        ImageContentError: the voxels are no labels.
        UsageError: no such file, a structure set without an image, a folder with several objects.
        ReadError: the file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError("there is no such file or folder", found=str(path), expected="a mask")
    if path.is_dir():
        path = _only_object(path)
    found = _by_kind(path, grid, series, threshold)
    if grid is None:
        return found
    return replace(found, masks=tuple(on_grid(mask, grid, fit=fit) for mask in found.masks))


def _by_kind(path: Path, grid: Gridded | None, series: Series | None, threshold: float | None) -> MaskFile:
    kind = _sop_class(path)
    if kind == _STRUCTURES:
        return _structures(path, grid, series)
    if kind == _SEGMENTATION:
        from vesalius.io.dicom import seg

        return MaskFile(seg.read_apart(path, threshold=threshold))
    return MaskFile((_labels(path),))


def _sop_class(path: Path) -> str:
    """Return the SOP class in the file's meta information, "" for a file that is no DICOM."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return ""
    try:
        return str(pydicom.filereader.read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except (InvalidDicomError, ValueError, OSError) as error:
        raise ReadError("the file cannot be read as DICOM", found=path.name) from error


def _only_object(folder: Path) -> Path:
    known = (_SEGMENTATION, _STRUCTURES)
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and _sop_class(path) in known]
    if len(names) != 1:
        raise UsageError(
            f"a folder as MASK holds one segmentation or structure set, this one {len(names)}",
            found=", ".join(path.name for path in names[:6]) or str(folder),
            expected="one DICOM SEG or RTSTRUCT",
            fix="give the file itself",
        )
    return names[0]


def _structures(path: Path, grid: Gridded | None, series: Series | None) -> MaskFile:
    from vesalius.io.dicom import rtstruct

    if grid is None:
        raise UsageError(
            "a structure set holds outlines, not voxels",
            found=path.name,
            expected="the image that it was drawn on",
            fix="give the image with --image",
        )
    rois = rtstruct.read(path, series if series is not None and series.geometry.usable else grid)
    notes = []
    for roi in rois:
        told = {
            "slices without an outline": len(roi.missing_slices),
            "slices where outlines cross": len(roi.crossing_slices),
            "outlines without a voxel": roi.without_voxel,
            "contours that are no areas": sum(roi.left_out.values()),
            "outlines beyond the image": int(roi.clipped),
        }
        odd = ", ".join(f"{count} {what}" for what, count in told.items() if count)
        notes += [f"region {roi.number}: {odd}"] if odd else []
    return MaskFile(tuple(roi.mask for roi in rois), tuple(notes))


def _labels(path: Path) -> Mask:
    """Return the mask of an image file whose voxels are labels."""
    from vesalius.io import load, scan
    from vesalius.io.labels import segments_from_json
    from vesalius.io.single import stem_of

    with scan(path) as found:
        series = [one for study in found.studies for one in study.series]
        if not series and found.failed:
            raise found.failed[0].error
        volume = load(series[0])
    array, coloured = _from_colours(volume, path) if volume.axis is not None else (_whole(volume, path), {})
    beside = path.with_name(f"{stem_of(path)}.labels.json")
    named = segments_from_json(beside.read_bytes()) if beside.is_file() else {}
    present = [label for label in present_labels(array) if label]
    most = MOST_COLOURS if series[0].format == "raster" else MOST_LABELS
    if len(present) > most and not named:
        raise _too_many(path, len(present), most)
    segments = {label: plain_segment(label) for label in present} | coloured | named
    kind = np.uint8 if max(segments, default=0) < 256 else np.uint16
    return Mask(array.astype(kind), volume.affine, volume.frame, volume.spacing, segments=segments)


def _from_colours(volume: Volume, path: Path) -> tuple[Any, dict[int, Segment]]:
    """Return a label per colour, black being background; a grey picture stored in colour keeps its values."""
    if volume.axis is None or volume.axis.kind is not AxisKind.RGB:
        raise ImageContentError(
            "a mask has one number per voxel",
            found=f"{path.name} with a fourth axis",
            fix="convert it to labels first: one number per layer",
        )
    colours = volume.array[..., :3]
    if (colours == colours[..., :1]).all():
        return colours[..., 0], {}
    packed = colours.astype(np.int64) @ np.array([65536, 256, 1])
    known, labels = np.unique(packed, return_inverse=True)
    if len(known) > MOST_COLOURS:
        raise _too_many(path, len(known), MOST_COLOURS)
    order = np.cumsum(known > 0) * (known > 0)
    segments = {}
    for colour, label in zip(known.tolist(), order.tolist(), strict=True):
        red, green, blue = colour.to_bytes(3, "big")
        if label:
            segments[label] = replace(plain_segment(label), name=f"#{colour:06x}", colour=(red, green, blue))
    return order[labels.reshape(packed.shape)], segments


def _too_many(path: Path, count: int, most: int) -> ImageContentError:
    return ImageContentError(
        "this is an image and no mask, or a mask with soft edges",
        found=f"{path.name} with {count} values",
        expected=f"at most {most}",
        fix="give the mask; threshold soft edges: vesalius segment range IN OUT --low 128",
    )


def _whole(volume: Volume, path: Path) -> Any:
    """Return the voxels as whole numbers."""
    array = volume.array
    finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    low, high = (float(array.min()), float(array.max())) if finite else (np.nan, np.nan)
    if not finite or low < 0 or high > HIGHEST_LABEL or (array.dtype.kind == "f" and (array != np.rint(array)).any()):
        raise ImageContentError(
            "a mask holds whole numbers from 0",
            found=f"{path.name} with values from {low:g} to {high:g}",
            expected=f"0 to {HIGHEST_LABEL}, whole",
            fix="threshold it first: vesalius segment range IN OUT --low 0.5",
        )
    return array


def plain_segment(label: int) -> Segment:
    """Return what a label without a name is called: "label 3"."""
    name = f"label {label}"
    return Segment(name, Code(f"label-{label}", OWN_SCHEME, name), _COLOURS[(label - 1) % len(_COLOURS)])


def on_grid(mask: Mask, grid: Gridded, *, fit: bool = False) -> Mask:
    """Return a mask on the grid of an image: as it is, placed where it is a part of that grid, or resampled.

    Args:
        fit: resample to the nearest label when the grids do not share their voxel centres.

    Raises:
        GeometryError: the grids differ and `fit` was not asked for, or a part would be lost.
    """
    from vesalius.imaging import spatial

    if mask.same_grid(grid):
        return mask
    part = mask.frame == grid.frame and _on_lattice(mask, grid)
    if not part and not fit:
        raise GeometryError(
            "the mask lies on another grid than the image",
            found=f"mask {mask.shape} {mask.orientation}, image {grid.shape} {grid.orientation}",
            expected="the same shape and place, or a part of the image's grid",
            fix="resample the mask with --fit-mask (Python: imaging.spatial.resample_like), or give the right image",
        )
    placed = spatial.resample_like(mask, grid, method="nearest" if part else "linear")
    if part and np.count_nonzero(placed.array) != np.count_nonzero(mask.array):
        raise GeometryError(
            "the mask reaches beyond the image",
            found=f"{np.count_nonzero(placed.array)} of {np.count_nonzero(mask.array)} voxels in the image",
            fix="give the image that it was drawn on",
        )
    return placed


def _on_lattice(mask: Mask, grid: Gridded) -> bool:
    """Return whether every voxel centre of the mask is one of the (endless) grid, and the voxels are equal."""
    if mask.spacing != grid.spacing:
        return False
    last = np.array(mask.shape) - 1
    corners = np.array([[0, 0, 0], [last[0], 0, 0], [0, last[1], 0], [0, 0, last[2]]])
    index = grid.world_to_index(mask.index_to_world(corners))
    steps = np.linalg.inv(grid.affine[:3, :3]) @ mask.affine[:3, :3]
    return bool(
        np.abs(index - np.rint(index)).max() < _ON_LATTICE and np.allclose(np.abs(steps).sum(axis=0), 1, atol=0.01)
    )


def chosen(masks: Sequence[Mask], wanted: Sequence[str] = ()) -> list[tuple[Mask, int]]:
    """Return the segments to measure, each with its mask.

    Args:
        wanted: names or numbers; without any, every segment that has a voxel.

    Raises:
        LabelError: no such segment.
        ImageContentError: none was named and every segment is empty.
    """
    known = [(mask, label) for mask in masks for label in mask.segments]
    if not wanted:
        there = [(mask, label) for mask, label in known if (mask.array == label).any()]
        if not there:
            names = ", ".join(mask.segments[label].name for mask, label in known)
            raise ImageContentError(
                "the mask is empty: no voxel has a label",
                found=names or "all voxels 0",
                expected="at least one voxel above 0",
                fix="check that this is the mask and that its segmentation found something, or leave the case out",
            )
        return there
    result = []
    for name in wanted:
        hits = [(mask, label) for mask, label in known if name in (mask.segments[label].name, str(label))]
        if not hits:
            names = ", ".join(f"{label} {mask.segments[label].name}" for mask, label in known)
            raise LabelError(
                "no such segment in the mask",
                found=name,
                expected=names or "no label at all",
                fix="name one of them by label or name (--segment), or another mask",
            )
        result += hits
    return result
