"""What kind of MR image a series is, told from its acquisition attributes; its name is one vote among several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vesalius.core.study import Series


class Weighting(StrEnum):
    """What the contrast of an MR image shows."""

    T1 = "T1"
    T2 = "T2"
    T2_STAR = "T2*"
    FLAIR = "FLAIR"
    STIR = "STIR"
    PROTON_DENSITY = "PD"
    DIFFUSION = "DWI"
    PERFUSION = "perfusion"
    ANGIOGRAPHY = "angiography"
    STEADY_STATE = "bSSFP"
    UNKNOWN = ""


PHYSICS_VOTES = 2
NAME_VOTES = 1

SHORT_TE_MS, LONG_TE_MS = 35.0, 60.0
SHORT_TR_SPIN_ECHO_MS, LONG_TR_SPIN_ECHO_MS = 1100.0, 1800.0
FLAIR_TI_MS, FLAIR_TR_MS = 1400.0, 4000.0
STIR_TI_MS = (80.0, 300.0)
T1_TI_MS = (300.0, 1300.0)
T2_STAR_TE_MS = 12.0
STEADY_STATE_FLIP_DEG = 30.0
"""Ranges of the usual protocols at 1.5 and 3 T.

Source: McRobbie, MRI from Picture to Proton, 3rd edition 2017, chapters 3 and 12.
"""

NAMES: tuple[tuple[Weighting, str], ...] = (
    (Weighting.DIFFUSION, r"dwi|diff|\badc\b|dti|trace|tensor|\bfa\b"),
    (Weighting.PERFUSION, r"perf|\basl\b|pcasl|\bpwi\b|\bdsc\b|\bcbf\b|bold|fmri|rest(ing)?[ _-]?state"),
    (Weighting.ANGIOGRAPHY, r"\btof|angio|\bmra\b|\bmrv\b|venogr"),
    (Weighting.T2_STAR, r"\bswi\b|swan|suscept|t2[ _-]?(\*|star)|t2s\b|\bgre[ _-]?t2|hemo"),
    (Weighting.T1, r"t1[ _-]?(w|tse|tir)?[ _-]?flair|t1|mp-?rage|mp2rage|bravo|spgr|fspgr|\btfl|vibe|\blava\b|flash"),
    (Weighting.FLAIR, r"flair|tir2d|dark[ _-]?fluid"),
    (Weighting.STIR, r"\bstir\b"),
    (Weighting.T2, r"t2|\bciss\b|fiesta|\bblade\b"),
    (Weighting.PROTON_DENSITY, r"\bpd\b|proton|prot[ _-]?dens"),
    (Weighting.STEADY_STATE, r"cine|true?fi|\bssfp\b"),
)
"""The first pattern that is found in the name of a series gives its vote."""

CONTRAST_NAMES = r"\+ ?c\b|\bc ?\+|post(?!erior)|gad|\bgd\b|gdtpa|contrast|\bce\b|t1c(?!or)|mit km"
LOCALIZER_NAMES = r"\bloc\b|locali[sz]er|scout|survey|three ?plane|3 ?plane|\baahead"

PROCESSED = {
    "MIP", "MINIP", "PROJECTION IMAGE", "MAX_IP", "MIN_IP", "SUBTRACTION", "SUB", "ADC", "FA", "TRACEW", "EADC",
    "DIFFUSION", "CBF", "CBV", "MTT", "TTP", "T1 MAP", "T2 MAP", "T2_MAP", "T1_MAP", "PHASE", "PHASE MAP", "REAL",
    "IMAGINARY", "SCREEN SAVE", "POSDISP", "CSAPARALLEL", "VOLREN", "P", "R", "I",
}  # fmt: skip
"""Values of ImageType after the second that mark an image as something else than a magnitude picture."""


@dataclass(frozen=True)
class MrSequence:
    """What the attributes of a series tell.

    Args:
        weighting: the contrast, `UNKNOWN` when nothing tells or the votes are even.
        basis: what spoke, such as "TR 500 ms, TE 9.5 ms".
        enhanced: a contrast agent was given.
        volumetric: 3-D (True) or 2-D (False) acquisition, None when not told.
        original: False when the image was derived from others.
        localizer: a planning image.
        processed: the word that marks it as computed (map, projection, phase), "" when none does.
    """

    weighting: Weighting
    basis: str
    enhanced: bool
    volumetric: bool | None
    original: bool
    localizer: bool
    processed: str


def mr_sequence(series: Series) -> MrSequence:
    """Return what kind of MR image a series is.

    The name of a plain file says nothing about its weighting: people name files as they like.
    """
    attributes = series.attributes
    image_type = [w.upper() for w in _words(attributes, "ImageType")]
    name = series_name(series)
    title = name if series.format == "dicom" else ""
    kind = " ".join(_words(attributes, "MRAcquisitionType")).upper()
    return MrSequence(
        weighting=_elected(attributes, title),
        basis=_basis(attributes),
        enhanced=_enhanced(attributes, name),
        volumetric={"3D": True, "2D": False}.get(kind),
        original="DERIVED" not in image_type[:1],
        localizer="LOCALIZER" in image_type or re.search(LOCALIZER_NAMES, title) is not None,
        processed=next((w for w in image_type[2:] if w in PROCESSED), ""),
    )


def series_name(series: Series) -> str:
    """Return description, protocol and sequence name in lower case, underscores as spaces."""
    keys = ("ProtocolName", "SequenceName", "PulseSequenceName")
    words = [series.description, *(w for key in keys for w in _words(series.attributes, key))]
    return " ".join(words).lower().replace("_", " ")


def _elected(attributes: Mapping[str, Any], name: str) -> Weighting:
    votes: Counter[Weighting] = Counter()
    if (physical := _by_physics(attributes)) is not Weighting.UNKNOWN:
        votes[physical] += PHYSICS_VOTES
    named = next((w for w, pattern in NAMES if re.search(pattern, name)), Weighting.UNKNOWN)
    if named is not Weighting.UNKNOWN:
        # A time-of-flight or perfusion series has the physics of T1 or T2*: here only the name can tell.
        special = named in (Weighting.ANGIOGRAPHY, Weighting.PERFUSION, Weighting.DIFFUSION)
        votes[named] += NAME_VOTES + PHYSICS_VOTES if special else NAME_VOTES
    return max(votes, key=lambda w: votes[w]) if votes else Weighting.UNKNOWN


def _by_physics(attributes: Mapping[str, Any]) -> Weighting:
    te, tr = _number(attributes, "EchoTime"), _number(attributes, "RepetitionTime")
    sequence = {w.upper() for w in _words(attributes, "ScanningSequence")}
    if _number(attributes, "DiffusionBValue"):
        return Weighting.DIFFUSION
    if te is None or tr is None or tr <= 0:
        return Weighting.UNKNOWN
    inversion = _number(attributes, "InversionTime")
    if inversion:
        return _by_inversion(te, tr, inversion)
    if "EP" in sequence:
        return Weighting.T2_STAR
    if "GR" in sequence and "SE" not in sequence:
        return _by_gradient_echo(te, tr, attributes)
    return _by_spin_echo(te, tr)


def _by_inversion(te: float, tr: float, ti: float) -> Weighting:
    if ti >= FLAIR_TI_MS and tr >= FLAIR_TR_MS:
        return Weighting.FLAIR
    if STIR_TI_MS[0] <= ti < STIR_TI_MS[1] and tr > LONG_TR_SPIN_ECHO_MS:
        return Weighting.STIR
    if T1_TI_MS[0] <= ti <= T1_TI_MS[1] and te <= SHORT_TE_MS:
        return Weighting.T1
    return Weighting.UNKNOWN


def _by_gradient_echo(te: float, tr: float, attributes: Mapping[str, Any]) -> Weighting:
    variant = {w.upper() for w in _words(attributes, "SequenceVariant")}
    flip = _number(attributes, "FlipAngle") or 0.0
    if "SS" in variant and "SP" not in variant and flip >= STEADY_STATE_FLIP_DEG:
        return Weighting.STEADY_STATE
    if te > T2_STAR_TE_MS:
        return Weighting.T2_STAR
    return Weighting.T1 if tr < LONG_TR_SPIN_ECHO_MS or "MP" in variant else Weighting.UNKNOWN


def _by_spin_echo(te: float, tr: float) -> Weighting:
    if tr <= SHORT_TR_SPIN_ECHO_MS and te <= SHORT_TE_MS:
        return Weighting.T1
    if tr >= LONG_TR_SPIN_ECHO_MS and te >= LONG_TE_MS:
        return Weighting.T2
    if tr >= LONG_TR_SPIN_ECHO_MS and te <= SHORT_TE_MS:
        return Weighting.PROTON_DENSITY
    return Weighting.UNKNOWN


def _basis(attributes: Mapping[str, Any]) -> str:
    parts = []
    for short, key in (("TR", "RepetitionTime"), ("TE", "EchoTime"), ("TI", "InversionTime")):
        value = _number(attributes, key)
        if value:
            parts.append(f"{short} {value:g} ms")
    return ", ".join(parts)


def _enhanced(attributes: Mapping[str, Any], name: str) -> bool:
    agent = " ".join(_words(attributes, "ContrastBolusAgent")).strip().lower()
    given = bool(agent) and agent not in ("none", "no", "n", "0", "-", "na", "n/a", "without")
    return given or re.search(CONTRAST_NAMES, name) is not None


def _words(attributes: Mapping[str, Any], key: str) -> list[str]:
    value = attributes.get(key)
    if value is None:
        return []
    if isinstance(value, str):
        return [w.strip() for w in value.split("\\") if w.strip()]
    if isinstance(value, (list, tuple)):
        return [str(w).strip() for w in value]
    return [str(value)]


def _number(attributes: Mapping[str, Any], key: str) -> float | None:
    words = _words(attributes, key)
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None
