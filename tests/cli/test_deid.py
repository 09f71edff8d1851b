"""`vesalius deidentify` as a user calls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from calling import call

sys.path.insert(0, str(Path(__file__).parents[1] / "privacy"))

from deid_objects import image, stored

from vesalius import keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one slice and a key."""
    stored(image(), tmp_path / "in" / "Quimby.dcm")
    keys.create("pseudonym", tmp_path / "study.key")
    return tmp_path


def test_answer_holds_counts_and_no_value(folder: Path, environment: Mapping[str, str]) -> None:
    where = (folder / "in", folder / "out", "--key", folder / "study.key", "--without", "clean-pixel-data")
    called = call(environment, "deidentify", *where, "--json")
    data = called.answer["data"]
    assert called.code == 0
    assert data["results"]["written"] == 1
    assert data["key"] == keys.load(folder / "study.key", kind="pseudonym").id
    assert "Quimby" not in called.out.replace(str(folder), "") + called.err.replace(str(folder), "")


def test_key_that_others_can_read_is_refused(folder: Path, environment: Mapping[str, str]) -> None:
    os.chmod(folder / "study.key", 0o644)
    called = call(environment, "deidentify", folder / "in", folder / "out", "--key", folder / "study.key")
    assert called.code == 1
    assert "chmod 600" in called.err
    assert sorted(os.listdir(folder)) == ["in", "study.key"]
