"""Signed statements of named persons about a package, and the record of the review inside a released one.

`governance` makes statements and reviews; opening a package verifies them again here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vesalius.core.errors import ReadError, TamperedError
from vesalius.keys import Kind, PublicKey, verify
from vesalius.models.card import Card
from vesalius.models.files import CARD, HASHES, SIGNATURE, hash_file
from vesalius.models.trust import TrustStore

FORMAT: Literal["vesalius.statement/1"] = "vesalius.statement/1"
PURPOSE: Final = "ethics"
RELEASE: Final = "release.json"
"""The record of the review inside a released package; it cannot be part of what is signed before it."""
PASSED: Final = ("met", "waived")
"""How an item of a review stands that lets the package through."""


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


def subject_of(folder: Path, card: Card) -> str:
    """Return the hash of what a package is: every file, the card without its status.

    It stays the same when the package is released, and changes with anything else.
    """
    own = (CARD, RELEASE, HASHES, SIGNATURE)
    return subject_hash(card, {one.name: hash_file(one) for one in sorted(folder.iterdir()) if one.name not in own})


def subject_hash(card: Card, files: Mapping[str, str]) -> str:
    """Return the hash over a card without its status and the hashes of files."""
    content = {"card": card.model_copy(update={"status": "draft"}).model_dump(mode="json"), "files": dict(files)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def validated(content: Mapping[str, Any], source: str) -> Statement:
    """Return a statement from plain data.

    Raises:
        ReadError: a part is missing or not as it must be.
    """
    try:
        return Statement.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReadError(f"{source}: {place or 'the statement'} is not as it must be", expected=first["msg"]) from None


def check(content: object, source: str, *, subject: str, trust: TrustStore) -> Signed:
    """Return a statement that holds: about this package, signed, by a key that is trusted here.

    Raises:
        ReadError: no statement.
        TamperedError: altered, about another package, or by a key that is not trusted.
    """
    if not isinstance(content, dict) or not isinstance(content.get("statement"), dict):
        raise ReadError(f"{source} is no statement", expected="a file of vesalius ethics sign")
    statement = validated(content["statement"], source)
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


def check_record(folder: Path, card: Card, trust: TrustStore) -> tuple[Signed, ...]:
    """Return the statements behind a released package, each verified again.

    Raises:
        ReadError: the package holds no record of a review.
        TamperedError: the record is of another package, was not passed, or has no sign-off that holds.
    """
    path = folder / RELEASE
    if not path.is_file():
        raise ReadError(f"{card.name} holds no record of a review", expected=RELEASE, fix="vesalius ethics review")
    try:
        record = json.loads(path.read_bytes())
        items, given = record["review"]["items"], record["statements"]
        passed = bool(items) and all(item["standing"] in PASSED for item in items)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TamperedError(f"{RELEASE} of {card.name} is damaged") from None
    subject = subject_of(folder, card)
    signed = tuple(check(one, RELEASE, subject=subject, trust=trust) for one in given)
    if not passed or not any(one.statement.kind == "sign-off" for one in signed):
        raise TamperedError(f"{card.name} did not pass the gate", expected="every item met, and a sign-off")
    return signed
