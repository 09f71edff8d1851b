"""What would run: which application on which series of which study, at what cost, and what stands there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.core import registry
from vesalius.core.application import Application
from vesalius.core.errors import MemoryLimitError, UnknownNameError, VesaliusError
from vesalius.core.study import Case, Selection, Study
from vesalius.pipeline.fill import UNREADABLE
from vesalius.pipeline.options import Options
from vesalius.pipeline.run import explain, prepare
from vesalius.pipeline.store import Row, State, folder_of, state_of
from vesalius.pipeline.worker import attempt
from vesalius.report.words import say

if TYPE_CHECKING:
    from vesalius.io import Failure

NOT_APPLICABLE = "not_applicable"
"""Outcome of a study that no installed application takes when none was asked for by name."""
FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Job:
    """One study for one application; cheap to send to a worker.

    Args:
        target: the report's folder, OUT/<study>/<application>.
        report: that folder relative to OUT.
    """

    study: Study
    application: str
    selection: Selection
    options: Options
    target: Path
    threads: int = 2

    @property
    def label(self) -> str:
        """Return how the job is called in progress and errors."""
        return f"{self.study.key} {self.application}"

    @property
    def report(self) -> str:
        """Return the report's folder relative to OUT."""
        return f"{self.study.key}/{self.application}"


@dataclass(frozen=True, eq=False)
class Planned:
    """A job, what stands in its place, and what it will cost.

    Args:
        memory_bytes: estimated peak of its process; None when nothing will be read.
        seconds: estimated time, None when the application offers no estimate.
    """

    job: Job
    state: State
    memory_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Jobs, rows of studies for which nothing can run with the errors behind them, and files that could not be read."""

    jobs: tuple[Planned, ...]
    rows: tuple[Row, ...]
    errors: Mapping[tuple[str, str], VesaliusError]
    warnings: tuple[str, ...] = ()


def applications(names: Sequence[str] = ()) -> dict[str, Application]:
    """Return the named applications, or every installed one.

    Raises:
        UnknownNameError: no application has this name, or none is installed.
    """
    known = registry.names("applications")
    if not known:
        raise UnknownNameError("no application is installed", fix="pip install --force-reinstall vesalius")
    return {name: registry.get("applications", name) for name in names or known}


def make(studies: Sequence[Study], failed: Sequence[Failure], asked: Asked) -> Plan:
    """Return what would run on the studies.

    Raises:
        UnknownNameError: a series was asked for that no study holds.
    """
    jobs: list[Planned] = []
    rows = [failure_row(one.key, one.source, "", one.error) for one in failed]
    errors = {(one.key, ""): one.error for one in failed}
    for study in _with_series(studies, asked.options.series_uid):
        planned, row, problems = _of_study(study, asked)
        jobs += planned
        rows += row
        errors |= problems
    return Plan(tuple(jobs), tuple(rows), errors, tuple(_unread(studies)))


def _unread(studies: Sequence[Study]) -> Iterator[str]:
    """Yield the files that claim to be images and could not be read, beside studies that can."""
    for study in studies:
        for path, reason in study.left_out:
            if reason.id == UNREADABLE:
                yield f"{path}: {say(reason, 'en')}"


@dataclass(frozen=True, eq=False)
class Asked:
    """What the user asked for, as far as planning needs it.

    Args:
        named: the applications were asked for by name, so that each gives at least a refusal.
    """

    applications: Mapping[str, Application]
    options: Options
    out: Path
    named: bool = False
    threads: int = 2


def failure_row(key: str, source: str, application: str, error: VesaliusError) -> Row:
    """Return the line of something that failed."""
    return Row(key, source, application, FAILED, message=explain(error))


def _with_series(studies: Sequence[Study], uid: str | None) -> Sequence[Study]:
    if uid is None:
        return studies
    known = [series.uid for study in studies for series in study.series]
    known += [series.key for study in studies for series in study.series if series.key != series.uid]
    if uid not in known:
        error = registry.unknown("series", uid, known)
        error.fix = error.fix or "vesalius info STUDY lists every series"
        raise error
    return [study for study in studies if any(uid in (series.uid, series.key) for series in study.series)]


def _of_study(study: Study, asked: Asked) -> tuple[list[Planned], list[Row], dict[tuple[str, str], VesaliusError]]:
    jobs, rows, errors = [], [], {}
    for name, application in asked.applications.items():
        planned, error = attempt(_planned, (study, name, application, asked))
        if error is not None:
            rows.append(failure_row(study.key, str(study.source), name, error))
            errors[study.key, name] = error
        elif planned is not None:
            jobs.append(planned)
    if not jobs and not rows:
        names = ", ".join(asked.applications)
        message = f"no installed application takes this study ({names}); name one with --application to learn why"
        rows.append(Row(study.key, str(study.source), "", NOT_APPLICABLE, message=message))
    return jobs, rows, errors


def _planned(task: tuple[Study, str, Application, Asked]) -> Planned | None:
    study, name, application, asked = task
    selection = application.select(Case(study), asked.options.series_uid)
    if not selection.chosen and not asked.named:
        return None
    target = folder_of(asked.out, study.key, name)
    job = Job(study, name, selection, asked.options, target, asked.threads)
    memory = application.memory_bytes(selection.chosen) if selection.chosen else None
    return Planned(job, _state(job, application), memory, _seconds(application, selection))


def _state(job: Job, application: Application) -> State:
    """Return what stands in the report's place; the input is hashed only when something does."""
    if state_of(job.target, "") in (State.ABSENT, State.INCOMPLETE):
        return state_of(job.target, "")
    return state_of(job.target, prepare(Case(job.study), application, job.options, job.selection).hash)


def _seconds(application: Any, selection: Selection) -> float | None:
    """Return the application's own estimate of time, an optional method `seconds(chosen)`."""
    estimate = getattr(application, "seconds", None)
    return float(estimate(selection.chosen)) if callable(estimate) and selection.chosen else None


def workers_that_fit(planned: Sequence[Planned], workers: int, available_bytes: int | None) -> int:
    """Return how many studies may run at the same time in the memory there is, at least one."""
    largest = max((one.memory_bytes or 0 for one in planned), default=0)
    if not largest or available_bytes is None:
        return workers
    return max(1, min(workers, available_bytes // largest))


def memory_error(planned: Planned, available_bytes: int | None) -> MemoryLimitError | None:
    """Return why a job cannot run in the memory there is, or None."""
    needed = planned.memory_bytes or 0
    if available_bytes is None or needed <= available_bytes:
        return None
    return MemoryLimitError(
        f"{planned.job.label} needs more memory than there is",
        found=f"{available_bytes / 1e9:.1f} GB available",
        expected=f"{needed / 1e9:.1f} GB (estimate)",
        fix="close other programs, use a machine with more memory, or resample the image first",
    )
