"""Brain MRI: grey matter, white matter and cerebrospinal fluid of a T1-weighted head, in millilitres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import resources

import numpy as np

from vesalius.core.application import Context
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.finding import Finding, Interval, KeyImage, Mark, Measurement, Message
from vesalius.core.mask import Mask, Segment
from vesalius.core.report import Outcome, Provenance, Report, Result
from vesalius.core.study import Case, Selection, Series
from vesalius.core.volume import Volume
from vesalius.imaging.mr_sequence import MrSequence, Weighting, mr_sequence
from vesalius.imaging.transform_file import itk_affine
from vesalius.report import words
from vesalius.segment.head_guard import HeadEvidence, array_objections, head_objections, measure_head
from vesalius.segment.head_quality import HeadInput, head_checks
from vesalius.segment.head_series import ROLE, select_t1_head
from vesalius.segment.tissue import (
    TissueOptions,
    TissueQuantity,
    TissueSegmentation,
    estimate_memory,
    segment_tissue,
    tissue_volumes,
)

PARENCHYMA_ML = (500.0, 2200.0)
WHITE_SHARE = (0.20, 0.65)
"""Grey + white matter in mL and white / (grey + white) beyond which a segmentation is not believed. Set wide around the
heads the atlas was built from (900-1300 mL, 0.38-0.46); no clinical threshold."""

THICK_WIDENING = {"gray_matter": 4.0, "white_matter": 4.0}
THICK_WIDENING_ELSE = 1.5
ENHANCED_WIDENING = 1.5
"""Factors on the half width of intervals. Thick slices: three simulated heads at 1 x 1 x 5 and 1 x 1 x 6 mm, whose grey
and white matter moved by up to 12 % against 2 mm, all else by less than 7 %. Contrast agent: by judgement."""

WIDE = 0.5
"""Width of an interval, as a part of its middle, from which a volume is marked for caution. By judgement."""

MONTAGE_SLICES = 12

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
VOLUME = Code("118565006", "SCT", "Volume")
SITES = {
    "gray_matter": Code("389081007", "SCT", "Gray Matter"),
    "white_matter": Code("389080008", "SCT", "White Matter"),
    "csf": Code("65216001", "SCT", "Cerebrospinal Fluid"),
    "brain": Code("12738006", "SCT", "Brain"),
    "intracranial": Code("1101003", "SCT", "Intracranial"),
}
SEGMENTS = {
    1: Segment("gray_matter", SITES["gray_matter"], (230, 159, 0)),
    2: Segment("white_matter", SITES["white_matter"], (86, 180, 233)),
    3: Segment("csf", SITES["csf"], (0, 158, 115)),
}
BRAIN = {1: Segment("brain", SITES["brain"], (240, 228, 66), ANATOMY)}
INTRACRANIAL = {1: Segment("intracranial", SITES["intracranial"], (213, 94, 0), ANATOMY)}
"""Colours: Okabe and Ito, safe for colour-blind readers."""


def _own(value: str, meaning: str) -> Code:
    return Code(value, OWN_SCHEME, meaning)


@dataclass(frozen=True)
class _Row:
    """How a quantity of the engine becomes a measurement."""

    name: str
    code: Code
    method: str
    mask: str = ""
    segment: str = ""
    site: Code | None = None


ROWS = {
    "gray_matter": _Row("volume.gray_matter", VOLUME, "method.volume", "tissue", "gray_matter", SITES["gray_matter"]),
    "white_matter": _Row("volume.white_matter", VOLUME, "method.volume", "tissue", "white_matter",
                         SITES["white_matter"]),
    "csf": _Row("volume.csf", VOLUME, "method.volume", "tissue", "csf", SITES["csf"]),
    "intracranial_volume": _Row("volume.intracranial", VOLUME, "method.intracranial", "intracranial", "intracranial",
                                SITES["intracranial"]),
    "brain_parenchymal_fraction": _Row("fraction.brain_parenchymal", _own("BPF", "Brain parenchymal fraction"),
                                       "method.fraction", site=SITES["brain"]),
    "parenchymal_share_of_stripped_head": _Row(
        "fraction.parenchyma_of_stripped", _own("PSS", "Parenchymal share of the stripped head"), "method.share",
        site=SITES["brain"]),
    "gray_matter_asymmetry": _Row("asymmetry.gray_matter", _own("ASYM-GM", "Gray matter asymmetry index"),
                                  "method.asymmetry", "tissue", "gray_matter", SITES["gray_matter"]),
    "white_matter_asymmetry": _Row("asymmetry.white_matter", _own("ASYM-WM", "White matter asymmetry index"),
                                   "method.asymmetry", "tissue", "white_matter", SITES["white_matter"]),
}  # fmt: skip


class BrainMri:
    """Tissue volumes of a T1-weighted head."""

    name = "brain-mri"
    version = "1.1.0"

    @cached_property
    def catalogue(self) -> Mapping[str, Mapping[str, str]]:
        """Return language -> message id -> template."""
        source = resources.files("vesalius.applications").joinpath("words/brain_mri.yaml")
        return words.parse("brain_mri.yaml", source.read_text(encoding="utf-8"))

    def select(self, case: Case, series_uid: str | None = None) -> Selection:
        """Return the T1-weighted head series under the role "t1", and why each other series is left out."""
        return select_t1_head(case, series_uid)

    def memory_bytes(self, chosen: Mapping[str, Series]) -> int:
        """Return the peak memory of a run on these series, the interpreter included."""
        geometry = chosen[ROLE].geometry
        return estimate_memory(geometry.shape, geometry.spacing_mm)

    def run(self, case: Case, selection: Selection, volumes: Mapping[str, Volume], context: Context) -> Result:
        """Return volumes, masks and their quality, or a refusal with its reasons."""
        volume, series = volumes[ROLE], selection.chosen[ROLE]
        context.progress("guard", 0.0)
        sequence = mr_sequence(series)
        objections = (*_sequence_objections(sequence), *array_objections(volume))
        if objections:
            return self._refused(case, volume, objections)
        evidence = measure_head(volume)
        if objections := head_objections(evidence):
            return self._refused(case, volume, objections, evidence)
        segmentation = segment_tissue(volume, _options(context), context.progress, pose=evidence.pose)
        if objections := _implausible(segmentation):
            return self._refused(case, volume, objections, evidence)
        context.progress("quality", 0.0)
        return self._completed(case, HeadInput(volume, series, sequence, evidence), segmentation, context)

    def _refused(
        self, case: Case, volume: Volume, objections: Sequence[Message], evidence: HeadEvidence | None = None
    ) -> Result:
        reasons = (*objections, *_helps(objections))
        parameters = {"guard": _guard_parameters(evidence)} if evidence is not None else {}
        report = Report(
            application=self.name,
            version=self.version,
            study_key=case.study.key,
            outcome=Outcome.REFUSED,
            study_date=case.study.date,
            reasons=reasons,
            methods=(Message("method.guard"),),
            limits=_limits(None),
            provenance=Provenance(parameters=parameters),
        )
        return Result(report, {ROLE: volume})

    def _completed(self, case: Case, seen: HeadInput, found: TissueSegmentation, context: Context) -> Result:
        measurements = _measurements(found, seen)
        masks = _masks(found)
        checks = head_checks(seen, found)
        report = Report(
            application=self.name,
            version=self.version,
            study_key=case.study.key,
            outcome=Outcome.COMPLETED,
            study_date=case.study.date,
            findings=_findings({m.name: m for m in measurements}),
            measurements=measurements,
            quality=checks,
            methods=(Message("method.engine"), Message("method.definitions"), Message("method.guard")),
            limits=_limits(seen),
            provenance=_provenance(seen, found, context),
        )
        intermediate = _intermediate(found) if context.keep_intermediate else {}
        return Result(report, {ROLE: seen.volume}, masks, _images(seen.volume, found), intermediate=intermediate)


application = BrainMri()


def _options(context: Context) -> TissueOptions:
    return TissueOptions(seed=context.seed, threads=context.threads)


def _sequence_objections(sequence: MrSequence) -> tuple[Message, ...]:
    if sequence.weighting in (Weighting.T1, Weighting.UNKNOWN):
        return ()
    basis = sequence.basis or "@select.word.name"
    return (Message("guard.sequence", {"weighting": str(sequence.weighting), "basis": basis}),)


def _implausible(found: TissueSegmentation) -> tuple[Message, ...]:
    volumes = {q.name: q.value or 0.0 for q in tissue_volumes(found)}
    parenchyma = volumes["gray_matter"] + volumes["white_matter"]
    share = volumes["white_matter"] / parenchyma if parenchyma > 0 else 0.0
    if PARENCHYMA_ML[0] <= parenchyma <= PARENCHYMA_ML[1] and WHITE_SHARE[0] <= share <= WHITE_SHARE[1]:
        return ()
    return (Message("guard.implausible", {"parenchyma": round(parenchyma), "white": round(100 * share)}),)


def _helps(objections: Sequence[Message]) -> tuple[Message, ...]:
    ids = {m.id for m in objections}
    if "guard.orientation" in ids:
        return (Message("help.orientation"),)
    special = {"guard.spacing_unknown": "help.voxel_size", "guard.four_dimensional": "help.single_image"}
    return (*(Message(help_id) for reason, help_id in special.items() if reason in ids), Message("help.t1_series"))


def _widening(seen: HeadInput, name: str) -> float:
    thick = THICK_WIDENING.get(name, THICK_WIDENING_ELSE) if seen.thick else 1.0
    return thick * (ENHANCED_WIDENING if seen.sequence.enhanced else 1.0)


def _limits(seen: HeadInput | None) -> tuple[Message, ...]:
    common = tuple(Message(f"limit.{name}") for name in ("border", "lesions", "age", "mirror"))
    if seen is None:
        return common
    thick = (Message("limit.thick", {"value": round(seen.coarsest_mm, 1)}),) if seen.thick else ()
    enhanced = (Message("limit.enhanced"),) if seen.sequence.enhanced else ()
    return (*thick, *enhanced, *common)


def _measurements(found: TissueSegmentation, seen: HeadInput) -> tuple[Measurement, ...]:
    mark = Mark.CAUTION if seen.thick or seen.sequence.enhanced else Mark.GOOD
    rows = [_measurement(q, found, seen, mark) for q in tissue_volumes(found) if q.name in ROWS]
    return (*rows, *_sides(found, mark))


def _measurement(quantity: TissueQuantity, found: TissueSegmentation, seen: HeadInput, mark: Mark) -> Measurement:
    row = ROWS[quantity.name]
    measured = quantity.value is not None
    reason = None if measured else Message("reason.skull_absent")
    present = row.mask != "intracranial" or found.skull_present
    interval = _interval(quantity, _widening(seen, quantity.name))
    if mark is Mark.GOOD and interval is not None and quantity.unit == "mL" and _is_wide(interval):
        mark = Mark.CAUTION
    return Measurement(
        name=row.name,
        value=quantity.value,
        unit=quantity.unit,
        code=row.code,
        method=row.method,
        mask=row.mask if present else "",
        segment=row.segment if present else "",
        site=row.site,
        interval=interval,
        mark=mark if measured else Mark.POOR,
        reason=reason,
    )


def _is_wide(interval: Interval) -> bool:
    return interval.high - interval.low > WIDE * (interval.high + interval.low) / 2


def _interval(quantity: TissueQuantity, widening: float) -> Interval | None:
    if quantity.value is None or quantity.low is None or quantity.high is None:
        return None
    low = quantity.value - widening * (quantity.value - quantity.low)
    high = quantity.value + widening * (quantity.high - quantity.value)
    if quantity.unit == "1":
        high = min(high, 1.0)
    if quantity.unit != "%":
        low = max(low, 0.0)
    return Interval(low, high, quantity.level, "interval.brain_mri")


def _sides(found: TissueSegmentation, mark: Mark) -> tuple[Measurement, ...]:
    inside = found.intracranial.array > 0
    sides = np.where(inside, found.hemispheres.array, 0)
    counts = np.bincount((4 * sides + found.tissue.array * inside).ravel(), minlength=12)
    voxel_ml = found.tissue.voxel_volume_mm3 / 1000.0
    rows = []
    for label, tissue in ((1, "gray_matter"), (2, "white_matter")):
        for side, (word, letter) in enumerate((("left", "L"), ("right", "R")), start=1):
            value = float(counts[4 * side + label]) * voxel_ml
            rows.append(Measurement(f"volume.{tissue}.{word}", value, "mL", VOLUME, "method.volume", "tissue", tissue,
                                    SITES[tissue], letter, mark=mark, headline=False))  # fmt: skip
    return tuple(rows)


def _findings(by_name: Mapping[str, Measurement]) -> tuple[Finding, ...]:
    return (_whole(by_name), _volumes(by_name), *_asymmetries(by_name))


def _number(measurement: Measurement, factor: float = 1.0) -> str:
    return "" if measurement.value is None else f"{factor * measurement.value:.0f}"


def _whole(by_name: Mapping[str, Measurement]) -> Finding:
    icv, fraction = by_name["volume.intracranial"], by_name["fraction.brain_parenchymal"]
    if fraction.value is None or fraction.interval is None:
        share = by_name["fraction.parenchyma_of_stripped"]
        message = Message("finding.stripped", {"percent": _number(share, 100)})
        return Finding(share.code, message, evidence=(share.name, "tissue"))
    low, high = f"{100 * fraction.interval.low:.0f}", f"{100 * fraction.interval.high:.0f}"
    parameters = {"percent": _number(fraction, 100), "low": low, "high": high, "icv": _number(icv)}
    return Finding(fraction.code, Message("finding.fraction", parameters), evidence=(fraction.name, icv.name, "tissue"))


def _volumes(by_name: Mapping[str, Measurement]) -> Finding:
    names = {"gray": "volume.gray_matter", "white": "volume.white_matter", "csf": "volume.csf"}
    parameters = {key: _number(by_name[name]) for key, name in names.items()}
    code = _own("BRAIN-VOLUMES", "Brain tissue volumes")
    return Finding(code, Message("finding.volumes", parameters), evidence=(*names.values(), "centre"))


def _asymmetries(by_name: Mapping[str, Measurement]) -> tuple[Finding, ...]:
    found = []
    for tissue in ("gray_matter", "white_matter"):
        row = by_name[f"asymmetry.{tissue}"]
        if row.value is None or row.interval is None or row.interval.low <= 0 <= row.interval.high:
            continue
        left = row.value > 0
        low, high = sorted((abs(row.interval.low), abs(row.interval.high)))
        parameters = {"tissue": f"@word.{tissue}", "percent": f"{abs(row.value):.1f}",
                      "low": f"{low:.1f}", "high": f"{high:.1f}"}  # fmt: skip
        side, letter = ("left", "L") if left else ("right", "R")
        message = Message(f"finding.asymmetry.{side}", parameters)
        found.append(Finding(row.code, message, evidence=(row.name,), laterality=letter))
    names = ("asymmetry.gray_matter", "asymmetry.white_matter")
    even = Finding(_own("ASYM", "Asymmetry of brain tissue"), Message("finding.symmetric"), evidence=names)
    return tuple(found) or (even,)


def _masks(found: TissueSegmentation) -> dict[str, Mask]:
    masks = {
        "tissue": replace(found.tissue, segments=SEGMENTS),
        "brain": replace(found.brain, segments=BRAIN),
    }
    if found.skull_present:
        masks["intracranial"] = replace(found.intracranial, segments=INTRACRANIAL)
    return masks


def _images(volume: Volume, found: TissueSegmentation) -> tuple[KeyImage, ...]:
    inside = np.argwhere(found.intracranial.array > 0)
    corners = volume.index_to_world(inside[:: max(1, len(inside) // 20000)])
    low, high = np.percentile(corners, (1, 99), axis=0)
    middle = (low + high) / 2
    point = (float(middle[0]), float(middle[1]), float(middle[2]))
    values = volume.array[tuple(inside[:: max(1, len(inside) // 50000)].T)]
    window = (0.0 if float(values.min()) >= 0 else float(values.min()), float(np.percentile(values, 99.5)) * 1.15)
    steps = np.linspace(low[2] + 6, high[2] - 4, MONTAGE_SLICES) - middle[2]
    offsets = tuple(round(float(s), 2) for s in steps)
    planes = ("axial", "coronal", "sagittal")
    return (
        KeyImage("centre", ROLE, "tissue", planes, point, window, Message("image.centre")),
        KeyImage("montage", ROLE, "tissue", ("axial",), point, window, Message("image.montage"), offsets),
    )


def _guard_parameters(evidence: HeadEvidence) -> dict[str, object]:
    names = ("fit", "coverage", "zoom", "stretch", "turn_deg", "turned_gain", "white_grey", "grey_fluid")
    return {name: round(float(getattr(evidence, name)), 3) for name in names}


def _provenance(seen: HeadInput, found: TissueSegmentation, context: Context) -> Provenance:
    # The result does not depend on the number of threads, and two runs must agree.
    tissue = {name: value for name, value in asdict(found.options).items() if name != "threads"}
    tissue["skull_present"] = found.skull_present
    tissue["interval_widening"] = {name: _widening(seen, name) for name in ("gray_matter", "csf")}
    parameters: dict[str, object] = {"guard": _guard_parameters(seen.evidence), "tissue": tissue}
    steps = ("guard", "align", "deform", "classify", "volumes", "quality")
    licences = {"head atlas (from SynthSeg label maps)": "Apache-2.0"}
    return Provenance(parameters=parameters, seed=context.seed, steps=steps, licences=licences)


def _intermediate(found: TissueSegmentation) -> dict[str, Volume | Mask | str]:
    kept: dict[str, Volume | Mask | str] = {
        "t1_bias_corrected": found.bias_corrected,
        "bias_field": found.bias_field,
        "brain_mask": replace(found.brain, segments=BRAIN),
        "t1_to_template_affine.tfm": itk_affine(np.linalg.inv(found.affine_to_template)),
        "template_displacement": found.displacement,
    }
    return {**kept, **{f"probability_{name}": volume for name, volume in found.probabilities.items()}}
