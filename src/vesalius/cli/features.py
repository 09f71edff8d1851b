"""`vesalius features IMAGE MASK --out TABLE`, and what can be measured of masks alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vesalius.cli.methods import HELP_NAMES, Option, declared, taken
from vesalius.cli.options import Json, Quiet, Verbose
from vesalius.cli.session import Answer, Flags, perform

if TYPE_CHECKING:
    from vesalius.cli.session import Session

RADIOMICS = "radiomics"

Out = Annotated[
    Path | None, typer.Option("--out", metavar="TABLE", help=".csv, .tsv or .json; without it, shown only.")
]
Segments = Annotated[
    list[str] | None,
    typer.Option("--segment", metavar="NAME", help="Name or number of a segment. Repeatable; all by default."),
]
Spacing = Annotated[
    str | None, typer.Option("--spacing-mm", metavar="S[,R,C]", help="Voxel size of a picture that does not tell it.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", metavar="N", help="0..1, for a fractional DICOM segmentation.")
]
Fit = Annotated[bool, typer.Option("--fit-mask", help="Resample a mask that lies on another grid; refused without it.")]
ImageOf = Annotated[
    Path | None, typer.Option("--image", metavar="IMAGE", help="Image that the masks were drawn on; RTSTRUCT needs it.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace TABLE.")]


class Measurements(TyperGroup):
    """The commands `vesalius features ...`; without a command's name, radiomics."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take IMAGE MASK and options for those of radiomics."""
        if args and args[0] not in (*self.commands, *HELP_NAMES["help_option_names"]):
            args = [RADIOMICS, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=Measurements,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings=HELP_NAMES,
    help="Measure: radiomics after IBSI, lesions, vessels, relations between masks, metrics of two masks.\n\n"
    "`vesalius features IMAGE MASK --out TABLE` is `vesalius features radiomics IMAGE MASK --out TABLE`. MASK: NIfTI, "
    "NRRD, MetaImage, picture, DICOM SEG or RTSTRUCT; a file named like a command is written ./list.",
    epilog="Examples:  vesalius features ct.nii.gz tumour.nii.gz --out table.csv  ·  vesalius features list  ·  "
    "vesalius features metrics MINE TRUTH --tolerance-mm 1  ·  vesalius features lesions MASK --reference LUNG",
)


RADIOMICS_OPTIONS: dict[str, Option] = {
    "image": (
        Annotated[
            Path, typer.Argument(metavar="IMAGE", help="Image, DICOM folder, or a table of cases with path and mask.")
        ],
        ...,
    ),
    "mask": (
        Annotated[Path | None, typer.Argument(metavar="MASK", help="Labels of any format, DICOM SEG or RTSTRUCT.")],
        None,
    ),
    "out": (Annotated[Path, typer.Option("--out", metavar="TABLE", help=".csv, .tsv or .json.")], ...),
    "segment": (Segments, None),
    "settings": (
        Annotated[
            Path | None,
            typer.Option("--settings", metavar="YAML", help="Settings file; see docs/reference/features.md."),
        ],
        None,
    ),
    "preset": (
        Annotated[
            str | None,
            typer.Option("--preset", metavar="NAME", help="default, pyradiomics, ibsi-A .. E, ibsi2-1.A .. 9.B."),
        ],
        None,
    ),
    "families": (
        Annotated[
            str | None, typer.Option("--families", metavar="LIST", help="morph,stat,cm ...: see `features list`.")
        ],
        None,
    ),
    "dimension": (
        Annotated[
            str | None,
            typer.Option("--dimension", metavar="LIST", help="2D, 2.5D, 3D: of texture matrices. Default 3D."),
        ],
        None,
    ),
    "merging": (
        Annotated[
            str | None,
            typer.Option("--merging", metavar="LIST", help="averaged, merged: directions of textures. Default both."),
        ],
        None,
    ),
    "bins": (
        Annotated[int | None, typer.Option("--bins", metavar="N", help="Fixed number of grey levels. Default 32.")],
        None,
    ),
    "bin_width": (
        Annotated[
            float | None, typer.Option("--bin-width", metavar="W", help="Fixed size of grey levels, in image units.")
        ],
        None,
    ),
    "resample_mm": (
        Annotated[
            str | None, typer.Option("--resample-mm", metavar="S[,R,C]", help="Voxel size to interpolate to (cubic).")
        ],
        None,
    ),
    "within": (
        Annotated[
            str | None, typer.Option("--within", metavar="LO,HI", help="Intensities that count (re-segmentation).")
        ],
        None,
    ),
    "outlier_sigma": (
        Annotated[
            float | None, typer.Option("--outlier-sigma", metavar="N", help="Drop voxels further than N deviations.")
        ],
        None,
    ),
    "filter": (
        Annotated[
            list[str] | None,
            typer.Option("--filter", metavar="TEXT", help="'log sigma_mm=3', 'laws kernels=L5E5S5', none. Repeatable."),
        ],
        None,
    ),
    "perturbations": (
        Annotated[
            int | None,
            typer.Option(
                "--perturbations", metavar="N", help="Changed pictures for the stability. Default 6, 0: none."
            ),
        ],
        None,
    ),
    "seed": (Annotated[int | None, typer.Option("--seed", metavar="N", help="Of the perturbations. Default 0.")], None),
    "layout": (
        Annotated[
            str, typer.Option("--layout", metavar="WORD", help="long: a row per feature; wide: a row per segment.")
        ],
        "long",
    ),
    "series": (Annotated[str | None, typer.Option("--series", metavar="UID", help="Only this series.")], None),
    "geometry": (Annotated[str, typer.Option("--geometry", help="Irregular slices: reject, or regrid.")], "reject"),
    "spacing_mm": (Spacing, None),
    "fit_mask": (Fit, False),
    "threshold": (Threshold, None),
    "force": (Force, False),
}


