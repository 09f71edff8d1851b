"""What the pipeline knows and an application does not: sources, provenance, masks and the run."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.core.application import Application
from vesalius.core.energy import CoreTimeEstimate
from vesalius.core.finding import Mark, Message, QualityCheck
from vesalius.core.report import LeftOut, Provenance, Report, Result, Run, Source
from vesalius.core.study import Case, Series, Study
from vesalius.core.volume import Volume
from vesalius.io.single import content_problems
from vesalius.pipeline.options import Options, versions
from vesalius.pipeline.resources import peak_memory_bytes
from vesalius.pipeline.stages import Stages
from vesalius.report.render import with_masks

if TYPE_CHECKING:
    from vesalius.pipeline.run import Prepared

REPORT_NAMESPACE = uuid.UUID("6f0f0b4e-54f5-5f0e-9d0a-0f6a2d6a7c11")
"""Namespace of report ids: the same study, application and content hash give the same id."""

NOTES = frozenset({
    "nifti.units_converted", "nifti.time_unknown", "file.units_converted", "file.alpha_dropped", "io.dicom.mosaic",
    "io.dicom.split", "io.dicom.stored_twice", "io.dicom.monochrome1_kept", "io.dicom.frames_as_slices",
    "io.dicom.region_spacing", "raster.exif_applied", "raster.resolution_ignored", "raster.colours_converted",
})  # fmt: skip
"""What readers tell of a file that is no reason to doubt it."""
UNREADABLE = "io.unreadable"
"""Message id with which `io.scan` leaves out a file that claims to be an image."""
MOST_FILES = 5


@dataclass(frozen=True, eq=False)
class About:
    """Everything a report is filled from, beside the application's own result."""

    case: Case
    application: Application
    prepared: Prepared
    options: Options
    stages: Stages
    run_id: str = ""


def filled(result: Result, volumes: Mapping[str, Volume], about: About) -> Result:
    """Return the result with a complete report."""
    selection = about.prepared.selection
    report = replace(
        result.report,
        application=about.application.name,
        version=about.application.version,
        study_key=about.case.study.key,
        study_date=result.report.study_date or about.case.study.date,
        id=_report_id(about),
        sources=tuple(_source(role, series, volumes.get(role), about) for role, series in selection.chosen.items()),
        left_out=tuple(_left_out(series, reason) for series, reason in selection.left_out),
        quality=(*result.report.quality, *source_checks(about.case.study, selection.chosen, volumes)),
        provenance=_provenance(result.report, about),
        run=_run(about),
    )
    complete = replace(result, report=report, series=dict(selection.chosen))
    return replace(complete, report=with_masks(complete, paths="nifti" in about.options.formats))


def source_checks(
    study: Study, chosen: Mapping[str, Series], volumes: Mapping[str, Volume]
) -> tuple[QualityCheck, ...]:
    """Return what the readers found odd: units, transforms, voxels without a number, files that cannot be read."""
    told = list(unreadable(study))
    told += [problem for series in chosen.values() for problem in series.problems]
    told += [problem for role in chosen if role in volumes for problem in content_problems(volumes[role])]
    once = {(one.id, str(one.parameters)): one for one in told}.values()
    return tuple(QualityCheck("source", Mark.GOOD if one.id in NOTES else Mark.CAUTION, one) for one in once)


def unreadable(study: Study) -> Iterator[Message]:
    """Yield the damaged files that lie beside the images, by their own names, the first few."""
    damaged = [(path, reason) for path, reason in study.left_out if reason.id == UNREADABLE]
    for path, reason in damaged[:MOST_FILES]:
        yield Message("io.dicom.damaged", {"file": Path(path).name, **reason.parameters})
    if len(damaged) > MOST_FILES:
        yield Message("io.dicom.and_more", {"count": len(damaged)})


def _report_id(about: About) -> str:
    name = f"{about.case.study.key}/{about.application.name}/{about.prepared.hash}"
    return str(uuid.uuid5(REPORT_NAMESPACE, name))


def _source(role: str, series: Series, volume: Volume | None, about: About) -> Source:
    grid = volume if volume is not None else series.geometry
    lengths = series.geometry.spacing_mm if volume is None else _lengths_mm(volume)
    reason = about.prepared.selection.reasons.get(role) or Message("pipeline.chosen")
    return Source(
        role=role,
        uid=series.uid,
        format=series.format,
        modality=series.modality,
        description=series.description,
        number=series.number,
        shape=grid.shape,
        spacing_mm=lengths,
        orientation=grid.orientation,
        reason=reason,
        instances=len(series.instances),
        sha256=about.prepared.inputs.get(role, ""),
        derived=volume is not None and not series.geometry.usable,
        attributes=dict(series.attributes),
    )


def _lengths_mm(volume: Volume) -> tuple[float, float, float]:
    """Return distances along the axes, in pixels when the spacing is not known."""
    slices, rows, columns = (float((volume.affine[:3, axis] ** 2).sum() ** 0.5) for axis in range(3))
    return slices, rows, columns


def _left_out(series: Series, reason: Message) -> LeftOut:
    return LeftOut(series.uid, series.modality, series.description, series.number, reason)


def _provenance(report: Report, about: About) -> Provenance:
    own = report.provenance
    return replace(
        own,
        inputs={**own.inputs, **about.prepared.inputs},
        parameters={**about.options.as_parameters(), **own.parameters},
        versions={**versions(about.application), **own.versions},
        seed=own.seed if own.seed is not None else about.options.seed,
    )


def _run(about: About) -> Run:
    seconds, cpu_seconds, stages = about.stages.totals()
    meter = CoreTimeEstimate()
    energy_wh = meter.watt_hours(cpu_seconds)
    return Run(
        id=about.run_id or str(uuid.uuid4()),
        started=about.stages.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu_seconds, 3),
        energy_wh=round(energy_wh, 6) if energy_wh is not None else None,
        energy_method=meter.method,
        host=platform.node(),
        peak_memory_bytes=peak_memory_bytes(),
        stages=stages,
    )
