"""What every way to segment takes and gives: one brightness per voxel, places in the image, named labels.

Places are LPS millimetres, or indices (slice, row, column) for pictures that do not tell their pixel size.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core.axis import AxisKind
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, UsageError
from vesalius.core.grid import Gridded, Spacing
from vesalius.core.mask import Mask, Segment, present_labels
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.imaging.filtering import Triple

Array = NDArray[Any]
Flags = NDArray[np.bool_]

OKABE_ITO = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (153, 153, 153),
)  # fmt: skip
"""Colours that people with any colour vision tell apart. Source: Okabe and Ito 2008, Color Universal Design."""
REGION = Segment("region", Code("111030", "DCM", "Image Region"), OKABE_ITO[0])
"""What a method found that knows nothing of anatomy."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue. Source: ITU-R BT.709."""
HALF_VOXEL = 0.5 + 1e-6


@dataclass(frozen=True)
class Seeds:
    """Places in an image.

    Args:
        points: shape (n, 3): x, y, z in LPS mm, or slice, row, column.
        frame: which of both.
        joined: a stroke: each point is joined to the next by a straight line.
        radius_mm: of the brush; 0 marks the voxels that hold the points.
    """

    points: ArrayLike
    frame: Literal["mm", "index"] = "mm"
    joined: bool = False
    radius_mm: float = 0.0

    def rows(self) -> NDArray[np.float64]:
        """Return the points one per row; (row, column) of a picture becomes (0, row, column)."""
        points = np.atleast_2d(np.asarray(self.points, dtype=np.float64))
        if self.frame == "index" and points.ndim == 2 and points.shape[1] == 2:
            return np.pad(points, ((0, 0), (1, 0)))
        return points

    def indices(self, image: Gridded) -> NDArray[np.float64]:
        """Return (slice, row, column), fractions kept, shape (n, 3).

        Raises:
            UsageError: the points are not rows of three numbers.
            UnknownSpacingError: places in mm on an image that does not tell its pixel size.
        """
        points = self.rows()
        if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
            raise UsageError(
                "places are rows of three finite numbers",
                found=f"shape {points.shape}",
                expected="x, y, z in LPS mm, or slice, row, column with frame='index'",
                fix="on the command line 10,20,30;11,20,30 or index:5,100,120",
            )
        if self.frame == "index":
            return points
        image.require_spacing()
        return image.world_to_index(points)


SeedsLike = Seeds | Mask | Sequence[Seeds] | ArrayLike
"""Seeds, several strokes, points in LPS mm, or a mask of which every labelled voxel is a seed."""


def brightness(volume: Volume, what: str) -> Array:
    """Return one finite value per voxel; a colour picture gives its luminance.

    Raises:
        ImageContentError: voxels that are not finite, or a yes/no image.
        GeometryError: a fourth axis that does not hold colours.
        UsageError: not a volume.
    """
    if not isinstance(volume, Volume):
        raise UsageError(f"{what} works on an image", found=type(volume).__name__, expected="a Volume")
    filtering.check_voxels(volume, what)
    if volume.axis is None:
        return volume.array
    if volume.axis.kind is not AxisKind.RGB:
        raise GeometryError(
            f"{what} takes one 3-D image and this one has a fourth axis",
            found=f"{volume.axis.kind} x {len(volume.axis)}",
            fix="take one element: volume.element(0)",
        )
    return np.asarray(volume.array[..., :3] @ np.asarray(LUMINANCE, np.float32), np.float32)


def varied(values: Array, what: str) -> Array:
    """Return the values if there are two different ones.

    Raises:
        ImageContentError: all are equal.
    """
    if values.min() == values.max():
        raise ImageContentError(
            f"{what} needs at least two different values and all are equal",
            found=f"{values.size} voxels of {float(values.flat[0]):g}",
            fix="choose another `within`, or check that the image is not empty",
        )
    return values


def inside(volume: Gridded, within: Mask | None) -> Flags | None:
    """Return where the mask holds any segment, None without a mask.

    Raises:
        GeometryError: another grid.
        LabelError: the mask is empty.
    """
    if within is None:
        return None
    same_grid(volume, within, "within")
    found = within.array != 0
    if not found.any():
        raise LabelError(
            "`within` is empty: there is nothing to segment", found="no voxel above 0", fix="leave it out, or fill it"
        )
    return np.asarray(found)


