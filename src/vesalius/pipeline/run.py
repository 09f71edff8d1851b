"""One case through one application, in memory: load, run, and say where everything came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vesalius.core.application import Application, Context
from vesalius.core.errors import GeometryError, ImageContentError, IrregularGeometryError, VesaliusError
from vesalius.core.report import Result
from vesalius.core.study import Case, Selection, Series
from vesalius.core.volume import Volume
from vesalius.pipeline import fill, refusal
from vesalius.pipeline.options import Options, content_hash, input_hashes
from vesalius.pipeline.stages import Stages


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known before an application runs on a case.

    Args:
        inputs: role -> SHA-256 of the stored files of each series chosen.
        hash: over inputs, parameters and versions; the same hash gives the same result.
    """

    selection: Selection
    inputs: Mapping[str, str]
    hash: str


def prepare(case: Case, application: Application, options: Options, selection: Selection | None = None) -> Prepared:
    """Return the selection, the hashes of its files and the hash of the whole task."""
    chosen = selection if selection is not None else application.select(case, options.series_uid)
    inputs = input_hashes(chosen)
    return Prepared(chosen, inputs, content_hash(case.study, application, chosen, options, inputs))


def analyze_case(
    case: Case,
    application: Application,
    options: Options | None = None,
    *,
    context: Context | None = None,
    prepared: Prepared | None = None,
    run_id: str = "",
) -> Result:
    """Return the result of an application on a case, with sources, provenance and the run block filled.

    Nothing is written. A case that the application does not take, and slices that form no grid (unless
    `options.geometry` is "regrid"), give a refused report, not an exception.

    Args:
        run_id: UUID that names the run and gives its UIDs; a new one by default.

    Raises:
        ReadError: the files cannot be read, or contradict themselves.
    """
    options, context = options or Options(), context or Context()
    stages = Stages(context.progress)
    stages.enter("check files")
    known = prepared or prepare(case, application, options)
    asked = replace(context, seed=options.seed, keep_intermediate=options.keep_intermediate, progress=stages.enter)
    result, volumes = _outcome(case, application, known.selection, options, asked)
    stages.enter("describe")
    about = fill.About(case, application, known, options, stages, run_id)
    return fill.filled(result, volumes, about)


def _outcome(
    case: Case, application: Application, selection: Selection, options: Options, context: Context
) -> tuple[Result, Mapping[str, Volume]]:
    """Return the application's result, or the refusal that stands for it, and the volumes that were loaded."""
    if not selection.chosen:
        return refusal.nothing_fits(case, application, options.series_uid, selection.left_out), {}
    volumes: dict[str, Volume] = {}
    for number, (role, series) in enumerate(selection.chosen.items()):
        context.progress("read", number / len(selection.chosen))
        try:
            volumes[role] = load_series(series, options.geometry)
        except GeometryError as error:
            return refusal.irregular(case, application, series, error), volumes
    try:
        return application.run(case, selection, volumes, context), volumes
    except (ImageContentError, GeometryError) as error:
        return refusal.unusable(case, application, error), volumes


def load_series(series: Series, geometry: str = "reject") -> Volume:
    """Return the volume of a series; irregular slices are resampled to a regular grid when `geometry` is "regrid".

    Raises:
        IrregularGeometryError: the slices form no grid and regridding was not asked for.
    """
    from vesalius.io import load, load_slices

    if not series.geometry.usable and geometry == "regrid":
        from vesalius.imaging.spatial import regrid

        return regrid(load_slices(series))
    if not series.geometry.usable:
        raise IrregularGeometryError(
            f"the slices of the series do not form a regular grid ({series.geometry.verdict})",
            fix="find the missing or doubled files, or resample with --geometry regrid",
        )
    return load(series)


def explain(error: VesaliusError) -> str:
    """Return an error as one line for a table."""
    return " ".join(str(error).split())
