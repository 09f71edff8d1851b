"""What is told to an audit trail, and what a trail must offer. `governance.audit` keeps one; rooms are handed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


class AuditOutcome(StrEnum):
    """How an event went."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class AuditEvent:
    """Something that was done with data of patients.

    Args:
        action: a command or verb of the program ("analyze", "consent withdraw").
        objects: what it was done to, as (kind, name); the trail keeps a keyed hash of each name, never the name.
        purpose: care, research, training, sharing, commercial, or "".
        details: short words of the program itself (error code, rule, run id); never a value of a header or a table.
        reason: free text of a person; the trail keeps it sealed.
    """

    action: str
    outcome: AuditOutcome
    objects: tuple[tuple[str, str], ...] = ()
    purpose: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@runtime_checkable
class AuditTrail(Protocol):
    """Remembers events; when it cannot, it raises, and what was to be done is not done."""

    def record(self, event: AuditEvent) -> None:
        """Keep the event before returning."""


class NoAudit:
    """Stands in where no trail is kept."""

    def record(self, event: AuditEvent) -> None:
        """Forget the event."""
