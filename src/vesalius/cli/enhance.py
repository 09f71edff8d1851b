"""`vesalius enhance METHOD IN OUT`: one command per method, made from the table in `imaging.methods`."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vesalius.cli.session import Answer, Flags, perform
from vesalius.imaging.methods import METHODS, Kind, Method, Parameter

if TYPE_CHECKING:
    from vesalius.cli.session import Session

CHAIN = "chain"
COMPARE = "compare"
LIST = "list"
FAMILIES = {
    "noise": "Less noise",
    "speckle": "Less speckle (ultrasound)",
    "frequency": "Frequencies",
    "contrast": "Contrast",
    "scale": "Brightness scale (MR)",
    "pictures": "Radiographs and fundus photographs",
}
JSON_OPTION = typer.Option("--json", help="Print one JSON object on standard output, errors included.")


class Methods(TyperGroup):
    """The commands `vesalius enhance ...`, made when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order, then what is no method."""
        return [*METHODS, CHAIN, COMPARE, LIST]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name; an unknown one says so when it runs, with the nearest name."""
        if cmd_name in METHODS:
            method = METHODS[cmd_name]
            return _built(cmd_name, _command(method), help=_help(method), rich_help_panel=FAMILIES[method.family])
        tools: dict[str, Callable[..., None]] = {CHAIN: _chain(), COMPARE: _compare, LIST: _list}
        if cmd_name in tools:
            return _built(cmd_name, tools[cmd_name], rich_help_panel="Tools")
        loose = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        return _built(cmd_name, _unknown(cmd_name, self.list_commands(ctx)), context_settings=loose)


def _built(name: str, body: Callable[..., None], **settings: Any) -> Any:
    maker = typer.Typer(add_completion=False, rich_markup_mode="rich")
    settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
    maker.command(name, **settings)(body)
    return typer.main.get_command(maker)


app = typer.Typer(
    cls=Methods,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Enhance an image: less noise, better contrast, an even scale.\n\n`vesalius enhance METHOD --help` tells the "
    "parameters of a method: --sigma-mm, --width-mm, --preset, --scale ...; lengths are in mm.\n\n"
    "Every method also takes --series, --to, --modality, --geometry, --spacing-mm, --fill-nan, --force, --json; "
    "several methods in a row: enhance chain IN OUT --steps CHAIN.",
    epilog="Examples:  vesalius enhance list  ·  vesalius enhance median IN OUT --width-mm 3  ·  "
    "vesalius enhance compare IN --chain 'median width_mm=3' --reference CLEAN [--task otsu --mask TRUTH]",
)


def _help(method: Method) -> str:
    kind = " and ".join(method.dimensions)
    meant = f", meant for {', '.join(method.modalities)}" if method.modalities else ""
    result = "voxel type kept" if method.result == "same type" else "result float32"
    return f"{method.help}\n\n{kind}{meant}; {result}, geometry kept. Reads any format, OUT as `vesalius convert`."


def _unknown(name: str, known: list[str]) -> Callable[..., None]:
    def command(ctx: typer.Context) -> None:
        from vesalius.core.errors import UnknownNameError

        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "vesalius enhance list"
        error = UnknownNameError("unknown enhancement method", found=repr(name), expected=", ".join(known), fix=fix)

        def body(session: Session) -> Answer:
            raise error

        raise typer.Exit(perform("enhance", Flags(json="--json" in ctx.args), body))

    return command


def _command(method: Method) -> Callable[..., None]:
    """Return a function whose signature is the method's command line."""

    def command(**given: Any) -> None:
        flags, common = _taken(given)
        typed = {name: _text(value) for name, value in given.items() if value is not None}

        def body(session: Session) -> Answer:
            from vesalius.cli.enhance_answers import Wish, enhanced

            return enhanced(session, Wish(method=method.name, parameters=typed, **common))

        raise typer.Exit(perform("enhance", flags, body))

    return _declared(command, [_argument(p.name, *_option(p)) for p in method.parameters])


