"""Commands made from a table of methods: what `vesalius enhance` and `vesalius segment` share."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vesalius.cli.options import Json, Quiet, Verbose
from vesalius.cli.session import Answer, Flags, perform
from vesalius.imaging.methods import Kind, Method, Parameter

if TYPE_CHECKING:
    from vesalius.cli.session import Session

LIST = "list"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}
Option = tuple[Any, Any]
"""Annotation and default of an argument of a command."""
SOURCE: Option = (Annotated[Path, typer.Argument(metavar="IN", help="Image file, or folder of DICOM slices.")], ...)
COMMON: Mapping[str, Option] = {
    "series": (Annotated[str | None, typer.Option(metavar="UID", help="Only this series.")], None),
    "geometry": (Annotated[str, typer.Option(help="Irregular slices: reject, or regrid.")], "reject"),
    "spacing_mm": (
        Annotated[
            str | None,
            typer.Option(
                "--spacing-mm", metavar="S[,R,C]", help="Voxel size of an image that does not tell it, one or three."
            ),
        ],
        None,
    ),
    "fill_nan": (
        Annotated[float | None, typer.Option("--fill-nan", metavar="N", help="Replace voxels that are not finite.")],
        None,
    ),
    "force": (Annotated[bool, typer.Option("--force", help="Replace OUT.")], False),
}
"""How images are read and OUT is replaced."""
FLAGS: Mapping[str, Option] = {
    "json": (Json, False),
    "quiet": (Quiet, False),
    "verbose": (Verbose, False),
}
_METAVARS = {Kind.NUMBER: "N", Kind.WHOLE: "N", Kind.WORD: "WORD", Kind.SEEDS: "PLACES", Kind.BOX: "CORNERS"}


@dataclass(frozen=True)
class Verb:
    """A verb of the program whose methods stand in a table.

    Args:
        name: "enhance", "segment".
        what: what a method is called in errors.
        families: family -> title of its panel, in order.
        options: further arguments and options, the first two positional.
        answer: gives the answer to method, parameters as typed and options as typed.
        told: the help of a method.
        tools: commands that are no methods.
    """

    name: str
    what: str
    methods: Mapping[str, Method]
    families: Mapping[str, str]
    options: Mapping[str, Option]
    answer: Callable[[Session, str, dict[str, str], dict[str, Any]], Answer]
    told: Callable[[Method], str]
    tools: Mapping[str, Callable[..., None]]


def group(verb: Verb, text: str, epilog: str) -> typer.Typer:
    """Return the commands of a verb; each is made when it is asked for."""

    class Methods(TyperGroup):
        """The commands of one verb."""

        def list_commands(self, ctx: Any) -> list[str]:
            """Return the names in the table's order, then what is no method."""
            return [*verb.methods, *verb.tools]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """Return the command of this name; an unknown one says so when it runs, with the nearest name."""
            if cmd_name in verb.methods:
                method = verb.methods[cmd_name]
                panel = verb.families.get(method.family, method.family)
                return built(cmd_name, _command(verb, method), help=verb.told(method), rich_help_panel=panel)
            if cmd_name in verb.tools:
                return built(cmd_name, verb.tools[cmd_name], rich_help_panel="Tools")
            return unknown_command(cmd_name, verb.name, verb.what, self.list_commands(ctx))

    return typer.Typer(
        cls=Methods,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings=HELP_NAMES,
        help=text,
        epilog=epilog,
    )


def built(name: str, body: Callable[..., None], **settings: Any) -> Any:
    """Return the command of a function."""
    maker = typer.Typer(add_completion=False, rich_markup_mode="rich")
    settings.setdefault("context_settings", HELP_NAMES)
    maker.command(name, **settings)(body)
    return typer.main.get_command(maker)


def unknown_command(name: str, verb: str, what: str, known: list[str]) -> Any:
    """Return a command that takes anything and says that there is none of this name."""

    def command(ctx: typer.Context) -> None:
        from vesalius.core.errors import UnknownNameError

        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"vesalius {verb} list"
        error = UnknownNameError(f"unknown {what}", found=repr(name), expected=", ".join(known), fix=fix)

        def body(session: Session) -> Answer:
            raise error

        raise typer.Exit(perform(verb, Flags(json="--json" in ctx.args), body))

    loose = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return built(name, command, context_settings=loose)


def _command(verb: Verb, method: Method) -> Callable[..., None]:
    """Return a function whose signature is the method's command line."""

    def command(**given: Any) -> None:
        flags, options = taken(given, verb.options)
        typed = {name: _text(value) for name, value in given.items() if value is not None}
        raise typer.Exit(perform(verb.name, flags, lambda session: verb.answer(session, method.name, typed, options)))

    own = {parameter.name: option_of(parameter) for parameter in method.parameters}
    whole: Callable[..., None] = declared(command, verb.options, own)
    return whole


def declared(command: Callable[..., None], options: Mapping[str, Option], own: Mapping[str, Option]) -> Any:
    """Return a command with a signature: two arguments, its own options, the common ones, the flags."""
    common = [_argument(name, *kind) for name, kind in options.items()]
    between = [_argument(name, *kind) for name, kind in own.items()]
    flags = [_argument(name, *kind) for name, kind in FLAGS.items()]
    parameters = [*common[:2], *between, *common[2:], *flags]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def taken(given: dict[str, Any], options: Mapping[str, Option]) -> tuple[Flags, dict[str, Any]]:
    """Return flags and common options, taken out of what was given."""
    flags = Flags(given.pop("json"), given.pop("quiet"), given.pop("verbose"))
    return flags, {name: given.pop(name) for name in options}


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _argument(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def option_of(parameter: Parameter) -> Option:
    """Return annotation and default; values stay texts, so that the table and not the parser reads them."""
    unit = f", in {parameter.unit}" if parameter.unit else ""
    words = f" One of: {', '.join(parameter.choices)}." if parameter.choices else ""
    start = f" Default {parameter.default:g}." if isinstance(parameter.default, int | float) else ""
    start = f" Default {parameter.default}." if isinstance(parameter.default, str) else start
    if parameter.kind is Kind.FLAG:
        off = "--no-" + parameter.option.removeprefix("--")
        usual = {True: "Default yes.", False: "Default no.", None: ""}[bool(parameter.default)]
        text = f"{parameter.help}. {usual if parameter.default is not None else ''}"
        return Annotated[bool | None, typer.Option(f"{parameter.option}/{off}", help=text, show_default=False)], None
    places = f" {parameter.kind.capitalize()}." if parameter.kind in (Kind.SEEDS, Kind.BOX) else ""
    needed = " Required." if parameter.required else ""
    text = f"{parameter.help}{unit}.{words}{places}{start}{needed}"
    metavar = _METAVARS.get(parameter.kind, "FILE")
    return Annotated[str | None, typer.Option(parameter.option, metavar=metavar, help=text)], None
