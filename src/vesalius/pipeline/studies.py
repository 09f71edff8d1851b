"""The main job: every study of a folder through every application that takes it, each report written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict, Unpack

from vesalius.core.errors import IncompleteError, NothingFoundError, UsageError, VesaliusError
from vesalius.core.report import Outcome
from vesalius.io import Scan, scan
from vesalius.io.single import file_key
from vesalius.pipeline import batch, summary
from vesalius.pipeline.job import execute
from vesalius.pipeline.options import Options
from vesalius.pipeline.plan import (
    FAILED,
    Asked,
    Job,
    Plan,
    Planned,
    applications,
    failure_row,
    make,
    memory_error,
    workers_that_fit,
)
from vesalius.pipeline.resources import available_memory_bytes
from vesalius.pipeline.store import Row, State, discard, exists_error, locked, read_marker


@dataclass(frozen=True)
class Request:
    """What to analyse and where to.

    Args:
        source: DICOM folder, zip of one, or an image file.
        applications: names; empty for every installed application that takes the case.
        workers: studies at the same time, fewer when memory is short; 0 runs in this process.
        force: replace reports of other content.
    """

    source: Path
    out: Path
    applications: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    workers: int = 1
    threads: int = 2
    force: bool = False


class Watcher:
    """Is told how an analysis goes on; this one ignores it."""

    def scanning(self, source: Path) -> None:
        """Reading headers has begun."""

    def planned(self, plan: Plan, workers: int) -> None:
        """Everything is judged, work begins."""

    def stage(self, label: str, stage: str, fraction: float) -> None:
        """A study has reached a stage."""

    def ended(self, row: Row) -> None:
        """A study has ended."""


@dataclass(frozen=True, eq=False)
class Summary:
    """How an analysis ended.

    Args:
        rows: one per study and application of this run.
        standing: what `summary.csv` holds now.
        skipped: labels of those that had been done before.
        errors: the errors behind failed rows.
        warnings: files that could not be read beside those that could.
    """

    out: Path
    rows: tuple[Row, ...]
    standing: tuple[Row, ...] = ()
    skipped: frozenset[tuple[str, str]] = frozenset()
    errors: tuple[VesaliusError, ...] = ()
    warnings: tuple[str, ...] = ()

    def error(self, *, strict: bool = False) -> VesaliusError | None:
        """Return the error that the whole run ends with, None when all is well."""
        failed = [row for row in self.rows if row.outcome == FAILED]
        if len(failed) == 1 and len(self.rows) == 1 and self.errors:
            return self.errors[0]
        if failed:
            return IncompleteError(
                f"{len(failed)} of {len(self.rows)} analyses failed; the others are finished",
                found="; ".join(f"{row.source}: {row.message}" for row in failed[:3]),
                fix="summary.csv names each; run again after mending the input, what is done is kept",
            )
        others = [row for row in self.rows if row.outcome != Outcome.COMPLETED]
        if strict and others:
            return IncompleteError(
                f"--strict: {len(others)} of {len(self.rows)} analyses are not completed",
                found=", ".join(f"{row.key}: {row.outcome}" for row in others[:5]),
                expected="completed",
            )
        return None


class Choices(TypedDict, total=False):
    """The fields of `Options` as keywords."""

    formats: tuple[str, ...]
    language: tuple[str, ...]
    geometry: str
    series_uid: str | None
    keep_intermediate: bool
    seed: int


def analyze(
    study: str | Path,
    out: str | Path,
    *,
    application: str | tuple[str, ...] = (),
    workers: int = 0,
    force: bool = False,
    **choices: Unpack[Choices],
) -> Summary:
    """Return how the analysis of a study, or of a folder of studies, ended; reports and `summary.csv` are written.

    Args:
        study: DICOM folder, zip of one, or an image file.
        out: folder, made when it is missing.
        application: one name or several; empty for every installed application that takes the case.
        workers: 0 runs in this process, more are processes of their own (start them under `__main__`).
        force: replace reports of other content.
        choices: the fields of `Options`: formats, language, geometry, series_uid, keep_intermediate, seed.

    Raises:
        VesaliusError: as `perform`.
    """
    names = (application,) if isinstance(application, str) else tuple(application)
    return perform(Request(Path(study), Path(out), names, Options(**choices), workers, force=force))


def perform(request: Request, watcher: Watcher | None = None) -> Summary:
    """Analyse every study under a path, write the reports and `summary.csv`, and return how each ended.

    Raises:
        UsageError: the source does not exist, OUT lies inside it, or a name is unknown; nothing is written.
        OutputExistsError: other content stands where a report would go; nothing is started.
        OutputBusyError: another run is writing into OUT.
        NothingFoundError: there is no image; `summary.csv` is written.
        OutputError: OUT cannot be written.
    """
    watcher = watcher or Watcher()
    asked = check(request)
    with locked(request.out):
        watcher.scanning(request.source)
        try:
            with _scanned(request) as found:
                return _work(request, _plan(request, found, asked), watcher)
        except NothingFoundError:
            summary.rewrite(request.out, ())
            raise


def plan_only(request: Request, watcher: Watcher | None = None) -> Plan:
    """Return what `perform` would do; nothing is written.

    Raises:
        UsageError, NothingFoundError: as `perform`.
    """
    asked = check(request)
    (watcher or Watcher()).scanning(request.source)
    with scan(request.source) as found:
        return _plan(request, found, asked)


def _plan(request: Request, found: Scan, asked: Asked) -> Plan:
    if not found.studies and not found.failed:
        kinds = sorted({str(one.attributes.get("object.class") or one.modality) for _, one in found.objects})
        raise NothingFoundError(
            f"{request.source} holds no image", found=", ".join(kinds), expected="at least one series of images"
        )
    failed = [replace(one, source=_place(request.source, one.source)) for one in found.failed]
    return make(found.studies, failed, asked)


def _scanned(request: Request) -> Scan:
    """Return what the source holds; one that cannot be opened at all, such as a damaged zip, is a line of its own."""
    try:
        return scan(request.source)
    except NothingFoundError:
        raise
    except VesaliusError as error:
        row = failure_row(file_key(request.source), str(request.source), "", error)
        summary.rewrite(request.out, [row])
        raise


def _place(source: Path, relative: str) -> str:
    return str(source / relative) if source.is_dir() else str(source)


def check(request: Request) -> Asked:
    """Return what was asked for, every name known.

    Raises:
        UsageError: the source does not exist, OUT lies inside it or is a file, or an application is unknown.
    """
    asked = applications(request.applications)
    source, out = request.source, request.out
    if not source.exists():
        raise UsageError("there is no such file or folder", found=str(source), expected="a study: folder, zip or image")
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", found=str(out), expected="a folder, made when it is missing")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            "the output lies inside the input, where the next run would read it",
            found=str(out),
            expected=f"a folder outside {source}",
            fix="choose another --out",
        )
    return Asked(asked, request.options, out, bool(request.applications), request.threads)


def _work(request: Request, plan: Plan, watcher: Watcher) -> Summary:
    conflicts = [one.job.target for one in plan.jobs if one.state is State.OTHER]
    if conflicts and not request.force:
        raise exists_error(conflicts)
    done = [one for one in plan.jobs if one.state is State.DONE and not request.force]
    todo = [one for one in plan.jobs if one not in done]
    rows = list(plan.rows) + [_standing_row(one) for one in done]
    errors = list(plan.errors.values())
    available = available_memory_bytes()
    tight = {one.job.label: error for one in todo if (error := memory_error(one, available)) is not None}
    fitting = [one for one in todo if one.job.label not in tight]
    workers = min(workers_that_fit(fitting, request.workers, available), max(len(fitting), 1))
    watcher.planned(plan, workers if request.workers else 0)
    rows += [_failed(one.job, tight[one.job.label]) for one in todo if one.job.label in tight]
    errors += tight.values()
    for row in rows:
        watcher.ended(row)
    try:
        for ended in _run([one.job for one in fitting], workers if request.workers else 0, request.threads, watcher):
            rows.append(ended.value or _failed(ended.item, ended.error))
            errors += [ended.error] if ended.error is not None else []
    finally:
        standing = summary.rewrite(request.out, rows)
    skipped = frozenset((one.job.study.key, one.job.application) for one in done)
    return Summary(request.out, tuple(rows), tuple(standing), skipped, tuple(errors), plan.warnings)


def _run(jobs: Sequence[Job], workers: int, threads: int, watcher: Watcher) -> list[batch.Finished[Job, Row]]:
    def on_finished(ended: batch.Finished[Job, Row]) -> None:
        if ended.value is None:
            # a worker that was killed could not clean up after itself
            discard(ended.item.target)
        watcher.ended(ended.value or _failed(ended.item, ended.error))

    plan: batch.Plan[Job, Row] = batch.Plan(
        workers=workers,
        threads=threads,
        fresh=True,
        on_stage=lambda index, stage, fraction: watcher.stage(jobs[index].label, stage, fraction),
        on_finished=on_finished,
    )
    return batch.run(execute, jobs, plan)


def _failed(job: Job, error: VesaliusError | None) -> Row:
    return failure_row(job.study.key, str(job.study.source), job.application, error or VesaliusError("no answer"))


def _standing_row(planned: Planned) -> Row:
    marker = read_marker(planned.job.target)
    if marker is None:  # removed since it was judged
        return Row(planned.job.study.key, str(planned.job.study.source), planned.job.application, FAILED)
    return marker.row
