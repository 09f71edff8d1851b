"""Judging a finished run on its held-out cases, and a package on cases from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import IncompleteError, LabelError, ReadError, UsageError, VesaliusError
from vesalius.core.finding import Message
from vesalius.evaluate.evaluation import Evaluation, Options, Part, contests, part
from vesalius.evaluate.predictions import Predictions, label_numbers, patient_groups, read_predictions
from vesalius.train.validate_shift import shift_table

if TYPE_CHECKING:
    from vesalius.models.card import Card
    from vesalius.models.package import Package
    from vesalius.models.runtime import Runner

SCHEMA = "vesalius.run/"
Progress = Callable[[int, int], None]
Ints = NDArray[np.int64]
LEAST_PATIENTS = 50
"""Below so many patients every interval is wide, and the report says so."""


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A finished run as it lies on disk."""

    folder: Path
    run: Mapping[str, Any]
    task: Mapping[str, Any]
    cohort: Cohort
    candidates: tuple[str, ...]

    def predictions(self, candidate: str, name: str = "predictions") -> Predictions | None:
        """Return the predictions of a candidate, None when the file is not there."""
        path = self.folder / candidate / f"{name}.csv"
        if not path.is_file():
            return None
        found = read_predictions(path, str(self.run["kind"]), tuple(self.run.get("labels", ())))
        if len(found) and int(found.rows.max()) >= len(self.cohort):
            raise ReadError(f"{path} names cases that cohort.csv does not hold", found=f"row {int(found.rows.max())}",
                            expected=f"0 to {len(self.cohort) - 1}")  # fmt: skip
        # copies of one image join patients, and then the group stands for them
        together = "group" if self.cohort.has("group") else "patient_id"
        return replace(found, groups=patient_groups(self.cohort.text(together)[found.rows], found.rows))

    @property
    def package(self) -> Path | None:
        """Return the folder of the winner's package, of the first candidate when nobody won."""
        for name in (str(self.run.get("winner") or ""), *self.candidates):
            if name and (self.folder / name / "final" / "card.yaml").is_file():
                return self.folder / name / "final"
        return None


def is_run(path: Path) -> bool:
    """Return whether a folder is a run."""
    return (path / "run.json").is_file()


def read_run(folder: Path) -> RunFolder:
    """Return a finished run.

    Raises:
        ReadError: no run, or files that cannot be read.
        IncompleteError: it was stopped, or failed.
    """
    import yaml

    from vesalius.io.cohort import table

    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        known = str(run["schema"]).startswith(SCHEMA)
        candidates = tuple(str(one) for one in run["candidates"])
        task = folder / "task.yaml"
        content = yaml.safe_load(task.read_text(encoding="utf-8")) if task.is_file() else {}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ReadError(f"{folder} is no run that can be read", found=type(error).__name__,
                        expected="a folder that vesalius train wrote, with run.json") from None  # fmt: skip
    if not known:
        raise ReadError(f"{folder} is no run of this kind", found=str(run["schema"])[:40], expected=f"{SCHEMA}1")
    if run.get("status") != "complete":
        raise IncompleteError(
            f"the run {folder.name} is not complete", found=str(run.get("status")), expected="complete",
            fix="vesalius train TASK.yaml --out RUN --resume goes on with it",
        )  # fmt: skip
    if not (folder / "cohort.csv").is_file():
        raise ReadError(f"{folder} lacks cohort.csv", expected="the cases that were used")
    return RunFolder(folder, run, content or {}, table.read(folder / "cohort.csv"), candidates)


def evaluate_run(
    folder: Path, options: Options | None = None, *, control: Path | None = None, shift: bool = True,
    source: str = "", progress: Progress | None = None,
) -> Evaluation:  # fmt: skip
    """Return what a run's held-out predictions are worth, every candidate beside the others.

    Args:
        control: a run of the same task on random labels.
        shift: also predict the test cases on changed images, when the run kept a test set.
        progress: called with (steps done, steps in all).

    Raises:
        ReadError: no run; `IncompleteError` when it is not complete.
        LabelError: nothing to judge: one class only, no prediction.
        UnknownNameError: a column for subgroups that is not there.
    """
    options, run = options or Options(), read_run(folder)
    from vesalius.train.validate_control import controlled

    told = progress or (lambda done, count: None)
    parts: list[Part] = []
    for number, name in enumerate(run.candidates):
        told(number, len(run.candidates))
        parts += _judged(run, name, options)
    if not parts:
        raise ReadError(f"{folder} holds no predictions", expected="<candidate>/predictions.csv")
    told(len(run.candidates), len(run.candidates))
    table, shifted = _run_shift(run, parts, options) if shift else ((), "")
    labels = tuple(run.run.get("labels", ()))
    beside = controlled(read_run(control), options) if control is not None else None
    is_control = bool(run.run.get("control"))
    found = Evaluation(
        name=str(run.run.get("name", folder.name)), source=source or str(folder), kind=str(run.run["kind"]),
        labels=labels, positive=labels[options.positive_of(labels)] if len(labels) == 2 else "", parts=tuple(parts),
        contests=contests(tuple(parts), options), shift=table, shifted=shifted,
        control=controlled(run, options) if is_control else beside, is_control=is_control, draft=True,
        options=options, documents={"run": run.run, "task": run.task, "card": _card(run.package)},
        cohorts={one.data: run.cohort for one in parts},
    )  # fmt: skip
    return replace(found, warnings=_warnings(found, [str(one) for one in run.run.get("warnings", ())]))


