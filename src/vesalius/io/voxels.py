"""Stored numbers turned into true ones in the smallest honest type: never float64, int16 where it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHOLE = (np.int16, np.uint16, np.int32)


def settled(stored: NDArray[Any], slope: float = 1.0, intercept: float = 0.0) -> NDArray[Any]:
    """Return `stored * slope + intercept`.

    Without scaling the stored type stays, except that 64-bit integers become int16 or int32 when they fit, bool
    uint8, and float16 and wider floats float32. A whole slope and intercept keep integers whole; anything else gives
    float32, computed in float64.
    """
    kind = stored.dtype.kind
    if slope == 1.0 and intercept == 0.0:
        if kind == "b":
            return stored.view(np.uint8)
        if kind == "f":
            return native(stored) if stored.dtype.itemsize == 4 else as_float32(stored, 1.0, 0.0)
        return narrowed(stored) if stored.dtype.itemsize == 8 else native(stored)
    if kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        low, high = sorted(int(v) * int(slope) + int(intercept) for v in (stored.min(), stored.max()))
        for candidate in _WHOLE:
            if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
                return _whole(stored, int(slope), int(intercept), candidate)
    return as_float32(stored, slope, intercept)


def _whole(stored: NDArray[Any], slope: int, intercept: int, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    result = np.empty(stored.shape, dtype)
    for plane in np.ndindex(stored.shape[:-2]):
        result[plane] = stored[plane].astype(np.int64) * slope + intercept
    return result


def as_float32(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    """Return `stored * slope + intercept` as float32, computed in float64 one plane at a time."""
    result = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for plane in np.ndindex(stored.shape[:-2]):
            result[plane] = stored[plane].astype(np.float64) * slope + intercept
    return result


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in the machine's byte order; no copy when it already is."""
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return integers as int16 or int32 when every value fits, else as they are in native byte order."""
    low, high = int(array.min()), int(array.max())
    for candidate in (np.int16, np.int32, np.int64):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return array.astype(candidate)
    return native(array)


def count_not_finite(array: NDArray[Any]) -> int:
    """Return how many values are NaN or infinite, found slice by slice."""
    if array.dtype.kind != "f":
        return 0
    return sum(int(part.size - np.count_nonzero(np.isfinite(part))) for part in array)
