"""Stored values to real ones: inversion, modality LUT or slope and intercept, padding, palette, voxel type and unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vesalius.core.errors import ReadError
from vesalius.io.dicom.headers import Header, Pixels
from vesalius.io.dicom.planes import Plane
from vesalius.io.dicom.values import PARSE_ERRORS, first, number, numbers, text, value

HU: Final = "[hnsf'U]"
LOWEST_HU: Final = -1024
PHYSICAL: Final = frozenset(("CT", "PT", "NM", "RTDOSE"))
"""Modalities whose values are physical: MONOCHROME1 says how to show them, never that they are upside down."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the stored values of one object become real ones.

    Args:
        mirror: lowest plus highest stored value when dark and bright are exchanged, else None.
        padding: lowest and highest stored value that mean "no image here".
        table: first stored value and the modality look-up table.
        factor: multiplies the rescaled value (SUV, dose).
    """

    modality: str
    mirror: int | None = None
    padding: tuple[int, int] | None = None
    table: tuple[int, NDArray[np.uint16]] | None = None
    factor: float = 1.0


def voxel_type(pairs: Iterable[tuple[Header, Plane]]) -> np.dtype[Any]:
    """Return the type that the voxels of a stack will have; integers may still become float32 when they overflow."""
    found = list(pairs)
    header = found[0][0]
    pixels = header.pixels
    assert pixels is not None
    stored = stored_type(pixels)
    if pixels.is_colour:
        return np.dtype(np.uint8) if pixels.samples == 1 or pixels.bits_stored <= 8 else stored
    if pixels.kind != "integer" or header.modality in ("PT", "RTDOSE"):
        return np.dtype(np.float32)
    slopes = {(plane.slope, plane.intercept) for _, plane in found}
    pairs_told = [(slope if slope else 1.0, intercept or 0.0) for slope, intercept in slopes]
    if any(not (slope.is_integer() and intercept.is_integer()) for slope, intercept in pairs_told):
        return np.dtype(np.float32)
    if header.modality == "CT":
        return np.dtype(np.int16) if all(abs(s) <= 32767 and abs(i) <= 32767 for s, i in pairs_told) else stored
    if all(pair == (1.0, 0.0) for pair in pairs_told):
        return stored
    low, high = stored_range(pixels)
    ends = [slope * end + intercept for slope, intercept in pairs_told for end in (low, high)]
    for kind in (np.int16, np.uint16):
        if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float32)


def stored_type(pixels: Pixels) -> np.dtype[Any]:
    """Return the smallest integer type of at least BitsAllocated bits, int8 to uint32."""
    size = 1 if pixels.bits_allocated <= 8 else 2 if pixels.bits_allocated == 16 else 4
    return np.dtype(f"{'i' if pixels.signed else 'u'}{size}")


def stored_range(pixels: Pixels) -> tuple[int, int]:
    """Return the lowest and highest stored value that BitsStored allows."""
    bits = pixels.bits_stored
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if pixels.signed else (0, (1 << bits) - 1)


def plan_of(header: Header, data: Dataset, factor: float = 1.0) -> Plan:
    """Return the plan of an object from its header elements."""
    pixels = header.pixels
    assert pixels is not None
    mirrored = pixels.photometric == "MONOCHROME1" and header.modality not in PHYSICAL and pixels.kind == "integer"
    if header.modality == "RTDOSE":
        factor = number(data, "DoseGridScaling") or 1.0
    return Plan(
        modality=header.modality,
        mirror=sum(stored_range(pixels)) if mirrored else None,
        padding=_padding(data, pixels),
        table=_table(data),
        factor=factor,
    )


def _padding(data: Dataset, pixels: Pixels) -> tuple[int, int] | None:
    one, other = number(data, "PixelPaddingValue"), number(data, "PixelPaddingRangeLimit")
    if one is None or pixels.is_colour:
        return None
    ends = [_as_stored(int(end), pixels) for end in (one, other if other is not None else one)]
    return min(ends), max(ends)


def _as_stored(padding: int, pixels: Pixels) -> int:
    """Return a padding value in the signedness of the pixels: some writers give 63536 for -2000."""
    low, high = -(1 << (pixels.bits_allocated - 1)), 1 << (pixels.bits_allocated - 1)
    if pixels.signed and padding >= high:
        return padding - 2 * high
    if not pixels.signed and low <= padding < 0:
        return padding + 2 * high
    return padding


def _table(data: Dataset) -> tuple[int, NDArray[np.uint16]] | None:
    item = first(data, "ModalityLUTSequence")
    if item is None:
        return None
    descriptor = numbers(item, "LUTDescriptor")
    raw = value(item, "LUTData")
    try:
        entries = np.frombuffer(raw, "<u2") if isinstance(raw, bytes) else np.atleast_1d(np.array(raw))
        entries = entries.astype(np.uint16)
    except PARSE_ERRORS:
        raise ReadError("the modality look-up table cannot be read") from None
    expected = (int(descriptor[0]) or 65536) if len(descriptor) == 3 else -1
    if len(entries) < expected or expected < 1:
        raise ReadError("the modality look-up table is incomplete", found=f"{len(entries)} of {expected} entries")
    return int(descriptor[1]), entries[:expected]


def apply(plan: Plan, stored: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Return the real values of one grey frame: the stored array itself, int32, or float32."""
    if stored.dtype.kind == "f":
        return _scaled(stored.astype(np.float32), plane, plan.factor)
    hidden = _hidden(plan, stored)
    values = stored
    if plan.mirror is not None:
        values = (plan.mirror - stored.astype(np.int64)).astype(stored.dtype)
    if plan.table is not None:
        first_value, entries = plan.table
        values = entries[np.clip(values.astype(np.int64) - first_value, 0, len(entries) - 1)]
    else:
        values = _scaled(values, plane, plan.factor)
    return values if hidden is None else _without_padding(plan, values, hidden)


