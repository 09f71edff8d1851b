"""`vesalius split TABLE --out TABLE`: divide a cohort so that no patient, copy or site stands on two sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.check import Basis, Columns, Layout, Source, progress
from vesalius.cli.options import Force, Json, Quiet, Verbose, new_file
from vesalius.cli.session import Answer, Flags, Session, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.core.cohort import Cohort
    from vesalius.train.split import SplitOptions

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Wish:
    """The options as they were typed."""

    source: Source
    out: Path
    duplicates: str | None
    stratify: list[str] | None
    force: bool
    numbers: dict[str, Any]


def split(  # noqa: PLR0913 - one parameter per option of the command line
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="Table, folder per class, MedMNIST .npz, or nnU-Net raw folder.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="TABLE", help="The table with the columns split and fold (.csv).")
    ],
    folds: Annotated[
        int | None, typer.Option("--folds", metavar="N", help="Folds of the cross-validation; 5, or 0 with --val.")
    ] = None,
    test: Annotated[float, typer.Option("--test", metavar="SHARE", help="Share of one test set.")] = 0.0,
    val: Annotated[float, typer.Option("--val", metavar="SHARE", help="Share for validation, instead of folds.")] = 0.0,
    inner_folds: Annotated[
        int, typer.Option("--inner-folds", metavar="N", help="Folds within each training part.")
    ] = 0,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", help="Draw the folds so many times.")] = 1,
    stratify: Annotated[
        list[str] | None,
        typer.Option("--stratify", metavar="COLUMN", help="Same shares everywhere; label by default. Repeatable."),
    ] = None,
    leave_one_out: Annotated[
        str | None, typer.Option("--leave-one-out", metavar="COLUMN", help="One fold per value, as of site.")
    ] = None,
    no_patient_ids: Annotated[
        bool, typer.Option("--no-patient-ids", help="Cases without patient are their own; every report warns.")
    ] = False,
    duplicates: Annotated[
        str | None,
        typer.Option(
            "--duplicates", metavar="FILE", help="Keep copies together: check.json of an earlier check, auto, none."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same division.")] = 0,
    columns: Columns = None,
    layout: Layout = None,
    basis: Basis = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Processes that read files.")] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Divide a data set so that no patient, copy or site stands on two sides.

    Examples:

      vesalius split labels.csv --folds 5 --test 0.2 --duplicates auto --out divided.csv

      vesalius split labels.csv --leave-one-out site --out divided.csv
    """
    numbers = {"folds": folds, "test": test, "val": val, "inner_folds": inner_folds, "repeats": repeats,
               "leave_out": leave_one_out or "", "no_patient_ids": no_patient_ids, "seed": seed}  # fmt: skip
    wish = Wish(Source(table, columns, layout, basis), out, duplicates, stratify, force, numbers)

    def body(session: Session) -> Answer:
        return _answer(session, wish)

    raise typer.Exit(perform("split", Flags(json, quiet, verbose, {"workers": workers}), body))


def _answer(session: Session, wish: Wish) -> Answer:
    from vesalius.core.errors import UsageError
    from vesalius.io.cohort import write_cohort
    from vesalius.train.split import divide

    if wish.out.suffix.lower() != ".csv":
        raise UsageError("the divided table is CSV", found=str(wish.out), expected="a name that ends with .csv")
    new_file(wish.out, wish.force)
    cohort, left_out, told = _permitted(session, wish.source.read())
    options = _options(cohort, wish)
    pairs, warnings = _pairs(session, cohort, wish)
    made = divide(cohort, options, duplicates=pairs)
    write_cohort(made.cohort, wish.out)
    rows = _counts(made.cohort)
    data = {"file": str(wish.out), "cases": len(cohort), "groups": int(made.groups.max()) + 1, "copies": len(pairs),
            "left_out": left_out, "counts": rows}  # fmt: skip
    return Answer(data, lambda console: _show(console, rows, str(wish.out)), (*made.warnings, *warnings, *told))


def _permitted(session: Session, cohort: Cohort) -> tuple[Cohort, dict[str, int], tuple[str, ...]]:
    """Return the cases that may be trained on, how many may not and why, and what to warn of."""
    from vesalius.train.consent import permitted

    if not cohort.has("basis"):
        return cohort, {}, ("no case states on what basis it may be used: vesalius train will refuse; see --basis",)
    allowed = permitted(cohort, session.settings.home)
    if not allowed.left_out:
        return cohort, {}, ()
    told = ", ".join(f"{reason} {count}" for reason, count in allowed.left_out.items())
    return cohort.take(allowed.rows), dict(allowed.left_out), (f"cases left out: {told}",)


def _options(cohort: Cohort, wish: Wish) -> SplitOptions:
    from vesalius.train.split import SplitOptions

    given = dict(wish.numbers)
    if given["folds"] is None:
        given["folds"] = 0 if given["val"] or given["leave_out"] else 5
    stratify = tuple(wish.stratify) if wish.stratify else ("label",) if cohort.has("label") else ()
    return SplitOptions(**given, stratify=stratify)


def _pairs(session: Session, cohort: Cohort, wish: Wish) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    from vesalius.train.check_pairs import found_pairs, told_pairs

    if not cohort.has("path") or wish.duplicates == NONE:
        return (), ()
    if wish.duplicates is None:
        return (), ("copies of an image were not looked for; --duplicates auto keeps them together",)
    if wish.duplicates != AUTO:
        return told_pairs(cohort, Path(wish.duplicates)), ()
    pairs, lost = found_pairs(cohort, workers=session.settings.workers, progress=progress(session))
    return pairs, (f"{lost} files cannot be read and were not compared; vesalius check names them",) if lost else ()


def _counts(cohort: Cohort) -> list[dict[str, Any]]:
    """Return one row per part (split, and fold) with its cases, patients, and cases per label."""
    from vesalius.train.check_table import classes

    labels, patients = classes(cohort).tolist(), cohort.text("patient_id").tolist()
    kinds = sorted(set(labels) - {""})
    held: dict[tuple[str, str, str], list[int]] = {}
    keys = zip(cohort.text("repeat").tolist(), cohort.text("split").tolist(), cohort.text("fold").tolist(), strict=True)
    for row, key in enumerate(keys):
        held.setdefault(key, []).append(row)
    found = []
    for (repeat, part, fold), rows in sorted(held.items(), key=lambda pair: [_order(one) for one in pair[0]]):
        names = {patients[row] for row in rows} - {""}
        counted = {kind: sum(labels[row] == kind for row in rows) for kind in kinds}
        found.append({"repeat": repeat, "split": part, "fold": fold, "cases": len(rows), "patients": len(names),
                      "labels": counted})  # fmt: skip
    return found


def _order(text: str) -> tuple[float, str]:
    return (float(text), "") if text.isdigit() else (-1.0, text)


def _show(console: Console, rows: list[dict[str, Any]], file: str) -> None:
    from rich.table import Table
    from rich.text import Text

    kinds = list(rows[0]["labels"]) if rows else []
    table = Table(box=None, pad_edge=False)
    shown = [name for name in ("repeat", "split", "fold") if any(row[name] for row in rows)]
    for name in (*shown, "cases", "patients", *kinds):
        table.add_column(name, justify="left" if name in shown else "right")
    for row in rows:
        own = [str(row[name]) for name in (*shown, "cases", "patients")]
        table.add_row(*own, *(str(row["labels"][kind]) for kind in kinds))
    console.print(table)
    console.print(Text(file), soft_wrap=True)
