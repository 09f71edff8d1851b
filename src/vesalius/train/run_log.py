"""What a run logs while it fits: JSON lines, and TensorBoard event files where tensorboardX is installed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesalius.io.atomic import output_errors


class RunLog:
    """The log of one fit; a context manager."""

    def __init__(self, folder: Path, fit: str) -> None:
        """Open it.

        Args:
            folder: RUN/<candidate>/log.
            fit: which fit, as "0-3" or "final".
        """
        self._file, self._fit, self._folder = folder / "log.jsonl", fit, folder / fit
        self._writer: Any = None
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> RunLog:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is pending."""
        if self._writer:
            self._writer.close()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers at a step, as an epoch.

        Raises:
            OutputError: the disk is full.
        """
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "fit": self._fit, "step": step, **values}
        with output_errors(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        writer = self._opened()
        if writer is not None:
            for name, value in values.items():
                writer.add_scalar(name, float(value), step)

    def _opened(self) -> Any:
        """Return the writer of event files, made when there is something to write."""
        if self._writer is None:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                self._writer = False
            else:
                with output_errors(self._folder):
                    self._writer = SummaryWriter(str(self._folder))
        return self._writer or None
