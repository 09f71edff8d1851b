"""What `vesalius features IMAGE MASK` does: parse, call, print."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.measure_tables import check_table, finite, separated, write_table
from vesalius.cli.methods_answers import calibrated, check_geometry, opened_series, parsed_spacing, show_files
from vesalius.cli.progress import Lines, watcher
from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.axis import AxisKind
from vesalius.core.errors import IncompleteError, ReadError, UsageError, VesaliusError
from vesalius.core.grid import Spacing
from vesalius.core.volume import Volume
from vesalius.features.masks import MaskFile, chosen, read_mask_file
from vesalius.features.radiomics import (
    CohortTable,
    FixedBinNumber,
    FixedBinSize,
    Interpolation,
    MeasuredCase,
    RadiomicsCase,
    Resegmentation,
    Settings,
    cohort_of,
    measured_case,
)
from vesalius.features.radiomics.settings import VOLUMETRIC, Aggregation
from vesalius.features.radiomics.settings_file import Plan, as_mapping, filter_name, load_plan, parse_filter, preset

LAYOUTS = ("long", "wide")
DIMENSIONS = {"2D": "2D", "2.5D": "2_5D", "3D": "3D"}
MERGING = {"averaged": "avg", "merged": "comb"}
STABILITY = ("icc", "icc_low", "icc_high", "spread", "volume_correlation")


@dataclass(frozen=True)
class Wish:
    """The options of `vesalius features` as they were typed."""

    image: Path
    mask: Path | None
    out: Path
    segment: tuple[str, ...] = ()
    settings: Path | None = None
    preset: str | None = None
    families: str | None = None
    dimension: str | None = None
    merging: str | None = None
    bins: int | None = None
    bin_width: float | None = None
    resample_mm: str | None = None
    within: str | None = None
    outlier_sigma: float | None = None
    filter: tuple[str, ...] = ()
    perturbations: int | None = None
    seed: int | None = None
    layout: str = "long"
    series: str | None = None
    geometry: str = "reject"
    spacing_mm: str | None = None
    fit_mask: bool = False
    threshold: float | None = None
    force: bool = False


@dataclass(frozen=True)
class _Source:
    """An image and its mask, and the name they have in the table."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True, eq=False)
class _Measured:
    """One segment with one filter."""

    source: str
    segment: str
    label: int
    case: MeasuredCase


@dataclass(frozen=True, eq=False)
class _Found:
    """Everything that was measured, by settings, and what failed."""

    measured: Mapping[Settings, list[_Measured]]
    failed: list[tuple[str, VesaliusError]]
    notes: list[str]
    plan: Plan


def measured(session: Session, wish: Wish) -> Answer:
    """Return what `vesalius features IMAGE MASK` has to say, after writing the table."""
    check_table(wish.out)
    check_geometry(wish.geometry)
    if wish.layout not in LAYOUTS:
        raise registry.unknown("layout", wish.layout, LAYOUTS)
    plan = _plan(wish)
    sources = _sources(wish)
    with watcher(quiet=session.flags.quiet) as shown:
        found = _run(wish, plan, sources, shown)
    if not any(found.measured.values()):
        raise found.failed[0][1]
    cohorts = _cohorts(found, len(sources) > 1)
    rows = list(_rows(found, cohorts))
    about = {"settings": [as_mapping(one) for one in found.measured], "stability": _told_stability(found.plan)}
    files = _written(wish, rows, about)
    failed = [{"source": name, **error.as_dict()} for name, error in found.failed]
    data = {**about, "files": files, "failed": failed, "rows": [finite(row) for row in rows]}
    error = IncompleteError(f"{len(failed)} could not be measured", found=failed[0]["source"]) if failed else None
    warnings = (*found.notes, *(f"{name}: {problem}" for name, problem in found.failed))
    return Answer(data, lambda console: _show(console, rows, files), tuple(warnings), error)


def _sources(wish: Wish) -> list[_Source]:
    """Return the image and mask that were given, or those of a table of cases."""
    if wish.mask is not None:
        return [_Source(wish.image.name or str(wish.image), wish.image, wish.mask)]
    if wish.image.suffix.lower() not in (".csv", ".tsv"):
        raise UsageError("MASK is missing", expected="IMAGE MASK, or a table with the columns path and mask")
    separator = "\t" if wish.image.suffix.lower() == ".tsv" else ","
    try:
        text = wish.image.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError("the table of cases cannot be read", found=wish.image.name, expected="UTF-8 text") from error
    lines = list(csv.DictReader(text.splitlines(), delimiter=separator))
    folder = wish.image.parent
    result = []
    for line in lines:
        image, mask = line.get("path") or line.get("file"), line.get("mask")
        if not image or not mask:
            columns = ", ".join(name for name in line if name)
            raise UsageError("the table needs the columns path and mask, filled", found=columns, expected="path,mask")
        result.append(_Source(image, folder / image, folder / mask))
    if not result:
        raise UsageError("the table holds no case", found=wish.image.name, expected="path,mask and one line per case")
    return result


