"""Seconds per stage, measured while progress passes through."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from vesalius.core.application import Progress


class Stages:
    """A clock that is told when a new stage begins.

    Args:
        progress: where stage names and fractions go on to.
    """

    def __init__(self, progress: Progress) -> None:
        """Start the clock."""
        self.progress = progress
        self.started = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._name, self._since = "", self._began

    def enter(self, stage: str, fraction: float = 0.0) -> None:
        """Note that work on a stage goes on; a new name ends the stage before."""
        if stage != self._name:
            self._count()
            self._name = stage
        self.progress(stage, fraction)

    def _count(self) -> None:
        now = time.monotonic()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._since = now

    def totals(self) -> tuple[float, float, dict[str, float]]:
        """Return (seconds, processor seconds, stage -> seconds) until now."""
        self._count()
        rounded = {name: round(value, 3) for name, value in self.seconds.items()}
        return time.monotonic() - self._began, time.process_time() - self._cpu_began, rounded
