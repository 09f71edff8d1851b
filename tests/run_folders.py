"""RUN folders written by hand, in the layout of the documentation, out of predictions of scikit-learn or of chance."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.io.cohort import write_cohort

F64 = NDArray[np.float64]


def written(
    folder: Path, cohort: Cohort, labels: Sequence[str], scores: Mapping[str, F64], *, fold: NDArray[np.int64],
    raw: Mapping[str, F64] | None = None, test: Mapping[str, F64] | None = None, **told: Any,
) -> Path:  # fmt: skip
    """Write a run of kind classification and return its folder.

    Args:
        scores: candidate -> probabilities [cases, labels] of the cases that `fold` (>= 0) holds out.
        test: candidate -> probabilities of all cases; those with fold -1 are the test set.
        told: replaces entries of run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    split = np.where(fold >= 0, "train", "test")
    write_cohort(cohort.with_columns(fold=fold.astype(float), split=split), folder / "cohort.csv")
    for name, p in scores.items():
        (folder / name).mkdir(exist_ok=True)
        for file, rows, values in (
            ("predictions", np.flatnonzero(fold >= 0), p),
            ("test", np.flatnonzero(fold < 0), (test or {}).get(name)),
        ):
            if len(rows) and values is not None:
                own = (raw or {}).get(name, values)
                _table(folder / name / f"{file}.csv", cohort, labels, (rows, fold, values, own))
    run = {
        "schema": "vesalius.run/1", "name": "by-hand", "kind": "classification", "labels": list(labels),
        "status": "complete", "seed": 0, "threads": 2, "candidates": list(scores), "winner": "", "control": False,
        "warnings": [], "versions": {"vesalius": "0", "scikit-learn": "1"}, "seconds": 12.5,
        "energy": {"kwh": 0.001, "method": "estimated", "country": None}, "left_out": {"no label": 0},
        "cohort_sha256": "0" * 64, "task_sha256": "1" * 64, "budget": "full",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps({**run, **told}), encoding="utf-8")
    task = "name: by-hand\nkind: classification\nsplit: {folds: 5}\ncalibrate: auto\nseed: 0\n"
    (folder / "task.yaml").write_text(task, encoding="utf-8")
    return folder


def _table(path: Path, cohort: Cohort, labels: Sequence[str], what: tuple[Any, ...]) -> None:
    rows, fold, p, raw = what
    names = [*(f"p_{one}" for one in labels), *(f"s_{one}" for one in labels)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream)
        out.writerow(["row", "path", "patient_id", "fold", "repeat", "label", "predicted", *names])
        for row in rows.tolist():
            told = [row, cohort.text("path")[row], cohort.text("patient_id")[row], int(fold[row]) if fold[row] >= 0
                    else "", 0, cohort.text("label")[row], labels[int(p[row].argmax())]]  # fmt: skip
            out.writerow([*told, *(repr(float(v)) for v in p[row]), *(repr(float(v)) for v in raw[row])])


def drawn(patients: int = 120, per: int = 2, seed: int = 0, strength: float = 1.5) -> tuple[Cohort, F64, F64]:
    """Return a cohort without images and the probabilities of a good and of a worse model.

    Patients have sex, age, site and scanner; the models know nothing of them.
    """
    rng = np.random.default_rng(seed)
    ill = rng.random(patients) < 0.4
    own = rng.normal(0, 0.6, patients)
    who = np.repeat(np.arange(patients), per)
    signal = np.where(ill[who], strength, 0) + own[who] + rng.normal(0, 1, len(who))
    good, worse = signal - strength / 2, 0.4 * signal + rng.normal(0, 1, len(who))
    cohort = Cohort({
        "label": np.where(ill[who], "ill", "normal"), "patient_id": np.array([f"p{k}" for k in who]),
        "sex": np.where(np.arange(patients) % 2 == 0, "F", "M")[who],
        "age": np.clip(rng.normal(55, 18, patients), 5, 95).round()[who], "site": np.array(["a", "b", "c"])[who % 3],
        "scanner": np.array(["X", "Y"])[(who // 3) % 2], "basis": np.full(len(who), "waiver:1"),
        "path": np.full(len(who), ""),
    })  # fmt: skip
    return cohort, _two(good), _two(worse)


def _two(logit: F64) -> F64:
    p = 1 / (1 + np.exp(-logit))
    return np.stack([p, 1 - p], axis=1)


LABELS = ("ill", "normal")


def patient_folds(cohort: Cohort, folds: int = 5) -> NDArray[np.int64]:
    """Return a fold per case, whole patients."""
    _, groups = np.unique(cohort.text("patient_id"), return_inverse=True)
    return np.random.default_rng(1).permutation(int(groups.max()) + 1)[groups].astype(np.int64) % folds


def small_package(folder: Path) -> Path:
    """Write the small package of the tests of models (dark or bright pictures) and return its folder."""
    import importlib.util
    import sys

    from vesalius.models.package import write_package

    path = Path(__file__).parent / "models" / "small_package.py"
    spec = importlib.util.spec_from_file_location("small_package", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("small_package", module)
    spec.loader.exec_module(module)
    write_package(folder, module.Maker(folder).parts())
    return folder
