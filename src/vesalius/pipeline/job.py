"""One job from its descriptors to a whole folder of files; this is what a worker runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vesalius.core import registry
from vesalius.core.application import Application, Context
from vesalius.core.finding import Mark, Measurement
from vesalius.core.mask import Mask
from vesalius.core.report import Outcome, Result
from vesalius.core.study import Case, Study
from vesalius.core.volume import Volume
from vesalius.io import identity
from vesalius.pipeline.fill import unreadable
from vesalius.pipeline.options import Options
from vesalius.pipeline.plan import Job
from vesalius.pipeline.resources import peak_memory_bytes
from vesalius.pipeline.run import analyze_case, prepare
from vesalius.pipeline.stages import Stages
from vesalius.pipeline.store import Row, Staging, commit, staging
from vesalius.pipeline.worker import tell
from vesalius.report import RenderLog, render_files
from vesalius.report.words import say


def execute(job: Job) -> Row:
    """Analyse one study, write its report, and return its line of the summary.

    Raises:
        ReadError: the files cannot be read.
        OutputError: the report cannot be written; nothing of it is left then.
    """
    stages = Stages(tell)
    stages.enter("check files")
    application: Application = registry.get("applications", job.application)
    case = Case(job.study)
    prepared = prepare(case, application, job.options, job.selection)
    with staging(job.target, prepared.hash) as place:
        context = Context(threads=job.threads, progress=tell)
        result = analyze_case(case, application, job.options, context=context, prepared=prepared, run_id=place.run_id)
        stages.enter("write")
        log = write_report(result, job.study, job.options, place)
        warnings = tuple(f"{one.name}: {say(one.reason, 'en')}" for one in log.skipped)
        row = row_of(result, job, application, (*doubts(result, job.study), *warnings), stages.totals()[0])
        commit(place, row)
    return row


def write_report(result: Result, study: Study, options: Options, place: Staging) -> RenderLog:
    """Write every file of a report, each as soon as it is made, and return what was left out.

    Raises:
        OutputError: a file cannot be written.
    """
    log = RenderLog()
    files = render_files(result, identity(study), language=options.language, formats=options.formats, log=log)
    for name, data in files:
        place.write(name, data)
        tell("write", 0.0)
    if options.keep_intermediate:
        for name, data in _intermediate(result):
            place.write(f"intermediate/{name}", data)
    return log


def _intermediate(result: Result) -> Iterator[tuple[str, bytes]]:
    from vesalius.io import nifti

    for name, content in result.intermediate.items():
        if isinstance(content, Volume | Mask):
            yield f"{name}.nii.gz", nifti.to_bytes(content)
        else:
            yield name, content.encode()


def doubts(result: Result, study: Study) -> tuple[str, ...]:
    """Return what the readers doubt about the files that were read, as English sentences.

    Files that could not be read at all are told by the plan, once for all applications.
    """
    checks = [one for one in result.report.quality if one.name == "source" and one.mark is not Mark.GOOD]
    told = set(map(str, unreadable(study)))
    return tuple(say(one.message, "en") for one in checks if str(one.message) not in told)


def row_of(result: Result, job: Job, application: Application, warnings: tuple[str, ...], seconds: float) -> Row:
    """Return a report as one line of the summary."""
    report = result.report
    reasons = report.reasons if report.outcome is not Outcome.COMPLETED else ()
    sentences = [*reasons, *(finding.message for finding in report.findings)]
    return Row(
        key=report.study_key,
        source=str(job.study.source),
        application=report.application,
        outcome=str(report.outcome),
        seconds=round(seconds, 2),
        numbers={_title(one): one.value for one in report.measurements if one.headline},
        message=_joined([say(sentence, "en", application.catalogue) for sentence in sentences]),
        report=job.report,
        peak_memory_bytes=peak_memory_bytes(),
        warnings=warnings,
    )


def _joined(sentences: Sequence[str]) -> str:
    """Return sentences as one text, each with its full stop."""
    return " ".join(text if text.endswith((".", "!", "?", ":")) else f"{text}." for text in sentences if text)


def _title(measurement: Measurement) -> str:
    return f"{measurement.name} [{measurement.unit}]"
