"""What a run draws: codecarbon offline where it is installed, labelled by how the number came about."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vesalius.core.energy import CoreTimeEstimate
from vesalius.train.learner import BudgetSpent

MEASURED: Final = "measured"
ESTIMATED: Final = "estimated"
_METERS: Final = ("intel_rapl", "intel_power_gadget")
"""How codecarbon calls processors whose energy a meter counts."""
_SECONDS: Final = 10.0
"""The budget is looked at this often at most."""
_ANY_GRID: Final = "FRA"
"""codecarbon does not start without a country; where ours is unknown, its CO2 is thrown away."""


@dataclass(frozen=True)
class Used:
    """Energy of a piece of work.

    Args:
        kwh: None when it is not known.
        co2_kg: None when the grid is not known.
        method: "measured" by a meter, or "estimated".
    """

    kwh: float | None
    co2_kg: float | None
    method: str
    seconds: float

    def plus(self, other: Used) -> Used:
        """Return the sum; what one of the two does not know is not known."""
        kwh = self.kwh + other.kwh if self.kwh is not None and other.kwh is not None else None
        co2 = self.co2_kg + other.co2_kg if self.co2_kg is not None and other.co2_kg is not None else None
        method = MEASURED if self.method == other.method == MEASURED else ESTIMATED
        return Used(kwh, co2, method, self.seconds + other.seconds)


class Meter:
    """Counts energy from its start, and keeps a limit."""

    def __init__(self, country: str | None = None, limit_kwh: float | None = None, before_kwh: float = 0.0) -> None:
        """Begin.

        Args:
            country: three-letter code of the grid, None when it is not known.
            limit_kwh: `check` raises from there on.
            before_kwh: what earlier parts of the same run used.
        """
        self._country, self._limit, self._before = country, limit_kwh, before_kwh
        self._began, self._processor = time.monotonic(), time.process_time()
        self._looked = self._began
        self._tracker = _tracker(country)

    def used(self) -> Used:
        """Return what was used so far."""
        seconds = time.monotonic() - self._began
        if self._tracker is None:
            watt_hours = CoreTimeEstimate().watt_hours(time.process_time() - self._processor)
            return Used(watt_hours / 1000 if watt_hours is not None else None, None, ESTIMATED, seconds)
        with contextlib.suppress(Exception):
            self._tracker.flush()
        kwh = float(self._tracker._total_energy.kWh)
        co2 = _co2(self._tracker) if self._country else None
        return Used(kwh, co2, _method(self._tracker), seconds)

    def check(self) -> None:
        """Raise when the limit is reached; looks every few seconds only.

        Raises:
            BudgetSpent: it is.
        """
        if self._limit is None:
            return
        now = time.monotonic()
        if self._looked != self._began and now - self._looked < _SECONDS:
            return
        self._looked = now
        found = self.used().kwh
        if found is not None and self._before + found >= self._limit:
            raise BudgetSpent(f"{self._before + found:.4g} kWh used, {self._limit:g} allowed")

    def close(self) -> None:
        """Stop counting."""
        if self._tracker is not None:
            with contextlib.suppress(Exception):
                self._tracker.stop()


@contextlib.contextmanager
def metered(country: str | None, limit_kwh: float | None, before_kwh: float = 0.0) -> Iterator[Meter]:
    """Give a meter that stops at the end of the block."""
    meter = Meter(country, limit_kwh, before_kwh)
    try:
        yield meter
    finally:
        meter.close()


def _tracker(country: str | None) -> Any:
    try:
        from codecarbon import OfflineEmissionsTracker
    except ImportError:
        return None
    # it speaks before it looks at the level that it is given
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    try:
        tracker = OfflineEmissionsTracker(
            country_iso_code=country or _ANY_GRID, save_to_file=False, log_level="critical", measure_power_secs=15,
            allow_multiple_runs=True, tracking_mode="machine",
        )  # fmt: skip
        tracker.start()
        _ = tracker._total_energy.kWh
    except Exception:  # noqa: BLE001 - an energy meter never stops a training; the estimate stands in
        return None
    return tracker


def _method(tracker: Any) -> str:
    """Return "measured" when the processor and every accelerator have a meter; memory is a model of codecarbon's."""
    modes = [getattr(one, "_mode", None) for one in getattr(tracker, "_hardware", [])]
    processors = [mode for mode in modes if mode is not None]
    return MEASURED if processors and all(mode in _METERS for mode in processors) else ESTIMATED


def _co2(tracker: Any) -> float | None:
    try:
        return float(tracker._prepare_emissions_data().emissions)
    except Exception:  # noqa: BLE001 - as above
        return None
