"""Removing what tells who a patient is: profiles, pseudonyms, dates, the sweep. Names load when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.privacy.deidentify import deidentify_file
    from vesalius.privacy.outcome import Report, Result, Settings, Subject
    from vesalius.privacy.profile import Option, Profile, choose
    from vesalius.privacy.pseudonym import Pseudonyms, relink

_HOMES = {
    "deidentify_file": "deidentify",
    **dict.fromkeys(("Report", "Result", "Settings", "Subject"), "outcome"),
    **dict.fromkeys(("Option", "Profile", "choose"), "profile"),
    **dict.fromkeys(("Pseudonyms", "relink"), "pseudonym"),
}

__all__ = [
    "Option",
    "Profile",
    "Pseudonyms",
    "Report",
    "Result",
    "Settings",
    "Subject",
    "choose",
    "deidentify_file",
    "relink",
]


def __getattr__(name: str) -> Any:
    """Return a name of this room, importing its module now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
