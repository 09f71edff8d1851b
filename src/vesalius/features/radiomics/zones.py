"""Grey level size zone and distance zone matrices (IBSI 3.8 and 3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.levels import Levels
from vesalius.features.radiomics.matrices import Matrices, emphases, mean_over_units
from vesalius.features.radiomics.region import border_distance

__all__ = ["DISTANCE_FEATURES", "SIZE_FEATURES", "Zones", "connected_zones", "distance_zones", "size_zones"]

_GREY = ("lgze", "hgze")
SIZE_FEATURES = (
    "sze",
    "lze",
    *_GREY,
    "szlge",
    "szhge",
    "lzlge",
    "lzhge",
    "glnu",
    "glnu_norm",
    "zsnu",
    "zsnu_norm",
    "z_perc",
    "gl_var",
    "zs_var",
    "zs_entr",
)
DISTANCE_FEATURES = (
    "sde",
    "lde",
    *_GREY,
    "sdlge",
    "sdhge",
    "ldlge",
    "ldhge",
    "glnu",
    "glnu_norm",
    "zdnu",
    "zdnu_norm",
    "z_perc",
    "gl_var",
    "zd_var",
    "zd_entr",
)


@dataclass(frozen=True, eq=False)
class Zones:
    """Connected voxels of one level.

    Args:
        of_voxel: zone of each voxel of the intensity mask, from 0, in the order of the array.
        level: level of each zone.
        plane: a slice that each zone lies in.
        planar: zones were kept within slices.
    """

    of_voxel: NDArray[np.int64]
    level: NDArray[Any]
    plane: NDArray[np.int64]
    planar: bool


def connected_zones(levels: Levels, *, planar: bool) -> Zones:
    """Return the zones: 26 neighbours in space, 8 within slices."""
    from skimage.measure import label

    array = levels.array
    if planar:
        # Empty slices in between keep zones of neighbouring slices apart.
        spread = np.zeros((2 * array.shape[0], *array.shape[1:]), dtype=array.dtype)
        spread[::2] = array
    else:
        spread = array
    labelled = label(spread, background=0, connectivity=3)
    inside = array > 0
    of_voxel = labelled[::2][inside] if planar else labelled[inside]
    del labelled
    of_voxel -= 1
    level = np.zeros(int(of_voxel.max()) + 1, dtype=array.dtype)
    level[of_voxel] = levels.at_places
    plane = np.zeros(level.size, dtype=np.int64)
    if planar:
        plane[of_voxel] = levels.planes
    return Zones(of_voxel, level, plane, planar)


def size_zones(levels: Levels, zones: Zones, dimensions: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Return the features of `SIZE_FEATURES` per dimension."""
    return _zone_features(levels, zones, np.bincount(zones.of_voxel), dimensions)


def distance_zones(
    levels: Levels, zones: Zones, morphology: NDArray[np.bool_], dimensions: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Return the features of `DISTANCE_FEATURES` per dimension.

    A zone's distance is the smallest city-block distance of its voxels to the border of the morphological mask.
    """
    distance = border_distance(morphology, zones.planar)[levels.array > 0]
    nearest = np.zeros(zones.level.size, dtype=np.int64)
    # Later assignments win: from far to near leaves each zone its smallest distance.
    far = int(distance.max())
    order = np.argsort((far - distance).astype(np.int16 if far < 1 << 15 else np.int32), kind="stable")
    nearest[zones.of_voxel[order]] = distance[order]
    return _zone_features(levels, zones, nearest, dimensions)


def _zone_features(
    levels: Levels, zones: Zones, column: NDArray[np.int64], dimensions: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    result = {}
    for dimension in dimensions:
        sliced = dimension == "2D"
        voxels = levels.voxels_per_plane if sliced else np.array([levels.places.size])
        matrices = Matrices.counted(zones.plane if sliced else 0, zones.level, column, voxels)
        result[dimension] = mean_over_units(emphases(matrices))[: len(SIZE_FEATURES)]
    return result
