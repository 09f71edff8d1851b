"""`vesalius evaluate RUN|PACKAGE [--data TABLE] --out DIR`: what a model is worth, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.check import Columns, Layout, Source
from vesalius.cli.options import AcceptLicence, Json, Quiet, Verbose
from vesalius.cli.session import Answer, Flags, Session, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.evaluate.evaluation import Evaluation, Options
    from vesalius.train.validate_leaks import Planted


@dataclass(frozen=True)
class Wish:
    """What was typed."""

    target: str
    out: Path
    data: Source | None
    control: Path | None
    shift: bool
    formats: tuple[str, ...]
    accepted: tuple[str, ...]
    force: bool


def evaluate(  # noqa: PLR0913 - one parameter per option of the command line
    target: Annotated[
        str | None, typer.Argument(metavar="RUN|PACKAGE", help="Folder of vesalius train; or a package and --data.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of evaluation.*, figures.csv.")] = ...,  # type: ignore[assignment]
    data: Annotated[
        Path | None, typer.Option("--data", metavar="TABLE", help="Cases that the package has not seen, with labels.")
    ] = None,
    columns: Columns = None,
    layout: Layout = None,
    subgroup: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Also judge by this column. Repeatable.")
    ] = None,
    positive: Annotated[
        str, typer.Option(metavar="LABEL", help="The label that counts as positive, of two; found by its name.")
    ] = "",
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="GOAL", help="youden, sensitivity=0.95, specificity=0.95, threshold=0.5. Repeatable."),
    ] = None,
    control: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run of the same task with --random-labels.")
    ] = None,
    no_shift: Annotated[bool, typer.Option("--no-shift", help="Leave out images as from elsewhere.")] = False,
    self_test: Annotated[
        Path | None, typer.Option("--self-test", metavar="DATA", help="Plant leaks in these images; check must say so.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", help="Resamples of patients.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of resamples, permutations, self-test.")] = 0,
    formats: Annotated[str, typer.Option(help="html,pdf,csv,json.")] = "html,pdf,csv,json",
    language: Annotated[str | None, typer.Option(help="en, zh or en,zh.")] = None,
    accept_licence: AcceptLicence = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an evaluation of other content.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a run on its held-out cases, or a package on cases from elsewhere; intervals on everything.

    Examples:

      vesalius evaluate run --out judged --subgroup machine

      vesalius evaluate model.vesalius --data table.csv --out judged --point sensitivity=0.95

      vesalius evaluate --self-test images/ --out self-test
    """

    def body(session: Session) -> Answer:
        if self_test is not None:
            return _self_test(session, Source(self_test, columns, layout), out, seed, force)
        from vesalius.core.errors import UsageError
        from vesalius.evaluate.evaluation import Options

        if target is None:
            raise UsageError("nothing to evaluate", expected="RUN, or PACKAGE with --data, or --self-test DATA")
        given: dict[str, Any] = {"draws": draws, "permutations": max(draws, 100), "seed": seed, "positive": positive}
        if point:
            given["wishes"] = _points(point)
        options = Options(subgroups=tuple(subgroup or ()), **given)
        source = Source(data, columns, layout) if data is not None else None
        kinds = tuple(one.strip() for one in formats.split(",") if one.strip())
        wish = Wish(target, out, source, control, not no_shift, kinds, tuple(accept_licence or ()), force)
        return _judged(session, wish, options)

    raise typer.Exit(perform("evaluate", Flags(json, quiet, verbose, {"language": language}), body))


def _points(given: list[str]) -> tuple[Any, ...]:
    from vesalius.core.errors import UsageError
    from vesalius.evaluate.decision import Wish as Goal

    made = []
    for text in given:
        goal, _, value = text.partition("=")
        try:
            made.append(Goal(goal.strip(), float(value or 0)))
        except ValueError:
            known = "youden, sensitivity=0.95, specificity=0.95 or threshold=0.5"
            raise UsageError("an operating point that is not understood", found=text, expected=known) from None
    return tuple(made)


def _judged(session: Session, wish: Wish, options: Options) -> Answer:
    from vesalius.core.errors import UsageError
    from vesalius.report import evaluation as report
    from vesalius.report.evaluation_data import data as content
    from vesalius.train.validate import is_run

    strange = sorted(set(wish.formats) - set(report.FORMATS))
    if strange or not wish.formats:
        raise UsageError("a format that is not known", found=", ".join(strange), expected=", ".join(report.FORMATS))
    _folder(wish.out)
    run = is_run(Path(wish.target))
    found = _of_run(session, wish, options) if run else _of_package(session, wish, options)
    made = dict(report.files(found, languages=session.settings.language, formats=wish.formats))
    written = _settled(made, wish)
    told = content(found)
    kept = {k: v for k, v in told.items() if k not in ("parts", "checklists")}
    short = [
        {k: p[k] for k in ("candidate", "data", "cases", "patients", "outcomes", "figures")} for p in told["parts"]
    ]
    return Answer({**kept, "parts": short, "files": written}, lambda console: _show(console, found, written),
                  tuple(told["warnings"]))  # fmt: skip


