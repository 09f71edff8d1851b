"""Key files by kind, signatures, and wrapping of data keys. Names load when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.keys.files import check, create, load, load_public, public_path
    from vesalius.keys.model import Key, Kind, PublicKey
    from vesalius.keys.passphrase import Stretching, from_passphrase
    from vesalius.keys.signatures import sign, verify
    from vesalius.keys.wrapping import unwrap, wrap

_HOMES = {
    **dict.fromkeys(("check", "create", "load", "load_public", "public_path"), "files"),
    **dict.fromkeys(("Key", "Kind", "PublicKey"), "model"),
    **dict.fromkeys(("Stretching", "from_passphrase"), "passphrase"),
    **dict.fromkeys(("sign", "verify"), "signatures"),
    **dict.fromkeys(("unwrap", "wrap"), "wrapping"),
}

__all__ = [
    "Key",
    "Kind",
    "PublicKey",
    "Stretching",
    "check",
    "create",
    "from_passphrase",
    "load",
    "load_public",
    "public_path",
    "sign",
    "unwrap",
    "verify",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """Return a name of this room, importing its module now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
