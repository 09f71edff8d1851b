"""Small prepared cohorts with a known answer: the class is the side, size or brightness of a blob."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vesalius.models.card import InputContract
from vesalius.models.graph import Step
from vesalius.train.learner import Job, Prepared, Target


def blobs(cases: int = 96, edge: int = 12, kind: str = "classification", dimensions: int = 2) -> Prepared:
    """Return pictures with a blob whose strength tells the class, grade, value or risk."""
    rng = np.random.default_rng(0)
    grade = rng.integers(0, 3, cases)
    shape = (edge,) * dimensions
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, edge),) * dimensions, indexing="ij"))
    centres = rng.uniform(-0.3, 0.3, (cases, dimensions))
    distance = ((places[None] - centres.reshape(cases, dimensions, *(1,) * dimensions)) ** 2).sum(axis=1)
    strength = (grade + 0.5).reshape(-1, *(1,) * dimensions)
    images = strength * np.exp(-distance * 6) + rng.normal(0, 0.1, (cases, *shape))
    values, labels, event = grade.astype(float), ("none", "some", "much"), None
    if kind == "regression":
        values, labels = 100.0 + 10.0 * grade, ()
    if kind == "survival":
        values, labels = rng.exponential(np.exp(-1.5 * grade)), ()
        event = rng.random(cases) < 0.8
    target = Target(kind, labels if kind in ("classification", "ordinal") else (), values, event)
    steps = (Step(id="image", op="imaging.tensor", inputs=("scan",), parameters={"dimensions": dimensions}),)
    inputs = (InputContract(name="scan", kind="image", dimensions=dimensions),)
    return Prepared({"image": images[:, None].astype(np.float32)}, target, np.arange(cases), steps, inputs)


def halves(prepared: Prepared, validation: int = 24) -> tuple[Any, Any]:
    """Return the rows to learn from and the rows to validate on."""
    count = len(prepared.groups)
    return np.arange(count - validation), np.arange(count - validation, count)


def job(place: Path, **more: Any) -> Job:
    """Return a job of one thread."""
    place.mkdir(parents=True, exist_ok=True)
    return Job(place=place, **{"seed": 3, "threads": 1, **more})
