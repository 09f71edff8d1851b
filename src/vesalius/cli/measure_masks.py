"""What `vesalius features metrics | lesions | vessels | relations` do: parse, call, print."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.measure_tables import Row, check_table, finite, write_table
from vesalius.cli.methods_answers import calibrated, opened_series, parsed_spacing, show_files
from vesalius.cli.session import Answer
from vesalius.core.errors import LabelError, UsageError
from vesalius.core.grid import Frame, Gridded
from vesalius.core.mask import Mask, Segment
from vesalius.features.masks import chosen, on_grid, read_mask_file

if TYPE_CHECKING:
    from vesalius.core import Series

ROWS_SHOWN = 60


@dataclass(frozen=True)
class Common:
    """The options that every measurement of masks has, as they were typed."""

    out: Path | None = None
    segment: tuple[str, ...] = ()
    image: Path | None = None
    spacing_mm: str | None = None
    threshold: float | None = None
    fit_mask: bool = False
    force: bool = False


@dataclass(frozen=True)
class Comparison:
    """The options of `features metrics` as they were typed."""

    prediction: Path
    reference: Path
    metrics: str | None = None
    definition: str = "deepmind"
    tolerance_mm: float | None = None
    width_mm: float | None = None
    lesions: bool = False
    rule: str = "iou"
    overlap: float = 0.1
    joined: bool = False


def _read(path: Path, common: Common, grid: Gridded | None = None, series: Series | None = None) -> tuple[Mask, ...]:
    found = read_mask_file(path, grid, series=series, threshold=common.threshold, fit=common.fit_mask)
    spacing = parsed_spacing(common.spacing_mm)
    return tuple(calibrated(mask, spacing) for mask in found.masks)


def _masks(paths: Sequence[Path], common: Common) -> list[tuple[Mask, ...]]:
    """Return the masks of files on one grid: that of `--image`, else that of the last file."""
    if common.out is not None:
        check_table(common.out)
    if common.image is None:
        last = _read(paths[-1], common)
        grid = last[0]
        placed = [tuple(on_grid(m, grid, fit=common.fit_mask) for m in _read(p, common)) for p in paths[:-1]]
        return [*placed, last]
    with opened_series(common.image) as series:
        from vesalius.io import load

        volume = load(series)
        return [_read(path, common, volume, series) for path in paths]


def compared(common: Common, wish: Comparison) -> Answer:
    """Return what `vesalius features metrics` has to say."""
    from vesalius.evaluate.metrics import Options

    prediction, reference = _masks([wish.prediction, wish.reference], common)
    options = Options(_definition(wish.definition), wish.tolerance_mm, wish.width_mm)
    names = None if wish.metrics is None else [word.strip() for word in wish.metrics.split(",") if word.strip()]
    rows: list[dict[str, Any]] = []
    if wish.joined:
        prediction, reference = (_joined(prediction),), (_joined(reference),)
    for one, other in _pairs(prediction, reference, () if wish.joined else common.segment):
        rows += _scores(one, other, (names, options))
        if wish.lesions:
            rows += _detection(one, other, wish)
    return _answer(rows, common, {"definition": wish.definition})


def _definition(name: str) -> Any:
    from typing import get_args

    from vesalius.core import registry
    from vesalius.evaluate.metrics import Definition

    known = tuple(str(one) for one in get_args(Definition))
    if name not in known:
        raise registry.unknown("definition of surface distances", name, known)
    return name


def _pairs(prediction: Sequence[Mask], reference: Sequence[Mask], wanted: tuple[str, ...]) -> list[tuple[Mask, Mask]]:
    """Return prediction and reference of each segment of the reference, each as a mask of that segment alone.

    Partners have the same name, else the same code; "A=B" names both; where each side has one segment, these are
    partners. A prediction without a voxel is compared with everything.
    """
    named = [text.partition("=") for text in wanted]
    every = [(mask, label) for mask in reference for label in mask.segments]
    here = [chosen(reference, [other or one])[0] for one, _, other in named] if named else every
    if not here:
        raise LabelError("the reference holds no segment", found="all voxels 0", fix="exchange the two, or check it")
    there = [(mask, label) for mask in prediction for label in mask.segments]
    result = []
    for number, (mask, label) in enumerate(here):
        if named and named[number][1]:
            partner = chosen(prediction, [named[number][0]])[0]
        elif len(every) == len(there) == 1:
            partner = there[0]
        else:
            partner = _partner(mask.segments[label], there, prediction[0])
        result.append((_alone(*partner, label, mask.segments[label]), _alone(mask, label, label, mask.segments[label])))
    return result


def _partner(segment: Segment, known: Sequence[tuple[Mask, int]], empty: Mask) -> tuple[Mask, int]:
    named = [(mask, label) for mask, label in known if mask.segments[label].name == segment.name]
    coded = [(mask, label) for mask, label in known if mask.segments[label].code == segment.code]
    for hits in (named, coded):
        if len(hits) == 1:
            return hits[0]
    if not any((mask.array == label).any() for mask, label in known):
        return empty, -1
    raise LabelError(
        "the prediction does not know a segment of the reference",
        found=segment.name,
        expected=", ".join(mask.segments[label].name for mask, label in known),
        fix=f"name both with --segment 'PREDICTED={segment.name}', or compare all as one with --joined",
    )


def _alone(mask: Mask, label: int, number: int, segment: Segment) -> Mask:
    """Return one segment as a mask of its own, under a number and a meaning."""
    array = (mask.array == label).astype(np.uint16) * np.uint16(number)
    return Mask(array, mask.affine, mask.frame, mask.spacing, segments={number: segment})


def _scores(one: Mask, other: Mask, how: tuple[list[str] | None, Any]) -> list[dict[str, Any]]:
    from vesalius.evaluate.metrics import compare

    table = compare(one, other, segments=list(other.segments), metrics=how[0], options=how[1])
    return [
        {
            "segment": score.segment,
            "label": score.label,
            "metric": score.metric,
            "value": score.value,
            "unit": score.unit,
            "definition": score.definition,
            "state": score.state.value,
        }
        for score in table
    ]


def _detection(one: Mask, other: Mask, wish: Comparison) -> list[dict[str, Any]]:
    from vesalius.core import registry
    from vesalius.evaluate.metrics import Matching, Pair, detect_lesions, panoptic_quality

    if wish.rule not in ("iou", "overlap"):
        raise registry.unknown("rule of matching", wish.rule, ("iou", "overlap"))
    matching = Matching(rule="iou" if wish.rule == "iou" else "overlap", threshold=wish.overlap)
    found = detect_lesions(one, other, matching=matching)
    whole = panoptic_quality(one, other)
    pair = Pair.of(one, other)
    values = {
        "lesions_found": float(found.found),
        "lesions_missed": float(found.missed),
        "lesions_wrong": float(found.wrong),
        "lesion_sensitivity": found.sensitivity,
        "lesion_precision": found.precision,
        "lesion_f1": found.f1,
        "panoptic_quality": whole.quality,
    }
    definition = f"{matching.rule} > {matching.threshold:g}"
    place = {"segment": pair.segment, "label": pair.label}
    return [
        {
            **place,
            "metric": name,
            "value": value,
            "unit": "1",
            "definition": "iou > 0.5" if name == "panoptic_quality" else definition,
            "state": pair.state.value,
        }
        for name, value in values.items()
    ]


def lesions(common: Common, mask: Path, reference: Path | None, smallest_ml: float, connectivity: int) -> Answer:
    """Return what `vesalius features lesions` has to say."""
    from vesalius.features.spatial import lesion_table

    (masks,) = _masks([mask], common)
    organ = None if reference is None else _joined(_read(reference, common, masks[0] if common.fit_mask else None))
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for one, label in chosen(masks, common.segment):
        table = lesion_table(
            one, label, reference=organ, reference_segment=None, connectivity=connectivity, smallest_ml=smallest_ml
        )
        if table.plane_angle_deg > 20:
            notes.append(f"{table.segment}: the slices are {table.plane_angle_deg:.0f} degrees from axial")
        for lesion in table:
            size, words = lesion.diameters, lesion.position.words if lesion.position is not None else ("", "", "")
            rows.append(
                {
                    "segment": table.segment,
                    "number": lesion.number,
                    "voxels": lesion.voxels,
                    "volume_ml": lesion.volume_ml,
                    "longest_mm": size.longest_mm,
                    "short_axis_mm": size.short_axis_mm,
                    "diameter_3d_mm": lesion.diameter_3d_mm,
                    "slice": size.slice,
                    **dict(zip(("centre_l_mm", "centre_p_mm", "centre_s_mm"), lesion.centre_mm, strict=True)),
                    **dict(zip(("left_right", "front_back", "up_down"), map(str, words), strict=True)),
                }
            )
    return _answer(rows, common, {"count": len(rows)}, tuple(notes))


def _joined(masks: Sequence[Mask]) -> Mask:
    """Return every segment as one: the place is told in all of it."""
    from vesalius.features.masks import plain_segment

    whole = masks[0].array > 0
    for mask in masks[1:]:
        whole = whole | (mask.array > 0)
    first = masks[0]
    return Mask(whole.astype("uint8"), first.affine, first.frame, first.spacing, segments={1: plain_segment(1)})


def vessels(common: Common, mask: Path, prune: float, branches: bool) -> Answer:
    """Return what `vesalius features vessels` has to say."""
    from vesalius.features.spatial import vessel_tree

    (masks,) = _masks([mask], common)
    rows: list[dict[str, Any]] = []
    for one, label in chosen(masks, common.segment):
        tree = vessel_tree(one, label, prune=prune)
        if not branches:
            rows.append(
                {
                    "segment": tree.segment,
                    "branches": len(tree.branches),
                    "branch_points": len(tree.branch_points_mm),
                    "end_points": len(tree.end_points_mm),
                    "length_mm": tree.length_mm,
                    "diameter_mm": tree.diameter_mm,
                    "equivalent_diameter_mm": tree.equivalent_diameter_mm,
                    "tortuosity": tree.tortuosity,
                    "volume_ml": tree.volume_ml,
                }
            )
        for number, branch in enumerate(tree.branches if branches else (), start=1):
            rows.append(
                {
                    "segment": tree.segment,
                    "branch": number,
                    "length_mm": branch.length_mm,
                    "chord_mm": branch.chord_mm,
                    "tortuosity": branch.tortuosity,
                    "diameter_mm": branch.diameter_mm,
                    "smallest_diameter_mm": float(branch.diameters_mm.min()),
                    "largest_diameter_mm": float(branch.diameters_mm.max()),
                    "free_ends": branch.free_ends,
                }
            )
    return _answer(rows, common, {})


def relations(common: Common, mask: Path, other: Path | None) -> Answer:
    """Return what `vesalius features relations` has to say: every pair of segments."""
    found = _masks([mask] if other is None else [mask, other], common)
    first = chosen(found[0], common.segment if other is None else ())
    pairs: Sequence[tuple[tuple[Mask, int], tuple[Mask, int]]]
    if other is None:
        if len(first) < 2:
            raise UsageError(
                "a relation is between two segments",
                found=f"one: {first[0][0].segments[first[0][1]].name}",
                fix="give another mask: vesalius features relations MASK OTHER",
            )
        pairs = list(itertools.combinations(first, 2))
    else:
        pairs = list(itertools.product(first, chosen(found[1], common.segment)))
    return _answer([_related(*one, *two) for one, two in pairs], common, {})


def _related(first: Mask, label: int, second: Mask, other: int) -> dict[str, Any]:
    from vesalius.features.spatial import laterality, position, relation

    found = relation(first, second, label, other)
    row: dict[str, Any] = {
        "first": first.segments[label].name,
        "second": second.segments[other].name,
        "gap_mm": found.gap_mm,
        "centres_mm": found.centres_mm,
        "contact_mm2": found.contact_mm2,
        "inside": found.inside,
        "contains": found.contains,
        "enclosed": found.enclosed,
    }
    if first.frame is Frame.PATIENT:
        row["side"] = str(laterality(first, second, label, other).side)
        row |= dict(
            zip(("left_right", "front_back", "up_down"), _words(position(first, second, label, other)), strict=True)
        )
    return row


def _words(place: Any) -> list[str]:
    return [str(word) for word in place.words]


def _answer(rows: list[dict[str, Any]], common: Common, about: dict[str, Any], notes: tuple[str, ...] = ()) -> Answer:
    files = [] if common.out is None else write_table(common.out, rows, about, force=common.force)
    data = {**about, "files": files, "rows": [finite(row) for row in rows]}
    return Answer(data, lambda console: _show(console, rows, files), notes)


def _show(console: Console, rows: Sequence[Row], files: list[str]) -> None:
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = Table(*names, box=None, pad_edge=False)
        for row in rows[:ROWS_SHOWN]:
            table.add_row(*(Text(_told(row.get(name))) for name in names))
        console.print(table)
        if len(rows) > ROWS_SHOWN:
            console.print(Text(f"... {len(rows)} rows in all"))
    else:
        console.print(Text("nothing to list"))
    show_files(console, files)


def _told(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)
