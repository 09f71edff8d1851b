"""The files of predictions: the journal of a run, `predictions.csv` and `predictions.json`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vesalius.core.errors import OutputError, OutputExistsError
from vesalius.io.atomic import output_errors, write_text
from vesalius.models.card import Card
from vesalius.models.runtime import QUANTILE

TABLE: Final = "predictions.csv"
ABOUT: Final = "predictions.json"
STATE: Final = ".predictions.part"
FAILED: Final = "failed"
OUTCOMES: Final = ("completed", "abstained", "refused", FAILED)


@dataclass(frozen=True)
class Line:
    """One case of the answer; `values` are probabilities, or the numbers of the output."""

    path: str
    patient_id: str
    outcome: str
    predicted: str = ""
    values: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    candidates: tuple[str, ...] = ()
    distance: float | None = None
    message: str = ""


class Journal:
    """What is done so far, a line each, so that a run that was stopped goes on where it stood."""

    def __init__(self, out: Path, key: str, done: Mapping[int, Line]) -> None:
        """Prepare the journal of a folder; it is written when the block begins."""
        self.path, self.key, self.done = out / STATE, key, done

    def __enter__(self) -> Journal:
        """Begin with what is done already."""
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            before = "".join(_text(index, line) for index, line in self.done.items())
            write_text(self.path, json.dumps({"key": self.key}) + "\n" + before)
            self._file = self.path.open("a", encoding="utf-8")
        return self

    def add(self, index: int, line: Line) -> None:
        """Add a case; the system has it before the next one begins."""
        with output_errors(self.path):
            self._file.write(_text(index, line))
            self._file.flush()

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays until the predictions are written."""
        self._file.close()


def _text(index: int, line: Line) -> str:
    return json.dumps([index, asdict(line)]) + "\n"


def done_before(out: Path, key: str, *, force: bool) -> dict[int, Line]:
    """Return the cases that need no work: of a run that was stopped, or of one that ended; failed ones do.

    Raises:
        OutputError: OUT is a file.
        OutputExistsError: predictions of other content stand there and `force` is not set.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", expected="a folder, new or old")
    for found_key, found in (_journal(out / STATE), _finished(out)):
        if found_key == key:
            return {index: line for index, line in found.items() if line.outcome != FAILED}
    if not force and any((out / name).exists() for name in (STATE, TABLE, ABOUT)):
        raise OutputExistsError(
            "other predictions stand there", found=str(out), expected="the same package, cases and versions",
            fix="choose another folder, or replace them with --force",
        )  # fmt: skip
    return {}


def _journal(path: Path) -> tuple[str, dict[int, Line]]:
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        key = str(json.loads(head)["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", {}
    found = {}
    for text in lines:
        # the last line of a run that was killed may be cut
        with contextlib.suppress(ValueError, KeyError, TypeError):
            index, told = json.loads(text)
            found[int(index)] = _read(told)
    return key, found


def _finished(out: Path) -> tuple[str, dict[int, Line]]:
    try:
        content = json.loads((out / ABOUT).read_text(encoding="utf-8"))
        return str(content["key"]), {number: _read(told) for number, told in enumerate(content["lines"])}
    except (OSError, ValueError, KeyError, TypeError):
        return "", {}


def _read(told: Mapping[str, Any]) -> Line:
    interval = told["interval"]
    known = {**told, "values": tuple(told["values"]), "candidates": tuple(told["candidates"])}
    return Line(**{**known, "interval": None if interval is None else (float(interval[0]), float(interval[1]))})


def write(out: Path, card: Card, lines: Sequence[Line], about: Mapping[str, Any]) -> None:
    """Write both files, the table last, and end the journal.

    Raises:
        OutputError: the folder cannot be written.
    """
    told = {**about, "lines": [asdict(line) for line in lines]}
    write_text(out / ABOUT, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    write_text(out / TABLE, as_csv(card, lines, str(about["watermark"])))
    with output_errors(out):
        (out / STATE).unlink(missing_ok=True)


def as_csv(card: Card, lines: Sequence[Line], watermark: str = "") -> str:
    """Return `predictions.csv`: path, patient_id, outcome, what the kind of model gives, message.

    The watermark of a draft begins every message, so that no row travels without it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names, cells = _columns(card, lines)
    writer.writerow(("path", "patient_id", "outcome", *names, "message"))
    for line in lines:
        message = "; ".join(part for part in (watermark, line.message) if part)
        writer.writerow((line.path, line.patient_id, line.outcome, *cells(line), message))
    return text.getvalue()


def _columns(card: Card, lines: Sequence[Line]) -> tuple[list[str], Callable[[Line], list[str]]]:
    """Return the columns of a kind of model and what fills them."""
    labels = [one.name for one in card.output.labels]
    if card.kind == "regression":
        return ["value", "low", "high"], lambda line: [*_numbers(line.values, 1), *_numbers(line.interval or (), 2)]
    if card.kind == "survival":
        return ["risk"], lambda line: _numbers(line.values, 1)
    if card.kind == "clustering":
        return ["predicted"], lambda line: [line.predicted]
    if not labels:
        count = max((len(line.values) for line in lines), default=0)
        return [f"v_{number}" for number in range(count)], lambda line: _numbers(line.values, count)
    names = ["predicted", *(f"p_{label}" for label in labels)]
    if QUANTILE not in card.limits:
        return names, lambda line: [line.predicted, *_numbers(line.values, len(labels))]
    return [*names, "candidates"], lambda line: [
        line.predicted, *_numbers(line.values, len(labels)), "|".join(line.candidates)
    ]  # fmt: skip


def _numbers(values: Sequence[float], count: int) -> list[str]:
    shown = [f"{value:.8g}" for value in values[:count]]
    return shown + [""] * (count - len(shown))
