"""`vesalius models list | info | verify | import | export | trust | measure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import AcceptLicence, Force, Json, PackageName, Quiet, Runtime, Verbose, noun
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from vesalius.cli.session import Session

app = noun(
    "Model packages under VESALIUS_HOME: kept, checked, passed on.",
    "Examples:  vesalius models list  ·  vesalius models import model.vesalius  ·  vesalius models info NAME  ·  "
    "vesalius models verify NAME  ·  vesalius models measure NAME  ·  vesalius models export NAME model.vesalius  ·  "
    "vesalius models trust KEY.pub",
)


@app.command(name="list")
def list_(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List the packages of the store, every file checked: version, kind, status, signature, licence."""

    def body(session: Session) -> Answer:
        from vesalius.cli.models_answers import listing

        return listing(session)

    raise typer.Exit(perform("models list", Flags(json, quiet, verbose), body))


@app.command()
def info(package: PackageName, json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show the card of a package: what it is for and not for, what it reads, how well it does, what it lacks."""

    def body(session: Session) -> Answer:
        from vesalius.cli.models_answers import card_of

        return card_of(session, package)

    raise typer.Exit(perform("models info", Flags(json, quiet, verbose), body))


@app.command()
def verify(
    package: PackageName,
    runtime: Runtime = None,
    accept_licence: AcceptLicence = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check hashes, signature and golden outputs of a package on this machine; exit 1 when one does not hold."""

    def body(session: Session) -> Answer:
        from vesalius.cli.models_answers import verified

        return verified(session, package, tuple(accept_licence or ()))

    raise typer.Exit(perform("models verify", Flags(json, quiet, verbose, {"runtime": runtime}), body))


@app.command(name="import")
def import_(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Folder or .vesalius file.")],
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Copy a package into the store; a tampered one, or one with code inside, is refused."""

    def body(session: Session) -> Answer:
        from vesalius.cli.models_answers import imported

        return imported(session, package, force)

    raise typer.Exit(perform("models import", Flags(json, quiet, verbose), body))


@app.command()
def export(
    package: PackageName,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .vesalius file to write.")],
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a package as one file, for another machine."""

    def body(session: Session) -> Answer:
        from vesalius.models.store import export_package

        digest = export_package(session.settings.home, package, out, force=force)
        data = {"file": str(out), "digest": digest}
        return Answer(data, lambda console: console.print(f"{out}\nsha256 {digest}", soft_wrap=True))

    raise typer.Exit(perform("models export", Flags(json, quiet, verbose), body))


@app.command()
def trust(
    key: Annotated[Path, typer.Argument(metavar="KEY.pub", help="A public signing key, from whom you know.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Trust what this key signs: packages, sign-offs and waivers. Ask its owner for the id by another way first."""

    def body(session: Session) -> Answer:
        from vesalius.models import trust as store

        known = store.trust(session.settings.home, key)
        data: dict[str, Any] = {"id": known.id, "store": str(session.settings.home / "trust")}
        return Answer(data, lambda console: console.print(f"trusted: signing key {known.id}", soft_wrap=True))

    raise typer.Exit(perform("models trust", Flags(json, quiet, verbose), body))


@app.command()
def measure(
    package: PackageName,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Threads of a runtime.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what each installed runtime costs per case, and how far it is from the golden outputs."""

    def body(session: Session) -> Answer:
        from vesalius.cli.models_answers import measured

        return measured(session, package)

    raise typer.Exit(perform("models measure", Flags(json, quiet, verbose, {"threads": threads}), body))
