"""What `vesalius models` answers, and how packages are shown to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.cli.session import Answer
from vesalius.core.errors import IncompleteError, TamperedError
from vesalius.models import engines, store
from vesalius.models.card import Card, Metric, missing
from vesalius.models.package import Package
from vesalius.models.runtime import Runner
from vesalius.models.store import EVERY_LICENCE, Entry

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.models.card import Runtime

STYLES = {"released": "green", "draft": "yellow", "damaged": "bold red"}


def listing(session: Session) -> Answer:
    """Answer `models list`; exit 1 when a package is damaged."""
    found = store.entries(session.settings.home)
    data = {"store": str(store.folder(session.settings.home)), "packages": [entry_data(one) for one in found]}
    damaged = [f"{one.name}@{one.version}" for one in found if one.status == "damaged"]
    error = TamperedError("packages of the store are damaged", found=", ".join(damaged), fix="import them again")
    return Answer(data, lambda console: _show_list(console, found), error=error if damaged else None)


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return an entry of the store as plain data."""
    card = entry.card
    return {
        "name": entry.name, "version": entry.version, "status": entry.status, "reason": entry.reason,
        "signature": entry.signature, "digest": entry.digest, "bytes": entry.size, "path": str(entry.path),
        "kind": card.kind if card else "", "title": card.title if card else "",
        "licence": card.licence if card else "",
    }  # fmt: skip


def _show_list(console: Console, found: Sequence[Entry]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found:
        console.print("no packages: vesalius models import FILE")
        return
    table = Table("package", "kind", "status", "signature", "licence", "size", "title", box=None, pad_edge=False)
    for one in found:
        card = one.card
        why = {"card": "", "": ""}.get(one.reason, f" ({one.reason})")
        table.add_row(
            Text(f"{one.name}@{one.version}"), card.kind if card else "",
            Text(f"{one.status}{why}", style=STYLES[one.status]), one.signature, card.licence if card else "",
            f"{one.size / 1e6:.1f} MB", Text(card.title if card else ""),
        )  # fmt: skip
    console.print(table)


def imported(session: Session, package: Path, force: bool) -> Answer:
    """Answer `models import`."""
    entry = store.import_package(session.settings.home, package, force=force)
    use = f"use it by name: vesalius predict {entry.name} FILES --out DIR"
    text = f"{entry.name}@{entry.version}: {entry.status}, signature {entry.signature}\n{use}"
    return Answer(entry_data(entry), lambda console: console.print(text, soft_wrap=True))


def card_of(session: Session, wanted: str) -> Answer:
    """Answer `models info`."""
    with store.open_named(session.settings.home, wanted, accept_licence=EVERY_LICENCE) as package:
        card = package.card
        lacking = missing(card)
        data = {
            "card": card.model_dump(mode="json"), "status": package.status, "reason": package.reason,
            "digest": package.digest, "signature": asdict(package.signature), "missing": list(lacking),
            "steps": [f"{step.id}: {step.op}" for step in package.graph.steps],
        }  # fmt: skip
        lines = tuple(_card_lines(package, lacking))
    return Answer(data, lambda console: _show_lines(console, lines))


def _card_lines(package: Package, lacking: Sequence[str]) -> Iterator[tuple[str, str]]:
    card, signature = package.card, package.signature
    signed = "unsigned" if not signature.key_id else f"key {signature.key_id}"
    known = "" if not signature.key_id else ", trusted" if signature.trusted else ", not trusted here"
    yield "package", f"{card.name}@{card.version}: {card.title}"
    yield "status", package.status + (f" ({package.reason})" if package.reason not in ("", "card") else "")
    yield "signature", signed + known
    yield "digest", package.digest
    yield "licence", f"{card.licence} {card.licence_text}".strip()
    yield from ((name, text) for name, text in (("summary", card.summary), ("for", card.intended_use)) if text)
    yield from (("not for", text) for text in card.not_for)
    yield "kind", card.kind
    for one in card.inputs:
        facts = one.model_dump(exclude_defaults=True, exclude={"name", "kind"})
        shown = ", ".join(f"{name} {_plain(value)}" for name, value in facts.items())
        yield "reads", f"{one.name}: {one.kind}{f' ({shown})' if shown else ''}"
    yield "gives", ", ".join(one.name for one in card.output.labels) or f"a number {card.output.unit}".strip()
    yield from _evidence_lines(card)
    if lacking:
        yield "the card lacks", ", ".join(lacking)


def _evidence_lines(card: Card) -> Iterator[tuple[str, str]]:
    for data in card.training_data:
        bases = ", ".join(f"{basis} {count}" for basis, count in data.basis.items())
        patients = "" if data.patients is None else f", {data.patients} patients"
        yield "trained on", f"{data.name}: {data.cases} cases{patients}; {data.licence}; {bases or 'no basis'}"
    yield from (("measured", _metric(one)) for one in card.metrics)
    for point in card.operating_points:
        yield "operating point", f"{point.label} from {point.threshold:g}: {point.purpose}".rstrip(": ")
    yield from (("fails", text) for text in card.known_failures)
    yield from (("limit", f"{name} {value:g}") for name, value in card.limits.items())
    for runtime in card.runtimes:
        yield "runtime", f"{runtime.name}: {1000 * runtime.seconds_per_case:.3g} ms a case ({runtime.machine})"
    if card.energy.training_kwh is not None:
        yield "training", f"{card.energy.training_kwh:.3g} kWh, {card.energy.method}"
    yield from (("warning", text) for text in card.warnings)


def _metric(one: Metric) -> str:
    ends = "" if one.low is None or one.high is None else f" [{one.low:.3g}, {one.high:.3g}]"
    group = f", {one.subgroup}" if one.subgroup else ""
    return f"{one.name} {one.value:.3g}{ends} on {one.data}{group}, {one.cases} cases"


def _plain(value: object) -> str:
    return " to ".join(f"{one:g}" for one in value) if isinstance(value, tuple) and all(
        isinstance(one, int | float) for one in value
    ) else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)  # fmt: skip


