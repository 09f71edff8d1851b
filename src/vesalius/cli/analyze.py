"""`vesalius analyze`: parse, call, print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli import progress
from vesalius.cli.session import Answer, Session, log_failures
from vesalius.core.errors import VesaliusError
from vesalius.core.finding import Message
from vesalius.core.study import Series
from vesalius.pipeline import Options, Request, Row, Summary, perform, plan_only
from vesalius.pipeline.plan import Job, Plan, Planned, memory_error, workers_that_fit
from vesalius.pipeline.resources import available_memory_bytes
from vesalius.pipeline.store import State, exists_error
from vesalius.report.words import of_application, say

MOST_NUMBERS = 6
"""Main numbers that the table shows of one report."""
WOULD = {
    State.ABSENT: "run",
    State.INCOMPLETE: "run again: it was interrupted",
    State.DONE: "skip: done",
    State.OTHER: "stop: other content stands there (--force replaces it)",
}
STYLES = {"completed": "green", "refused": "yellow", "abstained": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Wish:
    """The options of the command as they were typed."""

    study: Path
    out: Path
    applications: tuple[str, ...] = ()
    series: str | None = None
    formats: str | None = None
    geometry: str = "reject"
    keep_intermediate: bool = False
    dry_run: bool = False
    strict: bool = False
    force: bool = False


def answer(session: Session, wish: Wish) -> Answer:
    """Return what `vesalius analyze` has to say."""
    request = _request(session, wish)
    with progress.watcher(quiet=session.flags.quiet) as watcher:
        if wish.dry_run:
            return _plan_answer(plan_only(request, watcher), request)
        summary = perform(request, watcher)
    log_failures(summary.errors, session)
    _log_rows(summary)
    return _summary_answer(summary, wish)


def _log_rows(summary: Summary) -> None:
    log = structlog.get_logger()
    for row in summary.rows:
        cost = {"seconds": row.seconds, "peak_memory_bytes": row.peak_memory_bytes}
        log.info("analysis", key=row.key, application=row.application, outcome=row.outcome, **cost)


def _request(session: Session, wish: Wish) -> Request:
    settings = session.settings
    formats = tuple(part.strip() for part in (wish.formats or "").split(",") if part.strip())
    options = Options(formats, tuple(settings.language), wish.geometry, wish.series, wish.keep_intermediate)
    return Request(
        wish.study, wish.out, wish.applications, options, settings.workers, settings.threads, force=wish.force
    )


def _summary_answer(summary: Summary, wish: Wish) -> Answer:
    warnings = (*summary.warnings, *(f"{row.key}: {text}" for row in summary.rows for text in row.warnings))
    data = {
        "out": str(summary.out),
        "summary": str(summary.out / "summary.csv"),
        "analyses": [_row_data(row, summary) for row in summary.rows],
    }
    error = summary.error(strict=wish.strict)
    touched = tuple(dict.fromkeys(("study", row.key) for row in summary.rows))
    return Answer(data, lambda console: _show(console, summary), warnings, error, touched)


def _row_data(row: Row, summary: Summary) -> dict[str, Any]:
    where = str(summary.out / row.report) if row.report else None
    again = (row.key, row.application) in summary.skipped
    return {**asdict(row), "report": where, "already_done": again}


def _show(console: Console, summary: Summary) -> None:
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    for name in ("study", "application", "outcome", "main numbers", "report"):
        table.add_column(name, overflow="fold")
    for row in summary.rows:
        again = (row.key, row.application) in summary.skipped
        outcome = Text(row.outcome + (" (done before)" if again else ""), style=STYLES.get(row.outcome, ""))
        where = Text(str(summary.out / row.report) if row.report else "")
        table.add_row(Text(row.key), Text(row.application), outcome, Text(_numbers(row)), where)
    console.print(table)
    console.print(Text(f"\nsummary: {summary.out / 'summary.csv'}"), soft_wrap=True)


def _numbers(row: Row) -> str:
    if row.outcome != "completed":
        return row.message
    catalogue = of_application(row.application)
    known = [(name, value) for name, value in row.numbers.items() if value is not None]
    lines = [f"{_title(name, catalogue)} {_number(value, name)}" for name, value in known[:MOST_NUMBERS]]
    return "\n".join(lines)


def _title(name: str, catalogue: Mapping[str, Mapping[str, str]]) -> str:
    return say(Message(name.split(" [")[0]), "en", catalogue)


def _number(value: float, name: str) -> str:
    unit = name.partition(" [")[2].removesuffix("]")
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if unit == "%" else f"{value:.3g}"
    return text if unit in ("", "1") else f"{text} {unit}"


def _plan_answer(plan: Plan, request: Request) -> Answer:
    available = available_memory_bytes()
    workers = workers_that_fit(plan.jobs, request.workers, available)
    data = {
        "out": str(request.out),
        "workers": workers,
        "threads": request.threads,
        "available_memory_bytes": available,
        "analyses": [_planned_data(one, available) for one in plan.jobs],
        "not_possible": [asdict(row) for row in plan.rows],
    }
    return Answer(
        data, lambda console: _show_plan(console, plan, workers, available), plan.warnings, _plan_error(plan, request)
    )


def _plan_error(plan: Plan, request: Request) -> VesaliusError | None:
    """Return the error with which the real run would not even start."""
    conflicts = [one.job.target for one in plan.jobs if one.state is State.OTHER]
    return exists_error(conflicts) if conflicts and not request.force else None


def _planned_data(one: Planned, available: int | None) -> dict[str, Any]:
    job, problem = one.job, memory_error(one, available)
    chosen = [
        {"role": role, "uid": series.uid, "series": _name(series), "why": _said(job, job.selection.reasons.get(role))}
        for role, series in job.selection.chosen.items()
    ]
    left_out = [
        {"uid": series.uid, "series": _name(series), "why": _said(job, reason)}
        for series, reason in job.selection.left_out
    ]
    return {
        "key": job.study.key,
        "source": str(job.study.source),
        "application": job.application,
        "state": str(one.state),
        "chosen": chosen,
        "left_out": left_out,
        "memory_bytes": one.memory_bytes,
        "seconds": one.seconds,
        "report": str(job.target),
        "error": problem.as_dict() if problem is not None else None,
    }


def _said(job: Job, reason: Message | None) -> str:
    return say(reason, "en", of_application(job.application)) if reason is not None else ""


def _name(series: Series) -> str:
    number = f"#{series.number} " if series.number is not None else ""
    size = " x ".join(str(n) for n in series.geometry.shape)
    return f"{number}{series.modality or '?'} {series.description or series.format} {size}".strip()


def _show_plan(console: Console, plan: Plan, workers: int, available: int | None) -> None:
    for one in plan.jobs:
        cost = f"about {(one.memory_bytes or 0) / 1e6:.0f} MB" if one.memory_bytes else "no image is read"
        time = f", about {one.seconds:.0f} s" if one.seconds is not None else ""
        console.print(Text(f"{one.job.label}: would {WOULD[one.state]} ({cost}{time})", style="bold"), soft_wrap=True)
        if one.memory_bytes and (problem := memory_error(one, available)) is not None:
            console.print(Text(f"  cannot run: {problem}", style="red"), soft_wrap=True)
        for role, series in one.job.selection.chosen.items():
            reason = _said(one.job, one.job.selection.reasons.get(role))
            console.print(Text(f"  {role}: {_name(series)} - {reason}\n    --series {series.key}"), soft_wrap=True)
        for series, why in one.job.selection.left_out:
            console.print(
                Text(f"  left out: {_name(series)} - {_said(one.job, why)}\n    --series {series.key}"), soft_wrap=True
            )
    for row in plan.rows:
        console.print(Text(f"{row.key} {row.source}: {row.outcome}: {row.message}"), soft_wrap=True)
    console.print(Text(f"{len(plan.jobs)} analyses, {workers} at the same time; nothing was written"), soft_wrap=True)