def _radiomics() -> Callable[..., None]:
    def command(**given: Any) -> None:
        flags, options = taken(given, RADIOMICS_OPTIONS)
        for name in ("segment", "filter"):
            options[name] = tuple(options[name] or ())

        def body(session: Session) -> Answer:
            from vesalius.cli.measure_radiomics import Wish, measured

            return measured(session, Wish(**options))

        raise typer.Exit(perform("features", flags, body))

    command.__doc__ = "Radiomics after IBSI: shape, intensity and texture of each segment, with stability."
    whole: Callable[..., None] = declared(command, RADIOMICS_OPTIONS, {})
    return whole


app.command(RADIOMICS, epilog="Example:  vesalius features ct.nii.gz tumour.nii.gz --preset ibsi-C --out table.csv")(
    _radiomics()
)


@app.command(epilog="Example:  vesalius features metrics mine.nii.gz truth.nii.gz --tolerance-mm 1 --out scores.csv")
def metrics(  # noqa: PLR0913 - one parameter per option of the command line
    prediction: Annotated[Path, typer.Argument(metavar="PREDICTION", help="Mask to judge.")],
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Mask as it should be, on the same grid.")],
    out: Out = None,
    segment: Annotated[
        list[str] | None,
        typer.Option("--segment", metavar="NAME", help="Name or number in both, or PREDICTED=REFERENCE. Repeatable."),
    ] = None,
    names: Annotated[
        str | None, typer.Option("--metrics", metavar="LIST", help="dice,hd95 ...; all quick ones by default.")
    ] = None,
    definition: Annotated[
        str, typer.Option("--definition", help="Of surface distances: deepmind, monai, pooled or medpy.")
    ] = "deepmind",
    tolerance_mm: Annotated[
        float | None, typer.Option("--tolerance-mm", metavar="N", help="Adds the surface Dice at this tolerance.")
    ] = None,
    width_mm: Annotated[
        float | None, typer.Option("--width-mm", metavar="N", help="Adds the boundary IoU of rims of this width.")
    ] = None,
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Adds lesion-wise sensitivity, precision, F1 and panoptic quality.")
    ] = False,
    joined: Annotated[bool, typer.Option("--joined", help="All segments of each mask as one.")] = False,
    rule: Annotated[str, typer.Option("--rule", help="When a lesion is found: iou, or overlap.")] = "iou",
    overlap: Annotated[float, typer.Option("--overlap", metavar="N", help="IoU or share from which it is.")] = 0.1,
    image: ImageOf = None,
    spacing_mm: Spacing = None,
    threshold: Threshold = None,
    fit_mask: Fit = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Two masks compared: Dice, IoU, HD95, ASSD, surface Dice, volume error, lesions."""

    def body(session: Session) -> Answer:
        from vesalius.cli.measure_masks import Common, Comparison, compared

        common = Common(out, tuple(segment or ()), image, spacing_mm, threshold, fit_mask, force)
        how = Comparison(
            prediction, reference, names, definition, tolerance_mm, width_mm, lesions, rule, overlap, joined
        )
        return compared(common, how)

    raise typer.Exit(perform("features", Flags(json, quiet, verbose), body))


@app.command("lesions", epilog="Example:  vesalius features lesions nodules.nii.gz --reference lungs.nii.gz")
def lesion_table(  # noqa: PLR0913 - one parameter per option of the command line
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Mask whose connected parts are lesions.")],
    out: Out = None,
    segment: Segments = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="MASK", help="Organ in which places are told in words.")
    ] = None,
    smallest_ml: Annotated[float, typer.Option("--smallest-ml", metavar="N", help="Smaller parts are left out.")] = 0.0,
    connectivity: Annotated[int, typer.Option("--connectivity", metavar="N", help="6, 18 or 26 neighbours.")] = 26,
    image: ImageOf = None,
    spacing_mm: Spacing = None,
    threshold: Threshold = None,
    fit_mask: Fit = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lesions one by one: volume, longest and short axis after RECIST, place in the patient."""

    def body(session: Session) -> Answer:
        from vesalius.cli.measure_masks import Common, lesions

        common = Common(out, tuple(segment or ()), image, spacing_mm, threshold, fit_mask, force)
        return lesions(common, mask, reference, smallest_ml, connectivity)

    raise typer.Exit(perform("features", Flags(json, quiet, verbose), body))


