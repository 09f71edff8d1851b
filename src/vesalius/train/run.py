"""Training from end to end: cases, folds, figures, packages, all in one folder that can be taken up again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesalius.config import resolve
from vesalius.core.errors import VesaliusError
from vesalius.io.atomic import output_errors, write_text
from vesalius.io.cohort import write_cohort
from vesalius.models.card import Metric
from vesalius.train import run_package
from vesalius.train.consent import register
from vesalius.train.energy import Meter, Used, metered
from vesalius.train.learner import BudgetSpent
from vesalius.train.run_cohort import RunCases, assemble
from vesalius.train.run_fit import Place, Plan, Watch, clusters, final, judged_folds, plans, prepared
from vesalius.train.run_judge import HeldOut, check_prior, figures, points, winner
from vesalius.train.run_state import (
    COHORT,
    COMPLETE,
    FAILED,
    RUNNING,
    STOPPED,
    TASK,
    Run,
    RunOptions,
    opened,
    read_run,
    save,
)
from vesalius.train.task import BudgetOptions, Task, budgeted, read_task, task_text

__all__ = ["Run", "RunOptions", "read_run", "train"]


@dataclass(eq=False)
class _Work:
    """A run while it works: `info` becomes run.json."""

    task: Task
    out: Path
    options: RunOptions
    home: Path
    resume: bool
    watch: Watch | None
    info: dict[str, Any]

    def save(self, **changes: Any) -> None:
        self.info.update(changes)
        save(self.out, self.info)


def train(
    task: Task | str | Path,
    out: str | Path,
    *,
    budget: str = "",
    resume: bool = False,
    data: str | Path | None = None,
    progress: Watch | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Train what a task asks for and return the run; every figure is of cases that the judged model did not see.

    Args:
        task: a task, or its file.
        out: folder of the run; layout in `docs/reference/task.md`.
        budget: name of a budget of the task.
        resume: take up a run that was interrupted: finished folds stay, an interrupted fit goes on.
        data: table instead of the task's own.
        progress: called with (what, done, in all).

    Raises:
        UsageError: nothing may be trained on, wrong options, or a run of another task stands in `out`.
        ConfigError: the task and its data contradict each other.
        ReadError: a case cannot be read.
        OutputExistsError: `out` holds a run, and neither `resume` nor `force` is set.
        OutputError: the disk is full; what is done stays.
        MissingDependencyError: a library of the extra `train` or `networks` is not installed.
    """
    options, out = options or RunOptions(), Path(out)
    given = task_text(task) if isinstance(task, Task) else Path(task).read_text(encoding="utf-8", errors="replace") \
        if Path(task).is_file() else ""  # fmt: skip
    typed = task if isinstance(task, Task) else read_task(task)
    if data is not None:
        typed = typed.model_copy(update={"data": typed.data.model_copy(update={"table": Path(data)})})
    typed, limits = budgeted(typed, budget)
    home = options.home or resolve().home
    key = {"task_sha256": _digest(typed), "budget": budget, "control": options.random_labels}
    found = opened(out, key, resume=resume, force=options.force)
    if found is not None and found.status == COMPLETE and not (_lacks_final(found) and not options.folds_only):
        return found
    info = {**(dict(found.info) if found is not None else {}), **key}
    work = _Work(typed, out, options, home, found is not None, progress, info)
    with _few_threads(options.threads):
        return _run(work, limits, given)


def _lacks_final(run: Run) -> bool:
    return bool(run.info.get("folds_only"))


def _digest(task: Task) -> str:
    """Return what names a task, wherever its data lie and whatever energy it may use."""
    content = task.model_dump(mode="json", exclude={"energy": True, "data": {"table"}})
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()


