"""Shared fixtures: where real data lie, and which outside tools are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# as the program does: waiting threads of workers side by side must not spin; read when a library is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
CI = os.environ.get("CI", "").lower() == "true"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of real test data, or skip: it lies beside the repository, never in it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("VESALIUS_TEST_DATA", default))
    if not root.is_dir():
        pytest.skip("real test data are absent; set VESALIUS_TEST_DATA to their folder")
    return root


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Return a function that gives the absolute path of a system tool; absent tools skip, in CI they fail.

    Only system folders are searched: console scripts of Python packages shadow DCMTK's names.
    """

    def find(name: str) -> str:
        found = shutil.which(name, path="/usr/bin:/usr/local/bin:/opt/bin")
        if found is None:
            message = f"{name} is not installed"
            if CI:
                pytest.fail(message)
            pytest.skip(message)
        return found

    return find
