"""A phantom without any symmetry, whose marker lies at a known place in the patient, on any grid.

Used to prove that a format, a reader or an operation neither flips nor shifts an image: the marker's position in LPS
millimetres must stay the same whatever happens to the array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.grid import Affine, parse_orientation

BACKGROUND, BODY, MARKER = -1000.0, 100.0, 2000.0
"""Values in HU: around the body, in it, and at the marker's centre."""
ARMS = ((0, 0.34, 300.0), (1, 0.27, 500.0), (2, 0.20, 700.0))
"""Three bars along +L, +P and +S from the body's centre: world axis, length as a part of the extent, value in HU."""


def grid_affine(
    shape: tuple[int, int, int],
    *,
    orientation: str = "SPL",
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    tilt_deg: float = 0.0,
    centre_mm: tuple[float, float, float] = (12.0, -34.0, 56.0),
) -> Affine:
    """Return an affine from array index to LPS mm whose grid is centred at `centre_mm`.

    Args:
        shape: (slices, rows, columns).
        orientation: axis code of the grid before rotation, such as "SPL".
        spacing_mm: along slice, row, column; for a tilted grid the first is the distance of planes.
        rotation_deg: about L, P and S, in this order.
        tilt_deg: gantry tilt: each slice is shifted along the rows' direction, the planes stay parallel.
    """
    directions = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(parse_orientation(orientation)):
        directions[world, axis] = sign
    directions = _rotation(rotation_deg) @ directions
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing_mm)
    affine[:3, 0] += directions[:, 1] * spacing_mm[0] * np.tan(np.deg2rad(tilt_deg))
    affine[:3, 3] = np.asarray(centre_mm) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def marker_phantom(
    shape: tuple[int, int, int], affine: ArrayLike, *, marker_mm: ArrayLike | None = None, width_mm: float = 0.0
) -> Volume:
    """Return a CT-like int16 volume, analytic in world coordinates, with a bright marker at `marker_mm`.

    A body, three bars of different length and value along +L, +P and +S, and a Gaussian marker.

    Args:
        marker_mm: LPS mm inside the grid; by default the centre of the voxel at about (0.7, 0.3, 0.6) of the shape.
        width_mm: standard deviation of the marker; by default the largest voxel size.

    Raises:
        GeometryError: the marker lies outside the grid.
    """
    grid = Volume(np.zeros(shape, np.int16), np.asarray(affine, dtype=np.float64), modality="CT", unit="[hnsf'U]")
    marker = default_marker_mm(grid) if marker_mm is None else np.asarray(marker_mm, dtype=np.float64)
    if not (np.abs(grid.world_to_index(marker) / np.maximum(np.array(shape) - 1, 1) - 0.5) <= 0.5).all():
        raise GeometryError("the marker lies outside the grid", found=str(marker), expected=f"inside {shape}")
    array = np.empty(shape, np.int16)
    width, extent = width_mm or max(grid.spacing_mm), np.asarray(shape) * np.asarray(grid.spacing_mm)
    for index in range(shape[0]):
        plane = np.moveaxis(np.indices(shape[1:]), 0, -1)
        places = np.concatenate([np.full((*shape[1:], 1), index), plane], axis=-1)
        values = _body(grid.index_to_world(places) - grid.centre_mm(), float(extent.min()))
        distance = ((grid.index_to_world(places) - marker) ** 2).sum(axis=-1)
        weight = np.exp(-distance / (2 * width**2))
        array[index] = np.rint(values * (1 - weight) + MARKER * weight)
    return grid.with_array(array, "marker_phantom", marker_mm=[float(v) for v in marker], width_mm=width)


def default_marker_mm(grid: Volume) -> NDArray[np.float64]:
    """Return the LPS mm position of the voxel where the marker lies unless told otherwise."""
    return grid.index_to_world(np.floor(np.array((0.7, 0.3, 0.6)) * np.array(grid.shape)))


def brightest_mm(volume: Volume) -> NDArray[np.float64]:
    """Return the LPS mm position of the one brightest voxel.

    Raises:
        ImageContentError: several voxels share the highest value.
    """
    places = np.argwhere(volume.array == volume.array.max())
    if len(places) != 1:
        raise ImageContentError("the brightest voxel is not unique", found=f"{len(places)} voxels")
    return volume.index_to_world(places[0])


def marker_centre_mm(volume: Volume, *, threshold: float = 1200.0) -> NDArray[np.float64]:
    """Return the LPS mm centre of gravity of all that is brighter than `threshold`, weighted by the excess.

    Raises:
        ImageContentError: nothing is brighter.
    """
    places = np.argwhere(volume.array > threshold)
    if not len(places):
        raise ImageContentError("no marker found", found=f"maximum {volume.array.max()}", expected=f"> {threshold:g}")
    weights = volume.array[tuple(places.T)].astype(np.float64) - threshold
    return np.asarray(np.average(volume.index_to_world(places), axis=0, weights=weights))


def _body(points: NDArray[np.float64], extent: float) -> NDArray[np.float64]:
    """Return HU at points relative to the body's centre."""
    radii = extent * np.array((0.46, 0.42, 0.38))
    values = np.where(((points / radii) ** 2).sum(axis=-1) <= 1, BODY, BACKGROUND)
    for axis, length, value in ARMS:
        aside = np.delete(points, axis, axis=-1)
        inside = (points[..., axis] >= 0) & (points[..., axis] <= length * extent)
        values = np.where(inside & (np.abs(aside).max(axis=-1) <= 0.06 * extent), value, values)
    return values


def _rotation(angles_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result
