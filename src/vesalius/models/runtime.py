"""Running a package on cases: the input contract, the golden check, the graph, the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Mask, Spacing, Volume
from vesalius.core.errors import TamperedError, VesaliusError
from vesalius.models import operations
from vesalius.models.card import Card, InputContract
from vesalius.models.golden import GoldenCase, Value
from vesalius.models.graph import Graph
from vesalius.models.package import Package

VOLUME = 3


@dataclass(frozen=True, eq=False)
class Answer:
    """What a package says of one case.

    Args:
        outcome: "completed", "refused" (outside the input contract) or "abstained" (too far from the training data).
        values: [n] probabilities in the order of `labels`, or the numbers of the output.
        predicted: the label of the largest probability, "" when there are no labels.
        distance: how far the case lies from the training data, None when the package does not tell.
        message: why it is not completed.
    """

    outcome: str
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    labels: tuple[str, ...] = ()
    predicted: str = ""
    distance: float | None = None
    message: str = ""


class Runner:
    """A package that is ready: checked once against its golden outputs, its networks resident."""

    def __init__(self, package: Package, *, threads: int = 2) -> None:
        """Prepare a package; networks load with the first case.

        Raises:
            ConfigError: the graph asks for an operation that does not exist here.
        """
        operations.check(package.graph)
        self.package = package
        self._files = operations.Files(package.read, {}, threads)
        self._checked = False

    def check_golden(self) -> float:
        """Return the largest difference from the golden outputs.

        Raises:
            TamperedError: it is beyond the card's tolerance.
        """
        card = self.package.card
        largest = max((self._difference(case) for case in self.package.golden()), default=0.0)
        if not largest <= card.tolerance:
            raise TamperedError(
                f"{card.name} does not give its golden outputs on this machine",
                found=f"largest difference {largest:.3g}",
                expected=f"at most {card.tolerance:g}",
                fix="another version of ONNX Runtime, or a package made for this one",
            )
        self._checked = True
        return largest

    def predict(self, inputs: Mapping[str, Value | None]) -> Answer:
        """Return the answer for one case; a case outside the contract is refused, not an error.

        Raises:
            TamperedError: the golden outputs do not come out (first use only).
            ReadError: the graph cannot work on the case.
        """
        if not self._checked:
            self.check_golden()
        objection = objections(self.package.card, inputs)
        if objection:
            return Answer("refused", message="; ".join(objection))
        try:
            values = operations.run_steps(self.package.graph, dict(inputs), self._files)
        except VesaliusError as error:
            return Answer("refused", message=str(error))
        return self._answer(values)

    def _answer(self, values: Mapping[str, Any]) -> Answer:
        card, graph = self.package.card, self.package.graph
        output = np.asarray(values[graph.output], dtype=np.float64).reshape(-1)
        labels = tuple(one.name for one in card.output.labels)
        distance = float(np.asarray(values[graph.distance]).reshape(-1)[0]) if graph.distance else None
        predicted = labels[int(output.argmax())] if len(labels) == len(output) else ""
        limit = card.limits.get("distance")
        if distance is not None and limit is not None and distance > limit:
            text = f"the case is unlike the training data: distance {distance:.2f}, limit {limit:g}"
            return Answer("abstained", output, labels, predicted, distance, text)
        return Answer("completed", output, labels, predicted, distance)

    def _difference(self, case: GoldenCase) -> float:
        values = operations.run_steps(self.package.graph, dict(case.inputs), self._files)
        found = np.asarray(values[self.package.graph.output], dtype=np.float64).reshape(-1)
        expected = case.output.reshape(-1)
        if found.shape != expected.shape or not np.isfinite(found).all():
            return float("inf")
        return float(np.abs(found - expected).max(initial=0.0))


def golden_cases(graph: Graph, cases: list[Mapping[str, Value]], files: Mapping[str, bytes]) -> list[GoldenCase]:
    """Return cases with the outputs that a graph gives now, for a new package."""
    operations.check(graph)
    kept = operations.Files(lambda name: files[name], {})
    return [
        GoldenCase(case, np.asarray(operations.run_steps(graph, case, kept)[graph.output], dtype=np.float64))
        for case in cases
    ]


def objections(card: Card, inputs: Mapping[str, Value | None]) -> tuple[str, ...]:
    """Return why a case lies outside the input contract, a sentence each; empty when it lies inside."""
    unknown = sorted(set(inputs) - {one.name for one in card.inputs})
    found = [f"{name} is no input of {card.name}" for name in unknown]
    for contract in card.inputs:
        value = inputs.get(contract.name)
        if value is None:
            found += [f"{contract.name} is missing"] if contract.required else []
        elif contract.kind in ("image", "mask"):
            found += _image_objections(contract, value)
        else:
            found += _value_objections(contract, value)
    return tuple(found)


def _image_objections(contract: InputContract, value: Value) -> list[str]:
    kind = Mask if contract.kind == "mask" else Volume
    if not isinstance(value, kind):
        return [f"{contract.name} is no {contract.kind}"]
    slices, rows, columns = value.array.shape[:3]
    found = []
    if contract.dimensions == 2 and slices != 1:
        found.append(f"{contract.name} has {slices} slices, the model reads one picture")
    if contract.dimensions == VOLUME and slices < 2:
        found.append(f"{contract.name} is one slice, the model reads volumes")
    if (
        contract.size is not None
        and not contract.size[0] <= min(rows, columns) <= max(rows, columns) <= contract.size[1]
    ):
        found.append(f"{contract.name} has {rows} x {columns} pixels, the model reads {contract.size[0]} to "
                     f"{contract.size[1]}")  # fmt: skip
    return (
        found
        + _spacing_objections(contract, value)
        + (_brightness_objections(contract, value) if isinstance(value, Volume) else [])
    )


def _spacing_objections(contract: InputContract, value: Volume | Mask) -> list[str]:
    if contract.spacing_mm is None:
        return []
    if value.spacing is Spacing.UNKNOWN:
        return [f"{contract.name} does not tell its pixel size, which the model needs"]
    low, high = contract.spacing_mm
    edges = value.spacing_mm
    if min(edges) < low or max(edges) > high:
        shown = " x ".join(f"{edge:.2f}" for edge in edges)
        return [f"{contract.name} has voxels of {shown} mm, the model reads {low:g} to {high:g} mm"]
    return []


def _brightness_objections(contract: InputContract, value: Volume) -> list[str]:
    found = []
    if contract.modality and value.modality and value.modality != contract.modality:
        found.append(f"{contract.name} is {value.modality}, the model reads {contract.modality}")
    if contract.channels == 1 and value.axis is not None:
        found.append(f"{contract.name} has a fourth axis ({value.axis.kind}), the model reads grey images")
    if not np.isfinite(value.array).all():
        return [*found, f"{contract.name} holds NaN or infinity"]
    low, high = float(value.array.min()), float(value.array.max())
    if contract.values is not None and (low < contract.values[0] or high > contract.values[1]):
        found.append(
            f"{contract.name} has values from {low:g} to {high:g}, the model reads {contract.values[0]:g} to "
            f"{contract.values[1]:g}"
        )
    return found


def _value_objections(contract: InputContract, value: Value) -> list[str]:
    if contract.kind == "text":
        if contract.categories and str(value) not in contract.categories:
            return [f"{contract.name} is not among {', '.join(contract.categories)}"]
        return [] if isinstance(value, str) else [f"{contract.name} is no text"]
    if not isinstance(value, int | float):
        return [f"{contract.name} is no number"]
    if contract.values is not None and not contract.values[0] <= value <= contract.values[1]:
        return [f"{contract.name} is outside {contract.values[0]:g} to {contract.values[1]:g}"]
    return []