def _judged(run: RunFolder, name: str, options: Options) -> list[Part]:
    across = run.predictions(name)
    if across is None:
        raise ReadError(f"the run lacks {name}/predictions.csv", found=str(run.folder),
                        fix="vesalius train TASK.yaml --out RUN --resume")  # fmt: skip
    made = [part(name, "cross-validation", across, run.cohort, options)]
    held = run.predictions(name, "test")
    if held is not None:
        made.append(part(name, "test", held, run.cohort, options, chosen_on=across if held.categorical else None))
    return made


def _run_shift(run: RunFolder, parts: Sequence[Part], options: Options) -> tuple[Any, str]:
    """Return the shift table of the winner on the run's test cases; nothing where it kept none."""
    held = [one for one in parts if one.data == "test"]
    if not held or run.package is None or not run.cohort.has("path"):
        return (), ""
    from vesalius.models.package import open_package
    from vesalius.models.runtime import Runner

    name = run.package.parent.name
    rows = next((one for one in held if one.candidate == name), held[0]).predictions.rows
    with open_package(run.package, accept_licence=("research", "unclear")) as package:
        return shift_table(Runner(package), run.cohort, np.unique(rows), options), name


def _card(folder: Path | None) -> Mapping[str, Any]:
    if folder is None:
        return {}
    from vesalius.models.card import read_card

    try:
        return read_card(folder / "card.yaml").model_dump(mode="json")
    except VesaliusError:
        return {}


def evaluate_package(
    package: Package, cohort: Cohort, options: Options | None = None, *, shift: bool = True, source: str = "",
    progress: Progress | None = None,
) -> Evaluation:  # fmt: skip
    """Return what a package is worth on cases from elsewhere; refused and abstained cases are counted, not judged.

    Raises:
        LabelError: the table has no label column, one class only, or a label that the package does not know.
        TamperedError: the golden outputs do not come out.
        UnknownNameError: a column for subgroups that is not there.
    """
    from vesalius.models.runtime import Runner

    options, card, runner = options or Options(), package.card, Runner(package)
    labels = tuple(one.name for one in card.output.labels)
    judged = predict(runner, cohort, progress)
    fixed = {f"card {k + 1}": point.threshold for k, point in enumerate(card.operating_points)
             if labels and point.label == labels[options.positive_of(labels)]}  # fmt: skip
    one = part(card.name, "external", judged, cohort, options, fixed=fixed)
    images = shift and any(c.kind == "image" for c in card.inputs)
    table = shift_table(runner, cohort, np.unique(judged.rows), options) if images else ()
    found = Evaluation(
        name=card.name, source=source, kind=card.kind, labels=labels,
        positive=labels[options.positive_of(labels)] if len(labels) == 2 else "", parts=(one,), shift=table,
        shifted=card.name if table else "", draft=package.status != "released", options=options,
        documents={"card": card.model_dump(mode="json")}, cohorts={"external": cohort},
    )  # fmt: skip
    seen = trained_on(package.folder, cohort, judged.rows)
    first = (Message("evaluation.warning.seen", {"count": seen, "all": judged.cases}),) if seen else ()
    return replace(found, warnings=(*first, *_warnings(found, list(card.warnings))))


def trained_on(folder: Path, cohort: Cohort, rows: Ints) -> int:
    """Return how many of these cases a package was trained on, 0 when its folder no longer lies in its run."""
    run = folder.parent.parent
    if not is_run(run) or not (run / "cohort.csv").is_file() or not cohort.has("path"):
        return 0
    from vesalius.io.cohort import table

    used = table.read(run / "cohort.csv")
    if not used.has("path"):
        return 0
    known = {_place(used, row) for row in np.flatnonzero(used.text("split") != "test").tolist()}
    return sum(_place(cohort, int(row)) in known for row in np.unique(rows))


