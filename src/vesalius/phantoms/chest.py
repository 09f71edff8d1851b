"""Chest CT with a known answer: lungs with texture and vessels, airways, mediastinum, ribs, nodules at the pleura.

Every structure is analytic in LPS mm around the middle of the chest, so that any grid samples the same patient. What
a scanner adds comes after: slices as thick as they are far apart, blur, correlated noise. The truth is taken at the
centre of each voxel and never blurred.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, UsageError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.phantoms.geometry import grid_affine

Array = NDArray[np.float32]
Yes = NDArray[np.bool_]

BODY, LEFT, RIGHT, AIRWAYS = 1, 2, 3, 4
SEGMENTS: Mapping[int, Segment] = MappingProxyType({
    BODY: Segment("body", Code("38266002", "SCT", "Entire body"), (230, 200, 170)),
    LEFT: Segment("left_lung", Code("44029006", "SCT", "Left lung"), (90, 160, 230)),
    RIGHT: Segment("right_lung", Code("3341006", "SCT", "Right lung"), (230, 140, 90)),
    AIRWAYS: Segment("airways", Code("110726009", "SCT", "Trachea and bronchus"), (120, 220, 120)),
})  # fmt: skip
"""Names and codes of the truth; `segment.anatomy.lungs` uses the same."""

AIR_HU, LUNG_HU, FAT_HU, MUSCLE_HU, BLOOD_HU, LIVER_HU = -1000.0, -860.0, -100.0, 50.0, 45.0, 60.0
NODULE_HU, WALL_HU, BONE_HU, MARROW_HU, TABLE_HU = 30.0, 10.0, 600.0, 180.0, -150.0
DEPENDENT_HU = 250.0
"""How much denser the lung is at its back, in a patient who lies on it."""
EXTENT_MM = (300.0, 290.0, 390.0)
"""Slice, row and column extent of the default grid."""
THINNEST_MM = 2.5
"""A thick slice is the mean of planes at most this far apart."""


@dataclass(frozen=True)
class ChestOptions:
    """How a chest is built and imaged.

    Args:
        spacing_mm: slice, row, column.
        slices: how many, centred at `middle_mm`; None for the whole chest.
        middle_mm: height of the middle of the grid above the middle of the chest.
        nodules_mm: diameters of solid nodules centred at the costal pleura, sides alternate.
        noise_hu: standard deviation.
        junction_mm: thickness of the septum where the lungs meet in front; below a voxel they touch.
        seed: of the patient's shape, vessels, places of nodules and noise.
    """

    spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0)
    slices: int | None = None
    middle_mm: float = 0.0
    nodules_mm: tuple[float, ...] = (8.0, 12.0, 16.0, 20.0)
    noise_hu: float = 20.0
    junction_mm: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SimulatedChest:
    """An image and its answer on one grid.

    Args:
        image: int16 HU.
        truth: body (without the rest), left_lung and right_lung (with vessels and nodules), airways (with walls).
        nodules: centre in LPS mm and radius in mm of each nodule.
    """

    image: Volume
    truth: Mask
    nodules: tuple[tuple[NDArray[np.float64], float], ...]


@dataclass(frozen=True)
class _Tube:
    """A straight piece of a vessel or airway: ends in mm, lumen radius and wall in mm."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: float
    wall: float = 0.0


@dataclass(frozen=True)
class _Patient:
    """Where the structures of one patient are."""

    scale: NDArray[np.float64]
    heart: NDArray[np.float64]
    domes: tuple[float, float]
    junction_mm: float
    airways: tuple[_Tube, ...]
    vessels: tuple[_Tube, ...]
    nodules: tuple[tuple[NDArray[np.float64], float], ...] = ()


@dataclass
class _Plane:
    """HU and truth of one plane, and the coordinates of its pixels in mm of the standard chest."""

    x: Array
    y: Array
    z: float
    hu: Array
    truth: NDArray[np.uint8]


def simulate_chest(options: ChestOptions | None = None) -> SimulatedChest:
    """Return a chest CT in HU with its answer.

    Raises:
        UsageError: a spacing, a diameter or the noise is out of range.
    """
    chosen = options or ChestOptions()
    _check(chosen)
    rng = np.random.default_rng(chosen.seed)
    patient = _patient(chosen, rng)
    shape, affine = _grid(chosen)
    image, truth = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    heights = affine[2, 3] + affine[2, 0] * np.arange(shape[0])
    x, y = np.meshgrid(
        affine[0, 3] + affine[0, 2] * np.arange(shape[2]), affine[1, 3] + affine[1, 1] * np.arange(shape[1])
    )
    parts = max(1, int(np.ceil(chosen.spacing_mm[0] / THINNEST_MM)))
    offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * chosen.spacing_mm[0]
    for index, height in enumerate(heights):
        truth[index] = _paint(patient, x, y, height).truth
        planes = [_paint(patient, x, y, height + offset).hu for offset in offsets]
        image[index] = np.mean(planes, axis=0)
    array = _scanned(image, truth, chosen, rng)
    volume = Volume(array, affine, modality="CT", unit="[hnsf'U]")
    volume = volume.with_array(array, "simulate_chest", seed=chosen.seed, noise_hu=chosen.noise_hu)
    answer = Mask(truth, affine, history=volume.history, segments=dict(SEGMENTS))
    return SimulatedChest(volume, answer, patient.nodules)