def _scaled(values: NDArray[Any], plane: Plane, factor: float) -> NDArray[Any]:
    slope, intercept = (plane.slope if plane.slope else 1.0), plane.intercept or 0.0
    if (slope, intercept, factor) == (1.0, 0.0, 1.0):
        return values
    whole = slope.is_integer() and intercept.is_integer() and factor == 1.0
    if whole and values.dtype.kind in "iu" and values.dtype.itemsize <= 2 and max(abs(slope), abs(intercept)) <= 32767:
        return values.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    # In double: an intercept of the size of the values would cost the last digits of float32.
    result: NDArray[Any] = ((values.astype(np.float64) * slope + intercept) * factor).astype(np.float32)
    return result


def _hidden(plan: Plan, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    if plan.padding is None:
        return None
    low, high = plan.padding
    hidden = (stored >= low) & (stored <= high)
    return hidden if hidden.any() else None


def _without_padding(plan: Plan, values: NDArray[Any], hidden: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values with padding that cannot be mistaken for tissue: air in CT, never brighter than the image."""
    seen = values[~hidden]
    if plan.modality == "CT":
        fill = LOWEST_HU
    elif seen.size and values[hidden].max() > seen.max():
        fill = seen.min()
    else:
        return values
    values = values.copy() if plan.modality != "CT" or values.dtype.kind == "f" else values.astype(np.int32)
    values[hidden] = fill
    return values


def unit_of(header: Header, data: Dataset) -> str:
    """Return the UCUM unit of the rescaled values, "" when they have none."""
    if header.modality == "CT":
        kind = text(data, "RescaleType").upper()
        told = header.planes[0].slope is not None and header.planes[0].intercept is not None
        return HU if told and kind in ("", "HU", "HU_MOD") else ""
    if header.modality == "RTDOSE":
        return "Gy" if text(data, "DoseUnits").upper() in ("GY", "") else ""
    return ""
