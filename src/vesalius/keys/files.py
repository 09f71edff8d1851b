"""Key files: one JSON format with kind and id, readable by their owner only."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vesalius.core.errors import KeyFileError, OutputError, OutputExistsError, WrongKeyError
from vesalius.core.registry import unknown
from vesalius.keys.model import SECRET_BYTES, Key, Kind, PublicKey, require, same_id
from vesalius.keys.passphrase import Stretching, check_passphrase
from vesalius.keys.wrapping import seal, unseal

FORMAT = "vesalius.key/1"
ENVIRONMENT = "env:"
"""A key named `env:NAME` is the content of a key file in the environment variable NAME."""
MAX_BYTES = 65536
CREATE = "vesalius keys create --kind KIND FILE"

Passphrase = str | Callable[[], str] | None
"""A passphrase, or what asks for it; asked only when the key is protected by one."""


@dataclass(frozen=True)
class Checked:
    """What can be told of a key without its secret."""

    kind: Kind
    id: str
    created: str
    public: bool
    passphrase: bool
    """Whether a passphrase protects it; its secret was then not looked at unless the passphrase was given."""


def create(kind: str, path: str | os.PathLike[str], *, passphrase: str | None = None) -> Key:
    """Make a random key, write it for its owner only (mode 600), and return it.

    Signing and audit keys also get `FILE.pub`, which is no secret. A key is never overwritten.

    Raises:
        UnknownNameError: the kind is not one of pseudonym, master, signing, audit.
        OutputExistsError: a file stands there.
        OutputError: the file cannot be written.
        KeyFileError: the passphrase is too short.
    """
    key = Key(_kind(kind), secrets.token_bytes(SECRET_BYTES), datetime.now(UTC).isoformat(timespec="seconds"))
    if passphrase is not None:
        check_passphrase(passphrase)
    target = Path(path)
    public = public_path(target) if key.kind.has_public_half else None
    for one in (target, public):
        if one is not None and os.path.lexists(one):
            raise _exists(one)
    if public is not None:
        _write(public, {**_head(key), "public": _encoded(key.public().public)}, 0o644)
    try:
        _write(target, _content(key, passphrase), 0o600)
    except BaseException:
        if public is not None:
            public.unlink()
        raise
    return key


def load(source: str | os.PathLike[str], *, kind: str, passphrase: Passphrase = None) -> Key:
    """Return the key of a file, or of an environment variable given as `env:NAME`.

    Raises:
        KeyFileError: no such key, readable by others, not a key, of another kind, or protected by a passphrase
            and none given.
        WrongKeyError: the passphrase is not the one.
        TamperedError: id and key do not belong together.
    """
    wanted = _kind(kind)
    name, content = _read(source)
    key = _secret_key(name, content, passphrase)
    require(key, wanted)
    return key


def load_public(path: str | os.PathLike[str], *, kind: str) -> PublicKey:
    """Return the public half out of `FILE.pub`.

    Raises:
        KeyFileError: no such file, not a public key, of another kind, or the secret half.
        TamperedError: id and key do not belong together.
    """
    wanted = _kind(kind)
    name, content = _read(path)
    key = _public_key(name, content)
    require(key, wanted)
    return key


def check(source: str | os.PathLike[str], *, passphrase: Passphrase = None) -> Checked:
    """Return what a key file is, after every test that `load` makes.

    Raises:
        KeyFileError: as for `load`.
        WrongKeyError: the passphrase is not the one.
        TamperedError: id and key do not belong together.
    """
    name, content = _read(source)
    protected = "passphrase" in content
    if "public" in content:
        known = _public_key(name, content)
        return Checked(known.kind, known.id, known.created, public=True, passphrase=False)
    if protected and passphrase is None:
        return Checked(_stored_kind(name, content), str(content["id"]), str(content["created"]), False, True)
    key = _secret_key(name, content, passphrase)
    return Checked(key.kind, key.id, key.created, public=False, passphrase=protected)


def public_path(path: str | os.PathLike[str]) -> Path:
    """Return where the public half of a key file lies: the same name with `.pub` added."""
    path = Path(path)
    return path.with_name(path.name + ".pub")


def _kind(name: str) -> Kind:
    if name not in list(Kind):
        raise unknown("kind of key", str(name), [str(one) for one in Kind])
    return Kind(name)


def _content(key: Key, passphrase: str | None) -> dict[str, Any]:
    if passphrase is None:
        return {**_head(key), "secret": _encoded(key.secret)}
    stretching = Stretching()
    sealed = seal(stretching.stretch(passphrase), key.secret, _context(key.kind, key.id))
    return {**_head(key), "passphrase": stretching.as_dict(), "secret": _encoded(sealed)}


def _head(key: Key) -> dict[str, Any]:
    return {"format": FORMAT, "kind": str(key.kind), "id": key.id, "created": key.created}


def _context(kind: Kind, key_id: str) -> bytes:
    return f"vesalius key\0{kind}\0{key_id}".encode()


def _secret_key(name: str, content: dict[str, Any], passphrase: Passphrase) -> Key:
    kind = _stored_kind(name, content)
    if "secret" not in content:
        fix = f"give {name.removesuffix('.pub')}" if name.endswith(".pub") else "give the file without .pub"
        raise KeyFileError(f"{name} is the public half of a key", expected="the secret half", fix=fix)
    secret = _decoded(name, content["secret"])
    if "passphrase" in content:
        secret = _opened(name, content, secret, passphrase)
    if len(secret) != SECRET_BYTES:
        raise _damaged(name, f"a secret of {SECRET_BYTES} bytes")
    key = Key(kind, secret, str(content["created"]))
    same_id(key, str(content["id"]), name)
    return key


def _opened(name: str, content: dict[str, Any], sealed: bytes, passphrase: Passphrase) -> bytes:
    if passphrase is None:
        raise KeyFileError(f"{name} is protected by a passphrase", expected="the passphrase", fix="give --passphrase")
    given = passphrase() if callable(passphrase) else passphrase
    stretched = Stretching.from_dict(content["passphrase"]).stretch(given)
    try:
        return unseal(stretched, sealed, _context(_stored_kind(name, content), str(content["id"])))
    except WrongKeyError:
        raise WrongKeyError(
            f"the passphrase does not open {name}", expected="the passphrase it was made with, and an unaltered file"
        ) from None


def _public_key(name: str, content: dict[str, Any]) -> PublicKey:
    if "public" not in content:
        raise KeyFileError(
            f"{name} is no public key", expected="a file that ends in .pub", fix="give FILE.pub; keep FILE to yourself"
        )
    key = PublicKey(_stored_kind(name, content), _decoded(name, content["public"]), str(content["created"]))
    if len(key.public) != SECRET_BYTES or not key.kind.has_public_half:
        raise _damaged(name, "an Ed25519 public key of a signing or audit key")
    same_id(key, str(content["id"]), name)
    return key


def _stored_kind(name: str, content: dict[str, Any]) -> Kind:
    if content.get("kind") not in list(Kind):
        raise _damaged(name, "a kind: " + ", ".join(Kind))
    return Kind(content["kind"])


def _read(source: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return (name for messages, content); a secret is refused when others can read it."""
    text = os.fspath(source)
    if text.startswith(ENVIRONMENT):
        name = text.removeprefix(ENVIRONMENT)
        if name not in os.environ:
            raise KeyFileError(f"the environment variable {name} is not set", expected="the content of a key file")
        return f"the environment variable {name}", _parsed(f"the environment variable {name}", os.environ[name])
    raw, status = _file_text(Path(text))
    content = _parsed(text, raw)
    if "secret" in content:
        refuse_shared(Path(text), status)
    return text, content