@app.command("vessels", epilog="Example:  vesalius features vessels vessels.nii.gz --branches --out branches.csv")
def vessel_table(  # noqa: PLR0913 - one parameter per option of the command line
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Mask of vessels, 3-D or one slice.")],
    out: Out = None,
    segment: Segments = None,
    prune: Annotated[
        float, typer.Option("--prune", metavar="N", help="Free pieces shorter than N radii are left out.")
    ] = 1.5,
    branches: Annotated[bool, typer.Option("--branches", help="A row per branch instead of one per segment.")] = False,
    image: ImageOf = None,
    spacing_mm: Spacing = None,
    threshold: Threshold = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Centrelines of vessels: length, calibre, tortuosity, branch points."""

    def body(session: Session) -> Answer:
        from vesalius.cli.measure_masks import Common, vessels

        return vessels(
            Common(out, tuple(segment or ()), image, spacing_mm, threshold, False, force), mask, prune, branches
        )

    raise typer.Exit(perform("features", Flags(json, quiet, verbose), body))


@app.command("relations", epilog="Example:  vesalius features relations tumour.nii.gz organs.nii.gz --out near.csv")
def relation_table(  # noqa: PLR0913 - one parameter per option of the command line
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Mask; its segments among each other without OTHER.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="OTHER", help="Mask whose segments each is compared with.")
    ] = None,
    out: Out = None,
    segment: Segments = None,
    image: ImageOf = None,
    spacing_mm: Spacing = None,
    threshold: Threshold = None,
    fit_mask: Fit = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """How segments lie to each other: distance, contact, containment, side."""

    def body(session: Session) -> Answer:
        from vesalius.cli.measure_masks import Common, relations

        return relations(Common(out, tuple(segment or ()), image, spacing_mm, threshold, fit_mask, force), mask, other)

    raise typer.Exit(perform("features", Flags(json, quiet, verbose), body))


@app.command("list")
def list_all(json: Json = False, quiet: Quiet = False) -> None:
    """Every radiomics feature family with its features, filters, presets and metrics."""

    def body(session: Session) -> Answer:
        from vesalius.cli.measure_list import listed

        return listed()

    raise typer.Exit(perform("features", Flags(json, quiet), body))
