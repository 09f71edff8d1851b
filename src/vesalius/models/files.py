"""The files of a package: which may lie in it, their hashes, and what must not be there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vesalius.core.errors import LimitError, ReadError, TamperedError, UnsupportedError
from vesalius.io.cohort.archive import member_headers

CARD: Final = "card.yaml"
GRAPH: Final = "graph.yaml"
CONFIG: Final = "config.yaml"
GOLDEN: Final = "golden.npz"
HASHES: Final = "hashes.json"
SIGNATURE: Final = "signature.json"
REQUIRED: Final = (CARD, GRAPH, GOLDEN, HASHES)

ALLOWED: Final = (".yaml", ".json", ".onnx", ".safetensors", ".npz", ".png", ".md", ".txt", ".csv")
MAX_FILES: Final = 200
MAX_BYTES: Final = 4 * 2**30
_STEP: Final = 1 << 20
_PICKLE: Final = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_STEP):
            digest.update(block)
    return digest.hexdigest()


def hashes_text(folder: Path) -> str:
    """Return the content of `hashes.json` for a folder: every file but itself and the signature."""
    names = sorted(one.name for one in folder.iterdir() if one.name not in (HASHES, SIGNATURE))
    return json.dumps({"schema": 1, "files": {name: hash_file(folder / name) for name in names}}, indent=1) + "\n"


def check_files(folder: Path, name: str) -> Mapping[str, str]:
    """Return file -> SHA-256 of a package, every file checked.

    Args:
        name: how the package is called in messages.

    Raises:
        UnsupportedError: a file that a package must not hold, as code or a pickle.
        ReadError: a required file is missing.
        TamperedError: a file that is not listed, is missing, or differs from its hash.
    """
    present = _present(folder, name)
    for required in REQUIRED:
        if required not in present:
            raise ReadError(f"{name} is no model package", found=f"no {required}", expected=", ".join(REQUIRED))
    listed = _listed(folder / HASHES, name)
    for one in sorted(set(present) - set(listed) - {HASHES, SIGNATURE}):
        raise TamperedError(f"{name} holds a file that is not in {HASHES}", found=one, fix="get the package again")
    for one, expected in listed.items():
        if one not in present:
            raise TamperedError(f"{name} lacks a file", found=f"no {one}", fix="get the package again")
        if hash_file(folder / one) != expected:
            raise TamperedError(f"a file of {name} was altered", found=one, fix="get the package again")
    return listed


def _present(folder: Path, name: str) -> list[str]:
    entries = sorted(folder.iterdir())
    if len(entries) > MAX_FILES:
        raise LimitError(f"{name} holds too many files", found=str(len(entries)), expected=f"at most {MAX_FILES}")
    if sum(one.lstat().st_size for one in entries) > MAX_BYTES:
        raise LimitError(f"{name} is too large", expected=f"at most {MAX_BYTES} bytes")
    for one in entries:
        if one.is_symlink() or not one.is_file():
            raise UnsupportedError(f"{name} holds something that is no plain file", found=one.name)
        if one.suffix not in ALLOWED or _is_pickle(one):
            raise UnsupportedError(
                f"{name} holds a file that a package must not hold",
                found=one.name,
                expected=f"{', '.join(ALLOWED)}; nothing that is unpickled or run as code",
                fix="export the model to ONNX and package it again",
            )
    return [one.name for one in entries]


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in _PICKLE:
        return True
    if path.suffix == ".npz" or start == b"PK\3\4":
        return not _is_plain_npz(path)
    return False


def _is_plain_npz(path: Path) -> bool:
    """Return whether a zip holds nothing but arrays of numbers and text."""
    try:
        return not any(kind.hasobject for _, kind in member_headers(path).values())
    except ReadError:
        return False


def _listed(path: Path, name: str) -> dict[str, str]:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        if all(isinstance(key, str) and isinstance(value, str) for key, value in files.items()):
            return dict(files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise TamperedError(f"{HASHES} of {name} is damaged", expected="file name -> SHA-256", fix="get the package again")
