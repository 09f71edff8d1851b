"""Compressed frames: what their own headers declare, checked before a decoder allocates, and who decodes them."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any, Final

from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
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

PLUGIN: Final = "vesalius"
_JPEG2000: Final = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_OTHER_PLUGINS: Final = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.RLELossless: "pydicom",
}
DECODER_DEPENDENCIES: Final = {
    **dict.fromkeys(_JPEG2000, ("pylibjpeg-openjpeg>=2.4",)),
    **dict.fromkeys((uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1), ("SimpleITK>=2.4",)),
}
"""Transfer syntaxes that `decode` serves and what each needs (pydicom's plugin protocol)."""


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
    """Return whether the decoders of this module serve a transfer syntax (pydicom's plugin protocol)."""
    return syntax in DECODER_DEPENDENCIES


def decoder_for(syntax: str) -> tuple[Any, dict[str, str]]:
    """Return pydicom's decoder of a transfer syntax and the option that names the plugin to use.

    GDCM's Python binding is never used: a C++ exception in it, raised by many a damaged JPEG or JPEG 2000 stream, ends
    the process; pylibjpeg-rle panics. Pillow, CharLS, OpenJPEG, pydicom's own RLE decoder and SimpleITK (which carries
    GDCM behind a guard) raise Python errors.

    Raises:
        NotImplementedError: pydicom knows no decoder (video).
    """
    decoder = get_decoder(syntax)
    if not decoder.UID.is_encapsulated:
        return decoder, {}
    if syntax in DECODER_DEPENDENCIES and PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(PLUGIN, (__name__, "decode"))
    plugin = PLUGIN if syntax in DECODER_DEPENDENCIES else _OTHER_PLUGINS.get(syntax, "")
    if plugin not in decoder.available_plugins:
        raise NotImplementedError(syntax)
    return decoder, {"decoding_plugin": plugin}


def decode(frame: bytes, runner: Any) -> bytes | bytearray:
    """Return the samples of one compressed frame (pydicom's plugin protocol)."""
    syntax = str.__str__(runner.transfer_syntax)
    if syntax in _JPEG2000:
        return _openjpeg(frame, runner)
    if syntax == uid.JPEGExtended12Bit and runner.bits_stored <= 8:
        return _pillow(frame, runner)
    return _simpleitk(frame, runner)


def _openjpeg(frame: bytes, runner: Any) -> bytearray:
    from openjpeg.utils import decode_pixel_data

    samples: bytearray = decode_pixel_data(frame, version=2, **runner.options)
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    # OpenJPEG's samples are as wide as the precision of the stream needs, whatever BitsAllocated says.
    precision = runner.get_option("j2k_precision", runner.bits_stored)
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16 if precision <= 16 else 32)
    return samples


def _pillow(frame: bytes, runner: Any) -> bytes:
    from pydicom.pixels.decoders import pillow

    samples: bytes = pillow._decode_frame(frame, runner)
    return samples


def _simpleitk(frame: bytes, runner: Any) -> bytes:
    """Return the samples as the GDCM inside SimpleITK decodes them, from a file of this one frame."""
    import SimpleITK as sitk

    data = Dataset()
    data.SOPClassUID = data.SOPInstanceUID = uid.SecondaryCaptureImageStorage
    data.Rows, data.Columns, data.SamplesPerPixel = runner.rows, runner.columns, runner.samples_per_pixel
    data.BitsAllocated, data.BitsStored = runner.bits_allocated, runner.bits_stored
    data.HighBit, data.PixelRepresentation = runner.bits_stored - 1, runner.pixel_representation
    # No conversion of any kind is wanted here: neither of colours nor of MONOCHROME1.
    data.PhotometricInterpretation = "RGB" if runner.samples_per_pixel == 3 else "MONOCHROME2"
    if runner.samples_per_pixel == 3:
        data.PlanarConfiguration = 0
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = runner.transfer_syntax
    with tempfile.TemporaryDirectory(prefix="vesalius-") as folder:
        path = Path(folder, "frame.dcm")
        data.save_as(path, enforce_file_format=True)
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
        kind = f"{'i' if runner.pixel_representation else 'u'}{runner.bits_allocated // 8}"
        samples: bytes = array.astype(kind, copy=False).tobytes()
    runner.set_option("planar_configuration", 0)
    return samples
