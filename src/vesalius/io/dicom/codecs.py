"""Compressed frames: what their own headers declare, checked before a decoder allocates, and one decoder of our own."""

from __future__ import annotations

import struct
from typing import Any, Final

from pydicom import uid
from pydicom.pixels import get_decoder

from vesalius.core.errors import LimitError
from vesalius.io.dicom.limits import Source

RLE: Final = "1.2.840.10008.1.2.5"
_START_OF_FRAME = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_HEAD = 1 << 16
_MOST_TILES = 65535
_RLE_EXPANSION = 64
"""Two bytes of PackBits make at most 128."""

DECODER_DEPENDENCIES = {uid.JPEGExtended12Bit: ("python-gdcm>=3.0",)}


def check_frames(source: Source, rows: int, columns: int, samples: int, bits: int) -> None:
    """Refuse compressed frames whose own header disagrees with Rows, Columns and Samples per Pixel.

    Raises:
        LimitError: names both sizes.
    """
    pixels = source.pixels
    if pixels is None or pixels.fragments is None:
        return
    offsets, lengths = pixels.fragments[2::2], pixels.fragments[3::2]
    for offset, length in zip(offsets, lengths, strict=True):
        if source.transfer_syntax == RLE:
            _check_rle(source.value(offset, min(length, 64)), length, rows * columns, samples * ((bits + 7) // 8))
            continue
        found = frame_size(source.value(offset, min(length, _HEAD)))
        if found is not None and found != (rows, columns, samples):
            raise LimitError(
                "a compressed frame declares another size than the header",
                found=f"{found[0]} rows, {found[1]} columns, {found[2]} samples",
                expected=f"{rows} rows, {columns} columns, {samples} samples",
            )


def _check_rle(head: bytes, length: int, area: int, planes: int) -> None:
    if len(head) < 64:
        raise LimitError("an RLE frame without its header", found=f"{length} bytes", expected="at least 64 bytes")
    (segments,) = struct.unpack_from("<L", head)
    if not 1 <= segments <= 15 or segments > planes or area * planes > _RLE_EXPANSION * length:
        raise LimitError(
            "an RLE frame cannot hold the declared size",
            found=f"{segments} segments in {length} bytes",
            expected=f"{planes} segments of {area} pixels",
        )


def frame_size(frame: bytes) -> tuple[int, int, int] | None:
    """Return (rows, columns, components) that a JPEG, JPEG-LS or JPEG 2000 stream declares, None when it tells none.

    Raises:
        LimitError: a JPEG 2000 stream of too many tiles.
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg_size(frame)
    start = 0 if frame[:4] == b"\xff\x4f\xff\x51" else -1
    if frame[4:8] == b"jP  ":
        start = frame.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(frame) < start + 42:
        return None
    x, y, left, top, tile_x, tile_y = struct.unpack_from(">6L", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    columns, rows = x - left, y - top
    if max(rows, columns) < 65536 and (min(tile_x, tile_y) == 0 or -(-x // tile_x) * -(-y // tile_y) > _MOST_TILES):
        raise LimitError("a JPEG 2000 frame of too many tiles", expected=f"at most {_MOST_TILES}")
    return rows, columns, components


def _jpeg_size(frame: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 9 < len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, components
        elif marker == 0xDA:
            return None
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def is_available(syntax: str) -> bool:
    """Return whether the decoder of this module serves a transfer syntax (pydicom's plugin protocol)."""
    return syntax in DECODER_DEPENDENCIES


def decode_extended(frame: bytes, runner: Any) -> bytes:
    """Return the samples of a 12-bit JPEG frame, decoded by GDCM.

    pydicom's own GDCM plugin refuses 12-bit JPEG Extended since early GDCM versions mis-read it; the versions that
    Vesalius needs (3.0.24) give the same voxels as DCMTK.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str.__str__(runner.transfer_syntax))))
    stored = runner.bits_stored
    image.SetPixelFormat(
        gdcm.PixelFormat(
            runner.samples_per_pixel, runner.bits_allocated, stored, stored - 1, runner.pixel_representation
        )
    )
    buffer: str = image.GetBuffer()
    return buffer.encode("utf-8", "surrogateescape")


def decoder_for(syntax: str) -> Any:
    """Return pydicom's decoder of a transfer syntax, with ours added where pydicom has none.

    Raises:
        NotImplementedError: pydicom knows no decoder (video).
    """
    decoder = get_decoder(syntax)
    if syntax in DECODER_DEPENDENCIES and "vesalius" not in decoder.available_plugins:
        decoder.add_plugin("vesalius", (__name__, "decode_extended"))
    return decoder
