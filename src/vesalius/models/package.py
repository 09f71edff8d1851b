"""Opening and writing model packages."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from vesalius.core.errors import LicenceError, OutputExistsError, ReadError, UsageError, VesaliusError
from vesalius.io.archive import is_zip, unpack_zip
from vesalius.io.atomic import folder_beside, output_errors, sync_folder, write_bytes, write_text, writing
from vesalius.keys import Key
from vesalius.models import files
from vesalius.models.card import Card, card_text, missing, read_card
from vesalius.models.golden import GoldenCase, golden_bytes, read_golden
from vesalius.models.graph import Graph, graph_text, read_graph
from vesalius.models.release import check_record
from vesalius.models.trust import Signature, TrustStore, check_signature, sign_folder

SUFFIX = ".vesalius"
WATERMARK = "DRAFT: made with a model that is not released"


@dataclass(frozen=True, eq=False)
class Package:
    """An opened package; a context manager, for a zip is unpacked into a private folder.

    Args:
        digest: SHA-256 of `hashes.json`: names exactly these files.
        status: "released", or "draft": then everything it gives carries a watermark.
        reason: why it is a draft ("card", "unsigned", "untrusted", or "review: ..."), "" when it is not.
    """

    name: str
    folder: Path
    card: Card
    graph: Graph
    digest: str
    signature: Signature
    status: str
    reason: str = ""
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def __enter__(self) -> Package:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove what was unpacked."""
        self.close()

    @property
    def watermark(self) -> str:
        """Return what everything that a draft gives must carry, "" for a released package."""
        return WATERMARK if self.status == "draft" else ""

    def close(self) -> None:
        """Remove what was unpacked; the package cannot be used any more."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def read(self, name: str) -> bytes:
        """Return the content of a file of the package."""
        return (self.folder / name).read_bytes()

    def golden(self) -> tuple[GoldenCase, ...]:
        """Return the golden cases."""
        return read_golden(self.folder / files.GOLDEN)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a package is made of.

    Args:
        files: file name -> content, as {"network.onnx": ...}; every file that the graph names.
        config: how it was trained, YAML.
    """

    card: Card
    graph: Graph
    files: Mapping[str, bytes]
    golden: Sequence[GoldenCase]
    config: str = ""


