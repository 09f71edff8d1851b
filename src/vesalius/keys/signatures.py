"""Ed25519 signatures, each bound to the purpose it was made for.

Source: RFC 8032.
"""

from __future__ import annotations

from vesalius.core.errors import TamperedError
from vesalius.keys.model import Key, Kind, PublicKey, require

SIGNATURE_BYTES = 64


def sign(key: Key, data: bytes, *, purpose: str) -> bytes:
    """Return the signature of `data`, 64 bytes; it holds for this purpose only ("package", "audit-head", ...).

    Raises:
        KeyFileError: the key is neither a signing nor an audit key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    require(key, Kind.SIGNING, Kind.AUDIT)
    return Ed25519PrivateKey.from_private_bytes(key.secret).sign(_framed(data, purpose))


def verify(key: PublicKey, data: bytes, signature: bytes, *, purpose: str) -> None:
    """Return when the signature fits.

    Raises:
        TamperedError: other data, another key or another purpose.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    require(key, Kind.SIGNING, Kind.AUDIT)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, _framed(data, purpose))
    except (InvalidSignature, ValueError):
        raise TamperedError(
            f"the {purpose} signature does not fit",
            expected=f"a signature of key {key.id} over the data as they are",
            fix="get the data again from where they were signed, or take the public key of who signed them",
        ) from None


def public_bytes(seed: bytes) -> bytes:
    """Return the 32 bytes of the public key of an Ed25519 seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _framed(data: bytes, purpose: str) -> bytes:
    return b"vesalius/" + purpose.encode() + b"\0" + data
