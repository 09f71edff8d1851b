"""The package at the end of a run: graph, card, golden cases, and how it was trained; always a draft."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from vesalius import __version__
from vesalius.core import Mask, Volume
from vesalius.core.cohort import Cohort
from vesalius.models.card import Card, Coded, Energy, Metric, OperatingPoint, OutputContract, TrainingData
from vesalius.models.golden import GoldenCase
from vesalius.models.graph import Graph, Step, graph_text
from vesalius.models.package import Parts, write_package
from vesalius.models.runtime import golden_cases
from vesalius.train.cases import case_inputs
from vesalius.train.energy import Used
from vesalius.train.learner import Fitted, Prepared
from vesalius.train.recipe import Recipe
from vesalius.train.run_cohort import RunCases
from vesalius.train.run_judge import Correction
from vesalius.train.task import Task, task_text

LIBRARIES: Final = ("numpy", "scikit-learn", "xgboost-cpu", "xgboost", "lightgbm", "torch", "monai", "onnxruntime")
GOLDEN: Final = 3


@dataclass(frozen=True, eq=False)
class Trained:
    """A candidate that is trained on everything outside the test set."""

    recipe: Recipe
    prepared: Prepared
    fitted: Fitted
    correction: Correction


@dataclass(frozen=True)
class Judged:
    """What the card says of it."""

    metrics: tuple[Metric, ...] = ()
    points: tuple[OperatingPoint, ...] = ()
    warnings: tuple[str, ...] = ()
    energy: Used | None = None


def versions() -> dict[str, str]:
    """Return the versions of what was used, ours first."""
    found = {"vesalius": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def graph_of(trained: Trained) -> tuple[Graph, dict[str, bytes]]:
    """Return the whole graph of a package and the files that it reads."""
    steps, output, files = trained.fitted.parts()
    after = trained.correction.steps(output)
    last = after[-1].id if after else output
    head: tuple[Step, ...] = trained.prepared.steps
    graph = Graph(inputs=tuple(trained.recipe.columns), steps=(*head, *steps, *after), output=last)
    return graph, {**trained.recipe.files, **files}


def weights_digest(graph: Graph, files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of everything that was learned: the files and the parameters of the graph."""
    digest = hashlib.sha256(graph_text(graph).encode())
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def write(task: Task, cases: RunCases, trained: Trained, judged: Judged, target: Path) -> tuple[str, str]:
    """Write the package; return its digest and the SHA-256 of its weights.

    Raises:
        OutputError: the place cannot be written.
    """
    graph, files = graph_of(trained)
    golden = golden_cases(graph, _golden_inputs(cases, trained), files)
    card = _card(task, cases, trained, judged)
    # a package tells what it learned from, not where that lay on somebody's disk
    told = yaml.safe_load(task_text(task))
    told["data"]["table"] = task.data.table.name
    config = yaml.safe_dump({"task": told, "seed": task.seed, "versions": versions()}, sort_keys=False)
    digest = write_package(target, Parts(card, graph, files, golden, config), force=True)
    return digest, weights_digest(graph, files)


def _card(task: Task, cases: RunCases, trained: Trained, judged: Judged) -> Card:
    told, labels = task.card, cases.target.labels
    learned = cases.cohort.take(cases.training)
    began: Any = trained.fitted.told().get("init") or {}
    used = judged.energy
    energy = Energy()
    if used is not None:
        method: Any = used.method
        energy = Energy(training_kwh=used.kwh, co2_kg=used.co2_kg, method=method, seconds=round(used.seconds, 1))
    return Card(
        name=task.name, version=told.version, status="draft", kind=task.kind, title=task.title or task.name,
        summary=told.summary, intended_use=told.intended_use, not_for=told.not_for, risk_class=told.risk_class,
        licence=_licence(learned, str(began.get("licence") or "open")), licence_text=task.data.licence_text,
        inputs=trained.prepared.inputs,
        output=OutputContract(
            labels=tuple(Coded(name=one) for one in labels), unit=told.unit,
            score="probability" if labels else "score",
        ),
        training_data=(_data(task, learned),), metrics=judged.metrics, operating_points=judged.points,
        known_failures=told.known_failures, energy=energy, warnings=judged.warnings,
    )  # fmt: skip


def _licence(cohort: Cohort, weights: str = "open") -> Any:
    """Return the strictest class of the cases and of the weights it began with; what does not tell makes it unclear."""
    classes = {*cohort.text("licence").tolist(), weights}
    if classes & {"", "unclear"}:
        return "unclear"
    return "research" if "research" in classes else "open"


def _data(task: Task, cohort: Cohort) -> TrainingData:
    patients = set(cohort.text("patient_id").tolist()) - {""}
    return TrainingData(
        name=task.data.name or task.data.table.stem,
        licence=_licence(cohort),
        licence_text=task.data.licence_text,
        cases=len(cohort),
        patients=len(patients) if cohort.groups() is not None else None,
        basis=dict(sorted(Counter(cohort.text("basis").tolist()).items())),
        source=task.data.source,
    )


def _golden_inputs(cases: RunCases, trained: Trained) -> list[Mapping[str, Any]]:
    """Return a few whole cases, of different labels; noise like them unless their licence lets them be given away."""
    rows = _chosen(cases, trained)
    rng = np.random.default_rng(0)
    found: list[Mapping[str, Any]] = []
    for row in rows:
        inputs = case_inputs(cases.cohort, row, trained.recipe)
        public = str(cases.cohort.text("basis")[row]).startswith("licence:")
        found.append(inputs if public else {name: _noise(value, rng) for name, value in inputs.items()})
    return [{name: value for name, value in one.items() if value is not None} for one in found]


def _chosen(cases: RunCases, trained: Trained) -> list[int]:
    whole = np.ones(len(cases.cohort), dtype=bool)
    for name, column in trained.recipe.columns.items():
        if name not in ("image", "mask"):
            whole &= cases.cohort.text(column) != ""
    rows = [row for row in cases.training.tolist() if whole[row]]
    kinds = cases.target.values if cases.target.labels else np.arange(len(cases.cohort)) % GOLDEN
    firsts: dict[float, int] = {}
    for row in rows:
        firsts.setdefault(float(kinds[row]), row)
    return list(firsts.values())[:GOLDEN]


def _noise(value: Any, rng: np.random.Generator) -> Any:
    """Return what is like a value and shows nobody."""
    if isinstance(value, Volume):
        low, high = float(value.array.min()), float(value.array.max())
        drawn: NDArray[Any] = rng.uniform(low, max(high, low + 1), value.array.shape)
        return replace(value, array=drawn.astype(value.array.dtype), history=())
    if isinstance(value, Mask):
        box = np.zeros(value.array.shape, dtype=value.array.dtype)
        label = next(iter(value.segments), 0)
        middle = tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in box.shape)
        box[middle] = label
        return replace(value, array=box, history=())
    if isinstance(value, float):
        return round(value * 1.05, 1)
    return value


__all__ = ["GoldenCase", "Judged", "Trained", "graph_of", "versions", "weights_digest", "write"]
