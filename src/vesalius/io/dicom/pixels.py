"""Frames of one stored object as arrays, decoded by pydicom into the voxels of a volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut
from pydicom.uid import UID

from vesalius.core.errors import ReadError, UnsupportedError
from vesalius.io.dicom import codecs
from vesalius.io.dicom.headers import Header
from vesalius.io.dicom.limits import Source
from vesalius.io.dicom.values import PARSE_ERRORS, quiet, value

_KEYWORDS = {"integer": "PixelData", "float": "FloatPixelData", "double": "DoubleFloatPixelData"}
_GREY: Final = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")


def frames(source: Source, header: Header, data: Dataset, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield the stored values of the wanted frames: (rows, columns), or (rows, columns, 3) as RGB.

    Raises:
        LimitError: a compressed frame declares another size.
        ReadError: a frame cannot be decoded.
        UnsupportedError: no decoder for this transfer syntax.
    """
    pixels = header.pixels
    if pixels is None or source.pixels is None:
        raise UnsupportedError("the object holds no pixel data", found=header.class_name)
    if header.damage is not None:
        raise header.damage
    if pixels.samples not in (1, 3):
        raise UnsupportedError("an image of two or four samples per pixel", found=str(pixels.samples))
    codecs.check_frames(source, pixels.rows, pixels.columns, pixels.samples, pixels.bits_allocated)
    try:
        decoder = codecs.decoder_for(header.transfer_syntax)
    except NotImplementedError:
        raise UnsupportedError(
            f"no decoder for the transfer syntax in {header.path.name}",
            found=UID(header.transfer_syntax).name,
            fix="convert it, for instance with gdcmconv --raw",
        ) from None
    yield from _decoded(decoder, source, header, data, wanted)


def _decoded(
    decoder: Any, source: Source, header: Header, data: Dataset, wanted: Sequence[int]
) -> Iterator[NDArray[Any]]:
    pixels = header.pixels
    assert pixels is not None
    assert source.pixels is not None
    buffer = source.value(source.pixels.offset, source.pixels.available)
    every = len(wanted) == pixels.frames and list(wanted) == list(range(pixels.frames))
    count = 0
    try:
        with quiet():
            found = decoder.iter_array(
                buffer, indices=None if every else list(wanted), view_only=True, **_options(source, header, data)
            )
            for array, _ in found:
                if count == len(wanted):
                    break
                count += 1
                yield _coloured(array, data) if pixels.photometric == "PALETTE COLOR" else array
    except PARSE_ERRORS as problem:
        raise ReadError(
            f"the pixels of {header.path.name} cannot be decoded",
            found=f"{UID(header.transfer_syntax).name}: {_first_line(problem)}",
        ) from None
    if count < len(wanted):
        raise ReadError(
            f"{header.path.name} holds fewer frames than it declares", found=str(count), expected=str(len(wanted))
        )


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return " ".join(lines)[:200] or type(problem).__name__


def _options(source: Source, header: Header, data: Dataset) -> dict[str, Any]:
    pixels = header.pixels
    assert pixels is not None
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": pixels.frames,
        "samples_per_pixel": pixels.samples,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "photometric_interpretation": _photometric(pixels.photometric, pixels.samples),
        "pixel_keyword": _KEYWORDS[pixels.kind],
        "planar_configuration": pixels.planar,
        # PS3.5 8.1.1: 8-bit samples may have been written as big-endian words; pydicom undoes that by the VR.
        "pixel_vr": "OW" if not source.encoding.little and pixels.bits_allocated > 1 else "OB",
    }
    if pixels.kind == "integer":
        options["pixel_representation"] = int(pixels.signed)
    offsets, lengths = value(data, "ExtendedOffsetTable"), value(data, "ExtendedOffsetTableLengths")
    if isinstance(offsets, bytes) and isinstance(lengths, bytes) and len(offsets) == len(lengths):
        options["extended_offsets"] = (offsets, lengths)
    return options


def _photometric(name: str, samples: int) -> str:
    """Return the photometric interpretation; a colour name on a grey image, or the reverse, is a writer's slip."""
    if samples == 1:
        return name if name in _GREY else "MONOCHROME2"
    return "RGB" if name in _GREY else name


def _coloured(array: NDArray[Any], data: Dataset) -> NDArray[Any]:
    result: NDArray[Any] = apply_color_lut(array, data)
    if result.shape[-1] == 4:
        result = result[..., :3]
    return result
