"""What an energy meter must offer, and the estimate that stands in for one."""

from __future__ import annotations

from typing import Protocol

WATT_PER_CORE = 10.0
"""Assumed draw of one busy core with its share of memory and supply; a mid-range server or laptop processor
(65-280 W over 8-32 cores). An assumption, named as such wherever the number is shown."""


class EnergyMeter(Protocol):
    """Measures or estimates the energy of a piece of work."""

    method: str

    def watt_hours(self, cpu_seconds: float) -> float | None:
        """Return the energy in Wh, or None when it is not known."""


class CoreTimeEstimate:
    """Energy as processor seconds times an assumed power per core."""

    method = f"estimated: processor seconds x {WATT_PER_CORE:g} W per core"

    def watt_hours(self, cpu_seconds: float) -> float | None:
        """Return the estimate in Wh."""
        return cpu_seconds * WATT_PER_CORE / 3600.0
