"""What the training engine and its learners say to each other.

A learner fits on prepared cases and gives a fitted model; a fitted model scores cases and hands over its parts of a
package. Classical learners and networks keep the same two protocols, so that the engine knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vesalius.models.card import InputContract
from vesalius.models.graph import Step
from vesalius.train.facts_pool import Progress

__all__ = ["BudgetSpent", "EnergyGuard", "Fitted", "Job", "Learner", "Prepared", "Progress", "Target"]

CLASSES = ("classification", "ordinal")
"""Kinds whose models give one probability per label."""


class BudgetSpent(Exception):  # noqa: N818 - the end of a budget is no error
    """The energy budget of a run is spent: the run stops, marked, and keeps what is done."""


class EnergyGuard(Protocol):
    """Watches an energy budget."""

    def check(self) -> None:
        """Do nothing while there is budget left; cheap enough for every epoch.

        Raises:
            BudgetSpent: there is none left.
        """


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted.

    Args:
        kind: classification, ordinal, regression, survival or clustering.
        labels: names in the order of the probabilities; () for the other kinds.
        values: [cases] class number, grade number, value, or time; NaN for clustering.
        event: [cases] survival only: whether the event was seen.
    """

    kind: str
    labels: tuple[str, ...]
    values: NDArray[np.float64]
    event: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the preparing steps gave for every case.

    Args:
        values: name of a value of the graph -> one row per case: image tensors are float32
            [cases, channel, (slice,) row, column] (`np.memmap` when large), vectors float32 [cases, features].
        groups: [cases] patient (with its copies) as a number; never divided between training and validation.
        steps: graph steps that gave the values: the head of the package's graph.
        inputs: what the package will ask for.
    """

    values: Mapping[str, NDArray[np.float32]]
    target: Target
    groups: NDArray[np.int64]
    steps: tuple[Step, ...]
    inputs: tuple[InputContract, ...]


@dataclass(frozen=True)
class Job:
    """Where and how one fit works.

    Args:
        place: folder for checkpoints and logs of this fit; it exists.
        seed: of every random choice.
        resume: take up what lies in `place`; False: begin anew.
        progress: called with (steps done, steps in all).
        threads: at most so many.
        energy: asked between epochs, None without a budget.
        log: called with (step, {name: value}) whenever there is something to log, as after an epoch.
    """

    place: Path
    seed: int = 0
    resume: bool = False
    progress: Progress | None = None
    threads: int = 1
    energy: EnergyGuard | None = None
    log: Callable[[int, Mapping[str, float]], None] | None = None


class Fitted(Protocol):
    """A model that was fitted."""

    def scores(self, prepared: Prepared, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [n, labels] probabilities before calibration, [n] values or risks, or [n, clusters]."""

    def parts(self) -> tuple[tuple[Step, ...], str, dict[str, bytes]]:
        """Return the steps after the preparing ones, the id of their output, and the files that they read."""

    def told(self) -> Mapping[str, object]:
        """Return what the run records: epochs, best epoch, number of parameters, chosen hyper-parameters ..."""


class Learner(Protocol):
    """Fits models of one family."""

    def fit(
        self, prepared: Prepared, train: NDArray[np.int64], val: NDArray[np.int64], job: Job
    ) -> Fitted:  # fmt: skip
        """Return a model fitted on the rows `train`.

        `val` serves early stopping only and may be empty. A finished fit in `job.place` is loaded, with `job.resume`,
        instead of fitted again; an interrupted one goes on where it was.

        Raises:
            BudgetSpent: the energy budget is spent.
        """
