"""Morphological features (IBSI 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from vesalius.features.radiomics.autocorrelation import moran_and_geary
from vesalius.features.radiomics.enclosing import ellipsoid_area, enclosing_box_mm, enclosing_ellipsoid_mm
from vesalius.features.radiomics.mesh import Surface, outer_vertices, surface
from vesalius.features.radiomics.region import Region
from vesalius.features.radiomics.settings import Family

__all__ = ["FEATURES", "morphology"]

FEATURES = {
    Family.MORPHOLOGY: (
        "volume",
        "vol_approx",
        "area_mesh",
        "av",
        "comp_1",
        "comp_2",
        "sph_dispr",
        "sphericity",
        "asphericity",
        "com",
        "diam",
        "pca_maj_axis",
        "pca_min_axis",
        "pca_least_axis",
        "pca_elongation",
        "pca_flatness",
        "vol_dens_aabb",
        "area_dens_aabb",
        "vol_dens_aee",
        "area_dens_aee",
        "vol_dens_conv_hull",
        "area_dens_conv_hull",
        "integ_int",
    ),
    Family.ENCLOSING: ("vol_dens_ombb", "area_dens_ombb", "vol_dens_mvee", "area_dens_mvee"),
    Family.AUTOCORRELATION: ("moran_i", "geary_c"),
}


_MANY_POINTS = 1000


@dataclass(frozen=True, eq=False)
class _Body:
    """The mask as a solid: mesh, axes and the corners of its convex hull in mm."""

    mesh: Surface
    corners: NDArray[np.float64]
    hull: tuple[float, float]
    centre: NDArray[np.float64]
    semi_axes: NDArray[np.float64]
    axes: NDArray[np.float64]

    @classmethod
    def of(cls, region: Region, hull: bool) -> _Body:
        corners = outer_vertices(region.morphology) * region.spacing_mm
        corners, size = _convex_hull(corners) if hull else (corners, (math.nan, math.nan))
        centre, spread = _moments(region.morphology, region.spacing_mm)
        lengths, axes = np.linalg.eigh(spread)
        semi = 2 * np.sqrt(np.maximum(lengths, 0))[::-1]
        return cls(surface(region.morphology, region.spacing_mm), corners, size, centre, semi, axes)

    def densities(self, *bodies: tuple[float, float]) -> list[float]:
        """Return volume and area density for the (volume, area) of each enclosing body."""
        own = self.mesh.volume_mm3, self.mesh.area_mm2
        return [_over(part, whole) for body in bodies for part, whole in zip(own, body, strict=True)]


def _convex_hull(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the corners of the convex hull, its volume and its area; all points and NaN for a flat body."""
    if len(points) > _MANY_POINTS:
        # Qhull takes half the time for points in no order.
        points = points[np.random.default_rng(0).permutation(len(points))]
    try:
        found = ConvexHull(points)
    except QhullError:
        return points, (math.nan, math.nan)
    return points[found.vertices], (float(found.volume), float(found.area))


def morphology(region: Region, families: tuple[Family, ...], *, hull: bool = True) -> dict[Family, NDArray[np.float64]]:
    """Return the features of `FEATURES` for each morphological family that is wanted.

    Lengths are in mm. Volume and area are those of the marching-cubes mesh of the morphological mask; the approximate
    volume counts its voxels. Intensities come from the intensity mask. Without `hull` both densities of the convex
    hull are NaN and it is not computed.
    """
    result = {}
    wanted = [family for family in FEATURES if family in families]
    if Family.AUTOCORRELATION in wanted:
        result[Family.AUTOCORRELATION] = np.array(moran_and_geary(region))
    if len(wanted) > len(result):
        body = _Body.of(region, hull or Family.ENCLOSING in wanted)
        if Family.MORPHOLOGY in wanted:
            result[Family.MORPHOLOGY] = _shape(region, body)
        if Family.ENCLOSING in wanted:
            box, ellipsoid = enclosing_box_mm(body.corners, body.axes), enclosing_ellipsoid_mm(body.corners)
            result[Family.ENCLOSING] = np.array(body.densities(_box(box), _ellipsoid(ellipsoid)))
    return result


