"""Skull and intracranial space on head CT: what a closed ring of bone encloses."""

from __future__ import annotations

import numpy as np

from vesalius.core.code import Code
from vesalius.core.grid import Frame
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment.anatomy import hounsfield
from vesalius.segment.anatomy.hounsfield import Array, CtImage, Triple, Yes

SKULL, INTRACRANIAL = 1, 2
SEGMENTS = {
    SKULL: Segment("skull", Code("89546000", "SCT", "Skull"), (240, 230, 200)),
    INTRACRANIAL: Segment("intracranial", Code("1101003", "SCT", "Intracranial structure"), (230, 200, 120)),
}
CLOSING_MM = 12.0
WIDER = (1.7, 3.0)
"""Multiples of the gap that are tried where the ring stays open."""
BONE_HU = 180.0
"""Brighter than clotted blood (100 HU) and most contrast, darker than thin bone."""
AIR_HU = -300.0
DARK = 0.12
"""In a windowed picture what is darker than this part of the range is air."""
HEAD_WIDTH_MM = 150.0
"""Shorter side of an adult's head in an axial slice: the scale of pictures that do not tell their pixel size."""
BONE_SHARE = 0.55
"""In a windowed picture bone is brighter than brain by this part of the way to the brightest."""
BRIGHTEST = 98.0
"""Percentile of the head that stands for bone in a windowed picture."""
NECK_MM = 6.0
"""Half the width of what is cut off: orbits, sinuses, gaps in the base."""
DENT_MM = (6.0, 20.0)
"""Bright dents of the space up to this radius are taken in: in HU, and in a picture where blood looks like bone."""
THINNEST_SKULL_MM = 4.0
"""But not this close to the outer surface of the skull."""
LEAST_CM2 = 4.0
"""Smallest intracranial area in a slice."""
FORAMEN_CM2 = 12.0
"""Going down, the intracranial space ends where its area falls below this: foramen magnum."""
SMOOTHING_MM = 0.7


def intracranial(
    volume: Volume,
    *,
    closing_mm: float = CLOSING_MM,
    low_hu: float | None = None,
    high_hu: float | None = None,
) -> Mask:
    """Return skull and intracranial space of a head CT, a series or an axial slice; both empty without a ring of bone.

    In a windowed picture bone is what is far brighter than brain; fresh blood that is as bright and touches the skull
    is then smoothed over. Where the pixel size is unknown the head counts as 150 mm wide.

    Args:
        closing_mm: widest gap of a thick skull that is bridged; in a single slice without a closed ring, as at the base
            or after a craniectomy, and between slices with one, gaps up to three times as wide are tried.
        low_hu: HU of the darkest stored value of a windowed picture.
        high_hu: HU of its brightest stored value.

    Raises:
        UsageError: no CT, or a parameter out of range.
        GeometryError: colour, a fourth axis, no axial slice, or too small.
        ImageContentError: NaN, or no air and tissue to tell apart.
    """
    filtering.between("closing_mm", closing_mm, 0, 40, "mm")
    image = hounsfield.ct_image(volume, "intracranial", low_hu, high_hu)
    values, air = _brightness(image)
    head = _head(values, air)
    spacing = _lengths(image.volume, head)
    bone = head & (_smooth(values, spacing) > _bone_limit(image, values[head]))
    gaps = (closing_mm, DENT_MM[image.origin == "estimated"])
    inside = np.stack([_enclosed(b, h, gaps, spacing) for b, h in zip(bone, head, strict=True)])
    for index in _open_slices(inside) if closing_mm else ():
        for wider in WIDER:
            if not inside[index].any():
                inside[index] = _enclosed(bone[index], head[index], (wider * closing_mm, gaps[1]), spacing)
    inside = _connected(inside, spacing)
    labels = np.zeros(image.hu.shape, np.uint8)
    labels[_skull(bone, inside)] = SKULL
    labels[inside] = INTRACRANIAL
    told = {"closing_mm": closing_mm, "values": image.origin, "pixel_mm": round(spacing[1], 4)}
    axial = image.volume
    mask = Mask(labels, axial.affine, axial.frame, axial.spacing, volume.history, SEGMENTS)
    mask = mask.reorient(volume.orientation) if volume.frame is Frame.PATIENT else mask
    history = volume.done("intracranial", **told)
    return Mask(mask.array, volume.affine, volume.frame, volume.spacing, history, SEGMENTS)


def _brightness(image: CtImage) -> tuple[Array, float]:
    """Return the values that are compared and the limit of air: HU, or those of a picture in a window for the brain."""
    if image.origin != "estimated":
        return image.hu, AIR_HU
    grey = image.volume.array.astype(np.float32)
    low, high = (float(one) for one in np.percentile(grey, (1, 99.5)))
    return grey, low + DARK * (high - low)


