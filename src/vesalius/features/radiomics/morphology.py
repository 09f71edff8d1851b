"""Morphological features (IBSI 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from vesalius.features.radiomics.autocorrelation import moran_and_geary
from vesalius.features.radiomics.enclosing import ellipsoid_area, enclosing_box_mm, enclosing_ellipsoid_mm
from vesalius.features.radiomics.mesh import outer_vertices, surface
from vesalius.features.radiomics.region import Region

__all__ = ["FEATURES", "morphology"]

FEATURES = (
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
    "vol_dens_ombb",
    "area_dens_ombb",
    "vol_dens_aee",
    "area_dens_aee",
    "vol_dens_mvee",
    "area_dens_mvee",
    "vol_dens_conv_hull",
    "area_dens_conv_hull",
    "integ_int",
    "moran_i",
    "geary_c",
)


def morphology(region: Region) -> NDArray[np.float64]:
    """Return the features of `FEATURES`, lengths in mm.

    Volume and area are those of the marching-cubes mesh of the morphological mask; the approximate volume counts its
    voxels. Intensities come from the intensity mask.
    """
    mesh = surface(region.morphology, region.spacing_mm)
    volume, area = mesh.volume_mm3, mesh.area_mm2
    count = int(np.count_nonzero(region.morphology))
    cell = float(np.prod(region.spacing_mm))
    ratio = 36 * np.pi * volume**2 / area**3
    shape = [
        volume,
        count * cell,
        area,
        area / volume,
        volume / (np.pi**0.5 * area**1.5),
        ratio,
        ratio ** (-1 / 3),
        ratio ** (1 / 3),
        ratio ** (-1 / 3) - 1,
    ]
    centre, spread = _moments(region.morphology, region.spacing_mm, count)
    shift = float(np.linalg.norm(centre - _weighted_centre(region)))
    lengths, axes = np.linalg.eigh(spread)
    semi = 2 * np.sqrt(np.maximum(lengths, 0))[::-1]
    spread_out = [*(2 * semi), _over(semi[1], semi[0]), _over(semi[2], semi[0])]
    diameter, densities = _densities((volume, area), region, semi, axes)
    mean = region.distribution.mean(region.distribution.values)
    return np.array([*shape, shift, diameter, *spread_out, *densities, mean * volume, *moran_and_geary(region)])


def _over(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")


def _moments(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre in mm from the first voxel of the box, and the sample covariance of the voxel centres in mm2."""
    planes = np.count_nonzero(mask, axis=0), np.count_nonzero(mask, axis=1), np.count_nonzero(mask, axis=2)
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
    grey = np.where(region.intensity, region.image, 0)
    rows = np.einsum("zyx->zy", grey, dtype=np.float64)
    columns = np.einsum("zyx->x", grey, dtype=np.float64)
    total = float(rows.sum())
    sums = rows.sum(axis=1), rows.sum(axis=0), columns
    along = [s @ np.arange(s.size) for s in sums]
    return np.array(along) * region.spacing_mm / total if total != 0 else np.full(3, np.nan)


def _densities(
    mesh: tuple[float, float], region: Region, semi: NDArray[np.float64], axes: NDArray[np.float64]
) -> tuple[float, list[float]]:
    """Return the largest distance of two mesh vertices and the ten volume and area densities."""
    points = outer_vertices(region.morphology) * region.spacing_mm
    try:
        hull = ConvexHull(points)
        corners, hull_volume, hull_area = points[hull.vertices], float(hull.volume), float(hull.area)
    except QhullError:
        corners, hull_volume, hull_area = points, float("nan"), float("nan")
    box = np.asarray(region.morphology.shape) * region.spacing_mm
    tight = enclosing_box_mm(corners, axes)
    around = enclosing_ellipsoid_mm(corners)
    enclosing = [(float(np.prod(b)), 2 * float(b[0] * b[1] + b[0] * b[2] + b[1] * b[2])) for b in (box, tight)]
    enclosing += [(4 * np.pi / 3 * float(np.prod(s)), ellipsoid_area(s)) for s in (semi, around)]
    enclosing.append((hull_volume, hull_area))
    densities = [_over(part, whole) for pair in enclosing for part, whole in zip(mesh, pair, strict=True)]
    return _largest_distance(corners), densities


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
