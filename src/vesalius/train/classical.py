"""Classical learners behind the engine's protocols: search on inner grouped folds, then steps of a package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, LabelError, ReadError
from vesalius.evaluate.calibration import fit_platt
from vesalius.evaluate.discrimination import macro_auc
from vesalius.evaluate.survival import harrell_c
from vesalius.io.atomic import write_bytes, write_text
from vesalius.models import operations
from vesalius.models.graph import Step
from vesalius.models.operations.tables import fill, scale
from vesalius.train import classical_clusters, classical_cox, classical_export, classical_models
from vesalius.train.classical_options import ClassicalOptions
from vesalius.train.learner import Job, Prepared, Target
from vesalius.train.recipe import FEATURES

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS: Final = {"classification": "classes", "ordinal": "grades", "regression": "numbers"}
MODEL: Final = "model.onnx"
STATE: Final = "fitted.json"
LAST: Final = "answer"


@dataclass(frozen=True, eq=False)
class ClassicalFitted:
    """A fitted model as steps of a package's graph.

    Args:
        steps: from the vector of features to the answer.
        files: what they read.
        about: what the run records.
    """

    kind: str
    steps: tuple[Step, ...]
    files: Mapping[str, bytes]
    about: Mapping[str, object]

    def scores(self, prepared: Prepared, rows: Ints) -> F64:
        """Return probabilities [n, labels], values or risks [n], or clusters [n, clusters]."""
        value: NDArray[Any] = np.asarray(prepared.values[FEATURES][rows], dtype=np.float32)
        for step in self.steps:
            value = _applied(step, value, self.files)
        return np.asarray(value[:, 0] if self.kind in ("regression", "survival") else value, dtype=np.float64)

    def parts(self) -> tuple[tuple[Step, ...], str, dict[str, bytes]]:
        """Return the steps, the id of the last one, and the files."""
        return self.steps, self.steps[-1].id, dict(self.files)

    def told(self) -> Mapping[str, object]:
        """Return the learner, its hyper-parameters and how they were chosen."""
        return self.about


def _applied(step: Step, value: NDArray[Any], files: Mapping[str, bytes]) -> NDArray[Any]:
    """Return a step's answer for many cases."""
    if step.op == "onnx":
        return classical_export.run(files[str(step.file)], np.asarray(value, dtype=np.float32))
    function = operations.load(step)
    if step.op in ("table.fill", "table.scale"):
        return np.asarray(function(value, **step.parameters))
    return np.concatenate([np.asarray(function(row[None], **step.parameters)) for row in value])


@dataclass(frozen=True)
class ClassicalLearner:
    """A learner of the protocol `train.learner.Learner`."""

    options: ClassicalOptions
    kind: str

    def fit(self, prepared: Prepared, train: Ints, val: Ints, job: Job) -> ClassicalFitted:
        """Return the model fitted on `train` and `val` together: there is no early stopping.

        Raises:
            ImageContentError: a feature is NaN and may not be.
            LabelError: a label does not occur in the training part.
            MissingDependencyError: the learner's library is not installed.
        """
        rows = np.sort(np.concatenate([train, val]))
        if job.resume and (job.place / STATE).is_file():
            return _read(job.place)
        if job.energy is not None:
            job.energy.check()
        _check_labels(prepared.target, rows)
        head, x = _filled(prepared, rows, self.options)
        fit = _FITS[self.kind]
        steps, files, about = fit(_Work(self.options, prepared, rows, x, job))
        found = ClassicalFitted(self.kind, (*head, *steps), files, {"learner": self.options.learner, **about})
        _write(job.place, found)
        return found


def learner(options: ClassicalOptions, target: Target) -> ClassicalLearner:
    """Return the learner of a task's options."""
    return ClassicalLearner(options, target.kind)