def _head(values: Array, limit: float) -> Yes:
    """Return the largest object that is not air, holes filled slice by slice."""
    from scipy import ndimage

    solid = hounsfield.largest(np.stack([ndimage.binary_opening(plane > limit, iterations=2) for plane in values]))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in solid])


def _lengths(volume: Volume, head: Yes) -> Triple:
    """Return mm per voxel, from the shorter side of the head where the picture does not tell."""
    rows, columns = (np.flatnonzero(head.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if rows.size and columns.size and rows[-1] - rows[0] < columns[-1] - columns[0]:
        head = head.transpose(0, 2, 1)
    return hounsfield.lengths_mm(volume, head, HEAD_WIDTH_MM)


def _smooth(hu: Array, spacing: Triple) -> Array:
    from scipy.ndimage import gaussian_filter

    sigma = SMOOTHING_MM / spacing[1]
    return np.asarray(gaussian_filter(hu.astype(np.float32), (0, sigma, sigma)))


def _bone_limit(image: CtImage, values: Array) -> float:
    """Return the value above which a voxel is bone; in a windowed picture between brain and the brightest.

    Args:
        values: of the head.
    """
    if image.origin != "estimated" or not values.size:
        return BONE_HU
    bright = float(np.percentile(values, BRIGHTEST))
    soft = values[values < 0.9 * bright]
    counts, edges = np.histogram(soft, 64, (0.0, 0.9 * bright))
    brain = float(edges[int(np.argmax(np.convolve(counts, np.ones(5), "same")))])
    return brain + BONE_SHARE * (bright - brain)


def _enclosed(bone: Yes, head: Yes, gaps_mm: tuple[float, float], spacing: Triple) -> Yes:
    """Return what the ring of bone in one slice encloses, cut loose from orbits and sinuses.

    Where the picture cuts the head its border counts as bone.

    Args:
        gaps_mm: widest gap of the ring that is bridged, and radius of the widest dent of the space that is taken in.
    """
    from scipy import ndimage

    closing_mm, dent_mm = gaps_mm

    if not bone.any():
        return np.zeros_like(bone)
    padded = np.pad(bone, 2)
    seal = np.pad(head, 2, mode="edge")
    seal[2:-2, 2:-2] = False
    closed = hounsfield.ball_closing((padded | seal)[np.newaxis], closing_mm / 2, spacing)[0]
    filled = ndimage.binary_fill_holes(closed)[2:-2, 2:-2]
    closed = closed[2:-2, 2:-2]
    core = hounsfield.ball_opening((filled & ~closed)[np.newaxis], NECK_MM, spacing)[0]
    core = hounsfield.largest(core)
    if np.count_nonzero(core) * spacing[1] * spacing[2] < LEAST_CM2 * 100:
        return np.zeros_like(bone)
    grown = ndimage.distance_transform_edt(~core, sampling=spacing[1:]) <= NECK_MM
    labels, _ = ndimage.label((grown & filled & ~bone) | core)
    touched = np.unique(labels[core])
    space = ndimage.binary_fill_holes(np.isin(labels, touched[touched > 0]))
    deep = (
        ndimage.distance_transform_edt(np.pad(filled & head, 1), sampling=spacing[1:])[1:-1, 1:-1] > THINNEST_SKULL_MM
    )
    return np.asarray(space | (hounsfield.ball_closing(space[np.newaxis], dent_mm, spacing)[0] & deep))


def _open_slices(inside: Yes) -> list[int]:
    """Return the slices without a closed ring between others with one, or the only slice."""
    closed = np.flatnonzero(inside.any(axis=(1, 2)))
    if len(inside) == 1:
        return [0]
    return [i for i in range(closed[0], closed[-1]) if not inside[i].any()] if closed.size else []


def _connected(inside: Yes, spacing: Triple) -> Yes:
    """Return the part that holds together through the slices, down to the foramen magnum."""
    from scipy import ndimage

    if inside.shape[0] == 1 or not inside.any():
        return inside
    areas = np.count_nonzero(inside, axis=(1, 2)) * spacing[1] * spacing[2] / 100
    start = int(np.argmax(areas))
    result = np.zeros_like(inside)
    result[start] = inside[start]
    reach = max(1, round(3.0 / spacing[1]))
    for step, least in ((1, LEAST_CM2), (-1, FORAMEN_CM2)):
        index = start + step
        while 0 <= index < len(inside):
            allowed = ndimage.binary_dilation(result[index - step], iterations=reach + round(spacing[0] / spacing[1]))
            part = hounsfield.largest(inside[index] & allowed)
            if np.count_nonzero(part) * spacing[1] * spacing[2] / 100 < least:
                break
            result[index] = part
            index += step
    return result


def _skull(bone: Yes, inside: Yes) -> Yes:
    """Return the bone in slices with intracranial space that belongs to the largest piece, outside the space."""
    shown = bone & np.asarray(inside.any(axis=(1, 2)))[:, np.newaxis, np.newaxis] & ~inside
    return hounsfield.largest(shown, connectivity=bone.ndim)
