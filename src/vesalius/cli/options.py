"""Options that the nouns of the command line share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, errors included.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show where an internal failure happened.")]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT.")]
PackageName = Annotated[
    str,
    typer.Argument(metavar="PACKAGE", help="Folder, .vesalius file, or a name of `models list`: NAME, NAME@VERSION."),
]
AcceptLicence = Annotated[
    list[str] | None,
    typer.Option("--accept-licence", metavar="CLASS", help="Use weights of this class: research, unclear. Repeatable."),
]
Runtime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="auto, onnxruntime, openvino or torch; auto else.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="First line is the passphrase; mode 600. Without it you are asked."
    ),
]


def noun(text: str, examples: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(
        help=text,
        epilog=examples,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def passphrase(file: Path | None, *, new: bool = False) -> Callable[[], str]:
    """Return what gives the passphrase: the first line of a file, or a person at the terminal (twice when new)."""

    def given() -> str:
        return _from_file(file) if file is not None else _asked(new)

    return given


def _from_file(file: Path) -> str:
    from vesalius.core.errors import KeyFileError
    from vesalius.keys.files import refuse_shared

    try:
        with file.open(encoding="utf-8") as stream:
            import os

            refuse_shared(file, os.fstat(stream.fileno()))
            return stream.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise KeyFileError(f"{file} cannot be read", expected="a file whose first line is the passphrase") from None


def _asked(new: bool) -> str:
    from getpass import getpass

    from vesalius.core.errors import KeyFileError

    if not sys.stdin.isatty():
        raise KeyFileError("a passphrase is needed and nobody can be asked", fix="give --passphrase-file FILE")
    first = getpass("passphrase: ", stream=sys.stderr)
    if new and getpass("again: ", stream=sys.stderr) != first:
        raise KeyFileError("the two passphrases differ", fix="type it again")
    return first


def new_file(path: Path, force: bool) -> None:
    """Refuse to write over a file without `--force`.

    Raises:
        OutputExistsError: something stands there.
    """
    from vesalius.core.errors import OutputExistsError

    if path.exists() and not force:
        raise OutputExistsError("the output exists", found=str(path), fix="choose another name, or --force")
