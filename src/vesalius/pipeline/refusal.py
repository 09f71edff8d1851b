"""Reports that say no: why, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.core.application import Application
from vesalius.core.errors import VesaliusError
from vesalius.core.finding import Message
from vesalius.core.report import Outcome, Report, Result
from vesalius.core.study import Case, Series

MOST_REASONS = 3


def _refused(case: Case, application: Application, *reasons: Message) -> Result:
    report = Report(
        application=application.name,
        version=application.version,
        study_key=case.study.key,
        outcome=Outcome.REFUSED,
        study_date=case.study.date,
        reasons=reasons,
    )
    return Result(report)


def nothing_fits(
    case: Case, application: Application, series_uid: str | None, left_out: Sequence[tuple[Series, Message]] = ()
) -> Result:
    """Return the refusal of a case in which the application finds no series to read.

    The report lists every series that was left out, with its reason; up to three reasons are told here too.
    """
    count = len(case.study.series)
    fits = "only_series" if count == 1 else "nothing_fits"
    reason = f"pipeline.refused.{'series_not_taken' if series_uid else fits}"
    told = list({(one.id, str(one.parameters)): one for _, one in left_out}.values())
    return _refused(
        case,
        application,
        Message(reason, {"count": count}),
        *(told if len(told) <= MOST_REASONS else ()),
        Message("pipeline.advice.other_series"),
    )


def irregular(case: Case, application: Application, series: Series, error: VesaliusError) -> Result:
    """Return the refusal of a series whose slices form no grid, naming the slices."""
    named = series.geometry.reasons or (Message("pipeline.refused.detail", {"detail": error.message}),)
    verdict = f"@pipeline.verdict.{series.geometry.verdict}"
    return _refused(
        case,
        application,
        Message("pipeline.refused.irregular", {"verdict": verdict}),
        *named,
        Message("pipeline.advice.regrid"),
    )


def unusable(case: Case, application: Application, error: VesaliusError) -> Result:
    """Return the refusal of an image whose voxels or pixel sizes the application cannot use."""
    return _refused(case, application, Message("pipeline.refused.detail", {"detail": error.message}))
