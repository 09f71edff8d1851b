"""Small tasks for the tests of the training engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.train.learner import Job, Prepared, Target
from vesalius.train.task import Task

NOBODY = np.zeros(0, dtype=np.int64)


def table(folder: Path, *, patients: int = 40, shift: float = 1.5, seed: int = 0) -> Path:
    """Write two visits per patient: `marker` tells the label and the value, `noise` nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = ["patient_id,label,grade,value,time,event,marker,noise,sex,basis"]
    for patient in range(patients):
        ill = patient % 2
        for _ in range(2):
            marker = rng.normal() + shift * ill
            grade = int(np.clip(round(marker), 0, 2))
            time = rng.exponential(10 * np.exp(-marker)) + 0.01
            cells = [f"p{patient}", ("well", "ill")[ill], grade, f"{marker + rng.normal() / 4:.4f}", f"{time:.4f}",
                     int(rng.random() < 0.8), f"{marker:.4f}", f"{rng.normal():.4f}", "MF"[patient // 2 % 2],
                     "licence:CC0"]  # fmt: skip
            lines.append(",".join(map(str, cells)))
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def task(source: Path, **changes: Any) -> Task:
    """Return a task on a table: classification by logistic regression, two folds, unless said otherwise."""
    data = {"table": str(source), "clinical": ["marker", "noise", "sex"], "licence": "open", **changes.pop("data", {})}
    content: dict[str, Any] = {
        "name": "small-task", "kind": "classification", "data": data, "split": {"folds": 2},
        "model": {"classical": {"learner": "logistic", "parameters": {"C": 1.0}}}, "draws": 200, **changes,
    }  # fmt: skip
    return Task.model_validate(content)


def prepared(values: NDArray[np.float32], target: Target, *, groups: NDArray[np.int64] | None = None) -> Prepared:
    """Return vectors as a learner takes them."""
    own = np.arange(len(values)) // 2 if groups is None else groups
    return Prepared({"features": values.astype(np.float32)}, target, own.astype(np.int64), (), ())


def job(folder: Path, **changes: Any) -> Job:
    """Return a fit in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, **changes)


def as_yaml(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a task file."""
    import yaml

    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path