def _show_lines(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    before = ""
    for name, text in lines:
        table.add_row("" if name == before else name, Text(text))
        before = name
    console.print(table)


def verified(session: Session, wanted: str, accepted: tuple[str, ...]) -> Answer:
    """Answer `models verify`."""
    settings = session.settings
    with store.open_named(settings.home, wanted, accept_licence=accepted) as package:
        runner = Runner(package, threads=settings.threads, runtime=settings.runtime, marks=store.marks(settings.home))
        largest = runner.check_golden()
        card, signature = package.card, package.signature
        data = {
            "name": card.name, "version": card.version, "digest": package.digest, "files": "intact",
            "signature": asdict(signature), "status": package.status, "reason": package.reason,
            "golden": {"cases": len(package.golden()), "largest_error": largest, "tolerance": card.tolerance,
                       "runtime": runner.runtime},
        }  # fmt: skip
        who = signature.key_id or "none"
        with_ = f" with {runner.runtime} {engines.version(runner.runtime)}" if runner.runtime else ""
        lines = (
            ("files", "every hash holds"),
            ("signature", f"{who}{', trusted' if signature.trusted else ''}"),
            ("golden", f"largest difference {largest:.2g}, allowed {card.tolerance:g}{with_}"),
            ("status", package.status + (f" ({package.reason})" if package.reason not in ("", "card") else "")),
        )
    return Answer(data, lambda console: _show_lines(console, lines))


def measured(session: Session, wanted: str) -> Answer:
    """Answer `models measure`."""
    from vesalius.pipeline.package import measured as figures_of

    with store.open_named(session.settings.home, wanted, accept_licence=EVERY_LICENCE) as package:
        figures, failures = figures_of(package, threads=session.settings.threads)
        chosen = engines.choose(package.card.model_copy(update={"runtimes": figures}))
        tolerance = package.card.tolerance
    data = {
        "runtimes": [one.model_dump(mode="json") for one in figures], "failures": failures, "tolerance": tolerance,
        "fastest": chosen if figures else "",
    }  # fmt: skip
    found = "; ".join(f"{name}: {why}" for name, why in failures.items())
    error = IncompleteError("no runtime can compute the package", found=found) if failures and not figures else None
    return Answer(data, lambda console: _show_figures(console, figures, failures, tolerance), error=error)


def _show_figures(console: Console, figures: Sequence[Runtime], failures: dict[str, str], tolerance: float) -> None:
    from rich.table import Table
    from rich.text import Text

    if not figures and not failures:
        console.print("this package needs no runtime: it has no network and no other ONNX model")
        return
    table = Table("runtime", "ms a case", "largest error", f"allowed {tolerance:g}", box=None, pad_edge=False)
    for one in figures:
        holds = "yes" if one.largest_error <= tolerance else "no"
        table.add_row(one.name, f"{1000 * one.seconds_per_case:.3g}", f"{one.largest_error:.2g}", holds)
    for name, why in failures.items():
        table.add_row(name, "-", "-", Text(why))
    console.print(table)