def _plan(wish: Wish) -> Plan:
    """Return the settings: preset or file, changed by the options."""
    if wish.settings is not None and wish.preset is not None:
        raise UsageError("--settings and --preset exclude each other", fix="name the preset in the file: preset: NAME")
    plan = load_plan(wish.settings) if wish.settings is not None else preset(wish.preset or "default")
    given: dict[str, Any] = {}
    if wish.families is not None:
        given["families"] = tuple(_words(wish.families))
    if wish.dimension is not None or wish.merging is not None:
        given["aggregations"] = _aggregations(wish)
    if wish.bins is not None and wish.bin_width is not None:
        raise UsageError("--bins and --bin-width exclude each other", fix="give one of them")
    if wish.bins is not None:
        given["discretisation"] = FixedBinNumber(wish.bins)
    if wish.bin_width is not None:
        given["discretisation"] = FixedBinSize(wish.bin_width)
    if wish.resample_mm is not None:
        sizes = parsed_spacing(wish.resample_mm) or (1.0, 1.0, 1.0)
        given["interpolation"] = Interpolation((sizes[0], sizes[1], sizes[2]))
    if wish.within is not None or wish.outlier_sigma is not None:
        given["resegmentation"] = Resegmentation(*_range(wish.within), wish.outlier_sigma)
    plan = replace(plan, settings=replace(plan.settings, **given))
    if wish.filter:
        plan = replace(plan, filters=tuple(dict.fromkeys(parse_filter(text) for text in wish.filter)))
    return _perturbed(plan, wish)


def _perturbed(plan: Plan, wish: Wish) -> Plan:
    if wish.perturbations == 0:
        return replace(plan, perturbations=None)
    how = plan.perturbations
    if how is not None and wish.perturbations is not None:
        how = replace(how, count=wish.perturbations)
    if how is not None and wish.seed is not None:
        how = replace(how, seed=wish.seed)
    return replace(plan, perturbations=how)


def _aggregations(wish: Wish) -> tuple[Aggregation, ...]:
    dimensions, merging = _words(wish.dimension or "3D"), _words(wish.merging or "averaged,merged")
    for name in dimensions:
        if name not in DIMENSIONS:
            raise registry.unknown("dimension", name, tuple(DIMENSIONS))
    for name in merging:
        if name not in MERGING:
            raise registry.unknown("way of merging", name, tuple(MERGING))
    return tuple(Aggregation(f"{DIMENSIONS[d]}_{MERGING[m]}") for d in dimensions for m in merging)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _range(text: str | None) -> tuple[float | None, float | None]:
    if text is None:
        return None, None
    parts = text.split(",")
    try:
        ends = [float(part) if part.strip() else None for part in parts]
    except ValueError:
        ends = []
    if len(ends) != 2:
        raise UsageError("--within is two numbers, either may be left out", found=text, fix="--within=-500,400")
    return ends[0], ends[1]


def _run(wish: Wish, plan: Plan, sources: Sequence[_Source], shown: Lines) -> _Found:
    found = _Found({}, [], [], plan)
    results: dict[Settings, list[_Measured]] = {}
    for number, source in enumerate(sources):
        try:
            volume, masks = _read(wish, source)
            found.notes.extend(f"{source.name}: {note}" for note in masks.notes)
            todo = [(mask, label) for mask, label in chosen(masks.masks, wish.segment)]
        except VesaliusError as error:
            found.failed.append((source.name, error))
            continue
        suited = _suited(plan, wish, volume, found.notes)
        for settings in suited.each():
            shown.stage(source.name, f"filter {filter_name(settings.filter)}", number / len(sources))
            for mask, label in todo:
                name = mask.segments[label].name
                case = RadiomicsCase(f"{source.name} {name}", volume, mask, label)
                try:
                    done = measured_case(case, settings, suited.perturbations)
                except VesaliusError as error:
                    found.failed.append((case.name, error))
                    continue
                results.setdefault(settings, []).append(_Measured(source.name, name, label, done))
    return replace(found, measured=results)


def _read(wish: Wish, source: _Source) -> tuple[Volume, MaskFile]:
    from vesalius.pipeline.run import load_series

    spacing = parsed_spacing(wish.spacing_mm)
    with opened_series(source.image, wish.series) as series:
        volume = _grey(load_series(series, wish.geometry))
        regular = series if series.geometry.usable else None
        if volume.spacing is Spacing.UNKNOWN and spacing is not None:
            # Both files tell pixels only: they are compared as pixels, then both get the size.
            masks = read_mask_file(source.mask, volume, series=regular, threshold=wish.threshold, fit=wish.fit_mask)
            sized = tuple(calibrated(mask, spacing) for mask in masks.masks)
            return calibrated(volume, spacing), replace(masks, masks=sized)
        volume = calibrated(volume, spacing)
        return volume, read_mask_file(source.mask, volume, series=regular, threshold=wish.threshold, fit=wish.fit_mask)