def same_grid(image: Gridded, mask: Mask, name: str) -> None:
    """Raise unless the mask lies on the image's grid.

    Raises:
        GeometryError: another shape or place.
        UsageError: not a mask.
    """
    if not isinstance(mask, Mask):
        raise UsageError(f"{name} is a mask", found=type(mask).__name__, expected="a Mask")
    if not image.same_grid(mask):
        apart = "another place" if image.shape == mask.shape else f"shape {mask.shape}"
        raise GeometryError(
            f"{name} and the image lie on different grids",
            found=apart,
            expected=f"shape {image.shape} and the image's affine",
            fix="call imaging.spatial.resample_like(mask, image) first",
        )


def lengths(image: Gridded) -> Triple:
    """Return mm per voxel along slice, row and column; the affine's own unit where the format tells no mm.

    For methods that need the voxel's shape only, not its size.
    """
    found = np.linalg.norm(image.affine[:3, :3], axis=0)
    return float(found[0]), float(found[1]), float(found[2])


def millimetres(image: Gridded, what: str) -> Triple:
    """Return mm per voxel along slice, row and column, for work that measures distances.

    Raises:
        UnknownSpacingError: the image does not tell its pixel size.
        GeometryError: a sheared grid of several slices.
    """
    spacing = image.spacing_mm
    if image.shape[0] > 1 and image.is_sheared:
        raise GeometryError(
            f"the slices are shifted against each other (tilted gantry): distances in {what} would be oblique",
            found="a sheared grid",
            expected="orthogonal axes",
            fix="resample first: imaging.spatial.to_orthogonal(image)",
        )
    return spacing


def marked(image: Gridded, seeds: SeedsLike, name: str) -> Flags:
    """Return the voxels that seeds mark, at least one.

    Args:
        name: of the parameter, for messages.

    Raises:
        GeometryError: a place outside the image, or a mask on another grid.
        LabelError: a mask without seeds.
        UnknownSpacingError: places in mm on an image that does not tell its pixel size.
    """
    if isinstance(seeds, Mask):
        same_grid(image, seeds, name)
        if not seeds.array.any():
            raise LabelError(f"the mask of {name} is empty", found="no voxel above 0", fix="paint at least one voxel")
        return np.asarray(seeds.array != 0)
    found = np.zeros(image.shape, bool)
    for one in _strokes(seeds):
        _mark(image, one, name, found)
    return found


def _strokes(seeds: Any) -> Sequence[Seeds]:
    if isinstance(seeds, list | tuple) and seeds and all(isinstance(one, Seeds) for one in seeds):
        return seeds
    return [seeds if isinstance(seeds, Seeds) else Seeds(seeds)]


def _mark(image: Gridded, seeds: Seeds, name: str, found: Flags) -> None:
    index = seeds.indices(image)
    outside = (index < -HALF_VOXEL).any(axis=1) | (index > np.array(image.shape) - 1 + HALF_VOXEL).any(axis=1)
    if outside.any():
        number = int(np.argmax(outside))
        raise GeometryError(
            f"{name}: place {number + 1} of {len(index)} lies outside the image",
            found=_told(seeds.rows()[number], seeds.frame),
            expected=_extent(image, seeds.frame),
            fix="give LPS mm (RAS from other tools: change the sign of x and y), or indices: index:slice,row,column",
        )
    if seeds.joined:
        index = np.concatenate([*(_line(a, b) for a, b in itertools.pairwise(index)), index[-1:]])
    whole = np.clip(np.rint(index).astype(int), 0, np.array(image.shape) - 1)
    found[tuple(whole.T)] = True
    if seeds.radius_mm > 0:
        image.require_spacing()
        for place in np.unique(whole, axis=0):
            _ball(image, place, seeds.radius_mm, found)


def _line(start: Array, stop: Array) -> Array:
    steps = max(1, int(np.ceil(np.abs(stop - start).max() * 2)))
    return np.asarray(start + np.linspace(0, 1, steps, endpoint=False)[:, None] * (stop - start))


def _ball(image: Gridded, centre: Array, radius_mm: float, found: Flags) -> None:
    """Mark a ball around a voxel; exact on sheared grids too."""
    # Rows of the inverse give how many voxels a millimetre may move along each array axis at most.
    reach = np.floor(radius_mm * np.linalg.norm(np.linalg.inv(image.affine[:3, :3]), axis=1) + 1e-9).astype(int)
    low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, image.shape)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1) - centre
    near = np.linalg.norm(grid @ image.affine[:3, :3].T, axis=-1) <= radius_mm + filtering.ROUNDING_MM
    found[tuple(map(slice, low, high))] |= near


