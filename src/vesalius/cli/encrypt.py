"""`vesalius encrypt` and `vesalius decrypt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Force, Json, PassphraseFile, Quiet, Verbose, passphrase
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from vesalius.cli.session import Session
    from vesalius.privacy.encryption_tree import KeyFor, Outcome

SECONDS = 5.0
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="The master key: a file, or env:NAME. Without it: a passphrase."),
]
Source = Annotated[Path, typer.Argument(metavar="IN", help="A file or a folder.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="A file for a file, a folder for a folder.")]


def encrypt(  # noqa: PLR0913 - one parameter per option of the command line
    source: Source,
    out: Target,
    key: KeyOption = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Encrypt files: AES-256-GCM, a data key per file, wrapped by a master key.

    Examples:

      vesalius encrypt studies/ store/ --key hospital.key

    Names of files and folders stay readable; a run that was stopped goes on with the same command.
    """

    def body(session: Session) -> Answer:
        from vesalius import keys
        from vesalius.privacy.encryption_tree import encrypt_tree

        given = passphrase(passphrase_file, new=True)
        if key is None:
            master = keys.from_passphrase(given())
        else:
            master = keys.load(key, kind="master", passphrase=passphrase(passphrase_file))
        outcome = encrypt_tree(source, out, key=master, force=force, progress=_progress(session))
        return outcome_answer("encrypted", outcome, {"out": str(out), "key": master.id})

    raise typer.Exit(perform("encrypt", Flags(json, quiet, verbose), body))


def decrypt(  # noqa: PLR0913 - one parameter per option of the command line
    source: Source,
    out: Target,
    key: KeyOption = None,
    object_id: Annotated[
        str, typer.Option("--object-id", metavar="NAME", help="Id of a single file that was renamed.")
    ] = "",
    passphrase_file: PassphraseFile = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Decrypt files; one that was altered, cut, swapped or sealed with another key is refused by name.

    Examples:

      vesalius decrypt store/ studies/ --key hospital.key
    """

    def body(session: Session) -> Answer:
        from vesalius.privacy.encryption_tree import decrypt_tree

        key_for = _key_for(key, passphrase(passphrase_file))
        told = _progress(session)
        outcome = decrypt_tree(source, out, key_for=key_for, object_id=object_id, force=force, progress=told)
        return outcome_answer("decrypted", outcome, {"out": str(out)})

    raise typer.Exit(perform("decrypt", Flags(json, quiet, verbose), body))


def _key_for(key: str | None, given: Callable[[], str]) -> KeyFor:
    from vesalius import keys
    from vesalius.privacy.encryption_tree import Passphrase

    if key is None:
        return Passphrase(given())
    master = keys.load(key, kind="master", passphrase=given)
    return lambda _: master


def _progress(session: Session) -> Callable[[str, float], None]:
    """Return what tells people how far it is, every few seconds."""
    import time

    last = [time.monotonic()]

    def told(name: str, fraction: float) -> None:
        if time.monotonic() - last[0] > SECONDS:
            last[0] = time.monotonic()
            session.note(f"{fraction:4.0%} {name}")

    return told


def outcome_answer(verb: str, outcome: Outcome, more: dict[str, Any] | None = None) -> Answer:
    """Return what became of the files; each failure with its reason."""
    from vesalius.core.errors import IncompleteError

    failed = [{"file": name, **error.as_dict()} for name, error in outcome.failed]
    data = {**(more or {}), verb: len(outcome.done), "skipped": len(outcome.skipped), "failed": failed}
    data["left_out"] = list(outcome.left_out)
    lines = [f"{len(outcome.done)} {verb}, {len(outcome.skipped)} already so, {len(failed)} failed"]
    lines += [f"{name}: {error}" for name, error in outcome.failed]
    warnings = (f"{len(outcome.left_out)} links or other files left out",) if outcome.left_out else ()
    error: Any = None
    if len(failed) == 1 and not outcome.done:
        error = outcome.failed[0][1]
    elif failed:
        error = IncompleteError(f"{len(failed)} files were not {verb}", fix="see the lines above; the others are done")
    return Answer(data, lambda console: console.print("\n".join(lines), soft_wrap=True), warnings, error)
