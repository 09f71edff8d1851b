"""`vesalius segment METHOD IN OUT`: one command per method, made from the table in `segment.methods`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli.methods import COMMON, LIST, SOURCE, Option, Verb, group
from vesalius.cli.options import Json
from vesalius.cli.session import Answer, Flags, perform
from vesalius.imaging.methods import Method
from vesalius.segment.methods import FAMILIES, METHODS

if TYPE_CHECKING:
    from vesalius.cli.session import Session

OPTIONS: dict[str, Option] = {
    "source": SOURCE,
    "out": (
        Annotated[Path, typer.Argument(metavar="OUT", help="Label file (.nii.gz, .nrrd, .mha), or folder for DICOM.")],
        ...,
    ),
    "to": (
        Annotated[
            str | None,
            typer.Option(help="nifti, nrrd, mha, seg or rtstruct (these two need DICOM in); by default OUT's suffix."),
        ],
        None,
    ),
    "modality": (
        Annotated[str | None, typer.Option(help="CT, MR, US, MG ...: of an image that does not tell it.")],
        None,
    ),
    **COMMON,
}


def _help(method: Method) -> str:
    kind = " and ".join(method.dimensions)
    meant = f", meant for {', '.join(method.modalities)}" if method.modalities else ""
    taken = "IN is a mask" if method.takes == "mask" else "IN is an image in any format"
    return (
        f"{method.help}\n\n{kind}{meant}; {taken}. OUT is a label file with its table of names (.labels.json), "
        "or a folder for a DICOM segmentation."
    )


def _answer(session: Session, method: str, typed: dict[str, str], options: dict[str, Any]) -> Answer:
    from vesalius.cli.segment_answers import Wish, segmented

    return segmented(session, Wish(method=method, parameters=typed, **options))


def _list(
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No warnings.")] = False,
) -> None:
    """Every method with its parameters, units and defaults."""

    def body(session: Session) -> Answer:
        from vesalius.cli.methods_answers import listed

        return listed("segment", METHODS)

    raise typer.Exit(perform("segment", Flags(json, quiet), body))


app = group(
    Verb(
        name="segment",
        what="segmenting method",
        methods=METHODS,
        families=FAMILIES,
        options=OPTIONS,
        answer=_answer,
        told=_help,
        tools={LIST: _list},
    ),
    "Segment an image: thresholds, regions, graphs from seeds, clusters, anatomy without weights, clean-up.\n\n"
    "`vesalius segment METHOD --help` tells the parameters of a method; lengths are in mm. Places are LPS mm, as in "
    "DICOM: --seeds '-12,30,55;-10,31,55', or index:slice,row,column.\n\n"
    "Every method also takes --to, --series, --modality, --geometry, --spacing-mm, --fill-nan, --force, --json.",
    "Examples:  vesalius segment list  ·  vesalius segment otsu IN OUT.nii.gz  ·  "
    "vesalius segment connected IN OUT.nii.gz --seeds index:40,120,130 --low -50 --high 150",
)
