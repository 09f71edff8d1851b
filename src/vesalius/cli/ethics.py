"""`vesalius ethics review | sign`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli.options import Force, Json, PassphraseFile, Quiet, Verbose, noun, passphrase
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.governance.consent import Judgement
    from vesalius.governance.ethics import Evidence, Review
    from vesalius.models.package import Package

app = noun(
    "The gate before a model package is released.",
    "Examples:  vesalius ethics review PACKAGE --approval FILE --statement FILE --cohort TABLE --evidence DIR  ·  "
    "vesalius ethics review PACKAGE ... --release OUT --key FILE  ·  "
    "vesalius ethics review PACKAGE --technical-file DIR  ·  "
    "vesalius ethics sign PACKAGE OUT --key FILE --name NAME --role ROLE --text TEXT [--waive ITEM]",
)
PackageArgument = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="A model package: folder, .vesalius, or a name of the store.")
]
SigningKey = Annotated[str, typer.Option("--key", metavar="KEY", help="Your signing key: a file, or env:NAME.")]
LICENCES = ("research", "unclear")
"""A review looks at a package and runs nothing: every class of licence is opened."""


@app.command(epilog="Example:  vesalius ethics review model.vesalius --approval vote.pdf --statement signed.json")
def review(  # noqa: PLR0913 - one parameter per option of the command line
    package: PackageArgument,
    evidence: Annotated[
        list[Path] | None, typer.Option("--evidence", metavar="DIR", help="Folder of evidence files. Repeatable.")
    ] = None,
    approval: Annotated[
        list[Path] | None, typer.Option("--approval", metavar="FILE", help="A document that the card names by hash.")
    ] = None,
    statement: Annotated[
        list[Path] | None, typer.Option("--statement", metavar="FILE", help="A signed sign-off or waiver. Repeatable.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option("--cohort", metavar="TABLE", help="The training cases, to ask the consent registry.")
    ] = None,
    technical_file: Annotated[
        Path | None, typer.Option("--technical-file", metavar="DIR", help="Draft what regulators ask for.")
    ] = None,
    release: Annotated[
        Path | None, typer.Option("--release", metavar="OUT", help="Write the released package, when all is met.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="The signing key of the released package.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show every item of the gate with the evidence that was read, or what is missing; exit 1 until all are met."""

    def body(session: Session) -> Answer:
        from vesalius.core.errors import AccessError, UsageError
        from vesalius.governance import ethics
        from vesalius.governance import technical_file as drafts
        from vesalius.governance.ethics import Evidence
        from vesalius.models.trust import read_store

        if release is not None and key is None:
            raise UsageError("a released package is signed", expected="--release OUT with --key FILE")
        trust = read_store(session.settings.home)
        given = (evidence or (), approval or (), statement or ())
        with _opened(package, session) as opened:
            read = Evidence(*given, _judgement(session, cohort), trust)
            found = ethics.review(opened, read)
            written = drafts.write(opened, found, technical_file) if technical_file is not None else ()
            if release is not None and key is not None and found.ready:
                _release(opened, found, read, release, key, passphrase_file, force)
        data = {**asdict(found), "ready": found.ready, "technical_file": [str(path) for path in written]}
        data["released"] = str(release) if release is not None and found.ready else None
        open_items = [item.id for item in found.items if not item.passes]
        fix = "see each item"
        error = None if found.ready else AccessError("the gate is not passed", found=", ".join(open_items), fix=fix)
        return Answer(data, lambda console: _show(console, found), (), error)

    raise typer.Exit(perform("ethics review", Flags(json, quiet, verbose), body))


@app.command(
    epilog="Example:  vesalius ethics sign PACKAGE signed.json --key me.key --name 'Ada Chen' --role radiologist"
)
def sign(  # noqa: PLR0913 - one parameter per option of the command line
    package: PackageArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The signed statement to write.")],
    key: SigningKey,
    name: Annotated[str, typer.Option("--name", help="Your name.")],
    role: Annotated[str, typer.Option("--role", help="In which role you sign.")],
    text: Annotated[str, typer.Option("--text", help="What you state, in a sentence.")],
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", metavar="ITEM", help="A subgroup gap that you accept, as the review names it."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Sign a package off, or waive what a review found, by your own key; it holds for exactly this package."""

    def body(session: Session) -> Answer:
        import json as texts

        from vesalius import keys
        from vesalius.cli.options import new_file
        from vesalius.governance import statements
        from vesalius.io.atomic import write_text

        new_file(out, force)
        own = keys.load(key, kind="signing", passphrase=passphrase(passphrase_file))
        with _opened(package, session) as opened:
            made = statements.make(opened, own, name=name, role=role, text=text, waives=tuple(waive or ()))
        write_text(out, texts.dumps(made, indent=1) + "\n")
        kind = made["statement"]["kind"]
        return Answer({"file": str(out), **made["statement"]}, lambda console: console.print(f"{kind} in {out}"))

    raise typer.Exit(perform("ethics sign", Flags(json, quiet, verbose), body))


def _opened(package: Path, session: Session) -> Package:
    from vesalius.models.store import open_named

    return open_named(session.settings.home, package, accept_licence=LICENCES)


def _judgement(session: Session, cohort: Path | None) -> Judgement | None:
    if cohort is None:
        return None
    from vesalius.cli.tables import columns
    from vesalius.governance.consent import Purpose, Registry

    rows = columns(cohort, (("patient_id", "patient"), ("basis",))).values()
    with Registry(session.settings.home / "consent.sqlite") as registry:
        return registry.judge([row[0] for row in rows], [row[1] for row in rows], purpose=Purpose.TRAINING)


def _release(
    package: Package, found: Review, read: Evidence, out: Path, key: str, words: Path | None, force: bool
) -> None:
    from vesalius import keys
    from vesalius.governance import ethics

    own = keys.load(key, kind="signing", passphrase=passphrase(words))
    ethics.release(package, found, read, out, key=own, force=force)


def _show(console: Console, found: Review) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("item", "standing", "evidence, or what is missing", box=None, pad_edge=False)
    styles = {"met": "green", "waived": "yellow", "missing": "red", "failed": "bold red"}
    for item in found.items:
        said = [*item.evidence, *([f"needed: {item.needed}"] if item.needed else [])]
        table.add_row(Text(item.id), Text(str(item.standing), style=styles[item.standing]), Text("\n".join(said)))
    console.print(table)
    console.print(f"{found.package} {found.version}: {'ready' if found.ready else 'NOT READY'} for release")
