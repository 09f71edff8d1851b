from __future__ import annotations

import pytest

from vesalius.core import Code, Interval, Measurement
from vesalius.report import numbers

CODE = Code("1", "99VESALIUS", "thing")


def measured(value: float | None, low: float | None = None, high: float | None = None, unit: str = "mL") -> Measurement:
    interval = None if low is None or high is None else Interval(low, high)
    return Measurement("x", value, unit, CODE, interval=interval)


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (measured(612.34, 598.1, 626.2), "612 mL [598, 626]"),
        (measured(0.8123, 0.8049, 0.8191, "1"), "0.812 [0.805, 0.819]"),
        (measured(-1.24, -1.9, -0.61, "%"), "−1.2 % [−1.9, −0.6]"),
        (measured(1234567.0, 1234000, 1235000), "1234567 mL [1234000, 1235000]"),
        (measured(4.2, 0.02, 8.3, "%"), "4.2 % [0.0, 8.3]"),
        (measured(2.1), "2.10 mL"),
        (measured(0.0), "0.00 mL"),
        (measured(-0.0001, -0.6, 0.6, "%"), "0.0 % [−0.6, 0.6]"),
        (measured(40.0, 40.0, 40.0, "[hnsf'U]"), "40.0 HU [40.0, 40.0]"),
        (measured(None), ""),
    ],
)
def test_digits_follow_the_interval(measurement: Measurement, text: str) -> None:
    assert numbers.quantity(measurement) == text


def test_padding_aligns_decimal_points() -> None:
    assert numbers.padding(["1091", "0.915", "−1.2", ""]) == [".000", "", "00", ""]
    assert numbers.padding(["12", "7"]) == ["", ""]


@pytest.mark.parametrize(("p", "text"), [(0.0, "<1"), (0.004, "<1"), (0.5, "50"), (0.999, ">99"), (1.0, ">99")])
def test_probabilities_have_no_decimals_and_never_claim_certainty(p: float, text: str) -> None:
    assert numbers.percent(p) == text