@dataclass(frozen=True, eq=False)
class _Work:
    """What one fit works on: `x` holds the training rows only."""

    options: ClassicalOptions
    prepared: Prepared
    rows: Ints
    x: F32
    job: Job

    @property
    def y(self) -> F64:
        return self.prepared.target.values[self.rows]

    @property
    def groups(self) -> Ints:
        return self.prepared.groups[self.rows]


def _check_labels(target: Target, rows: Ints) -> None:
    for number, label in enumerate(target.labels):
        if not (target.values[rows] == number).any():
            raise LabelError(
                f"the training part holds no case of {label}", found=f"{len(rows)} cases",
                expected="cases of every label", fix="fewer folds, or more patients of this label",
            )  # fmt: skip


def _filled(prepared: Prepared, rows: Ints, options: ClassicalOptions) -> tuple[tuple[Step, ...], F32]:
    """Return the step that fills what is missing, when something may be, and the filled training rows."""
    x = np.asarray(prepared.values[FEATURES][rows], dtype=np.float32)
    if np.isinf(x).any():
        raise ImageContentError("a feature is infinite", found=f"{int(np.isinf(x).any(axis=1).sum())} cases")
    missing = np.isnan(x)
    if missing.any() and options.missing == "refuse":
        raise ImageContentError(
            "features are NaN", found=f"{int(missing.any(axis=1).sum())} of {len(x)} cases", expected="finite numbers",
            fix="missing: median fills clinical values with the median of the training part",
        )  # fmt: skip
    if missing.all(axis=0).any():
        raise ImageContentError("a feature is NaN in every training case",
                                found=f"feature {int(np.flatnonzero(missing.all(axis=0))[0]) + 1} of {x.shape[1]}",
                                fix="leave that column out")  # fmt: skip
    if not any(step.op == "table.number" for step in prepared.steps):
        return (), x
    medians = [float(value) for value in np.nanmedian(x, axis=0)]
    step = Step(id="filled", op="table.fill", inputs=(FEATURES,), parameters={"values": medians})
    return (step,), np.asarray(fill(x, values=medians), dtype=np.float32)


Found = tuple[tuple[Step, ...], dict[str, bytes], dict[str, object]]


def _estimator(work: _Work) -> Found:
    """Fit classes, grades or numbers."""
    options, kind = work.options, KINDS[work.prepared.target.kind]
    balance = options.balance and kind == "classes"
    chosen, judged = _chosen(work, kind, balance)
    models = _models(work, chosen, kind, np.arange(len(work.rows)), balance)
    content = classical_export.exported(models, options.learner, kind, work.x)
    before = "filled" if any(s.op == "table.number" for s in work.prepared.steps) else FEATURES
    steps = [Step(id="model", op="onnx", inputs=(before,), file=MODEL, parameters={"output": classical_export.SCORES})]
    if kind == "grades":
        steps.append(Step(id=LAST, op="calibrate.ordinal", inputs=("model",)))
    elif kind == "classes" and options.learner == "svm":
        steps += _platt(work, judged)
    about: dict[str, object] = {"parameters": chosen, "features": int(work.x.shape[1]), "balanced": balance}
    return tuple(steps), {MODEL: content}, about


def _models(work: _Work, chosen: Mapping[str, Any], kind: str, rows: Ints, balance: bool) -> list[Any]:
    """Return the estimators fitted on some of the training rows: one, or one for each threshold of grades."""
    options, job = work.options, work.job
    truths = [work.y[rows]]
    if kind == "grades":
        truths = [(work.y[rows] > k).astype(np.float64) for k in range(len(work.prepared.target.labels) - 1)]
    made = []
    for y in truths:
        model = classical_models.estimator(
            options.learner, "numbers" if kind == "numbers" else "classes", chosen, job.seed, balance=balance,
            threads=job.threads,
        )  # fmt: skip
        made.append(classical_models.fitted(model, options.learner, work.x[rows], y, balance=balance))
    return made


