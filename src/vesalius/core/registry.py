"""Names of the five extension points, read from entry points without importing anything."""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib import metadata
from typing import Any

from vesalius.core.errors import DuplicateNameError, UnknownNameError

KINDS = ("readers", "packages", "applications", "renderers", "guidelines")
"""The five extension points; the entry-point group is `vesalius.<kind>`."""


@lru_cache(maxsize=len(KINDS))
def _entries(kind: str) -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=f"vesalius.{kind}"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise DuplicateNameError(
                f"two packages register the {kind} name {entry.name!r}",
                found=f"{other.value} and {entry.value}",
                fix="uninstall one of them",
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))


def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of one kind, sorted, without importing anything.

    Raises:
        UnknownNameError: the kind is not one of `KINDS`.
        DuplicateNameError: two packages register one name.
    """
    if kind not in KINDS:
        raise unknown("extension point", kind, KINDS)
    return tuple(_entries(kind))


def get(kind: str, name: str) -> Any:
    """Return the registered object, imported now.

    Raises:
        UnknownNameError: nothing of this name is registered; the nearest name is suggested.
    """
    if name not in names(kind):
        raise unknown(kind.removesuffix("s"), name, names(kind))
    return _entries(kind)[name].load()


def unknown(what: str, name: str, known: tuple[str, ...] | list[str]) -> UnknownNameError:
    """Return the error for an unknown name, with the nearest known one."""
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {near[0]!r}?" if near else ""
    return UnknownNameError(f"unknown {what}", found=repr(name), expected=", ".join(known) or "none installed", fix=fix)
