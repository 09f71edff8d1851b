"""`vesalius access check | show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli.options import Json, Quiet, Verbose, noun
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.cli.session import Session
    from vesalius.governance.access import Policy

app = noun(
    "Who may do what for which purpose: the rules that VESALIUS_PROJECT names.",
    "Examples:  vesalius access check analyze --as ada --purpose care [--object KIND] [--file FILE]  ·  "
    "vesalius access show",
)
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="The access file; by default VESALIUS_PROJECT.")
]


@app.command(epilog="Example:  vesalius access check analyze --as ada --purpose care")
def check(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="A command: analyze, 'consent withdraw'.")],
    account: Annotated[
        str | None, typer.Option("--as", metavar="ACCOUNT", help="Another person; by default you.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="care, research, training, sharing or commercial.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--object", metavar="KIND", help="study, cohort, model, ...")] = None,
    file: FileOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether the rules allow it, by which rule, and why; exit 1 when they do not. Nothing is done."""

    def body(session: Session) -> Answer:
        import getpass

        from vesalius.cli.oversight import kind_of
        from vesalius.core.errors import AccessError
        from vesalius.governance.access import Access, Subject, Target

        access = Access(_policy(session, file))
        subject, target = Subject(account or getpass.getuser()), Target(kind or kind_of(action), access.policy.project)
        decision = access.decide(subject, action, target, purpose or session.settings.purpose or "")
        data = {"allowed": decision.allowed, "rule": decision.rule, "reason": decision.reason}
        said = f"{'allowed' if decision else 'denied'}: {decision.reason}"
        error = None if decision else AccessError(decision.reason, fix="ask the data steward of the project")
        return Answer(data, lambda console: console.print(said, soft_wrap=True), (), error)

    raise typer.Exit(perform("access check", Flags(json, quiet), body))


@app.command(epilog="Example:  vesalius access show")
def show(file: FileOption = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List people, roles and rules."""

    def body(session: Session) -> Answer:
        policy = _policy(session, file)
        return Answer(policy.model_dump(mode="json"), lambda console: _show(console, policy))

    raise typer.Exit(perform("access show", Flags(json, quiet, verbose), body))


def _policy(session: Session, file: Path | None) -> Policy:
    from vesalius.core.errors import UsageError
    from vesalius.governance.access import load_policy

    path = file or session.settings.project
    if path is None:
        raise UsageError("no access file is named", fix="set VESALIUS_PROJECT, or give --file FILE")
    return load_policy(path.expanduser())


def _show(console: Console, policy: Policy) -> None:
    from rich.table import Table

    table = Table("account", "project", "roles", box=None, pad_edge=False)
    for account, projects in policy.people.items():
        for project, roles in projects.items():
            table.add_row(account, project, ", ".join(roles))
    console.print(table)
    rules = Table("rule", "roles", "projects", "purposes", "actions", "objects", box=None, pad_edge=False)
    for rule in policy.rules:
        parts = (rule.roles, rule.projects, rule.purposes, rule.actions, rule.objects)
        rules.add_row(rule.id, *(", ".join(one) for one in parts))
    console.print(rules)
