"""Descriptors of what a scanner wrote: instances, series, studies and cases; no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import Axis
from vesalius.core.finding import Message
from vesalius.core.grid import Frame, Spacing, orientation_of


class Verdict(StrEnum):
    """Whether the slices of a series form a grid."""

    REGULAR = "regular"
    SHEARED = "sheared"
    MISSING_SLICES = "missing_slices"
    DUPLICATE_SLICES = "duplicate_slices"
    UNEQUAL_SPACING = "unequal_spacing"
    MIXED_ORIENTATION = "mixed_orientation"
    UNKNOWN = "unknown"
    NO_IMAGE = "no_image"


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape, affine and verdict of a series.

    Args:
        shape: (slices, rows, columns); best known when the verdict is not regular.
        affine: index to LPS mm; the nearest regular grid when irregular; identity-like for a flat picture.
        reasons: messages naming the slices that spoil the grid.
        slice_thickness_mm: nominal thickness when told, which may differ from the distance of slices.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    verdict: Verdict = Verdict.REGULAR
    frame: Frame = Frame.PATIENT
    spacing: Spacing = Spacing.CALIBRATED
    reasons: tuple[Message, ...] = ()
    slice_thickness_mm: float | None = None

    @property
    def usable(self) -> bool:
        """Return whether the series loads without regridding."""
        return self.verdict in (Verdict.REGULAR, Verdict.SHEARED, Verdict.UNKNOWN)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Return distances along (slice, row, column) in mm (in pixels when spacing is unknown)."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def orientation(self) -> str:
        """Return the nearest axis code."""
        return orientation_of(self.affine)


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored object: file, UIDs, and the frames that belong to the series' stack (empty: all)."""

    path: Path
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Series:
    """A descriptor of one consistent stack; cheap to send to a worker. `io.load(series)` gives the volume.

    Args:
        uid: SeriesInstanceUID, or a key derived from the path for files without one.
        key: unique in its study even when one DICOM series splits into several stacks ("<uid>" or "<uid>#2").
        format: "dicom", "nifti", "nrrd", "mha" or "raster".
        attributes: non-identifying acquisition attributes by DICOM keyword (ImageType, EchoTime, RepetitionTime,
            InversionTime, FlipAngle, ContrastBolusAgent, MRAcquisitionType, ScanningSequence, SequenceName, ...).
        dtype: NumPy name of the stored voxels; `components` counts the fourth axis (1 without).
        axis: what the fourth axis counts, None without one.
        problems: anything odd that does not prevent reading (sform and qform disagree, wrong units, NaN).
    """

    uid: str
    key: str
    format: str
    instances: tuple[Instance, ...]
    geometry: Geometry
    study_uid: str = ""
    modality: str = ""
    description: str = ""
    number: int | None = None
    body_part: str = ""
    frame_of_reference_uid: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "int16"
    components: int = 1
    problems: tuple[Message, ...] = ()
    axis: Axis | None = None

    @property
    def float32_bytes(self) -> int:
        """Return the size of the series as float32, the unit of memory contracts."""
        slices, rows, columns = self.geometry.shape
        return 4 * slices * rows * columns * self.components

    def __repr__(self) -> str:
        """Return a short description."""
        return f"Series({self.modality or '?'} {self.description!r} {self.geometry.shape} {self.geometry.verdict})"


@dataclass(frozen=True, eq=False)
class Study:
    """The series of one visit.

    Args:
        key: folder name of the output (CONTRACTS).
        source: path as the user gave it.
        date: ISO date of the study, "" when unknown.
        left_out: (path relative to the source, reason) of files that are not images.
    """

    key: str
    source: Path
    series: tuple[Series, ...]
    date: str = ""
    left_out: tuple[tuple[str, Message], ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the patient is; hidden from repr, logs and JSON."""

    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class Case:
    """What an application runs on: the current study, priors, clinical values and the purpose."""

    study: Study
    priors: tuple[Study, ...] = ()
    clinical: Mapping[str, str | float] = field(default_factory=dict)
    purpose: str = "research"


@dataclass(frozen=True, eq=False)
class Selection:
    """What an application chose from a case.

    Args:
        chosen: role -> series; empty when nothing fits.
        reasons: role -> why this one.
        left_out: (series, why not) for every other series.
    """

    chosen: Mapping[str, Series]
    reasons: Mapping[str, Message]
    left_out: tuple[tuple[Series, Message], ...] = ()
