"""The facts of all cases, read in worker processes; a file that kills its reader is one unreadable file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from vesalius.core.cohort import Cohort
from vesalius.train.facts import CaseFacts, of_case

Progress = Callable[[int, int], None]
"""Called with the cases done and the cases in all."""

FEW = 128
"""So many cases are read sooner in this process than new ones start."""
CHUNK = 16

_HELD: list[Cohort] = []


def read_facts(cohort: Cohort, *, workers: int = 1, progress: Progress | None = None) -> tuple[CaseFacts, ...]:
    """Return the facts of every case, in the order of the cases.

    Args:
        workers: processes that read; one, or few cases: read in this process.
    """
    told = progress or (lambda done, count: None)
    small = Cohort({name: cohort.text(name) for name in ("path", "mask")}, cohort.root)
    rows = range(len(cohort))
    archives = bool(len(cohort)) and "#" in str(small.text("path")[0])
    if workers < 2 or len(rows) < FEW or archives:
        return tuple(_watched((of_case(small, row) for row in rows), len(rows), told))
    found = {one.row: one for one in _watched(_parallel(small, rows, workers), len(rows), told)}
    return tuple(found[row] for row in rows)


def _watched(facts: Iterable[CaseFacts], count: int, told: Progress) -> Iterator[CaseFacts]:
    for done, one in enumerate(facts, start=1):
        told(done, count)
        yield one


def _parallel(cohort: Cohort, rows: Sequence[int], workers: int) -> Iterator[CaseFacts]:
    chunks = [rows[k : k + CHUNK] for k in range(0, len(rows), CHUNK)]
    done: set[int] = set()
    with _pool(cohort, min(workers, len(chunks), os.cpu_count() or 1)) as pool:
        for future in as_completed([pool.submit(_chunk, list(chunk)) for chunk in chunks]):
            try:
                found = future.result()
            except BrokenProcessPool:
                continue
            done.update(one.row for one in found)
            yield from found
    yield from (_alone(cohort, row) for row in rows if row not in done)


def _pool(cohort: Cohort, workers: int) -> ProcessPoolExecutor:
    columns = {name: cohort.text(name).tolist() for name in ("path", "mask")}
    return ProcessPoolExecutor(workers, get_context("spawn"), _begin, (columns, cohort.root))


def _alone(cohort: Cohort, row: int) -> CaseFacts:
    """Return the facts of a case whose neighbour, or which itself, ended its reader."""
    with _pool(cohort, 1) as pool:
        try:
            return pool.submit(_chunk, [row]).result()[0]
        except BrokenProcessPool:
            return CaseFacts(row, problem="the process that read it was ended by the system")


def _begin(columns: dict[str, list[str]], root: Path) -> None:
    import numpy as np

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _HELD[:] = [Cohort({name: np.array(values, dtype=np.str_) for name, values in columns.items()}, root)]


def _chunk(rows: list[int]) -> list[CaseFacts]:
    return [of_case(_HELD[0], row) for row in rows]
