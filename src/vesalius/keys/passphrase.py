"""Keys out of passphrases: Argon2id, slow and hungry for memory on purpose.

Source: RFC 9106 section 4, second recommended option (64 MiB, 3 passes, 4 lanes).
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field

from vesalius.core.errors import KeyFileError, LimitError
from vesalius.keys.model import SECRET_BYTES, Key, Kind

LEAST_CHARACTERS = 12
MOST_MEMORY_KIB = 1 << 20
"""Largest memory that a file may ask for (1 GiB), so that a hostile file cannot exhaust the machine."""


@dataclass(frozen=True)
class Stretching:
    """Parameters of Argon2id, kept beside what they protect; no secret."""

    salt: bytes = field(default_factory=lambda: os.urandom(16))
    memory_kib: int = 65536
    passes: int = 3
    lanes: int = 4

    def as_dict(self) -> dict[str, str | int]:
        """Return the form in a key file."""
        numbers = {"memory_kib": self.memory_kib, "passes": self.passes, "lanes": self.lanes}
        return {"algorithm": "argon2id", "salt": self.salt.hex(), **numbers}

    @classmethod
    def from_dict(cls, data: object) -> Stretching:
        """Return the parameters of a key file.

        Raises:
            KeyFileError: not what `as_dict` writes.
        """
        if not isinstance(data, dict) or data.get("algorithm") != "argon2id":
            raise KeyFileError("the passphrase protection is not understood", expected="argon2id")
        try:
            numbers = (int(data["memory_kib"]), int(data["passes"]), int(data["lanes"]))
            return cls(bytes.fromhex(str(data["salt"])), *numbers)
        except (KeyError, TypeError, ValueError):
            raise KeyFileError("the passphrase protection is damaged", expected="salt and three numbers") from None

    def stretch(self, passphrase: str) -> bytes:
        """Return 32 bytes that follow from the passphrase.

        Raises:
            LimitError: the parameters ask for more than 1 GiB or 64 passes.
            KeyFileError: the parameters are outside of what Argon2id allows.
        """
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        if self.memory_kib > MOST_MEMORY_KIB or self.passes > 64 or self.lanes > 64:
            found = f"{self.memory_kib} KiB, {self.passes} passes, {self.lanes} lanes"
            raise LimitError("the passphrase protection asks for too much", found=found, expected="1 GiB, 64, 64")
        text = unicodedata.normalize("NFC", passphrase).encode()
        try:
            argon = Argon2id(
                salt=self.salt,
                length=SECRET_BYTES,
                iterations=self.passes,
                lanes=self.lanes,
                memory_cost=self.memory_kib,
            )
        except ValueError:
            raise KeyFileError("the passphrase protection is damaged", expected="parameters of Argon2id") from None
        return argon.derive(text)


def from_passphrase(passphrase: str, stretching: Stretching | None = None) -> Key:
    """Return the master key that follows from a passphrase; no file is needed, the parameters travel with the data.

    Raises:
        KeyFileError: a new passphrase of fewer than 12 characters.
    """
    if stretching is None:
        check_passphrase(passphrase)
    stretching = stretching or Stretching()
    return Key(Kind.MASTER, stretching.stretch(passphrase), stretching=stretching)


def check_passphrase(passphrase: str) -> None:
    """Refuse a passphrase that is too short; the passphrase itself is never repeated.

    Raises:
        KeyFileError: fewer than 12 characters.
    """
    if len(passphrase) < LEAST_CHARACTERS:
        raise KeyFileError(
            "the passphrase is too short",
            found=f"{len(passphrase)} characters",
            expected=f"at least {LEAST_CHARACTERS}",
            fix="take five or more words drawn at random",
        )
