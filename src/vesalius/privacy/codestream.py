"""Text inside compressed frames: comments and application data are blanked in place, decoded pixels stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_JPEG: Final = b"\xff\xd8"
_JPEG2000: Final = b"\xff\x4f\xff\x51"
_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD8)))
_KEPT_APPLICATION: Final = {0xE0: 14, 0xE8: 1 << 16, 0xEE: 12}
"""JFIF and the colour transforms of JPEG-LS and Adobe decide how a decoder reads: bytes of them that stay."""


def blanked(frame: bytes) -> bytes:
    """Return a compressed frame of the same length without comments, application data and what follows its end."""
    places = list(_places(frame))
    if not places:
        return frame
    changed = bytearray(frame)
    for begin, end in places:
        changed[begin:end] = bytes(end - begin)
    return bytes(changed)


def _places(frame: bytes) -> Iterator[tuple[int, int]]:
    if frame[:2] == _JPEG:
        yield from _in_jpeg(frame)
        return
    start = frame.find(_JPEG2000, 0, 4096)
    if start == 0 or (start > 0 and frame[4:8] == b"jP  "):
        yield from _in_boxes(frame, start)
        yield from _in_jpeg2000(frame, start)


def _in_jpeg(frame: bytes) -> Iterator[tuple[int, int]]:
    at, size = 2, len(frame)
    while at + 4 <= size and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            break
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        begin, end = at + 4, min(size, at + 2 + length)
        if marker == 0xFE or 0xE0 <= marker <= 0xEF:
            begin += _KEPT_APPLICATION.get(marker, 0)
            if begin < end and any(frame[begin:end]):
                yield begin, end
        at += 2 + length
    yield from _after_end(frame, frame.find(b"\xff\xd9", at))


def _in_jpeg2000(frame: bytes, start: int) -> Iterator[tuple[int, int]]:
    at, size = start + 2, len(frame)
    while at + 4 <= size and frame[at] == 0xFF and frame[at + 1] not in (0x90, 0x93, 0xD9):
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        end = min(size, at + 2 + length)
        if frame[at + 1] == 0x64 and any(frame[at + 6 : end]):
            yield at + 6, end
        at += 2 + length
    yield from _after_end(frame, frame.rfind(b"\xff\xd9"))


def _in_boxes(frame: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield the content of text boxes in front of a JPEG 2000 code stream."""
    at = 0
    while at + 8 <= start:
        length = int.from_bytes(frame[at : at + 4], "big")
        if length < 8:
            return
        if frame[at + 4 : at + 8] in (b"xml ", b"uuid", b"uinf", b"jp2i"):
            yield at + 8, min(start, at + length)
        at += length


def _after_end(frame: bytes, end: int) -> Iterator[tuple[int, int]]:
    if end >= 0 and any(frame[end + 2 :]):
        yield end + 2, len(frame)
