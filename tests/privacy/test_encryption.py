"""Encrypted objects: the round trip, another implementation, and every way to tamper refused by name."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core.errors import (
    KeyFileError,
    OutputError,
    ReadError,
    TamperedError,
    UnsupportedError,
    VesaliusError,
    WrongKeyError,
)
from vesalius.keys import Key, Kind, Stretching, from_passphrase
from vesalius.privacy import encryption

MASTER, OTHER = (Key(Kind.MASTER, bytes([n]) * 32) for n in (1, 2))
CHUNK = 64
NAME = "study/1.dcm"


def sealed(data: bytes, *, key: Key = MASTER, name: str = NAME, chunk: int = CHUNK) -> bytes:
    out = io.BytesIO()
    encryption.encrypt_stream(io.BytesIO(data), out, key=key, object_id=name, chunk_bytes=chunk)
    return out.getvalue()


def opened(data: bytes, *, key: Key = MASTER, name: str = NAME) -> bytes:
    return b"".join(encryption.decrypted(io.BytesIO(data), key=key, object_id=name))


def parts(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return header and sealed chunks."""
    body = data[encryption.HEADER_BYTES :]
    size = CHUNK + encryption.TAG_BYTES
    return data[: encryption.HEADER_BYTES], [body[n : n + size] for n in range(0, len(body), size)]


