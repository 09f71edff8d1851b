"""Writing a new file around the pixel data of the old one: nothing else of the old file is copied."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.multival import MultiValue
from pydicom.uid import UID

from vesalius import __version__
from vesalius.core.errors import DeidentificationError, ReadError
from vesalius.io.dicom.limits import DEFLATED, EXPLICIT, Source, check_declared_size
from vesalius.io.dicom.values import PARSE_ERRORS, text, whole
from vesalius.io.dicom.walk import PixelElement
from vesalius.privacy import codestream, descriptors
from vesalius.privacy.sweep import Needles, overwritten

IMPLEMENTATION: Final = "2.25.208427341178431279301722113571193530137"
PIECE_BYTES: Final = 16 << 20
LEAST_DIGITS: Final = 6
"""Digits from which a number is looked for among the numbers of a header as well."""
OVERLAP: Final = 512
"""Bytes that neighbouring pieces share, so that a value on their border is seen."""

_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
_UNDEFINED: Final = 0xFFFFFFFF


def check_pixels(source: Source, data: Dataset) -> None:
    """Refuse pixel data that are cut short or smaller than declared.

    Raises:
        ReadError: naming both sizes.
    """
    check_declared_size(_declared(source, data), source, whole(data, "NumberOfFrames") or 1)


def _declared(source: Source, data: Dataset) -> int:
    assert source.pixels is not None
    rows, columns = whole(data, "Rows") or 0, whole(data, "Columns") or 0
    bits = _BITS.get(source.pixels.tag) or whole(data, "BitsAllocated") or 0
    if rows <= 0 or columns <= 0 or bits <= 0:
        raise ReadError("an image without its size", found=f"Rows {rows}, Columns {columns}, BitsAllocated {bits}")
    size = rows * columns * (whole(data, "SamplesPerPixel") or 1) * bits * max(1, whole(data, "NumberOfFrames") or 1)
    if text(data, "PhotometricInterpretation") == "YBR_FULL_422" and source.pixels.fragments is None:
        size = size * 2 // 3
    return (size + 7) // 8


def with_pixels(source: Source, data: Dataset) -> Dataset:
    """Return a data set with its pixel data and meta information, as a pixel cleaner takes it."""
    pixels = source.pixels
    if pixels is None:
        return data
    # from the items, which stay raw: a private value of a wrong length must not be converted on the way
    result = Dataset(dict(data.items()))
    result.add_new(pixels.tag, pixels.vr or "OW", source.value(pixels.offset, pixels.available))
    if pixels.fragments is not None:
        result[pixels.tag].is_undefined_length = True
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = UID(source.transfer_syntax)
    return result


def file_pieces(
    source: Source, data: Dataset, changed: Dataset | None = None, findings: Needles | None = None
) -> Iterator[bytes]:
    """Yield the bytes of the new file.

    Args:
        changed: holds pixel data, and what describes them, in place of the stored ones.
        findings: what must be found nowhere.

    Raises:
        DeidentificationError: a known value is still in the header, or the header cannot be written.
    """
    syntax = EXPLICIT if source.declared == DEFLATED else source.transfer_syntax
    if changed is not None:
        syntax = str(changed.file_meta.TransferSyntaxUID)
        _take_description(data, changed)
    implicit, little = source.encoding.implicit, source.encoding.little
    if changed is not None:
        implicit, little = UID(syntax).is_implicit_VR, UID(syntax).is_little_endian
    original = _with_embedded_planes_noted(source, data)
    head = _meta(data, syntax) + _encoded(data, implicit, little)
    if findings is not None and any(_tells(head[begin:end]) for begin, end in findings.places(head)):
        raise DeidentificationError("a known value of the patient is still in the header", fix="nothing was written")
    yield head
    if changed is not None:
        yield _encoded(_only_pixels(changed), implicit, little)
    elif source.pixels is not None:
        yield from _stored_pixels(source, data, findings, implicit, original)


def _tells(run: bytes) -> bool:
    """Return whether a known value is more than a short number or a harmless word, which a header may hold by chance.

    A patient may be called Brain or Head; rules for words have removed such a name from every description.
    """
    if run.isdigit():
        return len(run) >= LEAST_DIGITS
    return not (run.isalpha() and descriptors.is_clean(run.decode()))


def _take_description(data: Dataset, changed: Dataset) -> None:
    for keyword in ("PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit"):
        if keyword in changed:
            data[keyword] = changed[keyword]


def _only_pixels(data: Dataset) -> Dataset:
    result = Dataset()
    for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010):
        if tag in data:
            result[tag] = data[tag]
    return result


def _with_embedded_planes_noted(source: Source, data: Dataset) -> int:
    """Return how many of the allocated bits of a native pixel are not stored bits."""
    allocated, stored = whole(data, "BitsAllocated") or 0, whole(data, "BitsStored") or 0
    native = source.pixels is not None and source.pixels.fragments is None and source.pixels.tag == 0x7FE00010
    return allocated - stored if native and allocated in (8, 16) and 0 < stored < allocated else 0


def _meta(data: Dataset, syntax: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(text(data, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(text(data, "SOPInstanceUID"))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = f"VESALIUS_{__version__}"[:16]
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta, enforce_standard=True)
    return bytes(128) + b"DICM" + _content(stream)


def _encoded(data: Dataset, implicit: bool, little: bool) -> bytes:
    if _needs_unicode(data):
        data.SpecificCharacterSet = "ISO_IR 192"
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    try:
        write_dataset(stream, data)
    except PARSE_ERRORS as problem:
        raise DeidentificationError("the header cannot be written", found=type(problem).__name__) from None
    return _content(stream)


def _content(stream: DicomBytesIO) -> bytes:
    content: bytes = stream.getvalue()
    return content


def _needs_unicode(data: Dataset) -> bool:
    """Return whether any text is more than ASCII."""
    for element in data.values():
        value = element.value
        if element.VR == "SQ":
            found = any(_needs_unicode(item) for item in value)
        elif isinstance(value, str):
            found = not value.isascii()
        else:
            several = value if isinstance(value, list | MultiValue) else ()
            found = any(isinstance(part, str) and not part.isascii() for part in several)
        if found:
            return True
    return False


def _stored_pixels(
    source: Source, data: Dataset, findings: Needles | None, implicit: bool, unused_bits: int
) -> Iterator[bytes]:
    pixels = source.pixels
    assert pixels is not None
    length = pixels.available
    if pixels.fragments is None:
        length = min(length, _declared(source, data))
    padding = length % 2
    order = "<" if source.encoding.little else ">"
    written = _UNDEFINED if pixels.fragments is not None else length + padding
    yield _element_head(pixels, order, implicit, written)
    if pixels.fragments is not None:
        yield from _fragments(source, pixels, order, findings)
    elif unused_bits:
        yield from _masked(source, pixels, length, data, findings)
    else:
        yield from _native(source, pixels, length, findings)
    yield bytes(padding)


def _element_head(pixels: PixelElement, order: str, implicit: bool, length: int) -> bytes:
    tag = struct.pack(order + "HH", pixels.tag >> 16, pixels.tag & 0xFFFF)
    if implicit:
        return tag + struct.pack(order + "L", length)
    return tag + (pixels.vr or "OW").encode() + b"\0\0" + struct.pack(order + "L", length)


def _native(source: Source, pixels: PixelElement, length: int, findings: Needles | None) -> Iterator[bytes]:
    """Yield native pixel bytes, known values in them set to zero."""
    at = 0
    while at < length:
        size = min(PIECE_BYTES, length - at)
        first = max(0, at - OVERLAP)
        last = min(length, at + size + OVERLAP)
        seen = source.value(pixels.offset + first, last - first)
        places = list(findings.places(seen, pixels=True)) if findings is not None else []
        if places:
            seen = overwritten(seen, places)
        yield seen[at - first : at - first + size]
        at += size


def _masked(
    source: Source, pixels: PixelElement, length: int, data: Dataset, findings: Needles | None
) -> Iterator[bytes]:
    """Yield native pixels whose unused high bits, where overlay planes may hide, follow from the stored bits."""
    import numpy as np

    allocated, stored = whole(data, "BitsAllocated") or 16, whole(data, "BitsStored") or 16
    high = whole(data, "HighBit")
    kind = np.dtype(f"{'<' if source.encoding.little else '>'}u{allocated // 8}")
    signed = whole(data, "PixelRepresentation") == 1
    for piece in _native(source, pixels, length, findings):
        if (high is not None and high != stored - 1) or len(piece) % kind.itemsize:
            yield piece
            continue
        values = np.frombuffer(piece, kind)
        kept = values & kind.type((1 << stored) - 1)
        if signed:
            sign = kept & kind.type(1 << (stored - 1))
            kept = np.where(sign != 0, kept | kind.type(((1 << allocated) - 1) ^ ((1 << stored) - 1)), kept)
        yield kept.astype(kind).tobytes() if not np.array_equal(kept, values) else piece


def _fragments(source: Source, pixels: PixelElement, order: str, findings: Needles | None) -> Iterator[bytes]:
    """Yield the offset table and the frames, text in their code streams blanked."""
    assert pixels.fragments is not None
    item, end = struct.pack(order + "HH", 0xFFFE, 0xE000), struct.pack(order + "HHL", 0xFFFE, 0xE0DD, 0)
    places = list(zip(pixels.fragments[::2], pixels.fragments[1::2], strict=True))
    for index, (offset, length) in enumerate(places):
        frame = source.value(offset, length)
        if index:
            frame = codestream.blanked(frame)
            hits = list(findings.places(frame, pixels=True)) if findings is not None else []
            frame = overwritten(frame, hits) if hits else frame
        yield item + struct.pack(order + "L", length) + frame
    yield end
