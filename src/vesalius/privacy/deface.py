"""Faces out of head CT and MR: the head atlas says where the face is, and all of it, air included, becomes background.

The atlas is laid on the image by class likelihoods, which needs no contrast, so T1, T2, FLAIR and CT are treated alike.
What goes is the front of the head from the brow through orbits, nose, mouth and chin to behind the jaw, and the ears;
the surroundings of the brain are never touched. The face of one image serves any grid in the same patient space.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import AxisKind
from vesalius.core.code import Code
from vesalius.core.errors import DeidentificationError
from vesalius.core.grid import Frame, Spacing
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.segment.tissue.atlas import Atlas, load_atlas

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bits = NDArray[np.bool_]

PROFILE_MM: Final = ((26.0, -105.0), (-10.0, -70.0), (-42.0, -68.0), (-85.0, -30.0), (-95.0, -22.0))
"""(height, front to back) of the surface behind which everything stays, template LPS mm. It runs from the forehead down
behind the eyeballs and far below the brain back to the throat, whose rear wall and the spine stay."""
EARS_MM: Final = ((66.0, 200.0), (-26.0, 48.0), (-88.0, 14.0))
"""Least and largest distance from the middle plane, front to back, and height of the boxes that hold the ears."""
CLEARANCE_MM: Final = (10.0, 16.0)
"""What is nearer to the brain stays, in front and at the ears."""
BRAIN_LEAST: Final = 0.05
"""Probability from which a place counts as brain: wide, so that unusual brains are clear of the cut."""
LEAST_MOVED_MM: Final = 10.0
AIR_HU: Final = -1000.0
SOFT_WINDOW_HU: Final = (-250.0, 350.0)
_SKIN: Final = 0.2
"""Brighter than this part of the way from air to skin in soft tissue counts as head, in CT windowed as above."""
_LEAST_EXTENT_MM: Final = 90.0
_LEAST_SLICES: Final = 8
_LEAST_FIT: Final = 0.45
_LEAST_COVERAGE: Final = 0.5
_ZOOM: Final = (0.70, 1.35)
_STRETCH: Final = 1.5
_TURN_DEG: Final = 50.0
_TURNED_GAIN: Final = 0.03
_HALF_MM: Final = 0.5
"""Distances are kept in half millimetres."""
_REMOVED: Final = Segment("removed", Code("89545001", "SCT", "Face"), (240, 120, 60))


class FaceDoubtError(DeidentificationError):
    """It is not sure where the face is, or that all of it goes: a person must look."""

    code = "face_doubt"


@dataclass(frozen=True)
class Landmark:
    """A part of the face: where it is looked for, and where its skin may lie in a head, in template LPS mm."""

    name: str
    x: float
    z: float
    front: tuple[float, float]
    decides: bool = True


LANDMARKS: Final = (
    Landmark("nose", 0.0, -45.0, (-145.0, -88.0)),
    Landmark("left_eye", 32.0, -22.0, (-110.0, -78.0)),
    Landmark("right_eye", -32.0, -22.0, (-110.0, -78.0)),
    Landmark("mouth", 0.0, -78.0, (-140.0, -80.0), decides=False),
    Landmark("chin", 0.0, -108.0, (-135.0, -70.0), decides=False),
)


@dataclass(frozen=True, eq=False)
class Face:
    """Where the face of one head is; small, and the same for every image in its patient space.

    Args:
        pose: 4x4, template LPS mm to patient LPS mm.
        background: value that stands for air, in the units of the image (HU for CT).
        fit: how well the atlas explains the image, nats per point.
        coverage: share of the brain inside the field of view.
        moved_mm: how far the skin moves back at each landmark that is in the picture, front to back in mm.
    """

    pose: F64
    background: float
    fit: float
    coverage: float
    moved_mm: Mapping[str, float] = field(default_factory=dict)
    _clear: bytes = field(default=b"", repr=False)
    _affine: F64 = field(default_factory=lambda: np.eye(4), repr=False)
    _shape: tuple[int, int, int] = (1, 1, 1)

    def removed(self, affine: F64, shape: tuple[int, int, int]) -> Bits:
        """Return which voxels of a grid go.

        Args:
            affine: 4x4, (slice, row, column) to patient LPS mm.
        """
        to_template = np.linalg.inv(self.pose) @ affine
        distance = np.frombuffer(zlib.decompress(self._clear), np.uint8).reshape(self._shape).astype(np.float32)
        distance *= np.float32(_HALF_MM)
        rows, columns = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
        to_index: F64 = np.asarray(np.linalg.inv(self._affine), np.float64)
        result = np.zeros(shape, bool)
        for index, plane in enumerate(result):
            place = [m[0] * index + m[1] * rows + m[2] * columns + m[3] for m in to_template[:3]]
            _cut(plane, place, distance, to_index)
        return result


def _cut(plane: Bits, place: list[F64], distance: F32, to_index: F64) -> None:
    from scipy.ndimage import map_coordinates

    front, ears = _front(place[1], place[2]), _ears(*place)
    chosen = front | ears
    if not chosen.any():
        return
    points = np.stack([part[chosen] for part in place])
    index = to_index[:3, :3] @ points + to_index[:3, 3:]
    away = map_coordinates(distance, index, order=1, mode="nearest", prefilter=False)
    plane[chosen] = away > np.where(front[chosen], *CLEARANCE_MM)


def _front(y: F64, z: F64) -> Bits:
    heights, depths = (np.array(part)[::-1] for part in zip(*PROFILE_MM, strict=True))
    limit = np.interp(z, heights, depths, left=depths[0], right=-np.inf)
    return np.asarray(y < limit)


def _ears(x: F64, y: F64, z: F64) -> Bits:
    found = np.ones(x.shape, bool)
    for part, (low, high) in zip((np.abs(x), y, z), EARS_MM, strict=True):
        found &= (part > low) & (part < high)
    return found


@dataclass(frozen=True, eq=False)
class Defaced:
    """An image without its face.

    Args:
        volume: the same grid and voxel type; what was removed holds the background.
        removed: 1 where voxels were replaced.
        face: where the face was, and how far its surface moved.
    """

    volume: Volume
    removed: Mask
    face: Face


def deface(volume: Volume, *, face: Face | None = None, atlas: Atlas | None = None) -> Defaced:
    """Return a head CT or MR without face and ears; every other voxel keeps its value.

    Args:
        volume: 3-D or with a fourth axis of repetitions, in patient space.
        face: found on another image of the same head in the same patient space; found on this image by default.
        atlas: another atlas than the shipped one.

    Raises:
        FaceDoubtError: no head, no face where one is expected, or its surface would not move by 10 mm.
    """
    found = face or locate(volume, atlas=atlas)
    mask = found.removed(np.asarray(volume.affine), volume.shape)
    array = volume.array.copy()
    array[mask] = as_stored(found.background, array.dtype)
    removed = Mask(mask.view(np.uint8), volume.affine, volume.frame, volume.spacing, volume.done("face"), {1: _REMOVED})
    return Defaced(volume.with_array(array, "deface"), removed, found)


def as_stored(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a value in a voxel type, the nearest that it holds."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(min(max(round(value), int(limits.min)), int(limits.max)))
    return dtype.type(value)


def locate(volume: Volume, *, atlas: Atlas | None = None) -> Face:
    """Return where the face of a head is, checked at nose and eyes; 8-15 s.

    Raises:
        FaceDoubtError: not a head as its header says, no face in the picture, or its surface would not move by 10 mm.
    """
    face, fronts = _laid(volume, atlas or load_atlas())
    if not fronts:
        raise FaceDoubtError("eyes and nose lie outside the field of view", fix="--no-face REASON without a face")
    found = {name: pair for name, pair in fronts.items() if _expected(name, pair[0])}
    if not any(mark.decides and mark.name in found for mark in LANDMARKS):
        raise FaceDoubtError("no face is found where one is expected", fix="--no-face REASON when the head shows none")
    scale = float(np.linalg.norm(face.pose[:3, 1]))
    moved = {name: round(scale * (after - before), 1) for name, (before, after) in found.items()}
    short = [name for name, length in moved.items() if length < LEAST_MOVED_MM]
    if short:
        raise FaceDoubtError("the surface of the face would stay", found=", ".join(short))
    return _with(face, moved)


def shows_face(volume: Volume, *, atlas: Atlas | None = None) -> bool:
    """Return whether nose or an eye is plainly there; 8-15 s.

    Raises:
        FaceDoubtError: it cannot be told: no head is found as the header says.
    """
    _, fronts = _laid(volume, atlas or load_atlas())
    return any(
        mark.decides and mark.name in fronts and _expected(mark.name, fronts[mark.name][0]) for mark in LANDMARKS
    )


def _with(face: Face, moved: Mapping[str, float]) -> Face:
    return replace(face, moved_mm=MappingProxyType(dict(moved)))


def _expected(name: str, front: float) -> bool:
    mark = next(one for one in LANDMARKS if one.name == name)
    return mark.front[0] <= front <= mark.front[1]


def _laid(volume: Volume, atlas: Atlas) -> tuple[Face, dict[str, tuple[float, float]]]:
    """Return the face, and the depth of the skin before and after at each landmark in the field of view."""
    from vesalius.segment.head_guard import measure_head

    image, background, skin = _brightness(volume)
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = measure_head(image, atlas)
    _check(evidence.fit, evidence.coverage, evidence.zoom, evidence.stretch)
    if evidence.turn_deg > _TURN_DEG or evidence.turned_gain > _TURNED_GAIN:
        raise FaceDoubtError("the head does not lie as the header says", fix="correct the orientation at the source")
    distance = _clearances(image, evidence.pose, atlas)
    face = Face(
        evidence.pose,
        background,
        round(evidence.fit, 3),
        round(evidence.coverage, 3),
        {},
        zlib.compress(np.minimum(distance / _HALF_MM, 255).astype(np.uint8).tobytes()),
        np.asarray(atlas.affine),
        atlas.shape,
    )
    return face, _fronts(image, face, skin)


def _check(fit: float, coverage: float, zoom: float, stretch: float) -> None:
    plausible = _ZOOM[0] <= zoom <= _ZOOM[1] and stretch <= _STRETCH
    if not (fit >= _LEAST_FIT and plausible):
        raise FaceDoubtError("no head is found in the image", found=f"fit {fit:.2f}", expected=f"at least {_LEAST_FIT}")
    if coverage < _LEAST_COVERAGE:
        raise FaceDoubtError("too little of the head is in the field of view", found=f"{coverage:.0%} of the brain")


def _brightness(volume: Volume) -> tuple[Volume, float, float]:
    """Return one image without negative values, the value of air in units of the volume, and the least of skin."""
    single = volume
    if volume.axis is not None:
        if volume.axis.kind in (AxisKind.RGB, AxisKind.FEATURE):
            raise FaceDoubtError("no grey values", found=str(volume.axis.kind))
        single = volume.element(0)
    extent = sorted(n * s for n, s in zip(single.shape, single.spacing_mm, strict=True))
    measured = single.frame is Frame.PATIENT and single.spacing is Spacing.CALIBRATED
    if not measured or min(single.shape) < _LEAST_SLICES or extent[0] < _LEAST_EXTENT_MM:
        raise FaceDoubtError("too few slices, or too small, to find a head", expected="a series through the head")
    image = np.array(single.array, np.float32)
    np.nan_to_num(image, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (float(one) for one in np.percentile(image[::2, ::2, ::2], (1, 99.7)))
    if not high > low:
        raise FaceDoubtError("the image holds no contrast")
    if volume.modality == "CT" or low < -300:
        window = SOFT_WINDOW_HU
        image = np.clip(image, *window) - np.float32(window[0])
        return single.with_array(image, "window"), AIR_HU, _SKIN * (window[1] - window[0])
    background = float(image.min())
    return single.with_array(image, "brightness"), background, float("nan")


def _clearances(volume: Volume, pose: F64, atlas: Atlas) -> F32:
    """Return mm to the brain on the grid of the atlas: the atlas as it is and as it is deformed onto the image."""
    from scipy.ndimage import distance_transform_edt, map_coordinates

    from vesalius.segment.tissue import alignment, engine
    from vesalius.segment.tissue.deformation import grid_index

    found = alignment.Pose(pose, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        _, fit = engine.fit_template(volume.array, np.asarray(volume.affine), found, atlas, engine.Settings())
    place = grid_index(atlas.shape) + np.nan_to_num(fit.displacement)
    deformed = map_coordinates(atlas.brain, place, order=1, mode="nearest", prefilter=False)
    brain = (np.maximum(deformed, atlas.brain) > BRAIN_LEAST) & atlas.known
    smallest = float(np.linalg.svd(pose[:3, :3])[1].min())
    distance: F32 = distance_transform_edt(~brain, sampling=atlas.spacing_mm).astype(np.float32)
    return distance * np.float32(smallest)


def _fronts(volume: Volume, face: Face, skin: float) -> dict[str, tuple[float, float]]:
    """Return the depth of the foremost skin before and after, in template mm, at landmarks in the field of view."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    from vesalius.segment.tissue.alignment import coarse_image, otsu

    coarse, affine = coarse_image(volume.array, np.asarray(volume.affine), 2.0)
    level = skin if np.isfinite(skin) else 0.6 * otsu(coarse)
    inverse = np.linalg.inv(affine) @ face.pose
    depth = np.arange(-160.0, 20.0, 1.5)
    across = np.arange(-7.0, 8.0, 2.0)
    found = {}
    for mark in LANDMARKS:
        z, y, x = np.meshgrid(mark.z + across, depth, mark.x + across, indexing="ij")
        index = np.stack([m[0] * x + m[1] * y + m[2] * z + m[3] for m in inverse[:3]])
        limits = np.array(coarse.shape)[:, None, None, None] - 0.5
        inside = np.all((index > -0.5) & (index < limits), axis=0)
        if inside[:, (depth > mark.front[0] + 20) & (depth < mark.front[1])].mean() < 0.6:
            continue
        values = map_coordinates(coarse, index, order=1, mode="constant", prefilter=False)
        head = (gaussian_filter(values, (1, 0, 1)) > level) & inside
        frame = np.eye(4)
        frame[:3, :3] = ((0, 0, 2.0), (0, 1.5, 0), (2.0, 0, 0))
        frame[:3, 3] = mark.x + across[0], depth[0], mark.z + across[0]
        kept = head & ~face.removed(face.pose @ frame, head.shape)
        found[mark.name] = _foremost(head, depth), _foremost(kept, depth)
    return found


def _foremost(head: Bits, depth: F64) -> float:
    """Return the median depth of the first head voxel of each line from front to back, the last depth without one."""
    first = np.where(head.any(axis=1), depth[head.argmax(axis=1)], depth[-1])
    return float(np.median(first))