def _told(point: Array, frame: str) -> str:
    numbers = ", ".join(f"{value:g}" for value in point)
    return f"({numbers}) mm" if frame == "mm" else f"index ({numbers})"


def _extent(image: Gridded, frame: str) -> str:
    if frame == "index":
        return f"0, 0, 0 to {', '.join(str(n - 1) for n in image.shape)}"
    corners = image.index_to_world(np.array(list(np.ndindex(2, 2, 2))) * (np.array(image.shape) - 1))
    ends = zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=True)
    return ", ".join(f"{axis} {low:.1f} to {high:.1f}" for axis, low, high in ends) + " LPS mm"


def seeds_of(
    image: Gridded, foreground: SeedsLike | None, background: SeedsLike | None, markers: Mask | None
) -> tuple[NDArray[np.int32], dict[int, Segment]]:
    """Return a label per seed voxel, 0 elsewhere, and what each label is; background has the highest label.

    Raises:
        UsageError: neither both kinds of seeds nor markers of two segments.
        GeometryError: a voxel that is both foreground and background.
    """
    if markers is not None:
        if foreground is not None or background is not None:
            raise UsageError("give markers, or foreground and background", found="both", fix="leave markers out")
        return _from_markers(image, markers)
    if foreground is None or background is None:
        raise UsageError(
            "two kinds of seeds are needed",
            found=f"foreground {foreground is not None}, background {background is not None}",
            expected="foreground and background, or markers: a mask with one segment each",
            fix="add the other kind of seeds",
        )
    front, back = marked(image, foreground, "foreground"), marked(image, background, "background")
    refuse_both(front, back)
    return np.where(front, 1, np.where(back, 2, 0)).astype(np.int32), {1: REGION}


def _from_markers(image: Gridded, markers: Mask) -> tuple[NDArray[np.int32], dict[int, Segment]]:
    same_grid(image, markers, "markers")
    labels = [label for label in present_labels(markers.array) if label]
    if len(labels) < 2:
        raise LabelError(
            "markers hold seeds of at least two segments", found=str(labels), fix="paint seeds of the rest as well"
        )
    return markers.array.astype(np.int32), {label: markers.segments[label] for label in labels}


def refuse_both(front: Flags, back: Flags) -> None:
    """Raise where a voxel is seed of both kinds."""
    both = int(np.count_nonzero(front & back))
    if both:
        raise GeometryError(
            "a voxel cannot be foreground and background",
            found=f"{both} voxels are seeds of both",
            fix="move the seeds apart, or use a thinner brush",
        )


def need_seeds(seeds: Flags, region: Flags | None, name: str) -> Flags:
    """Return the seeds inside the region, at least one.

    Raises:
        GeometryError: none lies there.
    """
    kept = seeds if region is None else seeds & region
    if not kept.any():
        raise GeometryError(f"no seed of {name} lies in `within`", fix="move a seed into the mask, or widen the mask")
    return kept


def answer(
    image: Gridded, labels: Array, segments: Mapping[int, Segment], operation: str, **parameters: object
) -> Mask:
    """Return a mask on the image's grid with the smallest type that holds its labels.

    Parameters that are masks or seeds are told in the history as such, not in full.
    """
    kind = np.uint8 if max(segments, default=0) < 256 else np.uint16 if max(segments) < 65536 else np.int32
    told = {name: value if _is_plain(value) else type(value).__name__ for name, value in parameters.items()}
    array = labels.view(np.uint8) if labels.dtype.kind == "b" else labels.astype(kind, copy=False)
    return Mask(array, image.affine, image.frame, image.spacing, image.done(operation, **told), dict(segments))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def pieces(count: int, name: str = "class") -> dict[int, Segment]:
    """Return segments 1..count named name_1 ..., with colours that repeat."""
    return {
        k: Segment(f"{name}_{k}", Code(f"{name}-{k}", OWN_SCHEME, f"{name.capitalize()} {k}"), colour(k))
        for k in range(1, count + 1)
    }


def colour(label: int) -> tuple[int, int, int]:
    """Return the colour of the n-th label."""
    return OKABE_ITO[(label - 1) % len(OKABE_ITO)]


