"""Vessels and other tubes as a tree of centrelines: length, calibre, tortuosity and branch points, in mm.

The regions are thinned as `thinning` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask
from vesalius.features.spatial.centrelines import Path, graph_of, without_spurs
from vesalius.features.spatial.lattice import F64, box_around, check_orthogonal, flat_axes, start_of
from vesalius.features.spatial.relations import filled_region
from vesalius.features.spatial.thinning import thinned

_NEARLY_EQUAL = 1.05
"""Largest ratio of spacings that thinning sees as equal; others are first brought to the smallest."""
_SMOOTH_POINTS = 2.0
"""Standard deviation, in points, of the smoothing that takes the staircase out of a centreline."""
_SMOOTH_WALL = 0.5
"""The same for the wall, in voxels."""
_HALVES = (-1.0, -0.5, 0.0, 0.5, 1.0)
_TANGENT = 4
_FARTHEST = 60.0
"""Points that tell the direction of an end, and how many voxels it is drawn out at most."""
_LARGEST_GRID = 1 << 29


@dataclass(frozen=True, eq=False)
class Branch:
    """A piece of vessel between branch points and ends.

    Args:
        path_mm: centreline in LPS mm, shape (n, 3), smoothed.
        length_mm: along the path.
        chord_mm: straight from end to end; 0 for a closed loop.
        diameters_mm: along the path, twice the distance to the wall.
        free_ends: 0, 1 or 2 ends that are no branch point.
    """

    path_mm: F64
    length_mm: float
    chord_mm: float
    diameters_mm: F64
    free_ends: int

    @property
    def diameter_mm(self) -> float:
        """Return the median diameter."""
        return float(np.median(self.diameters_mm))

    @property
    def tortuosity(self) -> float:
        """Return length over chord, 1 for a straight piece, NaN for a loop."""
        return self.length_mm / self.chord_mm if self.chord_mm > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class VesselTree:
    """The centrelines of a segment.

    Args:
        branches: longest first.
        branch_points_mm: LPS, shape (n, 3).
        end_points_mm: LPS, shape (n, 3).
        volume_ml: of the segment.
    """

    segment: str
    branches: tuple[Branch, ...]
    branch_points_mm: F64
    end_points_mm: F64
    volume_ml: float

    @property
    def length_mm(self) -> float:
        """Return the length of all branches."""
        return sum(branch.length_mm for branch in self.branches)

    @property
    def diameter_mm(self) -> float:
        """Return the mean diameter, each branch weighted by its length."""
        return self._mean([float(branch.diameters_mm.mean()) for branch in self.branches])

    @property
    def equivalent_diameter_mm(self) -> float:
        """Return the diameter of a round tube of the same volume and length."""
        return 2 * math.sqrt(self.volume_ml * 1000 / (math.pi * self.length_mm)) if self.length_mm else float("nan")

    @property
    def tortuosity(self) -> float:
        """Return the mean tortuosity weighted by length, loops left out."""
        return self._mean([branch.tortuosity for branch in self.branches])

    def _mean(self, values: list[float]) -> float:
        weights = np.array([branch.length_mm for branch in self.branches])
        known = np.isfinite(values) & (weights > 0)
        return float(np.average(np.array(values)[known], weights=weights[known])) if known.any() else float("nan")


def vessel_tree(mask: Mask, segment: str | int | None = None, *, prune: float = 1.5) -> VesselTree:
    """Return the centrelines of a segment, 3-D or on a grid one slice thick.

    Unequal spacings are brought to the smallest by interpolating the distance to the wall, so that thinning sees the
    shape and not the grid. Free ends are drawn out to the wall.

    Args:
        prune: free pieces shorter than this many radii of the vessel they leave are noise of the wall; 0 keeps all.

    Raises:
        GeometryError: a sheared grid.
        ImageContentError: the segment is empty, or too large once its spacings are made equal.
        LabelError: no such segment, or several and none named.
        UnknownSpacingError: the pixel size is not known; for pixels as unit say mask.calibrated((1, 1, 1)).
    """
    mask.require_spacing()
    check_orthogonal(mask, "a centreline")
    if not prune >= 0:
        raise UsageError("prune is a number of radii, zero or more", found=str(prune))
    inside = filled_region(mask, segment)
    name = mask.segments[mask.label_of(segment) if isinstance(segment, str) else int(mask.array[inside][0])].name
    tube = _Tube.of(mask, inside)
    graph = without_spurs(graph_of(thinned(tube.inside)), tube.depth, prune)
    branches = sorted((_branch(path, tube) for path in graph.paths), key=lambda branch: -branch.length_mm)
    free = [path.points[k] for path in graph.paths for k in path.free_ends]
    ends = tube.places(np.array(free).reshape(-1, tube.inside.ndim))
    return VesselTree(name, tuple(branches), tube.places(graph.junctions), ends, mask.volume_ml(name))


@dataclass(frozen=True, eq=False)
class _Tube:
    """The segment on a grid of equal spacings.

    Args:
        inside: two- or three-dimensional.
        spacing_mm: of that grid.
        mask: where it comes from.
        start: index of the first voxel in the mask, fractional steps `scale` per voxel of ours.
    """

    inside: NDArray[np.bool_]
    spacing_mm: float
    mask: Mask
    start: F64
    scale: F64

    @classmethod
    def of(cls, mask: Mask, inside: NDArray[np.bool_]) -> _Tube:
        box = box_around(inside)
        if box is None:
            raise ImageContentError("the segment has no voxel")
        axes = flat_axes(mask.shape)
        spacing = np.array(mask.spacing_mm)[list(axes)]
        part = inside[box][tuple(slice(None) if axis in axes else 0 for axis in range(3))]
        start = start_of(box).astype(np.float64)
        finest = float(spacing.min())
        # One voxel of air all round, which the distance to the wall needs too.
        part = np.pad(part, 1)
        start[list(axes)] -= 1
        if spacing.max() / finest > _NEARLY_EQUAL:
            start[list(axes)] += finest / spacing / 2 - 0.5
            return cls(_equal(part, spacing, finest), finest, mask, start, finest / spacing)
        return cls(part, float(spacing.mean()), mask, start, np.ones(len(axes)))

    @cached_property
    def depth(self) -> F64:
        """Return about how far the wall is, in voxels, 0 outside."""
        # The wall is half a voxel nearer than the centre of the first voxel outside.
        return np.asarray(np.maximum(ndimage.distance_transform_edt(self.inside) - 0.5, 0))

    @cached_property
    def wall(self) -> cKDTree:
        """Return the places, in voxels, where the slightly smoothed region falls to one half.

        The smoothing takes the staircase out of the wall and leaves a vessel one voxel wide as wide as it is.
        """
        soft = ndimage.gaussian_filter(self.inside.astype(np.float32), _SMOOTH_WALL) - 0.5
        found = []
        for axis in range(soft.ndim):
            low, high = np.moveaxis(soft, axis, 0)[:-1], np.moveaxis(soft, axis, 0)[1:]
            at = np.argwhere((low >= 0) != (high >= 0))
            one, other = low[tuple(at.T)], high[tuple(at.T)]
            order = [*range(1, axis + 1), 0, *range(axis + 1, soft.ndim)]
            points = at.astype(np.float64)
            points[:, 0] += one / (one - other)
            found.append(points[:, order])
        return cKDTree(np.concatenate(found))

    def radii(self, points: F64) -> F64:
        """Return the distance to the wall in voxels from the best centre across from each point of a line."""
        along = np.gradient(_smooth(points, closed=False), axis=0) if len(points) > 2 else np.ones_like(points)
        aside = _across(along)
        steps = np.array(list(product(_HALVES, repeat=aside.shape[1])))
        near = (points[:, None] + np.einsum("sk,pkd->psd", steps, aside)).reshape(-1, points.shape[1])
        inside = ndimage.map_coordinates(self.inside.view(np.uint8), near.T, order=0) > 0
        far = np.where(inside, self.wall.query(near)[0], 0.0).reshape(len(points), -1)
        return np.asarray(far.max(axis=1))

    def way_out(self, point: F64, direction: F64) -> float:
        """Return how far the wall is from a point in a direction, in voxels."""
        steps = np.arange(0, _FARTHEST, 0.25)
        along = ndimage.map_coordinates(self.inside.astype(np.float32), (point + steps[:, None] * direction).T, order=1)
        outside = np.flatnonzero(along < 0.5)
        return float(steps[outside[0]]) if len(outside) else 0.0

    def places(self, points: F64) -> F64:
        """Return LPS mm of points in voxels of this grid."""
        axes = list(flat_axes(self.mask.shape))
        index = np.tile(self.start, (len(points), 1))
        index[:, axes] += points * self.scale
        return self.mask.index_to_world(index)


def _equal(part: NDArray[np.bool_], spacing: F64, finest: float) -> NDArray[np.bool_]:
    """Return the region on a grid of the finest spacing, by the signed distance to its wall.

    Source: Raya & Udupa 1990, doi:10.1109/42.52980
    """
    step = finest / spacing
    shape = tuple(int(n) for n in np.rint(np.array(part.shape) / step))
    if np.prod(shape) > _LARGEST_GRID:
        raise ImageContentError(
            "the segment is too large to be measured at equal spacings",
            found=f"{shape} voxels of {finest:.3g} mm",
            fix="crop the mask, or resample it to a coarser spacing first",
        )
    depth = ndimage.distance_transform_edt(part, sampling=spacing) - ndimage.distance_transform_edt(
        ~part, sampling=spacing
    )
    # Distances to the nearest centre of the other kind jump by one voxel at the wall, which lies in the middle.
    # Voxels are cut into parts, first edge on first edge: with centres on centres a width would lose its halves.
    grid = {"offset": step / 2 - 0.5, "output_shape": shape, "mode": "nearest"}
    result = ndimage.affine_transform(depth.astype(np.float32), step, order=1, **grid) > 0
    whole = np.ones((3,) * part.ndim)
    if ndimage.label(result, whole)[1] != ndimage.label(part, whole)[1]:
        # A thin vessel that runs flat through thick slices would come apart: its voxels are kept as boxes.
        result = ndimage.affine_transform(part.view(np.uint8), step, order=0, **grid) > 0
    return np.asarray(result)


def _branch(path: Path, tube: _Tube) -> Branch:
    smooth = _smooth(path.points, path.closed)
    for end in path.free_ends:
        smooth = _drawn_out(smooth, end, tube)
    places = tube.places(smooth)
    length = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
    chord = 0.0 if path.closed else float(np.linalg.norm(places[-1] - places[0]))
    return Branch(places, length, chord, 2 * tube.spacing_mm * tube.radii(path.points), len(path.free_ends))


def _across(along: F64) -> F64:
    """Return unit vectors perpendicular to each direction: one in 2-D, two in 3-D; shape (n, k, dimensions)."""
    unit = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    if along.shape[1] == 2:
        return np.asarray(np.stack([-unit[:, 1], unit[:, 0]], axis=1)[:, None])
    helper = np.eye(3)[np.abs(unit).argmin(axis=1)]
    one = np.cross(unit, helper)
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-9)
    return np.stack([one, np.cross(unit, one)], axis=1)


def _smooth(points: F64, closed: bool) -> F64:
    """Return the line without its staircase, the ends where they were."""
    if len(points) < 4:
        return points
    if closed:
        ring = ndimage.gaussian_filter1d(points[:-1], _SMOOTH_POINTS, axis=0, mode="wrap")
        return np.concatenate([ring, ring[:1]])
    reach = min(len(points) - 1, int(4 * _SMOOTH_POINTS))
    longer = np.pad(points, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = ndimage.gaussian_filter1d(longer, _SMOOTH_POINTS, axis=0)
    return np.asarray(smooth[reach:-reach])


def _drawn_out(points: F64, end: int, tube: _Tube) -> F64:
    """Return the line with one end (0 or -1) drawn out straight to the wall."""
    back = points[min(len(points) - 1, _TANGENT)] if end == 0 else points[max(0, len(points) - 1 - _TANGENT)]
    way = points[end] - back
    size = float(np.linalg.norm(way))
    if not size:
        return points
    tip = points[end] + way / size * tube.way_out(points[end], way / size)
    return np.concatenate([tip[None], points] if end == 0 else [points, tip[None]])
