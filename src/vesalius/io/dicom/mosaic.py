"""Siemens mosaics: the slices of one volume as tiles of one picture."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset

from vesalius.core import Message
from vesalius.io.dicom import tags
from vesalius.io.dicom.values import PARSE_ERRORS, texts

if TYPE_CHECKING:
    from vesalius.io.dicom.planes import Place

_MOST_TILES: Final = 1024
_MOST_CSA_TAGS: Final = 256


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Number of tiles, tiles per row of the picture, and the direction in which they advance (None: not told)."""

    count: int
    per_row: int
    normal: tuple[float, float, float] | None


def layout(data: Dataset, rows: int, columns: int) -> Mosaic | None:
    """Return the layout of a mosaic, None for any other picture.

    A mosaic whose header does not tell the number of tiles is returned with `count` 0.
    """
    if "MOSAIC" not in (part.upper() for part in texts(data, "ImageType")):
        return None
    csa = _csa(data)
    count = _count(data, csa)
    if count is None:
        return Mosaic(0, 1, None)
    per_row = math.ceil(math.sqrt(count))
    if not 1 <= count <= _MOST_TILES or rows % per_row or columns % per_row:
        return Mosaic(0, 1, None)
    normal = csa.get("SliceNormalVector", ())
    return Mosaic(count, per_row, (normal[0], normal[1], normal[2]) if len(normal) == 3 else None)


def planes_of(place: Place, mosaic: Mosaic, rows: int, columns: int) -> Place:
    """Return one plane per tile.

    The position in a mosaic's header belongs to the whole picture: its centre is that of every tile.

    Source: nibabel documentation, "Siemens mosaic"; checked against dcm2niix on dcm_qa_ts.
    """
    plane = place.planes[0]
    between = plane.between_mm or plane.thickness_mm
    if not plane.is_placed or between is None or mosaic.count == 0 or mosaic.normal is None:
        problem = Message("io.dicom.mosaic_unknown")
        return replace(
            place, planes=(replace(plane, position=None),), is_flat=True, problems=(*place.problems, problem)
        )
    row, column = np.array(plane.row), np.array(plane.column)
    spacing = plane.spacing_mm or (1.0, 1.0)
    tile = rows // mosaic.per_row, columns // mosaic.per_row
    corner = np.array(plane.position)
    corner = corner + row * spacing[1] * (columns - tile[1]) / 2 + column * spacing[0] * (rows - tile[0]) / 2
    normal = np.cross(row, column)
    direction = normal if normal @ np.array(mosaic.normal) > 0 else -normal
    planes = []
    for index in range(mosaic.count):
        x, y, z = corner + index * between * direction
        planes.append(replace(plane, frame=index, position=(float(x), float(y), float(z))))
    return replace(place, planes=tuple(planes))


def _count(data: Dataset, csa: dict[str, tuple[float, ...]]) -> int | None:
    try:
        if "SIEMENS" in str(data.get(0x00190010, "")) and tags.SIEMENS_MOSAIC_COUNT in data:
            return int(data[tags.SIEMENS_MOSAIC_COUNT].value)
    except PARSE_ERRORS:
        pass
    found = csa.get("NumberOfImagesInMosaic", ())
    return int(found[0]) if found else None


def _csa(data: Dataset) -> dict[str, tuple[float, ...]]:
    """Return the numbers of the Siemens image header that a mosaic needs, {} when absent or damaged."""
    if tags.SIEMENS_CSA not in data or "SIEMENS CSA" not in str(data.get(0x00290010, "")):
        return {}
    try:
        return _parse_csa(bytes(data[tags.SIEMENS_CSA].value))
    except PARSE_ERRORS:
        return {}


def _parse_csa(raw: bytes) -> dict[str, tuple[float, ...]]:
    """Return the numeric elements of a CSA header of type 1 or 2.

    Source: nibabel documentation, "The CSA header".
    """
    at = 8 if raw[:4] == b"SV10" else 0
    (count,) = struct.unpack_from("<I", raw, at)
    at += 8
    found: dict[str, tuple[float, ...]] = {}
    for _ in range(min(count, _MOST_CSA_TAGS)):
        name = raw[at : at + 64].split(b"\0")[0].decode("latin-1")
        (items,) = struct.unpack_from("<i", raw, at + 76)
        at += 84
        values: list[float] = []
        for _ in range(items):
            lengths = struct.unpack_from("<4i", raw, at)
            length = lengths[1] if raw[:4] == b"SV10" else lengths[0]
            at += 16
            if not 0 <= length <= len(raw) - at:
                return found
            words = raw[at : at + length].split(b"\0")[0].strip()
            if words and name in ("NumberOfImagesInMosaic", "SliceNormalVector"):
                values.append(float(words))
            at += (length + 3) // 4 * 4
        if values:
            found[name] = tuple(values)
    return found