def _chosen(work: _Work, kind: str, balance: bool) -> tuple[dict[str, Any], tuple[F64, Ints] | None]:
    """Return the best hyper-parameters on inner grouped folds, and the scores that they gave there."""
    options = work.options
    tried = classical_models.candidates(options.learner, options.parameters, options.search)
    if len(tried) == 1 and options.learner != "svm":
        return tried[0], None
    subset = _subset(work)
    folds = [(subset[a], subset[b]) for a, b in classical_models.inner_folds(
        work.groups[subset], _strata(work)[subset], options.inner_folds, work.job.seed)]  # fmt: skip
    if not folds:
        return tried[0], None
    best: tuple[float, dict[str, Any], tuple[F64, Ints]] | None = None
    for number, one in enumerate(tried):
        if work.job.progress is not None:
            work.job.progress(number, len(tried))
        parts = [
            classical_export.wanted(_models(work, one, kind, a, balance), options.learner, kind, work.x[b])
            for a, b in folds
        ]
        rows = np.concatenate([b for _, b in folds])
        scores = np.concatenate(parts)
        worth = _worth(kind, work.y[rows], scores)
        if best is None or worth > best[0]:
            best = (worth, one, (scores, rows))
    if best is None:
        return tried[0], None
    return best[1], best[2]


def _subset(work: _Work) -> Ints:
    """Return the training rows that the search looks at: whole patients, labels in their shares."""
    from vesalius.train.split import assign

    most, count = work.options.search_cases, len(work.rows)
    if count <= most:
        return np.arange(count)
    parts = min(len(np.unique(work.groups)), 50)
    place = assign(work.groups, _strata(work), parts, work.job.seed)
    found: Ints = np.flatnonzero(place < max(1, int(parts * most / count)))
    return found


def _strata(work: _Work) -> Ints:
    target = work.prepared.target
    if target.labels:
        return work.y.astype(np.int64)
    if target.event is not None:
        return np.unique(target.event[work.rows], return_inverse=True)[1].astype(np.int64)
    return np.zeros(len(work.rows), dtype=np.int64)


def _worth(kind: str, y: F64, scores: F64) -> float:
    """Return how good predictions are, more is better."""
    if kind == "numbers":
        return -float(((scores[:, 0] - y) ** 2).mean())
    if kind == "grades":
        above = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        return -float(np.abs(above.sum(axis=1) - y).mean())
    both = scores if scores.shape[1] > 1 else np.concatenate([-scores, scores], axis=1)
    return macro_auc(y.astype(np.int64), both)


def _platt(work: _Work, judged: tuple[F64, Ints] | None) -> list[Step]:
    """Return the steps from the decision values of an SVM to probabilities, fitted on the inner folds."""
    two = len(work.prepared.target.labels) == 2
    op = "calibrate.sigmoid" if two else "calibrate.softmax"
    first = Step(id="shares" if judged is not None else LAST, op=op, inputs=("model",))
    if judged is None:
        return [first]
    scores, rows = judged
    function = operations.load(first)
    shares = np.concatenate([function(row[None]) for row in scores])
    line = fit_platt(work.y[rows].astype(np.int64), shares)
    return [first, Step(id=LAST, op=line.operation, inputs=("shares",), parameters=line.parameters)]


def _scaled(work: _Work) -> tuple[Step, F64]:
    """Return the step that brings the features to one scale, and the scaled training rows."""
    mean = work.x.mean(axis=0, dtype=np.float64)
    sd = work.x.std(axis=0, dtype=np.float64)
    sd = np.where(sd > 1e-12, sd, 1.0)
    before = "filled" if any(s.op == "table.number" for s in work.prepared.steps) else FEATURES
    parameters = {"mean": mean.tolist(), "sd": sd.tolist()}
    step = Step(id="scaled", op="table.scale", inputs=(before,), parameters=parameters)
    return step, np.asarray(scale(work.x, **parameters), dtype=np.float64)


