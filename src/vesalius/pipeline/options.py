"""What a run is asked to do, and the hash that says whether it was done already."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

from vesalius.core.application import Application
from vesalius.core.registry import unknown
from vesalius.core.study import Selection, Study

GEOMETRIES = ("reject", "regrid")
PACKAGES = (
    "numpy",
    "scipy",
    "pydicom",
    "highdicom",
    "nibabel",
    "pynrrd",
    "SimpleITK",
    "scikit-image",
    "onnxruntime",
    "matplotlib",
    "typst",
)
"""Packages whose version may change a result."""


@dataclass(frozen=True)
class Options:
    """How a case is analysed and written; threads do not belong here, for results do not depend on them.

    Args:
        formats: empty for every format.
        geometry: "reject" refuses irregular slices, "regrid" resamples them to a regular grid.
        series_uid: only this series, whatever the application would have chosen.
    """

    formats: tuple[str, ...] = ()
    language: tuple[str, ...] = ("en",)
    geometry: str = "reject"
    series_uid: str | None = None
    keep_intermediate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every name; put formats and languages in one order.

        Raises:
            UnknownNameError: a format, language or way of geometry that does not exist.
        """
        from vesalius.report import FORMATS
        from vesalius.report.words import LANGUAGES

        object.__setattr__(self, "formats", _known("format", self.formats or FORMATS, FORMATS))
        object.__setattr__(self, "language", _known("language", self.language, LANGUAGES))
        _known("way of geometry", (self.geometry,), GEOMETRIES)

    def as_parameters(self) -> dict[str, object]:
        """Return the parameters as they stand in a report's provenance."""
        return {
            "formats": list(self.formats),
            "language": list(self.language),
            "geometry": self.geometry,
            "series": self.series_uid or "",
            "keep_intermediate": self.keep_intermediate,
        }


def _known(what: str, names: tuple[str, ...] | str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    names = (names,) if isinstance(names, str) else names
    for name in names:
        if name not in allowed:
            raise unknown(what, name, allowed)
    return tuple(name for name in allowed if name in names)


@lru_cache(maxsize=1)
def _package_versions() -> tuple[tuple[str, str], ...]:
    from vesalius import __version__

    found = {"vesalius": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return tuple(found.items())


def versions(application: Application) -> dict[str, str]:
    """Return name -> version of everything that may change a result."""
    return {**dict(_package_versions()), application.name: application.version}


def content_hash(
    study: Study, application: Application, selection: Selection, options: Options, inputs: Mapping[str, str]
) -> str:
    """Return SHA-256 over inputs, parameters and versions, hexadecimal.

    Args:
        inputs: role -> SHA-256 of the series chosen.
    """
    series = [(s.key, s.format, s.geometry.shape, str(s.geometry.verdict), len(s.instances)) for s in study.series]
    content = {
        "inputs": dict(inputs),
        "chosen": {role: one.key for role, one in selection.chosen.items()},
        "series": sorted(series),
        "parameters": {**options.as_parameters(), "seed": options.seed},
        "versions": versions(application),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def input_hashes(selection: Selection) -> dict[str, str]:
    """Return role -> SHA-256 over the stored files of each series chosen."""
    from vesalius.io import input_hash

    return {role: input_hash(series) for role, series in selection.chosen.items()}
