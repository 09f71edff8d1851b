"""`vesalius train TASK.yaml --out RUN`: from a table of cases to a model package, judged on cases it did not see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.options import Json, Quiet, Verbose
from vesalius.cli.session import Answer, Flags, Session, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.train.run import Run

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wish:
    """The options as they were typed."""

    task: Path
    out: Path
    budget: str
    data: Path | None
    resume: bool
    folds_only: bool
    random_labels: bool
    force: bool


def train(  # noqa: PLR0913 - one parameter per option of the command line
    task: Annotated[Path, typer.Argument(metavar="TASK", help="What is learned from what: YAML; see docs, task.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run; made when missing.")],
    budget: Annotated[str, typer.Option("--budget", metavar="NAME", help="A budget of the task, as small.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="TABLE", help="Instead of the task's own table.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take up a run that was interrupted.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="At most so many; same number, same weights.")
    ] = None,
    folds_only: Annotated[bool, typer.Option("--folds-only", help="Judge by the folds; train no final model.")] = False,
    random_labels: Annotated[
        bool, typer.Option("--random-labels", help="Exchange labels between patients: the control.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Begin anew where another run stands.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a model and the classical one beside it; judge both on cases that they did not see; write packages.

    Examples:

      vesalius train pneumonia.yaml --out run --budget small

      vesalius train pneumonia.yaml --out run --resume

      vesalius train pneumonia.yaml --out control --random-labels --folds-only
    """
    wish = Wish(task, out, budget, data, resume, folds_only, random_labels, force)

    def body(session: Session) -> Answer:
        return _answer(session, wish)

    raise typer.Exit(perform("train", Flags(json, quiet, verbose, {"threads": threads}), body))


def _answer(session: Session, wish: Wish) -> Answer:
    from vesalius.core.errors import IncompleteError, OutputError
    from vesalius.train.run import RunOptions
    from vesalius.train.run import train as trained

    if wish.out.exists() and not wish.out.is_dir():
        raise OutputError(f"{wish.out} is a file", expected="a folder, new or old")
    options = RunOptions(
        session.settings.threads, wish.folds_only, wish.random_labels, wish.force, session.settings.home
    )
    with _watched(session) as watch:
        run = trained(
            wish.task, wish.out, budget=wish.budget, resume=wish.resume, data=wish.data, progress=watch, options=options
        )
    error = None
    if run.status != "complete":
        error = IncompleteError(f"the run ended early: {run.status}", found=str(run.info.get("stopped", "")),
                                fix="--resume with a larger limit goes on")  # fmt: skip
    content = {"folder": str(run.folder), **{name: run.info.get(name) for name in _SHOWN}}
    return Answer(content, lambda console: _show(console, run), run.warnings, error)


_SHOWN = ("name", "kind", "status", "control", "cases", "patients", "left_out", "candidates", "winner", "comparison",
          "results", "energy", "seconds")  # fmt: skip


@contextmanager
def _watched(session: Session) -> Iterator[Watch | None]:
    """Give what shows how far the run is: a bar on a terminal, a line per piece of work elsewhere."""
    if session.flags.quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield _lines(session)


def _lines(session: Session) -> Watch:
    began, last = time.monotonic(), {"what": ""}

    def say(what: str, done: int, count: int) -> None:
        if what != last["what"]:
            last["what"] = what
            session.note(f"[{time.monotonic() - began:6.1f} s] {what}")

    return say


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        bar = display.add_task("reading cases", total=None)
        yield lambda what, done, count: display.update(bar, description=what, completed=done, total=count)


def _show(console: Console, run: Run) -> None:
    from rich.table import Table
    from rich.text import Text

    info: Any = run.info
    table = Table("figure", *run.candidates, box=None, pad_edge=False)
    rows: dict[str, dict[str, str]] = {}
    for candidate, found in (info.get("results") or {}).items():
        for one in found.get("metrics", ()):
            rows.setdefault(one["name"], {})[candidate] = f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
    for name, values in rows.items():
        table.add_row(name, *(values.get(candidate, "") for candidate in run.candidates))
    if rows:
        console.print(table)
    told = info.get("comparison")
    if told and "difference" in told:
        reach = f"{told['difference']:+.3f} ({told['low']:+.3f} to {told['high']:+.3f})"
        console.print(
            Text(f"{told['figure']}, {told['first']} against {told['second']}: {reach}: {told['winner']}"),
            soft_wrap=True,
        )
    for candidate in run.candidates:
        if run.package(candidate).is_dir():
            console.print(Text(str(run.package(candidate))), soft_wrap=True)