def _check(options: ChestOptions) -> None:
    if not all(0.3 <= one <= 10 for one in options.spacing_mm):
        raise UsageError("spacing of a phantom", found=str(options.spacing_mm), expected="0.3 to 10 mm along each axis")
    if options.slices is not None and options.slices < 1:
        raise UsageError("a phantom has at least one slice", found=str(options.slices))
    if options.noise_hu < 0 or any(not 0 < one <= 60 for one in options.nodules_mm):
        raise UsageError(
            "noise is not negative and nodules measure up to 60 mm",
            found=f"noise {options.noise_hu:g} HU, nodules {options.nodules_mm}",
        )


def _grid(options: ChestOptions) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    counts = [round(extent / one) for extent, one in zip(EXTENT_MM, options.spacing_mm, strict=True)]
    shape = (options.slices or counts[0], counts[1], counts[2])
    return shape, grid_affine(shape, spacing_mm=options.spacing_mm, centre_mm=(0.0, 5.0, options.middle_mm))


def _patient(options: ChestOptions, rng: np.random.Generator) -> _Patient:
    scale = 1 + np.clip(rng.normal(0, 0.04, 3), -0.08, 0.08)
    heart = np.array([26.0, -30.0, -45.0]) + rng.normal(0, 4, 3)
    domes = (float(-88 + rng.normal(0, 6)), float(-98 + rng.normal(0, 6)))
    patient = _Patient(scale, heart, domes, options.junction_mm, _airways(rng), _vessels(rng))
    nodules = tuple(
        _nodule(patient, side, width / 2, rng) for side, width in zip(_sides(), options.nodules_mm, strict=False)
    )
    return replace(patient, nodules=nodules)


def _sides() -> Iterator[int]:
    while True:
        yield from (1, -1)


def _airways(rng: np.random.Generator) -> tuple[_Tube, ...]:
    """Return trachea and main bronchi; lobar bronchi belong to the lung."""
    carina = np.array([0.0, 18.0, 28.0]) + rng.normal(0, 2, 3)
    radius = float(rng.uniform(7.5, 9.5))
    top = np.array([0.0, -5.0, 200.0])
    left, right = np.array([40.0, 24.0, 5.0]), np.array([-34.0, 22.0, 8.0])
    tubes = [_Tube(carina, top, radius, 1.5)]
    tubes += [_Tube(carina, end, 0.7 * radius, 1.3) for end in (left, right)]
    return tuple(tubes)


def _vessels(rng: np.random.Generator) -> tuple[_Tube, ...]:
    """Return two trees per lung that start at the hilum and grow thinner."""
    tubes: list[_Tube] = []
    for side in (1.0, -1.0):
        for _ in range(9):
            start = np.array([side * 38.0, 12.0, 0.0]) + rng.normal(0, 6, 3)
            direction = np.array([side * rng.uniform(0.5, 1), rng.uniform(-0.8, 0.9), rng.uniform(-1, 1)])
            _grow(tubes, start, direction, float(rng.uniform(4, 7)), rng)
    return tuple(tubes)


def _grow(tubes: list[_Tube], start: NDArray[np.float64], way: NDArray[np.float64], radius: float,
          rng: np.random.Generator) -> None:  # fmt: skip
    if radius < 0.8:
        return
    end = start + way / np.linalg.norm(way) * radius * rng.uniform(4, 8)
    tubes.append(_Tube(start, end, radius))
    for _ in range(2):
        _grow(tubes, end, way / np.linalg.norm(way) + rng.normal(0, 0.45, 3), radius * rng.uniform(0.62, 0.82), rng)


