"""Key files: kinds, modes, passphrases, ids; signatures and wrapping against their standards."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vesalius import keys
from vesalius.core.errors import (
    KeyFileError,
    LimitError,
    OutputError,
    OutputExistsError,
    TamperedError,
    UnknownNameError,
    WrongKeyError,
)
from vesalius.keys import Key, Kind, Stretching

KINDS = tuple(Kind)
WORDS = "seven quiet herons over slate"
FAST = Stretching(b"0123456789abcdef", 64, 1, 1)


@dataclass(frozen=True)
class Quick(Stretching):
    """The same work with little memory, so that the tests are quick; the real parameters have a test of their own."""

    memory_kib: int = 64
    passes: int = 1
    lanes: int = 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesalius.keys.files.Stretching", Quick)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_file_has_kind_and_id_and_belongs_to_its_owner(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "sub" / "k.key"
    made = keys.create(kind, path)
    content = json.loads(path.read_text())
    assert (content["format"], content["kind"], content["id"]) == ("vesalius.key/1", kind, made.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.load(path, kind=kind) == made
    assert keys.public_path(path).exists() is (kind in ("signing", "audit"))
    assert sorted(os.listdir(path.parent)) == (["k.key", "k.key.pub"] if kind.has_public_half else ["k.key"])


def test_two_keys_differ_and_ids_tell_nothing(tmp_path: Path) -> None:
    made = [keys.create("pseudonym", tmp_path / str(n)) for n in range(2)]
    assert made[0].id != made[1].id
    assert made[0].secret != made[1].secret
    same = [Key(kind, made[0].secret).id for kind in Kind]
    assert len(set(same)) == len(KINDS)
    assert made[0].secret.hex() not in repr(made[0]) + str(made[0])
    assert repr(made[0].secret) not in repr(made[0])


@pytest.mark.parametrize("kind", ["signing", "audit"])
def test_the_public_half_has_the_same_id_and_no_secret(tmp_path: Path, kind: str) -> None:
    key = keys.create(kind, tmp_path / "k")
    public = keys.load_public(tmp_path / "k.pub", kind=kind)
    assert public == key.public()
    assert public.id == key.id
    text = (tmp_path / "k.pub").read_text()
    assert "secret" not in text
    assert json.loads((tmp_path / "k").read_text())["secret"] not in text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    keys.create("master", path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="by others") as error:
        keys.load(path, kind="master")
    assert f"mode {mode:03o}" in error.value.found
    with pytest.raises(KeyFileError, match="by others"):
        keys.check(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "k"
    keys.create("signing", path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        keys.create("signing", path)
    path.unlink()
    with pytest.raises(OutputExistsError, match=r"k\.pub"):
        keys.create("signing", path)
    assert not path.exists()
    path.write_bytes(before)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        keys.create("audit", tmp_path / "file" / "k")


def test_each_kind_is_refused_for_another_use(tmp_path: Path) -> None:
    for kind in KINDS:
        keys.create(kind, tmp_path / kind)
    for kind in KINDS:
        for other in set(KINDS) - {kind}:
            with pytest.raises(KeyFileError, match="another kind"):
                keys.load(tmp_path / kind, kind=other)
    pseudonym = keys.load(tmp_path / "pseudonym", kind="pseudonym")
    for use in (
        lambda: keys.sign(pseudonym, b"", purpose="package"),
        lambda: keys.wrap(pseudonym, b"", context=b""),
        lambda: keys.unwrap(pseudonym, b"", context=b""),
    ):
        with pytest.raises(KeyFileError, match="another kind"):
            use()


def test_unknown_kind_suggests() -> None:
    with pytest.raises(UnknownNameError, match="pseudonym, master, signing, audit"):
        keys.create("secret", "never")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"format": "vesalius.key/9"}', "\xff", "[" * 100_000, "x" * 100_000],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not a key file"):
        keys.load(path, kind="master")


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("id", "0" * 32, TamperedError),
        ("kind", "audit", TamperedError),
        ("kind", "none", KeyFileError),
        ("kind", ["master"], KeyFileError),
        ("secret", "AAAA", KeyFileError),
        ("secret", "no base64!", KeyFileError),
        ("secret", "A" * 43 + "=", TamperedError),
    ],
)
def test_a_key_that_was_changed_is_refused(tmp_path: Path, field: str, value: object, kind: type[Exception]) -> None:
    path = tmp_path / "k"
    keys.create("master", path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(kind):
        keys.load(path, kind="master")


def test_secret_and_public_half_are_told_apart(tmp_path: Path) -> None:
    keys.create("signing", tmp_path / "k")
    with pytest.raises(KeyFileError, match="public half") as error:
        keys.load(tmp_path / "k.pub", kind="signing")
    assert error.value.fix.endswith("/k")
    with pytest.raises(KeyFileError, match="no public key"):
        keys.load_public(tmp_path / "k", kind="signing")


def test_no_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="vesalius keys create"):
        keys.load(tmp_path / "absent", kind="master")
    with pytest.raises(KeyFileError):
        keys.load(tmp_path, kind="master")


def test_a_key_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys.create("master", tmp_path / "k")
    monkeypatch.setenv("HOSPITAL_KEY", (tmp_path / "k").read_text())
    assert keys.load("env:HOSPITAL_KEY", kind="master") == made
    with pytest.raises(KeyFileError, match="NOWHERE is not set"):
        keys.load("env:NOWHERE", kind="master")


def test_a_passphrase_protects_the_file(tmp_path: Path, quick: None) -> None:
    path = tmp_path / "k"
    made = keys.create("master", path, passphrase=WORDS)
    assert keys.load(path, kind="master", passphrase=WORDS) == made
    assert keys.load(path, kind="master", passphrase=lambda: WORDS) == made
    assert keys.check(path).id == made.id
    with pytest.raises(WrongKeyError) as error:
        keys.load(path, kind="master", passphrase=WORDS + " ")
    assert WORDS not in str(error.value)
    with pytest.raises(KeyFileError, match="protected by a passphrase"):
        keys.load(path, kind="master")
    with pytest.raises(KeyFileError, match="too short"):
        keys.create("master", tmp_path / "other", passphrase="eleven char")
    assert not (tmp_path / "other").exists()


def test_a_file_cannot_ask_for_all_memory() -> None:
    with pytest.raises(LimitError):
        Stretching(memory_kib=1 << 30).stretch("x")
    with pytest.raises(KeyFileError):
        Stretching(b"").stretch("x")
    for bad in (None, {}, {"algorithm": "argon2id"}, {**FAST.as_dict(), "passes": "many"}):
        with pytest.raises(KeyFileError):
            Stretching.from_dict(bad)


def test_argon2id_is_the_one_of_the_standard() -> None:
    """RFC 9106 section 5.3 has secret and data that we do not use; this vector is of the reference program."""
    stretched = Stretching(b"somesalt", 65536, 2, 1).stretch("password")
    assert stretched.hex() == "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"


def test_a_passphrase_alone_is_a_master_key() -> None:
    made = keys.from_passphrase(WORDS)
    assert made.stretching == Stretching(made.stretching.salt if made.stretching else b"", 65536, 3, 4)
    assert keys.from_passphrase(WORDS, FAST) == keys.from_passphrase(WORDS, FAST)
    assert keys.from_passphrase(WORDS, FAST).id != keys.from_passphrase(WORDS + "x", FAST).id
    assert keys.from_passphrase("cafe\u0301 au lait frais", FAST) == keys.from_passphrase(
        "caf\u00e9 au lait frais", FAST
    )
    with pytest.raises(KeyFileError, match="12"):
        keys.from_passphrase("short")


def test_purposes_are_separate_and_follow_the_standard() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256

    key = Key(Kind.PSEUDONYM, bytes(range(32)))
    assert key.derive("uid") != key.derive("date")
    assert key.derive("uid") == HKDFExpand(SHA256(), 32, b"vesalius/uid").derive(key.secret)


def test_signatures_hold_for_one_purpose_and_one_key(tmp_path: Path) -> None:
    key, other = (keys.create("signing", tmp_path / name) for name in "ab")
    signature = keys.sign(key, b"data", purpose="package")
    keys.verify(key.public(), b"data", signature, purpose="package")
    Ed25519PublicKey.from_public_bytes(key.public().public).verify(signature, b"vesalius/package\0data")
    for public, data, purpose, sig in (
        (key.public(), b"Data", "package", signature),
        (key.public(), b"data", "audit-head", signature),
        (other.public(), b"data", "package", signature),
        (key.public(), b"data", "package", signature[:-1]),
        (key.public(), b"data", "package", b""),
    ):
        with pytest.raises(TamperedError, match="signature does not fit"):
            keys.verify(public, data, sig, purpose=purpose)


def test_openssl_verifies_our_signature(tmp_path: Path, tool: Callable[[str], str]) -> None:
    openssl = tool("openssl")
    key = keys.create("signing", tmp_path / "k")
    prefix = bytes.fromhex("302a300506032b6570032100")
    (tmp_path / "pub.der").write_bytes(prefix + key.public().public)
    (tmp_path / "data").write_bytes(b"vesalius/package\0data")
    (tmp_path / "sig").write_bytes(keys.sign(key, b"data", purpose="package"))
    names = [str(tmp_path / name) for name in ("pub.der", "sig", "data")]
    line = [openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", names[0], "-rawin"]
    done = subprocess.run([*line, "-sigfile", names[1], "-in", names[2]], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_wrapping_is_bound_to_key_and_object() -> None:
    master, other = (Key(Kind.MASTER, bytes([n]) * 32) for n in (1, 2))
    wrapped = keys.wrap(master, b"d" * 32, context=b"object 1")
    assert keys.unwrap(master, wrapped, context=b"object 1") == b"d" * 32
    assert keys.wrap(master, b"d" * 32, context=b"object 1") != wrapped
    flipped = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    for key, data, context in (
        (other, wrapped, b"object 1"),
        (master, wrapped, b"object 2"),
        (master, flipped, b"object 1"),
        (master, wrapped[:-1], b"object 1"),
        (master, b"", b"object 1"),
    ):
        with pytest.raises(WrongKeyError):
            keys.unwrap(key, data, context=context)
