"""`vesalius convert`: parse, call, print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vesalius.cli.progress import watcher
from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.errors import UsageError
from vesalius.io import convert as conversion
from vesalius.pipeline.options import GEOMETRIES
from vesalius.pipeline.run import load_series
from vesalius.report.words import say

MOST_SHOWN = 10
"""File names that are printed one by one."""


@dataclass(frozen=True)
class Wish:
    """The options of the command as they were typed."""

    source: Path
    out: Path
    to: str | None = None
    series: str | None = None
    modality: str | None = None
    geometry: str = "reject"
    force: bool = False


def answer(session: Session, wish: Wish) -> Answer:
    """Return what `vesalius convert` has to say."""
    if wish.geometry not in GEOMETRIES:
        raise registry.unknown("way of geometry", wish.geometry, GEOMETRIES)
    if not wish.source.exists():
        raise UsageError("there is no such file or folder", found=str(wish.source), expected="an image to convert")
    asked = conversion.Wish(wish.to, wish.modality, wish.series, wish.force)
    with watcher(quiet=session.flags.quiet) as shown:
        written = conversion.convert_as(
            wish.source,
            wish.out,
            asked,
            progress=lambda stage, fraction: shown.stage(wish.source.name, stage, fraction),
            loader=lambda series: load_series(series, wish.geometry),
        )
    paths = [str(path) for path in written]
    warnings = tuple(say(message, "en") for message in written.warnings)
    return Answer({"files": paths}, lambda console: _show(console, paths), warnings)


def _show(console: Console, paths: list[str]) -> None:
    for path in paths[:MOST_SHOWN]:
        console.print(Text(path), soft_wrap=True)
    if len(paths) > MOST_SHOWN:
        console.print(Text(f"... {len(paths)} files in all"), soft_wrap=True)
