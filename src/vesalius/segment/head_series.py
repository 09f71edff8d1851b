"""Which series of a study is the T1-weighted head to measure, and why each of the others is not."""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.core.finding import Message
from vesalius.core.grid import Frame
from vesalius.core.study import Case, Selection, Series, Verdict
from vesalius.imaging.mr_sequence import MrSequence, Weighting, mr_sequence
from vesalius.segment.head_guard import GridLimits

ROLE = "t1"

THIN_MM = 3.2
"""Largest voxel edge that counts as thin: beyond it cortex, fluid and white matter share most voxels."""

OTHER_BODY_PARTS = frozenset({
    "ABDOMEN", "ANKLE", "ARM", "BREAST", "CARDIAC", "CHEST", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND", "HEART",
    "HIP", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "PELVIS", "PROSTATE", "SHOULDER", "SPINE", "SSPINE", "THIGH",
    "TSPINE", "UTERUS", "WRIST",
})  # fmt: skip
"""Values of Body Part Examined (DICOM PS3.16, annex L) that exclude a head."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    series: Series
    sequence: MrSequence

    @property
    def coarsest_mm(self) -> float:
        """Return the largest distance of voxels in mm."""
        return max(self.series.geometry.spacing_mm)

    @property
    def demerits(self) -> tuple[tuple[str, float], ...]:
        """Return what speaks against it, the gravest first; smaller is better."""
        return (
            ("unknown", float(self.sequence.weighting is Weighting.UNKNOWN)),
            ("geometry", float(not self.series.geometry.usable)),
            ("thick", float(self.coarsest_mm > THIN_MM)),
            ("enhanced", float(self.sequence.enhanced)),
            ("derived", float(not self.sequence.original)),
            ("flat", float(self.sequence.volumetric is False)),
            ("coarse", round(self.coarsest_mm, 1)),
            ("fewer", float(-self.series.geometry.shape[0])),
        )


def select_t1_head(case: Case, series_uid: str | None = None) -> Selection:
    """Return the T1-weighted head series under the role "t1", with a reason for it and for each series left out.

    Files that tell nothing (NIfTI and the like) are candidates; what they show is for the guard to judge. A series that
    the user asks for by UID is taken whatever it is; the guard judges that too.
    """
    if series_uid is not None:
        return _forced(case, series_uid)
    sequences = {s.key: mr_sequence(s) for s in case.study.series}
    spoken = {s.key: exclusion(s, sequences[s.key]) for s in case.study.series}
    candidates = [_Candidate(s, sequences[s.key]) for s in case.study.series if spoken[s.key] is None]
    if not candidates:
        return Selection({}, {}, tuple((s, m) for s in case.study.series if (m := spoken[s.key]) is not None))
    best = min(candidates, key=lambda c: (*(value for _, value in c.demerits), c.series.number or 0, c.series.key))
    left_out = []
    for candidate in case.study.series:
        message = spoken[candidate.key]
        if candidate.key != best.series.key:
            left_out.append((candidate, message or _worse(_Candidate(candidate, sequences[candidate.key]), best)))
    return Selection({ROLE: best.series}, {ROLE: _praise(best, len(candidates))}, tuple(left_out))


def _forced(case: Case, series_uid: str) -> Selection:
    wanted = [s for s in case.study.series if series_uid in (s.uid, s.key)]
    if not wanted:
        return Selection({}, {}, tuple((s, Message("select.not_requested")) for s in case.study.series))
    best = min(wanted, key=lambda s: (not s.geometry.usable, -s.geometry.shape[0], s.key))
    rest = [s for s in case.study.series if s.key != best.key]
    reasons = [Message("select.other_stack" if s.uid == best.uid else "select.not_requested") for s in rest]
    return Selection({ROLE: best}, {ROLE: Message("select.forced")}, tuple(zip(rest, reasons, strict=True)))


def exclusion(series: Series, sequence: MrSequence, limits: GridLimits | None = None) -> Message | None:
    """Return why a series cannot be the one, from its descriptor alone; None when it can."""
    allowed = limits or GridLimits()
    geometry = series.geometry
    if geometry.verdict is Verdict.NO_IMAGE:
        return Message("select.no_image")
    if series.modality not in ("", "MR"):
        return Message("select.modality", {"modality": series.modality})
    if series.format == "raster" or geometry.frame is not Frame.PATIENT:
        return Message("select.picture")
    if sequence.localizer:
        return Message("select.localizer")
    if sequence.weighting not in (Weighting.T1, Weighting.UNKNOWN):
        weighting = str(sequence.weighting)
        return Message("select.weighting", {"weighting": weighting, "basis": sequence.basis or "@select.word.name"})
    if sequence.processed:
        return Message("select.processed", {"kind": sequence.processed})
    if series.body_part.upper().replace(" ", "") in OTHER_BODY_PARTS:
        return Message("select.body_part", {"part": series.body_part.upper()})
    return _unfit(series, allowed)


def _unfit(series: Series, limits: GridLimits) -> Message | None:
    if series.format != "dicom":
        return None
    geometry = series.geometry
    if series.components > 1:
        return Message("select.four_dimensional", {"count": series.components})
    extent = [s * n for s, n in zip(geometry.spacing_mm, geometry.shape, strict=True)]
    if min(extent) < limits.extent:
        size = " x ".join(f"{e:.0f}" for e in extent)
        return Message("select.field_of_view", {"size": size, "least": round(limits.extent)})
    return None


def _worse(candidate: _Candidate, best: _Candidate) -> Message:
    pairs = zip(candidate.demerits, best.demerits, strict=True)
    name = next((name for (name, mine), (_, other) in pairs if mine > other), "equal")
    return Message(f"select.worse.{name}", {"mm": round(candidate.coarsest_mm, 1)})


def _praise(best: _Candidate, count: int) -> Message:
    known = best.sequence.weighting is Weighting.T1
    if not known:
        return Message("select.chosen.only" if count == 1 else "select.chosen.unknown", {"count": count})
    volumetric = {True: "3d", False: "2d", None: "dimension_unknown"}[best.sequence.volumetric]
    parameters = {
        "basis": best.sequence.basis or "@select.word.name",
        "dimension": f"@select.word.{volumetric}",
        "contrast": "@select.word.enhanced" if best.sequence.enhanced else "@select.word.plain",
        "slices": best.series.geometry.shape[0],
        "mm": round(best.coarsest_mm, 1),
        "rank": "@select.word.alone" if count == 1 else "@select.word.best",
    }
    return Message("select.chosen.t1", parameters)
