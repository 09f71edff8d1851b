"""Frames of one stored object as arrays, decoded by pydicom into the voxels of a volume."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from vesalius.core.errors import ReadError, UnsupportedError, VesaliusError
from vesalius.io.dicom import codecs
from vesalius.io.dicom.headers import Header, class_name
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
        raise named(header.damage, header.path)
    if pixels.samples not in (1, 3):
        raise UnsupportedError("an image of two or four samples per pixel", found=str(pixels.samples))
    try:
        decoder, plugin = codecs.decoder_for(header.transfer_syntax)
    except NotImplementedError:
        raise UnsupportedError(
            f"no decoder for the transfer syntax in {header.path.name}",
            found=class_name(header.transfer_syntax),
            fix="convert it, for instance with gdcmconv --raw",
        ) from None
    yield from _decoded(decoder, source, header, _options(source, header, data) | plugin, data, wanted)


def _decoded(
    decoder: Any, source: Source, header: Header, options: dict[str, Any], data: Dataset, wanted: Sequence[int]
) -> Iterator[NDArray[Any]]:
    pixels = header.pixels
    assert pixels is not None
    count = 0
    arrays = _native if source.pixels is not None and source.pixels.fragments is None else _compressed
    try:
        with quiet():
            for array in arrays(decoder, source, options, wanted):
                count += 1
                yield _coloured(array, data) if pixels.photometric == "PALETTE COLOR" else array
    except PARSE_ERRORS as problem:
        if isinstance(problem, VesaliusError):
            raise
        raise ReadError(
            f"the pixels of {header.path.name} cannot be decoded",
            found=f"{class_name(header.transfer_syntax)}: {_first_line(problem)}",
        ) from None
    if count < len(wanted):
        raise ReadError(
            f"{header.path.name} holds fewer frames than it declares", found=str(count), expected=str(len(wanted))
        )


def _native(decoder: Any, source: Source, options: dict[str, Any], wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    assert source.pixels is not None
    buffer = source.value(source.pixels.offset, source.pixels.available)
    for array, _ in decoder.iter_array(buffer, indices=list(wanted), view_only=True, **options):
        yield array


def _compressed(decoder: Any, source: Source, options: dict[str, Any], wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield decoded frames; where every fragment is a frame, pydicom gets one at a time and never searches."""
    assert source.pixels is not None
    fragments = source.pixels.fragments
    assert fragments is not None
    if len(fragments) // 2 - 1 != options["number_of_frames"]:
        buffer = source.value(source.pixels.offset, source.pixels.available)
        for index in wanted:
            yield decoder.as_array(buffer, index=index, **options)[0]
        return
    alone = {name: told for name, told in options.items() if name != "extended_offsets"} | {"number_of_frames": 1}
    for index in wanted:
        offset, length = fragments[2 + 2 * index], fragments[3 + 2 * index]
        frame = source.value(offset, length)
        yield decoder.as_array(_ITEM + bytes(4) + _ITEM + struct.pack("<L", length) + frame + _END, index=0, **alone)[0]


_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0" + bytes(4)


def named(problem: VesaliusError, path: Path) -> VesaliusError:
    """Return the error with the file's name at its front."""
    if path.name in problem.message:
        return problem
    parts = {"found": problem.found, "expected": problem.expected, "fix": problem.fix}
    return type(problem)(f"{path.name}: {problem.message}", **parts)


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return " ".join(lines)[:200] or type(problem).__name__


def _options(source: Source, header: Header, data: Dataset) -> dict[str, Any]:
    pixels = header.pixels
    assert pixels is not None
    assert source.pixels is not None
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
        "pixel_vr": source.pixels.vr or "OW",
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
    """Return 8-bit colours; entries of 16 bits are read by their high byte, as PS3.3 C.7.6.3.1.6 derives them."""
    result: NDArray[Any] = apply_color_lut(array, data)
    result = result[..., :3]
    return (result >> 8).astype(np.uint8) if result.dtype == np.uint16 else result
