"""A package on many cases: workers, resume, one line per case, and the files that `vesalius predict` writes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vesalius import __version__
from vesalius.core.cohort import Cohort
from vesalius.core.errors import (
    IrregularGeometryError,
    NothingFoundError,
    TamperedError,
    UsageError,
    VesaliusError,
)
from vesalius.io.scan import file_format
from vesalius.models import engines, store
from vesalius.models.card import Card, InputContract
from vesalius.models.inputs import columns_of, load_inputs
from vesalius.models.package import Package, open_package
from vesalius.models.runtime import Answer, Runner
from vesalius.models.trust import read_store
from vesalius.pipeline import batch
from vesalius.pipeline.batch import Finished, Plan
from vesalius.pipeline.predictions import FAILED, OUTCOMES, Journal, Line, done_before, write

SCHEMA: Final = "vesalius.predictions/1"


@dataclass(frozen=True)
class Options:
    """How predictions run.

    Args:
        home: VESALIUS_HOME: trust store and passed golden checks.
        runtime: which computes the networks, see `models.engines.choose`.
        accepted: classes of licence that the caller accepts.
        force: replace predictions of other content.
        on_case: called with (done, all) after each case.
    """

    home: Path
    workers: int = 1
    threads: int = 2
    runtime: str = engines.AUTO
    accepted: tuple[str, ...] = ()
    force: bool = False
    on_case: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Predictions:
    """What was predicted, in the order of the cases.

    Args:
        about: package, status, watermark, runtime and counts: the head of `predictions.json`.
        errors: why cases failed.
    """

    lines: tuple[Line, ...]
    about: Mapping[str, Any]
    errors: tuple[VesaliusError, ...] = field(default=(), repr=False)

    def count(self, outcome: str) -> int:
        """Return the number of cases with this outcome."""
        return sum(line.outcome == outcome for line in self.lines)


@dataclass(frozen=True, eq=False)
class _Item:
    """One case as it travels to a worker: its row alone, and how to open the package there."""

    row: Mapping[str, Any]
    root: Path
    package: Path
    digest: str
    options: Options


def predict(package: Package, cohort: Cohort, out: Path, options: Options) -> Predictions:
    """Write `predictions.csv` and `predictions.json` and return what they hold.

    The same call again computes only what failed or was not reached.

    Raises:
        UsageError: the table lacks a column that the package reads.
        OutputExistsError: other predictions stand there and `force` is not set.
        OutputError: the folder cannot be written.
        TamperedError: the package does not give its golden outputs here.
        ConfigError: the package needs an operation that does not exist here.
    """
    columns = columns_of(package.card.inputs, cohort)
    runner = Runner(package, threads=options.threads, runtime=options.runtime, marks=store.marks(options.home))
    about = _about(package, runner.runtime)
    key = _key(about, cohort, package.card.inputs, columns)
    done = done_before(out, key, force=options.force)
    runner.ready()
    begun = time.monotonic()
    chosen = replace(options, runtime=runner.runtime or engines.AUTO, on_case=None)
    items = [
        _Item(_row(cohort, row), cohort.root, package.folder, package.digest, chosen) for row in range(len(cohort))
    ]
    with _resident(runner), Journal(out, key, done) as journal:
        ended = batch.run(_answered, items, _plan(items, done, journal, options))
    lines = tuple(_line(cohort, one) for one in ended)
    counts = {name: sum(line.outcome == name for line in lines) for name in OUTCOMES}
    run = {"seconds": round(time.monotonic() - begun, 3), "workers": options.workers, "threads": options.threads}
    told = {**about, "key": key, "cases": len(lines), "outcomes": counts, "run": run}
    write(out, package.card, lines, told)
    return Predictions(lines, told, tuple(one.error for one in ended if one.error is not None))


def _about(package: Package, runtime: str) -> dict[str, Any]:
    card = package.card
    return {
        "schema": SCHEMA,
        "package": {
            "name": card.name, "version": card.version, "digest": package.digest, "kind": card.kind,
            "status": package.status, "reason": package.reason, "licence": card.licence,
            "signature": package.signature.key_id, "trusted": package.signature.trusted,
        },
        "watermark": package.watermark,
        "labels": [one.name for one in card.output.labels],
        "unit": card.output.unit,
        "runtime": {"name": runtime, "version": engines.version(runtime) if runtime else ""},
        "vesalius": __version__,
    }  # fmt: skip


def _key(
    about: Mapping[str, Any], cohort: Cohort, contracts: Sequence[InputContract], columns: Mapping[str, str]
) -> str:
    """Return the hash of package, versions and inputs; files by their path, size and time of change."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for one in contracts:
        if one.name not in columns:
            continue
        for row, text in enumerate(cohort.text(columns[one.name]).tolist()):
            stamps = _stamps(cohort, row, columns[one.name]) if text and one.kind in ("image", "mask") else []
            digest.update(json.dumps([one.name, text, stamps]).encode())
    return digest.hexdigest()


