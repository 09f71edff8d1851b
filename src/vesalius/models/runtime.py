"""Running a package on cases: the input contract, the golden check, the graph, the answer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Mask, Spacing, Volume
from vesalius.core.errors import OutputError, ReadError, TamperedError, UsageError, VesaliusError
from vesalius.io.atomic import write_text
from vesalius.models import engines, operations
from vesalius.models.card import Card, InputContract, Runtime
from vesalius.models.golden import GoldenCase, Value
from vesalius.models.graph import Graph
from vesalius.models.package import Package

VOLUME: Final = 3
INTERVAL: Final = 3
"""Numbers of an output with its interval: value, low, high."""
HALF_WIDTH: Final = "interval_half_width"
QUANTILE: Final = "conformal_quantile"
"""Limits of the card that make intervals and sets: quantiles of the error and of 1 - p(true label) on unseen cases."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a package says of one case.

    Args:
        outcome: "completed", "refused" (outside the input contract) or "abstained" (too far from the training data).
        values: [n] probabilities in the order of `labels`, or the numbers of the output.
        predicted: the label of the largest probability, "" when there are no labels.
        interval: ends of the conformal interval of a number, None when the package does not tell.
        candidates: labels of the conformal set, () when the package does not tell.
        distance: how far the case lies from the training data, None when the package does not tell.
        message: why it is not completed.
    """

    outcome: str
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    labels: tuple[str, ...] = ()
    predicted: str = ""
    interval: tuple[float, float] | None = None
    candidates: tuple[str, ...] = ()
    distance: float | None = None
    message: str = ""


class Runner:
    """A package that is ready: checked once against its golden outputs, its networks resident."""

    def __init__(
        self, package: Package, *, threads: int = 2, runtime: str = engines.AUTO, marks: Path | None = None
    ) -> None:
        """Prepare a package; networks load with the first case.

        Args:
            runtime: which computes the networks, see `engines.choose`.
            marks: folder that remembers which package gave its golden outputs with which versions; without it every
                runner checks once.

        Raises:
            ConfigError: the graph asks for an operation that does not exist here.
            MissingDependencyError: the runtime is not installed.
        """
        operations.check(package.graph)
        self.package = package
        self.runtime = engines.choose(package.card, runtime) if _computes(package.graph) else ""
        self._files = operations.Files(package.read, {}, threads, self.runtime)
        self._mark = None if marks is None else marks / f"{mark_name(package.digest, self.runtime)}.json"
        self._checked = self._mark is not None and self._mark.is_file()

    def check_golden(self) -> float:
        """Return the largest difference from the golden outputs.

        Raises:
            TamperedError: it is beyond the card's tolerance.
        """
        card = self.package.card
        largest = self.golden_error()
        if not largest <= card.tolerance:
            raise TamperedError(
                f"{card.name} does not give its golden outputs on this machine",
                found=f"largest difference {largest:.3g}{f' with {self.runtime}' if self.runtime else ''}",
                expected=f"at most {card.tolerance:g}",
                fix="--runtime with another name, another version of it, or a package made for this one",
            )
        self._checked = True
        self._remember(largest)
        return largest

    def ready(self) -> None:
        """Check the golden outputs unless that is done.

        Raises:
            TamperedError: they do not come out.
        """
        if not self._checked:
            self.check_golden()

    def golden_error(self) -> float:
        """Return the largest difference from the golden outputs, whatever the tolerance is."""
        return max((self._difference(case) for case in self.package.golden()), default=0.0)

    def predict(self, inputs: Mapping[str, Value | None]) -> Answer:
        """Return the answer for one case; a case outside the contract is refused, not an error.

        Raises:
            TamperedError: the golden outputs do not come out (first use only).
            ReadError: the graph cannot work on the case.
        """
        self.ready()
        objection = objections(self.package.card, inputs)
        if objection:
            return Answer("refused", message="; ".join(objection))
        try:
            values = self.compute(inputs)
        except VesaliusError as error:
            return Answer("refused", message=str(error))
        return self._answer(values)

    def compute(self, inputs: Mapping[str, Value | None]) -> dict[str, Any]:
        """Return every value of the graph for one case, whatever the contract says.

        Raises:
            VesaliusError: as an operation says.
        """
        return operations.run_steps(self.package.graph, inputs, self._files)

    def _remember(self, largest: float) -> None:
        if self._mark is None:
            return
        content = {"package": self.package.digest, "runtime": self.runtime, "largest_error": largest}
        # a store that cannot be written costs the check of the next start, not this answer
        with contextlib.suppress(OutputError):
            write_text(self._mark, json.dumps(content) + "\n")

    def _answer(self, values: Mapping[str, Any]) -> Answer:
        card, graph = self.package.card, self.package.graph
        output = np.asarray(values[graph.output], dtype=np.float64).reshape(-1)
        if not np.isfinite(output).all():
            return Answer("refused", message="the model gives no number for this case")
        labels = tuple(one.name for one in card.output.labels)
        labels = labels if len(labels) == len(output) else ()
        distance = float(np.asarray(values[graph.distance]).reshape(-1)[0]) if graph.distance else None
        answer = Answer(
            "completed", output, labels, labels[int(output.argmax())] if labels else "", _interval(card, output),
            _candidates(card, labels, output), distance,
        )  # fmt: skip
        limit = card.limits.get("distance")
        if distance is None or limit is None or distance <= limit:
            return answer
        text = f"the case is unlike the training data: distance {distance:.2f}, limit {limit:g}"
        return replace(answer, outcome="abstained", message=text)

    def _difference(self, case: GoldenCase) -> float:
        values = self.compute(case.inputs)
        found = np.asarray(values[self.package.graph.output], dtype=np.float64).reshape(-1)
        expected = case.output.reshape(-1)
        if found.shape != expected.shape or not np.isfinite(found).all():
            return float("inf")
        return float(np.abs(found - expected).max(initial=0.0))


def _computes(graph: Graph) -> bool:
    return any(step.op == "onnx" for step in graph.steps)


def mark_name(digest: str, runtime: str) -> str:
    """Return the name under which a passed golden check is remembered: package, runtime, versions, processor."""
    parts = [digest, runtime, engines.version(runtime) if runtime else "", platform.machine()]
    parts += [f"{name} {metadata.version(name)}" for name in ("vesalius", "numpy", "scipy", "scikit-image")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _interval(card: Card, output: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the interval that a step gave, or the value and the card's half width around it."""
    if card.kind != "regression":
        return None
    if len(output) == INTERVAL:
        return float(output[1]), float(output[2])
    half = card.limits.get(HALF_WIDTH)
    return None if half is None else (float(output[0]) - half, float(output[0]) + half)


