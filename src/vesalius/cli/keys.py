"""`vesalius keys create | check | rotate | relink`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Json, PassphraseFile, Quiet, Verbose, noun, passphrase
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from vesalius.cli.session import Session

app = noun(
    "Key files: made, checked, and replaced without writing the data again.",
    "Examples:  vesalius keys create --kind master FILE [--passphrase | --passphrase-file FILE]  ·  "
    "vesalius keys check FILE  ·  vesalius keys rotate --from OLD --to NEW FOLDER [--object-id NAME]  ·  "
    "vesalius keys relink PSEUDONYM --key FILE --candidates TABLE",
)


@app.command(epilog="Example:  vesalius keys create --kind master hospital.key")
def create(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file; never overwritten.")],
    kind: Annotated[str, typer.Option("--kind", help="pseudonym, master, signing or audit.")],
    protect: Annotated[bool, typer.Option("--passphrase", help="Seal the file with a passphrase (Argon2id).")] = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a key: mode 600; signing and audit keys also get FILE.pub, which is no secret."""

    def body(session: Session) -> Answer:
        from vesalius import keys

        sealed = passphrase(passphrase_file, new=True)() if protect or passphrase_file else None
        key = keys.create(kind, file, passphrase=sealed)
        public = keys.public_path(file) if key.kind.has_public_half else None
        data = {"kind": str(key.kind), "id": key.id, "file": str(file), "public": str(public) if public else None}
        files = f"{file} (keep it secret)" + (f"\n{public} (give it to whoever verifies)" if public else "")
        return Answer(data, lambda console: console.print(f"{key.kind} key {key.id}\n{files}", soft_wrap=True))

    raise typer.Exit(perform("keys create", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius keys check hospital.key")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Key files, or FILE.pub.")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what a key is, after every test that its use makes: form, id, who can read it."""

    def body(session: Session) -> Answer:
        from dataclasses import asdict

        from vesalius import keys

        given = passphrase(passphrase_file) if passphrase_file else None
        found = [{"file": str(file), **asdict(keys.check(str(file), passphrase=given))} for file in files]
        return Answer({"keys": found}, lambda console: _show(console, found))

    raise typer.Exit(perform("keys check", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius keys rotate --from old.key --to new.key store/")
def rotate(  # noqa: PLR0913 - one parameter per option of the command line
    objects: Annotated[list[Path], typer.Argument(metavar="OBJECT...", help="Encrypted files, or folders of them.")],
    old: Annotated[str, typer.Option("--from", metavar="KEY", help="The master key that opens them now.")],
    new: Annotated[str, typer.Option("--to", metavar="KEY", help="The master key that shall open them.")],
    object_id: Annotated[
        str, typer.Option("--object-id", metavar="NAME", help="Id of a single file that was renamed.")
    ] = "",
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Give encrypted objects another master key; 144 bytes of each change, the data are not written again."""

    def body(session: Session) -> Answer:
        from vesalius import keys
        from vesalius.cli.encrypt import outcome_answer
        from vesalius.privacy.encryption_tree import Outcome, rotate_tree

        given = passphrase(passphrase_file)
        first, second = (keys.load(one, kind="master", passphrase=given) for one in (old, new))
        parts = [
            rotate_tree(path, old_for=lambda _: first, new=second, object_id=object_id, progress=lambda *_: None)
            for path in objects
        ]
        names = ("done", "skipped", "left_out", "failed")
        whole: dict[str, Any] = {name: tuple(one for part in parts for one in getattr(part, name)) for name in names}
        return outcome_answer("rotated", Outcome(**whole))

    raise typer.Exit(perform("keys rotate", Flags(json, quiet, verbose), body))


@app.command(epilog="Example:  vesalius keys relink VABCDEFGHIJKLMNOP --key pseudonym.key --candidates patients.csv")
def relink(
    pseudonym: Annotated[str, typer.Argument(metavar="PSEUDONYM", help="The patient id of a de-identified object.")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The pseudonym key: a file, or env:NAME.")],
    candidates: Annotated[
        Path, typer.Option("--candidates", metavar="TABLE", help="CSV with a column patient_id of who it may be.")
    ],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find which of the listed patients a pseudonym stands for; no list of pseudonyms is kept anywhere.

    The answer is the line of the table, never the patient's id.
    """

    def body(session: Session) -> Answer:
        from vesalius import keys
        from vesalius.cli.tables import column
        from vesalius.privacy import Pseudonyms, relink

        secret = keys.load(key, kind="pseudonym", passphrase=passphrase(passphrase_file))
        listed = column(candidates, ("patient_id", "patient", "PatientID"))
        row = relink(pseudonym, Pseudonyms(secret.secret, secret.id), {str(line): one for line, one in listed.items()})
        data = {"line": int(row) if row else None, "candidates": len(listed), "key": secret.id}
        said = f"line {row} of {candidates}" if row else f"none of the {len(listed)} patients of {candidates}"
        warnings = () if session.settings.audit else ("this is not on record: VESALIUS_AUDIT is off",)
        touched = (("patient", pseudonym),)
        return Answer(data, lambda console: console.print(said, soft_wrap=True), warnings, touched=touched)

    raise typer.Exit(perform("keys relink", Flags(json, quiet, verbose), body))


def _show(console: Any, found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("file", "kind", "id", "made", "", box=None, pad_edge=False)
    for one in found:
        kind = "public half" if one["public"] else "sealed with a passphrase" if one["passphrase"] else "secret"
        table.add_row(one["file"], str(one["kind"]), one["id"], one["created"], kind)
    console.print(table)
