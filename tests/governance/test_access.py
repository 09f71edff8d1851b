"""Access: deny by default, rules only allow, and an emergency is always on record."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.core.audit import AuditEvent
from vesalius.core.errors import AccessError, ConfigError, OutputError, UsageError
from vesalius.governance.access import (
    ANY,
    PURPOSES,
    Access,
    BreakGlass,
    Policy,
    Role,
    Rule,
    Subject,
    Target,
    load_policy,
    require,
)

ACCOUNTS, PROJECTS = ("ada", "chen", "eve"), ("thorax", "liver")
ACTIONS, KINDS = ("analyze", "export", "consent withdraw"), ("study", "cohort")


def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from((*names, ANY)), min_size=1, max_size=2, unique=True).map(tuple)


roles = st.lists(st.sampled_from(Role), min_size=1, max_size=2, unique=True).map(tuple)
rules = st.lists(
    st.builds(Rule, id=st.uuids().map(str), roles=roles, projects=some(PROJECTS), purposes=some(PURPOSES),
              actions=some(ACTIONS), objects=some(KINDS)), max_size=5,
).map(tuple)  # fmt: skip
people = st.dictionaries(
    st.sampled_from(ACCOUNTS), st.dictionaries(st.sampled_from((*PROJECTS, ANY)), roles, max_size=2), max_size=3
)
policies = st.builds(Policy, project=st.just("thorax"), people=people, rules=rules)
questions = st.tuples(
    st.sampled_from((*ACCOUNTS, "nobody", ANY)).map(Subject),
    st.sampled_from((*ACTIONS, "delete", "", ANY)),
    st.builds(Target, kind=st.sampled_from((*KINDS, "model")), project=st.sampled_from((*PROJECTS, "head"))),
    st.sampled_from((*PURPOSES, "", "fun", ANY)),
)
Question = tuple[Subject, str, Target, str]


def named(policy: Policy, rule: Rule, question: Question) -> bool:
    """Return whether a rule names everything of a question; written apart from the program."""
    subject, action, target, purpose = question
    mine = policy.people.get(subject.account, {})
    has = {*mine.get(target.project, ()), *mine.get(ANY, ())}
    pairs = [
        (target.project, rule.projects),
        (action, rule.actions),
        (target.kind, rule.objects),
        (purpose, rule.purposes),
    ]
    return any(role in rule.roles for role in has) and all(one in named or ANY in named for one, named in pairs)


@given(policies, questions)
def test_nothing_is_allowed_that_no_rule_names(policy: Policy, question: Question) -> None:
    decision = Access(policy).decide(*question)
    naming = [rule.id for rule in policy.rules if named(policy, rule, question)]
    if decision:
        assert decision.rule in naming
    elif question[1] and question[3] in PURPOSES:
        assert not naming
        assert decision.rule == ""
    assert decision.reason


@given(policies, questions, st.data())
def test_removing_a_rule_or_a_role_never_allows_more(policy: Policy, question: Question, data: st.DataObject) -> None:
    kept = tuple(rule for rule in policy.rules if data.draw(st.booleans()))
    fewer = {who: {where: given for where, given in has.items() if data.draw(st.booleans())}
             for who, has in policy.people.items()}  # fmt: skip
    before = Access(policy).decide(*question)
    for smaller in (policy.model_copy(update={"rules": kept}), policy.model_copy(update={"people": fewer})):
        assert before or not Access(smaller).decide(*question)


@given(policies, questions)
def test_without_rules_or_people_everything_is_denied(policy: Policy, question: Question) -> None:
    assert not Access(policy.model_copy(update={"rules": ()})).decide(*question)
    assert not Access(policy.model_copy(update={"people": {}})).decide(*question)


@given(policies, questions)
def test_the_same_question_has_the_same_answer(policy: Policy, question: Question) -> None:
    assert Access(policy).decide(*question) == Access(Policy.model_validate(policy.model_dump())).decide(*question)


class Remembering:
    """A trail in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


class Broken:
    """A trail that cannot be written."""

    def record(self, event: AuditEvent) -> None:
        raise OutputError("the disk is full")


