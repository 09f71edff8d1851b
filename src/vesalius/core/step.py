"""What was done to an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One operation in the history of an image: name, version and JSON-able parameters."""

    operation: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    version: str = "1"