def open_package(path: str | Path, *, trust: TrustStore | None = None, accept_licence: Sequence[str] = ()) -> Package:
    """Return a package, every file checked against its hash, the signature against the trust store.

    Args:
        path: folder, or `.vesalius` zip.
        accept_licence: classes of licence that the caller accepts: "research", "unclear".

    Raises:
        UsageError: there is no such package.
        TamperedError: altered, incomplete or wrongly signed.
        ReadError: no package; `UnsupportedError` when it holds code or a pickle.
        ConfigError: the card or the graph breaks its schema, or a released card is not complete.
        LicenceError: weights of a class that was not accepted.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError("there is no such package", found=str(path), expected=f"a folder or a {SUFFIX} file")
    temporary = None if path.is_dir() else _unpacked(path)
    folder = path if temporary is None else Path(temporary.name)
    try:
        return _opened(path, folder, temporary, trust or TrustStore(), accept_licence)
    except BaseException:
        if temporary is not None:
            temporary.cleanup()
        raise


def _unpacked(path: Path) -> tempfile.TemporaryDirectory[str]:
    if not is_zip(path):
        raise ReadError(f"{path.name} is no model package", expected=f"a folder or a {SUFFIX} zip")
    return unpack_zip(path)


def _opened(
    path: Path,
    folder: Path,
    temporary: tempfile.TemporaryDirectory[str] | None,
    trust: TrustStore,
    accepted: Sequence[str],
) -> Package:
    listed = files.check_files(folder, path.name)
    card, graph = read_card(folder / files.CARD), read_graph(folder / files.GRAPH)
    _check_parts(card, graph, listed)
    digest = files.hash_file(folder / files.HASHES)
    signature = check_signature(folder, trust, path.name)
    status, reason = ("released", "") if _own(card, digest, trust) else _status(card, signature, folder, trust)
    if card.licence != "open" and card.licence not in accepted and digest not in trust.wheel:
        raise LicenceError(
            f"the weights of {card.name} are for use under conditions",
            found=f"{card.licence}{': ' + card.licence_text if card.licence_text else ''}",
            fix=f"read the card; if you may use them so, add --accept-licence {card.licence}",
        )
    return Package(card.name, folder, card, graph, digest, signature, status, reason, temporary)


def _check_parts(card: Card, graph: Graph, listed: Mapping[str, str]) -> None:
    names = {one.name for one in card.inputs}
    if names != set(graph.inputs):
        raise ReadError(
            f"card and graph of {card.name} name different inputs",
            found=f"{sorted(names)} and {sorted(graph.inputs)}",
        )
    for name in graph.files:
        if name not in listed:
            raise ReadError(f"the graph of {card.name} reads a file that is not there", found=name)
    absent = missing(card)
    if card.status == "released" and absent:
        raise ReadError(
            f"the package {card.name} calls itself released and its card is not complete",
            found=f"missing: {', '.join(absent)}",
            fix="ask its makers for the complete card",
        )


def _own(card: Card, digest: str, trust: TrustStore) -> bool:
    return card.status == "released" and digest in trust.wheel


def _status(card: Card, signature: Signature, folder: Path, trust: TrustStore) -> tuple[str, str]:
    if card.status == "draft":
        return "draft", "card"
    if not signature.trusted:
        return "draft", "untrusted" if signature.key_id else "unsigned"
    try:
        check_record(folder, card, trust)
    except VesaliusError as error:
        return "draft", f"review: {error.message}"
    return "released", ""


def write_package(target: str | Path, parts: Parts, *, key: Key | None = None, force: bool = False) -> str:
    """Write a package, a folder or (`.vesalius`) a zip, whole or not at all; return its digest.

    The same parts give the same bytes.

    Raises:
        OutputExistsError: something stands there and `force` is not set.
        OutputError: the place cannot be written.
        ReadError: parts that do not fit each other.
        UnsupportedError: a file that a package must not hold.
    """
    target = Path(target)
    if target.exists() and not force:
        raise OutputExistsError("the package exists", found=str(target), fix="another name, or --force")
    with folder_beside(target) as temporary:
        folder = temporary / "package"
        folder.mkdir()
        _fill(folder, parts)
        if key is not None:
            sign_folder(folder, key)
        digest = _check_written(folder, target.name)
        if target.suffix == SUFFIX:
            pack(folder, target)
            return digest
        _replace(folder, target, temporary)
    sync_folder(target.parent)
    return digest


def _replace(folder: Path, target: Path, temporary: Path) -> None:
    with output_errors(target):
        if target.exists():
            os.replace(target, temporary / "old")
        os.replace(folder, target)


def _fill(folder: Path, parts: Parts) -> None:
    write_text(folder / files.CARD, card_text(parts.card))
    write_text(folder / files.GRAPH, graph_text(parts.graph))
    write_text(folder / files.CONFIG, parts.config)
    write_bytes(folder / files.GOLDEN, golden_bytes(parts.golden))
    for name, content in parts.files.items():
        write_bytes(folder / name, content)
    write_text(folder / files.HASHES, files.hashes_text(folder))


def _check_written(folder: Path, name: str) -> str:
    listed = files.check_files(folder, name)
    _check_parts(read_card(folder / files.CARD), read_graph(folder / files.GRAPH), listed)
    return files.hash_file(folder / files.HASHES)


def pack(folder: Path, target: Path) -> None:
    """Write the folder of a package as one zip, the same bytes every time.

    Raises:
        OutputError: the place cannot be written.
    """
    with writing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for one in sorted(folder.iterdir()):
            stored = one.suffix in (".npz", ".onnx", ".safetensors")
            entry = zipfile.ZipInfo(one.name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, one.read_bytes())
