"""What stands behind page one: methods, quality, evidence, parameters, provenance, licences, glossary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vesalius.core.energy import WATT_PER_CORE, CoreTimeEstimate
from vesalius.core.finding import Measurement
from vesalius.core.report import LeftOut, Report
from vesalius.report import numbers
from vesalius.report.figures import Picture
from vesalius.report.page import Line, Section, Table, measurement_rows, moment, source_text
from vesalius.report.phrases import Phrases


def sections(
    report: Report, phrases: Phrases, pictures: Sequence[Picture], more: Sequence[Measurement]
) -> tuple[Section, ...]:
    """Return the parts that have something to say, in the order of every report."""
    parts = (
        _methods(report, phrases),
        _quality(report, phrases),
        _evidence(report, phrases, pictures),
        _more(more, phrases),
        _parameters(report, phrases),
        _provenance(report, phrases),
        _left_out(report.left_out, phrases),
        _licences(report, phrases),
        _glossary(phrases),
    )
    return tuple(part for part in parts if part.paragraphs or part.lines or part.tables or part.rows or part.pictures)


def _title(key: str, phrases: Phrases) -> str:
    return phrases.text(f"report.annex.{key}")


def _methods(report: Report, phrases: Phrases) -> Section:
    by_method: dict[str, list[str]] = {}
    for measurement in report.measurements:
        if measurement.method:
            by_method.setdefault(measurement.method, []).append(phrases.title(measurement))
    lines = [Line(phrases.joined(titles), phrases.optional(method)) for method, titles in by_method.items()]
    paragraphs = tuple(phrases.say(message) for message in report.methods)
    return Section("methods", _title("methods", phrases), paragraphs, tuple(lines))


def _quality(report: Report, phrases: Phrases) -> Section:
    rows = []
    for check in report.quality:
        value = "" if check.value is None else f"{check.value:.3g}".replace("-", "−")
        shown = " ".join(part for part in (value, numbers.symbol(check.unit) if value else "") if part)
        name = phrases.optional(f"quality.{check.name}", check.name)
        rows.append((name, shown, phrases.text(f"report.mark.{check.mark}"), phrases.say(check.message)))
    table = Table(_headers(phrases, "check", "value", "quality", "meaning"), tuple(rows), aligned=(1,))
    return Section("quality", _title("quality", phrases), tables=(table,) if rows else ())


def _evidence(report: Report, phrases: Phrases, pictures: Sequence[Picture]) -> Section:
    said = tuple(phrases.say(message) for message in report.explanations)
    return Section("evidence", _title("evidence", phrases), said, pictures=tuple(pictures))


def _more(measurements: Sequence[Measurement], phrases: Phrases) -> Section:
    return Section("measurements", _title("measurements", phrases), rows=measurement_rows(measurements, phrases))


def _parameters(report: Report, phrases: Phrases) -> Section:
    rows = list(flattened(report.provenance.parameters))
    if report.provenance.seed is not None:
        rows.append((phrases.text("report.provenance.seed"), str(report.provenance.seed)))
    table = Table(_headers(phrases, "parameter", "value"), tuple(rows))
    return Section("parameters", _title("parameters", phrases), tables=(table,) if rows else ())


def flattened(values: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield (dotted name, text) of nested parameters, sorted by name."""
    for key in sorted(values, key=str):
        value = values[key]
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return "–" if value is None or value == "" else str(value)


def _provenance(report: Report, phrases: Phrases) -> Section:
    facts = [*_run_facts(report, phrases), *_source_facts(report, phrases)]
    hashes = [
        (phrases.text("report.provenance.input", name=name), digest)
        for name, digest in _sorted(report.provenance.inputs)
    ]
    hashes += [
        (phrases.text("report.provenance.mask", name=mask.name), mask.sha256) for mask in report.masks if mask.sha256
    ]
    tables = []
    if hashes:
        tables.append(Table(_headers(phrases, "file", "sha256"), tuple(hashes)))
    if report.provenance.versions:
        tables.append(Table(_headers(phrases, "software", "version"), tuple(_sorted(report.provenance.versions))))
    if report.run.stages:
        stages = [(_stage(name, phrases), f"{seconds:.1f}") for name, seconds in report.run.stages.items()]
        tables.append(Table(_headers(phrases, "stage", "seconds"), tuple(stages), aligned=(1,)))
    steps = [_stage(name, phrases) for name in report.provenance.steps]
    paragraphs = (phrases.text("report.provenance.steps", steps=phrases.joined(steps)),) if steps else ()
    return Section("provenance", _title("provenance", phrases), paragraphs, tuple(facts), tuple(tables))


def _stage(name: str, phrases: Phrases) -> str:
    return phrases.optional(f"stage.{name.replace(' ', '_')}", name)


def _run_facts(report: Report, phrases: Phrases) -> list[Line]:
    run, facts = report.run, []
    energy = "" if run.energy_wh is None else f"{run.energy_wh:.2g} Wh"
    if energy and run.energy_method:
        energy = phrases.text(
            "report.provenance.energy", energy=energy, method=_energy_method(run.energy_method, phrases)
        )
    values = {
        "report_id": report.id or run.id,
        "supersedes": report.supersedes,
        "started": moment(run.started),
        "finished": moment(run.finished),
        "seconds": "" if run.seconds is None else f"{run.seconds:.1f} s",
        "cpu_seconds": "" if run.cpu_seconds is None else f"{run.cpu_seconds:.1f} s",
        "energy_used": energy,
        "memory": "" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f} MB",
    }
    facts += [Line(phrases.text(f"report.provenance.{name}"), text) for name, text in values.items() if text]
    return facts


def _energy_method(method: str, phrases: Phrases) -> str:
    if method == CoreTimeEstimate.method:
        return phrases.text("report.energy.core_time", watts=WATT_PER_CORE)
    return method


def _source_facts(report: Report, phrases: Phrases) -> list[Line]:
    facts = []
    for source in report.sources:
        role = phrases.optional(f"role.{source.role}", source.role)
        text = phrases.text(
            "report.provenance.source_text", text=source_text(source, phrases), count=source.instances, uid=source.uid
        )
        facts.append(Line(phrases.text("report.provenance.source", role=role), text))
        acquisition = phrases.joined([f"{name} {value}" for name, value in flattened(source.attributes)])
        if acquisition:
            facts.append(Line(phrases.text("report.provenance.acquisition", role=role), acquisition))
    return facts


def _left_out(left_out: Sequence[LeftOut], phrases: Phrases) -> Section:
    rows = []
    for item in left_out:
        number = "" if item.number is None else str(item.number)
        rows.append((number, item.description or item.uid, item.modality, phrases.say(item.reason)))
    table = Table(_headers(phrases, "number", "series", "modality", "reason"), tuple(rows))
    return Section("left_out", _title("left_out", phrases), tables=(table,) if rows else ())


def _licences(report: Report, phrases: Phrases) -> Section:
    table = Table(_headers(phrases, "part", "licence"), tuple(_sorted(report.provenance.licences)))
    return Section("licences", _title("licences", phrases), tables=(table,) if table.rows else ())


def _glossary(phrases: Phrases) -> Section:
    lines = []
    for message_id in phrases.known("glossary."):
        term, _, meaning = phrases.optional(message_id).replace("：", ": ").partition(": ")
        lines.append(Line(term.strip(), meaning.strip()))
    return Section("glossary", _title("glossary", phrases), lines=tuple(lines))


def _headers(phrases: Phrases, *names: str) -> tuple[str, ...]:
    return tuple(phrases.text(f"report.column.{name}") for name in names)


def _sorted(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((str(key), str(value)) for key, value in values.items())