def _candidates(card: Card, labels: tuple[str, ...], output: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the labels that the quantile of the card does not rule out; the most probable one always stands.

    Source: Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341 (least ambiguous sets).
    """
    quantile = card.limits.get(QUANTILE)
    if quantile is None or not labels:
        return ()
    kept = 1 - output <= quantile
    kept[int(output.argmax())] = True
    return tuple(label for label, stands in zip(labels, kept, strict=True) if stands)


def measure(package: Package, runtime: str, *, threads: int = 2, repeats: int = 20) -> Runtime:
    """Return what a runtime costs on the golden cases of a package, and how far it is from their outputs.

    Prepares, computes and calibrates, as a prediction does; the median of `repeats`, networks loaded.

    Raises:
        ReadError: the runtime cannot compute the package.
        UsageError: this process uses another runtime already, or the package has no network.
    """
    runner = Runner(package, threads=threads, runtime=runtime)
    if not runner.runtime:
        raise UsageError(f"{package.name} needs no runtime", expected="a package with a network or another ONNX model")
    error = runner.golden_error()
    cases = package.golden()
    seconds = []
    for number in range(repeats):
        started = time.perf_counter()
        runner.compute(cases[number % len(cases)].inputs)
        seconds.append(time.perf_counter() - started)
    if not np.isfinite(error):
        raise ReadError(f"{package.name} gives no number in {runtime}", fix="another runtime")
    machine = f"{platform.machine()}, {threads} threads, {runtime} {engines.version(runtime)}"
    return Runtime(
        name=cast("Any", runtime), seconds_per_case=float(np.median(seconds)), largest_error=error, machine=machine
    )


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
