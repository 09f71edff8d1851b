"""The protocols between engine and learners: both families keep them."""

from __future__ import annotations

import inspect

import pytest

from vesalius.train import classical
from vesalius.train.learner import BudgetSpent, Fitted, Job, Learner
from vesalius.train.network import NetworkFitted, NetworkLearner


@pytest.mark.parametrize(
    ("protocol", "made"),
    [
        (Learner, classical.ClassicalLearner),
        (Learner, NetworkLearner),
        (Fitted, classical.ClassicalFitted),
        (Fitted, NetworkFitted),
    ],
)
def test_both_families_offer_what_the_protocols_name(protocol: type, made: type) -> None:
    for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
        if not name.startswith("_"):
            own = inspect.signature(getattr(made, name)).parameters
            assert list(own) == list(inspect.signature(wanted).parameters), name


def test_an_empty_budget_is_no_error_of_ours(tmp_path: object) -> None:
    from pathlib import Path

    from vesalius.core.errors import VesaliusError

    assert not issubclass(BudgetSpent, VesaliusError)
    assert Job(Path()).threads == 1