@given(st.binary(max_size=400))
def test_the_round_trip(data: bytes) -> None:
    assert opened(sealed(data)) == data


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_round_trip_at_the_edges_of_chunks(size: int) -> None:
    data = os.urandom(size)
    chunks = max(1, -(-size // CHUNK))
    made = sealed(data)
    assert len(made) == encryption.HEADER_BYTES + size + chunks * encryption.TAG_BYTES
    assert opened(made) == data
    assert data[:8] not in made or size < 8


def test_the_same_file_twice_shares_nothing() -> None:
    first, second = (parts(sealed(bytes(3 * CHUNK)))[1] for _ in range(2))
    assert not set(first) & set(second)
    assert len(set(first)) == 3


def test_another_implementation_opens_the_chunks() -> None:
    """The chunks are plain AES-256-GCM: nonce of prefix, counter and final flag, preamble as associated data."""
    data = os.urandom(2 * CHUNK + 5)
    made = sealed(data)
    header, chunks = parts(made)
    preamble = header[:32]
    wrapped = header[32 + 4 + 16 + 16 + 16 + 12 :][:60]
    key = gcm(MASTER.derive("wrap"), wrapped[:12], wrapped[12:], b"vesalius object\0" + preamble + NAME.encode())
    plain = b""
    for number, chunk in enumerate(chunks):
        nonce = preamble[20:27] + number.to_bytes(4, "big") + bytes([number == len(chunks) - 1])
        plain += gcm(key, nonce, chunk, preamble)
    assert plain == data


def gcm(key: bytes, nonce: bytes, data: bytes, context: bytes) -> bytes:
    """Decrypt with the low-level interface."""
    machine = Cipher(algorithms.AES(key), modes.GCM(nonce, data[-16:])).decryptor()
    machine.authenticate_additional_data(context)
    return machine.update(data[:-16]) + machine.finalize()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_flipped_bit_is_refused(data: st.DataObject) -> None:
    made = bytearray(sealed(b"x" * 150))
    bit = data.draw(st.integers(0, 8 * len(made) - 1))
    made[bit // 8] ^= 1 << bit % 8
    with pytest.raises((TamperedError, UnsupportedError, WrongKeyError)):
        opened(bytes(made))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_every_cut_is_refused(length: int) -> None:
    made = sealed(b"x" * 200)
    with pytest.raises((TamperedError, UnsupportedError)):
        opened(made[: length % len(made)])


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.integers(1, 4))
def test_every_order_of_chunks_but_the_right_one_is_refused(order: list[int], kept: int) -> None:
    header, chunks = parts(sealed(os.urandom(4 * CHUNK)))
    if order[:kept] == list(range(4)):
        return
    with pytest.raises(TamperedError):
        opened(header + b"".join(chunks[n] for n in order[:kept]))


@dataclass(frozen=True)
class Tampering:
    """Two chunks and a half of one object and of another, and how they were mixed."""

    says: str
    made: bytes


def tamperings() -> list[Tampering]:
    one, two = (sealed(bytes([n]) * 160, name=f"{n}") for n in (1, 2))
    (header, chunks), (other_header, others) = parts(one), parts(two)
    flipped = bytes([chunks[1][0] ^ 1]) + chunks[1][1:]
    return [
        Tampering("chunk 2 was altered", header + chunks[0] + flipped + chunks[2]),
        Tampering("altered, cut or added to", one[:-1]),
        Tampering("altered, cut or added to", one + b"more"),
        Tampering("was cut", header + chunks[0] + chunks[1]),
        Tampering("was cut", header),
        Tampering("was cut", one[:100]),
        Tampering("moved", header + chunks[1] + chunks[0] + chunks[2]),
        Tampering("moved", header + chunks[0] + chunks[0] + chunks[1] + chunks[2]),
        Tampering("moved", header + chunks[0] + chunks[2]),
        Tampering("added after its end", sealed(bytes(2 * CHUNK), name="1") + b"more" * 8),
        Tampering("chunk 2 was altered", header + chunks[0] + others[1] + chunks[2]),
        Tampering("another object", two),
        Tampering("another object", other_header + b"".join(chunks)),
        Tampering("header was altered", header[:60] + b"\xff" + header[61:] + b"".join(chunks)),
        Tampering("header was altered", header[:-1] + b"\x01" + b"".join(chunks)),
        Tampering("header was altered", header[:20] + b"\x01" + header[21:] + b"".join(chunks)),
    ]


@pytest.mark.parametrize("case", tamperings(), ids=lambda case: str(case.says))
def test_tampering_is_refused_by_name(case: Tampering) -> None:
    with pytest.raises(TamperedError, match=case.says):
        opened(case.made, name="1")


def test_another_key_is_refused_by_its_id() -> None:
    with pytest.raises(WrongKeyError, match="another master key") as error:
        opened(sealed(b"x"), key=OTHER)
    assert OTHER.id in error.value.found
    assert MASTER.id in error.value.expected
    for key in (Key(Kind.PSEUDONYM, bytes(32)), Key(Kind.SIGNING, bytes(32))):
        with pytest.raises(KeyFileError):
            sealed(b"x", key=key)
        with pytest.raises(KeyFileError):
            opened(sealed(b"x"), key=key)


def test_a_forged_header_with_the_right_id_is_refused() -> None:
    """Somebody who knows the id of the key, but not the key, seals their own object."""
    forged = encryption.Slot(1, MASTER.id, b"t" * 16, b"w" * 60)
    preamble = encryption.PREAMBLE.pack(encryption.MAGIC, CHUNK, b"prefix!")
    header = preamble + encryption._packed(forged, preamble) + bytes(encryption.SLOT_BYTES)
    with pytest.raises(TamperedError):
        opened(header + parts(sealed(b"x"))[1][0])


def test_files_round_trip_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    source, target, back = tmp_path / "in", tmp_path / "out.aes", tmp_path / "back"
    source.write_bytes(os.urandom(1 << 20))
    encryption.encrypt(source, target, key=MASTER, object_id="in")
    encryption.decrypt(target, back, key=MASTER, object_id="in")
    assert back.read_bytes() == source.read_bytes()
    back.unlink()
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(TamperedError):
        encryption.decrypt(target, back, key=MASTER, object_id="in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.aes"]
    with pytest.raises(ReadError, match="absent"):
        encryption.encrypt(tmp_path / "absent", back, key=MASTER, object_id="in")
    with pytest.raises(ReadError):
        encryption.encrypt(tmp_path, back, key=MASTER, object_id="in")
    with pytest.raises(UnsupportedError):
        encryption.decrypt(source, back, key=MASTER, object_id="in")
    with pytest.raises(OutputError):
        encryption.encrypt(source, source / "below", key=MASTER, object_id="in")


def test_rotation_changes_the_header_only(tmp_path: Path) -> None:
    path = tmp_path / "o.aes"
    path.write_bytes(sealed(b"data" * 100))
    before = path.read_bytes()
    assert encryption.rotate(path, old=MASTER, new=OTHER, object_id=NAME)
    after = path.read_bytes()
    assert after[encryption.HEADER_BYTES :] == before[encryption.HEADER_BYTES :]
    assert opened(after, key=OTHER) == b"data" * 100
    with pytest.raises(WrongKeyError):
        opened(after)
    assert not encryption.rotate(path, old=MASTER, new=OTHER, object_id=NAME)
    assert path.read_bytes() == after
    assert encryption.rotate(path, old=OTHER, new=MASTER, object_id=NAME)
    assert opened(path.read_bytes()) == b"data" * 100
    third = Key(Kind.MASTER, bytes([3]) * 32)
    with pytest.raises(WrongKeyError):
        encryption.rotate(path, old=OTHER, new=third, object_id=NAME)
    with pytest.raises(TamperedError, match="another object"):
        encryption.rotate(path, old=MASTER, new=third, object_id="other")


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("torn", [False, True])
def test_a_rotation_that_is_stopped_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, torn: bool
) -> None:
    path = tmp_path / "o.aes"
    path.write_bytes(sealed(b"data"))
    put, calls = encryption._put, []

    def stopping(file: io.BufferedRandom, number: int, slot: bytes) -> None:
        calls.append(number)
        if len(calls) == stop:
            if torn:
                put(file, number, slot[:70])
            raise KeyboardInterrupt
        put(file, number, slot)

    monkeypatch.setattr(encryption, "_put", stopping)
    with pytest.raises(KeyboardInterrupt):
        encryption.rotate(path, old=MASTER, new=OTHER, object_id=NAME)
    monkeypatch.setattr(encryption, "_put", put)
    if not torn:
        assert opened(path.read_bytes(), key=MASTER) == b"data"
    encryption.rotate(path, old=MASTER, new=OTHER, object_id=NAME)
    assert opened(path.read_bytes(), key=OTHER) == b"data"
    with pytest.raises(WrongKeyError):
        opened(path.read_bytes(), key=MASTER)


def test_a_passphrase_travels_with_its_parameters(tmp_path: Path) -> None:
    quick = Stretching(b"0123456789abcdef", 64, 1, 1)
    key = from_passphrase("seven quiet herons over slate", quick)
    path = tmp_path / "o.aes"
    path.write_bytes(sealed(b"data", key=key))
    stored = encryption.inspect(path).slots[0].stretching
    assert stored == quick
    assert opened(path.read_bytes(), key=from_passphrase("seven quiet herons over slate", stored)) == b"data"
    with pytest.raises(WrongKeyError):
        opened(path.read_bytes(), key=from_passphrase("seven quiet herons over slates", stored))


SCRIPT = """
import resource, sys
from vesalius.keys import Key, Kind
from vesalius.privacy import encryption
key = Key(Kind.MASTER, bytes(32))
encryption.encrypt(sys.argv[1], sys.argv[2], key=key, object_id="x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
encryption.encrypt(sys.argv[3], sys.argv[2], key=key, object_id="x")
encryption.decrypt(sys.argv[2], sys.argv[4], key=key, object_id="x")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(1 << 20))
    with large.open("wb") as file:
        file.truncate(48 << 20)
    names = [str(tmp_path / name) for name in ("small", "sealed", "large", "back")]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 8 << 20
    assert (tmp_path / "back").stat().st_size == 48 << 20


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(1 << 20))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, limit[1]))
    try:
        with pytest.raises(VesaliusError):
            encryption.encrypt(source, tmp_path / "out", key=MASTER, object_id="x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, old)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