def _file_text(path: Path) -> tuple[str, os.stat_result]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
            status = os.fstat(file.fileno())
        return (raw.decode("ascii") if len(raw) <= MAX_BYTES else ""), status
    except UnicodeDecodeError:
        return "", status
    except OSError as error:
        missing = error.errno == errno.ENOENT
        what = "there is no key" if missing else error.strerror or type(error).__name__
        raise KeyFileError(f"{path}: {what}", expected="a key file", fix=CREATE if missing else "") from None


def refuse_shared(path: Path, status: os.stat_result) -> None:
    """Refuse a secret that others than its owner may read or change.

    Raises:
        KeyFileError: naming the mode and the command that mends it.
    """
    if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        found = f"mode {stat.S_IMODE(status.st_mode):03o}"
        fix = f"chmod 600 {path}; if others may have read it, make a new key"
        raise KeyFileError(f"{path} can be read or changed by others", found=found, expected="mode 600", fix=fix)


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    needed = ("kind", "id", "created")
    if not isinstance(content, dict) or content.get("format") != FORMAT or any(one not in content for one in needed):
        raise _damaged(name, f"JSON with format {FORMAT}, kind, id and created")
    return content


def _damaged(name: str, expected: str) -> KeyFileError:
    return KeyFileError(f"{name} is not a key file", expected=expected, fix=CREATE)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(name: str, text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise _damaged(name, "base64") from None


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(
        "a key is never overwritten", found=str(path), fix="choose another name; what an old key sealed still needs it"
    )


def _write(path: Path, content: dict[str, Any], mode: int) -> None:
    """Write a whole new file or nothing; the mode is right from the first moment."""
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write the key {path}", found=error.strerror or type(error).__name__) from None
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write((json.dumps(content, indent=2) + "\n").encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            _place(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"cannot write the key {path}", found=error.strerror or type(error).__name__) from None


def _place(temporary: Path, path: Path) -> None:
    """Give the file its name unless the name is taken; not every file system has hard links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "exists") from None
        os.rename(temporary, path)