def _box(edges: NDArray[np.float64]) -> tuple[float, float]:
    a, b, c = (float(edge) for edge in edges)
    return a * b * c, 2 * (a * b + a * c + b * c)


def _ellipsoid(semi_axes: NDArray[np.float64]) -> tuple[float, float]:
    return 4 * math.pi / 3 * float(semi_axes.prod()), ellipsoid_area(semi_axes)


def _shape(region: Region, body: _Body) -> NDArray[np.float64]:
    volume, area = body.mesh.volume_mm3, body.mesh.area_mm2
    count = int(np.count_nonzero(region.morphology))
    ratio = 36 * math.pi * volume**2 / area**3
    semi = body.semi_axes
    edges = np.asarray(region.morphology.shape) * region.spacing_mm
    mean = region.distribution.mean(region.distribution.values)
    return np.array(
        [
            volume,
            count * math.prod(region.spacing_mm),
            area,
            area / volume,
            volume / (math.pi**0.5 * area**1.5),
            ratio,
            ratio ** (-1 / 3),
            ratio ** (1 / 3),
            ratio ** (-1 / 3) - 1,
            float(np.linalg.norm(body.centre - _weighted_centre(region))),
            _largest_distance(body.corners),
            *(2 * semi),
            _over(semi[1], semi[0]),
            _over(semi[2], semi[0]),
            *body.densities(_box(edges), _ellipsoid(semi), body.hull),
            mean * volume,
        ]
    )


def _over(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")


def _moments(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre in mm from the first voxel of the box, and the sample covariance of the voxel centres in mm2."""
    count = int(np.count_nonzero(mask))
    narrow = np.min_scalar_type(max(mask.shape))
    planes = [mask.view(np.uint8).sum(axis=axis, dtype=narrow).astype(np.int64) for axis in range(3)]
    where = [np.arange(n) * s for n, s in zip(mask.shape, spacing_mm, strict=True)]
    lines = planes[2].sum(axis=1), planes[2].sum(axis=0), planes[1].sum(axis=0)
    centre = np.array([line @ at for line, at in zip(lines, where, strict=True)]) / count
    away = [at - middle for at, middle in zip(where, centre, strict=True)]
    spread = np.empty((3, 3))
    for axis in range(3):
        spread[axis, axis] = lines[axis] @ (away[axis] ** 2)
    spread[0, 1] = spread[1, 0] = away[0] @ planes[2] @ away[1]
    spread[0, 2] = spread[2, 0] = away[0] @ planes[1] @ away[2]
    spread[1, 2] = spread[2, 1] = away[1] @ planes[0] @ away[2]
    return centre, spread / (count - 1)


def _weighted_centre(region: Region) -> NDArray[np.float64]:
    """Return the intensity-weighted centre in mm from the first voxel of the box."""
    if region.image.dtype.kind in "iu":
        grey = np.multiply(region.image, region.intensity)
    else:
        grey = np.where(region.intensity, region.image, 0)
    # Sums over the slices of small integers are exact in 32 bits, and quicker there.
    small = grey.dtype.kind in "iu" and grey.dtype.itemsize <= 2 and len(grey) < 1 << 15
    plane = grey.sum(axis=0, dtype=np.int32 if small else np.float64).astype(np.float64)
    total = float(plane.sum())
    sums = np.einsum("zyx->z", grey, dtype=np.float64), plane.sum(axis=1), plane.sum(axis=0)
    along = [s @ np.arange(s.size) for s in sums]
    return np.array(along) * region.spacing_mm / total if total != 0 else np.full(3, np.nan)


def _largest_distance(points: NDArray[np.float64]) -> float:
    """Return the largest distance between two points."""
    far = points - points.mean(axis=0)
    if len(points) > 600:
        # Both ends of the longest line lie outside the ball around the middle whose diameter some line reaches.
        radius = np.linalg.norm(far, axis=1)
        reached = float(np.linalg.norm(far - far[int(radius.argmax())], axis=1).max())
        far = far[radius >= reached - radius.max()]
    if len(far) <= 3000:
        return float(pdist(far).max())
    return max(float(np.linalg.norm(far[i + 1 :] - far[i], axis=1).max()) for i in range(len(far) - 1))
