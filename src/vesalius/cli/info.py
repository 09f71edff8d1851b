"""`vesalius info`: parse, call, print."""

from __future__ import annotations

from pathlib import Path

from vesalius.cli.session import Answer, Session


def answer(session: Session, study: Path) -> Answer:
    """Return what `vesalius info` has to say."""
    raise NotImplementedError
