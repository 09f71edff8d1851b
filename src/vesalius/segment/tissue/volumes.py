"""Volumes of the tissues with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vesalius.segment.tissue.result import TissueSegmentation

LEVEL = 0.95
SPREAD = {"gray_matter": 0.015, "white_matter": 0.015, "csf": 0.05, "intracranial": 0.025, "fraction": 0.02}
"""Relative standard deviation that no rerun on one image can show: the error against the known answer of simulated
heads, and for fluid and the intracranial volume the border between fluid and bone, which no T1 shows."""


@dataclass(frozen=True)
class TissueQuantity:
    """One number of the tissue table.

    Args:
        name: gray_matter, white_matter, csf, intracranial_volume, brain_parenchymal_fraction,
            parenchymal_share_of_stripped_head, gray_matter_asymmetry, white_matter_asymmetry.
        value: None when not measurable.
        unit: UCUM: "mL", "1" or "%".
        low: lower end of the interval.
        high: upper end of the interval.
        level: coverage of the interval.
        reason: why the value is None, a message id: "skull_absent" or "".
    """

    name: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    level: float = LEVEL
    reason: str = ""


def tissue_volumes(segmentation: TissueSegmentation) -> tuple[TissueQuantity, ...]:
    """Return volumes, fractions and asymmetries with intervals; fluid below the foramen magnum does not count."""
    labels, inside = segmentation.tissue.array, segmentation.intracranial.array > 0
    voxel = segmentation.tissue.voxel_volume_mm3 / 1000
    counts = np.bincount(labels[inside], minlength=4) * voxel
    # Grey and white matter are counted wherever they are; only fluid and ICV stop at the foramen magnum.
    gray, white, fluid = (float(c) for c in counts[1:4])
    total = gray + white + fluid
    rows = [
        _sized("gray_matter", gray, segmentation),
        _sized("white_matter", white, segmentation),
        _sized("csf", fluid, segmentation),
    ]
    rows += _whole(total, gray + white, segmentation)
    rows += [_asymmetry(segmentation, k, f"{n}_asymmetry") for k, n in ((1, "gray_matter"), (2, "white_matter"))]
    return tuple(rows)


def _spread(name: str, segmentation: TissueSegmentation) -> float:
    return float(np.hypot(SPREAD[name], segmentation.volume_spread.get(name, 0.0)))


def _sized(name: str, value: float, segmentation: TissueSegmentation) -> TissueQuantity:
    half = 1.96 * _spread(name, segmentation) * value
    return TissueQuantity(name, value, "mL", value - half, value + half)


def _whole(total: float, parenchyma: float, segmentation: TissueSegmentation) -> list[TissueQuantity]:
    share = parenchyma / total if total > 0 else 0.0
    half = 1.96 * _spread("fraction", segmentation) * share
    fraction = ("brain_parenchymal_fraction", "parenchymal_share_of_stripped_head")
    name, other = fraction if segmentation.skull_present else fraction[::-1]
    measured = TissueQuantity(name, share, "1", share - half, min(1.0, share + half))
    if segmentation.skull_present:
        width = 1.96 * _spread("intracranial", segmentation) * total
        return [TissueQuantity("intracranial_volume", total, "mL", total - width, total + width), measured]
    missing = [
        TissueQuantity(n, None, u, None, None, reason="skull_absent")
        for n, u in (("intracranial_volume", "mL"), (other, "1"))
    ]
    return [*missing, measured]


def _asymmetry(segmentation: TissueSegmentation, label: int, name: str) -> TissueQuantity:
    chosen = (segmentation.tissue.array == label) & (segmentation.intracranial.array > 0)
    sides = np.bincount(segmentation.hemispheres.array[chosen], minlength=3)
    left, right = float(sides[1]), float(sides[2])
    value = 200 * (left - right) / (left + right) if left + right > 0 else 0.0
    half = 1.96 * 100 * np.sqrt(2) * _spread("gray_matter" if label == 1 else "white_matter", segmentation)
    return TissueQuantity(name, value, "%", value - float(half), value + float(half))
