"""Page one of a report in one language, as text that HTML and PDF lay out; the annex is built in `annex`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata

from vesalius.core.finding import Mark, Measurement, Message, QualityCheck
from vesalius.core.report import Outcome, Report, Source, Status
from vesalius.core.study import Identity
from vesalius.report import numbers
from vesalius.report.figures import Picture
from vesalius.report.phrases import Phrases

MOST_ROWS = 12
"""Rows of the table on page one; the others go to the annex and the CSV."""

SIGNS = {"good": "●", "caution": "▲", "poor": "■"}
"""Shapes of the marks, so that colour never carries the meaning alone."""

_SEVERITY = {Mark.GOOD: 0, Mark.CAUTION: 1, Mark.POOR: 2}


@dataclass(frozen=True, slots=True)
class Line:
    """A label and its text."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; the pads are invisible digits that align the decimal points."""

    title: str
    value: str
    value_pad: str
    unit: str
    low: str
    low_pad: str
    high: str
    high_pad: str
    mark: str
    mark_word: str
    note: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said first; a refusal has the same place and size as a finding.

    Args:
        kind: completed, refused or abstained.
        helps: what would help, for a refusal or an abstention.
    """

    kind: str
    heading: str
    sentences: tuple[str, ...]
    help_heading: str = ""
    helps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """One line of "how far to trust it": mark is good, caution, poor or "" when there is none."""

    label: str
    mark: str
    word: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A plain table; `aligned` names the columns that hold numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    aligned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the annex."""

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    tables: tuple[Table, ...] = ()
    rows: tuple[Row, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Page:
    """Everything a report says, in reading order."""

    language: str
    title: str
    study_key: str
    badge: str
    status: str
    research: str
    reviewed: str
    draft: str
    head: tuple[Line, ...]
    answer: Answer
    pictures: tuple[Picture, ...]
    rows: tuple[Row, ...]
    interval_heading: str
    table_notes: tuple[str, ...]
    trust: tuple[Trust, ...]
    annex: tuple[Section, ...]
    footer: str
    labels: dict[str, str]


LABELS = ("key_images", "measurements", "trust", "annex", "measurement", "value", "to", "quality", "page_of", "theme")
"""Headings that the layouts take from the catalogue under "report.label."."""


def build(report: Report, phrases: Phrases, pictures: Sequence[Picture], identity: Identity | None = None) -> Page:
    """Return the page in one language; only the head holds identity, and only when it is handed in."""
    from vesalius.report import annex

    shown, more = split_measurements(report.measurements)
    final = report.status is Status.FINAL
    badge = (
        phrases.text("report.status.final", by=report.signed_by) if final else phrases.text("report.status.preliminary")
    )
    return Page(
        language=phrases.language,
        title=application_title(report, phrases),
        study_key=report.study_key,
        badge=badge,
        status=str(report.status),
        research=phrases.text("report.research_only"),
        reviewed=phrases.text("report.must_be_reviewed"),
        draft=phrases.text("report.draft") if report.draft else "",
        head=head_lines(report, phrases, identity),
        answer=_glued(answer(report, phrases)),
        pictures=tuple(pictures[:1]),
        rows=measurement_rows(shown, phrases),
        interval_heading=_interval_heading(shown, phrases),
        table_notes=_table_notes(shown, more, phrases),
        trust=trust_lines(report, phrases),
        annex=annex.sections(report, phrases, pictures[1:], more),
        footer=phrases.text("report.footer", key=report.study_key, software=software(report)),
        labels={name: phrases.text(f"report.label.{name}") for name in LABELS},
    )


def software(report: Report) -> str:
    """Return application and platform with their versions."""
    return f"{report.application} {report.version}, Vesalius {platform_version(report)}"


def platform_version(report: Report) -> str:
    """Return the version of Vesalius that made the report; of the installed one when the report does not say."""
    told = report.provenance.versions.get("vesalius")
    try:
        return told or metadata.version("vesalius")
    except metadata.PackageNotFoundError:
        return ""


def application_title(report: Report, phrases: Phrases) -> str:
    """Return the application in plain words."""
    return phrases.optional(
        f"application.{report.application}", f"application.{report.application}.title", report.application
    )


def split_measurements(measurements: Sequence[Measurement]) -> tuple[list[Measurement], list[Measurement]]:
    """Return the rows of page one and all others, in the report's order."""
    head = [m for m in measurements if m.headline][:MOST_ROWS]
    return head, [m for m in measurements if not any(m is shown for shown in head)]


def head_lines(report: Report, phrases: Phrases, identity: Identity | None) -> tuple[Line, ...]:
    """Return who, what, which series and why, when and by which software."""
    lines = []
    if identity is not None and (identity.patient_name or identity.patient_id):
        lines.append(Line(phrases.text("report.head.patient"), _patient(identity, phrases)))
    study = [report.study_key, report.study_date]
    if identity is not None and identity.accession:
        study.append(phrases.text("report.head.accession", number=identity.accession))
    lines.append(Line(phrases.text("report.head.study"), phrases.joined([part for part in study if part])))
    for source in report.sources:
        lines.append(
            Line(
                phrases.text("report.head.series", role=phrases.optional(f"role.{source.role}", source.role)),
                source_text(source, phrases),
            )
        )
        lines.append(Line(phrases.text("report.head.why"), phrases.say(source.reason)))
    if not report.sources:
        lines.append(Line(phrases.text("report.head.series_none"), phrases.text("report.head.none_read")))
    when = moment(report.run.finished or report.run.started)
    made = phrases.text("report.head.made", software=software(report), when=when) if when else software(report)
    lines.append(Line(phrases.text("report.head.software"), made))
    return tuple(lines)


def _patient(identity: Identity, phrases: Phrases) -> str:
    name = " ".join(identity.patient_name.replace("=", " ").replace("^", " ").split())
    born = phrases.text("report.head.born", date=iso_date(identity.birth_date)) if identity.birth_date else ""
    number = phrases.text("report.head.patient_id", id=identity.patient_id) if identity.patient_id else ""
    return phrases.joined([part for part in (name, number, born) if part])


def iso_date(date: str) -> str:
    """Return a DICOM date (YYYYMMDD) as YYYY-MM-DD; anything else as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if re.fullmatch(r"\d{8}", date) else date


def moment(iso: str) -> str:
    """Return an ISO date and time to the minute, "UTC" spelled out."""
    if len(iso) < 16:
        return iso
    zone = " UTC" if iso.endswith(("Z", "+00:00")) else ""
    return iso[:16].replace("T", " ") + zone


def source_text(source: Source, phrases: Phrases) -> str:
    """Return number, description, modality, size and spacing of a series."""
    name = " ".join(
        part for part in (f"#{source.number}" if source.number is not None else "", source.description) if part
    )
    slices, rows, columns = source.shape
    size = phrases.text("report.head.size", slices=slices, rows=rows, columns=columns)
    spacing = " × ".join(f"{value:.3g}" for value in source.spacing_mm) + " mm"
    derived = phrases.text("report.head.derived") if source.derived else ""
    parts = (name, source.modality, size, spacing, source.orientation, derived)
    return phrases.joined([part for part in parts if part])


def answer(report: Report, phrases: Phrases) -> Answer:
    """Return the findings, or why there are none and what would help."""
    kind = str(report.outcome)
    if report.outcome is Outcome.COMPLETED:
        sentences = tuple(
            finding_sentence(finding.message, finding.probability, phrases) for finding in report.findings
        )
        nothing = (phrases.text("report.answer.nothing"),)
        return Answer(kind, phrases.text("report.answer.completed"), sentences or nothing)
    helps = tuple(phrases.say(m) for m in report.reasons if is_help(m))
    reasons = tuple(phrases.say(m) for m in report.reasons if not is_help(m))
    unknown = (phrases.text("report.answer.no_reason"),)
    return Answer(
        kind, phrases.text(f"report.answer.{kind}"), reasons or unknown, phrases.text("report.answer.help"), helps
    )


def _glued(spoken: Answer) -> Answer:
    sentences, helps = (tuple(unbroken(text) for text in texts) for texts in (spoken.sentences, spoken.helps))
    return replace(spoken, sentences=sentences, helps=helps)


def finding_sentence(message: Message, probability: float | None, phrases: Phrases) -> str:
    """Return the sentence of a finding, its calibrated probability behind it."""
    sentence = phrases.say(message)
    if probability is None:
        return sentence
    return phrases.text("report.answer.probability", sentence=sentence, percent=numbers.percent(probability))


def unbroken(text: str) -> str:
    """Return the text with the spaces inside "612 mL [598, 626]" made unbreakable."""
    glued = re.sub(r"\[(\S+), (\S+)\]", "[\\1,\u00a0\\2]", text)
    glued = re.sub(r"(\d) (\S{1,6}) (?=\[)", "\\1\u00a0\\2\u00a0", glued)
    return re.sub(r"(\d) (?=(?:mL|mm|%|HU)(?:\W|$))", "\\1\u00a0", glued)


def is_help(message: Message) -> bool:
    """Return whether a reason says what would help rather than what was wrong."""
    return bool({"help", "advice"} & set(re.split(r"[._]", message.id)))


def measurement_rows(measurements: Sequence[Measurement], phrases: Phrases) -> tuple[Row, ...]:
    """Return the rows of a table with decimal points aligned down each column."""
    shown = [numbers.figures(m) for m in measurements]
    pads = [
        numbers.padding(column)
        for column in ([f.value for f in shown], [f.low for f in shown], [f.high for f in shown])
    ]
    rows = []
    for m, f, value_pad, low_pad, high_pad in zip(measurements, shown, *pads, strict=True):
        missing = m.value is None
        note = phrases.say(m.reason) if m.reason is not None else ""
        rows.append(
            Row(
                title=phrases.title(m),
                value=f.value or phrases.text("report.not_measurable"),
                value_pad="" if missing else value_pad,
                unit="" if missing else f.unit,
                low=f.low,
                low_pad=low_pad,
                high=f.high,
                high_pad=high_pad,
                mark="" if missing else str(m.mark),
                mark_word="" if missing else phrases.text(f"report.mark.{m.mark}"),
                note=note,
            )
        )
    return tuple(rows)


def _interval_heading(measurements: Sequence[Measurement], phrases: Phrases) -> str:
    levels = {m.interval.level for m in measurements if m.interval is not None}
    return (
        phrases.text("report.label.interval", level=f"{100 * levels.pop():.0f}")
        if len(levels) == 1
        else (phrases.text("report.label.interval_mixed") if levels else "")
    )


def _table_notes(shown: Sequence[Measurement], more: Sequence[Measurement], phrases: Phrases) -> tuple[str, ...]:
    methods = dict.fromkeys(m.interval.method for m in shown if m.interval is not None)
    notes = [unbroken(phrases.optional(method)) for method in methods]
    notes.append(phrases.text("report.no_reference_values"))
    if more:
        notes.append(phrases.text("report.more_measurements", count=len(more)))
    return tuple(notes)


def trust_lines(report: Report, phrases: Phrases) -> tuple[Trust, ...]:
    """Return input quality, distance from what it was made for, agreement of methods, and what cannot be seen."""
    groups: dict[str, list[QualityCheck]] = {"quality": [], "domain": [], "agreement": []}
    for check in report.quality:
        prefix = check.name.split(".")[0]
        groups[prefix if prefix in ("domain", "agreement") else "quality"].append(check)
    lines = [_trust_of(kind, checks, phrases) for kind, checks in groups.items()]
    limits = tuple(unbroken(phrases.say(message)) for message in report.limits) or (
        phrases.text("report.trust.no_limits"),
    )
    return (*lines, Trust(phrases.text("report.trust.limits"), "", "", limits))


def _trust_of(kind: str, checks: Sequence[QualityCheck], phrases: Phrases) -> Trust:
    label = phrases.text(f"report.trust.{kind}")
    if not checks:
        return Trust(label, "", "", (phrases.text("report.trust.not_assessed"),))
    worst = max((check.mark for check in checks), key=lambda mark: _SEVERITY[mark])
    concerns = [phrases.say(check.message) for check in checks if check.mark is not Mark.GOOD]
    passed = phrases.text("report.trust.passed", good=len(checks) - len(concerns), all=len(checks))
    if len(checks) == 1 and not concerns:
        passed = phrases.say(checks[0].message)
    spoken = concerns if len(checks) == len(concerns) == 1 else [*concerns, passed]
    return Trust(label, str(worst), phrases.text(f"report.{kind}.{worst}"), tuple(unbroken(text) for text in spoken))
