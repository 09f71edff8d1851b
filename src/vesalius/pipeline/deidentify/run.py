"""A whole run: look at every file, work in portions, keep the state, write the reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesalius.core.errors import CrashError, OutputError, VesaliusError
from vesalius.io.archive import is_zip, unpack_zip
from vesalius.pipeline import batch
from vesalius.pipeline.deidentify.plan import File, Portion, files_below, planned
from vesalius.pipeline.deidentify.request import Line, Request, Summary, check_places
from vesalius.pipeline.deidentify.store import Store, counted
from vesalius.pipeline.deidentify.work import FULL_DISK, Done, work
from vesalius.pipeline.store import locked
from vesalius.privacy.outcome import Result, Settings
from vesalius.privacy.profile import Option

_FEW_FILES = 512
"""So few are done in this process, since starting another takes longer; decoders and readers of text may crash."""


def deidentify(request: Request) -> Summary:
    """De-identify files and return how each ended.

    Raises:
        UsageError: IN and OUT lie inside each other, or IN does not exist.
        OutputExistsError: OUT holds other content.
        OutputError: the disk is full or the place cannot be written to; what is done is kept.
        NothingFoundError: IN holds no file.
    """
    check_places(request)
    return _run(request)


def _run(request: Request) -> Summary:
    started = time.monotonic()
    with _unpacked(request.source) as root:
        listed = files_below(root)
        fragile = request.profile.has(Option.CLEAN_PIXELS)
        alone = request.workers <= 1 and len(listed) <= _FEW_FILES and not fragile
        workers = 0 if alone else request.workers
        chosen = replace(request, workers=workers)
        if request.dry_run:
            summary = _work_off(chosen, listed, None)
        else:
            store = Store(chosen)
            with locked(chosen.report_folder):
                store.open()
                summary = _work_off(chosen, listed, store)
                store.close(summary)
    return replace(summary, seconds=time.monotonic() - started)


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    if not source.is_file() or not is_zip(source):
        yield source
        return
    with unpack_zip(source) as folder:
        yield Path(folder)


@dataclass
class _Ended:
    """What has ended so far."""

    request: Request
    count: int
    store: Store | None
    lines: list[Line] = field(default_factory=list)
    errors: list[VesaliusError] = field(default_factory=list)
    crashed: list[Portion] = field(default_factory=list)
    before: int = 0

    def add(self, lines: tuple[Line, ...], *, again: bool = False) -> None:
        """Keep lines; those of an earlier run stand in the state already."""
        self.lines.extend(lines)
        if again:
            self.before += len(lines)
        elif self.store is not None:
            self.store.append(lines)
        if self.request.on_file is not None:
            self.request.on_file(len(self.lines), self.count)

    def take(self, ended: batch.Finished[Portion, Done]) -> None:
        """Keep the outcome of a portion.

        Raises:
            OutputError: the disk is full.
        """
        if ended.value is not None:
            self.errors.extend(ended.value.errors)
            self.add(ended.value.lines)
            return
        problem = ended.error
        if isinstance(problem, OutputError) and problem.errno in FULL_DISK:
            raise problem
        if isinstance(problem, CrashError) and len(ended.item.files) > 1:
            self.crashed.append(ended.item)
            return
        code, message = (problem.code, problem.message) if problem is not None else ("internal", "no answer")
        self.add(tuple(_failure(file, code, message) for file in ended.item.files))


def _failure(file: File, code: str, message: str) -> Line:
    return Line(file.token, file.place, file.hash, str(file.facts.kind), Result.FAILED, error=code, message=message)


def _work_off(request: Request, listed: list[tuple[str, Path]], store: Store | None) -> Summary:
    settings = Settings(request.profile, request.pseudonyms, request.no_face, request.deface)
    portions = planned(request, listed, settings)
    ended = _Ended(request, len(listed), store)
    todo = [left for portion in portions if (left := _without_done(portion, ended)) is not None]
    plan: batch.Plan[Portion, Done] = batch.Plan(workers=request.workers, threads=1, on_finished=ended.take)
    batch.run(work, todo, plan)
    if ended.crashed:
        alone = [replace(portion, files=(file,)) for portion in ended.crashed for file in portion.files]
        batch.run(work, alone, plan)
    lines = tuple(sorted(ended.lines, key=lambda line: line.place))
    patients = len({portion.identity for portion in portions if portion.identity})
    return Summary(lines, counted(lines), patients, ended.before, errors=tuple(ended.errors))


def _without_done(portion: Portion, ended: _Ended) -> Portion | None:
    """Return a portion without the files that an earlier run did, None when nothing is left."""
    if ended.store is None:
        return portion
    left: list[File] = []
    for file in portion.files:
        line = ended.store.done(file.token, file.hash)
        if line is None:
            left.append(file)
        else:
            ended.add((replace(line, place=file.place),), again=True)
    return replace(portion, files=tuple(left)) if left else None
