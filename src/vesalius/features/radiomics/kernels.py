"""One-dimensional kernels of Laws and of separable wavelets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import UnknownNameError

__all__ = ["laws_kernel", "wavelet_kernel"]

_LAWS = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
_R3, _R7, _R10 = math.sqrt(3), math.sqrt(7), math.sqrt(10)
_D3 = math.sqrt(5 + 2 * _R10)
_NORM = 16 * math.sqrt(2)
# Scaling coefficients in closed form, in the order of reconstruction: Daubechies 1992, tables 6.1 and 8.1.
_SCALING = {
    "haar": (1 / math.sqrt(2), 1 / math.sqrt(2)),
    "db2": tuple(c / (4 * math.sqrt(2)) for c in (1 + _R3, 3 + _R3, 3 - _R3, 1 - _R3)),
    "db3": tuple(
        c / _NORM
        for c in (
            1 + _R10 + _D3,
            5 + _R10 + 3 * _D3,
            10 - 2 * _R10 + 2 * _D3,
            10 - 2 * _R10 - 2 * _D3,
            5 + _R10 - 3 * _D3,
            1 + _R10 - _D3,
        )
    ),
    "coif1": tuple(c / _NORM for c in (1 - _R7, 5 + _R7, 14 + 2 * _R7, 14 - 2 * _R7, 1 - _R7, -3 + _R7)),
}


def laws_kernel(name: str) -> NDArray[np.float64]:
    """Return a Laws kernel such as "E5", of unit length.

    Raises:
        UnknownNameError: no such kernel.
    """
    if name not in _LAWS:
        raise UnknownNameError("no such Laws kernel", found=name, expected=", ".join(_LAWS))
    kernel = np.array(_LAWS[name], dtype=np.float64)
    return np.asarray(kernel / np.linalg.norm(kernel))


def wavelet_kernel(wavelet: str, band: str) -> NDArray[np.float64]:
    """Return the decomposition filter of a wavelet, low-pass "L" or high-pass "H", made odd by a trailing zero.

    Raises:
        UnknownNameError: no such wavelet or band.
    """
    if wavelet not in _SCALING:
        raise UnknownNameError("no such wavelet", found=wavelet, expected=", ".join(_SCALING))
    low = np.array(_SCALING[wavelet])[::-1]
    if band == "L":
        kernel = low
    elif band == "H":
        kernel = low[::-1] * (-1.0) ** np.arange(1, low.size + 1)
    else:
        raise UnknownNameError("no such band", found=band, expected="L, H")
    return np.append(kernel, 0.0)
