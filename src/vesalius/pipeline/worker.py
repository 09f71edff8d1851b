"""What runs inside a worker process: one item after the other, nothing on the terminal, never an orphan."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

from vesalius.core.errors import InternalError, MemoryLimitError, VesaliusError
from vesalius.pipeline.internal import internal_error

Item = TypeVar("Item")
Value = TypeVar("Value")
Listener = Callable[[str, float], None]

_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

_listeners: list[Listener] = []


class Process(Protocol):
    """What is used of `multiprocessing.Process`, whatever its start method."""

    @property
    def exitcode(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def is_alive(self) -> bool:
        """Return whether it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


def tell(stage: str, fraction: float = 0.0) -> None:
    """Report progress of the item at hand to whoever started the batch; does nothing elsewhere."""
    for listener in _listeners[-1:]:
        listener(stage, fraction)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send what `tell` says inside the block to `listener`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def attempt(function: Callable[[Item], Value], item: Item) -> tuple[Value | None, VesaliusError | None]:
    """Return (value, None) or (None, error); no exception but an interrupt gets out."""
    try:
        return function(item), None
    except VesaliusError as error:
        return None, error
    except MemoryError:
        return None, MemoryLimitError("there was not enough memory", fix="use fewer workers or close other programs")
    except Exception as error:  # noqa: BLE001 - one item's failure must not end the others
        return None, internal_error(error)


def serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Answer items with ("done", value, error) until the pipe closes."""
    _isolate()
    send_lock = threading.Lock()

    def send(*message: object) -> None:
        with send_lock:
            connection.send(message)

    with contextlib.suppress(EOFError, BrokenPipeError), listening(lambda s, f: send("stage", s, f)):
        while True:
            value, error = attempt(function, connection.recv())
            try:
                send("done", value, error)
            except (TypeError, AttributeError, ValueError) as problem:
                kind = type(problem).__name__
                send("done", None, InternalError("the result cannot be sent between processes", found=kind))


def _isolate() -> None:
    """Leave Ctrl-C to the parent, end with it, and keep native libraries off the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    parent = multiprocessing.parent_process()
    if parent is not None:
        _ask_to_end_with_parent()
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    # decoders in C print header values and warnings straight to the two streams
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _ask_to_end_with_parent() -> None:
    """Let Linux kill this process when its parent dies: our thread cannot run while native code holds the interpreter.

    A worker that lived on for a moment could write into a folder in which the next run works already.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
