"""What an application says: a language-neutral report and, beside it, the images it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vesalius.core.finding import Finding, KeyImage, Measurement, Message, QualityCheck
from vesalius.core.mask import Mask
from vesalius.core.study import Series
from vesalius.core.volume import Volume

SCHEMA = "vesalius.report/1"
"""Name and version of the JSON form of a report."""


class Outcome(StrEnum):
    """How an analysis of a readable picture ended."""

    COMPLETED = "completed"
    REFUSED = "refused"
    ABSTAINED = "abstained"


class Status(StrEnum):
    """Whether a named human stands behind it."""

    PRELIMINARY = "preliminary"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Source:
    """A series that was read.

    Args:
        role: what the application used it for, such as "t1".
        uid: SeriesInstanceUID or file key.
        reason: why this one was chosen.
        sha256: hash over the stored instances, in the order of the stack.
        spacing_mm: distances along (slice, row, column).
    """

    role: str
    uid: str
    format: str
    modality: str
    description: str
    number: int | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    reason: Message
    instances: int
    sha256: str = ""
    derived: bool = False
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A series that was not read, and why."""

    uid: str
    modality: str
    description: str
    number: int | None
    reason: Message


@dataclass(frozen=True, slots=True)
class MaskReference:
    """A mask by name; path relative to the report and hash of voxels + affine once written."""

    name: str
    segments: Mapping[str, str]
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What differs between two runs that are the same: id, times, energy, host, random UIDs.

    Args:
        energy_wh: estimated energy, None when it cannot be estimated.
        stages: stage name -> seconds.
    """

    id: str = ""
    started: str = ""
    finished: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    energy_wh: float | None = None
    energy_method: str = ""
    host: str = ""
    peak_memory_bytes: int | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    uids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the result came to be, repeatable: hashes of inputs, parameters, versions, seed."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    steps: tuple[str, ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, measured and refused, and how far to trust it.

    A refusal is a report with reasons, not an exception.

    Args:
        study_key: key of the study in the output (CONTRACTS); never an identity.
        study_date: ISO date, "" when unknown.
        reasons: why it was refused or abstained, and what would help.
        methods: how it works and what the numbers mean, in reading order.
        limits: what this application cannot see.
        draft: a model of status draft took part: a watermark goes on everything.
    """

    application: str
    version: str
    study_key: str
    outcome: Outcome
    id: str = ""
    supersedes: str = ""
    status: Status = Status.PRELIMINARY
    signed_by: str = ""
    study_date: str = ""
    sources: tuple[Source, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    reasons: tuple[Message, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    masks: tuple[MaskReference, ...] = ()
    quality: tuple[QualityCheck, ...] = ()
    explanations: tuple[Message, ...] = ()
    methods: tuple[Message, ...] = ()
    limits: tuple[Message, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    run: Run = field(default_factory=Run)
    draft: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """A report with the volumes, masks and key images it speaks of, in memory; an application writes nothing.

    Args:
        volumes: by name; the name of a source's role gives the volume that was read.
        masks: by name; written as NIfTI and DICOM SEG.
        images: what the renderer shall draw.
        series: role -> descriptor of what was read, so that a DICOM writer can re-open its headers; filled by the
            pipeline.
        intermediate: by file stem; volumes and masks become NIfTI, strings become text files named by the key.
    """

    report: Report
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)
    images: tuple[KeyImage, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    intermediate: Mapping[str, Volume | Mask | str] = field(default_factory=dict)