def _nodule(patient: _Patient, side: int, radius: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return a place at the costal pleura of one side, in mm of the grid."""
    height, angle = float(rng.uniform(-60, 70)), float(rng.uniform(-0.9, 0.9))
    wide, deep = _cavity(height)
    way = np.array([side * np.cos(angle), np.sin(angle)])
    reach = (np.abs(way[0] / wide) ** 2.3 + np.abs(way[1] / deep) ** 2.3) ** (-1 / 2.3)
    place = np.array([way[0] * reach, way[1] * reach, height]) * patient.scale
    return place, radius


def _cavity(z: float) -> tuple[float, float]:
    """Return the half axes of the chest cavity along x and y at a height; small above the apex."""
    share = np.sqrt(max(1 - (max(z + 50.0, 0.0) / 185.0) ** 2, 1e-6))
    return 136.0 * share, 92.0 * share


def _paint(patient: _Patient, x: NDArray[np.float64], y: NDArray[np.float64], height: float) -> _Plane:
    """Return HU and truth of one plane."""
    scaled_x, scaled_y = (x / patient.scale[0]).astype(np.float32), (y / patient.scale[1]).astype(np.float32)
    plane = _Plane(
        scaled_x, scaled_y, height / patient.scale[2], np.full(x.shape, AIR_HU, np.float32), np.zeros(x.shape, np.uint8)
    )
    cavity = _wall(plane)
    lung = cavity & ~_middle(patient, plane)
    left, right = lung & (plane.x >= _septum(plane)), lung & (plane.x < _septum(plane))
    plane.truth[left], plane.truth[right] = LEFT, RIGHT
    plane.hu[lung] = LUNG_HU + 0.25 * plane.y[lung] + DEPENDENT_HU * np.clip((plane.y[lung] - 45) / 40, 0, 1) ** 2
    _tubes(patient.vessels, plane, lung)
    for centre, radius in patient.nodules:
        near = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (height - centre[2]) ** 2 <= radius**2
        plane.hu[near & (plane.truth > 0)] = NODULE_HU
    _tubes(patient.airways, plane, plane.truth > 0)
    return plane


def _wall(plane: _Plane) -> Yes:
    """Paint table, skin, fat, muscle, ribs and spine; return the cavity."""
    table = (np.abs(plane.y - 132 + 1e-3 * plane.x**2) < 3) & (np.abs(plane.x) < 185)
    plane.hu[table] = TABLE_HU
    body = _within(plane, 172.0, 116.0, 2.6)
    plane.hu[body], plane.truth[body] = MUSCLE_HU, BODY
    plane.hu[body & ~_within(plane, 156.0, 104.0, 2.5)] = FAT_HU
    plane.hu[body & ~_within(plane, 170.0, 114.0, 2.6)] = MUSCLE_HU
    wide, deep = _cavity(plane.z)
    cavity = _within(plane, wide, deep, 2.3)
    shell = _within(plane, wide + 11, deep + 11, 2.3) & ~_within(plane, wide + 3, deep + 3, 2.3)
    phase = np.mod(plane.z + 0.35 * plane.y + 0.05 * np.abs(plane.x), 26.0)
    plane.hu[shell & (phase < 10) & body] = BONE_HU
    plane.hu[shell & (phase > 2) & (phase < 8) & body] = MARROW_HU
    spine = (plane.x / 22) ** 2 + ((plane.y - 74) / 24) ** 2
    plane.hu[(spine < 1) & body] = BONE_HU
    plane.hu[(spine < 0.82) & body] = MARROW_HU
    return np.asarray(cavity & (plane.z < 135.0) & (spine > 1.25))


def _within(plane: _Plane, wide: float, deep: float, power: float) -> Yes:
    return np.asarray(np.abs(plane.x / wide) ** power + np.abs(plane.y / deep) ** power <= 1)


def _septum(plane: _Plane) -> Array:
    """Return where left and right meet: a little to the left in front."""
    return np.asarray(np.where(plane.y < 0, -0.08 * plane.y, 0), dtype=np.float32)


def _middle(patient: _Patient, plane: _Plane) -> Yes:
    """Paint mediastinum, heart, aorta and diaphragm; return where they are."""
    aside = np.abs(plane.x - _septum(plane))
    open_front = np.clip((plane.y + 66) / 18, 0, 1) * (30 + 0.04 * np.abs(plane.z))
    middle = aside < np.maximum(open_front, patient.junction_mm / 2)
    retrosternal = (plane.y < -78) & (aside < 14 * np.clip((-78 - plane.y) / 10, 0, 1))
    middle |= retrosternal
    plane.hu[middle & (plane.truth > 0)] = FAT_HU + 100
    heart = _ellipsoid(plane, patient.heart, (60, 46, 56))
    aorta = ((plane.x - 27) ** 2 + (plane.y - 52) ** 2 < 12.5**2) | _ellipsoid(plane, (-8, -20, 55), (22, 20, 60))
    blood = heart | aorta
    plane.hu[blood & (plane.truth > 0)] = BLOOD_HU
    domes = _ellipsoid(plane, (-68, -5, patient.domes[0] - 90), (76, 88, 90))
    domes |= _ellipsoid(plane, (68, -5, patient.domes[1] - 90), (74, 86, 90))
    inner = domes & (plane.truth > 0) & ~heart
    plane.hu[inner] = LIVER_HU
    plane.hu[inner & _ellipsoid(plane, (62, -25, patient.domes[1] - 32), (26, 22, 18))] = AIR_HU
    return np.asarray(middle | blood | domes)


def _ellipsoid(
    plane: _Plane, centre: tuple[float, float, float] | NDArray[np.float64], radii: tuple[float, float, float]
) -> Yes:
    total = ((plane.x - centre[0]) / radii[0]) ** 2 + ((plane.y - centre[1]) / radii[1]) ** 2
    return np.asarray(total + ((plane.z - centre[2]) / radii[2]) ** 2 < 1)


def _tubes(tubes: tuple[_Tube, ...], plane: _Plane, allowed: Yes) -> None:
    """Paint tubes: vessels change HU only, airways (with a wall) also the truth."""
    lumen, wall = np.zeros(allowed.shape, bool), np.zeros(allowed.shape, bool)
    for tube in tubes:
        reach = tube.radius + tube.wall
        if not min(tube.start[2], tube.end[2]) - reach <= plane.z <= max(tube.start[2], tube.end[2]) + reach:
            continue
        box = _box(tube, plane, reach)
        distance = _distance(tube, plane, box)
        lumen[box] |= distance < tube.radius
        wall[box] |= distance < reach
    walled = any(tube.wall for tube in tubes)
    if walled:
        plane.hu[wall & allowed], plane.truth[wall & allowed] = WALL_HU, AIRWAYS
    plane.hu[lumen & allowed] = AIR_HU if walled else BLOOD_HU


def _box(tube: _Tube, plane: _Plane, reach: float) -> tuple[slice, slice]:
    """Return the part of the plane that a tube can touch."""
    found = []
    for line, axis in ((plane.y[:, 0], 1), (plane.x[0], 0)):
        low, high = min(tube.start[axis], tube.end[axis]) - reach, max(tube.start[axis], tube.end[axis]) + reach
        found.append(slice(int(np.searchsorted(line, low)), int(np.searchsorted(line, high)) + 1))
    return found[0], found[1]


def _distance(tube: _Tube, plane: _Plane, box: tuple[slice, slice]) -> Array:
    way = tube.end - tube.start
    from_start = (plane.x[box] - tube.start[0], plane.y[box] - tube.start[1], plane.z - tube.start[2])
    along = np.clip(sum(a * b for a, b in zip(from_start, way, strict=True)) / float(way @ way), 0, 1)
    square = sum((a - along * b) ** 2 for a, b in zip(from_start, way, strict=True))
    return np.asarray(np.sqrt(square), dtype=np.float32)


def _scanned(
    image: Array, truth: NDArray[np.uint8], options: ChestOptions, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add texture of the lung, blur and noise."""
    from scipy.ndimage import gaussian_filter

    spacing = np.asarray(options.spacing_mm)
    sigma = np.where(np.asarray(image.shape) > 1, 2.0 / spacing, 0)
    texture = gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), sigma)
    texture *= 30.0 / max(float(texture.std()), 1e-6)
    lung = (image < -700) & ((truth == LEFT) | (truth == RIGHT))
    image[lung] += texture[lung]
    image = gaussian_filter(image, [0, 0.6 / spacing[1], 0.6 / spacing[2]])
    noise = gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), [0, 0.6, 0.6])
    image += noise * np.float32(options.noise_hu / max(float(noise.std()), 1e-6))
    return np.asarray(np.clip(np.rint(image), -1024, 3071), dtype=np.int16)


def otsu_line(volume: Volume, *, opening_mm: float = 2.0) -> NDArray[np.bool_]:
    """Return lungs by Otsu's threshold, opening and hole filling: the plain line that a recipe must beat.

    Air that reaches the border of a slice is outside; airways stay in, nodules at the pleura stay out.

    Raises:
        GeometryError: the grid is sheared.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    if volume.is_sheared:
        raise GeometryError("the line works on orthogonal grids", fix="imaging.spatial.to_orthogonal(volume)")
    air = volume.array < threshold_otsu(volume.array)
    result = np.zeros(volume.shape, bool)
    steps = max(1, round(opening_mm / volume.spacing_mm[1])) if volume.spacing.value != "unknown" else 2
    for index, plane in enumerate(air):
        labels, _ = ndimage.label(plane)
        border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inner = ndimage.binary_opening(plane & ~np.isin(labels, border), iterations=steps)
        result[index] = ndimage.binary_fill_holes(inner)
    return result
