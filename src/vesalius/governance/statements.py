"""Signed statements of named persons about one package: a sign-off, or a waiver that names what it waives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vesalius.core.errors import KeyFileError, ReadError, TamperedError
from vesalius.keys import Key, Kind, sign
from vesalius.models import release
from vesalius.models.package import Package
from vesalius.models.release import FORMAT, PURPOSE, RELEASE, Signed, Statement, check, subject_hash
from vesalius.models.trust import TrustStore

__all__ = ["FORMAT", "PURPOSE", "RELEASE", "Signed", "Statement", "check", "make", "read", "subject_hash", "subject_of"]

MAX_BYTES = 1 << 20


def subject_of(package: Package) -> str:
    """Return the hash of what a package is: every file, the card without its status.

    It stays the same when the package is released, and changes with anything else.
    """
    return release.subject_of(package.folder, package.card)


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
    statement = release.validated({**parts, "text": text, "waives": waives, "key": key.id}, "the statement")
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
