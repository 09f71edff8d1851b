"""Body, lungs and airways on CT, by thresholds, shape and closings in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.grid import Frame
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment.anatomy import hounsfield
from vesalius.segment.anatomy.hounsfield import Array, CtImage, Triple, Yes

BODY, LEFT, RIGHT, AIRWAYS = 1, 2, 3, 4
SEGMENTS = {
    BODY: Segment("body", Code("38266002", "SCT", "Entire body"), (230, 200, 170)),
    LEFT: Segment("left_lung", Code("44029006", "SCT", "Left lung"), (90, 160, 230)),
    RIGHT: Segment("right_lung", Code("3341006", "SCT", "Right lung"), (230, 140, 90)),
    AIRWAYS: Segment("airways", Code("110726009", "SCT", "Trachea and bronchus"), (120, 220, 120)),
}
CLOSING_MM = (10.0, 25.0)
"""In a single slice, where the dome of the liver may be an island in the lung, and in a series."""
BODY_HU, AERATED_HU = -500.0, -280.0
"""Half way between air and skin; between lung, dense lung included, and fat."""
LUMEN_HU = (-500.0, -650.0, -750.0, -820.0)
"""Thresholds at which the lumen of an airway may part from the lung: thin walls are blurred."""
PARTING_MM = 1.5
"""Radius of the opening that parts a lumen from the lung where the wall has a gap."""
GAS_HU = -945.0
"""Gas in bowel or trachea has a lower median than this; aerated lung a higher one, also with emphysema."""
BODY_WIDTH_MM = 350.0
"""Chest of an adult: the scale of pictures that do not tell their pixel size."""
TABLE_MM = 4.0
"""Half the thickness of what is cut off the body: table, blankets."""
LEAST_LUNG_CM2, LEAST_LUNG_ML = 4.0, 20.0
"""Smallest part of a lung in a single slice and in a series."""
GAS_CM2, GAS_ML = 1.0, 1000.0
"""Smaller air, cysts of a honeycomb lung, and more of it than any bowel holds are not judged by their darkness."""
SKIN_MM = 5.0
"""The chest wall is thicker than this."""
SMOOTHING_MM = 0.8
"""Standard deviation of the smoothing in a slice before thresholds: fat with noise is not air."""
JOIN_MM = 3.0
"""Air this close in a slice, half the distance, belongs together: honeycombing, thin tongues."""
AIRWAY_CM2 = (0.5, 7.0)
"""Area of trachea or main bronchus in an axial slice."""
CENTRAL = 0.16
"""Trachea and main bronchi lie this close to the middle of the body, as a part of its width."""
AIRWAY_REACH = 0.1
"""How far an airway reaches from its middle, as a part of the body's depth."""
ENCLOSED = 0.62
"""Share of the surroundings of an airway that is tissue."""
DEPTHS = (0.25, 0.63)
"""And this far behind the front of the body, as parts of its depth."""
LEAST_AIR = 0.12
"""A single slice with less lung, as a part of the body, is not searched for airways: bowel gas looks the same."""
ASIDE = 0.2
"""The border between the lungs lies this close to the middle of the body, as a part of its width."""
CHAIN = 0.15
"""Chains of airway through the slices that are shorter than this part of the largest are something else."""
WALL_MM = 1.5
"""Thickness of the airway wall."""
HILUM_MM = 4.0
"""Radius of the closing at the mediastinal side, where larger ones would take in heart, aorta and hilum."""
FINE_MM, COARSE_MM = 1.5, 2.5
"""The closings of a series work on blocks of up to this size."""


@dataclass(frozen=True, eq=False)
class _Chest:
    """The image and the body in it, axes S, P, L."""

    image: CtImage
    body: Yes
    spacing: Triple

    @property
    def flat(self) -> bool:
        return bool(self.body.shape[0] == 1)


