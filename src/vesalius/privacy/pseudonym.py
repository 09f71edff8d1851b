"""Keyed replacements: the same key and the same value give the same replacement, in every run and folder.

Nothing is stored: without the key the way back is a guess over 2^128 keys, with it a known id can be recomputed.
"""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

PREFIX: Final = "V"
_DIGITS: Final = 16
"""Characters of a patient's pseudonym after the prefix: 80 bits."""
LEAST_DAYS: Final = 366
MOST_DAYS: Final = 3653
"""Dates move back by at least a year and at most ten."""


@dataclass(frozen=True)
class Pseudonyms:
    """The replacements of one key.

    Args:
        secret: 32 bytes of a pseudonym key.
        key_id: names the key without telling anything of it; this is what is recorded.
    """

    secret: bytes = field(repr=False)
    key_id: str = ""

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self.secret, purpose.encode() + b"\0" + value.encode("utf-8", "surrogatepass"), "sha256")

    def patient(self, patient_id: str) -> str:
        """Return the pseudonym of a patient's id: V and 16 characters of A-Z and 2-7; "" for ""."""
        identifier = normalised_id(patient_id)
        if not identifier:
            return ""
        return PREFIX + base64.b32encode(self._digest("patient", identifier)).decode()[:_DIGITS]

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another one, below 2.25 (UUID of version 8, RFC 9562)."""
        return _uid(self.secret, uid.strip(" \0"))

    def days(self, patient_id: str) -> int:
        """Return the days by which all dates of a patient move, -3653 to -366."""
        number = int.from_bytes(self._digest("days", normalised_id(patient_id))[:8], "big")
        return -(LEAST_DAYS + number % (MOST_DAYS - LEAST_DAYS + 1))

    def token(self, purpose: str, value: str, digits: int = 12) -> str:
        """Return hexadecimal digits that stand for a value, for instance a file's path."""
        return self._digest(purpose, value).hex()[:digits]


def normalised_id(patient_id: str) -> str:
    """Return an id without the padding that DICOM says is not part of it."""
    return patient_id.strip(" \0\t\r\n")


@lru_cache(maxsize=65536)
def _uid(secret: bytes, uid: str) -> str:
    digest = hmac.digest(secret, b"uid\0" + uid.encode("utf-8", "surrogatepass"), "sha256")
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (8 << 76)
    number = number & ~(3 << 62) | (2 << 62)
    return f"2.25.{uuid.UUID(int=number).int}"


def relink(pseudonym: str, pseudonyms: Pseudonyms, candidates: Mapping[str, str]) -> str | None:
    """Return the row of the candidate whose pseudonym this is, None when none of them has it.

    Args:
        candidates: name of a row -> patient id.
    """
    wanted = pseudonym.strip().upper()
    for row, patient_id in candidates.items():
        if hmac.compare_digest(pseudonyms.patient(patient_id), wanted):
            return row
    return None
