"""`vesalius consent add | withdraw | show | check | register | import | export`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Force, Json, Quiet, Verbose, noun
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.governance.consent import Consent, Contained, Registry

PURPOSES = "care, research, training, sharing, commercial"
app = noun(
    "The consent registry: who agreed to what, until when, on which document, and who withdrew.",
    "Examples:  vesalius consent add P001 --purpose training --from DAY --to DAY --document FORM --label NAME  ·  "
    "vesalius consent withdraw P001 --on DAY  ·  vesalius consent check TABLE --purpose training",
)
Pseudonym = Annotated[str, typer.Argument(metavar="PSEUDONYM", help="The patient id as the cohorts have it.")]
Purposes = Annotated[
    list[str] | None, typer.Option("--purpose", metavar="NAME", help=f"{PURPOSES}; repeatable; all by default.")
]
Table = Annotated[Path, typer.Argument(metavar="TABLE", help="CSV with the columns patient_id and basis.")]


@app.command(epilog="Example:  vesalius consent add P001 --purpose training --from 2026-01-15 --document form.pdf")
def add(  # noqa: PLR0913 - one parameter per option of the command line
    pseudonym: Pseudonym,
    purpose: Annotated[list[str], typer.Option("--purpose", metavar="NAME", help=f"{PURPOSES}; repeatable.")],
    start: Annotated[str | None, typer.Option("--from", metavar="DAY", help="YYYY-MM-DD; today by default.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; none by default.")] = None,
    document: Annotated[
        Path | None, typer.Option("--document", metavar="FILE", help="The signed form; only its SHA-256 is kept.")
    ] = None,
    label: Annotated[str, typer.Option("--label", metavar="NAME", help="Name of the form, as in registry:NAME.")] = "",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Record a consent."""

    def body(session: Session) -> Answer:
        from vesalius.governance.consent import Consent, document_hash, purpose_of

        digest = document_hash(document) if document is not None else ""
        until = _day(end, "--to") if end else None
        begin = _day(start, "--from") if start else _today()
        wanted = [Consent(pseudonym, purpose_of(one), begin, until, digest, label) for one in purpose]
        with _registry(session) as registry:
            new = registry.add(wanted)
        warnings = () if digest or label else ("no document is named: a basis registry:<document> cannot mean it",)
        said = f"{new} recorded, {len(wanted) - new} known before"
        return _answer({"recorded": new, "document": digest}, said, pseudonym, warnings)

    raise typer.Exit(perform("consent add", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius consent withdraw P001 --purpose training")
def withdraw(
    pseudonym: Pseudonym,
    purpose: Purposes = None,
    on: Annotated[str | None, typer.Option("--on", metavar="DAY", help="From this day on; today by default.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Record a withdrawal, and list the cohorts, runs and packages that contain the patient."""

    def body(session: Session) -> Answer:
        from vesalius.governance.consent import purpose_of

        with _registry(session) as registry:
            day = _day(on, "--on") if on else _today()
            done = registry.withdraw(pseudonym, [purpose_of(one) for one in purpose or ()], day)
        names = [str(one) for one in done.purposes]
        data = {"purposes": names, "contained": _contained(done.contained)}
        lines = [f"withdrawn from {day}: {', '.join(names)}", *_lines(done.contained)]
        return _answer(data, "\n".join(lines), pseudonym)

    raise typer.Exit(perform("consent withdraw", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius consent show P001")
def show(
    pseudonym: Annotated[str | None, typer.Argument(metavar="PSEUDONYM", help="Only this patient.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show consents as they stand today, and what contains the patient."""

    def body(session: Session) -> Answer:
        with _registry(session) as registry:
            found = registry.consents(pseudonym)
            contained = registry.containing(pseudonym) if pseudonym else ()
        data = {"consents": [_plain(one) for one in found], "contained": _contained(contained)}
        touched = (("patient", pseudonym),) if pseudonym else ()
        return Answer(data, lambda console: _show(console, data["consents"], contained), touched=touched)

    raise typer.Exit(perform("consent show", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius consent check cohort.csv --purpose training")
def check(
    table: Table,
    purpose: Annotated[str, typer.Option("--purpose", metavar="NAME", help=PURPOSES)],
    on: Annotated[str | None, typer.Option("--on", metavar="DAY", help="On this day; today by default.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say which cases of a cohort may be used for a purpose; exit 1 when some may not."""

    def body(session: Session) -> Answer:
        from vesalius.core.errors import AccessError
        from vesalius.governance.consent import purpose_of

        rows = _cases(table)
        with _registry(session) as registry:
            day = _day(on, "--on") if on else _today()
            patients, bases = [one[0] for one in rows.values()], [one[1] for one in rows.values()]
            found = registry.judge(patients, bases, purpose=purpose_of(purpose), on=day)
        numbers = list(rows)
        left_out = {reason: [numbers[index] for index in one] for reason, one in found.left_out.items()}
        data = {"kept": len(found.kept), "left_out": left_out}
        lines = [f"{len(found.kept)} of {len(rows)} cases may be used for {purpose}"]
        lines += [f"{reason}: {len(one)} (lines {_some(one)})" for reason, one in left_out.items()]
        count = len(rows) - len(found.kept)
        error = AccessError(f"{count} cases must be left out", fix="see the lines above") if count else None
        return Answer(data, lambda console: console.print("\n".join(lines), soft_wrap=True), (), error)

    raise typer.Exit(perform("consent check", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius consent register cohort thorax cohort.csv")
def register(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="cohort, run or package.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    table: Table,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Remember which patients a cohort, run or package contains (by hash), so that a withdrawal names it."""

    def body(session: Session) -> Answer:
        from vesalius.core.registry import unknown
        from vesalius.governance.consent import Artefact, document_hash

        if kind not in list(Artefact):
            raise unknown("kind", kind, [str(one) for one in Artefact])
        rows = _cases(table)
        with _registry(session) as registry:
            count = registry.register(Artefact(kind), name, [one[0] for one in rows.values()], document_hash(table))
        return _answer({"patients": count}, f"{kind} {name}: {count} patients")

    raise typer.Exit(perform("consent register", Flags(json, quiet, verbose), body))


@app.command("import", epilog="Example:  vesalius consent import consents.json")
def read(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FHIR R4: a Bundle with Consents, or one Consent.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take consents over from FHIR."""

    def body(session: Session) -> Answer:
        from vesalius.governance.consent_fhir import from_fhir

        found = from_fhir(file)
        with _registry(session) as registry:
            new = registry.add(found)
        return _answer({"recorded": new, "known": len(found) - new}, f"{new} recorded, {len(found) - new} known before")

    raise typer.Exit(perform("consent import", Flags(json, quiet, verbose), body))


@app.command("export", epilog="Example:  vesalius consent export consents.json")
def write(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The FHIR R4 Bundle to write.")],
    pseudonym: Annotated[str | None, typer.Option("--patient", metavar="PSEUDONYM", help="Only this patient.")] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the registry as FHIR Consent resources."""

    def body(session: Session) -> Answer:
        from vesalius.cli.options import new_file
        from vesalius.governance.audit_export import as_text
        from vesalius.governance.consent_fhir import to_fhir
        from vesalius.io.atomic import write_text

        new_file(file, force)
        with _registry(session) as registry:
            found = registry.consents(pseudonym)
        write_text(file, as_text(to_fhir(found)))
        return _answer({"file": str(file), "consents": len(found)}, f"{len(found)} consents in {file}")

    raise typer.Exit(perform("consent export", Flags(json, quiet, verbose), body))


def _registry(session: Session) -> Registry:
    from vesalius.governance.consent import Registry

    return Registry(session.settings.home / "consent.sqlite")


def _cases(table: Path) -> dict[int, tuple[str, ...]]:
    from vesalius.cli.tables import columns

    return columns(table, (("patient_id", "patient"), ("basis",)))


def _day(text: str, option: str) -> date:
    from vesalius.core.errors import UsageError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is no day", found=text[:20], expected="YYYY-MM-DD") from None


def _today() -> date:
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


def _answer(data: dict[str, Any], said: str, pseudonym: str = "", warnings: tuple[str, ...] = ()) -> Answer:
    touched = (("patient", pseudonym),) if pseudonym else ()
    return Answer(data, lambda console: console.print(said, soft_wrap=True), warnings, touched=touched)


def _contained(found: Sequence[Contained]) -> list[dict[str, str]]:
    return [{"kind": str(one.kind), "name": one.name, "sha256": one.sha256} for one in found]


def _lines(found: Sequence[Contained]) -> list[str]:
    lines = [f"contained in {one.kind} {one.name} {one.sha256[:12]}".rstrip() for one in found]
    return lines or ["no cohort, run or package is known to contain this patient"]


def _plain(consent: Consent) -> dict[str, Any]:
    days = {"from": str(consent.valid_from), "to": str(consent.valid_to) if consent.valid_to else None}
    withdrawn = str(consent.withdrawn) if consent.withdrawn else None
    form = {"document": consent.document, "label": consent.label, "withdrawn": withdrawn}
    standing = str(consent.standing(_today()))
    return {"pseudonym": consent.pseudonym, "purpose": str(consent.purpose), **days, **form, "standing": standing}


def _show(console: Console, consents: list[dict[str, Any]], contained: Sequence[Contained]) -> None:
    from rich.table import Table

    table = Table("patient", "purpose", "from", "to", "document", "standing", box=None, pad_edge=False)
    for one in consents:
        form = one["label"] or one["document"][:12]
        table.add_row(one["pseudonym"], one["purpose"], one["from"], one["to"] or "", form, one["standing"])
    console.print(table)
    for line in _lines(contained) if contained else ():
        console.print(line, soft_wrap=True)


def _some(lines: list[int]) -> str:
    return ", ".join(str(one) for one in lines[:10]) + (", ..." if len(lines) > 10 else "")
