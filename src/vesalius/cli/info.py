"""`vesalius info`: parse, call, print."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from vesalius.cli.progress import watcher
from vesalius.cli.session import Answer, Session
from vesalius.core.errors import UsageError, VesaliusError
from vesalius.io import Description, Entry, Failure, describe
from vesalius.report.words import say

USABLE = ("regular", "sheared")


def answer(session: Session, study: Path) -> Answer:
    """Return what `vesalius info` has to say; an error when nothing at all can be read."""
    if not study.exists():
        raise UsageError("there is no such file or folder", found=str(study), expected="a file, folder or zip")
    with watcher(quiet=session.flags.quiet) as shown:
        shown.scanning(study)
        found = describe(study)
    data = found.as_dict()
    for told, entry in zip(data["entries"], found.entries, strict=True):
        told["text"] = [say(message, "en") for message in entry.messages()]
    for left, (_, reason) in zip(data["left_out"], found.left_out, strict=True):
        left["text"] = say(reason, "en")
    warnings = tuple(_said(one) for one in found.failed) if found.entries else ()
    return Answer(data, lambda console: _show(console, found), warnings, _error(found))


def _error(found: Description) -> VesaliusError | None:
    """Return the first error when nothing could be described."""
    return found.failed[0].error if found.failed and not found.entries else None


def _show(console: Console, found: Description) -> None:
    for study in dict.fromkeys(entry.study for entry in found.entries):
        entries = [entry for entry in found.entries if entry.study == study]
        console.print(Text(f"study {study}: {_counted(entries)}", style="bold"), soft_wrap=True)
        for entry in entries:
            _show_entry(console, entry)
    for failure in found.failed:
        console.print(_failed(failure))
    for path, reason in found.left_out:
        console.print(Text(f"left out: {path}: {say(reason, 'en')}"), soft_wrap=True)


def _counted(entries: list[Entry]) -> str:
    images = sum(entry.kind == "image" for entry in entries)
    others = len(entries) - images
    return f"{images} series" + (f", {others} other objects" if others else "")


def _show_entry(console: Console, entry: Entry) -> None:
    said = [say(message, "en") for message in entry.messages()]
    number = f"#{entry.number} " if entry.number is not None else ""
    files = f" ({entry.files} files)" if entry.files > 1 else ""
    if entry.kind != "image":
        console.print(Text(f"  {number}{'; '.join(said)}{files}"), soft_wrap=True)
        return
    size, spacing, verdict, *odd = said
    style = "green" if entry.verdict in USABLE else "yellow"
    console.print(
        Text(f"  {number}{size}, {spacing}{files}\n    geometry: ").append(verdict, style=style), soft_wrap=True
    )
    for text in odd:
        console.print(Text(f"    - {text}"), soft_wrap=True)
    console.print(Text(f"    --series {entry.key}", style="dim"), soft_wrap=True)


def _failed(failure: Failure) -> Text:
    return Text(f"cannot be read: {_said(failure)}", style="red")


def _said(failure: Failure) -> str:
    """Return the error, after the path of its file unless it begins with that."""
    place = "" if failure.source == "." or str(failure.error).startswith(failure.source) else f"{failure.source}: "
    return f"{place}{failure.error}"