def _chain() -> Callable[..., None]:
    def command(**given: Any) -> None:
        flags, common = _taken(given)

        def body(session: Session) -> Answer:
            from vesalius.cli.enhance_answers import Wish, enhanced

            return enhanced(session, Wish(chain=given["steps"], **common))

        raise typer.Exit(perform("enhance", flags, body))

    command.__doc__ = "Several methods in a row."
    text = "Methods separated by |, such as 'median width_mm=3 | clahe clip=0.02'."
    steps = Annotated[str, typer.Option("--steps", metavar="CHAIN", help=text)]
    return _declared(command, [_argument("steps", steps, ...)])


def _list(
    json: Annotated[bool, JSON_OPTION] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No warnings.")] = False,
) -> None:
    """Every method with its parameters, units and defaults."""

    def body(session: Session) -> Answer:
        from vesalius.cli.enhance_answers import listed

        return listed()

    raise typer.Exit(perform("enhance", Flags(json, quiet), body))


def _compare(  # noqa: PLR0913 - one parameter per option of the command line
    source: Annotated[Path, typer.Argument(metavar="IN", help="The image before enhancement.")],
    chain: Annotated[
        list[str], typer.Option("--chain", metavar="CHAIN", help="'median width_mm=3 | clahe'. Repeatable.")
    ],
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="FILE", help="The same scene without noise, same grid.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="otsu: Dice of Otsu's threshold with --mask; auc: of brightness.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="What the task should find: above zero, same grid.")
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Loss of the task that is still accepted.")] = 0.01,
    spacing_mm: Annotated[
        str | None, typer.Option("--spacing-mm", metavar="S[,R,C]", help="Voxel size when IN does not tell it.")
    ] = None,
    json: Annotated[bool, JSON_OPTION] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show where a failure happened.")] = False,
) -> None:
    """Chains against a reference: PSNR, SSIM, noise, sharpness, and whether a task gets worse."""

    def body(session: Session) -> Answer:
        from vesalius.cli.enhance_answers import Contest, compared

        return compared(session, Contest(source, tuple(chain), reference, task, mask, tolerance, spacing_mm))

    raise typer.Exit(perform("enhance", Flags(json, quiet, verbose), body))


def _taken(given: dict[str, Any]) -> tuple[Flags, dict[str, Any]]:
    """Return flags and common options, taken out of what was given."""
    flags = Flags(given.pop("json"), given.pop("quiet"), given.pop("verbose"))
    return flags, {name: given.pop(name) for name in _COMMON}


def _declared(command: Callable[..., None], own: list[inspect.Parameter]) -> Callable[..., None]:
    common = [_argument(name, *kind) for name, kind in _COMMON.items()]
    parameters = [*common[:2], *own, *common[2:], *(_argument(name, *kind) for name, kind in _FLAGS.items())]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _argument(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _option(parameter: Parameter) -> tuple[Any, Any]:
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
    needed = " Required." if parameter.required else ""
    metavar = {Kind.NUMBER: "N", Kind.WHOLE: "N", Kind.WORD: "WORD"}.get(parameter.kind, "FILE")
    text = f"{parameter.help}{unit}.{words}{start}{needed}"
    return Annotated[str | None, typer.Option(parameter.option, metavar=metavar, help=text)], None


_COMMON: dict[str, tuple[Any, Any]] = {
    "source": (Annotated[Path, typer.Argument(metavar="IN", help="Image file, or folder of DICOM slices.")], ...),
    "out": (Annotated[Path, typer.Argument(metavar="OUT", help="File, or folder for DICOM and several series.")], ...),
    "to": (Annotated[str | None, typer.Option(help="nifti, nrrd, mha or dicom; by default OUT's suffix.")], None),
    "series": (Annotated[str | None, typer.Option(metavar="UID", help="Only this series.")], None),
    "modality": (Annotated[str | None, typer.Option(help="CT, MR or PT, for DICOM out.")], None),
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
_FLAGS: dict[str, tuple[Any, Any]] = {
    "json": (Annotated[bool, JSON_OPTION], False),
    "quiet": (Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")], False),
    "verbose": (
        Annotated[bool, typer.Option("-v", "--verbose", help="Show where an internal failure happened.")],
        False,
    ),
}
