"""`vesalius predict PACKAGE (FILES|TABLE) --out DIR`: what a model says of each case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli.check import Columns, Source
from vesalius.cli.options import AcceptLicence, Json, PackageName, Quiet, Runtime, Verbose
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.core.cohort import Cohort
    from vesalius.core.errors import VesaliusError
    from vesalius.pipeline.predict import Predictions

TABLES = (".csv", ".tsv", ".parquet", ".npz")


def predict(  # noqa: PLR0913 - one parameter per option of the command line
    package: PackageName,
    cases: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Images, folders of slices, ARCHIVE.npz#3; or one table.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of predictions.csv and predictions.json.")],
    columns: Columns = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Cases at the same time.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Threads per case.")] = None,
    runtime: Runtime = None,
    accept_licence: AcceptLicence = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless every case is completed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace predictions of other content.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write what a model package says of each case; a bad file is one failed line, the others go on.

    Stopped or failed: give the same command again; what is done is kept.

    Examples:

      vesalius predict pneumonia films/*.png --out answers

      vesalius predict model.vesalius table.csv --workers 2 --out answers
    """
    accepted = tuple(accept_licence or ())

    def body(session: Session) -> Answer:
        from vesalius.models.store import open_named
        from vesalius.pipeline.predict import Options
        from vesalius.pipeline.predict import predict as predicted

        settings = session.settings
        cohort = _cohort(cases, columns)
        options = Options(
            settings.home, settings.workers, settings.threads, settings.runtime, accepted, force, progress(session)
        )
        with open_named(settings.home, package, accept_licence=accepted) as opened:
            touched = (("package", f"{opened.card.name}@{opened.card.version} {opened.digest}"),)
            found = predicted(opened, cohort, out, options)
        return _answer(session, found, out, strict, touched)

    flags = Flags(json, quiet, verbose, {"workers": workers, "threads": threads, "runtime": runtime})
    raise typer.Exit(perform("predict", flags, body))


def _cohort(cases: list[str], columns: str | None) -> Cohort:
    from vesalius.core.errors import UsageError
    from vesalius.pipeline.predict import listed

    if len(cases) == 1 and cases[0].lower().endswith(TABLES):
        return Source(Path(cases[0]), columns).read()
    if columns is not None:
        raise UsageError("--columns names columns of a table", found=", ".join(cases[:3]), expected="one table")
    return listed(cases)


def progress(session: Session) -> Callable[[int, int], None]:
    """Return what tells on standard error how many cases are done, every tenth part of them."""
    told = {"last": 0}

    def say(done: int, count: int) -> None:
        tenth = done * 10 // count
        if count >= 20 and tenth > told["last"]:
            told["last"] = tenth
            session.note(f"{done} of {count} cases")

    return say


def _answer(
    session: Session, found: Predictions, out: Path, strict: bool, touched: tuple[tuple[str, str], ...]
) -> Answer:
    from vesalius.cli.session import log_failures
    from vesalius.pipeline.predictions import ABOUT, TABLE

    log_failures(found.errors, session)
    data = {**found.about, "files": [str(out / TABLE), str(out / ABOUT)]}
    mark = str(found.about["watermark"])
    return Answer(data, lambda console: _show(console, found, out), (mark,) if mark else (), _error(found, strict),
                  touched)  # fmt: skip


def _error(found: Predictions, strict: bool) -> VesaliusError | None:
    from vesalius.core.errors import IncompleteError
    from vesalius.pipeline.predictions import FAILED, TABLE

    failed, completed = found.count(FAILED), found.count("completed")
    first = next((line for line in found.lines if line.outcome == FAILED), None)
    if first is not None:
        return IncompleteError(f"{failed} of {len(found.lines)} cases failed", found=f"{first.path}: {first.message}",
                               fix=f"see {TABLE}; the same command tries them again")  # fmt: skip
    if strict and completed < len(found.lines):
        return IncompleteError(f"{len(found.lines) - completed} of {len(found.lines)} cases are not completed",
                               fix=f"see {TABLE}")  # fmt: skip
    return None


def _show(console: Console, found: Predictions, out: Path) -> None:
    from rich.text import Text

    from vesalius.pipeline.predictions import OUTCOMES, TABLE

    counts = ", ".join(f"{found.count(name)} {name}" for name in OUTCOMES if found.count(name))
    console.print(Text(f"{len(found.lines)} cases: {counts}"))
    for line in found.lines[:10]:
        numbers = ", ".join(f"{value:.3g}" for value in line.values[:6])
        console.print(
            Text(f"{line.path or 'case'}: {line.outcome} {line.predicted} {numbers}".rstrip()), soft_wrap=True
        )
    console.print(Text(str(out / TABLE)), soft_wrap=True)
