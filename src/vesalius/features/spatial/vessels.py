"""Vessels and other tubes as a tree of centrelines: length, calibre, tortuosity and branch points, in mm.

Source: thinning Lee 1994, doi:10.1006/cgip.1994.1042, and Zhang & Suen 1984, doi:10.1145/357994.358023 (scikit-image)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask
from vesalius.features.spatial.centrelines import Graph, Path, graph_of, without_spurs
from vesalius.features.spatial.lattice import F64, box_around, check_orthogonal, flat_axes, start_of
from vesalius.features.spatial.relations import filled_region

_NEARLY_EQUAL = 1.05
"""Largest ratio of spacings that thinning sees as equal; others are first brought to the smallest."""
_SMOOTH_POINTS = 2.0
"""Standard deviation, in points, of the smoothing that takes the staircase out of a centreline."""
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
    """

    segment: str
    branches: tuple[Branch, ...]
    branch_points_mm: F64
    end_points_mm: F64

    @property
    def length_mm(self) -> float:
        """Return the length of all branches."""
        return sum(branch.length_mm for branch in self.branches)

    @property
    def diameter_mm(self) -> float:
        """Return the mean diameter, each branch weighted by its length."""
        return self._mean([float(branch.diameters_mm.mean()) for branch in self.branches])

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
    graph = without_spurs(graph_of(tube.thinned()), tube.radii, prune)
    branches = sorted((_branch(path, tube) for path in graph.paths), key=lambda branch: -branch.length_mm)
    ends = [path.points[k] for path in graph.paths for k, at in ((0, path.ends[0]), (-1, path.ends[1])) if at < 0]
    free = [] if not ends else [point for path, point in _free_points(graph)]
    return VesselTree(
        name, tuple(branches), tube.places(graph.junctions), tube.places(np.array(free).reshape(-1, tube.inside.ndim))
    )


def _free_points(graph: Graph) -> list[tuple[Path, F64]]:
    found = []
    for path in graph.paths:
        if not path.closed:
            found += [(path, path.points[k]) for k, at in ((0, path.ends[0]), (-1, path.ends[1])) if at < 0]
    return found


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
            part = _equal(part, spacing, finest)
            return cls(part, finest, mask, start, finest / spacing)
        return cls(part, float(spacing.mean()), mask, start, np.ones(len(axes)))

    def thinned(self) -> NDArray[np.bool_]:
        from skimage.morphology import skeletonize

        return np.asarray(skeletonize(self.inside), dtype=bool)

    @property
    def radii(self) -> F64:
        """Return the distance to the wall in voxels, 0 outside."""
        depth = ndimage.distance_transform_edt(self.inside)
        # The wall is half a voxel nearer than the centre of the first voxel outside.
        return np.asarray(np.maximum(depth - 0.5, 0) * self.inside)

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
    ratio = spacing / finest
    shape = tuple(int(n) for n in np.floor((np.array(part.shape) - 1) * ratio) + 1)
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
    result = ndimage.affine_transform(depth.astype(np.float32), 1 / ratio, output_shape=shape, order=1)
    return np.asarray(result > 0)


def _branch(path: Path, tube: _Tube) -> Branch:
    points, radii = path.points, tube.radii
    along = ndimage.map_coordinates(radii, points.T, order=1, mode="nearest")
    smooth = _smooth(points, path.closed)
    if not path.closed and len(points) > 1:
        tips = [(k, float(along[k])) for k, at in ((0, path.ends[0]), (-1, path.ends[1])) if at < 0]
        smooth = _drawn_out(smooth, dict(tips))
    places = tube.places(smooth)
    length = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
    chord = 0.0 if path.closed else float(np.linalg.norm(places[-1] - places[0]))
    diameters = 2 * tube.spacing_mm * np.asarray(along, dtype=np.float64)
    return Branch(places, length, chord, diameters, 0 if path.closed else sum(at < 0 for at in path.ends))


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


def _drawn_out(points: F64, tips: dict[int, float]) -> F64:
    """Return the line with free ends drawn out straight to the wall."""
    for end, length in tips.items():
        back = points[min(len(points) - 1, 4)] if end == 0 else points[max(0, len(points) - 5)]
        way = points[end] - back
        size = float(np.linalg.norm(way))
        if size > 0:
            tip = points[end] + way / size * length
            points = np.concatenate([tip[None], points] if end == 0 else [points, tip[None]])
    return points