def _folder(out: Path) -> None:
    from vesalius.core.errors import OutputError

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", expected="a folder, new or old")


def _settled(made: dict[str, bytes], wish: Wish) -> list[str]:
    from vesalius.cli.methods_answers import settle

    files: dict[Path, Callable[[Path], object]] = {wish.out / name: _writer(content) for name, content in made.items()}
    return settle(files, force=wish.force)


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _of_run(session: Session, wish: Wish, options: Options) -> Evaluation:
    from vesalius.core.errors import UsageError
    from vesalius.train.validate import evaluate_run

    if wish.data is not None:
        raise UsageError("--data is for packages", found=wish.target,
                         fix=f"vesalius evaluate {wish.target}/<candidate>/final --data TABLE --out DIR")  # fmt: skip
    return evaluate_run(Path(wish.target), options, control=wish.control, shift=wish.shift, source=wish.target)


def _of_package(session: Session, wish: Wish, options: Options) -> Evaluation:
    from vesalius.cli.predict import progress
    from vesalius.core.errors import UsageError
    from vesalius.models.store import open_named
    from vesalius.train.validate import evaluate_package

    if wish.control is not None:
        raise UsageError("--control is for runs", found=wish.target)
    with open_named(session.settings.home, wish.target, accept_licence=wish.accepted) as package:
        if wish.data is None:
            raise UsageError("a package is judged on cases", expected="--data TABLE, with labels")
        cohort, source = wish.data.read(), f"{package.card.name} {package.card.version}, {wish.data.path}"
        return evaluate_package(package, cohort, options, shift=wish.shift, source=source, progress=progress(session))


def _show(console: Console, found: Evaluation, files: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from vesalius.report.evaluation_words import candidate, interval, title, where
    from vesalius.report.phrases import Phrases

    phrases = Phrases("en")
    for message in found.warnings:
        console.print(Text(phrases.say(message), style="yellow"), soft_wrap=True)
    table = Table("model", "data", "figure", "value", "patients", box=None, header_style="bold", pad_edge=False)
    for part in found.parts:
        for one in part.figures:
            if one.of in ("", "youden") and not one.name.endswith("_before"):
                table.add_row(candidate(part, phrases), where(part, phrases), title(one, phrases),
                              interval(one, phrases), str(one.groups))  # fmt: skip
    console.print(table)
    for contest in found.contests:
        won = contest.winner or "neither"
        text = (f"{contest.data}, {contest.figure}: {contest.first} - {contest.second} = {contest.difference:.3f} "
                f"[{contest.low:.3f}, {contest.high:.3f}], p = {contest.corrected:.2g}; better: {won}")  # fmt: skip
        console.print(Text(text), soft_wrap=True)
    for path in files:
        console.print(Text(path), soft_wrap=True)


def _self_test(session: Session, source: Source, out: Path, seed: int, force: bool) -> Answer:
    from vesalius.core.errors import IncompleteError
    from vesalius.report.evaluation_leaks import leak_data, leak_files
    from vesalius.train.validate_leaks import planted_leaks

    _folder(out)

    def told(done: int, count: int) -> None:
        session.note(f"{done} of {count} kinds planted and checked")

    found = planted_leaks(source.read(), seed, progress=told)
    made = dict(leak_files(found, source=str(source.path), seed=seed, languages=session.settings.language))
    written = _settled(made, Wish("", out, None, None, False, (), (), force))
    content = leak_data(found, source=str(source.path), seed=seed)
    missed = [one.kind for one in found if not one.caught or one.false_alarms]
    error = None
    if missed:
        error = IncompleteError("the check missed a planted leak, or gave a false alarm", found=", ".join(missed),
                                fix=f"see {out / 'self_test.json'}")  # fmt: skip
    return Answer({**content, "files": written}, lambda console: _show_leaks(console, found, written), (), error)


def _show_leaks(console: Console, found: tuple[Planted, ...], files: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from vesalius.report.phrases import Phrases

    phrases = Phrases("en")
    table = Table("planted", "caught", "said", "clean twin", box=None, header_style="bold", pad_edge=False)
    for one in found:
        table.add_row(phrases.text(f"evaluation.leak.{one.kind}"), "yes" if one.caught else "NO",
                      ", ".join(one.found), ", ".join(one.false_alarms) or "silent")  # fmt: skip
    console.print(table)
    caught, alarms = sum(one.caught for one in found), sum(bool(one.false_alarms) for one in found)
    console.print(Text(phrases.text("evaluation.leak.summary", caught=caught, all=len(found), alarms=alarms)))
    for path in files:
        console.print(Text(path), soft_wrap=True)
