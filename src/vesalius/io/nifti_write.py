"""NIfTI files out of volumes and masks, the same bytes every time. Called through `io.nifti`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Mask, Spacing, Volume
from vesalius.core.errors import GeometryError, UnsupportedError
from vesalius.core.grid import Affine
from vesalius.io.single import FLAT

QFORM_MM = 0.01
"""A qform is written when no corner it gives lies further from the truth; a quaternion near a half turn cannot."""
LEVEL = 3
"""Compression level of everything written: a third of the time of level 6 for a few percent more bytes."""
_LARGEST_NIFTI1 = 32767
_SCANNER, _LABEL = 1, 1002


def stream_to(image: Volume | Mask, stream: IO[bytes], ras: Affine, *, packed: bool) -> None:
    """Write `image` as NIfTI; `ras` maps file indices (column, row, slice) to RAS mm.

    Raises:
        UnsupportedError: colour that is not 8-bit.
    """
    if packed:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=stream, mtime=0) as inner:
            _stream(image, cast(IO[bytes], inner), ras)
    else:
        _stream(image, stream, ras)


def _stream(image: Volume | Mask, stream: IO[bytes], ras: Affine) -> None:
    dtype = stored_dtype(image)
    colour = isinstance(image, Volume) and image.axis is not None and image.axis.kind is AxisKind.RGB
    if colour and (dtype != np.uint8 or image.array.shape[3] != 3):
        raise UnsupportedError(
            "NIfTI holds colour as 8-bit red, green and blue only",
            found=f"{image.array.shape[3]} channels of {image.array.dtype}",
            fix="write NRRD instead (--to nrrd)",
        )
    stream.write(_header_bytes(image, ras, dtype, colour))
    for plane in planes(image.array, colour):
        stream.write(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")).data)


def stored_dtype(image: Volume | Mask) -> np.dtype[Any]:
    """Return the type that is written: masks in the smallest of uint8, int16 and int32 that holds their labels."""
    array = image.array
    if array.dtype.kind == "b":
        return np.dtype(np.uint8)
    if array.dtype.kind == "f":
        return np.dtype(np.float64 if array.dtype.itemsize > 4 else np.float32)
    if isinstance(image, Volume):
        return array.dtype.newbyteorder("=")
    low, high = int(array.min()), int(array.max())
    for candidate in (np.uint8, np.int16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    return array.dtype.newbyteorder("=")


def planes(array: NDArray[Any], interleaved: bool) -> Iterator[NDArray[Any]]:
    """Yield slices in file order; the fourth axis is slowest unless it is interleaved."""
    if array.ndim == 3 or interleaved:
        yield from array
        return
    for n in range(array.shape[3]):
        yield from array[..., n]


def _header_bytes(image: Volume | Mask, ras: Affine, dtype: np.dtype[Any], colour: bool) -> bytes:
    import nibabel

    sizes = image.array.shape[2::-1] + (() if image.array.ndim == 3 or colour else (image.array.shape[3],))
    newer = max(sizes) > _LARGEST_NIFTI1
    header = nibabel.Nifti2Header() if newer else nibabel.Nifti1Header()
    header.set_data_shape(sizes)
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    header.set_data_dtype(rgb if colour else dtype)
    step = time_step(image.axis if isinstance(image, Volume) else None)
    known = image.spacing is not Spacing.UNKNOWN
    header.set_xyzt_units("mm" if known else "unknown", "sec" if step else "unknown")
    _place(header, image, ras)
    if len(sizes) == 4:
        header["pixdim"][4] = step[1] if step else 0.0
        header["toffset"] = step[0] if step else 0.0
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["vox_offset"] = 544 if newer else 352
    header["descrip"] = b"Vesalius"
    if isinstance(image, Mask):
        header["intent_code"] = _LABEL
    return bytes(header.binaryblock) + b"\0\0\0\0"


def _place(header: Any, image: Volume | Mask, ras: Affine) -> None:
    """Set sform and, where it is as exact, qform; a picture gets voxel sizes only."""
    zooms = np.linalg.norm(ras[:3, :3], axis=0)
    header["pixdim"][1:4] = zooms
    header["pixdim"][0] = 1.0
    if image.frame is Frame.IMAGE:
        return
    header.set_sform(ras, code=_SCANNER)
    if image.is_sheared:
        return
    header.set_qform(ras, code=_SCANNER)
    ends = [(0, n - 1) for n in image.shape[::-1]]
    corners = np.array([(i, j, k, 1) for i in ends[0] for j in ends[1] for k in ends[2]], dtype=np.float64)
    if np.linalg.norm(corners @ (header.get_qform() - ras).T, axis=1).max() > QFORM_MM:
        header.set_qform(None, code=0)


def time_step(axis: Axis | None) -> tuple[float, float] | None:
    """Return first time and step in seconds of an evenly spaced time axis."""
    if axis is None or axis.kind is not AxisKind.TIME or len(axis) < 2 or axis.unit not in ("s", "ms"):
        return None
    times = np.array(axis.values, dtype=np.float64) * (1e-3 if axis.unit == "ms" else 1.0)
    steps = np.diff(times)
    if steps.min() <= 0 or np.ptp(steps) > 1e-4 * steps.mean():
        return None
    return float(times[0]), float(steps.mean())


def flattened(image: Volume | Mask) -> Volume | Mask:
    """Return a picture in reading order (rows down, columns right), which is all NIfTI can say without a patient.

    Raises:
        GeometryError: its axes are not those of a picture.
    """
    turned = image.reorient("SPL")
    unit = turned.affine[:3, :3] / np.linalg.norm(turned.affine[:3, :3], axis=0)
    if np.abs(unit - FLAT[:3, :3]).max() > 1e-3:
        raise GeometryError(
            "a picture with oblique axes cannot be written as NIfTI: it has no patient to be oblique in",
            fix="write NRRD instead (--to nrrd)",
        )
    return turned
