"""The contract test accepts the trivial application and finds every breach."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import pytest
from trivial import CATALOGUE, Trivial

from vesalius.core import Message, Selection
from vesalius.core.errors import ContractError
from vesalius.pipeline import check_application
from vesalius.report.words import Catalogue


def test_the_trivial_application_keeps_the_contract() -> None:
    check_application(Trivial())


class Named(Trivial):
    name = "Bad Name"


EN, ZH = CATALOGUE["en"], CATALOGUE["zh"]
NAME = "DOE^JANE"


class OneLanguage(Trivial):
    catalogue: ClassVar[Catalogue] = {"en": EN}


class Untranslated(Trivial):
    catalogue: ClassVar[Catalogue] = {"en": EN, "zh": {k: v for k, v in ZH.items() if k != "trivial.empty"}}


class OtherParameters(Trivial):
    catalogue: ClassVar[Catalogue] = {"en": EN, "zh": {**ZH, "trivial.not_mr": "{other}"}}


class Forgetful(Trivial):
    def select(self, case: Any, series_uid: str | None = None) -> Selection:
        return dataclasses.replace(super().select(case, series_uid), left_out=())


class Stubborn(Trivial):
    def select(self, case: Any, series_uid: str | None = None) -> Selection:
        return super().select(case)


class Flat(Trivial):
    def memory_bytes(self, chosen: Any) -> int:
        return 1


class Credulous(Trivial):
    def _guard(self, volume: Any) -> None:
        return None


class Raising(Trivial):
    def _guard(self, volume: Any) -> Message | None:
        raise ValueError(NAME)


class Writing(Trivial):
    def _guard(self, volume: Any) -> Message | None:
        Path("/tmp/vesalius-contract-breach").write_text("x")
        return super()._guard(volume)


class Speechless(Trivial):
    def _guard(self, volume: Any) -> Message | None:
        return Message("trivial.unknown_sentence")


@pytest.mark.parametrize(
    ("application", "breach"),
    [
        (Named(), "lower-case words"),
        (OneLanguage(), "lacks en or zh"),
        (Untranslated(), "'trivial.empty' is not in both languages"),
        (OtherParameters(), "other parameters in zh"),
        (Forgetful(), "does not account for every series"),
        (Stubborn(), "another series than the forced one"),
        (Flat(), "memory_bytes does not grow"),
        (Credulous(), "completes on zeros"),
        (Raising(), "raises on phantom"),
        (Writing(), "writes files"),
        (Speechless(), "'trivial.unknown_sentence' has no words in zh"),
        (object(), "lacks a member"),
    ],
)
def test_every_breach_is_named(application: Any, breach: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_application(application)
    assert breach in caught.value.found
    assert "DOE" not in str(caught.value)
