"""Signed statements of named persons about one package: a sign-off, or a waiver that names what it waives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vesalius.core.errors import KeyFileError, ReadError, TamperedError
from vesalius.keys import Key, Kind, PublicKey, sign, verify
from vesalius.models.card import Card
from vesalius.models.files import CARD, hash_file
from vesalius.models.package import Package
from vesalius.models.trust import TrustStore

FORMAT: Literal["vesalius.statement/1"] = "vesalius.statement/1"
PURPOSE = "ethics"
RELEASE = "release.json"
"""The record of the review inside a released package; it cannot be part of what is signed before it."""
MAX_BYTES = 1 << 20


class Statement(BaseModel):
    """What a person says about a package, before it is signed.

    Args:
        subject: hash of the package's content (`subject_of`).
        waives: item ids, for a waiver; empty for a sign-off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["vesalius.statement/1"] = FORMAT
    kind: Literal["sign-off", "waiver"]
    name: str = Field(min_length=3, max_length=120)
    role: str = Field(min_length=2, max_length=120)
    subject: str = Field(pattern=r"^[0-9a-f]{64}$")
    time: str
    text: str = Field(min_length=10, max_length=4000)
    waives: tuple[str, ...] = ()
    key: str

    def message(self) -> bytes:
        """Return what is signed."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True).encode()


@dataclass(frozen=True)
class Signed:
    """A statement whose signature fits a key of the trust store."""

    statement: Statement
    source: str


def subject_of(package: Package) -> str:
    """Return the hash of what a package is: every file, the card without its status.

    It stays the same when the package is released, and changes with anything else.
    """
    files = {
        one.name: hash_file(one)
        for one in sorted(package.folder.iterdir())
        if one.name not in (CARD, RELEASE, "hashes.json", "signature.json")
    }
    return subject_hash(package.card, files)


def subject_hash(card: Card, files: dict[str, str]) -> str:
    """Return the hash over a card without its status and the hashes of files."""
    content = {"card": card.model_copy(update={"status": "draft"}).model_dump(mode="json"), "files": files}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def make(
    package: Package, key: Key, *, name: str, role: str, text: str, waives: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a signed statement as it is written to a file; a waiver when it waives something.

    Raises:
        KeyFileError: not a signing key.
        ReadError: name, role or text are missing.
    """
    if key.kind is not Kind.SIGNING:
        raise KeyFileError("a statement needs a signing key", found=f"a {key.kind} key")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    kind = "waiver" if waives else "sign-off"
    parts = {"kind": kind, "name": name, "role": role, "subject": subject_of(package), "time": time}
    statement = _validated({**parts, "text": text, "waives": waives, "key": key.id}, "the statement")
    public, signature = key.public().public.hex(), sign(key, statement.message(), purpose=PURPOSE).hex()
    return {"statement": statement.model_dump(mode="json"), "public": public, "signature": signature}


def read(path: Path, *, subject: str, trust: TrustStore) -> Signed:
    """Return a statement that holds: for this package, signed, by a key that a person here trusts.

    Raises:
        ReadError: no statement.
        TamperedError: altered, about another package, or by a key that is not trusted.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError(f"{path} is too large for a statement")
        return check(json.loads(path.read_bytes()), str(path), subject=subject, trust=trust)
    except OSError as error:
        raise ReadError(f"{path} cannot be read", found=error.strerror or type(error).__name__) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ReadError | TamperedError):
            raise
        raise ReadError(f"{path} is not JSON", expected="a file of vesalius ethics sign") from None


def check(content: object, source: str, *, subject: str, trust: TrustStore) -> Signed:
    """Return a statement that holds.

    Raises:
        ReadError: no statement.
        TamperedError: altered, about another package, or by a key that is not trusted.
    """
    if not isinstance(content, dict) or not isinstance(content.get("statement"), dict):
        raise ReadError(f"{source} is no statement", expected="a file of vesalius ethics sign")
    statement = _validated(content["statement"], source)
    try:
        public = PublicKey(Kind.SIGNING, bytes.fromhex(str(content.get("public"))))
        signature = bytes.fromhex(str(content.get("signature")))
    except ValueError:
        raise TamperedError(f"the signature of {source} is damaged") from None
    if public.id != statement.key:
        raise TamperedError(f"{source} names another key than it carries", found=statement.key[:32], expected=public.id)
    verify(public, statement.message(), signature, purpose=PURPOSE)
    if public.id not in trust.keys:
        fix = "vesalius models trust FILE.pub, when you know whose key it is"
        raise TamperedError(f"{source} is signed by a key that is not trusted here", found=public.id, fix=fix)
    if statement.subject != subject:
        fix = "sign again: the package has changed since, or it is another one"
        raise TamperedError(f"{source} is about another package", found=statement.subject[:16], expected=subject[:16],
                            fix=fix)  # fmt: skip
    return Signed(statement, source)


def _validated(content: dict[str, Any], source: str) -> Statement:
    try:
        return Statement.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReadError(f"{source}: {place or 'the statement'} is not as it must be", expected=first["msg"]) from None
