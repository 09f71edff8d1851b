"""Who may vouch for a package: public signing keys that a person has put into the local trust store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vesalius import keys
from vesalius.core.errors import TamperedError, VesaliusError
from vesalius.io.atomic import write_bytes
from vesalius.models.files import HASHES, SIGNATURE

PURPOSE = "package"


@dataclass(frozen=True)
class TrustStore:
    """Public signing keys by id.

    Args:
        wheel: SHA-256 of `hashes.json` of the packages that came with the program.
    """

    keys: Mapping[str, keys.PublicKey] = field(default_factory=dict)
    wheel: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Signature:
    """What is known of a package's signature: the key's id ("" when unsigned) and whether that key is trusted."""

    key_id: str = ""
    trusted: bool = False


def read_store(home: Path) -> TrustStore:
    """Return the keys under VESALIUS_HOME/trust, and the digests of the packages that came with the program.

    Raises:
        KeyFileError: a file there is no public signing key.
        TamperedError: id and key of a file do not belong together.
    """
    folder = home / "trust"
    found = [keys.load_public(one, kind="signing") for one in sorted(folder.glob("*.pub"))] if folder.is_dir() else []
    return TrustStore({one.id: one for one in found}, shipped_digests())


def shipped_digests() -> frozenset[str]:
    """Return the digests of the packages that came with the program."""
    listed = Path(__file__).parent / "shipped" / "digests.txt"
    if not listed.is_file():
        return frozenset()
    return frozenset(line.split()[0] for line in listed.read_text(encoding="ascii").splitlines() if line.strip())


def trust(home: Path, key_file: Path) -> keys.PublicKey:
    """Put a public signing key into the trust store and return it.

    Raises:
        KeyFileError: no public signing key.
        OutputError: the store cannot be written.
    """
    known = keys.load_public(key_file, kind="signing")
    write_bytes(home / "trust" / f"{known.id}.pub", key_file.read_bytes())
    return known


def sign_folder(folder: Path, key: keys.Key) -> None:
    """Write `signature.json` over `hashes.json`.

    Raises:
        KeyFileError: the key is no signing key.
    """
    signature = keys.sign(key, (folder / HASHES).read_bytes(), purpose=PURPOSE)
    public = key.public()
    content = {"schema": 1, "key_id": public.id, "public": public.public.hex(), "signature": signature.hex()}
    write_bytes(folder / SIGNATURE, (json.dumps(content, indent=1) + "\n").encode())


def check_signature(folder: Path, store: TrustStore, name: str) -> Signature:
    """Return who signed a package; a signature that does not fit is refused, whoever it claims to be from.

    Raises:
        TamperedError: the signature is damaged or does not fit.
    """
    path = folder / SIGNATURE
    if not path.is_file():
        return Signature()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        public = keys.PublicKey(keys.Kind.SIGNING, bytes.fromhex(content["public"]))
        signature, claimed = bytes.fromhex(content["signature"]), str(content["key_id"])
        if claimed != public.id:
            raise TamperedError(f"the signature of {name} names another key than it carries", found=claimed)
        keys.verify(public, (folder / HASHES).read_bytes(), signature, purpose=PURPOSE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, VesaliusError):
            raise
        raise TamperedError(f"{SIGNATURE} of {name} is damaged", fix="get the package again") from None
    return Signature(public.id, public.id in store.keys)
