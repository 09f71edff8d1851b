"""The nouns: frozen dataclasses that need NumPy and the standard library only.

A noun never reads, writes, plots, trains or imports another room. Names load when first used, so that
a module that needs `core.errors` alone, such as the command line, loads no NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.core.axis import Axis, AxisKind
    from vesalius.core.code import Code
    from vesalius.core.cohort import Cohort
    from vesalius.core.finding import Finding, Interval, KeyImage, Mark, Measurement, Message, QualityCheck
    from vesalius.core.grid import Frame, Spacing
    from vesalius.core.mask import Mask, Segment
    from vesalius.core.report import LeftOut, MaskReference, Outcome, Provenance, Report, Result, Run, Source, Status
    from vesalius.core.step import Step
    from vesalius.core.study import Case, Geometry, Identity, Instance, Selection, Series, Study, Verdict
    from vesalius.core.volume import Volume

_HOMES = {
    "Axis": "axis",
    "AxisKind": "axis",
    "Code": "code",
    "Cohort": "cohort",
    "Finding": "finding",
    "Interval": "finding",
    "KeyImage": "finding",
    "Mark": "finding",
    "Measurement": "finding",
    "Message": "finding",
    "QualityCheck": "finding",
    "Frame": "grid",
    "Spacing": "grid",
    "Mask": "mask",
    "Segment": "mask",
    "LeftOut": "report",
    "MaskReference": "report",
    "Outcome": "report",
    "Provenance": "report",
    "Report": "report",
    "Result": "report",
    "Run": "report",
    "Source": "report",
    "Status": "report",
    "Step": "step",
    "Case": "study",
    "Geometry": "study",
    "Identity": "study",
    "Instance": "study",
    "Selection": "study",
    "Series": "study",
    "Study": "study",
    "Verdict": "study",
    "Volume": "volume",
}

__all__ = [
    "Axis",
    "AxisKind",
    "Case",
    "Code",
    "Cohort",
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


def __getattr__(name: str) -> Any:
    """Return a noun, importing its module now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
