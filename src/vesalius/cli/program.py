"""The commands and their options; what they do is imported when they run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vesalius import __version__
from vesalius.cli.access import app as access
from vesalius.cli.audit import app as audit
from vesalius.cli.check import check
from vesalius.cli.consent import app as consent
from vesalius.cli.deidentify import deidentify
from vesalius.cli.encrypt import decrypt, encrypt
from vesalius.cli.enhance import app as enhance
from vesalius.cli.ethics import app as ethics
from vesalius.cli.evaluate import evaluate
from vesalius.cli.features import app as features
from vesalius.cli.keys import app as keys
from vesalius.cli.models import app as models
from vesalius.cli.options import Json, Quiet
from vesalius.cli.package import package
from vesalius.cli.predict import predict
from vesalius.cli.segment import app as segment
from vesalius.cli.session import (
    FAILED,
    GIVEN,
    INTERRUPTED,
    USAGE,
    Answer,
    Flags,
    Session,
    interrupted,
    missing,
    perform,
    stop_early,
)
from vesalius.cli.split import split
from vesalius.cli.train import train

app = typer.Typer(
    name="vesalius",
    help="AI for medical imaging, offline: a study goes in, a report a doctor can read comes out.\n\n"
    "For research use only. Not a medical device.",
    epilog="First steps:  vesalius doctor  ·  vesalius info STUDY  ·  vesalius analyze STUDY --out DIR",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Log more; show where an internal failure happened.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vesalius {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Vesalius."""


@app.command()
def analyze(  # noqa: PLR0913 - one parameter per option of the command line
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="DICOM folder or zip, NIfTI, NRRD, MetaImage, picture.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the reports; made when missing.")],
    application: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; see `vesalius applications`. Repeatable.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Read this series, whatever would be chosen; the guard still looks."),
    ] = None,
    formats: Annotated[
        str | None, typer.Option(help="html,pdf,csv,fhir,nifti,seg,sr,dicom-pdf,sc; all by default.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en, zh or en,zh.")] = None,
    geometry: Annotated[
        str, typer.Option(help="Irregular slices: reject, or regrid to a derived series that is written too.")
    ] = "reject",
    keep_intermediate: Annotated[
        bool,
        typer.Option("--keep-intermediate", help="Also write bias-corrected image, probability maps and the like."),
    ] = False,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Studies at the same time.")] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads per study; does not change results.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, on which series, at what cost.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless every analysis is completed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace reports of other content; never bypasses a guard.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Analyse a study, or a folder of studies, and write reports.

    Examples:

      vesalius analyze head.nii.gz --out results

      vesalius analyze dicom/ --application brain-mri --language en,zh --out results

      vesalius analyze cohort/ --workers 4 --formats csv,nifti --out results

    Stopped or failed runs: give the same command again; what is done is kept.
    """
    names = tuple(application or ())

    def body(session: Session) -> Answer:
        from vesalius.cli.analyze import Wish, answer

        wish = Wish(study, out, names, series, formats, geometry, keep_intermediate, dry_run, strict, force)
        return answer(session, wish)

    flags = Flags(json, quiet, verbose, {"language": language, "workers": workers, "threads": threads})
    raise typer.Exit(perform("analyze", flags, body))


@app.command()
def info(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="File, folder or zip.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the studies and series of a file or folder, with the geometry verdict of each.

    Examples:

      vesalius info dicom/

      vesalius info head.nii.gz --json
    """

    def body(session: Session) -> Answer:
        from vesalius.cli.info import answer

        return answer(session, study)

    raise typer.Exit(perform("info", Flags(json, quiet, verbose), body))


@app.command()
def convert(  # noqa: PLR0913 - one parameter per option of the command line
    source: Annotated[Path, typer.Argument(metavar="IN", help="File, or folder of DICOM slices.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File, or folder for DICOM and for several series.")],
    to: Annotated[
        str | None, typer.Option(help="nifti, nrrd, mha or dicom; by default what OUT's suffix says.")
    ] = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Only this series.")] = None,
    modality: Annotated[
        str | None, typer.Option(help="CT, MR or PT: for DICOM out of a file that does not tell its modality.")
    ] = None,
    geometry: Annotated[str, typer.Option(help="Irregular slices: reject, or regrid.")] = "reject",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert images between DICOM, NIfTI, NRRD and MetaImage; every voxel keeps its place in the patient.

    Examples:

      vesalius convert dicom/ head.nii.gz

      vesalius convert head.nii.gz slices/ --to dicom --modality MR
    """

    def body(session: Session) -> Answer:
        from vesalius.cli.convert import Wish, answer

        return answer(session, Wish(source, out, to, series, modality, geometry, force))

    raise typer.Exit(perform("convert", Flags(json, quiet, verbose), body))


@app.command()
def applications(
    check: Annotated[bool, typer.Option("--check", help="Run the public contract test on each.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the installed applications: what each needs and what it gives."""

    def body(session: Session) -> Answer:
        from vesalius.cli.applications import answer

        return answer(session, check)

    raise typer.Exit(perform("applications", Flags(json, quiet, verbose), body))


@app.command()
def doctor(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Say what is installed, what is missing, and the exact line that installs it."""

    def body(session: Session) -> Answer:
        from vesalius.cli.doctor import answer

        return answer(session)

    raise typer.Exit(perform("doctor", Flags(json, quiet, verbose), body))


app.add_typer(enhance, name="enhance")
app.add_typer(segment, name="segment")
app.add_typer(features, name="features")
app.command()(check)
app.command()(split)
app.command()(evaluate)
app.command()(train)
app.command()(deidentify)
app.command()(encrypt)
app.command()(decrypt)
app.command()(package)
app.command()(predict)
app.add_typer(models, name="models")
app.add_typer(keys, name="keys")
app.add_typer(consent, name="consent")
app.add_typer(audit, name="audit")
app.add_typer(access, name="access")
app.add_typer(ethics, name="ethics")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0, 1 (ran and failed), 2 (wrong usage), 130 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    GIVEN.set(tuple(given))
    try:
        ended: Any = app(args=given, prog_name="vesalius", standalone_mode=False)
    except _parse_errors() as error:
        return stop_early(given, _as_usage(error, given), USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return stop_early(given, interrupted(), INTERRUPTED)
    except ModuleNotFoundError as error:
        return stop_early(given, missing(error), FAILED)
    return ended if isinstance(ended, int) else 0


def _parse_errors() -> type[Exception]:
    """Return the root of the parser's errors; Typer carries its own copy of Click or uses the installed one."""
    kinds: list[Any] = [kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"]
    return kinds[0] if kinds else typer.BadParameter


def _as_usage(error: Any, arguments: list[str]) -> dict[str, str]:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "vesalius"
    found = " ".join(["vesalius", *arguments])
    message = " ".join(str(error.format_message()).split()) or "a command is missing"
    return {"code": "usage", "message": message, "found": found, "expected": "", "fix": f"see: {path} --help"}
