"""How a batch goes on, on standard error: bars on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from vesalius.pipeline import Row, Watcher
from vesalius.pipeline.plan import Plan


class Lines(Watcher):
    """One line per stage, each with the seconds since the start."""

    def __init__(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()
        self._last: dict[str, str] = {}
        self._count, self._done = 0, 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def scanning(self, source: Path) -> None:
        """Say that headers are read."""
        self._say(f"reading headers of {source}")

    def planned(self, plan: Plan, workers: int) -> None:
        """Say how much there is to do."""
        self._count = len(plan.jobs) + len(plan.rows)
        self._say(f"{len(plan.jobs)} analyses, {max(workers, 1)} at the same time")

    def stage(self, label: str, stage: str, fraction: float) -> None:
        """Say that a study has reached another stage."""
        if self._last.get(label) != stage:
            self._last[label] = stage
            self._say(f"{label}: {stage}")

    def ended(self, row: Row) -> None:
        """Say how a study ended."""
        self._done += 1
        seconds = f" in {row.seconds:.1f} s" if row.seconds is not None else ""
        label = f"{row.key} {row.application}".strip()
        self._say(f"{label}: {row.outcome}{seconds} ({self._done} of {self._count})")


class Bars(Lines):
    """A bar per running study, on a terminal."""

    def __init__(self) -> None:
        """Open the display."""
        super().__init__()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._display = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bars."""
        self._display.stop()

    def _say(self, text: str) -> None:
        self._display.console.print(text, markup=False, highlight=False)

    def stage(self, label: str, stage: str, fraction: float) -> None:
        """Move a bar."""
        if label not in self._tasks:
            self._tasks[label] = self._display.add_task(label, total=1.0)
        self._display.update(self._tasks[label], description=f"{label}: {stage}", completed=fraction)

    def ended(self, row: Row) -> None:
        """Remove a bar and say how the study ended."""
        task = self._tasks.pop(f"{row.key} {row.application}", None)
        if task is not None:
            self._display.remove_task(task)
        super().ended(row)


class Silence(Lines):
    """Says nothing: -q."""

    def _say(self, text: str) -> None:
        """Drop the line."""


def watcher(*, quiet: bool) -> Lines:
    """Return what fits standard error: bars on a terminal, lines elsewhere, nothing with -q."""
    if quiet:
        return Silence()
    return Bars() if sys.stderr.isatty() else Lines()
