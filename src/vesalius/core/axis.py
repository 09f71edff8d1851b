"""The typed fourth axis of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AxisKind(StrEnum):
    """What the fourth axis counts."""

    RGB = "rgb"
    TIME = "time"
    ECHO = "echo"
    B_VALUE = "b-value"
    PHASE = "phase"
    FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class Axis:
    """Kind, one value or name per element, and the UCUM unit of the values ("" when they are names)."""

    kind: AxisKind
    values: tuple[float, ...] | tuple[str, ...]
    unit: str = ""

    def __len__(self) -> int:
        """Return the number of elements."""
        return len(self.values)