@contextlib.contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Limit the threads of numerical libraries: the same number gives the same sums."""
    try:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
    except ImportError:
        yield
        return
    with limits(count):
        yield


def _run(work: _Work, limits: BudgetOptions, given: str) -> Run:
    watch = work.watch
    looking = None if watch is None else lambda done, count: watch("looking for copies", done, count)
    cases = assemble(work.task, limits, work.home, control=work.options.random_labels, progress=looking)
    check_prior(work.task, cases.target.labels)
    models = plans(work.task, cases)
    _begin(work, cases, models, given)
    before = _used(work.info.get("energy"))
    began = time.monotonic()
    limit = work.task.energy.limit_kwh
    earlier = float(work.info.get("seconds", 0.0))
    try:
        with metered(work.task.energy.country, limit, (before.kwh or 0.0) if before else 0.0) as meter:
            try:
                _all(work, cases, models, meter, before)
            finally:
                spent = meter.used() if before is None else before.plus(meter.used())
                work.info.update(energy=asdict(spent), seconds=earlier + time.monotonic() - began)
    except BudgetSpent as told:
        work.save(status=STOPPED, stopped=f"energy budget: {told}")
        return read_run(work.out)
    except VesaliusError as error:
        with contextlib.suppress(VesaliusError):
            work.save(status=FAILED, error=error.as_dict())
        raise
    work.save(status=COMPLETE, folds_only=work.options.folds_only)
    shutil.rmtree(work.out / "cache", ignore_errors=True)
    return read_run(work.out)


def _used(told: Mapping[str, Any] | None) -> Used | None:
    return None if not told else Used(told["kwh"], told["co2_kg"], told["method"], told["seconds"])


def _begin(work: _Work, cases: RunCases, models: tuple[Plan, ...], given: str) -> None:
    """Write what is known before anything is fitted, and remember who is in the run.

    Raises:
        UsageError: the run that is taken up was of other cases.
    """
    digest = cases.digest()
    if work.resume and work.info.get("cohort_sha256") not in (None, digest):
        from vesalius.core.errors import UsageError

        raise UsageError(
            "the cases are not those with which the run began", found=f"{len(cases.cohort)} cases",
            expected=f"{work.info.get('cases')} cases, unchanged", fix="--force begins anew, as after a withdrawal",
        )  # fmt: skip
    task = work.task
    patients = sorted(set(cases.cohort.text("patient_id").tolist()) - {""})
    work.info.pop("error", None)
    work.info.pop("stopped", None)
    # first of all files: from here on the folder is a run that can be taken up
    work.save(
        name=task.name, title=task.title or task.name, kind=task.kind, labels=list(cases.target.labels),
        status=RUNNING, seed=task.seed, threads=work.options.threads, cohort_sha256=digest,
        cases=len(cases.cohort), training=len(cases.training), test=len(cases.test),
        patients=len(patients) if cases.cohort.groups() is not None else None, versions=run_package.versions(),
        warnings=_warnings(work, cases), left_out=dict(cases.left_out), candidates=[one.name for one in models],
        folds=[{"repeat": r, "fold": k, "cases": len(rows)} for r, k, _, rows in cases.parts()],
    )  # fmt: skip
    write_text(work.out / TASK, given or task_text(task))
    write_cohort(cases.cohort, work.out / COHORT)
    with output_errors(work.out):
        (work.out / "cache").mkdir(parents=True, exist_ok=True)
    register(work.home, "run", str(work.out.resolve()), patients, digest)


def _warnings(work: _Work, cases: RunCases) -> list[str]:
    found = list(cases.warnings)
    bases = set(cases.cohort.text("basis").tolist())
    if work.options.random_labels:
        found.append("control: the labels were exchanged between patients; nothing but chance can be learned")
    if "development" in bases:
        found.append("trained on data for development only: the package is never released")
    if cases.target.labels and len(cases.parts()) == 1:
        found.append("one part for validation: its probabilities are not calibrated")
    if cases.left_out:
        told = ", ".join(f"{name} {count}" for name, count in cases.left_out.items())
        found.append(f"cases left out: {told}")
    return found


def _all(work: _Work, cases: RunCases, models: tuple[Plan, ...], meter: Meter, before: Used | None) -> None:
    place = Place(work.out, work.task, cases, work.options.threads, work.resume, meter, work.watch)
    ready = {one.name: prepared(place, one) for one in models}
    results: dict[str, Any] = {}
    held: dict[str, HeldOut] = {}
    metrics: dict[str, tuple[Metric, ...]] = {}
    for one in models:
        if work.task.kind == "clustering":
            continue
        held[one.name], told = judged_folds(place, one, ready[one.name])
        metrics[one.name] = figures(work.task, cases, held[one.name], "cross-validation, cases held out")
        results[one.name] = {"folds": told, "metrics": [metric.model_dump(mode="json") for metric in metrics[one.name]]}
        work.save(results=results)
    if len(held) > 1:
        first, second = list(held.items())
        found = winner(work.task, cases, first, second)
        work.save(winner=found["winner"], comparison=found)
    else:
        work.save(winner=models[0].name)
    if work.options.folds_only and held:
        return
    for one in models:
        trained, told_final = final(place, one, ready[one.name], held.get(one.name))
        if work.task.kind == "clustering":
            clusters(place, one, ready[one.name], trained.fitted)
        spent = meter.used() if before is None else before.plus(meter.used())
        own = held.get(one.name)
        judged = run_package.Judged(
            metrics.get(one.name, _stability(told_final, cases)), points(cases.target, own) if own else (),
            tuple(work.info["warnings"]), spent,
        )  # fmt: skip
        digest, weights = run_package.write(work.task, cases, trained, judged, work.out / one.name / "final")
        results.setdefault(one.name, {}).update(final=told_final, package_sha256=digest, weights_sha256=weights)
        patients = sorted(set(cases.cohort.text("patient_id")[cases.training].tolist()) - {""})
        register(work.home, "package", f"{work.task.name} {work.task.card.version} ({one.name})", patients, digest)
        work.save(results=results)


def _stability(told: Mapping[str, Any], cases: RunCases) -> tuple[Metric, ...]:
    """Return how well the clusters come again, as a figure of the card."""
    found = told.get("stability") or []
    if not found:
        return ()
    best = found[0]
    return (
        Metric(
            name="adjusted Rand index", value=best["ari"], low=best["low"], high=best["high"],
            data="resampled patients", cases=len(cases.training), how=f"{best['draws']} bootstrap resamples",
        ),
    )  # fmt: skip
