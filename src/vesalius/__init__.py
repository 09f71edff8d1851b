"""Vesalius: AI for medical imaging, offline and light, with geometry that is never guessed.

The names below are loaded when they are first used; everything else is imported from its room.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vesalius.core import (
        Axis,
        Case,
        Code,
        Finding,
        Frame,
        Identity,
        Mask,
        Measurement,
        Report,
        Result,
        Segment,
        Series,
        Spacing,
        Study,
        Volume,
    )
    from vesalius.core.errors import VesaliusError
    from vesalius.imaging.spatial import resample, resample_like
    from vesalius.io import describe, load, save, scan  # type: ignore[no-redef]
    from vesalius.pipeline import analyze
    from vesalius.report import render  # type: ignore[no-redef]

_ROOMS = {
    "vesalius.core": (
        *("Axis", "Case", "Code", "Finding", "Frame", "Identity", "Mask", "Measurement", "Report", "Result"),
        *("Segment", "Series", "Spacing", "Study", "Volume"),
    ),
    "vesalius.core.errors": ("VesaliusError",),
    "vesalius.imaging.spatial": ("resample", "resample_like"),
    "vesalius.io": ("describe", "load", "save", "scan"),
    "vesalius.pipeline": ("analyze",),
    "vesalius.report": ("render",),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Axis",
    "Case",
    "Code",
    "Finding",
    "Frame",
    "Identity",
    "Mask",
    "Measurement",
    "Report",
    "Result",
    "Segment",
    "Series",
    "Spacing",
    "Study",
    "VesaliusError",
    "Volume",
    "__version__",
    "analyze",
    "describe",
    "load",
    "render",
    "resample",
    "resample_like",
    "save",
    "scan",
]


def __getattr__(name: str) -> Any:
    """Return a public name, importing its room now."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vesalius' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
