"""`vesalius package RUN --out FILE`: a run becomes a model package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli.options import Force, Json, PassphraseFile, Quiet, Verbose, passphrase
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from vesalius.cli.session import Session


def package(  # noqa: PLR0913 - one parameter per option of the command line
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of vesalius train.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .vesalius file, or a folder.")],
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="NAME", help="network, classical or baseline; the winner else.")
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", metavar="FILE", help="YAML with parts of the card: intended_use, not_for ..."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option("--evidence", metavar="DIR", help="Folder of vesalius check, or of other evidence. Repeatable."),
    ] = None,
    sign: Annotated[str | None, typer.Option("--sign", metavar="KEY", help="Signing key: a file, or env:NAME.")] = None,
    passphrase_file: PassphraseFile = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Threads of measured runtimes.")] = None,
    no_measure: Annotated[bool, typer.Option("--no-measure", help="Do not measure the runtimes.")] = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make the model package of a run. It stays a draft: `vesalius ethics review --release` alone changes that.

    Examples:

      vesalius package run --out model.vesalius

      vesalius package run --candidate network --card card.yaml --evidence check --sign my.key --out model.vesalius
    """

    def body(session: Session) -> Answer:
        from vesalius import keys
        from vesalius.models.card import missing
        from vesalius.pipeline.package import Wanted, make

        key = keys.load(sign, kind="signing", passphrase=passphrase(passphrase_file)) if sign else None
        wanted = Wanted(
            candidate or "", card, tuple(evidence or ()), key, session.settings.threads, not no_measure, force
        )
        made = make(run, out, wanted)
        lacking = missing(made.card)
        data = {
            "file": str(out), "digest": made.digest, "candidate": made.candidate, "name": made.card.name,
            "version": made.card.version, "status": made.card.status, "signed_by": key.id if key else "",
            "evidence": list(made.evidence), "missing": list(lacking), "failures": dict(made.failures),
            "runtimes": [one.model_dump(mode="json") for one in made.card.runtimes],
        }  # fmt: skip
        lines = [f"{out}: {made.card.name}@{made.card.version}, {made.candidate}, {made.card.status}"]
        lines += [f"for a release the card still lacks: {', '.join(lacking)}"] if lacking else []
        return Answer(data, lambda console: console.print("\n".join(lines), soft_wrap=True))

    raise typer.Exit(perform("package", Flags(json, quiet, verbose, {"threads": threads}), body))
