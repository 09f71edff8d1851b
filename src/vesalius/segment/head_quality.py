"""How good a T1-weighted head and its segmentation are: every check gives a number, a mark and a sentence.

Low quality is flagged, never hidden. Checks whose name starts with "domain." say how far the input lies from what the
method was made for, "agreement." whether a second method says the same; all others judge the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vesalius.core.errors import ImageContentError
from vesalius.core.finding import Mark, Message, QualityCheck
from vesalius.core.study import Series
from vesalius.core.volume import Volume
from vesalius.imaging import quality
from vesalius.imaging.mr_sequence import MrSequence
from vesalius.segment.agreement import white_share_by_brightness
from vesalius.segment.head_guard import HeadEvidence
from vesalius.segment.head_series import THIN_MM
from vesalius.segment.tissue import TissueSegmentation

SNR_GOOD, SNR_POOR = 15.0, 7.0
CNR_GOOD, CNR_POOR = 3.0, 1.5
"""White matter over noise, and white minus grey matter over noise, without unit. Own choice: simulated heads with noise
of 3, 6, 10 and 15 % of white matter give 21, 14, 9, 6 and 6.9, 4.5, 3.0, 2.0; four real heads 21-166 and 4.3-35."""

FINE_MM, POOR_MM = 2.0, 5.5
"""Voxel edge in mm that is fine, and beyond which the input is poor; `THIN_MM` lies between."""

CUT_MM2 = 300.0
"""Area of brain on a face of the image, other than the lower one, that counts as a cut; mm2."""

GHOST = 0.03
"""Air beside the head over the head; a ghost of 4 % of the image gives this."""

BIAS_RATIO = 1.6
CLIPPED = 0.02
FIT_GOOD = 0.60
WHITE_GREY_GOOD = 2.0
"""Just below the least that real and simulated T1-weighted heads reach in `benchmarks/guard.py`."""

AGREEMENT_GOOD, AGREEMENT_POOR = 0.10, 0.18
"""Difference of the white share by two methods; 0.02-0.08 is usual, see `segment.agreement`."""

GRAY, WHITE = 1, 2
"""Labels of the tissue mask."""


@dataclass(frozen=True, eq=False)
class HeadInput:
    """What is known about an input that passed the guard."""

    volume: Volume
    series: Series
    sequence: MrSequence
    evidence: HeadEvidence

    @property
    def coarsest_mm(self) -> float:
        """Return the largest distance of voxels in mm."""
        return max(self.volume.spacing_mm)

    @property
    def thick(self) -> bool:
        """Return whether slices are so thick that most voxels hold more than one tissue."""
        return self.coarsest_mm > THIN_MM


def head_checks(seen: HeadInput, found: TissueSegmentation) -> tuple[QualityCheck, ...]:
    """Return every check of an input and its segmentation."""
    return (
        *_noise_checks(found),
        _resolution_check(seen),
        _enhancement_check(seen),
        _coverage_check(found),
        _ghost_check(seen.volume),
        _bias_check(found),
        *_reading_checks(seen, found),
        _fit_check(seen.evidence),
        _contrast_check(seen.evidence),
        *_agreement_checks(found),
    )


def _graded(value: float, good: float, poor: float) -> Mark:
    """Return the mark of a number that is better when larger (good > poor) or smaller (good < poor)."""
    sign = 1 if good > poor else -1
    return Mark.GOOD if sign * value >= sign * good else Mark.CAUTION if sign * value >= sign * poor else Mark.POOR


def _noise_checks(found: TissueSegmentation) -> list[QualityCheck]:
    certain = {name: found.probabilities[name].array > 0.95 for name in ("gray_matter", "white_matter")}
    if min(np.count_nonzero(region) for region in certain.values()) < quality.LEAST_VOXELS:
        return []
    ratio = quality.signal_to_noise(found.bias_corrected, certain["white_matter"])
    contrast = quality.contrast(found.bias_corrected, certain["gray_matter"], certain["white_matter"]).to_noise
    rows = (("noise", ratio, SNR_GOOD, SNR_POOR), ("contrast", contrast, CNR_GOOD, CNR_POOR))
    return [
        QualityCheck(name, _graded(value, good, poor),
                     Message(f"check.{name}", {"value": round(min(value, 1e3), 1), "good": good}), min(value, 1e3))
        for name, value, good, poor in rows
    ]  # fmt: skip


def _resolution_check(seen: HeadInput) -> QualityCheck:
    coarsest = round(seen.coarsest_mm, 2)
    mark = _graded(coarsest, FINE_MM, POOR_MM)
    text = Message("check.thick", {"value": coarsest}) if seen.thick else Message(
        "check.resolution", {"value": coarsest, "good": FINE_MM})  # fmt: skip
    return QualityCheck("resolution", mark, text, coarsest, "mm")


def _enhancement_check(seen: HeadInput) -> QualityCheck:
    if seen.sequence.enhanced:
        return QualityCheck("enhancement", Mark.CAUTION, Message("check.enhanced"))
    return QualityCheck("enhancement", Mark.GOOD, Message("check.plain"))


def _coverage_check(found: TissueSegmentation) -> QualityCheck:
    areas = quality.border_area_mm2(found.brain, found.brain.array > 0)
    # The brain stem and the cord leave through the lower face of every head scan.
    area = max(a - CUT_MM2 if letter == "I" else a for letter, a in areas.items())
    if area <= CUT_MM2:
        return QualityCheck("coverage", Mark.GOOD, Message("check.coverage"), max(area, 0.0), "mm2")
    return QualityCheck("coverage", Mark.CAUTION, Message("check.cut", {"area": round(area)}), area, "mm2")


def _ghost_check(volume: Volume) -> QualityCheck:
    ghost = quality.ghosting(volume)
    if ghost is None:
        return QualityCheck("ghosting", Mark.GOOD, Message("check.no_air"))
    mark = Mark.GOOD if ghost.ratio <= GHOST else Mark.CAUTION
    text = "check.ghosting" if mark is Mark.GOOD else "check.motion"
    return QualityCheck("ghosting", mark, Message(text, {"value": round(100 * ghost.ratio, 1)}), 100 * ghost.ratio, "%")


def _bias_check(found: TissueSegmentation) -> QualityCheck:
    low, high = found.diagnostics.bias_range
    ratio = round(high / low, 2)
    mark = Mark.GOOD if ratio <= BIAS_RATIO else Mark.CAUTION
    return QualityCheck("bias", mark, Message("check.bias", {"value": ratio}), ratio)


def _reading_checks(seen: HeadInput, found: TissueSegmentation) -> list[QualityCheck]:
    checks = [QualityCheck("reading", Mark.CAUTION, problem) for problem in seen.series.problems]
    lost = 100 * float(1 - np.isfinite(seen.volume.array).mean())
    if lost > 0:
        text = Message("check.not_finite", {"value": round(lost, 1)})
        checks.append(QualityCheck("not_finite", Mark.CAUTION, text, lost, "%"))
    clipped = quality.clipped_fraction(seen.volume, found.tissue.array == WHITE)
    if clipped > CLIPPED:
        text = Message("check.clipping", {"value": round(100 * clipped, 1)})
        checks.append(QualityCheck("clipping", Mark.CAUTION, text, 100 * clipped, "%"))
    return checks


def _fit_check(evidence: HeadEvidence) -> QualityCheck:
    value = round(evidence.fit, 2)
    mark = Mark.GOOD if value >= FIT_GOOD else Mark.CAUTION
    return QualityCheck("domain.fit", mark, Message("check.fit", {"value": value, "good": FIT_GOOD}), value)


def _contrast_check(evidence: HeadEvidence) -> QualityCheck:
    value = round(evidence.white_grey, 2)
    mark = Mark.GOOD if value >= WHITE_GREY_GOOD else Mark.CAUTION
    text = Message("check.tissue_contrast", {"value": value, "good": WHITE_GREY_GOOD})
    return QualityCheck("domain.contrast", mark, text, value)


def _agreement_checks(found: TissueSegmentation) -> list[QualityCheck]:
    counts = np.bincount(found.tissue.array.ravel(), minlength=4)
    engine = float(counts[WHITE] / max(counts[GRAY] + counts[WHITE], 1))
    try:
        plain = white_share_by_brightness(found.bias_corrected, found.tissue.array > 0)
    except ImageContentError:
        return []
    text = Message("check.agreement", {"engine": round(100 * engine), "plain": round(100 * plain)})
    mark = _graded(abs(engine - plain), AGREEMENT_GOOD, AGREEMENT_POOR)
    return [QualityCheck("agreement.white_share", mark, text, round(100 * (plain - engine), 1), "%")]
