"""`vesalius check DATA --out DIR`: what is wrong with a data set before anything learns from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Json, Quiet, Verbose
from vesalius.cli.session import Answer, Flags, Session, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.core.cohort import Cohort
    from vesalius.train.check import CheckReport

Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="NAME=OWN,...", help="Your names of columns, as label=Group,patient_id=Subject."),
]
Layout = Annotated[
    str | None, typer.Option("--layout", metavar="NAME", help="table, folders, medmnist or nnunet; found by default.")
]
Basis = Annotated[
    str | None,
    typer.Option(
        "--basis", metavar="VALUE", help="For cases without one: registry:..., licence:..., waiver:..., development."
    ),
]


@dataclass(frozen=True)
class Source:
    """Which cohort, as it was typed."""

    path: Path
    columns: str | None = None
    layout: str | None = None
    basis: str | None = None

    def read(self) -> Cohort:
        """Return the cohort.

        Raises:
            UsageError: no such file, or `--columns` that is not understood.
            ReadError: it cannot be read.
        """
        from vesalius.io.cohort import read_cohort

        return read_cohort(self.path, columns=self._columns(), layout=self.layout, basis=self.basis)

    def _columns(self) -> dict[str, str] | None:
        from vesalius.core.errors import UsageError

        if self.columns is None:
            return None
        found = {}
        for part in self.columns.split(","):
            name, sign, own = part.partition("=")
            if not sign or not name.strip() or not own.strip():
                raise UsageError(
                    "--columns is not understood", found=part, expected="label=Group,patient_id=Subject ID"
                )
            found[name.strip()] = own.strip()
        return found


def check(  # noqa: PLR0913 - one parameter per option of the command line
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Table, folder per class, MedMNIST .npz, or nnU-Net raw folder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of check.json and check.<language>.html.")],
    columns: Columns = None,
    layout: Layout = None,
    basis: Basis = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", help="Draws of each permutation test.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the permutations.")] = 0,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Processes that read files.")] = None,
    language: Annotated[str | None, typer.Option(help="en, zh or en,zh.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a check of other content.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check a data set: unreadable files, copies, leaks, labels, masks, shortcuts that are not anatomy.

    Exit 1 when there are errors, 0 with warnings only.

    Examples:

      vesalius check labels.csv --out check

      vesalius check study.csv --columns label=Group,patient_id=Subject --language en,zh --out check
    """

    def body(session: Session) -> Answer:
        return _answer(session, Source(data, columns, layout, basis), out, (draws, seed), force)

    flags = Flags(json, quiet, verbose, {"language": language, "workers": workers})
    raise typer.Exit(perform("check", flags, body))


def _answer(session: Session, source: Source, out: Path, numbers: tuple[int, int], force: bool) -> Answer:
    from vesalius.cli.methods_answers import settle
    from vesalius.core.errors import IncompleteError, OutputError, UsageError
    from vesalius.report import dataset
    from vesalius.report.phrases import Phrases
    from vesalius.train.check import CheckOptions
    from vesalius.train.check import check as checked

    if numbers[0] < 100:
        raise UsageError("too few draws for a p-value of 0.01", found=str(numbers[0]), expected="100 or more")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", expected="a folder, new or old")
    options = CheckOptions(session.settings.workers, *numbers)
    report = checked(source.read(), options, progress=progress(session))
    made = dict(dataset.check_files(report, source=str(source.path), languages=session.settings.language))
    files: dict[Path, Callable[[Path], object]] = {out / name: _writer(content) for name, content in made.items()}
    written = settle(files, force=force)
    errors, said = report.of("error"), Phrases("en")
    error = None
    if errors:
        error = IncompleteError(
            f"the data set has {len(errors)} error(s)",
            found=said.say(errors[0].message),
            fix=f"see {out / f'check.{session.settings.language[0]}.html'}",
        )
    content = {"files": written, **dataset.check_data(report)}
    warnings = tuple(said.say(one.message) for one in report.of("warning"))
    shown = Phrases(session.settings.language[0])
    return Answer(
        content,
        lambda console: _show(console, report, shown, written),
        () if not session.flags.json else warnings,
        error,
    )


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def progress(session: Session) -> Callable[[int, int], None]:
    """Return what tells on standard error how many cases are read, every tenth part of them."""
    told = {"last": 0}

    def say(done: int, count: int) -> None:
        tenth = done * 10 // count
        if count >= 50 and tenth > told["last"]:
            told["last"] = tenth
            session.note(f"{done} of {count} cases read")

    return say


def _show(console: Console, report: CheckReport, phrases: Any, files: list[str]) -> None:
    from rich.text import Text

    styles = {"error": "red", "warning": "yellow", "note": "dim"}
    for finding in report.findings:
        word = phrases.text(f"train.check.level.{finding.level}")
        console.print(
            Text(f"{word}: ", style=styles[finding.level]).append(phrases.say(finding.message), style=""),
            soft_wrap=True,
        )
        if 0 < len(finding.cases) < len(report.cohort):
            names = [report.cohort.case_name(row) for row in finding.cases[:5]]
            more = f" (+{len(finding.cases) - 5})" if len(finding.cases) > 5 else ""
            console.print(Text(f"    {phrases.joined(names)}{more}", style="dim"), soft_wrap=True)
    for path in files:
        console.print(Text(path), soft_wrap=True)
