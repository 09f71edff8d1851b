"""What a key is: a kind, a secret of 32 bytes, and an id that follows from the secret and tells nothing of it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from vesalius.core.errors import KeyFileError, TamperedError

if TYPE_CHECKING:
    from vesalius.keys.passphrase import Stretching

SECRET_BYTES = 32
ID_DIGITS = 32
"""Hexadecimal digits of a key id (128 bits)."""


class Kind(StrEnum):
    """What a key is for; a key of one kind is refused for any other use."""

    PSEUDONYM = "pseudonym"
    MASTER = "master"
    SIGNING = "signing"
    AUDIT = "audit"

    @property
    def has_public_half(self) -> bool:
        """Return whether `create` also writes `FILE.pub`."""
        return self in (Kind.SIGNING, Kind.AUDIT)


@dataclass(frozen=True)
class PublicKey:
    """The half of a signing or audit key that is no secret: an Ed25519 public key, 32 bytes."""

    kind: Kind
    public: bytes
    created: str = ""

    @property
    def id(self) -> str:
        """Return the id, the same as that of the secret half."""
        return hashlib.sha256(b"vesalius key id\0" + self.kind.encode() + b"\0" + self.public).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True)
class Key:
    """A secret key; neither `repr` nor `str` shows the secret.

    Args:
        secret: 32 random bytes; for signing and audit keys the seed of an Ed25519 key pair.
        created: ISO time in UTC, "" when not known.
        stretching: how the secret follows from a passphrase, None for a random secret.
    """

    kind: Kind
    secret: bytes = field(repr=False)
    created: str = ""
    stretching: Stretching | None = None

    @property
    def id(self) -> str:
        """Return the id that may be recorded: 32 hexadecimal digits."""
        if self.kind.has_public_half:
            return self.public().id
        return hmac.digest(self.secret, b"vesalius key id\0" + self.kind.encode(), "sha256").hex()[:ID_DIGITS]

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose; purposes of different names tell nothing of each other.

        Source: HKDF-Expand with one block, RFC 5869 section 2.3.
        """
        return hmac.digest(self.secret, b"vesalius/" + purpose.encode() + b"\x01", "sha256")

    def public(self) -> PublicKey:
        """Return the public half.

        Raises:
            KeyFileError: the kind has none.
        """
        from vesalius.keys.signatures import public_bytes

        if not self.kind.has_public_half:
            raise KeyFileError(f"a {self.kind} key has no public half", expected="a signing or audit key")
        return PublicKey(self.kind, public_bytes(self.secret), self.created)


def require(key: Key | PublicKey, *kinds: Kind) -> None:
    """Refuse a key of another kind.

    Raises:
        KeyFileError: naming both kinds.
    """
    if key.kind not in kinds:
        expected = " or ".join(f"a {kind} key" for kind in kinds)
        fix = f"vesalius keys create --kind {kinds[0]} FILE"
        raise KeyFileError("the key is of another kind", found=f"a {key.kind} key", expected=expected, fix=fix)


def same_id(key: Key | PublicKey, recorded: str, what: str) -> None:
    """Refuse a key whose id is not the recorded one.

    Raises:
        TamperedError: the file's id does not follow from its key.
    """
    if not hmac.compare_digest(key.id, recorded):
        raise TamperedError(f"{what}: the id does not belong to the key", found=recorded[:ID_DIGITS], expected=key.id)
