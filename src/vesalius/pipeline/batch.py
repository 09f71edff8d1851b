"""Any function of one item over many: worker processes, one line per failure, order kept.

A worker that crashes (killed, out of memory, a fault in native code) costs its own item only. Workers start by
`spawn`, so a script that calls this needs the usual `if __name__ == "__main__":`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from vesalius.core.errors import CrashError, VesaliusError
from vesalius.pipeline import worker
from vesalius.pipeline.threads import thread_limit

Item = TypeVar("Item")
Value = TypeVar("Value")

OnStage = Callable[[int, str, float], None]
"""Called with the item's index, the stage's name and the fraction done."""


@dataclass(frozen=True)
class Finished(Generic[Item, Value]):
    """How one item ended: a value or an error, and the seconds it took."""

    index: int
    item: Item
    value: Value | None
    error: VesaliusError | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan(Generic[Item, Value]):
    """How a batch runs.

    Args:
        workers: processes at the same time; 0 runs in this process, one after the other, without crash protection.
        threads: threads of numerical libraries in each worker, independent of `workers`.
        fresh: a new process for each item, so that its peak of memory is its own; else workers are used again.
        already: gives the value of an item that needs no work, else None (resume).
        on_stage: progress from inside an item, see `worker.tell`.
        on_finished: called once per item, in the order in which they end.
    """

    workers: int = 1
    threads: int = 2
    fresh: bool = False
    already: Callable[[Item], Value | None] | None = None
    on_stage: OnStage | None = None
    on_finished: Callable[[Finished[Item, Value]], None] | None = None


def run(
    function: Callable[[Item], Value], items: Iterable[Item], plan: Plan[Item, Value] | None = None
) -> list[Finished[Item, Value]]:
    """Return how each item ended, in the order of the items.

    `function`, items and values cross a process border: a module-level function and picklable data. An exception
    that is no `VesaliusError` becomes an `InternalError` without the text of the exception, which may hold
    a patient's values.

    Raises:
        KeyboardInterrupt: the user stopped it; every worker is ended first.
    """
    chosen: Plan[Item, Value] = plan or Plan()
    listed = list(items)
    ended: dict[int, Finished[Item, Value]] = {}

    def finish(result: Finished[Item, Value]) -> None:
        ended[result.index] = result
        if chosen.on_finished is not None:
            chosen.on_finished(result)

    todo: deque[int] = deque()
    for index, item in enumerate(listed):
        value = chosen.already(item) if chosen.already is not None else None
        if value is not None:
            finish(Finished(index, item, value))
        else:
            todo.append(index)
    if chosen.workers == 0:
        _run_here(function, listed, todo, chosen, finish)
    elif todo:
        _Pool(function, listed, todo, chosen, finish).run()
    return [ended[index] for index in range(len(listed))]


def _run_here(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    todo: deque[int],
    plan: Plan[Item, Value],
    finish: Callable[[Finished[Item, Value]], None],
) -> None:
    for index in todo:
        started = time.monotonic()
        with worker.listening(_listener(plan, index)):
            value, error = worker.attempt(function, items[index])
        finish(Finished(index, items[index], value, error, time.monotonic() - started))


def _listener(plan: Plan[Item, Value], index: int) -> Callable[[str, float], None]:
    def listen(stage: str, fraction: float) -> None:
        if plan.on_stage is not None:
            plan.on_stage(index, stage, fraction)

    return listen


@dataclass
class _Seat:
    """One worker process and what it is busy with."""

    process: worker.Process
    connection: Connection
    index: int | None = None
    started: float = field(default_factory=time.monotonic)


class _Pool(Generic[Item, Value]):
    """The state of a running batch."""

    def __init__(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        todo: deque[int],
        plan: Plan[Item, Value],
        finish: Callable[[Finished[Item, Value]], None],
    ) -> None:
        self.function, self.items, self.todo, self.plan, self.finish = function, items, todo, plan, finish
        self.seats: list[_Seat] = []

    def run(self) -> None:
        """Work until nothing is left; end every worker, whatever happens."""
        try:
            while self.todo or any(seat.index is not None for seat in self.seats):
                self._fill()
                self._listen()
        finally:
            for seat in self.seats:
                _end(seat)

    def _fill(self) -> None:
        busy = sum(seat.index is not None for seat in self.seats)
        while self.todo and busy < self.plan.workers:
            seat = next((s for s in self.seats if s.index is None), None) or self._open()
            seat.index, seat.started = self.todo.popleft(), time.monotonic()
            try:
                seat.connection.send(self.items[seat.index])
            except OSError:
                self._crashed(seat)
                continue
            busy += 1

    def _open(self) -> _Seat:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=worker.serve, args=(theirs, self.function), daemon=True)
        with thread_limit(self.plan.threads):
            process.start()
        theirs.close()
        seat = _Seat(process, ours)
        self.seats.append(seat)
        return seat

    def _listen(self) -> None:
        waiting = [seat.connection for seat in self.seats if seat.index is not None]
        for ready in wait(waiting):
            seat = next(s for s in self.seats if s.connection is ready)
            try:
                self._take(seat, seat.connection.recv())
            except (EOFError, OSError):
                self._crashed(seat)

    def _take(self, seat: _Seat, message: tuple[str, object, object]) -> None:
        kind, first, second = message
        index = seat.index
        if index is None:
            return
        if kind == "stage":
            _listener(self.plan, index)(str(first), float(str(second)))
            return
        seat.index = None
        if self.plan.fresh:
            self._close(seat)
        seconds = time.monotonic() - seat.started
        self.finish(Finished(index, self.items[index], first, second, seconds))  # type: ignore[arg-type]

    def _close(self, seat: _Seat) -> None:
        self.seats.remove(seat)
        _end(seat, patience_s=5.0)

    def _crashed(self, seat: _Seat) -> None:
        index, seconds = seat.index, time.monotonic() - seat.started
        seat.process.join(5.0)
        error = CrashError(
            "the worker process ended without an answer",
            found=_ending(seat.process.exitcode),
            fix="often too little memory: use fewer workers (--workers 1), or close other programs",
        )
        self._close(seat)
        if index is not None:
            self.finish(Finished(index, self.items[index], None, error, seconds))


def _ending(code: int | None) -> str:
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _end(seat: _Seat, patience_s: float = 0.0) -> None:
    """End one worker: an idle one by closing its pipe, a busy one by terminating it, at last by killing it."""
    seat.connection.close()
    if patience_s:
        seat.process.join(patience_s)
    for stop in (seat.process.terminate, seat.process.kill):
        if seat.process.is_alive():
            stop()
            seat.process.join(2.0)
