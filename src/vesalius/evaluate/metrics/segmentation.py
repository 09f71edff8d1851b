"""Metrics of one segment, one function each. The table of empty masks is in docs/reference/metrics.md.

`segment` is a name in the reference or a label; without one the masks must hold exactly one segment. Masks that are not
on one grid raise GeometryError, an unknown segment LabelError, a metric in mm on unknown spacing UnknownSpacingError.
"""

from __future__ import annotations

from vesalius.core.mask import Mask
from vesalius.evaluate.metrics.pair import Pair
from vesalius.evaluate.metrics.scores import Options, score
from vesalius.evaluate.metrics.surface import Definition

Segment = str | int | None


def dice(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return the Dice coefficient, 0..1."""
    return score("dice", Pair.of(prediction, reference, segment))


def iou(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return intersection over union (Jaccard), 0..1."""
    return score("iou", Pair.of(prediction, reference, segment))


def sensitivity(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return the share of the reference's voxels that are predicted, 0..1."""
    return score("sensitivity", Pair.of(prediction, reference, segment))


def precision(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return the share of the predicted voxels that are in the reference, 0..1."""
    return score("precision", Pair.of(prediction, reference, segment))


def volume_error(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return (prediction - reference) / reference, dimensionless and signed."""
    return score("volume_error", Pair.of(prediction, reference, segment))


def volume_error_ml(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return prediction - reference in mL, signed."""
    return score("volume_error_ml", Pair.of(prediction, reference, segment))


def surface_dice(
    prediction: Mask,
    reference: Mask,
    segment: Segment = None,
    *,
    tolerance_mm: float,
    definition: Definition = "deepmind",
) -> float:
    """Return the share of both surfaces that is at most a tolerance from the other (NSD), 0..1.

    Args:
        tolerance_mm: what two experts may differ by; it belongs to the task, so there is no default.
        definition: "deepmind" weighs surface elements by their area, "monai" counts voxels.
    """
    return score("surface_dice", Pair.of(prediction, reference, segment), Options(definition, tolerance_mm))


def hd(prediction: Mask, reference: Mask, segment: Segment = None, *, definition: Definition = "deepmind") -> float:
    """Return the Hausdorff distance between the surfaces in mm."""
    return score("hd", Pair.of(prediction, reference, segment), Options(definition))


def hd95(prediction: Mask, reference: Mask, segment: Segment = None, *, definition: Definition = "deepmind") -> float:
    """Return the 95th percentile of the distances between the surfaces in mm.

    Args:
        definition: "deepmind" the larger of the two percentiles over area; "monai" the larger of the two over voxels;
            "pooled" (also "medpy") one percentile of the voxels of both.
    """
    return score("hd95", Pair.of(prediction, reference, segment), Options(definition))


def assd(prediction: Mask, reference: Mask, segment: Segment = None, *, definition: Definition = "deepmind") -> float:
    """Return the mean distance over both surfaces together in mm, weighted by area by default."""
    return score("assd", Pair.of(prediction, reference, segment), Options(definition))


def masd(prediction: Mask, reference: Mask, segment: Segment = None, *, definition: Definition = "deepmind") -> float:
    """Return the mean of the two directed mean distances in mm, weighted by area by default."""
    return score("masd", Pair.of(prediction, reference, segment), Options(definition))


def boundary_iou(prediction: Mask, reference: Mask, segment: Segment = None, *, width_mm: float) -> float:
    """Return the IoU of the rims of both masks, 0..1.

    Args:
        width_mm: depth of the rim, measured from the nearest voxel centre outside.
    """
    return score("boundary_iou", Pair.of(prediction, reference, segment), Options(width_mm=width_mm))


def centreline_dice(prediction: Mask, reference: Mask, segment: Segment = None) -> float:
    """Return how far the skeleton of each mask lies in the other (clDice), 0..1; for vessels and other tubes."""
    return score("centreline_dice", Pair.of(prediction, reference, segment))
