"""`vesalius deidentify IN OUT --key FILE`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Json, PassphraseFile, Quiet, Verbose, passphrase
from vesalius.cli.session import Answer, Flags, log_failures, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.pipeline.deidentify import Request
    from vesalius.privacy import Pseudonyms

MOST_SHOWN = 40
"""Attributes that a dry run prints one by one."""
NOTE_EVERY = 100


def deidentify(  # noqa: PLR0913 - one parameter per option of the command line
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, a folder or a zip.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder; made when missing.")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The pseudonym key: a file, or env:NAME.")],
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="default, or basic: the strict profile alone.")
    ] = "default",
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME", help="Add an option of PS3.15 Annex E. Repeatable.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="Leave an option out. Repeatable.")
    ] = None,
    deface: Annotated[bool, typer.Option("--deface", help="Remove face and ears from CT and MR of heads.")] = False,
    no_face: Annotated[
        str, typer.Option("--no-face", metavar="REASON", help="Why heads show no face; recorded in every file.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, attribute by attribute.")] = False,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes at the same time.")] = None,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output of other parameters.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write de-identified copies of DICOM, NIfTI and JSON files, after DICOM PS3.15 Annex E.

    Examples:

      vesalius keys create --kind pseudonym study.key

      vesalius deidentify dicom/ clean/ --key study.key --dry-run

      vesalius deidentify dicom/ clean/ --key study.key --deface

      vesalius deidentify dicom/ clean/ --key study.key --no-face "skull-stripped"

    A run that was stopped goes on with the same command. OUT.report/ says what was done with every file.
    """

    def body(session: Session) -> Answer:
        from vesalius.pipeline.deidentify import Request
        from vesalius.privacy import choose

        chosen = choose(profile, option or (), without or ())
        secret = _pseudonyms(key, passphrase_file)
        request = Request(source, out, secret, chosen, no_face.strip(), dry_run, force, deface=deface)
        return _answer(session, request)

    raise typer.Exit(perform("deidentify", Flags(json, quiet, verbose, {"workers": workers}), body))


def _pseudonyms(key: str, passphrase_file: Path | None) -> Pseudonyms:
    from vesalius import keys
    from vesalius.privacy import Pseudonyms

    secret = keys.load(key, kind="pseudonym", passphrase=passphrase(passphrase_file))
    return Pseudonyms(secret.secret, secret.id)


def _note(session: Session, done: int, count: int) -> None:
    if done == count or done % NOTE_EVERY == 0:
        session.note(f"{done} of {count} files")


def _answer(session: Session, asked: Request) -> Answer:
    from vesalius.pipeline.deidentify import deidentify as run
    from vesalius.privacy.outcome import Result

    request = replace(asked, workers=session.settings.workers, on_file=lambda done, count: _note(session, done, count))
    summary = run(request)
    log_failures(summary.errors, session)
    counts = {str(result): summary.count(result) for result in Result}
    data: dict[str, Any] = {
        "out": str(request.out),
        "report": str(request.report_folder),
        "quarantine": str(request.quarantine_folder),
        "key": request.pseudonyms.key_id,
        "profile": request.profile.name,
        "options": sorted(request.profile.options),
        "deface": request.deface,
        "files": len(summary.lines),
        "patients": summary.patients,
        "results": counts,
        "done_before": summary.done_before,
        "seconds": round(summary.seconds, 3),
        "dry_run": request.dry_run,
        "attributes": [
            {"attribute": name, "action": action, "elements": count}
            for (name, action), count in sorted(summary.attributes.items())
        ],
    }
    return Answer(data, lambda console: _show(console, data), error=summary.error)


def _show(console: Console, data: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    if data["dry_run"]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("attribute", "action", "elements"):
            table.add_column(name)
        rows = data["attributes"]
        for row in rows[:MOST_SHOWN]:
            table.add_row(row["attribute"], row["action"], str(row["elements"]))
        console.print(table)
        if len(rows) > MOST_SHOWN:
            console.print(Text(f"... {len(rows)} rows in all; --json prints every one"))
    found = ", ".join(f"{count} {name}" for name, count in data["results"].items() if count)
    console.print(Text(f"{data['files']} files of {data['patients']} patients: {found}"), soft_wrap=True)
    if data["dry_run"]:
        console.print(Text("nothing was written"))
        return
    console.print(Text(f"files: {data['out']}\nreport: {data['report']}"), soft_wrap=True)
    if data["results"]["quarantined"]:
        console.print(Text(f"a person must look at: {data['quarantine']}"), soft_wrap=True)
