"""Objects encrypted one by one: AES-256-GCM in chunks, a data key per object, wrapped by a master key.

Layout, big-endian: 32 bytes of preamble (magic, bytes per chunk, nonce prefix), two slots of 144 bytes for the
wrapped data key, then the chunks, each followed by its tag of 16 bytes. The nonce of a chunk is prefix, counter and a
final flag, so that a chunk holds in one place of one object only. Rotation fills the free slot, then clears the other:
whatever moment it is stopped at, one of them opens.

Source: the STREAM construction, Hoang, Reyhanitabar, Rogaway and Vizár 2015, doi:10.1007/978-3-662-47989-6_24;
AES-GCM, NIST SP 800-38D.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vesalius.core.errors import LimitError, ReadError, TamperedError, UnsupportedError, WrongKeyError
from vesalius.io.atomic import output_errors, writing
from vesalius.keys import Key, Kind, Stretching, unwrap, wrap
from vesalius.keys.model import require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SUFFIX = ".aes"
MAGIC = b"VESALIUS-CRYPT-1"
CHUNK_BYTES = 1 << 18
MOST_CHUNK_BYTES = 1 << 24
MOST_CHUNKS = 1 << 32
TAG_BYTES = 16
PREAMBLE = struct.Struct(">16sI7s5x")
SLOT = struct.Struct(">I16s16s16sIII60s20x")
SLOT_BYTES = SLOT.size
CHECK_BYTES = 20
HEADER_BYTES = PREAMBLE.size + 2 * SLOT_BYTES
NEIGHBOURS = 1024
"""Places that are tried for a chunk that does not fit where it stands, to tell a swap from a flipped bit."""


@dataclass(frozen=True)
class Slot:
    """A wrapped data key and what opens it; `key_id` is that of the master key."""

    generation: int
    key_id: str
    object_tag: bytes
    wrapped: bytes
    stretching: Stretching | None = None


@dataclass(frozen=True)
class Envelope:
    """What an encrypted object tells without a key.

    Args:
        slots: one, or two when a rotation was stopped half-way; the newest first.
        whole: False when a slot is damaged; `rotate` mends what a stopped rotation left.
    """

    preamble: bytes
    slots: tuple[Slot, ...]
    whole: bool = True

    @property
    def chunk_bytes(self) -> int:
        """Return the plain bytes of a full chunk."""
        return int(PREAMBLE.unpack(self.preamble)[1])

    @property
    def nonce_prefix(self) -> bytes:
        """Return the part of the nonce that all chunks share."""
        return bytes(PREAMBLE.unpack(self.preamble)[2])


def encrypt(source: str | os.PathLike[str], target: str | os.PathLike[str], *, key: Key, object_id: str) -> None:
    """Encrypt a file; memory does not grow with its size.

    Args:
        key: a master key.
        object_id: the name under which the object is known, such as its path in a store; it must be given again.

    Raises:
        ReadError: the source cannot be read.
        OutputError: the target cannot be written; nothing is left behind then.
        KeyFileError: not a master key.
    """
    with _reading(source) as plain, writing(target) as sealed:
        encrypt_stream(plain, sealed, key=key, object_id=object_id)


def decrypt(source: str | os.PathLike[str], target: str | os.PathLike[str], *, key: Key, object_id: str) -> None:
    """Decrypt a file; the target appears only when every chunk to the last was found authentic.

    Raises:
        WrongKeyError: another master key.
        TamperedError: a flipped bit, a cut, a chunk that was moved, or another object under this name.
        UnsupportedError: not an encrypted object.
        ReadError: the source cannot be read.
        OutputError: the target cannot be written; nothing is left behind then.
    """
    with _reading(source) as sealed, writing(target) as plain:
        for chunk in decrypted(sealed, key=key, object_id=object_id, name=os.fspath(source)):
            plain.write(chunk)


def encrypt_stream(
    plain: BinaryIO, sealed: BinaryIO, *, key: Key, object_id: str, chunk_bytes: int = CHUNK_BYTES
) -> None:
    """Encrypt from one stream into another.

    Raises:
        KeyFileError: not a master key.
        LimitError: more than 2^32 chunks.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data_key = AESGCM.generate_key(256)
    preamble = PREAMBLE.pack(MAGIC, chunk_bytes, os.urandom(7))
    slot = _packed(_slot(key, data_key, object_id, preamble, generation=1), preamble)
    sealed.write(preamble + slot + bytes(SLOT_BYTES))
    cipher = AESGCM(data_key)
    prefix = bytes(PREAMBLE.unpack(preamble)[2])
    for number, chunk, final in _chunks(plain, chunk_bytes):
        sealed.write(cipher.encrypt(_nonce(prefix, number, final), chunk, preamble))


