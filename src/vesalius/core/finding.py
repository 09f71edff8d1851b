"""What is seen and what is measured, language-neutral: codes and message ids with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vesalius.core.code import Code


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence without a language: an id of the message catalogue and its parameters (numbers or short strings)."""

    id: str
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)


class Mark(StrEnum):
    """How good an input or a number is."""

    GOOD = "good"
    CAUTION = "caution"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval around a value, in the value's unit.

    Args:
        level: coverage, such as 0.95.
        method: message id of what the interval means, such as "interval.repeatability".
    """

    low: float
    high: float
    level: float = 0.95
    method: str = "interval.repeatability"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit, method and place.

    Args:
        name: stable id such as "volume.gray_matter"; also the id of its title in the message catalogue.
        value: None when it could not be measured; `reason` says why.
        unit: UCUM code such as "mL", "%", "1".
        code: what is measured (the concept name of a TID 1500 measurement).
        method: message id of how it was measured.
        mask: name of the mask it was measured on.
        segment: name of the segment in that mask.
        site: anatomical place, coded.
        laterality: "L", "R" or "".
        headline: belongs to the at most twelve rows of page one.
    """

    name: str
    value: float | None
    unit: str
    code: Code
    method: str = ""
    mask: str = ""
    segment: str = ""
    site: Code | None = None
    laterality: str = ""
    interval: Interval | None = None
    mark: Mark = Mark.GOOD
    reason: Message | None = None
    headline: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """A coded statement with its evidence.

    Args:
        message: the sentence a doctor would say aloud.
        probability: calibrated probability 0..1, or None when none applies.
        conformal_set: names of the classes that cannot be excluded.
        evidence: names of measurements, masks and key images that carry it.
    """

    code: Code
    message: Message
    probability: float | None = None
    conformal_set: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    laterality: str = ""


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """One check of the input: stable id, value with UCUM unit, mark and the sentence that says what it means."""

    name: str
    mark: Mark
    message: Message
    value: float | None = None
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A picture to be drawn by the renderer: which slices of which volume, with which contours.

    Args:
        name: stable id, file name stem.
        volume: name of a volume in `Result.volumes`.
        mask: name of a mask in `Result.masks`, "" for none.
        planes: any of "axial", "coronal", "sagittal".
        point_mm: LPS mm position that the planes pass through.
        window: lowest and highest shown value.
        caption: what to see.
        offsets_mm: more slices parallel to each plane, as distances along its normal; (0,) is the point alone.
    """

    name: str
    volume: str
    mask: str
    planes: tuple[str, ...]
    point_mm: tuple[float, float, float]
    window: tuple[float, float]
    caption: Message
    offsets_mm: tuple[float, ...] = (0.0,)
