"""`vesalius audit verify | show | export | head`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Force, Json, Quiet, Verbose, noun
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.keys import Key, PublicKey

app = noun(
    "The audit trail: VESALIUS_AUDIT=1 switches it on.",
    "Examples:  vesalius audit verify [--key FILE.pub] [--log FILE] [--head KEPT]  ·  vesalius audit show [--patient "
    "PSEUDONYM] [--object PATH] [--last N]  ·  vesalius audit export OUT --to fhir|dicom  ·  vesalius audit head OUT",
)
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The audit key, or FILE.pub; by default VESALIUS_HOME/keys/audit.key."),
]
LogOption = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="By default VESALIUS_HOME/audit/log.jsonl.")
]


@app.command(epilog="Example:  vesalius audit verify --key audit.key.pub --head kept/head-2026-05.json")
def verify(
    log: LogOption = None,
    key: KeyOption = None,
    head: Annotated[
        list[Path] | None,
        typer.Option("--head", metavar="FILE", help="An older head that was kept elsewhere. Repeatable."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find what was edited, deleted, moved, cut off, regrown or written anew; exit 1 when anything was."""

    def body(session: Session) -> Answer:
        from vesalius.core.errors import TamperedError
        from vesalius.governance.audit import verified

        log_path, head_path = _places(session, log)
        known = _verifying_key(session, key)
        found = verified(log_path, [head_path, *(head or ())], known)
        data = {"lines": found.lines, "chain": found.chain, "problems": found.problems, "notes": found.notes}
        checked = "chain and signed head" if found.chain else "signed head (the chain needs the secret key)"
        lines = [f"{found.lines} lines; checked: {checked}", *(f"FOUND: {one}" for one in found.problems)]
        lines += [] if found.problems else ["nothing was altered"]
        fix = "keep log and head as they are: they are evidence; compare with a backup"
        error = None if found.sound else TamperedError("the audit log was altered", found=found.problems[0], fix=fix)
        return Answer(data, lambda console: console.print("\n".join(lines), soft_wrap=True), found.notes, error)

    raise typer.Exit(perform("audit verify", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius audit show --object study/ --last 5")
def show(
    log: LogOption = None,
    key: KeyOption = None,
    patient: Annotated[str | None, typer.Option("--patient", metavar="PSEUDONYM", help="Only this patient.")] = None,
    object_: Annotated[Path | None, typer.Option("--object", metavar="PATH", help="Only this file or folder.")] = None,
    last: Annotated[int, typer.Option("--last", metavar="N", help="Only the last N.")] = 50,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show lines of the log; with the secret key, reasons are opened and objects are found by name."""

    def body(session: Session) -> Answer:
        from vesalius.governance.audit import entries, opaque

        path, secret = _places(session, log)[0], _secret_key(session, key)
        wanted = set()
        if patient is not None:
            wanted.add(opaque(secret, "patient", patient))
        if object_ is not None:
            wanted.add(opaque(secret, "path", str(object_.resolve())))
        found = [one for one in entries(path, secret) if not wanted or wanted & {name for _, name in one["objects"]}]
        found = found[-last:] if last > 0 else []
        return Answer({"entries": found}, lambda console: _show(console, found))

    raise typer.Exit(perform("audit show", Flags(json, quiet), body))


@app.command(epilog="Example:  vesalius audit export audit.json --to fhir")
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file for fhir, a folder for dicom.")],
    to: Annotated[str, typer.Option("--to", help="fhir (one Bundle) or dicom (one XML message per line).")],
    log: LogOption = None,
    first: Annotated[int, typer.Option("--from", metavar="N", help="From this line on.")] = 1,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the log as FHIR AuditEvent, or as DICOM audit messages (PS3.15 A.5)."""

    def body(session: Session) -> Answer:
        from vesalius.cli.options import new_file
        from vesalius.core.registry import unknown
        from vesalius.governance import audit_export
        from vesalius.governance.audit import entries
        from vesalius.io.atomic import write_bytes, write_text

        if to not in ("fhir", "dicom"):
            raise unknown("format", to, ("fhir", "dicom"))
        lines = islice(entries(_places(session, log)[0]), max(first, 1) - 1, None)
        count = 0
        if to == "fhir":
            new_file(out, force)
            bundle = audit_export.fhir(lines)
            count = len(bundle.get("entry", ()))
            write_text(out, audit_export.as_text(bundle))
        else:
            for line in lines:
                path = out / f"{int(line['n']):09d}.xml"
                new_file(path, force)
                write_bytes(path, audit_export.dicom(line))
                count += 1
        said = f"{count} events in {out}"
        return Answer({"out": str(out), "events": count}, lambda console: console.print(said, soft_wrap=True))

    raise typer.Exit(perform("audit export", Flags(json, quiet), body))


@app.command("head", epilog="Example:  vesalius audit head /media/other-disk/head-2026-05.json")
def keep_head(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to keep it: another disk, another person.")],
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep the signed head of today elsewhere; `audit verify --head` then finds what even the key cannot hide."""

    def body(session: Session) -> Answer:
        from vesalius.cli.options import new_file
        from vesalius.governance.audit import read_head
        from vesalius.io.atomic import write_text

        new_file(out, force)
        head = read_head(_places(session, None)[1])
        write_text(out, head.text())
        said = f"{head.count} lines, signed {head.time}, kept in {out}"
        data = {"count": head.count, "digest": head.digest, "key": head.key_id, "time": head.time}
        return Answer(data, lambda console: console.print(said, soft_wrap=True))

    raise typer.Exit(perform("audit head", Flags(json, quiet), body))


def _places(session: Session, log: Path | None) -> tuple[Path, Path]:
    """Return log and head; beside a log that was named, its own head."""
    home = session.settings.home / "audit"
    head = session.settings.audit_head or home / "head.json"
    if log is None:
        return home / "log.jsonl", head.expanduser()
    beside = log.with_name("head.json")
    return log, beside if session.settings.audit_head is None and beside.exists() else head.expanduser()


def _verifying_key(session: Session, path: Path | None) -> Key | PublicKey:
    from vesalius import keys

    path = path or session.settings.home / "keys" / "audit.key"
    public = path if path.suffix == ".pub" else keys.public_path(path)
    if path.suffix == ".pub" or (not path.exists() and public.exists()):
        return keys.load_public(public, kind="audit")
    return keys.load(path, kind="audit")


def _secret_key(session: Session, path: Path | None) -> Key:
    from vesalius import keys

    return keys.load(path or session.settings.home / "keys" / "audit.key", kind="audit")


def _show(console: Console, found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("n", "time", "user", "action", "outcome", "purpose", "details", box=None, pad_edge=False)
    for one in found:
        parts = [f"{name}={value}" for name, value in one.get("details", {}).items()]
        parts += [one["reason"]] if "reason" in one else []
        words = (one["time"][:19], one["user"], one["action"], one["outcome"], one.get("purpose", ""))
        table.add_row(str(one["n"]), *words, " ".join(parts))
    console.print(table)