GLASS = BreakGlass(roles=(Role.RADIOLOGIST,), actions=("analyze",))
STUDY = Target("study", "thorax", "/data/DOE")
REASON = "trauma room, the study of another project is needed"


@given(policies, questions)
def test_an_emergency_is_on_record_whatever_is_decided(policy: Policy, question: Question) -> None:
    trail = Remembering()
    access = Access(policy.model_copy(update={"break_glass": GLASS}))
    decision = access.break_glass(*question, reason=REASON, trail=trail)
    assert [event.action for event in trail.events] == ["access break-glass"]
    assert trail.events[0].outcome == ("started" if decision else "denied")
    assert trail.events[0].reason == REASON
    if decision and not access.decide(*question):
        assert (decision.rule, decision.emergency, question[1], question[3]) == ("break-glass", True, "analyze", "care")


def test_the_glass_breaks_for_whom_it_is_meant_only() -> None:
    policy = Policy(project="thorax", people={"ada": {"thorax": (Role.RADIOLOGIST,)}, "eve": {"*": (Role.READER,)}})
    for closed in (policy, policy.model_copy(update={"break_glass": GLASS})):
        access = Access(closed)
        asked = {
            (who, action, purpose): bool(
                access.break_glass(Subject(who), action, STUDY, purpose, reason=REASON, trail=Remembering())
            )
            for who in ("ada", "eve", "nobody") for action in ("analyze", "export") for purpose in ("care", "research")
        }  # fmt: skip
        assert {key for key, allowed in asked.items() if allowed} == (
            {("ada", "analyze", "care")} if closed.break_glass else set()
        )


def test_without_a_reason_or_a_trail_the_glass_holds() -> None:
    policy = Policy(project="thorax", people={"ada": {"thorax": (Role.RADIOLOGIST,)}}, break_glass=GLASS)
    access, trail = Access(policy), Remembering()
    for reason in ("", "   ", "urgent", "urgent        "):
        with pytest.raises(UsageError, match="reason"):
            access.break_glass(Subject("ada"), "analyze", STUDY, "care", reason=reason, trail=trail)
    with pytest.raises(OutputError):
        access.break_glass(Subject("ada"), "analyze", STUDY, "care", reason=REASON, trail=Broken())


FILE = """\
project: thorax
people:
  ada:
    thorax: [radiologist, data steward]
  chen:
    thorax: [researcher]
rules:
  - id: reading
    roles: [radiologist, reader]
    projects: [thorax]
    purposes: [care]
    actions: [analyze, info]
    objects: [study]
  - id: research
    roles: [researcher]
    projects: [thorax]
    purposes: [research, training]
    actions: ['*']
break_glass:
  roles: [radiologist]
  actions: [analyze]
"""


def test_a_file_says_who_may_do_what(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(FILE)
    access = Access(load_policy(path))
    decision = access.decide(Subject("ada"), "analyze", STUDY, "care")
    assert (decision.allowed, decision.rule) == (True, "reading")
    assert "radiologist" in decision.reason
    denied = access.decide(Subject("ada"), "analyze", STUDY, "research")
    assert not denied
    assert "no rule allows analyze on study of project thorax for research" in denied.reason
    assert access.decide(Subject("chen"), "train", Target("cohort", "thorax"), "training").rule == "research"
    require(decision)
    with pytest.raises(AccessError, match="data steward"):
        require(denied)
    with pytest.raises(PermissionError):
        require(access.decide(Subject("eve"), "analyze", STUDY, "care"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[researcher]\nrules", "[resercher]\nrules", "line 6"),
        ("id: research", "id: reading", "two rules"),
        ("purposes: [care]", "purposes: [cure]", "line 11"),
        ("    actions: [analyze, info]\n", "", "actions"),
        (
            "projects: [thorax]\n    purposes: [care]",
            "projects: [torax]\n    purposes: [care]",
            "did you mean 'thorax'",
        ),
        ("break_glass:", "breakglass:", "did you mean 'break_glass'"),
        ("    actions: ['*']", "    actions: []", "line 18"),
    ],
)
def test_a_bad_file_is_refused_by_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "access.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_policy(path)
    assert said in str(error.value)
    assert "access.yaml" in str(error.value)