def decrypted(sealed: BinaryIO, *, key: Key, object_id: str, name: str = "the object") -> Iterator[bytes]:
    """Yield the plain chunks, each authentic; that the whole is complete is proven only when the iterator ends.

    Raises:
        WrongKeyError: another master key.
        TamperedError: a flipped bit, a cut, a chunk that was moved, or another object under this name.
        UnsupportedError: not an encrypted object.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    envelope = _envelope(sealed.read(HEADER_BYTES), name)
    if not envelope.whole:
        fix = "take a copy from the backup; after a rotation that was stopped, run vesalius keys rotate again"
        raise TamperedError(f"{name}: the header was altered", expected="the header as it was written", fix=fix)
    cipher = AESGCM(_data_key(envelope, key, object_id, name))
    for number, chunk, final in _chunks(sealed, envelope.chunk_bytes + TAG_BYTES):
        try:
            yield cipher.decrypt(_nonce(envelope.nonce_prefix, number, final), chunk, envelope.preamble)
        except InvalidTag:
            raise _wrong_chunk(cipher, envelope, chunk, (number, final), name) from None


def inspect(path: str | os.PathLike[str]) -> Envelope:
    """Return what an encrypted object tells without a key: which master key opens it.

    Raises:
        UnsupportedError: not an encrypted object.
        TamperedError: cut in the header, or no usable slot.
        ReadError: the file cannot be read.
    """
    with _reading(path) as stream:
        return _envelope(stream.read(HEADER_BYTES), os.fspath(path))


def rotate(path: str | os.PathLike[str], *, old: Key, new: Key, object_id: str) -> bool:
    """Wrap the data key with another master key in place; the data are not touched. False when it was so already.

    A stop at any moment leaves an object that the old or the new key opens; rotating again finishes the work.

    Raises:
        WrongKeyError: neither key opens it.
        TamperedError: another object under this name, or an altered header.
        OutputError: the file cannot be written.
    """
    name = os.fspath(path)
    envelope = inspect(path)
    known = {slot.key_id for slot in envelope.slots}
    if envelope.whole and known == {new.id}:
        _data_key(envelope, new, object_id, name)
        return False
    data_key = _data_key(envelope, new if new.id in known else old, object_id, name)
    generation = max(slot.generation for slot in envelope.slots) + 1
    slot = _packed(_slot(new, data_key, object_id, envelope.preamble, generation), envelope.preamble)
    with output_errors(path), open(path, "r+b") as file:
        keep = _place_of(file, envelope)
        _put(file, 1 - keep, slot)
        _put(file, keep, bytes(SLOT_BYTES))
    return True


def _slot(key: Key, data_key: bytes, object_id: str, preamble: bytes, generation: int) -> Slot:
    require(key, Kind.MASTER)
    wrapped = wrap(key, data_key, context=_context(object_id, preamble))
    return Slot(generation, key.id, _object_tag(key, object_id), wrapped, key.stretching)


def _context(object_id: str, preamble: bytes) -> bytes:
    return b"vesalius object\0" + preamble + object_id.encode()


def _object_tag(key: Key, object_id: str) -> bytes:
    return hmac.digest(key.derive("object"), object_id.encode(), "sha256")[:16]


def _packed(slot: Slot, preamble: bytes) -> bytes:
    salt, memory, passes, lanes = bytes(16), 0, 0, 0
    if slot.stretching is not None:
        how = slot.stretching
        salt, memory, passes, lanes = how.salt, how.memory_kib, how.passes, how.lanes
    parts = (slot.generation, bytes.fromhex(slot.key_id), slot.object_tag, salt, memory, passes, lanes, slot.wrapped)
    body = SLOT.pack(*parts)[:-CHECK_BYTES]
    return body + _check(body, preamble)


def _check(body: bytes, preamble: bytes) -> bytes:
    return hashlib.sha256(preamble + body).digest()[:CHECK_BYTES]


def _unpacked(raw: bytes, preamble: bytes) -> Slot | None:
    if raw[-CHECK_BYTES:] != _check(raw[:-CHECK_BYTES], preamble):
        return None
    generation, key_id, tag, salt, memory, passes, lanes, wrapped = SLOT.unpack(raw)
    stretching = Stretching(salt, memory, passes, lanes) if memory else None
    return Slot(generation, key_id.hex(), tag, wrapped, stretching)


def _envelope(header: bytes, name: str) -> Envelope:
    if header[: len(MAGIC)] != MAGIC:
        raise UnsupportedError(f"{name} is not an encrypted object", expected="a file that vesalius encrypt wrote")
    if len(header) < HEADER_BYTES:
        raise TamperedError(f"{name} was cut", found=f"{len(header)} bytes", expected=f"more than {HEADER_BYTES}")
    preamble = header[: PREAMBLE.size]
    if not 0 < PREAMBLE.unpack(preamble)[1] <= MOST_CHUNK_BYTES:
        raise TamperedError(f"{name}: the header was altered", expected=f"chunks of at most {MOST_CHUNK_BYTES} bytes")
    raw = [header[PREAMBLE.size + n * SLOT_BYTES :][:SLOT_BYTES] for n in range(2)]
    read = [_unpacked(one, preamble) for one in raw]
    slots = sorted((slot for slot in read if slot is not None), key=lambda slot: -slot.generation)
    if not slots:
        raise TamperedError(f"{name}: the header was altered", expected="a wrapped key that is unaltered")
    whole = all(slot is not None or not any(one) for slot, one in zip(read, raw, strict=True))
    return Envelope(preamble, tuple(slots), whole)


def _data_key(envelope: Envelope, key: Key, object_id: str, name: str) -> bytes:
    require(key, Kind.MASTER)
    slot = next((one for one in envelope.slots if one.key_id == key.id), None)
    if slot is None:
        found, expected = f"key {key.id}", " or ".join(f"key {one.key_id}" for one in envelope.slots)
        raise WrongKeyError(f"{name}: sealed with another master key", found=found, expected=expected)
    if not hmac.compare_digest(slot.object_tag, _object_tag(key, object_id)):
        fix = (
            "put the files back where they were; for a file that was renamed on purpose give its name with --object-id"
        )
        raise TamperedError(f"{name} holds another object: it was swapped or renamed", found=repr(object_id), fix=fix)
    try:
        return unwrap(key, slot.wrapped, context=_context(object_id, envelope.preamble))
    except WrongKeyError:
        raise TamperedError(f"{name}: the header was altered", expected="the wrapped key as it was written") from None


def _chunks(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (number, chunk, whether it is the last); an empty stream has one empty chunk."""
    number, chunk = 0, stream.read(size)
    while True:
        following = stream.read(size)
        yield number, chunk, not following
        if not following:
            return
        number, chunk = number + 1, following
        if number >= MOST_CHUNKS:
            raise LimitError("the object is too large", expected=f"at most {MOST_CHUNKS} chunks of {size} bytes")


