"""The nouns: frozen dataclasses that need NumPy and the standard library only.

A noun never reads, writes, plots, trains or imports another room.
"""

from vesalius.core.axis import Axis, AxisKind
from vesalius.core.code import Code
from vesalius.core.finding import Finding, Interval, KeyImage, Mark, Measurement, Message, QualityCheck
from vesalius.core.grid import Frame, Spacing
from vesalius.core.mask import Mask, Segment
from vesalius.core.report import (
    LeftOut,
    MaskReference,
    Outcome,
    Provenance,
    Report,
    Result,
    Run,
    Source,
    Status,
)
from vesalius.core.step import Step
from vesalius.core.study import Case, Geometry, Identity, Instance, Selection, Series, Study, Verdict
from vesalius.core.volume import Volume

__all__ = [
    "Axis",
    "AxisKind",
    "Case",
    "Code",
    "Finding",
    "Frame",
    "Geometry",
    "Identity",
    "Instance",
    "Interval",
    "KeyImage",
    "LeftOut",
    "Mark",
    "Mask",
    "MaskReference",
    "Measurement",
    "Message",
    "Outcome",
    "Provenance",
    "QualityCheck",
    "Report",
    "Result",
    "Run",
    "Segment",
    "Selection",
    "Series",
    "Source",
    "Spacing",
    "Status",
    "Step",
    "Study",
    "Verdict",
    "Volume",
]
