"""Flat, iterative walk over the elements of a DICOM byte stream: lengths and nesting only, no value is built.

pydicom recurses on nested sequences and believes declared lengths; this walk finds out first whether that is safe. It
takes a stream as pydicom would (explicit elements inside implicit sets, items that switch to implicit, UN sequences).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

from vesalius.core.errors import LimitError, ReadError

MAX_NESTING: Final = 64
MAX_ELEMENTS: Final = 400_000
"""Elements and items; pydicom needs about 1.5 kB and 10 microseconds for each."""
MAX_FRAGMENTS: Final = 1_000_000
MAX_VALUE_BYTES: Final = 16 << 20
"""Longest value of a header element that is read."""
MAX_NESTED_BYTES: Final = 256 << 20
"""Values inside sequences, which pydicom reads whether they are wanted or not."""

PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, double and integer pixel data."""

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_SHORT_VRS: Final = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO"),
        *(b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
_IMPLICIT: Final = b""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written: implicit or explicit VR, little or big endian."""

    implicit: bool
    little: bool = True


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixel data lie.

    Args:
        offset: first byte of the value in the walked buffer.
        length: declared bytes of a native value; for fragments the bytes of the value up to its end.
        available: bytes that are there; fewer than `length` when the file is cut short.
        vr: OB or OW as written, "" in implicit VR.
        fragments: offsets and lengths by turns, the basic offset table first; None for native pixel data.
    """

    tag: int
    offset: int
    length: int
    available: int
    vr: str = ""
    fragments: array[int] | None = None

    @property
    def is_cut(self) -> bool:
        """Return whether the file ends before the pixel data do."""
        return self.available < self.length


@dataclass(slots=True)
class _Container:
    """An open data set, sequence or list of fragments."""

    kind: str
    stop: int
    implicit: bool
    closed_by_length: bool
    guessed: bool = False


class _MalformedError(Exception):
    """The structure breaks; harmless inside a value that was only guessed to be a sequence."""


@dataclass
class Walk:
    """One pass over `data[start:stop]`; `run` stops at the pixel data.

    Args:
        wanted: tags whose value will be read, so that its length is limited.
    """

    data: bytes | memoryview
    start: int
    stop: int
    encoding: Encoding
    wanted: Container[int] = frozenset()
    elements: int = 0
    nested_bytes: int = 0
    pixels: PixelElement | None = None
    _stack: list[_Container] = field(default_factory=list)
    _position: int = 0

    def run(self) -> None:
        """Walk to the pixel data or the end.

        Raises:
            LimitError: nesting, number of elements or the length of a value.
            ReadError: the stream ends inside an element or a sequence.
        """
        order = "<" if self.encoding.little else ">"
        self._tag = struct.Struct(order + "HH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from
        self._short = struct.Struct(order + "H").unpack_from
        self._position = self.start
        self._stack = [_Container("set", self.stop, self._is_implicit(self.start, self.encoding.implicit), True)]
        while self.pixels is None and self._step():
            if self.elements > MAX_ELEMENTS:
                raise LimitError("the file holds too many elements", expected=f"at most {MAX_ELEMENTS}")

    def _step(self) -> bool:
        try:
            return self._advance()
        except _MalformedError as problem:
            guessed = next((i for i, box in enumerate(self._stack) if box.guessed), None)
            if guessed is None:
                raise ReadError(
                    "the file is cut short or damaged",
                    found=f"{problem} at byte {self._position} of {self.stop}",
                    fix="copy the file again from its source",
                ) from None
            self._position = self._stack[guessed].stop
            del self._stack[guessed:]
            return True

    def _advance(self) -> bool:
        while self._position >= self._stack[-1].stop:
            box = self._stack[-1]
            if not box.closed_by_length:
                raise _MalformedError("a sequence or item without its end")
            if len(self._stack) == 1:
                return False
            self._stack.pop()
        if self._position + 8 > self._stack[-1].stop:
            if len(self._stack) == 1:
                return False
            raise _MalformedError("an incomplete element")
        group, element = self._tag(self.data, self._position)
        tag = group << 16 | element
        if group == 0xFFFE:
            self._delimiter(tag)
        elif self._stack[-1].kind != "set":
            raise _MalformedError(f"element ({group:04X},{element:04X}) where an item belongs")
        else:
            self._element(tag)
        return True

    def _delimiter(self, tag: int) -> None:
        box = self._stack[-1]
        (length,) = self._long(self.data, self._position + 4)
        value = self._position + 8
        if tag == _ITEM and box.kind == "fragments":
            self._position = self._end_of(value, length)
        elif tag == _ITEM and box.kind == "sequence":
            self.elements += 1
            stop = box.stop if length == _UNDEFINED else self._end_of(value, length)
            implicit = box.implicit or self._is_implicit(value, False)
            self._stack.append(_Container("set", stop, implicit, length != _UNDEFINED))
            self._position = value
        elif (tag == _ITEM_END and box.kind == "set") or (tag == _SEQUENCE_END and box.kind != "set"):
            if len(self._stack) == 1:
                raise _MalformedError("the end of an item that was not begun")
            self._stack.pop()
            self._position = value
        else:
            raise _MalformedError(f"delimiter ({tag >> 16:04X},{tag & 0xFFFF:04X}) out of place")

    def _element(self, tag: int) -> None:
        box = self._stack[-1]
        self.elements += 1
        vr, length, value = self._head(box.implicit)
        nested = len(self._stack) > 1
        if tag in PIXEL_TAGS and not nested:
            self._pixel_data(tag, vr, length, value)
        elif length == _UNDEFINED:
            opaque = vr in (b"OB", b"OW") or (vr == _IMPLICIT and tag in PIXEL_TAGS)
            self._open("fragments" if opaque else "sequence", box.stop, box.implicit, False)
            self._position = value
        else:
            end = self._end_of(value, length)
            if length >= 8 and vr in (b"SQ", b"UN", _IMPLICIT) and self._tag(self.data, value) == (0xFFFE, 0xE000):
                self._open("sequence", end, box.implicit, True, guessed=vr != b"SQ")
                self._position = value
                return
            self._limit_value(tag, length, nested)
            self._position = end

    def _head(self, implicit: bool) -> tuple[bytes, int, int]:
        """Return VR (empty when implicit), declared length and the offset of the value."""
        at = self._position
        if not implicit:
            vr = bytes(self.data[at + 4 : at + 6])
            if vr in _LONG_VRS:
                if at + 12 > self.stop:
                    raise _MalformedError("an incomplete element")
                return vr, self._long(self.data, at + 8)[0], at + 12
            if vr in _SHORT_VRS or b"AA" <= vr <= b"ZZ":
                return vr, self._short(self.data, at + 6)[0], at + 8
        return _IMPLICIT, self._long(self.data, at + 4)[0], at + 8

    def _end_of(self, value: int, length: int) -> int:
        end = value + length
        if end > self._stack[-1].stop:
            raise _MalformedError(f"a value of {length} bytes where {max(0, self._stack[-1].stop - value)} are left")
        return end

    def _open(self, kind: str, stop: int, implicit: bool, closed_by_length: bool, guessed: bool = False) -> None:
        # Sequences and their items alternate on the stack below the outermost data set.
        if len(self._stack) // 2 >= MAX_NESTING:
            raise LimitError(
                "sequences are nested too deep",
                found=f"more than {MAX_NESTING} levels",
                expected=f"at most {MAX_NESTING} levels",
            )
        self._stack.append(_Container(kind, stop, implicit, closed_by_length, guessed))

    def _limit_value(self, tag: int, length: int, nested: bool) -> None:
        if nested:
            self.nested_bytes += length
            if self.nested_bytes > MAX_NESTED_BYTES:
                raise LimitError("the sequences hold too much data", expected=f"at most {MAX_NESTED_BYTES} bytes")
        elif length > MAX_VALUE_BYTES and tag in self.wanted:
            raise LimitError(
                f"the value of element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is too long",
                found=f"{length} bytes",
                expected=f"at most {MAX_VALUE_BYTES} bytes",
            )

    def _is_implicit(self, at: int, assumed: bool) -> bool:
        vr = bytes(self.data[at + 4 : at + 6])
        if len(vr) < 2:
            return assumed
        return not (0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B)

    def _pixel_data(self, tag: int, vr: bytes, length: int, value: int) -> None:
        if length != _UNDEFINED:
            self.pixels = PixelElement(tag, value, length, min(length, self.stop - value), vr.decode())
            return
        fragments = array("Q")
        at, is_cut = value, True
        while at + 8 <= self.stop:
            mark = self._tag(self.data, at)
            (size,) = self._long(self.data, at + 4)
            at += 8
            if mark == (0xFFFE, 0xE0DD):
                is_cut = False
                break
            if mark != (0xFFFE, 0xE000) or at + size > self.stop:
                break
            fragments.extend((at, size))
            if len(fragments) > 2 * MAX_FRAGMENTS:
                raise LimitError("the pixel data have too many fragments", expected=f"at most {MAX_FRAGMENTS}")
            at += size
        at = min(at, self.stop)
        self.pixels = PixelElement(tag, value, at - value + int(is_cut), at - value, vr.decode(), fragments)
