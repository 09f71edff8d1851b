"""What an application is handed and what it must offer (extension point `vesalius.applications`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vesalius.core.report import Result
from vesalius.core.study import Case, Selection, Series
from vesalius.core.volume import Volume

Progress = Callable[[str, float], None]
"""Called with a stage name and the fraction done, 0..1."""


def no_progress(stage: str, fraction: float) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Context:
    """What the caller grants a run: threads, seed, where progress goes, whether intermediates are wanted."""

    threads: int = 2
    seed: int = 0
    progress: Progress = no_progress
    keep_intermediate: bool = False


@runtime_checkable
class Application(Protocol):
    """One disease system: it only decides.

    `name` and `version` are stable; `catalogue` gives the application's messages: language -> id -> template
    (str.format with the message's parameters), English ("en") and Chinese ("zh") at least.
    """

    name: str
    version: str
    catalogue: Mapping[str, Mapping[str, str]]

    def select(self, case: Case, series_uid: str | None = None) -> Selection:
        """Return role -> series and a reason for every series left out."""

    def memory_bytes(self, chosen: Mapping[str, Series]) -> int:
        """Return the peak memory of a run on these series, the interpreter included."""

    def run(self, case: Case, selection: Selection, volumes: Mapping[str, Volume], context: Context) -> Result:
        """Return the result; a guard that says no is a result whose report is refused."""
