"""Pixels as they are stored: frames to look at, boxes written over in place, compressed frames written losslessly."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space, get_encoder

from vesalius.core.errors import ReadError, UnsupportedError
from vesalius.io.dicom import codecs
from vesalius.io.dicom.values import PARSE_ERRORS, quiet

Array = NDArray[Any]
KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SAME_AGAIN: Final = (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)
"""Lossless transfer syntaxes written again as they were where an encoder is installed; others become explicit VR."""
_LOSSY: Final = (*(uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K),)


@dataclass
class Stored:
    """The pixels of one object.

    Args:
        frames: (frames, rows, columns) or (frames, rows, columns, samples), writable; a view of `buffer` when native.
        photometric: of `frames`.
        buffer: the bytes of a native object, None for a compressed one.
    """

    keyword: str
    frames: Array
    photometric: str
    buffer: bytearray | None
    planar: bool = False


def load(dataset: Dataset) -> Stored | None:
    """Return the pixels of an object, None when it has none.

    Raises:
        ReadError: the pixels cannot be decoded.
        UnsupportedError: no decoder, or samples that are not whole bytes.
    """
    keyword = next((name for name in KEYWORDS if name in dataset), None)
    if keyword is None or not dataset.get(keyword):
        return None
    if int(dataset.get("BitsAllocated", 16) or 0) % 8 and not _syntax(dataset).is_encapsulated:
        raise UnsupportedError(
            "samples that are not whole bytes", found=f"{dataset.get('BitsAllocated')} bits allocated"
        )
    try:
        with quiet():
            if not _syntax(dataset).is_encapsulated:
                return _native(dataset, keyword)
            return _decoded(dataset)
    except NotImplementedError:
        raise UnsupportedError("no decoder for the transfer syntax", found=_syntax(dataset).name) from None
    except PARSE_ERRORS as problem:
        if isinstance(problem, ReadError):
            raise
        raise ReadError("the pixels cannot be decoded", found=type(problem).__name__) from None


def _syntax(dataset: Dataset) -> uid.UID:
    meta = getattr(dataset, "file_meta", None)
    return (
        uid.UID(str(meta.TransferSyntaxUID))
        if meta is not None and "TransferSyntaxUID" in meta
        else uid.ImplicitVRLittleEndian
    )


def _native(dataset: Dataset, keyword: str) -> Stored:
    samples, count = int(dataset.get("SamplesPerPixel", 1) or 1), int(dataset.get("NumberOfFrames", 1) or 1)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "YBR_FULL_422":
        raise UnsupportedError("colours of half resolution, not compressed", found=photometric)
    kind = _kind(dataset, keyword)
    planar = samples > 1 and int(dataset.get("PlanarConfiguration", 0) or 0) == 1
    shape: tuple[int, ...] = (count, rows, columns)
    if samples > 1:
        shape = (count, samples, rows, columns) if planar else (count, rows, columns, samples)
    buffer = bytearray(dataset[keyword].value)
    if len(buffer) < int(np.prod(shape)) * kind.itemsize:
        raise ReadError(
            "fewer pixels than declared", found=f"{len(buffer)} bytes", expected=f"{np.prod(shape)} samples"
        )
    frames = np.frombuffer(buffer, kind, count=int(np.prod(shape))).reshape(shape)
    return Stored(keyword, np.moveaxis(frames, 1, -1) if planar else frames, photometric, buffer, planar)


def _kind(dataset: Dataset, keyword: str) -> np.dtype[Any]:
    order = ">" if _syntax(dataset) == uid.ExplicitVRBigEndian else "<"
    if keyword != "PixelData":
        return np.dtype(order + ("f4" if keyword == "FloatPixelData" else "f8"))
    letter = "i" if int(dataset.get("PixelRepresentation", 0) or 0) else "u"
    return np.dtype(f"{order}{letter}{int(dataset.BitsAllocated) // 8}")


def _decoded(dataset: Dataset) -> Stored:
    """Return decoded frames: stored colours for a lossless stream, RGB for a lossy one, whose values decoding makes."""
    syntax = _syntax(dataset)
    decoder, plugin = codecs.decoder_for(syntax)
    frames, photometric = [], str(dataset.PhotometricInterpretation)
    for array, told in decoder.iter_array(dataset, raw=syntax not in _LOSSY, **plugin):
        frames.append(array.copy())
        photometric = str(told["photometric_interpretation"])
    return Stored("PixelData", np.stack(frames), photometric, None)


def seen(stored: Stored, index: int, dataset: Dataset) -> Array:
    """Return one frame in colours or grey values that a viewer shows, MONOCHROME1 as it is stored."""
    frame: Array = stored.frames[index]
    if stored.photometric == "PALETTE COLOR":
        colours: Array = apply_color_lut(np.ascontiguousarray(frame), dataset)[..., :3]
        return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours
    if stored.photometric.startswith("YBR") and frame.ndim == 3:
        rgb: Array = convert_color_space(np.ascontiguousarray(frame), "YBR_FULL", "RGB")
        return rgb
    bits = int(dataset.get("BitsStored", 0) or 0)
    if frame.dtype.kind == "u" and 0 < bits < 8 * frame.dtype.itemsize:
        # Old objects keep overlays in the bits above the stored ones.
        stored_bits: Array = frame & frame.dtype.type((1 << bits) - 1)
        return stored_bits
    return frame


def blank(stored: Stored, index: int, mask: NDArray[np.bool_], value: Array) -> None:
    """Write the blanking value over the masked pixels of one frame; every other bit stays."""
    stored.frames[index][mask] = value


def blanking_value(stored: Stored, covered: NDArray[np.bool_], dataset: Dataset) -> Array:
    """Return what is shown as black, in stored units: the darkest value that stands outside the text.

    Args:
        covered: (frames, rows, columns), the pixels to be blanked.
    """
    samples = stored.frames.shape[3:]
    if stored.photometric == "PALETTE COLOR":
        used = np.unique(stored.frames)
        colours = apply_color_lut(used.reshape(1, -1), dataset)[0, :, :3].astype(np.int64)
        return np.asarray(used[int(colours.sum(axis=1).argmin())])
    if samples:
        black = (0, 128, 128) if stored.photometric.startswith("YBR") else (0, 0, 0)
        return np.array((*black, 255)[: samples[0]], stored.frames.dtype)
    rest = stored.frames[~covered]
    rest = rest if rest.size else stored.frames.reshape(-1)
    return np.asarray(rest.max() if stored.photometric == "MONOCHROME1" else rest.min())


def store(dataset: Dataset, stored: Stored) -> None:
    """Write changed pixels back: native ones in place, compressed ones losslessly; lossy history stays as it is."""
    if stored.buffer is not None:
        dataset[stored.keyword].value = bytes(stored.buffer)
        return
    syntax = _syntax(dataset)
    _describe(dataset, stored)
    frames = stored.frames if len(stored.frames) > 1 else stored.frames[0]
    if syntax in _SAME_AGAIN and get_encoder(syntax).is_available:
        with quiet():
            dataset.compress(syntax, np.ascontiguousarray(frames), generate_instance_uid=False)
        return
    little = frames.astype(frames.dtype.newbyteorder("<"), copy=False)
    data = little.tobytes() if sys.byteorder == "little" else little.byteswap().tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = (
        "OB" if frames.dtype.itemsize == 1 and not dataset.file_meta.TransferSyntaxUID.is_implicit_VR else "OW"
    )
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian


def _describe(dataset: Dataset, stored: Stored) -> None:
    """Make the attributes say what the frames now are."""
    dataset.PhotometricInterpretation = stored.photometric
    dataset.BitsAllocated = 8 * stored.frames.dtype.itemsize
    if stored.frames.ndim == 4:
        dataset.PlanarConfiguration = 0
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
