"""Energy: an estimate is called one, an unknown grid stays unknown, a limit stops the run."""

from __future__ import annotations

import pytest

from vesalius.train import energy
from vesalius.train.energy import Meter, Used, metered
from vesalius.train.learner import BudgetSpent


class Tracker:
    """Stands for codecarbon's."""

    def __init__(self, kwh: float, mode: str) -> None:
        self._total_energy = type("Energy", (), {"kWh": kwh})()
        self._hardware = [type("Processor", (), {"_mode": mode})()]
        self.stopped = False

    def flush(self) -> None: ...

    def _prepare_emissions_data(self) -> object:
        return type("Data", (), {"emissions": 0.25})()

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(("mode", "method"), [("intel_rapl", "measured"), ("cpu_load", "estimated")])
def test_only_a_meter_measures(monkeypatch: pytest.MonkeyPatch, mode: str, method: str) -> None:
    monkeypatch.setattr(energy, "_tracker", lambda country: Tracker(0.5, mode))
    assert Meter("FRA").used().method == method
    assert Meter("FRA").used().co2_kg == 0.25


def test_an_unknown_grid_has_no_carbon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_tracker", lambda country: Tracker(0.5, "cpu_load"))
    found = Meter().used()
    assert (found.kwh, found.co2_kg) == (0.5, None)


def test_without_codecarbon_processor_time_is_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_tracker", lambda country: None)
    found = Meter("FRA").used()
    assert found.method == "estimated"
    assert found.kwh is not None
    assert found.co2_kg is None


def test_the_limit_counts_what_earlier_parts_used(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(0.5, "cpu_load")
    monkeypatch.setattr(energy, "_tracker", lambda country: tracker)
    with metered(None, 1.0) as meter:
        meter.check()
    assert tracker.stopped
    with metered(None, 1.0, before_kwh=0.6) as meter, pytest.raises(BudgetSpent, match=r"1\.1 kWh used, 1 allowed"):
        meter.check()


def test_parts_add_up_and_what_one_does_not_know_is_not_known() -> None:
    both = Used(1.0, 0.1, "measured", 5).plus(Used(2.0, None, "estimated", 7))
    assert both == Used(3.0, None, "estimated", 12)


def test_codecarbon_itself_is_heard_and_silent(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("codecarbon")
    with metered(None, None) as meter:
        found = meter.used()
    shown = capsys.readouterr()
    assert (found.kwh or 0) >= 0
    assert found.co2_kg is None
    assert "codecarbon" not in shown.out + shown.err
