"""Segmentation and detection metrics after Metrics Reloaded (Maier-Hein 2024, doi:10.1038/s41592-023-02151-z).

One function per metric (`dice`, `hd95`, ...), or `compare` for a typed table of every segment.
"""

from vesalius.evaluate.metrics.froc import RATES, Candidate, Froc, Target, froc
from vesalius.evaluate.metrics.lesions import (
    Detection,
    LesionMatch,
    Matching,
    Panoptic,
    detect_lesions,
    panoptic_quality,
    pooled,
)
from vesalius.evaluate.metrics.pair import Pair, State
from vesalius.evaluate.metrics.scores import METRICS, Metric, Options, Score, ScoreTable, compare
from vesalius.evaluate.metrics.segmentation import (
    assd,
    boundary_iou,
    centreline_dice,
    dice,
    hd,
    hd95,
    iou,
    masd,
    precision,
    sensitivity,
    surface_dice,
    volume_error,
    volume_error_ml,
)
from vesalius.evaluate.metrics.surface import Definition, SurfaceDistances, distances

__all__ = [
    "METRICS",
    "RATES",
    "Candidate",
    "Definition",
    "Detection",
    "Froc",
    "LesionMatch",
    "Matching",
    "Metric",
    "Options",
    "Pair",
    "Panoptic",
    "Score",
    "ScoreTable",
    "State",
    "SurfaceDistances",
    "Target",
    "assd",
    "boundary_iou",
    "centreline_dice",
    "compare",
    "detect_lesions",
    "dice",
    "distances",
    "froc",
    "hd",
    "hd95",
    "iou",
    "masd",
    "panoptic_quality",
    "pooled",
    "precision",
    "sensitivity",
    "surface_dice",
    "volume_error",
    "volume_error_ml",
]
