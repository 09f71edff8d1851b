"""`vesalius applications`: what is installed, what each needs and gives."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.errors import ContractError, VesaliusError
from vesalius.core.finding import Message
from vesalius.pipeline import check_application
from vesalius.pipeline.worker import attempt
from vesalius.report.words import find, say


def answer(session: Session, check: bool) -> Answer:
    """Return the installed applications."""
    listed = [_describe(name, check) for name in registry.names("applications")]
    errors = [one["error"] for one in listed if one["error"]]
    error = ContractError("an application is broken", found=errors[0], fix="reinstall it") if errors else None
    return Answer({"applications": listed}, lambda console: _show(console, listed), (), error)


def _describe(name: str, check: bool) -> dict[str, Any]:
    application, error = attempt(lambda known: registry.get("applications", known), name)
    if application is None:
        return {"name": name, "version": "", "title": "", "needs": "", "gives": "", "error": str(error)}
    words = {part: _words(application, part) for part in ("title", "needs", "gives")}
    problem: VesaliusError | None = None
    if check:
        _, problem = attempt(check_application, application)
    return {"name": name, "version": application.version, **words, "error": str(problem) if problem else None}


def _words(application: Any, part: str) -> str:
    """Return how an application presents itself: messages `application.<name>`, with `.needs` and `.gives`."""
    message_id = f"application.{application.name}" + ("" if part == "title" else f".{part}")
    known = find(message_id, "en", application.catalogue) is not None
    return say(Message(message_id), "en", application.catalogue) if known else ""


def _show(console: Console, listed: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("application", "version", "what it does", "needs", "gives"):
        table.add_column(name, overflow="fold")
    for one in listed:
        said = one["title"] if not one["error"] else f"BROKEN: {one['error']}"
        table.add_row(*(Text(text) for text in (one["name"], one["version"], said, one["needs"], one["gives"])))
    console.print(table)