def lungs(
    volume: Volume,
    *,
    closing_mm: float | None = None,
    low_hu: float | None = None,
    high_hu: float | None = None,
    mirrored: bool = False,
) -> Mask:
    """Return body, left lung, right lung and airways of a chest CT; a slice without lung holds no lung.

    Vessels inside a lung and nodules at its costal pleura are lung, trachea and main bronchi (with their walls) are
    not. Left and right are the patient's; a picture without patient coordinates is taken as seen from the feet (the
    patient's left on the right side). Where the pixel size is unknown the body counts as 350 mm wide.

    Args:
        closing_mm: radius of the ball whose closing adds vessels and nodules at the costal pleura; 0 adds none. A
            nodule of half this radius is added nearly whole. Default: 25 in a series, 10 in a single slice.
        low_hu: HU of the darkest stored value of a windowed picture.
        high_hu: HU of its brightest stored value. With neither, values are HU, or estimated from air and tissue.
        mirrored: a picture without patient coordinates shows the patient's left on its left.

    Raises:
        UsageError: no CT, or a parameter out of range.
        GeometryError: colour, a fourth axis, no axial slice, or too small.
        ImageContentError: NaN, or no air and tissue to tell apart.
    """
    radius = (
        CLOSING_MM[volume.shape[0] > 1]
        if closing_mm is None
        else filtering.between("closing_mm", closing_mm, 0, 40, "mm")
    )
    image = hounsfield.ct_image(volume, "lungs", low_hu, high_hu)
    body = _body(image, (1.0, 1.0, 1.0) if volume.spacing.value == "unknown" else image.volume.spacing_mm)
    chest = _Chest(image, body, hounsfield.lengths_mm(image.volume, body, BODY_WIDTH_MM))
    aerated = _inner(body, chest.spacing) & _below(image.hu, AERATED_HU, chest.spacing)
    airways = _airways(chest, aerated)
    found = _lung_parts(chest, aerated & ~_with_walls(airways, chest))
    sides = _sides(chest, found)
    labels = body.astype(np.uint8)
    for side in (LEFT, RIGHT):
        labels[_closed(chest, sides, side, radius) & ~airways] = side
    labels[_with_walls(airways, chest) & (labels <= BODY) & body] = AIRWAYS
    told = {"closing_mm": radius, "values": image.origin, "pixel_mm": round(chest.spacing[1], 4)}
    return _as_mask(volume, image, labels, mirrored, told)


def _as_mask(
    volume: Volume, image: CtImage, labels: NDArray[np.uint8], mirrored: bool, told: dict[str, object]
) -> Mask:
    if mirrored and volume.frame is Frame.IMAGE:
        labels = np.array([0, BODY, RIGHT, LEFT, AIRWAYS], np.uint8)[labels]
    axial = image.volume
    mask = Mask(labels, axial.affine, axial.frame, axial.spacing, volume.history, SEGMENTS)
    mask = mask.reorient(volume.orientation) if volume.frame is Frame.PATIENT else mask
    history = volume.done("lungs", mirrored=mirrored, **told)
    return Mask(mask.array, volume.affine, volume.frame, volume.spacing, history, SEGMENTS)


def _body(image: CtImage, spacing: Triple) -> Yes:
    """Return the largest solid object with its holes filled slice by slice; the table is thinner and falls off."""
    from scipy import ndimage

    opening = TABLE_MM if image.volume.spacing.value != "unknown" else TABLE_MM * image.hu.shape[2] / 450
    solid = hounsfield.ball_opening(image.hu > BODY_HU, opening, spacing)
    body = hounsfield.largest(solid)
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def _inner(body: Yes, spacing: Triple) -> Yes:
    """Return the body without its outermost layer: air between back and table lies there."""
    from scipy.ndimage import binary_erosion

    steps = max(1, round(SKIN_MM / spacing[1]))
    return np.stack([binary_erosion(plane, iterations=steps, border_value=1) for plane in body])


def _below(hu: Array, limit: float, spacing: Triple) -> Yes:
    """Return where a slice is darker than the limit once its noise is smoothed."""
    from scipy.ndimage import gaussian_filter

    result = np.empty(hu.shape, bool)
    for index, plane in enumerate(hu):
        np.less(gaussian_filter(plane.astype(np.float32), SMOOTHING_MM / spacing[1]), limit, out=result[index])
    return result


