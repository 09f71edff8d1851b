"""Data keys wrapped by a master key: AES-256-GCM with the object they belong to as associated data."""

from __future__ import annotations

import os

from vesalius.core.errors import WrongKeyError
from vesalius.keys.model import Key, Kind, require

NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16
"""Nonce and tag that wrapping adds."""


def wrap(master: Key, data_key: bytes, *, context: bytes) -> bytes:
    """Return the data key sealed for one object; `context` (its id) must be given again to unwrap.

    Raises:
        KeyFileError: not a master key.
    """
    require(master, Kind.MASTER)
    return seal(master.derive("wrap"), data_key, context)


def unwrap(master: Key, wrapped: bytes, *, context: bytes) -> bytes:
    """Return the data key.

    Raises:
        WrongKeyError: another master key, another object, or altered bytes.
        KeyFileError: not a master key.
    """
    require(master, Kind.MASTER)
    return unseal(master.derive("wrap"), wrapped, context)


def seal(key: bytes, data: bytes, context: bytes) -> bytes:
    """Return nonce, ciphertext and tag of AES-256-GCM."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what `seal` was given.

    Raises:
        WrongKeyError: another key or context, or altered bytes.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise WrongKeyError(
            "the key does not open this", expected="the key and the object it was sealed with, unaltered"
        ) from None
