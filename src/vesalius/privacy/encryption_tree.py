"""Whole folders encrypted, decrypted and rotated: each file an object whose id is its path in the folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vesalius.core.errors import OutputExistsError, TamperedError, UnsupportedError, UsageError, VesaliusError
from vesalius.keys import Key, Stretching, from_passphrase
from vesalius.privacy.encryption import SUFFIX, Envelope, decrypt, encrypt, inspect, rotate

KeyFor = Callable[[Envelope], Key]
"""Gives the master key that an object asks for."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Outcome:
    """What became of the files: relative paths; `left_out` are links and special files."""

    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    failed: tuple[tuple[str, VesaliusError], ...] = ()


class Passphrase:
    """The master keys of one passphrase: one for each salt that objects carry, derived once."""

    def __init__(self, text: str) -> None:
        """Keep the passphrase."""
        self._text = text
        self._keys: dict[Stretching, Key] = {}

    def __call__(self, envelope: Envelope) -> Key:
        """Return the key of an object.

        Raises:
            UnsupportedError: the object was sealed with a key file, not with a passphrase.
        """
        stretching = next((slot.stretching for slot in envelope.slots if slot.stretching is not None), None)
        if stretching is None:
            found = f"key {envelope.slots[0].key_id}"
            raise UnsupportedError("the object was not sealed with a passphrase alone", found=found, fix="give --key")
        if stretching not in self._keys:
            self._keys[stretching] = from_passphrase(self._text, stretching)
        return self._keys[stretching]


def encrypt_tree(source: Path, target: Path, *, key: Key, force: bool, progress: Progress) -> Outcome:
    """Encrypt a file into a file, or each file of a folder into `target`, with `.aes` added to its name.

    A file that was encrypted before with this key, and has not changed since, is skipped, so that a run that was
    stopped goes on where it stopped. One bad file does not stop the rest.

    Raises:
        UsageError: no such source, or the target lies inside the source.
        OutputExistsError: other content stands there and `force` is false; nothing was written then.
    """
    pairs, left_out = _pairs(source, target, add=True)
    skipped = [] if force else [name for name, one, other in pairs if _is_done(one, other, key)]
    todo = [pair for pair in pairs if pair[0] not in skipped]
    _refuse_existing([other for _, _, other in todo], force)

    def work(name: str, one: Path, other: Path) -> None:
        encrypt(one, other, key=key, object_id=name)

    done, failed = _each(todo, work, progress)
    return Outcome(done, tuple(skipped), left_out, failed)


def decrypt_tree(
    source: Path, target: Path, *, key_for: KeyFor, object_id: str = "", force: bool, progress: Progress
) -> Outcome:
    """Decrypt a file, or each `.aes` file of a folder into `target`; the counterpart of `encrypt_tree`.

    Args:
        object_id: the id of a single file that was renamed; by default its name, or the end of its path.

    Raises:
        UsageError: no such source, or the target lies inside the source.
        OutputExistsError: something stands there and `force` is false; nothing was written then.
    """
    pairs, left_out = _pairs(source, target, add=False)
    _refuse_existing([other for _, _, other in pairs], force)
    single = source.is_file()

    def work(name: str, one: Path, other: Path) -> None:
        names = [object_id] if object_id else _names(one) if single else [name]
        _decrypt_as(one, other, names, key_for(inspect(one)))

    done, failed = _each(pairs, work, progress)
    return Outcome(done, (), left_out, failed)


def rotate_tree(source: Path, *, old_for: KeyFor, new: Key, object_id: str = "", progress: Progress) -> Outcome:
    """Wrap the data keys of a file or folder with a new master key; what has it already is skipped.

    Raises:
        UsageError: no such source.
    """
    pairs, left_out = _pairs(source, None, add=False)
    single = source.is_file()
    skipped: list[str] = []

    def work(name: str, one: Path, _: Path) -> None:
        names = [object_id] if object_id else _names(one) if single else [name]
        envelope = inspect(one)
        opens = {slot.key_id for slot in envelope.slots}
        old = new if new.id in opens else old_for(envelope)
        if not _rotate_as(one, names, old, new):
            skipped.append(name)

    done, failed = _each(pairs, work, progress)
    return Outcome(tuple(name for name in done if name not in skipped), tuple(skipped), left_out, failed)


def object_name(path: Path) -> str:
    """Return the id of a single file: its name without `.aes`."""
    return path.name.removesuffix(SUFFIX)


def _names(path: Path) -> list[str]:
    """Return the ids that a single file may have: its name, or the end of its path from any folder above."""
    parts = [*path.resolve().parts[1:-1], object_name(path)]
    return ["/".join(parts[first:]) for first in range(len(parts) - 1, -1, -1)]


def _decrypt_as(source: Path, target: Path, names: list[str], key: Key) -> None:
    for name in names[:-1]:
        try:
            return decrypt(source, target, key=key, object_id=name)
        except TamperedError as error:
            if "another object" not in error.message:
                raise
    return decrypt(source, target, key=key, object_id=names[-1])


def _rotate_as(path: Path, names: list[str], old: Key, new: Key) -> bool:
    for name in names[:-1]:
        try:
            return rotate(path, old=old, new=new, object_id=name)
        except TamperedError as error:
            if "another object" not in error.message:
                raise
    return rotate(path, old=old, new=new, object_id=names[-1])


def _pairs(source: Path, target: Path | None, *, add: bool) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Return (object id, source file, target file) of every file, and what is left out."""
    if not source.exists():
        raise UsageError("there is no such file or folder", found=str(source), expected="files to work on")
    if target is not None and source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise UsageError("the output lies inside the input", found=str(target), expected=f"a folder outside {source}")
    if source.is_file():
        named = target if add and target is not None else source
        return [(object_name(named), source, target or source)], ()
    pairs, left_out = [], []
    for path in sorted(_files(source)):
        name = path.relative_to(source).as_posix()
        if path.is_symlink() or not path.is_file() or (not add and path.suffix != SUFFIX):
            left_out.append(name)
            continue
        plain = name if add else name.removesuffix(SUFFIX)
        pairs.append((plain, path, (target or source) / (plain + SUFFIX if add else plain)))
    return pairs, tuple(left_out)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        yield from (Path(where, name) for name in names)
        yield from (Path(where, name) for name in folders if Path(where, name).is_symlink())


def _is_done(source: Path, target: Path, key: Key) -> bool:
    """Return whether the target is the source under this key; a target is whole, it was renamed into place."""
    try:
        newer = target.stat().st_mtime_ns >= source.stat().st_mtime_ns
        return newer and inspect(target).slots[0].key_id == key.id
    except (OSError, VesaliusError):
        return False


def _refuse_existing(targets: list[Path], force: bool) -> None:
    there = [path for path in targets if os.path.lexists(path)]
    if there and not force:
        found = f"{there[0]}" + (f" and {len(there) - 1} more" if len(there) > 1 else "")
        raise OutputExistsError("the output exists", found=found, fix="choose another OUT, or --force to replace it")


def _each(
    pairs: list[tuple[str, Path, Path]], work: Callable[[str, Path, Path], None], progress: Progress
) -> tuple[tuple[str, ...], tuple[tuple[str, VesaliusError], ...]]:
    done, failed = [], []
    for number, (name, one, other) in enumerate(pairs):
        progress(name, number / len(pairs))
        try:
            work(name, one, other)
            done.append(name)
        except VesaliusError as error:
            failed.append((name, error))
    return tuple(done), tuple(failed)
