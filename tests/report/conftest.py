"""Fixtures of the report tests: a small phantom result, its words and the fonts of the system."""

from __future__ import annotations

import os

import pytest
import sample

from vesalius.core import Result
from vesalius.report import Words, fonts
from vesalius.report.fonts import FontSet
from vesalius.report.phrases import Phrases

CI = os.environ.get("CI", "").lower() == "true"


@pytest.fixture(scope="session")
def completed() -> Result:
    return sample.completed(*sample.phantom())


@pytest.fixture(scope="session")
def refused() -> Result:
    return sample.refused(sample.phantom()[0])


@pytest.fixture(scope="session")
def using() -> Words:
    return Words(sample.CATALOGUE)


@pytest.fixture(scope="session")
def english() -> Phrases:
    return Phrases("en", sample.CATALOGUE)


@pytest.fixture(scope="session")
def system_fonts() -> FontSet:
    """Return the fonts of the system; without Chinese ones the test skips, in CI it fails."""
    found = fonts.find()
    if not found.chinese:
        message = "no Chinese font; install fonts-noto-cjk"
        if CI:
            pytest.fail(message)
        pytest.skip(message)
    return found