def _grey(volume: Volume) -> Volume:
    """Return a grey picture that is stored in colour as one channel; others as they are."""
    if volume.axis is None or volume.axis.kind is not AxisKind.RGB:
        return volume
    colours = volume.array[..., :3]
    return volume.element(0) if (colours == colours[..., :1]).all() else volume


def _suited(plan: Plan, wish: Wish, volume: Volume, notes: list[str]) -> Plan:
    """Return the plan for this image: nothing in space for a flat picture, no stability without a pixel size."""
    own = wish.settings is not None or wish.preset is not None
    if volume.shape[0] == 1 and not own:
        flat = plan.settings.flat()
        if wish.families is not None:
            flat = replace(flat, families=plan.settings.families)
        if wish.dimension is not None:
            flat = replace(flat, aggregations=plan.settings.aggregations)
        plan = replace(plan, settings=flat)
    unknown = volume.spacing is Spacing.UNKNOWN
    if unknown and volume.shape[0] > 1 and not own and wish.families is None:
        kept = tuple(family for family in plan.settings.families if family not in VOLUMETRIC)
        plan = replace(plan, settings=replace(plan.settings, families=kept))
    if unknown and plan.perturbations is not None:
        text = "the pixel size is not known: no shape in mm, no stability; give it with --spacing-mm"
        notes += [] if text in notes else [text]
        return replace(plan, perturbations=None)
    return plan


def _cohorts(found: _Found, several: bool) -> dict[tuple[Settings, str], CohortTable]:
    """Return the stability per settings and segment; the segments of a single image are its cases."""
    result = {}
    for settings, every in found.measured.items():
        for segment in dict.fromkeys(one.segment if several else "" for one in every):
            cases = [one.case for one in every if one.segment == segment or not several]
            result[settings, segment] = cohort_of(cases, found.plan.perturbations)
            if len(cases) == 1 and cases[0].repeated is not None:
                text = "an ICC needs two cases, a correlation with volume three: the spread alone is given"
                found.notes.extend([] if text in found.notes else [text])
    return result


def _rows(found: _Found, cohorts: Mapping[tuple[Settings, str], CohortTable]) -> Iterator[dict[str, Any]]:
    for settings, every in found.measured.items():
        for one in every:
            cohort = cohorts[settings, one.segment if (settings, one.segment) in cohorts else ""]
            place = {"image": one.source, "segment": one.segment, "label": one.label}
            for feature, stable in zip(one.case.table, cohort.stability, strict=True):
                numbers = (stable.icc, stable.low, stable.high, stable.spread, stable.volume_correlation)
                yield {
                    **place,
                    "filter": filter_name(settings.filter),
                    **{name: getattr(feature, name) for name in ("tag", "code", "name", "family", "aggregation")},
                    "value": feature.value,
                    "unit": feature.unit,
                    **dict(zip(STABILITY, numbers, strict=True)),
                    "settings": feature.settings,
                }


def _told_stability(plan: Plan) -> dict[str, Any] | None:
    from dataclasses import asdict

    return None if plan.perturbations is None else asdict(plan.perturbations)


def _written(wish: Wish, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[str]:
    beside = {}
    if wish.out.suffix.lower() != ".json":
        beside[".settings.json"] = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    if wish.layout == "wide":
        beside[".stability.csv"] = separated(_stability_rows(rows))
        rows = _wide(rows)
    return write_table(wish.out, rows, about, force=wish.force, beside=beside)


def _column(row: Mapping[str, Any]) -> str:
    return str(row["tag"]) if row["filter"] == "none" else f"{row['filter']}: {row['tag']}"


def _wide(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per segment, one column per feature."""
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("image", "segment", "label"))
        case = cases.setdefault(key, {name: row[name] for name in ("image", "segment", "label")})
        case[_column(row)] = row["value"]
    return list(cases.values())


def _stability_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = ("segment", "filter", "tag", "code", "name", "unit", *STABILITY, "settings")
    found = {(row["segment"], _column(row)): {name: row[name] for name in names} for row in rows}
    return list(found.values())


def _show(console: Console, rows: Sequence[Mapping[str, Any]], files: list[str]) -> None:
    table = Table("image", "segment", "filter", "features", "defined", box=None, pad_edge=False)
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["image"], row["segment"], row["filter"]), []).append(row["value"])
    for key, values in groups.items():
        defined = sum(value == value for value in values)
        table.add_row(*map(Text, key), str(len(values)), str(defined))
    console.print(table)
    show_files(console, files)