def _with_walls(airways: Yes, chest: _Chest) -> Yes:
    from scipy.ndimage import binary_dilation

    if not airways.any():
        return airways
    steps = max(1, round(WALL_MM / chest.spacing[1]))
    disc = np.hypot(*np.mgrid[-steps : steps + 1, -steps : steps + 1]) * chest.spacing[1] <= WALL_MM + 0.25
    return np.asarray(binary_dilation(airways, disc[np.newaxis]))


def _airways(chest: _Chest, aerated: Yes) -> Yes:
    """Return the lumen of trachea and main bronchi: small central gas enclosed by tissue, chained through slices."""
    from scipy import ndimage

    found = np.zeros_like(aerated)
    if chest.flat and np.count_nonzero(aerated) < LEAST_AIR * np.count_nonzero(chest.body):
        return found
    typical = float(np.median(chest.image.hu[aerated])) if aerated.any() else 0.0
    for index, plane in enumerate(aerated):
        if plane.any():
            found[index] = _central_air(chest, index, typical)
    if chest.flat or not found.any():
        return found
    labels, _ = ndimage.label(found, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= CHAIN * sizes.max())[labels])


def _central_air(chest: _Chest, index: int, typical: float) -> Yes:
    """Return the parts of one slice that may be an airway: apart from the lung at one of several thresholds."""
    from scipy import ndimage

    result = np.zeros(chest.body[index].shape, bool)
    window = _central_window(chest.body[index])
    sigma = SMOOTHING_MM / 2 / chest.spacing[1]
    hu = ndimage.gaussian_filter(chest.image.hu[index][window].astype(np.float32), sigma)
    body = chest.body[index][window]
    for limit in LUMEN_HU:
        air = body & (hu < limit)
        for candidates in (air, hounsfield.ball_opening(air[np.newaxis], PARTING_MM, chest.spacing)[0]):
            result[window] |= _lumens(chest, hu, candidates, typical)
    return np.asarray(result)


def _central_window(body: Yes) -> tuple[slice, slice]:
    """Return the rows and columns in which airways lie."""
    rows, columns = (np.flatnonzero(body.any(axis=axis)) for axis in (1, 0))
    middle, width = (columns[0] + columns[-1]) / 2, columns[-1] - columns[0] + 1
    front, depth = rows[0], rows[-1] - rows[0] + 1
    spare = AIRWAY_REACH * depth
    down = slice(int(front + DEPTHS[0] * depth - spare), int(front + DEPTHS[1] * depth + spare) + 1)
    return down, slice(max(int(middle - CENTRAL * width), 0), int(middle + CENTRAL * width) + 1)


def _lumens(chest: _Chest, hu: Array, candidates: Yes, typical: float) -> Yes:
    """Return the parts that lie in the window whole, measure what airways do, are no brighter than lung, enclosed."""
    from scipy import ndimage

    result = np.zeros_like(candidates)
    spare = AIRWAY_REACH / (DEPTHS[1] - DEPTHS[0] + 2 * AIRWAY_REACH) * len(candidates)
    pixel_cm2 = chest.spacing[1] * chest.spacing[2] / 100
    labels, _ = ndimage.label(candidates)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if any(part.start == 0 or part.stop == length for part, length in zip(box, labels.shape, strict=True)):
            continue
        member = labels[box] == label
        middle = box[0].start + float(np.nonzero(member)[0].mean())
        if not spare <= middle <= len(labels) - spare:
            continue
        fits = AIRWAY_CM2[0] <= np.count_nonzero(member) * pixel_cm2 <= AIRWAY_CM2[1]
        if fits and np.median(hu[box][member]) <= typical and _enclosed(chest, hu, box, member):
            result[box] |= member
    return result


def _enclosed(chest: _Chest, hu: Array, box: tuple[slice, ...], member: Yes) -> bool:
    """Return whether most of what lies 2 to 5 mm around is tissue."""
    from scipy.ndimage import distance_transform_edt

    reach = int(6 / chest.spacing[1]) + 1
    wide = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in box)
    inner = np.zeros(hu[wide].shape, bool)
    inner[tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(box, wide, strict=True))] = member
    distance = distance_transform_edt(~inner, sampling=chest.spacing[1:])
    ring = (distance > 2) & (distance <= 5)
    return bool((hu[wide][ring] > AERATED_HU).mean() > ENCLOSED)


