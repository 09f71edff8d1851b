"""Operations that take an image and a mask on its grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vesalius.core import Mask, Volume
from vesalius.core.errors import GeometryError, ImageContentError


def crop(
    image: Volume, mask: Mask | None, *, margin_mm: float = 0.0, margin: float = 0.0, segment: str | int | None = None
) -> Volume:
    """Return the box around what the mask marks; the whole image without a mask.

    Args:
        margin_mm: width kept around the box, in mm; needs a known pixel size.
        margin: width kept around the box, as a share of its own edges.
        segment: name or label; everything marked when it is None.

    Raises:
        GeometryError: the grids differ.
        ImageContentError: the mask is empty.
        UnknownSpacingError: millimetres, and the image does not tell its pixel size.
    """
    if mask is None:
        return image
    places = np.argwhere(_inside(image, mask, segment))
    if len(places) == 0:
        raise ImageContentError("the mask is empty", expected="a marked region", fix="draw it, or leave the case out")
    low, high = places.min(axis=0), places.max(axis=0) + 1
    grown = np.round(margin * (high - low)).astype(np.int64)
    if image.array.shape[0] == 1:
        grown[0] = 0
    if margin_mm:
        image.require_spacing()
        grown = grown + np.ceil(margin_mm / np.asarray(image.spacing_mm)).astype(np.int64)
    start = np.maximum(low - grown, 0)
    stop = np.minimum(high + grown, image.array.shape[:3])
    return image.crop((int(start[0]), int(start[1]), int(start[2])), (int(stop[0]), int(stop[1]), int(stop[2])))


def keep(image: Volume, mask: Mask | None, *, outside: float = 0.0, segment: str | int | None = None) -> Volume:
    """Return the image with `outside` where the mask marks nothing, float32; the image itself without a mask.

    Raises:
        GeometryError: the grids differ.
    """
    if mask is None:
        return image
    inside = _inside(image, mask, segment)
    array = image.array.astype(np.float32)
    shown = inside if array.ndim == inside.ndim else inside[..., None]
    return replace(image, array=np.where(shown, array, np.float32(outside)))


def _inside(image: Volume, mask: Mask, segment: str | int | None) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if not image.same_grid(mask):
        raise GeometryError(
            "image and mask lie on different grids", found=f"image {image.shape}, mask {mask.shape}",
            fix="imaging.spatial.resample_like(mask, image) first",
        )  # fmt: skip
    return mask.array != 0 if segment is None else mask.binary(segment)