def _stamps(cohort: Cohort, row: int, column: str) -> list[tuple[str, int, int]]:
    path, _ = cohort.file(row, column)
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    found = []
    for one in files:
        try:
            about = one.stat()
        except OSError:
            continue
        found.append((one.name, about.st_size, about.st_mtime_ns))
    return found


def _row(cohort: Cohort, row: int) -> dict[str, Any]:
    return {name: values[row] for name, values in cohort.columns.items()}


_RESIDENT: Final[dict[str, Runner]] = {}
"""Packages that this process keeps ready, by digest."""


@contextlib.contextmanager
def _resident(runner: Runner) -> Iterator[None]:
    _RESIDENT[runner.package.digest] = runner
    try:
        yield
    finally:
        _RESIDENT.pop(runner.package.digest, None)


def _answered(item: _Item) -> Line:
    """Return the answer for one case, in whatever process."""
    if item.digest not in _RESIDENT:
        options = item.options
        opened = open_package(item.package, trust=read_store(options.home), accept_licence=options.accepted)
        if opened.digest != item.digest:
            raise TamperedError("the package changed while it was used", fix="start again")
        _RESIDENT[item.digest] = Runner(
            opened, threads=options.threads, runtime=options.runtime, marks=store.marks(options.home)
        )
    runner = _RESIDENT[item.digest]
    cohort = Cohort({name: np.array([value]) for name, value in item.row.items()}, item.root)
    path, patient = _named(cohort, 0)
    try:
        answer = runner.predict(load_inputs(runner.package.card.inputs, cohort, 0))
    except IrregularGeometryError as error:
        answer = Answer("refused", message=str(error))
    values = tuple(float(one) for one in answer.values)
    return Line(path, patient, answer.outcome, _predicted(runner.package.card, answer), values, answer.interval,
                answer.candidates, answer.distance, answer.message)  # fmt: skip


def _named(cohort: Cohort, row: int) -> tuple[str, str]:
    return str(cohort.text("path")[row]), str(cohort.text("patient_id")[row])


def _predicted(card: Card, answer: Answer) -> str:
    if answer.predicted or card.kind != "clustering" or not len(answer.values):
        return answer.predicted
    return str(int(answer.values.argmax()))


def _plan(items: Sequence[_Item], done: Mapping[int, Line], journal: Journal, options: Options) -> Plan[_Item, Line]:
    places = {id(item): number for number, item in enumerate(items)}
    count = {"ended": 0}

    def finished(one: Finished[_Item, Line]) -> None:
        count["ended"] += 1
        if one.value is not None and one.index not in done:
            journal.add(one.index, one.value)
        if options.on_case is not None:
            options.on_case(count["ended"], len(items))

    return Plan(
        workers=options.workers if options.workers > 1 else 0,
        threads=options.threads,
        already=lambda item: done.get(places[id(item)]),
        on_finished=finished,
    )


def _line(cohort: Cohort, one: Finished[_Item, Line]) -> Line:
    if one.value is not None:
        return one.value
    path, patient = _named(cohort, one.index)
    return Line(path, patient, FAILED, message=str(one.error))


def listed(paths: Sequence[str]) -> Cohort:
    """Return files and folders as cases: pictures, volumes, `archive.npz#3`, and each folder of DICOM slices.

    Raises:
        UsageError: a path that is not there.
        NothingFoundError: no case in them.
    """
    found = [name for path in paths for name in _expanded(path)]
    if not found:
        raise NothingFoundError("no case was found", found=", ".join(paths[:5]), expected="images or folders of slices")
    return Cohort({"path": np.array(found)})


def _expanded(name: str) -> list[str]:
    path = Path(name)
    if not path.is_dir():
        base = Path(name.partition("#")[0]) if ".npz#" in name else path
        if not base.exists():
            raise UsageError("there is no such file or folder", found=name, expected="images, or one table")
        return [name]
    files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    kinds = {one: file_format(one) for one in files}
    single = [str(one) for one, kind in kinds.items() if kind and not (one.suffix == ".img" and _header(one) in kinds)]
    others = [one for one, kind in kinds.items() if not kind]
    # a file without the preamble may be DICOM too, when there is nothing else
    slices = [one for one in others if _is_dicom(one)] or (others if not single else [])
    return [*dict.fromkeys(str(one.parent) for one in slices), *single]


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _header(path: Path) -> Path:
    return path.with_suffix(".hdr")