def _lung_parts(chest: _Chest, aerated: Yes) -> Yes:
    """Return the air in the body that is lung: large enough once neighbours are joined, and no pure gas."""
    from scipy import ndimage

    breathing = aerated & ~_gas(chest, aerated)
    joined = breathing | np.stack([_joined(plane, chest.spacing) for plane in breathing])
    labels, count = ndimage.label(joined)
    if not count:
        return breathing
    sizes = np.bincount(labels[breathing], minlength=count + 1)
    pixel_mm2 = chest.spacing[1] * chest.spacing[2]
    least = LEAST_LUNG_CM2 * 100 / pixel_mm2 if chest.flat else LEAST_LUNG_ML * 1000 / (pixel_mm2 * chest.spacing[0])
    keep = sizes >= least
    keep[0] = False
    return np.asarray(keep[labels] & breathing)


def _joined(plane: Yes, spacing: Triple) -> Yes:
    from scipy.ndimage import binary_opening

    opened = np.asarray(binary_opening(plane), dtype=bool)[np.newaxis]
    return np.asarray(hounsfield.ball_closing(opened, JOIN_MM, spacing)[0])


def _gas(chest: _Chest, aerated: Yes) -> Yes:
    """Return connected air that is as dark as gas: bowel and stomach, not lung."""
    from scipy import ndimage

    labels, count = ndimage.label(aerated)
    if not count or not chest.image.distinct:
        return np.zeros_like(aerated)
    sizes = np.bincount(labels.ravel())
    pixel_mm2 = chest.spacing[1] * chest.spacing[2]
    least = GAS_CM2 * 100 / pixel_mm2
    most = np.inf if chest.flat else GAS_ML * 1000 / (pixel_mm2 * chest.spacing[0])
    gas = np.zeros(count + 1, bool)
    boxes = ndimage.find_objects(labels)
    for label in np.flatnonzero((sizes[1:] >= least) & (sizes[1:] <= most)) + 1:
        box = boxes[label - 1]
        gas[label] = np.median(chest.image.hu[box][labels[box] == label]) < GAS_HU
    return np.asarray(gas[labels])


def _sides(chest: _Chest, found: Yes) -> NDArray[np.uint8]:
    """Return LEFT or RIGHT for every voxel of the lungs."""
    from scipy import ndimage

    result = np.zeros(found.shape, np.uint8)
    columns = np.flatnonzero(chest.body.any(axis=(0, 1)))
    if not columns.size:
        return result
    split = np.zeros(found.shape, np.uint8)
    for index, plane in enumerate(found):
        if plane.any():
            split[index] = _split(chest, index, plane)
    middles = _middles(chest.body)
    places = np.arange(found.shape[2], dtype=np.float32)
    for part in (1, 2):
        labels, count = ndimage.label(split == part)
        if not count:
            continue
        aside = places[np.newaxis, np.newaxis, :] - middles[:, np.newaxis, np.newaxis]
        mean = ndimage.mean(np.broadcast_to(aside, found.shape), labels, np.arange(1, count + 1))
        sides = np.concatenate([[0], np.where(mean > 0, LEFT, RIGHT)]).astype(np.uint8)
        result = np.maximum(result, sides[labels])
    return result


def _middles(body: Yes) -> NDArray[np.float32]:
    """Return the column of the body's middle in each slice."""
    seen = np.asarray(body.any(axis=1))
    first, last = seen.argmax(axis=1), body.shape[2] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.asarray((first + last) / 2, dtype=np.float32)