def mask_of(image: Volume | Mask, name: str) -> Mask:
    """Return an image of whole numbers as a mask, its labels named label_1 ...

    Raises:
        ImageContentError: values that are no labels.
        GeometryError: a fourth axis.
    """
    if isinstance(image, Mask):
        return image
    if image.axis is not None:
        raise GeometryError(f"{name} is a 3-D mask", found=f"{image.axis.kind} x {len(image.axis)}")
    array = image.array
    values = np.unique(array)
    if array.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise ImageContentError(
            f"{name} is an image, not a mask: its values are no labels",
            found=f"{values.min():g} to {values.max():g}, with fractions",
            expected="whole numbers, 0 for background",
        )
    if values.min() < 0 or len(values) > 10000:
        raise ImageContentError(
            f"{name} is an image, not a mask", found=f"{len(values)} values from {values.min():g} to {values.max():g}",
            expected="labels: whole numbers from 0",
        )  # fmt: skip
    labels = [int(value) for value in values if value]
    known = pieces(max(labels, default=0), "label") if max(labels, default=0) <= 65535 else {}
    kind = np.uint8 if max(labels, default=0) < 256 else np.int32
    segments = {k: known.get(k) or Segment(f"label_{k}", REGION.code, colour(k)) for k in labels}
    return Mask(array.astype(kind), image.affine, image.frame, image.spacing, image.history, segments)


def require_kind(image: Volume | Mask, takes: str, name: str) -> Volume | Mask:
    """Return the image as what a method takes.

    Raises:
        UsageError: a mask was given to a method that takes an image.
        ImageContentError: an image was given to a method that takes a mask.
    """
    if takes == "mask":
        return mask_of(image, f"the input of {name}")
    if isinstance(image, Mask):
        raise UsageError(f"{name} works on an image", found="a mask", expected="a Volume")
    return image


def parse_places(parameter: Any, text: str, read: Any = None) -> Mask | Seeds:
    """Return the mask or the places that a text names.

    "x,y,z;x,y,z" are points in LPS mm, "index:slice,row,column;..." indices, ">" instead of ";" joins two points to a
    stroke; anything else is a file.

    Raises:
        UsageError: it cannot be read.
    """
    from vesalius.imaging.methods import Kind

    frame: Literal["mm", "index"] = "index" if text.startswith("index:") else "mm"
    rows = _rows(text.removeprefix("index:"))
    if rows is None and parameter.kind is not Kind.BOX and read is not None and frame == "mm":
        return mask_of(read(text), parameter.name)
    if rows is None or parameter.kind is Kind.MASK or (parameter.kind is Kind.BOX and len(rows) != 2):
        raise UsageError(
            f"{parameter.name} cannot be read", found=repr(text), expected=str(parameter.kind),
            fix=f"{parameter.option} " + ("FILE" if parameter.kind is Kind.MASK else "'-10,20,30;5,40,60'"),
        )  # fmt: skip
    return Seeds(rows, frame, joined=">" in text)


def _rows(text: str) -> list[list[float]] | None:
    try:
        rows = [[float(word) for word in row.split(",")] for row in text.replace(">", ";").split(";") if row.strip()]
    except ValueError:
        return None
    return rows if rows and len({len(row) for row in rows}) == 1 and len(rows[0]) in (2, 3) else None


def box_of(image: Gridded, box: Seeds | ArrayLike) -> tuple[slice, slice, slice]:
    """Return the index ranges of the voxels inside a box given by two opposite corners.

    Raises:
        UsageError: not two corners.
        GeometryError: the box leaves the image altogether.
    """
    given = box if isinstance(box, Seeds) else Seeds(box)
    corners = given.rows()
    if corners.shape != (2, 3):
        raise UsageError("a box is two opposite corners", found=f"shape {corners.shape}", expected="(2, 3)")
    if given.frame == "mm":
        # All eight corners: the box is parallel to the patient's axes, the grid need not be.
        every = np.array([[corners[i, 0], corners[j, 1], corners[k, 2]] for i, j, k in np.ndindex(2, 2, 2)])
        index = Seeds(every).indices(image)
    else:
        index = corners
    low = np.maximum(np.ceil(index.min(axis=0) - HALF_VOXEL), 0).astype(int)
    high = np.minimum(np.floor(index.max(axis=0) + HALF_VOXEL), np.array(image.shape) - 1).astype(int) + 1
    if (high <= low).any():
        raise GeometryError(
            "the box lies outside the image",
            found=" to ".join(_told(corner, given.frame) for corner in corners),
            expected=f"a part of {_extent(image, given.frame)}",
        )
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def knows_spacing(image: Gridded) -> bool:
    """Return whether lengths of the image are millimetres."""
    return image.spacing is not Spacing.UNKNOWN
