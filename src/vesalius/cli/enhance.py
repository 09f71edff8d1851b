"""`vesalius enhance METHOD IN OUT`: one command per method, made from the table in `imaging.methods`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.methods import COMMON, LIST, SOURCE, Option, Verb, declared, group, taken
from vesalius.cli.options import Json
from vesalius.cli.session import Answer, Flags, perform
from vesalius.imaging.methods import METHODS, Method

if TYPE_CHECKING:
    from vesalius.cli.session import Session

CHAIN = "chain"
COMPARE = "compare"
FAMILIES = {
    "noise": "Less noise",
    "speckle": "Less speckle (ultrasound)",
    "frequency": "Frequencies",
    "contrast": "Contrast",
    "scale": "Brightness scale (MR)",
    "pictures": "Radiographs and fundus photographs",
}
OPTIONS: dict[str, Option] = {
    "source": SOURCE,
    "out": (Annotated[Path, typer.Argument(metavar="OUT", help="File, or folder for DICOM and several series.")], ...),
    "to": (Annotated[str | None, typer.Option(help="nifti, nrrd, mha or dicom; by default OUT's suffix.")], None),
    "modality": (Annotated[str | None, typer.Option(help="CT, MR or PT, for DICOM out.")], None),
    **COMMON,
}


def _help(method: Method) -> str:
    kind = " and ".join(method.dimensions)
    meant = f", meant for {', '.join(method.modalities)}" if method.modalities else ""
    result = "voxel type kept" if method.result == "same type" else "result float32"
    return f"{method.help}\n\n{kind}{meant}; {result}, geometry kept. Reads any format, OUT as `vesalius convert`."


def _answer(session: Session, method: str, typed: dict[str, str], options: dict[str, Any]) -> Answer:
    from vesalius.cli.enhance_answers import Wish, enhanced

    return enhanced(session, Wish(method=method, parameters=typed, **options))


def _chain() -> Callable[..., None]:
    def command(**given: Any) -> None:
        flags, common = taken(given, OPTIONS)

        def body(session: Session) -> Answer:
            from vesalius.cli.enhance_answers import Wish, enhanced

            return enhanced(session, Wish(chain=given["steps"], **common))

        raise typer.Exit(perform("enhance", flags, body))

    command.__doc__ = "Several methods in a row."
    text = "Methods separated by |, such as 'median width_mm=3 | clahe clip=0.02'."
    steps = Annotated[str, typer.Option("--steps", metavar="CHAIN", help=text)]
    chain: Callable[..., None] = declared(command, OPTIONS, {"steps": (steps, ...)})
    return chain


def _list(
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No warnings.")] = False,
) -> None:
    """Every method with its parameters, units and defaults."""

    def body(session: Session) -> Answer:
        from vesalius.cli.methods_answers import listed

        return listed("enhance", METHODS)

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
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show where a failure happened.")] = False,
) -> None:
    """Chains against a reference: PSNR, SSIM, noise, sharpness, and whether a task gets worse."""

    def body(session: Session) -> Answer:
        from vesalius.cli.enhance_answers import Contest, compared

        return compared(session, Contest(source, tuple(chain), reference, task, mask, tolerance, spacing_mm))

    raise typer.Exit(perform("enhance", Flags(json, quiet, verbose), body))


app = group(
    Verb(
        name="enhance",
        what="enhancement method",
        methods=METHODS,
        families=FAMILIES,
        options=OPTIONS,
        answer=_answer,
        told=_help,
        tools={CHAIN: _chain(), COMPARE: _compare, LIST: _list},
    ),
    "Enhance an image: less noise, better contrast, an even scale.\n\n`vesalius enhance METHOD --help` tells the "
    "parameters of a method: --sigma-mm, --width-mm, --preset, --scale ...; lengths are in mm.\n\n"
    "Every method also takes --series, --to, --modality, --geometry, --spacing-mm, --fill-nan, --force, --json; "
    "several methods in a row: enhance chain IN OUT --steps CHAIN.",
    "Examples:  vesalius enhance list  ·  vesalius enhance median IN OUT --width-mm 3  ·  "
    "vesalius enhance compare IN --chain 'median width_mm=3' --reference CLEAN [--task otsu --mask TRUTH]",
)
