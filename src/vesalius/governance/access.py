"""Who may do what with which object for which purpose: rules as YAML, one function that decides, deny by default.

Rules only allow; nothing denies what another rule allows. So removing a rule never allows more, and what no rule names
stays forbidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vesalius.config import load_yaml
from vesalius.core.audit import AuditEvent, AuditOutcome, AuditTrail
from vesalius.core.errors import AccessError, ConfigError, UsageError
from vesalius.core.registry import unknown

ANY = "*"
LEAST_REASON = 10
"""Characters of a reason for breaking the glass; a word such as "urgent" is none."""

PurposeName = Literal["care", "research", "training", "sharing", "commercial"]


class Role(StrEnum):
    """What a person is in a project; a role by itself allows nothing."""

    READER = "reader"
    RADIOLOGIST = "radiologist"
    RESEARCHER = "researcher"
    STEWARD = "data steward"
    ADMINISTRATOR = "administrator"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """Allows some roles some actions on some objects of some projects for some purposes; `*` means every one."""

    id: str = Field(min_length=1, max_length=60, pattern=r"^[\w.-]+$", description="named in every decision")
    roles: tuple[Role, ...] = Field(min_length=1)
    projects: tuple[str, ...] = Field(min_length=1)
    purposes: tuple[PurposeName | Literal["*"], ...] = Field(min_length=1)
    actions: tuple[str, ...] = Field(min_length=1, description="commands or verbs: analyze, 'consent withdraw'")
    objects: tuple[str, ...] = Field(("*",), min_length=1, description="kinds of objects: study, cohort, model, ...")


class BreakGlass(_Strict):
    """Who may, in an emergency and with a reason, do what no rule allows."""

    roles: tuple[Role, ...] = Field(min_length=1)
    actions: tuple[str, ...] = Field(min_length=1)
    purposes: tuple[PurposeName, ...] = ("care",)


class Policy(_Strict):
    """What an access file holds."""

    project: str = Field(min_length=1, max_length=60, pattern=r"^[\w.-]+$", description="in which commands act")
    people: dict[str, dict[str, tuple[Role, ...]]] = Field(
        default_factory=dict, description="account -> project (or *) -> roles"
    )
    rules: tuple[Rule, ...] = ()
    break_glass: BreakGlass | None = None

    @model_validator(mode="after")
    def _one_rule_of_a_name(self) -> Policy:
        names = [rule.id for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}")
        return self


@dataclass(frozen=True)
class Subject:
    """Who asks: an account of the system."""

    account: str


@dataclass(frozen=True)
class Target:
    """What is asked for: a kind of object in a project; `name` is opaque here and is not judged."""

    kind: str
    project: str
    name: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether it is allowed, by which rule, and why; a decision is false when it denies.

    Args:
        rule: id of the rule that allows, `break-glass`, or "".
        emergency: allowed by breaking the glass only.
    """

    allowed: bool
    rule: str
    reason: str
    emergency: bool = False

    def __bool__(self) -> bool:
        """Return whether it is allowed."""
        return self.allowed


class Access:
    """The policy of an installation; the only place that decides."""

    def __init__(self, policy: Policy) -> None:
        """Keep the policy."""
        self.policy = policy

    def decide(self, subject: Subject, action: str, target: Target, purpose: str) -> Decision:
        """Return whether somebody may do something with an object for a purpose. Never raises; unknown is denied."""
        roles = self.roles(subject, target.project)
        if not roles:
            return Decision(False, "", f"{subject.account} has no role in project {target.project}")
        for rule in self.policy.rules:
            if _covers(rule, roles, action, target, purpose):
                return Decision(True, rule.id, f"rule {rule.id} allows it to {_listed(roles & set(rule.roles))}")
        asked = f"{action} on {target.kind} of project {target.project} for {purpose or 'no purpose'}"
        return Decision(False, "", f"no rule allows {asked} to {_listed(roles)}")

    def break_glass(
        self, subject: Subject, action: str, target: Target, purpose: str, *, reason: str, trail: AuditTrail
    ) -> Decision:
        """Return the decision for an emergency; allowed or not, the trail knows it before this returns.

        Raises:
            UsageError: the reason is missing or too short.
            VesaliusError: the trail cannot be written; nothing is allowed then.
        """
        if len(reason.strip()) < LEAST_REASON:
            raise UsageError(
                "breaking the glass needs a reason",
                found=f"{len(reason.strip())} characters",
                expected=f"at least {LEAST_REASON}, in plain words",
            )
        decision = self.decide(subject, action, target, purpose)
        if not decision:
            decision = self._emergency(subject, action, target, purpose)
        outcome = AuditOutcome.STARTED if decision else AuditOutcome.DENIED
        details = {"asked": action, "rule": decision.rule, "project": target.project}
        known = purpose if purpose in PURPOSES else ""
        named = ((target.kind, target.name),) if target.name else ()
        trail.record(AuditEvent("access break-glass", outcome, named, known, details, reason))
        return decision

    def roles(self, subject: Subject, project: str) -> frozenset[Role]:
        """Return what somebody is in a project."""
        given = self.policy.people.get(subject.account, {})
        return frozenset((*given.get(project, ()), *given.get(ANY, ())))

    def _emergency(self, subject: Subject, action: str, target: Target, purpose: str) -> Decision:
        glass, roles = self.policy.break_glass, self.roles(subject, target.project)
        if glass is None:
            return Decision(False, "", "this project has no emergency access")
        fits = roles & set(glass.roles) and _in(action, glass.actions) and purpose in glass.purposes
        if not fits:
            return Decision(False, "", f"emergency access does not cover {action} for {purpose or 'no purpose'}")
        return Decision(True, "break-glass", "emergency access, with a reason, on record", emergency=True)


PURPOSES = ("care", "research", "training", "sharing", "commercial")


def load_policy(path: Path) -> Policy:
    """Return the policy of an access file.

    Raises:
        ConfigError: naming file, line, the value and what is allowed.
    """
    policy = load_yaml(path, Policy)
    known = {project for roles in policy.people.values() for project in roles} | {policy.project, ANY}
    for rule in policy.rules:
        for project in rule.projects:
            if project not in known:
                wrong = unknown("project", project, sorted(known))
                message = f"{path}: rule {rule.id!r} names a project in which nobody has a role"
                raise ConfigError(message, found=wrong.found, expected=wrong.expected, fix=wrong.fix)
    return policy


def require(decision: Decision) -> None:
    """Raise when a decision denies.

    Raises:
        AccessError: with the reason of the decision.
    """
    if not decision:
        raise AccessError(decision.reason, expected="a rule of the project that names it", fix="ask its data steward")


def _covers(rule: Rule, roles: frozenset[Role], action: str, target: Target, purpose: str) -> bool:
    return (
        bool(roles & set(rule.roles))
        and _in(target.project, rule.projects)
        and _in(action, rule.actions)
        and _in(target.kind, rule.objects)
        and purpose in PURPOSES
        and _in(purpose, rule.purposes)
    )


def _in(name: str, allowed: tuple[str, ...]) -> bool:
    return bool(name) and (ANY in allowed or name in allowed)


def _listed(roles: frozenset[Role] | set[Role]) -> str:
    return ", ".join(sorted(roles))
