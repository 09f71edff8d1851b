"""The card of a model: what it is for, what went in, how well it does, what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vesalius.config.yaml import load_yaml

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LicenceClass = Literal["open", "research", "unclear"]
Kind = Literal["classification", "ordinal", "regression", "survival", "clustering", "segmentation", "features"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Coded(_Part):
    """A name with its code in a public scheme (SCT, DCM, RADLEX) or in our own."""

    name: Words
    value: Text = ""
    scheme: Text = ""
    meaning: Text = ""


class InputContract(_Part):
    """What one input must be; a case outside is refused.

    Args:
        dimensions: 2 or 3 for images and masks.
        channels: 1 grey, 3 colour.
        values: lowest and highest value, image units.
        spacing_mm: lowest and highest edge of a voxel.
        size: smallest and largest number of rows and of columns.
        categories: the values that a text column may take.
    """

    name: Words
    kind: Literal["image", "mask", "number", "text"] = "image"
    modality: Text = ""
    body_part: Text = ""
    dimensions: Literal[2, 3] | None = None
    channels: Literal[1, 3] | None = None
    values: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    categories: tuple[Text, ...] = ()
    required: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> InputContract:
        for name in ("values", "spacing_mm", "size"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{name} of input {self.name}: the lower limit is above the upper one")
        return self


class OutputContract(_Part):
    """What comes out: labels in the order of the probabilities, or a number with its unit (UCUM)."""

    labels: tuple[Coded, ...] = ()
    unit: Text = ""
    score: Literal["probability", "score"] = "score"


class TrainingData(_Part):
    """A data set that the model saw."""

    name: Words
    licence: LicenceClass = "unclear"
    licence_text: Text = ""
    cases: int = Field(default=0, ge=0)
    patients: int | None = Field(default=None, ge=0)
    basis: dict[str, int] = Field(default_factory=dict, description="consent basis -> number of cases")
    source: Text = ""


class Metric(_Part):
    """A figure with its interval, on which data, in which subgroup, measured how."""

    name: Words
    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    data: Words
    subgroup: Text = ""
    cases: int = Field(default=0, ge=0)
    how: Text = ""


class OperatingPoint(_Part):
    """A threshold on the probability of one label, and what it gives."""

    label: Words
    threshold: float = Field(ge=0, le=1)
    purpose: Text = ""
    sensitivity: float | None = Field(default=None, ge=0, le=1)
    specificity: float | None = Field(default=None, ge=0, le=1)


class Energy(_Part):
    """What training took; unknown stays unknown."""

    training_kwh: float | None = Field(default=None, ge=0)
    co2_kg: float | None = Field(default=None, ge=0)
    method: Literal["", "measured", "estimated"] = ""
    seconds: float | None = Field(default=None, ge=0)


class Runtime(_Part):
    """A runtime that was measured on this model."""

    name: Literal["onnxruntime", "openvino", "torch"]
    seconds_per_case: float = Field(gt=0)
    largest_error: float = Field(ge=0)
    machine: Text = ""


class Approval(_Part):
    """A document behind a release, by its hash."""

    document: Words
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Card(_Part):
    """Everything that a person must know before using a model.

    `limits` holds what the makers promise: subgroup gap, calibration error and the like, name -> largest value.
    `tolerance` is the largest difference from the golden outputs on another machine.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9-]{1,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")] = "0.1.0"
    status: Literal["draft", "released"] = "draft"
    kind: Kind
    title: Words
    summary: Text = ""
    intended_use: Text = ""
    not_for: tuple[Words, ...] = ()
    risk_class: Text = ""
    licence: LicenceClass = "unclear"
    licence_text: Text = ""
    inputs: tuple[InputContract, ...] = Field(min_length=1)
    output: OutputContract = Field(default_factory=OutputContract)
    training_data: tuple[TrainingData, ...] = ()
    metrics: tuple[Metric, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    known_failures: tuple[Words, ...] = ()
    limits: dict[str, float] = Field(default_factory=dict)
    tolerance: float = Field(default=1e-4, gt=0, le=0.1)
    runtimes: tuple[Runtime, ...] = ()
    energy: Energy = Field(default_factory=Energy)
    approvals: tuple[Approval, ...] = ()
    warnings: tuple[Words, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        names = [one.name for one in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError("two inputs have one name")
        labels = [one.name for one in self.output.labels]
        if len(set(labels)) < len(labels):
            raise ValueError("two labels have one name")
        if self.kind in ("classification", "ordinal") and len(labels) < 2:
            raise ValueError(f"a model of kind {self.kind} needs two labels or more")
        for point in self.operating_points:
            if point.label not in labels:
                raise ValueError(f"operating point for {point.label!r}, which is no label of this model")
        return self


def read_card(path: Path) -> Card:
    """Return the card in a file.

    Raises:
        ConfigError: with file, line, what was given and what is allowed.
    """
    return load_yaml(path, Card)


def card_text(card: Card) -> str:
    """Return the card as YAML, defaults left out."""
    return yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)


def missing(card: Card) -> tuple[str, ...]:
    """Return what the card must still say before the package can be released; empty when it is complete."""
    wanted = {
        "intended_use": bool(card.intended_use),
        "not_for": bool(card.not_for),
        "risk_class": bool(card.risk_class),
        "licence": card.licence != "unclear",
        "training_data": bool(card.training_data),
        "training_data.basis": bool(card.training_data) and all(one.basis for one in card.training_data),
        "training_data.licence": all(one.licence != "unclear" for one in card.training_data),
        "metrics": bool(card.metrics),
        "metrics.interval": bool(card.metrics) and all(m.low is not None and m.high is not None for m in card.metrics),
        "metrics.subgroup": any(one.subgroup for one in card.metrics),
        "known_failures": bool(card.known_failures),
        "limits": bool(card.limits),
        "energy": bool(card.energy.method),
        "approvals": bool(card.approvals),
        "operating_points": bool(card.operating_points) or card.kind not in ("classification", "ordinal"),
    }
    return tuple(name for name, there in wanted.items() if not there)