def _place(cohort: Cohort, row: int) -> tuple[str, int | None]:
    path, item = cohort.file(row)
    return str(path.resolve()), item


def predict(runner: Runner, cohort: Cohort, progress: Progress | None = None) -> Predictions:
    """Return the predictions of a package on a cohort whose truth is known.

    Raises:
        LabelError: no truth in the table, or nothing completed.
        ReadError: a file that cannot be read.
    """
    from vesalius.models.inputs import columns_of, load_inputs

    card = runner.package.card
    labels = tuple(one.name for one in card.output.labels)
    truth, known = truth_of(card, cohort)
    columns = columns_of(card.inputs, cohort)
    scores, outcomes, kept = [], {"completed": 0, "refused": 0, "abstained": 0}, []
    for done, row in enumerate(known.tolist()):
        answer = runner.predict(load_inputs(card.inputs, cohort, row, columns))
        outcomes[answer.outcome] += 1
        if answer.outcome == "completed":
            kept.append(done)
            scores.append(answer.values)
        if progress is not None:
            progress(done + 1, len(known))
    if not kept:
        raise LabelError("the package completed no case", found=", ".join(f"{k}: {v}" for k, v in outcomes.items()),
                         fix="see `vesalius predict` for the reason of each case")  # fmt: skip
    rows, values = known[kept], np.stack(scores)
    common = {"rows": rows, "groups": patient_groups(cohort.text("patient_id")[rows], rows), "outcomes": outcomes,
              "paths": tuple(cohort.case_name(int(row)) for row in rows)}  # fmt: skip
    event = cohort.numbers("event")[rows].astype(bool) if card.kind == "survival" else None
    kind = card.kind
    flat = values if kind in ("classification", "ordinal") else values[:, 0]
    return Predictions(kind, labels, truth=truth[kept], scores=flat, event=event, **common)  # type: ignore[arg-type]


def truth_of(card: Card, cohort: Cohort) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the truth and the number of each case that has one.

    Raises:
        LabelError: the table has no such column, or a label that the package does not know.
        UsageError: a kind of model that is not judged here.
    """
    if card.kind not in ("classification", "ordinal", "regression", "survival"):
        raise UsageError(f"packages of kind {card.kind} are not judged here", expected="classification, ordinal, "
                         "regression or survival")  # fmt: skip
    name = "time" if card.kind == "survival" else "label"
    if not cohort.has(name) or (name == "time" and not cohort.has("event")):
        raise LabelError(f"the table has no column {name}", found=", ".join(cohort.names),
                         expected="time and event" if name == "time" else "label",
                         fix=f"--columns {name}=NAME says which column it is")  # fmt: skip
    rows = np.flatnonzero(cohort.text(name) != "")
    if card.kind in ("classification", "ordinal"):
        labels = tuple(one.name for one in card.output.labels)
        return label_numbers(cohort.text(name)[rows], labels).astype(np.float64), rows
    return cohort.numbers(name)[rows], rows


def _warnings(found: Evaluation, told: Sequence[str]) -> tuple[Message, ...]:
    """Return what a reader must know first."""
    made: list[Message] = []
    if found.is_control:
        made.append(Message("evaluation.warning.control"))
    if found.control is not None and found.control.leak:
        figure = found.control.figure
        parameters = {"value": figure.value, "low": figure.low, "high": figure.high}
        above = "leak" if figure.value > 0.5 or figure.name == "r2" else "below"
        made.append(Message(f"evaluation.warning.{above}", parameters))
    cohort = next(iter(found.cohorts.values()))
    nameless = int((cohort.text("patient_id") == "").sum())
    if nameless:
        made.append(Message("evaluation.warning.no_patients", {"count": nameless, "all": len(cohort)}))
    patients = min(one.predictions.patients for one in found.parts)
    if patients < LEAST_PATIENTS:
        made.append(Message("evaluation.warning.few", {"count": patients}))
    for one in found.parts:
        lost = {k: v for k, v in one.predictions.outcomes.items() if k != "completed" and v}
        if lost:
            count = sum(one.predictions.outcomes.values())
            made.append(Message("evaluation.warning.outcomes", {"refused": lost.get("refused", 0), "all": count,
                                                               "abstained": lost.get("abstained", 0)}))  # fmt: skip
    # the run says in its own words what was said above about patients; the rest is kept as it is
    made += [Message("evaluation.warning.told", {"text": text}) for text in told if "patient id" not in text]
    return tuple(made)
