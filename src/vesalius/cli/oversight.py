"""Access and audit around a command: who may, and that it is on record before and after."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.cli.session import GIVEN, Answer, Session
from vesalius.core.audit import AuditEvent, AuditOutcome, AuditTrail, NoAudit
from vesalius.core.errors import AccessError, VesaliusError

if TYPE_CHECKING:
    from vesalius.governance.access import Decision

FREE = ("doctor", "applications", "keys create", "keys check", "audit", "access", "models", "ethics sign", "methods")
"""Commands that touch no data of patients; neither asked for nor on record."""
KINDS = {
    **dict.fromkeys(("check", "split", "train", "evaluate"), "cohort"),
    **dict.fromkeys(("package", "ethics"), "model"),
    **dict.fromkeys(("consent",), "consent"),
    "keys relink": "identity",
}
"""Command -> kind of object that access rules name; every other command works on a study."""


def overseen(command: str, session: Session, body: Callable[[Session], Answer]) -> Answer:
    """Return the answer of a command that access allows, with an event before it and one after.

    Raises:
        AccessError: no rule allows it.
        KeyFileError: the trail is on and there is no audit key.
        TamperedError: the trail does not end where its head says; nothing was done.
    """
    if _free(command):
        return body(session)
    trail = _trail(session)
    decision = _decided(command, session, trail)
    details = {"rule": decision.rule} if decision is not None else {}
    before = _paths()
    trail.record(_event(command, AuditOutcome.STARTED, session, before, details))
    try:
        answer = body(session)
    except BaseException as error:
        outcome = AuditOutcome.INTERRUPTED if isinstance(error, KeyboardInterrupt) else AuditOutcome.FAILED
        code = error.code if isinstance(error, VesaliusError) else outcome if outcome != "failed" else "internal"
        trail.record(_event(command, outcome, session, _paths(), {**details, "error": str(code)}))
        raise
    failed = {"error": answer.error.code} if answer.error is not None else {}
    outcome = AuditOutcome.FAILED if answer.error is not None else AuditOutcome.DONE
    objects = tuple(dict.fromkeys((*before, *_paths(), *answer.touched)))
    trail.record(_event(command, outcome, session, objects, {**details, **failed}))
    return answer


def kind_of(command: str) -> str:
    """Return the kind of object that a command works on."""
    return KINDS.get(command) or KINDS.get(command.split()[0], "study")


def _free(command: str) -> bool:
    return command in FREE or command.split()[0] in FREE


def _trail(session: Session) -> AuditTrail:
    if not session.settings.audit:
        return NoAudit()
    from vesalius.governance.audit import trail_of

    return trail_of(session.settings.home, session.settings.audit_head)


def _decided(command: str, session: Session, trail: AuditTrail) -> Decision | None:
    """Return the decision that allows the command, None without a project."""
    if session.settings.project is None:
        return None
    from vesalius.governance.access import Access, Subject, Target, load_policy, require

    access = Access(load_policy(session.settings.project.expanduser()))
    subject, purpose = Subject(getpass.getuser()), session.settings.purpose or ""
    target = Target(kind_of(command), access.policy.project)
    decision = access.decide(subject, command, target, purpose)
    if not decision and session.settings.break_glass is not None:
        if not session.settings.audit:
            raise AccessError("emergency access must be on record", fix="set VESALIUS_AUDIT=1, and make an audit key")
        reason = session.settings.break_glass
        decision = access.break_glass(subject, command, target, purpose, reason=reason, trail=trail)
    if not decision:
        denied = {"project": access.policy.project}
        trail.record(_event(command, AuditOutcome.DENIED, session, _paths(), denied))
    require(decision)
    return decision


def _event(
    command: str, outcome: AuditOutcome, session: Session, objects: tuple[tuple[str, str], ...], details: dict[str, str]
) -> AuditEvent:
    return AuditEvent(command, outcome, objects, session.settings.purpose or "", details)


def _paths() -> tuple[tuple[str, str], ...]:
    """Return the files and folders that the command line names and that are there, as absolute paths."""
    found = []
    for word in GIVEN.get()[1:]:
        name = word.partition("=")[2] if word.startswith("--") else word
        if name and not name.startswith("-") and os.path.lexists(name):
            found.append(("path", str(Path(name).resolve())))
    return tuple(dict.fromkeys(found))
