"""The packages by name and version: those under VESALIUS_HOME/models, and those that came with the program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vesalius.core import registry
from vesalius.core.errors import OutputExistsError, ReadError, VesaliusError
from vesalius.io.atomic import folder_beside, output_errors, sync_folder
from vesalius.models import files
from vesalius.models.card import Card
from vesalius.models.package import SUFFIX, Package, open_package, pack
from vesalius.models.trust import TrustStore, read_store

EVERY_LICENCE: Final = ("research", "unclear")
"""Looking at a package, copying and checking it needs no consent to its licence; computing with it does."""
SHIPPED: Final = Path(__file__).parent / "shipped"
"""Packages that came with the program, `<name>-<version>.vesalius`, beside `digests.txt`."""
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_SHIPPED: Final = re.compile(r"(.+)-(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class _Place:
    """Where a package of this name and version should lie."""

    name: str
    version: str
    path: Path

    @property
    def order(self) -> tuple[str, tuple[int, ...]]:
        """Return what sorts the newest version last."""
        return self.name, tuple(int(part) for part in self.version.split("."))


@dataclass(frozen=True)
class Entry:
    """A package of the store.

    Args:
        card: None when the package is damaged.
        status: "released", "draft" or "damaged".
        reason: why it is a draft, or what is wrong with it.
        signature: "trusted", "untrusted", "none", or "shipped" for a package that came with the program.
    """

    name: str
    version: str
    path: Path
    card: Card | None
    status: str
    reason: str
    signature: str
    digest: str
    size: int

    @property
    def shipped(self) -> bool:
        """Return whether it came with the program."""
        return self.path.parent == SHIPPED


def folder(home: Path) -> Path:
    """Return the folder of the packages."""
    return home / "models"


def marks(home: Path) -> Path:
    """Return the folder that remembers passed golden checks."""
    return folder(home) / ".checked"


def entries(home: Path) -> tuple[Entry, ...]:
    """Return what is in the store, every file checked; a damaged package is an entry that says so."""
    trust = read_store(home)
    return tuple(_entry(place, trust) for place in _places(home))


def find(home: Path, wanted: str | Path) -> Path:
    """Return the package that a person means: a folder, a `.vesalius` file, `name` (newest) or `name@version`.

    Raises:
        UnknownNameError: neither a path nor a name of the store.
    """
    path = Path(wanted)
    if (path / files.CARD).is_file() or path.is_file():
        return path
    name, _, version = str(wanted).partition("@")
    named = {f"{one.name}@{one.version}": one for one in _places(home)}
    versions = [one for one in named.values() if one.name == name and version in ("", one.version)]
    if versions:
        return versions[-1].path
    if path.exists():
        return path
    known = tuple(dict.fromkeys([*(one.partition("@")[0] for one in named), *named]))
    error = registry.unknown("package", str(wanted), known)
    error.fix = error.fix or f"a folder, a {SUFFIX} file, or a name of `vesalius models list`"
    raise error


def open_named(home: Path, wanted: str | Path, *, accept_licence: Sequence[str] = ()) -> Package:
    """Return a package by path or name, checked as `open_package` does, against the trust store of `home`.

    Raises:
        UnknownNameError: neither a path nor a name of the store.
        VesaliusError: as `open_package`.
    """
    return open_package(find(home, wanted), trust=read_store(home), accept_licence=accept_licence)


def import_package(home: Path, source: Path, *, force: bool = False) -> Entry:
    """Copy a package into the store, checked before and after; the same one again changes nothing.

    Raises:
        OutputExistsError: another package of this name and version is there, and `force` is not set.
        OutputError: the store cannot be written.
        VesaliusError: as `open_package`.
    """
    trust = read_store(home)
    with open_package(source, trust=trust, accept_licence=EVERY_LICENCE) as package:
        target = folder(home) / package.card.name / package.card.version
        place = _Place(package.card.name, package.card.version, target)
        if target.exists() and not force:
            _same_or_raise(target, package)
            return _entry(place, trust)
        with folder_beside(target) as temporary:
            copied = temporary / "package"
            with output_errors(target):
                shutil.copytree(package.folder, copied)
                # what was checked is not what was copied, until it is checked too
                files.check_files(copied, source.name)
                if target.exists():
                    os.replace(target, temporary / "old")
                os.replace(copied, target)
        sync_folder(target.parent)
    return _entry(place, trust)


def _same_or_raise(target: Path, package: Package) -> None:
    hashes = target / files.HASHES
    if hashes.is_file() and files.hash_file(hashes) == package.digest:
        files.check_files(target, target.name)
        return
    raise OutputExistsError(
        "another package of this name and version is in the store",
        found=f"{package.card.name}@{package.card.version}",
        fix="raise the version of the card, or --force to replace it",
    )


def export_package(home: Path, wanted: str | Path, target: Path, *, force: bool = False) -> str:
    """Write a package, checked, as one `.vesalius` file; return its digest.

    Raises:
        OutputExistsError: the file exists and `force` is not set.
        ReadError: the target is not named `.vesalius`.
        VesaliusError: as `open_package`.
    """
    if target.suffix != SUFFIX:
        raise ReadError("a package in one file ends in " + SUFFIX, found=target.name)
    if target.exists() and not force:
        raise OutputExistsError("the package exists", found=str(target), fix="another name, or --force")
    with open_named(home, wanted, accept_licence=EVERY_LICENCE) as package:
        pack(package.folder, target)
        return package.digest


def _places(home: Path) -> list[_Place]:
    """Return every package, the newest version of a name last; one in the home hides the same one shipped."""
    own = [
        _Place(one.parent.name, one.name, one)
        for one in folder(home).glob("*/*")
        if _VERSION.fullmatch(one.name) and one.is_dir()
    ]
    found = ((_SHIPPED.fullmatch(one.stem), one) for one in SHIPPED.glob("*" + SUFFIX))
    came = [_Place(name[1], name[2], one) for name, one in found if name is not None]
    known = {one.order for one in own}
    return sorted([*own, *(one for one in came if one.order not in known)], key=lambda one: one.order)


def _entry(place: _Place, trust: TrustStore) -> Entry:
    path = place.path
    size = path.stat().st_size if path.is_file() else sum(one.lstat().st_size for one in path.iterdir())
    try:
        with open_package(path, trust=trust, accept_licence=EVERY_LICENCE) as package:
            card, signature = package.card, package.signature
            said = "trusted" if signature.trusted else "untrusted" if signature.key_id else "none"
            said = "shipped" if package.digest in trust.wheel else said
            if (card.name, card.version) != (place.name, place.version):
                raise ReadError("the package lies under another name", found=f"{card.name}@{card.version}")
            return Entry(
                card.name, card.version, path, card, package.status, package.reason, said, package.digest, size
            )
    except VesaliusError as error:
        return Entry(place.name, place.version, path, None, "damaged", str(error), "none", "", size)