def _split(chest: _Chest, index: int, plane: Yes) -> NDArray[np.uint8]:
    """Return 1 where a slice's lung lies beyond the path between the lungs, towards higher columns, 2 before it."""
    middle = float(_middles(chest.body[index : index + 1])[0])
    reach = int(ASIDE * np.count_nonzero(chest.body[index].any(axis=0)))
    first, last = max(int(middle) - reach, 0), min(int(middle) + reach + 1, plane.shape[1])
    rows = np.flatnonzero(plane.any(axis=1))
    window = (slice(int(rows[0]), int(rows[-1]) + 1), slice(first, last))
    path = _between(chest.image.hu[index][window], plane[window], middle - first) + first
    beyond = np.arange(plane.shape[1]) >= path[:, np.newaxis]
    result = np.zeros(plane.shape, np.uint8)
    result[window[0]] = np.where(beyond, 1, 2)
    return np.where(plane, result, np.uint8(0))


def _between(hu: Array, plane: Yes, middle: float) -> NDArray[np.int64]:
    """Return one column per row: the path from front to back that crosses the least and the brightest lung.

    Where the lungs touch in front, the pleura between them is blurred but still brighter than lung.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(hu.astype(np.float32), 0.6)
    lung = 0.2 + np.clip((AERATED_HU - smooth) / 600, 0, 1)
    away = np.abs(np.arange(plane.shape[1]) - middle) / max(plane.shape[1], 1)
    total = (np.where(plane, lung, 0.01) + 0.02 * away).astype(np.float64)
    came = np.zeros(total.shape, np.int8)
    shifts = (0, -1, 1, -2, 2)
    for row in range(1, len(total)):
        before = np.pad(total[row - 1], 2, constant_values=np.inf)
        options = np.stack([before[2 + s : 2 + s + total.shape[1]] + 0.01 * abs(s) for s in shifts])
        came[row] = options.argmin(axis=0)
        total[row] += options.min(axis=0)
    path = np.empty(len(total), np.int64)
    at = int(total[-1].argmin())
    for row in range(len(total) - 1, -1, -1):
        path[row] = at
        at += shifts[came[row, at]]
    return path


def _closed(chest: _Chest, sides: NDArray[np.uint8], side: int, closing_mm: float) -> Yes:
    """Return one lung with vessels and pleural nodules, without leaking to the other lung or the mediastinum."""
    from scipy import ndimage

    own, other = sides == side, sides == (LEFT + RIGHT - side)
    if not own.any() or closing_mm == 0:
        return np.asarray(own)
    small = _ball_closing(chest, own, min(HILUM_MM, closing_mm), FINE_MM)
    large = _ball_closing(chest, own, closing_mm, COARSE_MM) & _lateral(own, side)
    result = own | ((small | large) & chest.body & ~other)
    if not chest.flat:
        result = ndimage.binary_fill_holes(result) & ~other
    return np.asarray(result)


def _ball_closing(chest: _Chest, own: Yes, radius_mm: float, coarse_mm: float) -> Yes:
    """Return the closing, found on blocks of up to `coarse_mm` in a series."""
    if chest.flat:
        return hounsfield.ball_closing(own, radius_mm, chest.spacing)
    factors = [max(1, int(coarse_mm / one)) for one in chest.spacing]
    padded = np.pad(own, [(0, -n % f) for n, f in zip(own.shape, factors, strict=True)])
    counts = [n // f for n, f in zip(padded.shape, factors, strict=True)]
    blocks = padded.reshape([part for pair in zip(counts, factors, strict=True) for part in pair])
    coarse = blocks.mean(axis=(1, 3, 5)) >= 0.5
    spacing = tuple(one * f for one, f in zip(chest.spacing, factors, strict=True))
    added = hounsfield.ball_closing(coarse, radius_mm, (spacing[0], spacing[1], spacing[2])) & ~coarse
    for axis, factor in enumerate(factors):
        added = added.repeat(factor, axis=axis)
    return np.asarray(own | added[: own.shape[0], : own.shape[1], : own.shape[2]])


def _lateral(own: Yes, side: int) -> Yes:
    """Return where a row, followed towards the patient's middle, meets this lung again.

    It does so from a nodule at the ribs, and does not from heart, aorta or hilum, beyond which the other lung lies.
    """
    # The left lung lies at higher columns: towards the middle is towards lower ones.
    if side == LEFT:
        return np.asarray(np.maximum.accumulate(own, axis=2))
    return np.asarray(np.maximum.accumulate(own[:, :, ::-1], axis=2)[:, :, ::-1])