def _cox(work: _Work) -> Found:
    """Fit a proportional-hazards model; the ridge is chosen by Harrell's C on inner grouped folds."""
    event = work.prepared.target.event
    if event is None or not event[work.rows].any():
        raise LabelError("the training part holds no event", expected="at least one")
    seen = event[work.rows]
    step, x = _scaled(work)
    tried = classical_models.candidates("cox", work.options.parameters, work.options.search)
    penalty = float(tried[0].get("penalty", 0.0))
    if len(tried) > 1:
        folds = list(classical_models.inner_folds(work.groups, seen.astype(np.int64), work.options.inner_folds,
                                                  work.job.seed))  # fmt: skip
        penalty = max((float(one["penalty"]) for one in tried), key=lambda p: _cox_worth(x, work.y, seen, folds, p))
    found = classical_cox.fit_cox(x, work.y, seen, penalty=penalty)
    parameters = {
        "coefficients": found.coefficients.tolist(), "centre": found.centre.tolist(), "times": found.times.tolist(),
        "hazard": found.hazard.tolist(),
    }  # fmt: skip
    last = Step(id=LAST, op="survival.cox", inputs=("scaled",), parameters=parameters)
    reach = 1.959964 * found.errors
    ratios = [{"hazard_ratio": float(np.exp(b)), "low": float(np.exp(b - r)), "high": float(np.exp(b + r))}
              for b, r in zip(found.coefficients, reach, strict=True)]  # fmt: skip
    about: dict[str, object] = {"parameters": {"penalty": penalty}, "features": int(x.shape[1]),
                                "per_standard_deviation": ratios}  # fmt: skip
    return (step, last), {}, about


def _cox_worth(x: F64, time: F64, event: NDArray[np.bool_], folds: list[tuple[Ints, Ints]], penalty: float) -> float:
    worth = []
    for train, judged in folds:
        try:
            model = classical_cox.fit_cox(x[train], time[train], event[train], penalty=penalty)
            worth.append(harrell_c(time[judged], event[judged], (x[judged] - model.centre) @ model.coefficients))
        except (ImageContentError, LabelError, np.linalg.LinAlgError):
            return float("-inf")
    return float(np.mean(worth)) if worth else 0.0


def _clusters(work: _Work) -> Found:
    """Find clusters; of several numbers of clusters the most stable one."""
    step, x = _scaled(work)
    name = work.options.learner
    given = work.options.parameters.get("clusters")
    counts = (
        [int(given)]
        if given is not None
        else [int(k) for k in (work.options.search or {}).get("clusters", range(2, 7))]
    )
    found = classical_clusters.stablest(x, work.groups, counts, name, seed=work.job.seed)
    centres = classical_clusters.centroids(x, found[0].clusters, name, work.job.seed)
    last = Step(id=LAST, op="cluster.nearest", inputs=("scaled",), parameters={"centroids": centres.tolist()})
    told = [{"clusters": one.clusters, "ari": one.value, "low": one.low, "high": one.high, "draws": one.draws}
            for one in found]  # fmt: skip
    return (step, last), {}, {"parameters": {"clusters": found[0].clusters}, "stability": told}


_FITS: Mapping[str, Callable[[_Work], Found]] = {
    "classification": _estimator,
    "ordinal": _estimator,
    "regression": _estimator,
    "survival": _cox,
    "clustering": _clusters,
}


def _write(place: Path, found: ClassicalFitted) -> None:
    """Keep a fitted model; the state comes last, so that it stands only beside whole files."""
    for name, content in found.files.items():
        write_bytes(place / name, content)
    state = {"kind": found.kind, "steps": [step.model_dump(mode="json") for step in found.steps],
             "files": sorted(found.files), "about": dict(found.about)}  # fmt: skip
    write_text(place / STATE, json.dumps(state))


def _read(place: Path) -> ClassicalFitted:
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
        files = {name: (place / name).read_bytes() for name in state["files"]}
        steps = tuple(Step.model_validate(one) for one in state["steps"])
        return ClassicalFitted(state["kind"], steps, files, state["about"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(
            f"{place} holds no finished fit", found=type(error).__name__, fix="train again with --force"
        ) from None