def _nonce(prefix: bytes, number: int, final: bool) -> bytes:
    return prefix + struct.pack(">IB", number, final)


def _wrong_chunk(cipher: AESGCM, envelope: Envelope, chunk: bytes, place: tuple[int, bool], name: str) -> TamperedError:
    """Return the error that names what happened to a chunk."""
    number, final = place
    if len(chunk) < TAG_BYTES or (final and _fits(cipher, envelope, chunk, (number, False))):
        return TamperedError(f"{name} was cut: its end is missing", found=f"{number + 1} chunks")
    if not final and _fits(cipher, envelope, chunk, (number, True)):
        return TamperedError(f"{name}: something was added after its end", found=f"more than {number + 1} chunks")
    near = range(max(0, number - NEIGHBOURS), number + NEIGHBOURS)
    for other in near:
        if any(_fits(cipher, envelope, chunk, (other, last)) for last in (False, True)):
            found = f"chunk {other + 1} in the place of chunk {number + 1}"
            return TamperedError(f"{name}: chunks were moved, repeated or left out", found=found)
    what = "the last chunk was altered, cut or added to" if final else f"chunk {number + 1} was altered"
    return TamperedError(f"{name}: {what}", expected="the bytes as they were written", fix="take it from the backup")


def _fits(cipher: AESGCM, envelope: Envelope, chunk: bytes, place: tuple[int, bool]) -> bool:
    from cryptography.exceptions import InvalidTag

    try:
        cipher.decrypt(_nonce(envelope.nonce_prefix, *place), chunk, envelope.preamble)
    except InvalidTag:
        return False
    return True


def _place_of(file: BinaryIO, envelope: Envelope) -> int:
    """Return which slot holds the newest wrapped key."""
    file.seek(PREAMBLE.size)
    raw = [file.read(SLOT_BYTES) for _ in range(2)]
    return next(n for n in range(2) if _unpacked(raw[n], envelope.preamble) == envelope.slots[0])


def _put(file: BinaryIO, number: int, slot: bytes) -> None:
    file.seek(PREAMBLE.size + number * SLOT_BYTES)
    file.write(slot)
    file.flush()
    os.fsync(file.fileno())


def _reading(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ReadError(f"{os.fspath(path)} cannot be read", found=error.strerror or type(error).__name__) from None
